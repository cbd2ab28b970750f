package faults

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/streamweir/streamweir/integration/harness"
)

// Coordinators read back what compaction has left of their topics: committed
// offsets, among them deleted ones, and transactional ids with their epochs.
func TestCoordinatorsReadCompactedTopics(t *testing.T) {
	harness.OnlyStreamweir(t, "it compacts the newest segment only when more is written")
	s := harness.Start(t, append(harness.CompactAtOnce(), harness.Config("storage.sync", "os"),
		harness.Config("offsets.topic.num.partitions", "2"), harness.Config("transaction.state.log.num.partitions", "2"))...)
	topic := harness.Topic(t, s, 2)
	ctx := harness.Context(t, 4*harness.Long)
	c := &coordinated{t: t, s: s, topic: topic, offsets: map[string]int64{}, epochs: map[string]int16{}}
	for round := range harness.Scale(3) {
		for i := range 20 {
			c.commit(ctx, int64(100*round+i))
		}
		if round == 0 {
			c.deleteGroup(ctx, "group-7")
			c.closeSegmentsEarly(ctx)
		}
		c.transact(ctx, 5)
		c.awaitCompaction(ctx)
		if round%2 == 0 {
			s.Kill(t)
		} else {
			s.Stop(t)
		}
		s.StartAgain(t)
		c.check(ctx)
	}
}

// coordinated is what the coordinators must know.
type coordinated struct {
	t       *testing.T
	s       *harness.Server
	topic   string
	offsets map[string]int64 // by group
	deleted string           // a group
	epochs  map[string]int16 // by transactional id
}

const coordinatedGroups, coordinatedIDs = 10, 4

// commit has every group commit an offset, each time another.
func (c *coordinated) commit(ctx context.Context, n int64) {
	c.t.Helper()
	adm := harness.Admin(c.t, c.s)
	for g := range coordinatedGroups {
		group := fmt.Sprintf("group-%d", g)
		if group == c.deleted {
			continue
		}
		var os kadm.Offsets
		os.AddOffset(c.topic, 0, n+int64(g), -1)
		os.AddOffset(c.topic, 1, n, -1)
		if err := adm.CommitAllOffsets(ctx, group, os); err != nil {
			c.t.Fatalf("commit of %s: %v", group, err)
		}
		c.offsets[group] = n
	}
}

func (c *coordinated) deleteGroup(ctx context.Context, group string) {
	c.t.Helper()
	if resp, err := harness.Admin(c.t, c.s).DeleteGroups(ctx, group); err != nil || resp.Error() != nil {
		c.t.Fatal(errors.Join(err, resp.Error()))
	}
	delete(c.offsets, group)
	c.deleted = group
}

// transact has each transactional id commit n transactions.
func (c *coordinated) transact(ctx context.Context, n int) {
	c.t.Helper()
	for i := range coordinatedIDs {
		id := fmt.Sprintf("id-%d", i)
		cl := harness.Client(c.t, c.s, kgo.TransactionalID(id), kgo.DefaultProduceTopic(c.topic))
		for range n {
			if err := cl.BeginTransaction(); err != nil {
				c.t.Fatal(err)
			}
			if err := cl.ProduceSync(ctx, kgo.StringRecord(id)).FirstErr(); err != nil {
				c.t.Fatal(err)
			}
			if err := cl.EndTransaction(ctx, kgo.TryCommit); err != nil {
				c.t.Fatal(err)
			}
		}
		cl.Close()
	}
	maps.Copy(c.epochs, c.described(ctx))
}

// described are the epochs of the transactional ids, all of which are at rest.
func (c *coordinated) described(ctx context.Context) map[string]int16 {
	c.t.Helper()
	epochs := map[string]int16{}
	harness.Eventually(c.t, harness.Long, "all transactions have ended", func() error {
		for i := range coordinatedIDs {
			id := fmt.Sprintf("id-%d", i)
			all, err := harness.Admin(c.t, c.s).DescribeTransactions(ctx, id)
			if err != nil {
				return err
			}
			d, err := all.On(id, nil)
			if err = errors.Join(err, d.Err); err != nil {
				return err
			}
			if d.State != "CompleteCommit" {
				return fmt.Errorf("%s is %s", id, d.State)
			}
			epochs[id] = d.ProducerEpoch
		}
		return nil
	})
	return epochs
}

// internalTopics are those that coordinators read back.
var internalTopics = []string{"__consumer_offsets", "__transaction_state"}

// closeSegmentsEarly has compaction take up the newest records too.
func (c *coordinated) closeSegmentsEarly(ctx context.Context) {
	c.t.Helper()
	harness.Eventually(c.t, harness.Long, "the internal topics take configs", func() error {
		// The topic of transactions comes with the first of them.
		c.transact(ctx, 1)
		resps, err := harness.Admin(c.t, c.s).AlterTopicConfigs(ctx, []kadm.AlterConfig{
			{Name: "segment.ms", Value: kadm.StringPtr("1000")}, {Name: "min.cleanable.dirty.ratio", Value: kadm.StringPtr("0.01")},
		}, internalTopics...)
		for _, r := range resps {
			err = errors.Join(err, r.Err)
		}
		return err
	})
}

// awaitCompaction waits until both topics hold hardly more than one record of
// each key.
func (c *coordinated) awaitCompaction(ctx context.Context) {
	c.t.Helper()
	most := map[string]int{internalTopics[0]: 4 * coordinatedGroups, internalTopics[1]: 4 * coordinatedIDs}
	harness.Eventually(c.t, harness.Long, "the coordinators' topics are compacted", func() error {
		for _, topic := range internalTopics {
			if n := c.records(ctx, topic); n > most[topic] {
				return fmt.Errorf("%s has %d records", topic, n)
			}
		}
		return nil
	})
}

// records counts what a topic holds.
func (c *coordinated) records(ctx context.Context, topic string) int {
	c.t.Helper()
	ends, err := harness.Admin(c.t, c.s).ListEndOffsets(ctx, topic)
	if err != nil {
		c.t.Fatal(err)
	}
	n := 0
	ends.Each(func(o kadm.ListedOffset) {
		if o.Offset > 0 {
			for _, in := range harness.BatchSizes(c.t, c.s, topic, o.Partition) {
				n += in
			}
		}
	})
	return n
}

func (c *coordinated) check(ctx context.Context) {
	c.t.Helper()
	for g := range coordinatedGroups {
		group := fmt.Sprintf("group-%d", g)
		at := offsetsOf(ctx, c.t, c.s, group, c.topic)
		want, ok := c.offsets[group]
		switch {
		case !ok && len(at) > 0:
			c.t.Errorf("the deleted group %s has offsets again: %v", group, at)
		case ok && (at[0] != want+int64(g) || at[1] != want):
			c.t.Errorf("%s is at %v, want %d and %d", group, at, want+int64(g), want)
		}
	}
	for id, epoch := range c.described(ctx) {
		if epoch != c.epochs[id] {
			c.t.Errorf("%s has epoch %d, had %d", id, epoch, c.epochs[id])
		}
	}
}
