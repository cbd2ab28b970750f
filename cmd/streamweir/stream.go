package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/streamweir/streamweir/cmd/streamweir/internal/client"
	"github.com/streamweir/streamweir/cmd/streamweir/internal/output"
	"github.com/streamweir/streamweir/cmd/streamweir/internal/streams"
	"github.com/streamweir/streamweir/cmd/streamweir/internal/when"
)

// endpointVariable stands for --endpoint-url where that is not given; it is the
// one that other AWS tools read too.
const endpointVariable = "AWS_ENDPOINT_URL_KINESIS"

// defaultWait is how long a command waits for a stream to be active again.
const defaultWait = 2 * time.Minute

// awsConnection holds the flags that every stream command takes.
type awsConnection struct {
	endpoint string
	timeout  time.Duration
}

// add declares the flags on a command and all below it.
func (c *awsConnection) add(cmd *cobra.Command) {
	endpoint := streams.DefaultEndpoint
	for _, name := range []string{"AWS_ENDPOINT_URL", endpointVariable} {
		if v := os.Getenv(name); v != "" {
			endpoint = v
		}
	}
	flags := cmd.PersistentFlags()
	flags.StringVar(&c.endpoint, "endpoint-url", endpoint, "`URL` of the Kinesis API (environment: "+endpointVariable+", AWS_ENDPOINT_URL)")
	flags.DurationVar(&c.timeout, "timeout", client.DefaultTimeout, "how long to wait for an answer of the server")
}

func (c *awsConnection) open(ctx context.Context) (*streams.Client, error) {
	return streams.Open(ctx, streams.Config{Endpoint: c.endpoint, Timeout: c.timeout, Version: buildInfo().Version})
}

// streams completes up to most names of streams; 0 is any number.
func (c *awsConnection) streams(most int) completer {
	return func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		if most > 0 && len(args) >= most {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		ctx := cmd.Context()
		if ctx == nil {
			ctx = context.Background()
		}
		ctx, cancel := context.WithTimeout(ctx, completionTimeout)
		defer cancel()
		cl, err := c.open(ctx)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		names, err := streams.Names(ctx, cl)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return without(names, args), cobra.ShellCompDirectiveNoFileComp
	}
}

// waitFlags are those of commands that change a stream.
type waitFlags struct {
	wait time.Duration
}

func (f *waitFlags) add(cmd *cobra.Command) {
	cmd.Flags().DurationVar(&f.wait, "wait", defaultWait, "how long to wait until the change is done; 0: do not wait")
}

// waiting shows the progress on a terminal. It returns what ends that.
func (f *waitFlags) waiting(cmd *cobra.Command) (streams.Waiting, func()) {
	w := streams.Waiting{For: f.wait}
	errs := cmd.ErrOrStderr()
	if !output.IsTerminal(errs) {
		return w, func() {}
	}
	const eraseLine = "\r\x1b[K"
	w.Tell = func(line string) { fmt.Fprint(errs, eraseLine+line) }
	return w, func() { fmt.Fprint(errs, eraseLine) }
}

func newStreamCommand() *cobra.Command {
	conn := &awsConnection{}
	cmd := group("stream", "Work with streams through the Kinesis API",
		newStreamList(conn), newStreamDescribe(conn), newStreamCreate(conn), newStreamPut(conn), newStreamGet(conn), newStreamTail(conn),
		newStreamSplit(conn), newStreamMerge(conn), newStreamReshard(conn), newStreamDelete(conn))
	cmd.Long = `Work with streams through the Kinesis API, here or at AWS.

Credentials and region come from where all AWS tools take them (AWS_ACCESS_KEY_ID,
AWS_PROFILE, ~/.aws ...). At an endpoint on this machine they may be absent: then the
key is "local" and the region us-east-1.`
	conn.add(cmd)
	return cmd
}

func newStreamList(conn *awsConnection) *cobra.Command {
	cmd := &cobra.Command{
		Use:               "list",
		Aliases:           []string{"ls"},
		Short:             "List the streams",
		Example:           "  streamweir stream list\n  for s in $(streamweir stream list -o name); do echo \"$s\"; done",
		Args:              args(cobra.NoArgs, "no argument"),
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	format := outputFlag(cmd, output.Table, output.JSON, output.Name)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		cl, err := conn.open(cmd.Context())
		if err != nil {
			return err
		}
		list, err := streams.List(cmd.Context(), cl)
		if err != nil {
			return err
		}
		return streams.PrintList(cmd.OutOrStdout(), format.Value, list)
	}
	return cmd
}

