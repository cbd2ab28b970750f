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
	"github.com/streamweir/streamweir/cmd/streamweir/internal/groups"
	"github.com/streamweir/streamweir/cmd/streamweir/internal/output"
	"github.com/streamweir/streamweir/cmd/streamweir/internal/when"
)

func newGroupCommand() *cobra.Command {
	conn := &connection{}
	cmd := group("group", "List, describe, reset and delete consumer groups",
		newGroupList(conn), newGroupDescribe(conn), newGroupReset(conn), newGroupDelete(conn),
		group("offsets", "Export, import and delete committed offsets",
			newOffsetsExport(conn), newOffsetsImport(conn), newOffsetsDelete(conn)))
	conn.add(cmd)
	return cmd
}

func newGroupList(conn *connection) *cobra.Command {
	cmd := &cobra.Command{
		Use:               "list",
		Aliases:           []string{"ls"},
		Short:             "List the groups",
		Example:           "  streamweir group list\n  streamweir group list -o json",
		Args:              args(cobra.NoArgs, "no argument"),
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	format := outputFlag(cmd, output.Table, output.JSON, output.Name)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return conn.with(cmd, func(ctx context.Context, cl *client.Cluster) error {
			list, err := groups.List(ctx, cl)
			if err != nil {
				return err
			}
			return groups.PrintList(cmd.OutOrStdout(), format.Value, list)
		})
	}
	return cmd
}

func newGroupDescribe(conn *connection) *cobra.Command {
	cmd := &cobra.Command{
		Use:               "describe GROUP...",
		Short:             "Show state, members, assignment, committed offsets and lag",
		Example:           "  streamweir group describe billing",
		Args:              args(cobra.MinimumNArgs(1), "GROUP"),
		ValidArgsFunction: conn.groups(0),
	}
	format := outputFlag(cmd, output.Table, output.JSON)
	cmd.RunE = func(cmd *cobra.Command, names []string) error {
		return conn.with(cmd, func(ctx context.Context, cl *client.Cluster) error {
			list, failed, err := groups.Describe(ctx, cl, names)
			if err != nil {
				return err
			}
			if err := groups.PrintDescriptions(cmd.OutOrStdout(), format.Value, list); err != nil {
				return err
			}
			return output.WriteFailures(cmd.ErrOrStderr(), failed, len(names))
		})
	}
	return cmd
}

func newGroupDelete(conn *connection) *cobra.Command {
	cmd := &cobra.Command{
		Use:               "delete GROUP...",
		Aliases:           []string{"rm"},
		Short:             "Delete groups that have no members, with their offsets",
		Example:           "  streamweir group delete billing --yes",
		Args:              args(cobra.MinimumNArgs(1), "GROUP"),
		ValidArgsFunction: conn.groups(0),
	}
	format := outputFlag(cmd, output.Table, output.JSON)
	yes := cmd.Flags().BoolP("yes", "y", false, "do not ask")
	cmd.RunE = func(cmd *cobra.Command, names []string) error {
		return conn.with(cmd, func(ctx context.Context, cl *client.Cluster) error {
			if !*yes {
				question := fmt.Sprintf("Delete %s with all committed offsets?", output.Quoted(names))
				if err := output.Confirm(cmd.InOrStdin(), cmd.ErrOrStderr(), question); err != nil {
					return err
				}
			}
			failed, err := groups.Delete(ctx, cl, names)
			if err != nil {
				return err
			}
			results := make([]output.Result, 0, len(names))
			for _, name := range names {
				r := output.Result{Name: name, Done: "deleted"}
				if failed[name] != nil {
					r.Done, r.Err = "", failed[name]
				}
				results = append(results, r)
			}
			return output.WriteResults(cmd.OutOrStdout(), cmd.ErrOrStderr(), format.Value, "group", results)
		})
	}
	return cmd
}

// resetFlags are the flags of `group reset` as they are typed.
type resetFlags struct {
	earliest, latest, current bool
	offset, shift             int64
	at, by                    string
	topics                    []string
	allTopics                 bool
	execute                   bool
}

// targetFlags lists the flags that say where to go; exactly one is given.
var targetFlags = []string{"to-earliest", "to-latest", "to-current", "to-offset", "shift-by", "to-time", "by-duration"}

