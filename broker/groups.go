package broker

import (
	"context"
	"fmt"
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

// internalLog is an internal topic as a coordinator sees it: it appends to and
// reads from partitions by number.
type internalLog struct {
	partitions *partition.Manager
	topic      atomic.Pointer[storage.TopicID] // nil while there is no such topic
}

func (l *internalLog) partition(index int32) (*partition.Partition, error) {
	if id := l.topic.Load(); id != nil {
		if p := l.partitions.Get(*id, index); p != nil {
			return p, nil
		}
	}
	return nil, fmt.Errorf("%w: the coordinator has no partition %d", kerr.NotCoordinator, index)
}

// Append implements group.Log.
func (l *internalLog) Append(index int32, batch []byte, done func(base int64, err error)) {
	p, err := l.partition(index)
	if err != nil {
		done(-1, err)
		return
	}
	p.Append(partition.Request{
		Batch: kafka.Batch(batch), Internal: true,
		Done: func(r partition.Result) { done(r.BaseOffset, r.Err) },
	})
}

// Read implements group.Log.
func (l *internalLog) Read(index int32, from int64, fn func(b kafka.Batch) error) (int64, error) {
	p, err := l.partition(index)
	if err != nil {
		return from, err
	}
	return p.EachBatch(from, fn)
}

// openGroups starts the coordinator of groups, on __consumer_offsets as it is,
// or as it will be once the first group is looked for.
func (c *Core) openGroups(cfg *config.Config) error {
	c.offsets.partitions = c.Partitions
	partitions := cfg.OffsetsTopicNumPartitions
	existing := c.Topics.Topic(topic.ConsumerOffsets)
	if existing != nil {
		partitions = existing.Partitions
	}
	groups, err := group.New(group.Options{
		Config: group.FromSettings(cfg, partitions),
		Log:    &c.offsets, Logger: c.log,
	})
	if err != nil {
		return err
	}
	c.Groups = groups
	if existing != nil {
		c.loadGroups(existing)
	}
	return nil
}

func (c *Core) loadGroups(t *topic.Topic) {
	c.offsets.topic.Store(&t.ID)
	all := make([]int32, t.Partitions)
	for i := range all {
		all[i] = int32(i)
	}
	started := time.Now()
	done := c.Groups.Load(all...)
	c.wg.Add(1)
	go func() {
		defer c.wg.Done()
		<-done
		for p, err := range c.Groups.Failed() {
			c.log.Error("the groups of a partition could not be loaded and are not served",
				zap.String("topic", topic.ConsumerOffsets), zap.Int32("partition", p), zap.Error(err))
		}
		c.log.Debug("groups are served", zap.Int32("partitions", t.Partitions), zap.Duration("took", time.Since(started)))
	}()
}

// topicChanged tells the parts of the core what happened to a topic.
func (c *Core) topicChanged(ch topic.Change) {
	switch {
	case ch.New != nil:
		c.Partitions.Open(ch.New)
		if ch.Old == nil && ch.New.Name == topic.ConsumerOffsets {
			c.loadGroups(ch.New)
		}
	case ch.Old != nil && ch.Old.Name == topic.ConsumerOffsets:
		for i := range ch.Old.Partitions {
			c.Groups.Unload(i)
		}
		c.offsets.topic.Store(nil)
	case ch.Old != nil:
		c.Groups.TopicsDeleted(group.DeletedTopic{Name: ch.Old.Name, ID: ch.Old.ID})
	}
}

// groupsDrain is how long answers of the coordinator that are under way may take.
const groupsDrain = 5 * time.Second

func (c *Core) closeGroups() {
	ctx, cancel := context.WithTimeout(context.Background(), groupsDrain)
	defer cancel()
	if err := c.Groups.Shutdown(ctx); err != nil {
		c.log.Error("the coordinator of groups did not end in time", zap.Error(err))
	}
}