func newStreamDescribe(conn *awsConnection) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "describe STREAM...",
		Short: "Show shards with their ranges, parents and state, consumers and tags of streams",
		Long: `Show streams: state, limits, tags, consumers, and every shard with its range of
hash keys, its parents and whether it is open.

Rates are what came in during the last whole minute. They are read from the server's
metrics, those of shards only where the stream has enhanced monitoring for them.`,
		Example:           "  streamweir stream describe orders\n  streamweir stream describe orders -o json",
		Args:              args(cobra.MinimumNArgs(1), "STREAM"),
		ValidArgsFunction: conn.streams(0),
	}
	format := outputFlag(cmd, output.Table, output.JSON)
	metrics := cmd.Flags().String("metrics-url", "", "`URL` of the server's metrics, with or without /metrics (default: port 9644 of an endpoint on this machine)")
	cmd.RunE = func(cmd *cobra.Command, names []string) error {
		cl, err := conn.open(cmd.Context())
		if err != nil {
			return err
		}
		where := streams.Metrics{URL: *metrics}
		if !cmd.Flags().Changed("metrics-url") {
			where = streams.Metrics{URL: streams.DefaultMetricsURL(conn.endpoint), Guess: true}
		} else if where.URL, err = streams.MetricsURL(*metrics); err != nil {
			return misuse(cmd, "--metrics-url: %w", err)
		}
		found, err := streams.Describe(cmd.Context(), cl, names, where)
		if err != nil {
			return err
		}
		if err := streams.PrintDescriptions(cmd.OutOrStdout(), format.Value, found.List); err != nil {
			return err
		}
		failed := output.WriteFailures(cmd.ErrOrStderr(), found.Failed, len(names))
		if found.Rates != nil && len(found.List) > 0 {
			return fmt.Errorf("no rates are shown: %w (--metrics-url)", found.Rates)
		}
		return failed
	}
	return cmd
}

