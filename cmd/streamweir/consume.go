package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"regexp"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/streamweir/streamweir/cmd/streamweir/internal/consume"
	"github.com/streamweir/streamweir/cmd/streamweir/internal/format"
	"github.com/streamweir/streamweir/cmd/streamweir/internal/output"
	"github.com/streamweir/streamweir/cmd/streamweir/internal/position"
)

// The isolation levels, in Kafka's words.
const (
	readCommitted   = "read_committed"
	readUncommitted = "read_uncommitted"
)

// consumeFlags are the flags of `consume` as they are typed.
type consumeFlags struct {
	offset       string
	to           string
	partitions   string
	count        int64
	exitAtEnd    bool
	group        string
	format       string
	output       *output.Choice
	delimiter    string
	keyDelimiter string
	showNull     bool
	isolation    string
	regex        bool
	quiet        bool
}

func newConsumeCommand() *cobra.Command {
	conn := &connection{}
	f := &consumeFlags{}
	cmd := &cobra.Command{
		Use:   "consume TOPIC...",
		Short: "Read topics and print their records",
		Long: `Read topics from their beginning, or from --offset, and print the records. It
follows the topics until it is interrupted, unless -e, -n or --to end it.

A format (-f) is written as for kcat:
  %t topic  %p partition  %o offset  %k key  %K its length  %s value  %S its length
  %R length of the value as 4 bytes, big-endian  %h headers  %T timestamp in ms
  %D timestamp as a date (RFC 3339, UTC)  %% percent  \n \r \t \0 \\ \xNN`,
		Example: `  streamweir consume orders
  streamweir consume orders -e -n 10 --offset -10
  streamweir consume orders --offset @-1h --to @now -o json
  streamweir consume orders -f '%p@%o %k: %s\n'
  streamweir consume 'log\..*' --regex -g reader`,
		Args:              args(cobra.MinimumNArgs(1), "TOPIC"),
		ValidArgsFunction: conn.topics(0),
	}
	conn.add(cmd)
	f.output = outputFlag(cmd, output.Text, output.JSON)
	flags := cmd.Flags()
	flags.StringVarP(&f.offset, "offset", "O", "beginning", "`POSITION` to start at: "+position.Usage+"; in a group, where it has no committed offset")
	flags.StringVar(&f.to, "to", "", "`POSITION` to stop before, as for --offset")
	flags.StringVarP(&f.partitions, "partition", "p", "", "read only these `PARTITIONS`, such as 0,2-4")
	flags.Int64VarP(&f.count, "count", "n", 0, "stop after so many records")
	flags.BoolVarP(&f.exitAtEnd, "exit", "e", false, "stop at what is the end of the topics now")
	flags.StringVarP(&f.group, "group", "g", "", "read as a member of this group, and commit what was printed")
	flags.StringVarP(&f.format, "format", "f", "", "how to print a record; see above")
	flags.StringVarP(&f.delimiter, "delimiter", "D", `\n`, "what to print after each value, where there is no --format")
	flags.StringVarP(&f.keyDelimiter, "key-delimiter", "K", "", "print the key and this before each value, where there is no --format")
	flags.BoolVarP(&f.showNull, "show-null", "Z", false, "print NULL for a null key or value")
	flags.StringVar(&f.isolation, "isolation-level", readCommitted, readCommitted+" or "+readUncommitted)
	flags.BoolVarP(&f.regex, "regex", "r", false, "TOPIC is a regular expression that matches whole names")
	flags.BoolVarP(&f.quiet, "quiet", "q", false, "print no notes, only errors")
	complete(cmd, "offset", "beginning", "end", "@-1h", "-10")
	complete(cmd, "to", "end", "@now")
	complete(cmd, "isolation-level", readCommitted, readUncommitted)
	flagNames(cmd, "group", conn.groups(0))
	notEmpty(cmd, "group", "to", "partition")
	cmd.RunE = func(cmd *cobra.Command, names []string) error {
		return runConsume(cmd, conn, f, names)
	}
	return cmd
}

