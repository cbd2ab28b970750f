// Package topics lists, describes, creates and changes topics.
package topics

import (
	"context"
	"encoding/base64"
	"fmt"
	"slices"
	"sort"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/streamweir/streamweir/cmd/streamweir/internal/client"
	"github.com/streamweir/streamweir/cmd/streamweir/internal/position"
)

// Summary is one line of a list of topics.
type Summary struct {
	Name              string `json:"name"`
	ID                string `json:"id"`
	Partitions        int    `json:"partitions"`
	ReplicationFactor int    `json:"replication_factor"`
	Internal          bool   `json:"internal"`
}

// Description is everything that a broker tells about a topic.
type Description struct {
	Summary
	// Size is that of all replicas on disk in bytes; nil if the broker does
	// not say.
	Size *int64 `json:"size_bytes"`
	// Records is the number of offsets between start and end. A compacted
	// or transactional topic holds fewer records.
	Records int64 `json:"records"`
	// Configs are those that differ from the built-in defaults, or all of
	// them if they were asked for.
	Configs []Config        `json:"configs"`
	Details []PartitionInfo `json:"partition_details"`
}

// PartitionInfo describes one partition.
type PartitionInfo struct {
	Partition   int32   `json:"partition"`
	Leader      int32   `json:"leader"` // -1: none
	LeaderEpoch int32   `json:"leader_epoch"`
	Replicas    []int32 `json:"replicas"`
	ISR         []int32 `json:"isr"`
	Start       *int64  `json:"start_offset"` // nil while there is no leader
	End         *int64  `json:"end_offset"`
	Size        *int64  `json:"size_bytes"`
	Error       string  `json:"error,omitempty"`
}

// Config is one setting of a topic.
type Config struct {
	Name      string  `json:"name"`
	Value     *string `json:"value"` // nil: none, or it is sensitive
	Source    string  `json:"source"`
	Sensitive bool    `json:"sensitive,omitempty"`
}

// List returns the topics in order of their names.
func List(ctx context.Context, c *client.Cluster, internal bool) ([]Summary, error) {
	ctx, cancel := c.Limit(ctx)
	defer cancel()
	list := c.Admin.ListTopics
	if internal {
		list = c.Admin.ListTopicsWithInternal
	}
	details, err := list(ctx)
	if err != nil {
		return nil, fmt.Errorf("list topics: %w", c.Explain(err))
	}
	out := make([]Summary, 0, len(details))
	for _, d := range details.Sorted() {
		if d.Err == nil {
			out = append(out, summarize(d))
		}
	}
	return out, nil
}

func summarize(d kadm.TopicDetail) Summary {
	return Summary{
		Name:              d.Topic,
		ID:                base64.RawURLEncoding.EncodeToString(d.ID[:]),
		Partitions:        len(d.Partitions),
		ReplicationFactor: d.Partitions.NumReplicas(),
		Internal:          d.IsInternal,
	}
}

// Describe returns the topics in the order asked for, and of those that cannot be
// described why not.
func Describe(ctx context.Context, c *client.Cluster, names []string, allConfigs bool) (list []Description, failed []error, err error) {
	list = []Description{}
	details, failed, err := metadata(ctx, c, names)
	if err != nil || len(details) == 0 {
		return list, failed, err
	}
	configs, refused, err := Configs(ctx, c, details.Names(), allConfigs)
	if err != nil {
		return nil, nil, err
	}
	sizes := diskSizes(ctx, c, details)
	for _, name := range names {
		d, ok := details[name]
		if _, described := configs[name]; ok && described {
			list = append(list, describe(ctx, c, d, configs[name], sizes))
		}
	}
	return list, append(failed, refused...), nil
}

// metadata loads topics, and says of those that cannot be described why not.
func metadata(ctx context.Context, c *client.Cluster, names []string) (known kadm.TopicDetails, failed []error, err error) {
	ctx, cancel := c.Limit(ctx)
	defer cancel()
	details, err := c.Admin.ListTopicsWithInternal(ctx, names...)
	if err != nil {
		return nil, nil, fmt.Errorf("describe topics: %w", c.Explain(err))
	}
	known = kadm.TopicDetails{}
	asked := map[string]bool{}
	for _, name := range names {
		if asked[name] {
			continue
		}
		asked[name] = true
		switch d, ok := details[name]; {
		case !ok:
			failed = append(failed, fmt.Errorf("topic %q: the broker did not describe it", name))
		case d.Err != nil:
			failed = append(failed, fmt.Errorf("topic %q: %w", name, client.Plain(d.Err)))
		default:
			known[name] = d
		}
	}
	return known, failed, nil
}

