package main

import (
	"context"
	"errors"
	"fmt"
	"os/signal"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/spf13/cobra"

	"github.com/streamweir/streamweir/cmd/streamweir/internal/format"
	"github.com/streamweir/streamweir/cmd/streamweir/internal/input"
	"github.com/streamweir/streamweir/cmd/streamweir/internal/output"
	"github.com/streamweir/streamweir/cmd/streamweir/internal/progress"
	"github.com/streamweir/streamweir/cmd/streamweir/internal/streams"
	"github.com/streamweir/streamweir/cmd/streamweir/internal/when"
)

func newStreamPut(conn *awsConnection) *cobra.Command {
	f := &sendFlags{}
	cmd := &cobra.Command{
		Use:   "put STREAM",
		Short: "Send lines, JSON lines or files to a stream",
		Long: `Send records to a stream: one for each line of standard input or of files, one
for each JSON object, or one for each file. A record without a partition key gets one
by chance. Records are acknowledged by the server before they count; the last line says
how many were.`,
		Example: `  seq 1000 | streamweir stream put orders
  streamweir stream put orders -f orders.log
  echo 'user-1:{"total":12}' | streamweir stream put orders -K :
  streamweir stream get orders -o json | streamweir stream put copy -i json`,
		Args:              args(cobra.ExactArgs(1), "one STREAM"),
		ValidArgsFunction: conn.streams(1),
	}
	summary := outputFlag(cmd, output.Text, output.JSON)
	f.add(cmd, "stream get -o json")
	cmd.RunE = func(cmd *cobra.Command, list []string) error {
		parsing, err := f.parsing()
		if err != nil {
			return misuse(cmd, "%w", err)
		}
		inputs, err := openInputs(f.files, cmd.InOrStdin())
		if err != nil {
			return err
		}
		return runPut(cmd, conn, f, &streams.PutJob{
			Stream: list[0], Inputs: inputs, Parsing: parsing, KeepGoing: f.keepGoing, Patience: f.timeout,
		}, summary.Value)
	}
	return cmd
}

func runPut(cmd *cobra.Command, conn *awsConnection, f *sendFlags, job *streams.PutJob, format output.Format) error {
	cl, err := conn.open(cmd.Context())
	if err != nil {
		return err
	}
	if err := streams.Limits(cmd.Context(), cl, job.Stream, &job.Parsing); err != nil {
		return err
	}
	println := func(line string) { fmt.Fprintln(cmd.ErrOrStderr(), line) }
	if bar := f.bar(cmd, job.Inputs); bar != nil {
		job.Watch, println = bar.Watch, bar.Println
	}
	job.Note = func(text string) { println("streamweir: " + text) }
	job.Report = func(e *input.RecordError) { println("streamweir: " + e.Error()) }
	soft, hard, stop := twoSignals(cmd.Context())
	defer stop()
	s, runErr := streams.Put(soft, hard, cl, job)
	return f.finish(cmd, sent{s.Summary, s, progress.Acknowledged}, format, runErr)
}

// getFlags are the flags of `stream get` and `stream tail` as they are typed.
type getFlags struct {
	from      string
	shards    []string
	count     int64
	format    string
	output    *output.Choice
	delimiter string
	quiet     bool
}

// The positions in a stream, besides a time.
const (
	fromBeginning = "beginning"
	fromEnd       = "end"
)

func (f *getFlags) add(cmd *cobra.Command, from string) {
	f.output = outputFlag(cmd, output.Text, output.JSON)
	flags := cmd.Flags()
	flags.StringVarP(&f.from, "from", "O", from, "where to begin: beginning, end, @TIME (such as @-1h), or after a `SEQUENCE-NUMBER` of one --shard")
	flags.StringArrayVarP(&f.shards, "shard", "s", nil, "read only this shard (repeatable)")
	flags.Int64VarP(&f.count, "count", "n", 0, "stop after so many records")
	flags.StringVarP(&f.format, "format", "f", "", "how to print a record, as for `consume`; %t is the stream, %p the shard, %o the sequence number")
	flags.StringVarP(&f.delimiter, "delimiter", "D", `\n`, "what to print after each record's data, where there is no --format")
	flags.BoolVarP(&f.quiet, "quiet", "q", false, "print no notes, only errors")
	complete(cmd, "from", fromBeginning, fromEnd, "@-1h")
	notEmpty(cmd, "shard")
}

