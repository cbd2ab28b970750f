package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/streamweir/streamweir/cmd/streamweir/internal/client"
	"github.com/streamweir/streamweir/cmd/streamweir/internal/output"
	"github.com/streamweir/streamweir/cmd/streamweir/internal/position"
	"github.com/streamweir/streamweir/cmd/streamweir/internal/topics"
)

func newTopicCommand() *cobra.Command {
	conn := &connection{}
	cmd := group("topic", "List, describe, create and change topics",
		newTopicList(conn), newTopicDescribe(conn), newTopicCreate(conn), newTopicDelete(conn), newTopicAlter(conn),
		newTopicAddPartitions(conn), newTopicConfig(conn), newTopicOffsets(conn), newTopicTrim(conn))
	conn.add(cmd)
	return cmd
}

func newTopicList(conn *connection) *cobra.Command {
	cmd := &cobra.Command{
		Use:               "list",
		Aliases:           []string{"ls"},
		Short:             "List the topics",
		Example:           "  streamweir topic list\n  for t in $(streamweir topic list -o name); do echo \"$t\"; done",
		Args:              args(cobra.NoArgs, "no argument"),
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	format := outputFlag(cmd, output.Table, output.JSON, output.Name)
	internal := cmd.Flags().Bool("internal", false, "list internal topics too (__consumer_offsets and the like)")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return conn.with(cmd, func(ctx context.Context, cl *client.Cluster) error {
			list, err := topics.List(ctx, cl, *internal)
			if err != nil {
				return err
			}
			return topics.PrintList(cmd.OutOrStdout(), format.Value, list)
		})
	}
	return cmd
}

func newTopicDescribe(conn *connection) *cobra.Command {
	cmd := &cobra.Command{
		Use:               "describe TOPIC...",
		Short:             "Show partitions, leaders, offsets, size on disk and configs of topics",
		Example:           "  streamweir topic describe orders\n  streamweir topic describe orders -o json",
		Args:              args(cobra.MinimumNArgs(1), "TOPIC"),
		ValidArgsFunction: conn.topics(0),
	}
	format := outputFlag(cmd, output.Table, output.JSON)
	all := cmd.Flags().Bool("all-configs", false, "show defaults too, not only the configs that differ from them")
	cmd.RunE = func(cmd *cobra.Command, names []string) error {
		return conn.with(cmd, func(ctx context.Context, cl *client.Cluster) error {
			list, failed, err := topics.Describe(ctx, cl, names, *all)
			if err != nil {
				return err
			}
			if err := topics.PrintDescriptions(cmd.OutOrStdout(), format.Value, list); err != nil {
				return err
			}
			return output.WriteFailures(cmd.ErrOrStderr(), failed, len(names))
		})
	}
	return cmd
}