func describe(ctx context.Context, c *client.Cluster, d kadm.TopicDetail, configs []Config, sizes map[position.Partition]diskSize) Description {
	out := Description{Summary: summarize(d), Configs: configs, Details: []PartitionInfo{}}
	var led []position.Partition
	for _, p := range d.Partitions.Sorted() {
		if p.Leader >= 0 {
			led = append(led, position.Partition{Topic: d.Topic, Partition: p.Partition})
		}
	}
	bounds, boundsErr := position.Finder{Cluster: c}.Bounds(ctx, led)
	for _, p := range d.Partitions.Sorted() {
		at := position.Partition{Topic: d.Topic, Partition: p.Partition}
		info := PartitionInfo{
			Partition: p.Partition, Leader: p.Leader, LeaderEpoch: p.LeaderEpoch,
			Replicas: nonNil(p.Replicas), ISR: nonNil(p.ISR),
		}
		if b, ok := bounds[at]; ok {
			info.Start, info.End = &b.Start, &b.End
			out.Records += b.End - b.Start
		}
		switch {
		case p.Err != nil:
			info.Error = client.Plain(p.Err).Error()
		case boundsErr != nil:
			info.Error = boundsErr.Error()
		}
		if size, ok := sizes[at]; ok {
			leaders := size.leader
			info.Size = &leaders
			out.Size = add(out.Size, size.all)
		}
		out.Details = append(out.Details, info)
	}
	return out
}

func nonNil(ids []int32) []int32 {
	if ids == nil {
		return []int32{}
	}
	return slices.Sorted(slices.Values(ids))
}

func add(sum *int64, n int64) *int64 {
	if sum != nil {
		n += *sum
	}
	return &n
}

// diskSize is what a partition takes on disk: with its leader, and in all replicas.
type diskSize struct{ leader, all int64 }

// diskSizes asks the brokers for log sizes. They may refuse (the request needs
// a right on the cluster); a description without sizes is still useful.
func diskSizes(ctx context.Context, c *client.Cluster, details kadm.TopicDetails) map[position.Partition]diskSize {
	ctx, cancel := c.Limit(ctx)
	defer cancel()
	set := details.TopicsSet()
	all, err := c.Admin.DescribeAllLogDirs(ctx, set)
	if err != nil && len(all) == 0 {
		return nil
	}
	sizes := make(map[position.Partition]diskSize)
	all.Each(func(dir kadm.DescribedLogDir) {
		if dir.Err != nil {
			return
		}
		dir.Topics.Each(func(p kadm.DescribedLogDirPartition) {
			if p.IsFuture {
				return
			}
			at := position.Partition{Topic: p.Topic, Partition: p.Partition}
			size := sizes[at]
			size.all += p.Size
			if details[p.Topic].Partitions[p.Partition].Leader == p.Broker {
				size.leader = p.Size
			}
			sizes[at] = size
		})
	})
	return sizes
}

// Configs returns the settings of topics, by name: those that differ from the
// built-in defaults, or all. Of topics whose settings cannot be had it says why not.
func Configs(ctx context.Context, c *client.Cluster, names []string, all bool) (byTopic map[string][]Config, failed []error, err error) {
	ctx, cancel := c.Limit(ctx)
	defer cancel()
	resources, err := c.Admin.DescribeTopicConfigs(ctx, names...)
	if err != nil {
		return nil, nil, fmt.Errorf("describe configs: %w", c.Explain(err))
	}
	byTopic = make(map[string][]Config, len(names))
	for _, r := range resources {
		if r.Err != nil {
			failed = append(failed, fmt.Errorf("configs of topic %q: %w", r.Name, client.WithDetail(r.Err, r.ErrMessage)))
			continue
		}
		configs := []Config{}
		for _, cfg := range r.Configs {
			if all || cfg.Source != kmsg.ConfigSourceDefaultConfig {
				configs = append(configs, Config{Name: cfg.Key, Value: cfg.Value, Source: sourceName(cfg.Source), Sensitive: cfg.Sensitive})
			}
		}
		sort.Slice(configs, func(i, j int) bool { return configs[i].Name < configs[j].Name })
		byTopic[r.Name] = configs
	}
	return byTopic, failed, nil
}

// sourceName says where a value was set.
func sourceName(s kmsg.ConfigSource) string {
	switch s {
	case kmsg.ConfigSourceDynamicTopicConfig:
		return "topic"
	case kmsg.ConfigSourceDynamicBrokerConfig:
		return "broker"
	case kmsg.ConfigSourceDynamicDefaultBrokerConfig:
		return "cluster"
	case kmsg.ConfigSourceStaticBrokerConfig:
		return "config file"
	case kmsg.ConfigSourceDefaultConfig:
		return "default"
	}
	return "unknown"
}
