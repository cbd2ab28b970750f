package topics

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/streamweir/streamweir/cmd/streamweir/internal/client"
	"github.com/streamweir/streamweir/cmd/streamweir/internal/output"
	"github.com/streamweir/streamweir/cmd/streamweir/internal/position"
)

// Default asks the broker for its own number of partitions or replicas.
const Default = -1

// Spec says what a new topic is like.
type Spec struct {
	Partitions        int32 // Default: num.partitions of the broker
	ReplicationFactor int16 // Default: default.replication.factor
	Configs           []string
	IfNotExists       bool
	DryRun            bool // let the broker check, and create nothing
}

// Check says what is wrong with a Spec before any broker is asked.
func (s Spec) Check() error {
	_, err := parseSettings(s.Configs)
	return err
}

// Create makes topics that are all alike.
func Create(ctx context.Context, c *client.Cluster, names []string, spec Spec) ([]output.Result, error) {
	configs, err := parseSettings(spec.Configs)
	if err != nil {
		return nil, err
	}
	ctx, cancel := c.Limit(ctx)
	defer cancel()
	create, done := c.Admin.CreateTopics, "created"
	if spec.DryRun {
		create, done = c.Admin.ValidateCreateTopics, "would create"
	}
	responses, err := create(ctx, spec.Partitions, spec.ReplicationFactor, configs, names...)
	if err != nil {
		return nil, fmt.Errorf("create topics: %w", c.Explain(err))
	}
	return collect(names, func(name string) output.Result {
		r, ok := responses[name]
		switch {
		case !ok:
			return output.Result{Err: errNoAnswer}
		case spec.IfNotExists && errors.Is(r.Err, kerr.TopicAlreadyExists):
			return output.Result{Done: "exists"}
		case r.Err != nil:
			return output.Result{Err: client.WithDetail(r.Err, r.ErrMessage)}
		}
		return withPartitions(output.Result{Done: done}, r.NumPartitions)
	}), nil
}

// withPartitions says how many partitions a topic has; 0 is not known.
func withPartitions(r output.Result, n int32) output.Result {
	if n > 0 {
		r.Partitions, r.Detail = n, output.Plural(int64(n), "partition")
	}
	return r
}

var errNoAnswer = errors.New("the broker did not answer for it")

func collect(names []string, one func(string) output.Result) []output.Result {
	results := make([]output.Result, 0, len(names))
	for _, name := range names {
		r := one(name)
		r.Name = name
		results = append(results, r)
	}
	return results
}

// parseSettings reads KEY=VALUE pairs.
func parseSettings(pairs []string) (map[string]*string, error) {
	settings := make(map[string]*string, len(pairs))
	for _, pair := range pairs {
		key, value, ok := strings.Cut(pair, "=")
		if !ok || key == "" {
			return nil, fmt.Errorf("config %q is not of the form KEY=VALUE", pair)
		}
		if _, twice := settings[key]; twice {
			return nil, fmt.Errorf("config %q is given twice", key)
		}
		settings[key] = &value
	}
	return settings, nil
}

// Delete removes topics and all their records.
func Delete(ctx context.Context, c *client.Cluster, names []string, ifExists bool) ([]output.Result, error) {
	ctx, cancel := c.Limit(ctx)
	defer cancel()
	responses, err := c.Admin.DeleteTopics(ctx, names...)
	if err != nil {
		return nil, fmt.Errorf("delete topics: %w", c.Explain(err))
	}
	return collect(names, func(name string) output.Result {
		r, ok := responses[name]
		switch {
		case !ok:
			return output.Result{Err: errNoAnswer}
		case ifExists && errors.Is(r.Err, kerr.UnknownTopicOrPartition):
			return output.Result{Done: "absent"}
		case r.Err != nil:
			return output.Result{Err: client.WithDetail(r.Err, r.ErrMessage)}
		}
		return output.Result{Done: "deleted"}
	}), nil
}

// Range is what a partition holds, and, if a time was asked for, where that
// time is.
type Range struct {
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	Start     int64  `json:"start_offset"`
	End       int64  `json:"end_offset"`
	Records   int64  `json:"records"`
	At        *int64 `json:"at_offset,omitempty"` // where the position is
}

// Offsets returns the ranges of the selected partitions, and of those that are not
// there says so. If at is given, each range says where that position is.
func Offsets(ctx context.Context, c *client.Cluster, selection []position.Selection, at *position.Position) (ranges []Range, failed []error, err error) {
	ps, failed, err := resolve(ctx, c, selection)
	if err != nil {
		return nil, nil, err
	}
	finder := position.Finder{Cluster: c}
	bounds, err := finder.Bounds(ctx, ps)
	if err != nil {
		return nil, nil, err
	}
	var found map[position.Partition]int64
	if at != nil {
		if found, err = finder.Offsets(ctx, *at, bounds); err != nil {
			return nil, nil, err
		}
	}
	ranges = make([]Range, 0, len(ps))
	for _, p := range ps {
		b := bounds[p]
		r := Range{Topic: p.Topic, Partition: p.Partition, Start: b.Start, End: b.End, Records: b.End - b.Start}
		if n, ok := found[p]; ok {
			r.At = &n
		}
		ranges = append(ranges, r)
	}
	return ranges, failed, nil
}

// Select resolves topics and partitions against the cluster, in order. It fails
// if one is not there.
func Select(ctx context.Context, c *client.Cluster, selection []position.Selection) ([]position.Partition, error) {
	ps, failed, err := resolve(ctx, c, selection)
	if err == nil && len(failed) > 0 {
		err = failed[0]
	}
	return ps, err
}

func resolve(ctx context.Context, c *client.Cluster, selection []position.Selection) (ps []position.Partition, failed []error, err error) {
	names := make([]string, 0, len(selection))
	for _, s := range selection {
		names = append(names, s.Topic)
	}
	details, failed, err := metadata(ctx, c, names)
	if err != nil {
		return nil, nil, err
	}
	seen := make(map[position.Partition]bool)
	for _, s := range selection {
		d, ok := details[s.Topic]
		if !ok {
			continue
		}
		have := d.Partitions.Numbers()
		want := s.Partitions
		if want == nil {
			want = have
		}
		for _, n := range want {
			p := position.Partition{Topic: s.Topic, Partition: n}
			switch {
			case seen[p]:
				continue
			case !slices.Contains(have, n):
				failed = append(failed, fmt.Errorf("topic %q has no partition %d: it has %s", s.Topic, n, output.Plural(int64(len(have)), "partition")))
			default:
				ps = append(ps, p)
			}
			seen[p] = true
		}
	}
	position.Sort(ps)
	return ps, failed, nil
}