func newTopicCreate(conn *connection) *cobra.Command {
	var spec topics.Spec
	cmd := &cobra.Command{
		Use:               "create TOPIC...",
		Short:             "Create topics",
		Example:           "  streamweir topic create orders -p 6 -c retention.ms=86400000\n  streamweir topic create state -c cleanup.policy=compact --if-not-exists",
		Args:              args(cobra.MinimumNArgs(1), "TOPIC"),
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	format := outputFlag(cmd, output.Table, output.JSON)
	flags := cmd.Flags()
	flags.Int32VarP(&spec.Partitions, "partitions", "p", topics.Default, "number of partitions; -1: the broker's num.partitions")
	flags.Int16VarP(&spec.ReplicationFactor, "replication-factor", "r", topics.Default, "number of replicas; -1: the broker's default.replication.factor")
	flags.StringArrayVarP(&spec.Configs, "config", "c", nil, "set a config, `KEY=VALUE` (repeatable)")
	flags.BoolVar(&spec.IfNotExists, "if-not-exists", false, "succeed if the topic is there already")
	flags.BoolVar(&spec.DryRun, "dry-run", false, "let the broker check, and create nothing")
	cmd.RunE = func(cmd *cobra.Command, names []string) error {
		if spec.Partitions == 0 || spec.Partitions < topics.Default {
			return misuse(cmd, "--partitions must be above zero, not %d", spec.Partitions)
		}
		if spec.ReplicationFactor == 0 || spec.ReplicationFactor < topics.Default {
			return misuse(cmd, "--replication-factor must be above zero, not %d", spec.ReplicationFactor)
		}
		if err := spec.Check(); err != nil {
			return misuse(cmd, "%w", err)
		}
		return conn.with(cmd, func(ctx context.Context, cl *client.Cluster) error {
			results, err := topics.Create(ctx, cl, names, spec)
			if err != nil {
				return err
			}
			return output.WriteResults(cmd.OutOrStdout(), cmd.ErrOrStderr(), format.Value, "topic", results)
		})
	}
	return cmd
}

func newTopicDelete(conn *connection) *cobra.Command {
	cmd := &cobra.Command{
		Use:               "delete TOPIC...",
		Aliases:           []string{"rm"},
		Short:             "Delete topics and everything in them",
		Example:           "  streamweir topic delete orders --yes",
		Args:              args(cobra.MinimumNArgs(1), "TOPIC"),
		ValidArgsFunction: conn.topics(0),
	}
	format := outputFlag(cmd, output.Table, output.JSON)
	yes := cmd.Flags().BoolP("yes", "y", false, "do not ask")
	ifExists := cmd.Flags().Bool("if-exists", false, "succeed if the topic is not there")
	cmd.RunE = func(cmd *cobra.Command, names []string) error {
		return conn.with(cmd, func(ctx context.Context, cl *client.Cluster) error {
			if !*yes {
				question := fmt.Sprintf("Delete %s and every record there?", output.Quoted(names))
				if err := output.Confirm(cmd.InOrStdin(), cmd.ErrOrStderr(), question); err != nil {
					return err
				}
			}
			results, err := topics.Delete(ctx, cl, names, *ifExists)
			if err != nil {
				return err
			}
			return output.WriteResults(cmd.OutOrStdout(), cmd.ErrOrStderr(), format.Value, "topic", results)
		})
	}
	return cmd
}

// changeFlags declares --set, --unset and --dry-run.
func changeFlags(cmd *cobra.Command, change *topics.Change) {
	flags := cmd.Flags()
	flags.StringArrayVarP(&change.Set, "set", "s", nil, "set a config, `KEY=VALUE` (repeatable)")
	flags.StringArrayVarP(&change.Unset, "unset", "u", nil, "return a config, `KEY`, to its default (repeatable)")
	flags.BoolVar(&change.DryRun, "dry-run", false, "let the broker check, and change nothing")
}

func runChange(conn *connection, cmd *cobra.Command, format output.Format, names []string, change topics.Change) error {
	if err := change.Check(); err != nil {
		return misuse(cmd, "%w", err)
	}
	return conn.with(cmd, func(ctx context.Context, cl *client.Cluster) error {
		results, err := topics.Alter(ctx, cl, names, change)
		if err != nil {
			return err
		}
		return output.WriteResults(cmd.OutOrStdout(), cmd.ErrOrStderr(), format, "topic", results)
	})
}

func newTopicAlter(conn *connection) *cobra.Command {
	var change topics.Change
	cmd := &cobra.Command{
		Use:               "alter TOPIC...",
		Short:             "Change configs or the number of partitions",
		Example:           "  streamweir topic alter orders --set retention.ms=3600000 --unset cleanup.policy\n  streamweir topic alter orders --partitions 12",
		Args:              args(cobra.MinimumNArgs(1), "TOPIC"),
		ValidArgsFunction: conn.topics(0),
	}
	format := outputFlag(cmd, output.Table, output.JSON)
	changeFlags(cmd, &change)
	cmd.Flags().Int32VarP(&change.Partitions, "partitions", "p", 0, "grow to so many partitions; a topic cannot shrink")
	cmd.RunE = func(cmd *cobra.Command, names []string) error {
		if cmd.Flags().Changed("partitions") && change.Partitions < 1 {
			return misuse(cmd, "--partitions must be above zero, not %d", change.Partitions)
		}
		if change.Empty() {
			return misuse(cmd, "nothing is to be altered: give --set, --unset or --partitions")
		}
		return runChange(conn, cmd, format.Value, names, change)
	}
	return cmd
}

func newTopicAddPartitions(conn *connection) *cobra.Command {
	var change topics.Change
	cmd := &cobra.Command{
		Use:               "add-partitions TOPIC...",
		Short:             "Add partitions to topics",
		Long:              "Add partitions to topics. Keys are spread over all partitions, so a key may from then on\ngo to another partition than its older records.",
		Example:           "  streamweir topic add-partitions orders --count 6",
		Args:              args(cobra.MinimumNArgs(1), "TOPIC"),
		ValidArgsFunction: conn.topics(0),
	}
	format := outputFlag(cmd, output.Table, output.JSON)
	cmd.Flags().Int32VarP(&change.Add, "count", "n", 0, "how many to add")
	cmd.Flags().BoolVar(&change.DryRun, "dry-run", false, "let the broker check, and change nothing")
	cmd.RunE = func(cmd *cobra.Command, names []string) error {
		if change.Add < 1 {
			return misuse(cmd, "say how many to add: --count N")
		}
		return runChange(conn, cmd, format.Value, names, change)
	}
	return cmd
}

func newTopicConfig(conn *connection) *cobra.Command {
	var change topics.Change
	cmd := &cobra.Command{
		Use:               "config TOPIC...",
		Short:             "Show all configs of topics, or change some",
		Example:           "  streamweir topic config orders\n  streamweir topic config orders --set max.message.bytes=1048576",
		Args:              args(cobra.MinimumNArgs(1), "TOPIC"),
		ValidArgsFunction: conn.topics(0),
	}
	format := outputFlag(cmd, output.Table, output.JSON)
	changeFlags(cmd, &change)
	cmd.RunE = func(cmd *cobra.Command, names []string) error {
		if !change.Empty() {
			return runChange(conn, cmd, format.Value, names, change)
		}
		return conn.with(cmd, func(ctx context.Context, cl *client.Cluster) error {
			configs, failed, err := topics.Configs(ctx, cl, names, true)
			if err != nil {
				return err
			}
			list := make([]topics.TopicConfigs, 0, len(names))
			for _, name := range names {
				if found, ok := configs[name]; ok {
					list = append(list, topics.TopicConfigs{Topic: name, Configs: found})
				}
			}
			if err := topics.PrintConfigs(cmd.OutOrStdout(), format.Value, list); err != nil {
				return err
			}
			return output.WriteFailures(cmd.ErrOrStderr(), failed, len(names))
		})
	}
	return cmd
}

func newTopicOffsets(conn *connection) *cobra.Command {
	cmd := &cobra.Command{
		Use:               "offsets TOPIC[:PARTITIONS]...",
		Short:             "Show the first and the next offset of each partition",
		Example:           "  streamweir topic offsets orders\n  streamweir topic offsets orders:0,2-3 --at @-1h",
		Args:              args(cobra.MinimumNArgs(1), "TOPIC"),
		ValidArgsFunction: conn.topics(0),
	}
	format := outputFlag(cmd, output.Table, output.JSON)
	at := cmd.Flags().String("at", "", "also show the offset of a `POSITION`: "+position.Usage)
	notEmpty(cmd, "at")
	cmd.RunE = func(cmd *cobra.Command, names []string) error {
		selection, err := parseSelections(cmd, names)
		if err != nil {
			return err
		}
		var pos *position.Position
		if *at != "" {
			p, err := position.Parse(*at, time.Now())
			if err != nil {
				return misuse(cmd, "--at: %w", err)
			}
			pos = &p
		}
		return conn.with(cmd, func(ctx context.Context, cl *client.Cluster) error {
			ranges, failed, err := topics.Offsets(ctx, cl, selection, pos)
			if err != nil {
				return err
			}
			if err := topics.PrintRanges(cmd.OutOrStdout(), format.Value, ranges, *at); err != nil {
				return err
			}
			return output.WriteFailures(cmd.ErrOrStderr(), failed, len(names))
		})
	}
	return cmd
}

func parseSelections(cmd *cobra.Command, list []string) ([]position.Selection, error) {
	selection := make([]position.Selection, 0, len(list))
	for _, text := range list {
		s, err := position.ParseSelection(text)
		if err != nil {
			return nil, misuse(cmd, "%w", err)
		}
		selection = append(selection, s)
	}
	return selection, nil
}

func newTopicTrim(conn *connection) *cobra.Command {
	cmd := &cobra.Command{
		Use:               "trim TOPIC[:PARTITIONS]... --before POSITION",
		Short:             "Delete the records before a position",
		Example:           "  streamweir topic trim orders --before @-7d --dry-run\n  streamweir topic trim orders:0 --before 1500 --yes",
		Args:              args(cobra.MinimumNArgs(1), "TOPIC"),
		ValidArgsFunction: conn.topics(0),
	}
	format := outputFlag(cmd, output.Table, output.JSON)
	before := cmd.Flags().String("before", "", "delete what is before this `POSITION`: "+position.Usage)
	dryRun := cmd.Flags().Bool("dry-run", false, "show what would be deleted, and delete nothing")
	yes := cmd.Flags().BoolP("yes", "y", false, "do not ask")
	cmd.RunE = func(cmd *cobra.Command, names []string) error {
		if *before == "" {
			return misuse(cmd, "say what to delete: --before POSITION")
		}
		pos, err := position.Parse(*before, time.Now())
		if err != nil {
			return misuse(cmd, "--before: %w", err)
		}
		selection, err := parseSelections(cmd, names)
		if err != nil {
			return err
		}
		return conn.with(cmd, func(ctx context.Context, cl *client.Cluster) error {
			return trim(ctx, cmd, cl, format.Value, selection, pos, *dryRun, *yes)
		})
	}
	return cmd
}

func trim(ctx context.Context, cmd *cobra.Command, cl *client.Cluster, format output.Format, selection []position.Selection, pos position.Position, dryRun, yes bool) error {
	plan, err := topics.PlanTrim(ctx, cl, selection, pos)
	if err != nil {
		return err
	}
	if dryRun {
		if err := topics.PrintTrimmed(cmd.OutOrStdout(), format, plan); err != nil {
			return err
		}
		return topics.Refused(plan)
	}
	var total int64
	for _, t := range plan {
		total += t.Deleted
	}
	if !yes && total > 0 {
		if err := topics.PrintTrimmed(cmd.ErrOrStderr(), output.Table, plan); err != nil {
			return err
		}
		if err := output.Confirm(cmd.InOrStdin(), cmd.ErrOrStderr(), "Delete "+output.Plural(total, "record")+"?"); err != nil {
			return err
		}
	}
	trimErr := topics.Trim(ctx, cl, plan)
	if err := topics.PrintTrimmed(cmd.OutOrStdout(), format, plan); err != nil {
		return err
	}
	return trimErr
}