func (f *getFlags) job(cmd *cobra.Command, stream string) (*streams.GetJob, error) {
	job := &streams.GetJob{Stream: stream, Shards: f.shards, Count: f.count}
	err := checkCount(cmd, f.count)
	if err != nil {
		return nil, err
	}
	if job.From, err = parseFrom(f.from, len(f.shards)); err != nil {
		return nil, fmt.Errorf("--from: %w", err)
	}
	job.Note = func(text string) {
		if !f.quiet {
			fmt.Fprintln(cmd.ErrOrStderr(), "streamweir: "+text)
		}
	}
	if f.output.Value == output.JSON {
		if cmd.Flags().Changed("format") || cmd.Flags().Changed("delimiter") {
			return nil, errors.New("--format and --delimiter are for text, not for -o json")
		}
		job.Append = streams.AppendJSON
		return job, nil
	}
	layout := f.format
	if !cmd.Flags().Changed("format") {
		delimiter, err := format.Unescape(f.delimiter)
		if err != nil {
			return nil, fmt.Errorf("--delimiter: %w", err)
		}
		layout = "%s" + format.Literal(delimiter)
	} else if cmd.Flags().Changed("delimiter") {
		return nil, errors.New("--format says everything; leave out --delimiter")
	}
	tpl, err := format.Parse(layout)
	if err != nil {
		return nil, err
	}
	job.Append = streams.AppendTemplate(tpl)
	return job, nil
}

// parseFrom reads a position in a stream.
func parseFrom(text string, shards int) (types.StartingPosition, error) {
	switch {
	case text == fromBeginning:
		return types.StartingPosition{Type: types.ShardIteratorTypeTrimHorizon}, nil
	case text == fromEnd:
		return types.StartingPosition{Type: types.ShardIteratorTypeLatest}, nil
	case len(text) > 0 && text[0] == '@':
		at, err := when.Parse(text[1:], time.Now())
		return types.StartingPosition{Type: types.ShardIteratorTypeAtTimestamp, Timestamp: &at}, err
	case !isSequenceNumber(text):
		return types.StartingPosition{}, fmt.Errorf("%q is not beginning, end, @TIME or a sequence number", text)
	case shards != 1:
		return types.StartingPosition{}, errors.New("a sequence number belongs to one shard: name it with --shard")
	}
	return types.StartingPosition{Type: types.ShardIteratorTypeAfterSequenceNumber, SequenceNumber: &text}, nil
}

func isSequenceNumber(s string) bool {
	for _, c := range s {
		if c < '0' || c > '9' {
			return false
		}
	}
	return s != ""
}

func newStreamGet(conn *awsConnection) *cobra.Command {
	f := &getFlags{}
	cmd := &cobra.Command{
		Use:   "get STREAM",
		Short: "Print the records that are in a stream now",
		Long: `Print the records that are in a stream now, and end. Shards are read at the same
time, but each only after those that it was split or merged from.`,
		Example: `  streamweir stream get orders
  streamweir stream get orders --from @-10m -n 100 -o json
  streamweir stream get orders -s shardId-000000000000 -f '%o %k: %s\n'`,
		Args:              args(cobra.ExactArgs(1), "one STREAM"),
		ValidArgsFunction: conn.streams(1),
	}
	f.add(cmd, fromBeginning)
	cmd.RunE = func(cmd *cobra.Command, list []string) error {
		return runRead(cmd, conn, f, list[0], func(ctx context.Context, cl *streams.Client, job *streams.GetJob) error {
			return streams.Get(ctx, cl, job, cmd.OutOrStdout())
		})
	}
	return cmd
}

func newStreamTail(conn *awsConnection) *cobra.Command {
	f := &getFlags{}
	cmd := &cobra.Command{
		Use:   "tail STREAM",
		Short: "Follow a stream through enhanced fan-out and print its records",
		Long: `Follow a stream through enhanced fan-out, with throughput of its own, and print the
records as they come. It registers a consumer and deregisters it at the end; a shard that
is split or merged is read to its end before what came of it.`,
		Example:           "  streamweir stream tail orders\n  streamweir stream tail orders --from @-1h -o json",
		Args:              args(cobra.ExactArgs(1), "one STREAM"),
		ValidArgsFunction: conn.streams(1),
	}
	f.add(cmd, fromEnd)
	cmd.RunE = func(cmd *cobra.Command, list []string) error {
		return runRead(cmd, conn, f, list[0], func(ctx context.Context, cl *streams.Client, job *streams.GetJob) error {
			return streams.Tail(ctx, cl, job, cmd.OutOrStdout())
		})
	}
	return cmd
}

// runRead reads until it is interrupted, or nobody reads what it writes.
func runRead(cmd *cobra.Command, conn *awsConnection, f *getFlags, stream string, read func(context.Context, *streams.Client, *streams.GetJob) error) error {
	job, err := f.job(cmd, stream)
	if err != nil {
		return misuse(cmd, "%w", err)
	}
	signal.Ignore(syscall.SIGPIPE) // as in runConsume: a consumer has to be deregistered
	ctx, stop := interruptible(cmd.Context())
	defer stop()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer output.WhenReaderGone(cmd.OutOrStdout(), cancel)()
	cl, err := conn.open(ctx)
	if err != nil {
		return err
	}
	return read(ctx, cl, job)
}
