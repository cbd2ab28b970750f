package topics

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/streamweir/streamweir/cmd/streamweir/internal/client"
	"github.com/streamweir/streamweir/cmd/streamweir/internal/output"
	"github.com/streamweir/streamweir/cmd/streamweir/internal/position"
)

// Trimmed is what deleting records did, or would do, to a partition.
type Trimmed struct {
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	OldStart  int64  `json:"old_start_offset"`
	NewStart  int64  `json:"new_start_offset"`
	End       int64  `json:"end_offset"`
	Deleted   int64  `json:"deleted"`
	Note      string `json:"note,omitempty"`
	Error     string `json:"error,omitempty"`
}

// PlanTrim says what deleting everything before a position would do. Where the
// broker would refuse, the plan says so.
func PlanTrim(ctx context.Context, c *client.Cluster, selection []position.Selection, before position.Position) ([]Trimmed, error) {
	ranges, failed, err := Offsets(ctx, c, selection, &before)
	if err == nil && len(failed) > 0 {
		err = failed[0]
	}
	if err != nil {
		return nil, err
	}
	refused, err := refusals(ctx, c, ranges)
	if err != nil {
		return nil, err
	}
	plan := make([]Trimmed, 0, len(ranges))
	for _, r := range ranges {
		t := Trimmed{Topic: r.Topic, Partition: r.Partition, OldStart: r.Start, NewStart: r.Start, End: r.End}
		if why := refused[position.Partition{Topic: r.Topic, Partition: r.Partition}]; why != nil {
			t.Error = why.Error()
		} else {
			t.NewStart, t.Note = position.Bounds{Start: r.Start, End: r.End}.Inside(*r.At)
			if before.Kind == position.AtTime && *r.At >= r.End {
				t.Note = position.NoteNoneSoRecent
			}
			t.Deleted = t.NewStart - t.OldStart
		}
		plan = append(plan, t)
	}
	return plan, nil
}

// refusals says of which partitions the broker lets no records be deleted, and
// why. The protocol shows that in part only: of a stream, DescribeConfigs tells
// neither that it is one nor that its records are kept. So the broker is asked to
// delete the records before the first one, of which there are none.
func refusals(ctx context.Context, c *client.Cluster, ranges []Range) (map[position.Partition]error, error) {
	var names []string
	for _, r := range ranges {
		if !slices.Contains(names, r.Topic) {
			names = append(names, r.Topic)
		}
	}
	details, failed, err := metadata(ctx, c, names)
	if err != nil {
		return nil, err
	}
	configs, without, err := Configs(ctx, c, names, true)
	if err != nil {
		return nil, err
	}
	if failed = append(failed, without...); len(failed) > 0 {
		return nil, failed[0]
	}
	out := map[position.Partition]error{}
	var nothing kadm.Offsets
	for _, r := range ranges {
		if why := never(details[r.Topic].IsInternal, configs[r.Topic]); why != nil {
			out[position.Partition{Topic: r.Topic, Partition: r.Partition}] = why
			continue
		}
		nothing.AddOffset(r.Topic, r.Partition, r.Start, -1)
	}
	if len(nothing) == 0 {
		return out, nil
	}
	ctx, cancel := c.Limit(ctx)
	defer cancel()
	responses, err := c.Admin.DeleteRecords(ctx, nothing)
	if err != nil {
		return nil, fmt.Errorf("ask whether records may be deleted: %w", c.Explain(err))
	}
	responses.Each(func(r kadm.DeleteRecordsResponse) {
		if r.Err != nil {
			out[position.Partition{Topic: r.Topic, Partition: r.Partition}] = withRemedy(r.Err, configs[r.Topic])
		}
	})
	return out, nil
}

// never says why no broker lets records of a topic be deleted, or returns nil.
func never(internal bool, configs []Config) error {
	if internal {
		return client.WithDetail(kerr.InvalidTopicException, "the topic is internal: its records cannot be deleted")
	}
	if policy, ok := lookup(configs, "cleanup.policy"); ok && !slices.Contains(strings.Split(policy, ","), "delete") {
		return client.WithDetail(kerr.PolicyViolation, fmt.Sprintf("cleanup.policy is %q, without delete: records cannot be deleted", policy))
	}
	return nil
}

// dataDeletion is the config of our server that lets records of a stream be
// deleted before their retention is over.
const dataDeletion = "kinesis.data.deletion.enable"

// withRemedy words a refusal to delete records, and says what helps: the answer
// to DeleteRecords holds a code and no text.
func withRemedy(err error, configs []Config) error {
	if allowed, ok := lookup(configs, dataDeletion); ok && allowed != "true" && errors.Is(err, kerr.PolicyViolation) {
		return client.WithDetail(err, "the records of a stream are kept until their retention is over; set "+dataDeletion+"=true on the topic to allow it")
	}
	return client.Plain(err)
}

func lookup(configs []Config, name string) (value string, ok bool) {
	for _, cfg := range configs {
		if cfg.Name == name && cfg.Value != nil {
			return *cfg.Value, true
		}
	}
	return "", false
}

// Refused is an error if the plan holds what would be refused.
func Refused(plan []Trimmed) error {
	failed := 0
	for _, t := range plan {
		if t.Error != "" {
			failed++
		}
	}
	if failed > 0 {
		return &output.FailedError{Failed: failed, Total: len(plan)}
	}
	return nil
}

// Trim carries a plan out. Partitions of which nothing would go are left alone.
func Trim(ctx context.Context, c *client.Cluster, plan []Trimmed) error {
	var before kadm.Offsets
	for _, t := range plan {
		if t.Deleted > 0 {
			before.AddOffset(t.Topic, t.Partition, t.NewStart, -1)
		}
	}
	if len(before) == 0 {
		return Refused(plan)
	}
	ctx, cancel := c.Limit(ctx)
	defer cancel()
	responses, err := c.Admin.DeleteRecords(ctx, before)
	if err != nil {
		return fmt.Errorf("delete records: %w", c.Explain(err))
	}
	for i := range plan {
		t := &plan[i]
		r, ok := responses.Lookup(t.Topic, t.Partition)
		switch {
		case t.Deleted == 0:
			continue
		case !ok:
			t.Error = errNoAnswer.Error()
		case r.Err != nil:
			t.Error = client.Plain(r.Err).Error()
		default:
			t.NewStart, t.Deleted = r.LowWatermark, r.LowWatermark-t.OldStart
			continue
		}
		t.NewStart, t.Deleted = t.OldStart, 0
	}
	return Refused(plan)
}
