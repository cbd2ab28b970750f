package records

import (
	"context"
	"errors"
	"time"

	"github.com/streamweir/streamweir/broker/quota"
	"github.com/streamweir/streamweir/broker/shard"
	"github.com/streamweir/streamweir/broker/stream"
	"github.com/streamweir/streamweir/broker/topic"
)

const (
	// MaxGetRecords and MaxGetBytes bound one answer of GetRecords.
	MaxGetRecords = 10_000
	MaxGetBytes   = 10 << 20
	// roomTime is how long a Get waits for memory: several rounds of cutting off those
	// who do not take their answers, and less than the SDKs give a request.
	roomTime = 10 * time.Second
)

// Got is the answer to a Get.
type Got struct {
	*Records
	Shard Shard
	// Next is the iterator to go on with; empty at the end of a closed shard, which
	// then has Children.
	Next     string
	Children []*shard.Shard
}

// Get reads from an iterator on. The caller releases the records.
func (m *Manager) Get(ctx context.Context, it Iterator, limit int) (*Got, error) {
	sh := it.Shard
	q := m.quotas.Stream(sh.Topic.ID, sh.Topic.Name)
	sq, free := q.Shard(sh.Index), unlimited(sh.Topic)
	if !sq.BeginRead(free) {
		q.AddAll(quota.Value{Metric: quota.ReadThroughputExceeded, V: 1}, quota.Value{Metric: quota.GetRecordsSuccess, V: 0})
		return nil, m.tooFast(sh.Index, sh.Topic.Name)
	}
	start := m.clock.Now()
	out := newRecords(m.memory, 1)
	if err := m.readWaiting(ctx, it, limit, out); err != nil {
		q.Add(quota.GetRecordsSuccess, 0)
		out.Release()
		return nil, err
	}
	age := out.Behind
	if n := len(out.List); n > 0 {
		age = m.age(out.List[n-1].Timestamp)
	}
	sq.EndRead(len(out.List), out.Bytes, millis(age), free)
	q.AddAll(
		quota.Value{Metric: quota.GetRecordsBytes, V: float64(out.Bytes)},
		quota.Value{Metric: quota.GetRecordsRecords, V: float64(len(out.List))},
		quota.Value{Metric: quota.GetRecordsIteratorAgeMilliseconds, V: float64(age)},
		quota.Value{Metric: quota.GetRecordsLatency, V: m.since(start)},
		quota.Value{Metric: quota.GetRecordsSuccess, V: 1},
		quota.Value{Metric: quota.ReadThroughputExceeded, V: 0},
	)
	got := &Got{Records: out, Shard: sh}
	// Its last records come with an iterator, whose answer is then the end.
	if got.End && len(out.List) == 0 {
		got.Children = sh.Topic.Stream.Lineage.Children(sh.Index)
		return got, nil
	}
	got.Next = m.next(sh, out.Next)
	return got, nil
}

// readWaiting reads, and waits for memory where there is none for the first record.
func (m *Manager) readWaiting(ctx context.Context, it Iterator, limit int, out *Records) error {
	var late <-chan struct{}
	for {
		err := m.read(it.Shard, it.Offset, limit, MaxGetBytes, out)
		var full *noRoom
		if !errors.As(err, &full) {
			return err
		}
		if late == nil {
			timer, stop := context.WithCancel(context.Background())
			defer stop()
			defer m.clock.AfterFunc(roomTime, stop)()
			late = timer.Done()
		}
		if out.arena.await(full.need, m.Outgoing.Haste.Patience, m.memory.makeRoom, ctx.Done(), late) {
			continue
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		return stream.Errorf(stream.ThroughputExceeded, "Rate exceeded for shard %s in stream %s under account %s: the memory for answers is in use.",
			it.Shard.ID(), it.Shard.Topic.Name, m.streams.Account())
	}
}

// OtherStream is the refusal of an iterator that is of another stream than the
// client says.
func (m *Manager) OtherStream(t *topic.Topic) error {
	return stream.Errorf(stream.InvalidArgument, "The ShardIterator is not of stream %s under account %s.", t.Name, m.streams.Account())
}
