package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/streamweir/streamweir/cmd/streamweir/internal/client"
	"github.com/streamweir/streamweir/cmd/streamweir/internal/output"
)

// bootstrapVariable stands for --bootstrap-server where that is not given.
const bootstrapVariable = "STREAMWEIR_BOOTSTRAP_SERVER"

// completionTimeout is how long a press of the tab key may take.
const completionTimeout = 2 * time.Second

// connection holds the flags that every client command takes.
type connection struct {
	server  string
	timeout time.Duration
}

// add declares the flags on a command and all below it.
func (c *connection) add(cmd *cobra.Command) {
	server := os.Getenv(bootstrapVariable)
	if server == "" {
		server = client.DefaultBootstrapServer
	}
	flags := cmd.PersistentFlags()
	flags.StringVarP(&c.server, "bootstrap-server", "b", server, "`HOST:PORT` of a broker, several separated by commas (environment: "+bootstrapVariable+")")
	flags.DurationVar(&c.timeout, "timeout", client.DefaultTimeout, "how long to wait for an answer of a broker")
}

func (c *connection) config() client.Config {
	return client.Config{BootstrapServer: c.server, Timeout: c.timeout, ClientID: "streamweir", Version: buildInfo().Version}
}

// with opens a connection, does the work and closes it.
func (c *connection) with(cmd *cobra.Command, work func(context.Context, *client.Cluster) error, opts ...kgo.Opt) error {
	cl, err := client.Open(cmd.Context(), c.config(), opts...)
	if err != nil {
		return err
	}
	defer cl.Close()
	return work(cmd.Context(), cl)
}

// outputFlag declares --output with the formats that a command has.
func outputFlag(cmd *cobra.Command, allowed ...output.Format) *output.Choice {
	choice := output.NewChoice(allowed...)
	cmd.Flags().VarP(choice, "output", "o", "output format")
	complete(cmd, "output", choice.Names()...)
	return choice
}

// complete offers fixed values for a flag.
func complete(cmd *cobra.Command, flag string, values ...string) {
	err := cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp))
	if err != nil {
		panic(fmt.Sprintf("flag --%s of %q: %v", flag, cmd.Name(), err)) // declared a line above
	}
}

// notEmpty refuses flags that are given an empty value, as a script does whose
// variable is not set: it means something other than to leave the flag out.
func notEmpty(cmd *cobra.Command, names ...string) {
	cmd.PreRunE = func(cmd *cobra.Command, _ []string) error {
		for _, name := range names {
			flag := cmd.Flag(name)
			empty := flag.Value.String() == ""
			if list, ok := flag.Value.(pflag.SliceValue); ok {
				empty = slices.Contains(list.GetSlice(), "")
			}
			if flag.Changed && empty {
				return misuse(cmd, "--%s must not be empty: give it a value, or leave it out", name)
			}
		}
		return nil
	}
}

// plainFlagError says what is wanted for a flag whose value Go's own parsers refuse.
func plainFlagError(err error) error {
	var invalid *pflag.InvalidValueError
	if !errors.As(err, &invalid) {
		return err
	}
	flag, wanted := invalid.GetFlag(), ""
	switch flag.Value.Type() {
	case "int16", "int32", "int64":
		wanted = "a whole number, such as 6"
		if strings.HasSuffix(flag.Name, "-bytes") {
			wanted = "a number of bytes without a unit, such as 1048576"
		}
		if errors.Is(err, strconv.ErrRange) {
			wanted = "a whole number that is not so large"
		}
	case "duration":
		wanted = "a duration with its unit, such as 500ms, 10s or 2m"
	case "bool":
		wanted = "true or false"
	default:
		return err
	}
	return fmt.Errorf("--%s must be %s, not %q", flag.Name, wanted, invalid.GetValue())
}

// checkCount refuses a --count of nothing; left out, there is no limit.
func checkCount(cmd *cobra.Command, n int64) error {
	if n < 0 || n == 0 && cmd.Flags().Changed("count") {
		return fmt.Errorf("--count must be above zero, not %d; leave it out for no limit", n)
	}
	return nil
}

// completer offers names that a cluster knows.
type completer func(cmd *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective)

// completeNames asks the cluster for names. Pressing tab without a cluster
// gives nothing, quickly and silently.
func (c *connection) completeNames(load func(context.Context, *client.Cluster) ([]string, error), most int) completer {
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
		cfg := c.config()
		cfg.Timeout = completionTimeout
		cl, err := client.Open(ctx, cfg)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		defer cl.Close()
		names, err := load(ctx, cl)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return without(names, args), cobra.ShellCompDirectiveNoFileComp
	}
}

func without(names, taken []string) []string {
	skip := make(map[string]bool, len(taken))
	for _, name := range taken {
		skip[name] = true
	}
	left := names[:0]
	for _, name := range names {
		if !skip[name] {
			left = append(left, name)
		}
	}
	return left
}

// topics completes up to most names of topics; 0 is any number.
func (c *connection) topics(most int) completer {
	return c.completeNames(func(ctx context.Context, cl *client.Cluster) ([]string, error) {
		return cl.TopicNames(ctx, false)
	}, most)
}

// groups completes up to most names of groups; 0 is any number.
func (c *connection) groups(most int) completer {
	return c.completeNames(func(ctx context.Context, cl *client.Cluster) ([]string, error) {
		return cl.GroupNames(ctx)
	}, most)
}

// flagNames completes the value of a flag with names.
func flagNames(cmd *cobra.Command, flag string, names completer) {
	err := cmd.RegisterFlagCompletionFunc(flag, func(cmd *cobra.Command, _ []string, typed string) ([]string, cobra.ShellCompDirective) {
		return names(cmd, nil, typed)
	})
	if err != nil {
		panic(fmt.Sprintf("flag --%s of %q: %v", flag, cmd.Name(), err))
	}
}
