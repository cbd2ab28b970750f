package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/streamweir/streamweir/cmd/streamweir/internal/client"
	"github.com/streamweir/streamweir/cmd/streamweir/internal/format"
	"github.com/streamweir/streamweir/cmd/streamweir/internal/input"
	"github.com/streamweir/streamweir/cmd/streamweir/internal/output"
	"github.com/streamweir/streamweir/cmd/streamweir/internal/produce"
	"github.com/streamweir/streamweir/cmd/streamweir/internal/progress"
)

// defaultDeliveryTimeout is Kafka's delivery.timeout.ms.
const defaultDeliveryTimeout = 2 * time.Minute

// produceFlags are the flags of `produce` as they are typed.
type produceFlags struct {
	files         []string
	input         *output.Choice
	wholeFile     bool
	delimiter     string
	keyDelimiter  string
	key           string
	headers       []string
	emptyIsNull   bool
	partition     int32
	keepPartition bool
	codec         string
	acks          string
	timeout       time.Duration
	keepGoing     bool
	quiet         bool
}

func newProduceCommand() *cobra.Command {
	conn := &connection{}
	f := &produceFlags{input: output.NewChoice(output.Text, output.JSON)}
	cmd := &cobra.Command{
		Use:   "produce TOPIC",
		Short: "Send lines, JSON lines or files to a topic",
		Long: `Send records to a topic: one for each line of standard input or of files, one
for each JSON object, or one for each file. Records are acknowledged by the
broker before they count; the last line says how many were.`,
		Example: `  seq 1000 | streamweir produce orders
  streamweir produce orders -f orders.log -z zstd
  echo 'user-1:{"total":12}' | streamweir produce orders -K :
  streamweir consume orders -e -o json | streamweir produce copy --input json
  streamweir produce images --whole-file -f a.png -f b.png`,
		Args:              args(cobra.ExactArgs(1), "one TOPIC"),
		ValidArgsFunction: conn.topics(1),
	}
	conn.add(cmd)
	summary := outputFlag(cmd, output.Text, output.JSON)
	flags := cmd.Flags()
	flags.StringArrayVarP(&f.files, "file", "f", nil, "read this `FILE` instead of standard input (repeatable; - is standard input)")
	flags.VarP(f.input, "input", "i", "what a line is: text, or a JSON object as consume -o json prints it")
	flags.BoolVar(&f.wholeFile, "whole-file", false, "send each file as one record")
	flags.StringVarP(&f.delimiter, "delimiter", "D", `\n`, `what stands between records; \n \r \t \0 \xNN are understood`)
	flags.StringVarP(&f.keyDelimiter, "key-delimiter", "K", "", "what stands between key and value; a line without it has no key")
	flags.StringVarP(&f.key, "key", "k", "", "key of every record that brings none")
	flags.StringArrayVarP(&f.headers, "header", "H", nil, "add a header, `NAME=VALUE`, to every record (repeatable)")
	flags.BoolVarP(&f.emptyIsNull, "empty-null", "Z", false, "send an empty key or value as null")
	flags.Int32VarP(&f.partition, "partition", "p", input.AnyPartition, "send everything to this partition; -1: by key, as all Kafka clients do")
	flags.BoolVar(&f.keepPartition, "keep-partition", false, "with --input json: send each record to the partition that it names")
	flags.StringVarP(&f.codec, "compression", "z", "none", "compression: none, gzip, snappy, lz4, zstd")
	flags.StringVar(&f.acks, "acks", string(produce.AcksAll), "who must have a record before it counts: all, 1 (the leader), 0 (nobody); all is idempotent")
	flags.DurationVar(&f.timeout, "delivery-timeout", defaultDeliveryTimeout, "give up when records wait and nothing is acknowledged for so long")
	flags.BoolVar(&f.keepGoing, "keep-going", false, "do not stop at the first record that fails")
	flags.BoolVarP(&f.quiet, "quiet", "q", false, "print no progress and no summary, only errors")
	complete(cmd, "input", f.input.Names()...)
	complete(cmd, "compression", produce.Codecs()...)
	complete(cmd, "acks", "all", "1", "0")
	cmd.RunE = func(cmd *cobra.Command, list []string) error {
		return runProduce(cmd, conn, f, list[0], summary.Value)
	}
	return cmd
}