func runConsume(cmd *cobra.Command, conn *connection, f *consumeFlags, names []string) error {
	job, err := f.job(cmd, names)
	if err != nil {
		return misuse(cmd, "%w", err)
	}
	// An ignored SIGPIPE becomes an error of the write, so that a reader
	// which has seen enough (head) ends us quietly, and a group still
	// commits what was printed.
	signal.Ignore(syscall.SIGPIPE)
	ctx, stop := interruptible(cmd.Context())
	defer stop()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer output.WhenReaderGone(cmd.OutOrStdout(), cancel)()
	return consume.Run(ctx, conn.config(), job, cmd.OutOrStdout())
}

// interruptible returns a context that ends at the first interruption. At the
// second the process ends at once, as without a handler.
func interruptible(parent context.Context) (context.Context, func()) {
	ctx, stop := signal.NotifyContext(parent, os.Interrupt, syscall.SIGTERM)
	release := context.AfterFunc(ctx, stop)
	return ctx, func() {
		release()
		stop()
	}
}

func (f *consumeFlags) job(cmd *cobra.Command, names []string) (*consume.Job, error) {
	now := time.Now()
	job := &consume.Job{Topics: names, Regex: f.regex, ExitAtEnd: f.exitAtEnd, Count: f.count, Group: f.group}
	err := checkCount(cmd, f.count)
	if err != nil {
		return nil, err
	}
	if job.From, err = position.Parse(f.offset, now); err != nil {
		return nil, fmt.Errorf("--offset: %w", err)
	}
	if f.to != "" {
		to, err := position.Parse(f.to, now)
		if err != nil {
			return nil, fmt.Errorf("--to: %w", err)
		}
		job.To = &to
	}
	if job.Partitions, err = position.ParsePartitions(f.partitions); err != nil {
		return nil, err
	}
	switch f.isolation {
	case readCommitted:
		job.Stable = true
	case readUncommitted:
	default:
		return nil, fmt.Errorf("--isolation-level %q is not known: write %s or %s", f.isolation, readCommitted, readUncommitted)
	}
	switch {
	case f.regex && badPattern(names) != nil:
		return nil, badPattern(names)
	case f.group != "" && (job.Partitions != nil || job.To != nil):
		return nil, errors.New("--partition and --to do not go with --group: a group hands out the partitions, and goes on where it stopped")
	}
	job.Note = func(text string) {
		if !f.quiet {
			fmt.Fprintln(cmd.ErrOrStderr(), "streamweir: "+text)
		}
	}
	job.Append, err = f.appender(cmd)
	return job, err
}

// badPattern says which name is no regular expression.
func badPattern(names []string) error {
	for _, name := range names {
		if _, err := regexp.Compile(name); err != nil {
			return fmt.Errorf("topic pattern %q: %w", name, err)
		}
	}
	return nil
}

// appender returns what turns a record into output.
func (f *consumeFlags) appender(cmd *cobra.Command) (func([]byte, *kgo.Record) []byte, error) {
	given := cmd.Flags().Changed
	if f.output.Value == output.JSON {
		if given("format") || given("delimiter") || given("key-delimiter") || f.showNull {
			return nil, errors.New("--format, --delimiter, --key-delimiter and --show-null are for text, not for -o json")
		}
		return format.AppendJSON, nil
	}
	layout := f.format
	if given("format") {
		if given("delimiter") || given("key-delimiter") {
			return nil, errors.New("--format says everything; leave out --delimiter and --key-delimiter")
		}
	} else {
		delimiter, err := format.Unescape(f.delimiter)
		if err != nil {
			return nil, fmt.Errorf("--delimiter: %w", err)
		}
		keyDelimiter, err := format.Unescape(f.keyDelimiter)
		if err != nil {
			return nil, fmt.Errorf("--key-delimiter: %w", err)
		}
		layout = "%s" + format.Literal(delimiter)
		if keyDelimiter != "" {
			layout = "%k" + format.Literal(keyDelimiter) + layout
		}
	}
	tpl, err := format.Parse(layout)
	if err != nil {
		return nil, err
	}
	opts := format.TemplateOptions{ShowNull: f.showNull}
	return func(dst []byte, r *kgo.Record) []byte { return tpl.Append(dst, r, opts) }, nil
}
