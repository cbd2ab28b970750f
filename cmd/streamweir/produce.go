package main

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/streamweir/streamweir/cmd/streamweir/internal/client"
	"github.com/streamweir/streamweir/cmd/streamweir/internal/input"
	"github.com/streamweir/streamweir/cmd/streamweir/internal/output"
	"github.com/streamweir/streamweir/cmd/streamweir/internal/produce"
)

// produceFlags are the flags of `produce` as they are typed.
type produceFlags struct {
	sendFlags
	headers       []string
	emptyIsNull   bool
	partition     int32
	keepPartition bool
	codec         string
	acks          string
}

func newProduceCommand() *cobra.Command {
	conn := &connection{}
	f := &produceFlags{}
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
	f.add(cmd, "consume -o json")
	flags := cmd.Flags()
	flags.StringArrayVarP(&f.headers, "header", "H", nil, "add a header, `NAME=VALUE`, to every record (repeatable)")
	flags.BoolVarP(&f.emptyIsNull, "empty-null", "Z", false, "send an empty key or value as null")
	flags.Int32VarP(&f.partition, "partition", "p", input.AnyPartition, "send everything to this partition; -1: by key, as all Kafka clients do")
	flags.BoolVar(&f.keepPartition, "keep-partition", false, "with --input json: send each record to the partition that it names")
	flags.StringVarP(&f.codec, "compression", "z", "none", "compression: none, gzip, snappy, lz4, zstd")
	flags.StringVar(&f.acks, "acks", string(produce.AcksAll), "who must have a record before it counts: all, 1 (the leader), 0 (nobody); all is idempotent")
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
	if bar := f.bar(cmd, inputs); bar != nil {
		job.Watch, println = bar.Watch, bar.Println
	}
	job.Note = func(text string) { println("streamweir: " + text) }
	watcher.Say(job.Note)
	job.Report = func(e *input.RecordError) { println("streamweir: " + e.Error()) }
	soft, hard, stop := twoSignals(ctx)
	defer stop()
	s, runErr := produce.Run(soft, hard, cl, job)
	return f.finish(cmd, sent{s.Summary, s, produce.Acks(f.acks).Verb()}, summary, runErr)
}

func (f *produceFlags) parsing() (input.Parsing, error) {
	p, err := f.sendFlags.parsing()
	if err != nil {
		return p, err
	}
	p.EmptyIsNull, p.Partition, p.KeepPartition = f.emptyIsNull, f.partition, f.keepPartition
	if p.Headers, err = parseHeaders(f.headers); err != nil {
		return p, err
	}
	isJSON := f.input.Value == output.JSON
	switch {
	case isJSON && f.emptyIsNull:
		return p, errors.New("--empty-null is for text; JSON says itself what is null")
	case f.keepPartition && !isJSON:
		return p, errors.New("--keep-partition needs --input json: lines of text name no partition")
	case f.keepPartition && f.partition != input.AnyPartition:
		return p, errors.New("--keep-partition and --partition exclude each other")
	case f.partition < input.AnyPartition:
		return p, fmt.Errorf("--partition %d is not a partition", f.partition)
	}
	return p, nil
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