func runProduce(cmd *cobra.Command, conn *connection, f *produceFlags, topic string, summary output.Format) error {
	parsing, err := f.parsing()
	if err != nil {
		return misuse(cmd, "%w", err)
	}
	var limit atomic.Int32
	limit.Store(produce.DefaultMaxRecordBytes)
	delivery := produce.Delivery{
		Codec: f.codec, Acks: produce.Acks(f.acks), BatchBytes: &limit,
		Partitioned: f.partition != input.AnyPartition || f.keepPartition,
	}
	opts, err := delivery.Options()
	if err != nil {
		return misuse(cmd, "%w", err)
	}
	inputs, err := openInputs(f.files, cmd.InOrStdin())
	if err != nil {
		return err
	}
	ctx := cmd.Context()
	watcher := &client.Watcher{}
	opts = append(opts, kgo.WithHooks(watcher))
	var refusals *client.Refusals
	if delivery.Acks != produce.AcksNone {
		refusals = &client.Refusals{}
		opts = append(opts, refusals.Options(conn.timeout)...)
	}
	cl, err := client.Open(ctx, conn.config(), opts...)
	if err != nil {
		return err
	}
	defer cl.Close()
	partitions, err := produce.Prepare(ctx, cl, topic)
	if err != nil {
		return err
	}
	if err := produce.CheckPartition(topic, f.partition, partitions); err != nil {
		return err
	}
	demands := produce.AskDemands(ctx, cl, topic)
	demands.Apply(&parsing)
	parsing.Partitions = partitions
	limit.Store(int32(demands.MaxRecordBytes))
	job := &produce.Job{Topic: topic, Inputs: inputs, Parsing: parsing, KeepGoing: f.keepGoing, Patience: f.timeout, Refusals: refusals}
	println := func(line string) { fmt.Fprintln(cmd.ErrOrStderr(), line) }
	if !f.quiet && output.IsTerminal(cmd.ErrOrStderr()) && !output.IsTerminal(inputs[0].Source) {
		bar := progress.NewBar(cmd.ErrOrStderr())
		job.Watch, println = bar.Watch, bar.Println
	}
	job.Note = func(text string) { println("streamweir: " + text) }
	watcher.Say(job.Note)
	job.Report = func(e *input.RecordError) { println("streamweir: " + e.Error()) }
	soft, hard, stop := twoSignals(ctx)
	defer stop()
	s, runErr := produce.Run(soft, hard, cl, job)
	return finishProduce(cmd, f, s, summary, runErr)
}

// finishProduce prints the summary and chooses the exit status.
func finishProduce(cmd *cobra.Command, f *produceFlags, s produce.Summary, summary output.Format, runErr error) error {
	if summary == output.JSON {
		if err := output.WriteJSON(cmd.OutOrStdout(), s); err != nil {
			return err
		}
	}
	// What went wrong is said even to who wants to hear nothing else.
	if !f.quiet || s.Failed > 0 || s.Unknown > 0 {
		fmt.Fprintln(cmd.ErrOrStderr(), s.Sentence(produce.Acks(f.acks).Verb()))
	}
	switch {
	case runErr != nil:
		return runErr
	case s.Failed > 0:
		return &output.FailedError{Failed: int(s.Failed), Total: int(s.Failed + s.Acknowledged + s.Unknown)}
	case s.Interrupted:
		return errInterrupted
	}
	return nil
}

