package broker

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"go.uber.org/zap"

	"github.com/streamweir/streamweir/broker/config"
	"github.com/streamweir/streamweir/broker/group"
	"github.com/streamweir/streamweir/broker/partition"
	"github.com/streamweir/streamweir/broker/topic"
	"github.com/streamweir/streamweir/protocol/kafka"
	"github.com/streamweir/streamweir/storage"
)

// openGroups starts the group coordinator on __consumer_offsets, and loads it
// in the background. Where the topic is not there yet, the coordinator begins
// with the topic.
func openGroups(topics *topic.Catalogue, partitions *partition.Manager, cfg *config.Config, log *zap.Logger) (*group.Coordinator, error) {
	l := &groupLog{partitions: partitions}
	n := cfg.OffsetsTopicNumPartitions
	t := topics.Topic(topic.ConsumerOffsets)
	if t != nil {
		n = t.Partitions
	}
	c, err := group.New(group.Options{Config: group.FromSettings(cfg, n), Log: l, Logger: log, Exists: exists(topics)})
	if err != nil {
		return nil, err
	}
	load := func(t *topic.Topic) {
		l.topic.Store(t)
		all := make([]int32, min(n, t.Partitions))
		for i := range all {
			all[i] = int32(i)
		}
		c.Load(all...)
	}
	topics.Watch(func(ch topic.Change) {
		switch {
		case ch.New == nil && ch.Old == nil: // of the broker's configs
		case ch.New != nil && ch.Old == nil && ch.New.Name == topic.ConsumerOffsets:
			load(ch.New)
		case ch.New == nil && ch.Old.Name == topic.ConsumerOffsets:
			for p := range n {
				c.Unload(p)
			}
		case ch.New == nil:
			c.TopicsDeleted(group.DeletedTopic{Name: ch.Old.Name, ID: ch.Old.ID})
		}
	})
	if t != nil {
		load(t)
	}
	return c, nil
}

// exists says whether a topic is in the catalogue.
func exists(topics *topic.Catalogue) func(string, [16]byte) bool {
	return func(name string, id [16]byte) bool {
		t := topics.Topic(name)
		return t != nil && (id == [16]byte{} || storage.TopicID(id) == t.ID)
	}
}

// closeGroups lets what is under way end.
func closeGroups(c *group.Coordinator) error {
	ctx, cancel := context.WithTimeout(context.Background(), groupsClosing)
	defer cancel()
	return c.Shutdown(ctx)
}

// groupsClosing bounds the wait for commits that are on their way to the log.
const groupsClosing = 10 * time.Second

// groupsHealth is nil, or names the groups that cannot be read. The error of the
// first partition stands for the others: they are all in the server's log.
func groupsHealth(c *group.Coordinator) error {
	failed := c.Failed()
	if len(failed) == 0 {
		return nil
	}
	p := slices.Min(slices.Collect(maps.Keys(failed)))
	return fmt.Errorf("the groups in %d of the partitions of %s have no coordinator; the first is %d: %w",
		len(failed), topic.ConsumerOffsets, p, failed[p])
}

// groupLog is __consumer_offsets for the group coordinator.
type groupLog struct {
	partitions *partition.Manager
	topic      atomic.Pointer[topic.Topic]
}

func (l *groupLog) get(index int32) *partition.Partition {
	t := l.topic.Load()
	if t == nil {
		return nil
	}
	return l.partitions.Get(t.ID, index)
}

// Append adds one batch of the coordinator's.
func (l *groupLog) Append(index int32, batch []byte, guard uint64, done func(base int64, err error)) {
	p := l.get(index)
	if p == nil {
		done(-1, fmt.Errorf("%w: %s-%d", kerr.NotLeaderForPartition, topic.ConsumerOffsets, index))
		return
	}
	p.Append(partition.Request{
		Batch: batch, Internal: true, Verified: guard != 0, Guard: guard,
		Done: func(r partition.Result) { done(r.BaseOffset, r.Err) },
	})
}

// Read goes over the batches of a partition.
func (l *groupLog) Read(index int32, from int64, fn func(kafka.Batch) error) (int64, error) {
	p := l.get(index)
	if p == nil {
		return from, fmt.Errorf("%w: %s-%d", kerr.NotLeaderForPartition, topic.ConsumerOffsets, index)
	}
	return p.EachBatch(from, fn)
}