func newGroupReset(conn *connection) *cobra.Command {
	f := &resetFlags{}
	cmd := &cobra.Command{
		Use:   "reset GROUP",
		Short: "Move the committed offsets of a group",
		Long: `Move the committed offsets of a group that has no members. It shows what it
would do, and does it only with --execute. Offsets outside what a partition
holds become the nearest one inside.`,
		Example: `  streamweir group reset billing --to-earliest --all-topics
  streamweir group reset billing --to-time "2026-01-31 15:04" --topic orders --execute
  streamweir group reset billing --shift-by -100 --topic orders:0,2-3 --execute
  streamweir group reset billing --by-duration 2h --all-topics --execute`,
		Args:              args(cobra.ExactArgs(1), "one GROUP"),
		ValidArgsFunction: conn.groups(1),
	}
	format := outputFlag(cmd, output.Table, output.JSON)
	flags := cmd.Flags()
	flags.BoolVar(&f.earliest, "to-earliest", false, "to the first record that is still there")
	flags.BoolVar(&f.latest, "to-latest", false, "to the end: only new records")
	flags.BoolVar(&f.current, "to-current", false, "to where it is, brought inside what the partitions hold")
	flags.Int64Var(&f.offset, "to-offset", 0, "to offset `N`")
	flags.Int64Var(&f.shift, "shift-by", 0, "by `N` records on, or back if negative")
	flags.StringVar(&f.at, "to-time", "", "to the first record not older than `TIME`: a date, 15:04, ms since 1970, or -2h")
	flags.StringVar(&f.by, "by-duration", "", "to the first record not older than `DURATION`, such as 90m, 7d, P1DT2H")
	flags.StringArrayVarP(&f.topics, "topic", "t", nil, "of this `TOPIC[:PARTITIONS]` (repeatable)")
	flags.BoolVar(&f.allTopics, "all-topics", false, "of all topics that the group has committed offsets for")
	flags.BoolVar(&f.execute, "execute", false, "do it; without this it is only shown")
	flagNames(cmd, "topic", conn.topics(0))
	cmd.RunE = func(cmd *cobra.Command, names []string) error {
		target, err := f.target(cmd)
		if err != nil {
			return misuse(cmd, "%w", err)
		}
		selection, err := parseSelections(cmd, f.topics)
		if err != nil {
			return err
		}
		if (len(selection) == 0) != f.allTopics {
			return misuse(cmd, "say which topics: either --topic TOPIC or --all-topics")
		}
		return conn.with(cmd, func(ctx context.Context, cl *client.Cluster) error {
			plan, err := groups.PlanReset(ctx, cl, names[0], target, groups.Scope{Topics: selection, AllTopics: f.allTopics})
			if err != nil {
				return err
			}
			return carryOut(ctx, cmd, cl, format.Value, plan, f.execute)
		})
	}
	return cmd
}

// target reads the one flag that says where to go.
func (f *resetFlags) target(cmd *cobra.Command) (groups.Target, error) {
	var given []string
	for _, name := range targetFlags {
		if cmd.Flags().Changed(name) {
			given = append(given, "--"+name)
		}
	}
	if len(given) != 1 {
		if len(given) == 0 {
			return groups.Target{}, fmt.Errorf("say where to: one of --%s", strings.Join(targetFlags, ", --"))
		}
		return groups.Target{}, fmt.Errorf("%s exclude each other", strings.Join(given, " and "))
	}
	switch given[0] {
	case "--to-earliest":
		return groups.Target{Kind: groups.ToEarliest}, nil
	case "--to-latest":
		return groups.Target{Kind: groups.ToLatest}, nil
	case "--to-current":
		return groups.Target{Kind: groups.ToCurrent}, nil
	case "--to-offset":
		if f.offset < 0 {
			return groups.Target{}, errors.New("--to-offset must not be negative; to go back by some records write --shift-by")
		}
		return groups.Target{Kind: groups.ToOffset, N: f.offset}, nil
	case "--shift-by":
		return groups.Target{Kind: groups.ShiftBy, N: f.shift}, nil
	case "--to-time":
		at, err := when.Parse(f.at, time.Now())
		return groups.Target{Kind: groups.ToTime, Time: at}, err
	}
	ago, err := when.ParseDuration(f.by)
	return groups.Target{Kind: groups.ToTime, Time: time.Now().Add(-ago)}, err
}

// carryOut shows a plan, and with execute commits it first.
func carryOut(ctx context.Context, cmd *cobra.Command, cl *client.Cluster, format output.Format, plan groups.Plan, execute bool) error {
	errs := cmd.ErrOrStderr()
	if !execute {
		if err := groups.PrintPlan(cmd.OutOrStdout(), format, plan); err != nil {
			return err
		}
		var active *groups.ActiveError
		err := groups.CheckInactive(ctx, cl, plan.Group)
		if errors.As(err, &active) {
			fmt.Fprintf(errs, "streamweir: it could not be done now: %v\n", err)
			return nil
		}
		fmt.Fprintln(errs, "This is a dry run. Add --execute to do it.")
		return err
	}
	execErr := groups.Execute(ctx, cl, &plan)
	if !plan.Executed {
		return execErr
	}
	if err := groups.PrintPlan(cmd.OutOrStdout(), format, plan); err != nil {
		return err
	}
	return execErr
}