func (f *produceFlags) parsing() (input.Parsing, error) {
	p := input.Parsing{
		Format: input.Lines, EmptyIsNull: f.emptyIsNull, Partition: f.partition, KeepPartition: f.keepPartition,
	}
	delimiter, err := format.Unescape(f.delimiter)
	if err != nil {
		return p, fmt.Errorf("--delimiter: %w", err)
	}
	keyDelimiter, err := format.Unescape(f.keyDelimiter)
	if err != nil {
		return p, fmt.Errorf("--key-delimiter: %w", err)
	}
	p.Delimiter, p.KeyDelimiter = []byte(delimiter), []byte(keyDelimiter)
	if f.key != "" {
		p.Key = []byte(f.key)
	}
	switch {
	case f.input.Value == output.JSON:
		p.Format, p.Delimiter, p.KeyDelimiter = input.JSON, []byte("\n"), nil
	case f.wholeFile:
		p.Format = input.Whole
	}
	if p.Headers, err = parseHeaders(f.headers); err != nil {
		return p, err
	}
	return p, f.check(p)
}

func (f *produceFlags) check(p input.Parsing) error {
	isJSON := f.input.Value == output.JSON
	switch {
	case len(p.Delimiter) == 0:
		return errors.New("--delimiter must not be empty; for one record of the whole input write --whole-file")
	case f.wholeFile && (isJSON || f.keyDelimiter != ""):
		return errors.New("--whole-file does not go with --input json or --key-delimiter")
	case isJSON && (f.keyDelimiter != "" || f.emptyIsNull):
		return errors.New("--key-delimiter and --empty-null are for text; JSON says itself what the key is and what is null")
	case f.keepPartition && !isJSON:
		return errors.New("--keep-partition needs --input json: lines of text name no partition")
	case f.keepPartition && f.partition != input.AnyPartition:
		return errors.New("--keep-partition and --partition exclude each other")
	case f.partition < input.AnyPartition:
		return fmt.Errorf("--partition %d is not a partition", f.partition)
	case f.timeout < time.Second:
		return errors.New("--delivery-timeout must be at least 1s")
	}
	return nil
}

func parseHeaders(list []string) ([]kgo.RecordHeader, error) {
	var headers []kgo.RecordHeader
	for _, text := range list {
		name, value, ok := strings.Cut(text, "=")
		if !ok {
			return nil, fmt.Errorf("header %q is not of the form NAME=VALUE", text)
		}
		headers = append(headers, kgo.RecordHeader{Key: name, Value: []byte(value)})
	}
	return headers, nil
}

// openInputs looks at the files before anything is sent: a misspelt name must
// not leave half of the work done.
func openInputs(files []string, stdin io.Reader) ([]input.File, error) {
	if len(files) == 0 {
		files = []string{"-"}
	}
	var inputs []input.File
	for _, name := range files {
		if name == "-" {
			inputs = append(inputs, input.File{
				Size: sizeOf(stdin), Source: stdin,
				Open: func() (io.ReadCloser, error) { return io.NopCloser(stdin), nil },
			})
			continue
		}
		info, err := os.Stat(name)
		if err != nil {
			return nil, err
		}
		if info.IsDir() {
			return nil, fmt.Errorf("%s is a directory", name)
		}
		size := int64(-1)
		if info.Mode().IsRegular() {
			size = info.Size()
		}
		inputs = append(inputs, input.File{
			Name: name, Size: size,
			Open: func() (io.ReadCloser, error) { return os.Open(name) },
		})
	}
	return inputs, nil
}

// sizeOf returns what is left of a redirected file, or -1 for a pipe.
func sizeOf(r io.Reader) int64 {
	f, ok := r.(*os.File)
	if !ok {
		return -1
	}
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return -1
	}
	at, err := f.Seek(0, io.SeekCurrent)
	if err != nil {
		return -1
	}
	return max(info.Size()-at, 0)
}

// twoSignals returns a context that ends at the first interruption and one
// that ends at the second.
func twoSignals(parent context.Context) (soft, hard context.Context, stop func()) {
	soft, endSoft := context.WithCancel(parent)
	hard, endHard := context.WithCancel(context.WithoutCancel(parent))
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	done := make(chan struct{})
	finished := make(chan struct{})
	go func() {
		defer close(finished)
		for _, end := range []context.CancelFunc{endSoft, endHard} {
			select {
			case <-signals:
				end()
			case <-done:
				return
			}
		}
	}()
	return soft, hard, func() {
		signal.Stop(signals)
		close(done)
		<-finished
		endSoft()
		endHard()
	}
}
