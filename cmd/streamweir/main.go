// Command streamweir is the one binary: the server, and the commands to work
// with it, with any other Kafka cluster or with another endpoint of Kinesis.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/streamweir/streamweir/cmd/streamweir/internal/client"
	"github.com/streamweir/streamweir/cmd/streamweir/internal/output"
)

// Exit statuses. docs/cli.md promises them.
const (
	exitOK          = 0
	exitFailed      = 1   // the command, or a part of it, failed
	exitUsage       = 2   // the command line is wrong; nothing was done
	exitUnreachable = 3   // no broker, or no server of the Kinesis API, answered
	exitInterrupted = 130 // ended by a signal before everything was done
)

func main() {
	os.Exit(run(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// commands lists what the binary can do, in the order of its help.
func commands() []*cobra.Command {
	return []*cobra.Command{
		serveCommand(),
		newTopicCommand(),
		newProduceCommand(),
		newConsumeCommand(),
		newGroupCommand(),
		newStreamCommand(),
		newVersionCommand(),
	}
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "streamweir",
		Short: "A streaming server for Kafka and Kinesis clients, and the commands to work with it",
		Long: `Streamweir speaks the Kafka protocol and the Kinesis API over one durable log.

The commands topic, produce, consume and group work with any Kafka cluster, stream
with any endpoint of the Kinesis API.`,
		Version:       buildInfo().line(),
		Args:          knownCommand,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.SetVersionTemplate("{{.Version}}\n")
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return &usageError{command: cmd.CommandPath(), err: plainFlagError(err)}
	})
	root.AddCommand(commands()...)
	return root
}

// run executes one command line and returns its exit status.
func run(ctx context.Context, args []string, in io.Reader, out, errs io.Writer) int {
	root := newRoot()
	root.SetArgs(args)
	root.SetIn(in)
	root.SetOut(out)
	root.SetErr(errs)
	strictHelp(root) // after SetOut: cobra's completion command takes where it writes to when it is made
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	var failed *output.FailedError
	if !errors.Is(err, errInterrupted) && !errors.As(err, &failed) { // those have been told
		fmt.Fprintf(errs, "streamweir: %v\n", err)
	}
	return exitStatus(err)
}

// errInterrupted ends a command whose user has been told already.
var errInterrupted = errors.New("interrupted")

// usageError says that the command line is wrong.
type usageError struct {
	command string
	err     error
}

func (e *usageError) Error() string {
	return fmt.Sprintf("%v\nSee `%s --help`.", e.err, e.command)
}

func (e *usageError) Unwrap() error { return e.err }

// misuse returns a usageError.
func misuse(cmd *cobra.Command, format string, args ...any) error {
	return &usageError{command: cmd.CommandPath(), err: fmt.Errorf(format, args...)}
}

func exitStatus(err error) int {
	var usage *usageError
	var wrong *output.UsageError
	var unreachable *client.UnreachableError
	var failed *output.FailedError
	switch {
	case errors.As(err, &usage) || errors.As(err, &wrong):
		return exitUsage
	case errors.Is(err, errInterrupted):
		return exitInterrupted
	case errors.As(err, &failed):
		return exitFailed
	case errors.As(err, &unreachable):
		return exitUnreachable
	}
	return exitFailed
}

// args wraps a check of arguments so that its failure counts as wrong usage. No
// name is empty, except that Kafka lets a group's be.
func args(check cobra.PositionalArgs, what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, list []string) error {
		nameless := slices.Contains(list, "") && !strings.Contains(what, "GROUP")
		if check(cmd, list) == nil && !nameless {
			return nil
		}
		if len(list) == 0 {
			return misuse(cmd, "%s is missing", what)
		}
		return misuse(cmd, "%s is expected, not %s", what, output.Quoted(list))
	}
}

// strictHelp makes the commands that cobra brings refuse a name that they do
// not know, as ours do, rather than print their help with status 0.
func strictHelp(root *cobra.Command) {
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	for _, cmd := range root.Commands() {
		switch cmd.Name() {
		case "completion":
			cmd.Args = knownCommand
			cmd.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
		case "help":
			help := cmd.Run
			cmd.Run = nil
			cmd.RunE = func(cmd *cobra.Command, list []string) error {
				if _, left, err := root.Find(list); err != nil || len(left) > 0 {
					return misuse(cmd, "unknown command %q", strings.Join(list, " "))
				}
				help(cmd, list)
				return nil
			}
		}
	}
}

// knownCommand is for a command that only holds others.
func knownCommand(cmd *cobra.Command, list []string) error {
	if len(list) == 0 {
		return nil
	}
	cmd.SuggestionsMinimumDistance = 2
	if len(list[0]) <= 3 { // to a short word, everything short is near
		cmd.SuggestionsMinimumDistance = 1
	}
	if near := cmd.SuggestionsFor(list[0]); len(near) > 0 {
		return misuse(cmd, "unknown command %q: did you mean %s?", list[0], output.Quoted(near))
	}
	return misuse(cmd, "unknown command %q", list[0])
}

// group makes a command that only holds others. Called without one of them it
// prints its help; called with an unknown one it says so.
func group(use, short string, subs ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{
		Use:   use,
		Short: short,
		Args:  knownCommand,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(subs...)
	return cmd
}