func newOffsetsExport(conn *connection) *cobra.Command {
	cmd := &cobra.Command{
		Use:               "export GROUP",
		Short:             "Print the committed offsets of a group, as CSV (topic,partition,offset) or JSON",
		Example:           "  streamweir group offsets export billing > billing.csv\n  streamweir group offsets export billing -o json > billing.json",
		Args:              args(cobra.ExactArgs(1), "one GROUP"),
		ValidArgsFunction: conn.groups(1),
	}
	format := outputFlag(cmd, "csv", output.JSON)
	cmd.RunE = func(cmd *cobra.Command, names []string) error {
		return conn.with(cmd, func(ctx context.Context, cl *client.Cluster) error {
			return groups.Export(ctx, cl, names[0], cmd.OutOrStdout(), groups.FileFormat(format.Value))
		})
	}
	return cmd
}

func newOffsetsImport(conn *connection) *cobra.Command {
	cmd := &cobra.Command{
		Use:               "import GROUP [FILE]",
		Short:             "Commit the offsets of an exported file (CSV or JSON) to a group",
		Long:              "Commit the offsets of an exported file, or of standard input, to a group that has no members.\nIt shows what it would do, and does it only with --execute.",
		Example:           "  streamweir group offsets import billing billing.csv --execute",
		Args:              args(cobra.RangeArgs(1, 2), "GROUP and perhaps FILE"),
		ValidArgsFunction: groupThenFile(conn.groups(1)),
	}
	format := outputFlag(cmd, output.Table, output.JSON)
	execute := cmd.Flags().Bool("execute", false, "do it; without this it is only shown")
	cmd.RunE = func(cmd *cobra.Command, list []string) error {
		in := cmd.InOrStdin()
		if len(list) == 2 && list[1] != "-" {
			f, err := os.Open(list[1])
			if err != nil {
				return err
			}
			defer f.Close()
			in = f
		}
		saved, err := groups.ReadOffsets(in, list[0])
		if err != nil {
			return fmt.Errorf("read offsets: %w", err)
		}
		return conn.with(cmd, func(ctx context.Context, cl *client.Cluster) error {
			plan, err := groups.PlanImport(ctx, cl, list[0], saved)
			if err != nil {
				return err
			}
			return carryOut(ctx, cmd, cl, format.Value, plan, *execute)
		})
	}
	return cmd
}

// groupThenFile completes a group first and leaves the second argument to the shell.
func groupThenFile(names completer) completer {
	return func(cmd *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
		if len(args) == 0 {
			return names(cmd, args, typed)
		}
		return nil, cobra.ShellCompDirectiveDefault
	}
}

func newOffsetsDelete(conn *connection) *cobra.Command {
	cmd := &cobra.Command{
		Use:               "delete GROUP --topic TOPIC[:PARTITIONS]",
		Short:             "Forget the committed offsets of a group in some topics",
		Example:           "  streamweir group offsets delete billing --topic orders --yes",
		Args:              args(cobra.ExactArgs(1), "one GROUP"),
		ValidArgsFunction: conn.groups(1),
	}
	format := outputFlag(cmd, output.Table, output.JSON)
	list := cmd.Flags().StringArrayP("topic", "t", nil, "of this `TOPIC[:PARTITIONS]` (repeatable)")
	yes := cmd.Flags().BoolP("yes", "y", false, "do not ask")
	flagNames(cmd, "topic", conn.topics(0))
	cmd.RunE = func(cmd *cobra.Command, names []string) error {
		if len(*list) == 0 {
			return misuse(cmd, "say which topics: --topic TOPIC")
		}
		selection, err := parseSelections(cmd, *list)
		if err != nil {
			return err
		}
		return conn.with(cmd, func(ctx context.Context, cl *client.Cluster) error {
			if !*yes {
				question := fmt.Sprintf("Forget where group %q is in %s?", names[0], output.Quoted(*list))
				if err := output.Confirm(cmd.InOrStdin(), cmd.ErrOrStderr(), question); err != nil {
					return err
				}
			}
			results, err := groups.DeleteOffsets(ctx, cl, names[0], selection)
			if err != nil {
				return err
			}
			return output.WriteResults(cmd.OutOrStdout(), cmd.ErrOrStderr(), format.Value, "offset of", results)
		})
	}
	return cmd
}
