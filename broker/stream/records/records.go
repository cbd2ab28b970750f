// Package records is the data plane of streams: it puts records into shards,
// reads them out of shards, and pushes them to the consumers that have
// subscribed to one, by the terms of Kinesis, over the partitions of topics.
package records

import (
	"context"
	"fmt"
	"runtime"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/streamweir/streamweir/broker/coordinator"
	"github.com/streamweir/streamweir/broker/memory"
	"github.com/streamweir/streamweir/broker/partition"
	"github.com/streamweir/streamweir/broker/quota"
	"github.com/streamweir/streamweir/broker/shard"
	"github.com/streamweir/streamweir/broker/stream"
	"github.com/streamweir/streamweir/broker/topic"
	"github.com/streamweir/streamweir/storage"
)

// Streams are what the data plane asks of the manager of streams.
type Streams interface {
	// Stream finds a stream by its name.
	Stream(name string) (*topic.Topic, error)
	// AwaitShards waits until no shard of t is being closed.
	AwaitShards(ctx context.Context, t *topic.Topic) error
	// Horizon is the time, in ms, from before which records are not kept.
	Horizon(t *topic.Topic) int64
	// Account is the id of the account.
	Account() string
}

// Options are what a Manager works with.
type Options struct {
	Streams    Streams
	Topics     *topic.Catalogue
	Partitions *partition.Manager
	Quotas     *quota.Manager
	Meta       storage.Meta
	Clock      coordinator.Clock
	Log        *zap.Logger
	// ReadBytes is the memory that all answers and events under way may take
	// together; above half of it, each has one record.
	ReadBytes int64
}

// Manager is the data plane of all streams.
type Manager struct {
	// Outgoing are the answers and events on their way to clients. Where reads find no
	// memory, those are cut off that are not taken.
	Outgoing *memory.Outgoing

	streams    Streams
	topics     *topic.Catalogue
	partitions *partition.Manager
	quotas     *quota.Manager
	clock      coordinator.Clock
	log        *zap.Logger
	memory     *budget
	iterators  *sealer
	sessions   sessions
	turn       atomic.Uint64 // of the open shards of streams that distribute records
	// decompressing has a token for each batch that is open, of those compressed.
	decompressing chan struct{}
}

// New makes a manager. It keeps the key of shard iterators in the metadata, so
// that iterators outlive a restart.
func New(o Options) (*Manager, error) {
	key, err := iteratorKey(o.Meta)
	if err != nil {
		return nil, err
	}
	iterators, err := newSealer(key)
	if err != nil {
		return nil, err
	}
	outgoing := memory.NewOutgoing()
	m := &Manager{
		streams: o.Streams, topics: o.Topics, partitions: o.Partitions, quotas: o.Quotas,
		Outgoing: outgoing, memory: newBudget(o.ReadBytes, outgoing),
		clock: o.Clock, log: o.Log, iterators: iterators,
		decompressing: make(chan struct{}, 2*runtime.GOMAXPROCS(0)),
	}
	m.sessions.init()
	// Subscriptions look in the catalogue for what has changed.
	o.Topics.WatchSeen(m.changed)
	return m, nil
}

// changed keeps what hangs on a topic in step with it.
func (m *Manager) changed(ch topic.Change) {
	switch {
	case ch.Old == nil || ch.Old.Stream == nil:
		return
	case ch.New == nil:
		m.quotas.Drop(ch.Old.ID)
		m.sessions.forget(ch.Old.ID, "")
	case ch.New.Stream != nil:
		for i := range ch.Old.Stream.Consumers {
			if c := &ch.Old.Stream.Consumers[i]; !registered(ch.New, c) {
				m.quotas.Stream(ch.Old.ID, ch.Old.Name).DropConsumer(c.Name)
				m.sessions.forget(ch.Old.ID, c.Name)
			}
		}
	}
	m.sessions.nudge(ch.Old.ID)
}

// registered says whether t still has this registration of a consumer.
func registered(t *topic.Topic, c *topic.Consumer) bool {
	now := t.Stream.Consumer(c.Name)
	return now != nil && now.CreatedAt == c.CreatedAt
}

// Shard is a shard of a stream and what belongs to it.
type Shard struct {
	*shard.Shard
	Topic     *topic.Topic
	partition *partition.Partition
}

// Shard finds a shard by its id, which may be given as AWS takes it.
func (m *Manager) Shard(t *topic.Topic, id string) (Shard, error) {
	index, ok := shard.ParseID(id)
	if !ok {
		return Shard{}, stream.Errorf(stream.ResourceNotFound, "Could not find shard %s in stream %s under account %s.", id, t.Name, m.streams.Account())
	}
	return m.shard(t, index)
}

func (m *Manager) shard(t *topic.Topic, index int32) (Shard, error) {
	sh := t.Stream.Lineage.Shard(index)
	p := m.partitions.Get(t.ID, index)
	if sh == nil || p == nil || t.Stream.Status == topic.Creating || !sh.Visible(m.streams.Horizon(t)) {
		return Shard{}, m.noShard(index, t.Name)
	}
	return Shard{sh, t, p}, nil
}

func (m *Manager) noShard(index int32, name string) error {
	return stream.Errorf(stream.ResourceNotFound, "Shard %s in stream %s under account %s does not exist", shard.FormatID(index), name, m.streams.Account())
}

// unlimited says whether a stream provisions no throughput that could be
// exceeded.
func unlimited(t *topic.Topic) bool { return t.Stream.Mode == topic.OnDemand }

// tooFast is the refusal of more than a shard provisions.
func (m *Manager) tooFast(index int32, name string) *stream.Error {
	return stream.Errorf(stream.ThroughputExceeded, "Rate exceeded for shard %s in stream %s under account %s.", shard.FormatID(index), name, m.streams.Account())
}

// DryRun is the answer to a request that would have been granted, but shall only
// be checked.
func (m *Manager) DryRun(t *topic.Topic) error {
	if !m.quotas.Stream(t.ID, t.Name).DryRun() {
		return stream.Errorf("ThrottlingException", "Rate exceeded for dry runs on stream %s under account %s.", t.Name, m.streams.Account())
	}
	return stream.Errorf(stream.DryRunOperation, "The request would have succeeded, but the DryRun parameter is set.")
}

// internal is an error that is ours; where says what was being done.
func internal(sh Shard, doing string, err error) error {
	return fmt.Errorf("%s %s of stream %s: %w", doing, sh.ID(), sh.Topic.Name, err)
}

// age is how long ago a record's timestamp is, in ms: 0 for one that is in the
// future, or that there is not.
func (m *Manager) age(timestamp int64) int64 {
	if timestamp < 0 {
		return 0
	}
	return max(0, m.clock.Now().UnixMilli()-timestamp)
}

func millis(ms int64) time.Duration { return time.Duration(ms) * time.Millisecond }

// MemoryWanted is how many bytes answers and events wait for.
func (m *Manager) MemoryWanted() int64 { return m.memory.Wanted() }

// Memory is how many bytes the answers and events under way hold.
func (m *Manager) Memory() int64 { return m.memory.Used() }