func newStreamCreate(conn *awsConnection) *cobra.Command {
	var spec streams.Spec
	var wait waitFlags
	var tags []string
	var retention string
	cmd := &cobra.Command{
		Use:               "create STREAM...",
		Short:             "Create streams",
		Example:           "  streamweir stream create orders -n 4\n  streamweir stream create events --on-demand --retention 7d --tag team=web",
		Args:              args(cobra.MinimumNArgs(1), "STREAM"),
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	format := outputFlag(cmd, output.Table, output.JSON)
	flags := cmd.Flags()
	flags.Int32VarP(&spec.Shards, "shards", "n", 1, "number of shards")
	flags.BoolVar(&spec.OnDemand, "on-demand", false, "capacity mode on-demand, without a number of shards")
	flags.StringVar(&retention, "retention", "", "how long records are kept, in whole hours: `DURATION` such as 36h or 7d")
	flags.Int64Var(&spec.MaxRecord, "max-record-bytes", 0, "how large a record may be, in steps of 1024 bytes")
	flags.StringArrayVar(&tags, "tag", nil, "a tag, `KEY=VALUE` (repeatable)")
	flags.BoolVar(&spec.IfNotExists, "if-not-exists", false, "succeed if the stream is there already")
	wait.add(cmd)
	notEmpty(cmd, "retention")
	cmd.RunE = func(cmd *cobra.Command, names []string) error {
		if cmd.Flags().Changed("max-record-bytes") && spec.MaxRecord < 1 {
			return misuse(cmd, "--max-record-bytes must be above zero, not %d", spec.MaxRecord)
		}
		if spec.OnDemand && cmd.Flags().Changed("shards") {
			return misuse(cmd, "--shards and --on-demand exclude each other")
		}
		var err error
		if spec.Tags, err = parseTags(tags); err != nil {
			return misuse(cmd, "%w", err)
		}
		if spec.Retention, err = parseRetention(retention); err != nil {
			return misuse(cmd, "--retention: %w", err)
		}
		cl, err := conn.open(cmd.Context())
		if err != nil {
			return err
		}
		w, end := wait.waiting(cmd)
		results := streams.Create(cmd.Context(), cl, names, spec, w)
		end()
		return writeStreamResults(cmd, format.Value, results)
	}
	return cmd
}

// writeStreamResults ends at once with the status of its own where no server
// answered.
func writeStreamResults(cmd *cobra.Command, format output.Format, results []output.Result) error {
	for _, r := range results {
		var unreachable *client.UnreachableError
		if errors.As(r.Err, &unreachable) {
			return fmt.Errorf("stream %q: %w", r.Name, r.Err)
		}
	}
	return output.WriteResults(cmd.OutOrStdout(), cmd.ErrOrStderr(), format, "stream", results)
}

func parseTags(list []string) (map[string]string, error) {
	if len(list) == 0 {
		return nil, nil // an empty map is refused
	}
	tags := map[string]string{}
	for _, text := range list {
		key, value, ok := strings.Cut(text, "=")
		if !ok {
			return nil, fmt.Errorf("tag %q is not of the form KEY=VALUE", text)
		}
		tags[key] = value
	}
	return tags, nil
}

func parseRetention(text string) (time.Duration, error) {
	if text == "" {
		return 0, nil
	}
	d, err := when.ParseDuration(text)
	if err != nil {
		return 0, err
	}
	if d <= 0 || d%time.Hour != 0 {
		return 0, fmt.Errorf("%q is not a number of whole hours", text)
	}
	if d < streams.MinRetention || d > streams.MaxRetention {
		return 0, fmt.Errorf("%q is not between %.0f and %.0f hours (1 and 365 days)", text, streams.MinRetention.Hours(), streams.MaxRetention.Hours())
	}
	return d, nil
}

func newStreamDelete(conn *awsConnection) *cobra.Command {
	var wait waitFlags
	cmd := &cobra.Command{
		Use:               "delete STREAM...",
		Aliases:           []string{"rm"},
		Short:             "Delete streams, everything in them and their consumers",
		Example:           "  streamweir stream delete orders --yes",
		Args:              args(cobra.MinimumNArgs(1), "STREAM"),
		ValidArgsFunction: conn.streams(0),
	}
	format := outputFlag(cmd, output.Table, output.JSON)
	yes := cmd.Flags().BoolP("yes", "y", false, "do not ask")
	ifExists := cmd.Flags().Bool("if-exists", false, "succeed if the stream is not there")
	wait.add(cmd)
	cmd.RunE = func(cmd *cobra.Command, names []string) error {
		cl, err := conn.open(cmd.Context())
		if err != nil {
			return err
		}
		if !*yes {
			question := fmt.Sprintf("Delete %s and every record there?", output.Quoted(names))
			if err := output.Confirm(cmd.InOrStdin(), cmd.ErrOrStderr(), question); err != nil {
				return err
			}
		}
		w, end := wait.waiting(cmd)
		results := streams.Delete(cmd.Context(), cl, names, *ifExists, w)
		end()
		return writeStreamResults(cmd, format.Value, results)
	}
	return cmd
}

// reshaping makes a command that changes the shards of a stream.
func reshaping(conn *awsConnection, cmd *cobra.Command, change func(*cobra.Command, *streams.Client, []string, streams.Waiting) (*streams.Reshaped, error)) *cobra.Command {
	var wait waitFlags
	format := outputFlag(cmd, output.Text, output.JSON)
	wait.add(cmd)
	cmd.ValidArgsFunction = conn.streams(1)
	cmd.RunE = func(cmd *cobra.Command, list []string) error {
		cl, err := conn.open(cmd.Context())
		if err != nil {
			return err
		}
		w, end := wait.waiting(cmd)
		r, err := change(cmd, cl, list, w)
		end()
		if err != nil {
			var unreachable *client.UnreachableError
			var usage *usageError
			if errors.As(err, &unreachable) || errors.As(err, &usage) {
				return err
			}
			return fmt.Errorf("stream %q: %w", list[0], err)
		}
		if format.Value == output.JSON {
			return output.WriteJSON(cmd.OutOrStdout(), r)
		}
		_, err = fmt.Fprintln(cmd.OutOrStdout(), r.Sentence())
		return err
	}
	return cmd
}

func newStreamSplit(conn *awsConnection) *cobra.Command {
	var at string
	cmd := &cobra.Command{
		Use:     "split STREAM SHARD",
		Short:   "Split a shard in two",
		Example: "  streamweir stream split orders shardId-000000000000\n  streamweir stream split orders shardId-000000000000 --at 170141183460469231731687303715884105728",
		Args:    args(cobra.ExactArgs(2), "STREAM SHARD"),
	}
	cmd.Flags().StringVar(&at, "at", "", "the `HASH-KEY` at which the second shard begins (default: the middle)")
	notEmpty(cmd, "at")
	return reshaping(conn, cmd, func(cmd *cobra.Command, cl *streams.Client, list []string, w streams.Waiting) (*streams.Reshaped, error) {
		return streams.Split(cmd.Context(), cl, list[0], list[1], at, w)
	})
}

func newStreamMerge(conn *awsConnection) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "merge STREAM SHARD SHARD",
		Short:   "Merge two shards whose ranges adjoin",
		Example: "  streamweir stream merge orders shardId-000000000001 shardId-000000000002",
		Args:    args(cobra.ExactArgs(3), "STREAM SHARD SHARD"),
	}
	return reshaping(conn, cmd, func(cmd *cobra.Command, cl *streams.Client, list []string, w streams.Waiting) (*streams.Reshaped, error) {
		return streams.Merge(cmd.Context(), cl, list[0], list[1], list[2], w)
	})
}

func newStreamReshard(conn *awsConnection) *cobra.Command {
	var count int32
	cmd := &cobra.Command{
		Use:   "reshard STREAM",
		Short: "Bring a stream to a number of shards of equal size",
		Long: `Bring a stream to a number of shards of equal size. The API at most doubles or
halves a stream in one call, so that more than one may be made (of ten in 24 hours).`,
		Example: "  streamweir stream reshard orders -n 8",
		Args:    args(cobra.ExactArgs(1), "one STREAM"),
	}
	cmd.Flags().Int32VarP(&count, "shards", "n", 0, "number of shards")
	return reshaping(conn, cmd, func(cmd *cobra.Command, cl *streams.Client, list []string, w streams.Waiting) (*streams.Reshaped, error) {
		if count < 1 {
			return nil, misuse(cmd, "say how many: --shards N")
		}
		if w.For == 0 {
			return nil, misuse(cmd, "--wait must be above zero: the steps follow each other")
		}
		return streams.Reshard(cmd.Context(), cl, list[0], count, w)
	})
}
