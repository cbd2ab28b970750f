package partition

import (
	"errors"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/streamweir/streamweir/broker/shard"
	"github.com/streamweir/streamweir/broker/topic"
)

// close closes the shard of the partition, as a reshard does once it is sealed.
func (b *bench) close(end int64) {
	b.t.Helper()
	l, err := b.topic.Stream.Lineage.Reshard([]shard.Step{{Shard: 0, Merge: shard.None, At: shard.HashKey{Hi: 1}}}, 1, func(int32) int64 { return end })
	if err != nil {
		b.t.Fatal(err)
	}
	closed, s := *b.topic, *b.topic.Stream
	s.Lineage, s.Own = l, true
	closed.Stream, closed.Partitions = &s, l.Len()
	b.topic = &closed
	b.m.Open(b.topic)
}

func (b *bench) wantSealed(err error, closed bool) {
	b.t.Helper()
	var sealed *SealedError
	code := kerr.NotLeaderForPartition // which clients try again
	if closed {
		code = kerr.PolicyViolation
	}
	if !errors.As(err, &sealed) || sealed.Closed != closed || !errors.Is(err, code) {
		b.t.Fatalf("%v, want that of a shard that is closed: %t", err, closed)
	}
}

func TestASealWaitsForWhatIsUnderWay(t *testing.T) {
	b := newBench(t)
	b.must(batchOf{values: []string{"a"}})
	b.store.Hold()
	first := b.start(batchOf{values: []string{"b", "c"}})
	b.store.WaitQueued(1)
	ends := make(chan int64, 1)
	go func() { ends <- b.p.Seal() }()
	// It refuses before it waits.
	for !b.p.Sealed() {
		select {
		case end := <-ends:
			t.Fatalf("the seal ends at %d, before what is under way", end)
		case <-time.After(time.Millisecond):
		}
	}
	b.wantSealed(b.append(batchOf{values: []string{"d"}}).Err, false)
	b.store.Release()
	if end := <-ends; end != 3 {
		t.Errorf("the shard ends at %d, want 3", end)
	}
	if r := <-first; r.Err != nil || r.BaseOffset != 1 {
		t.Errorf("%+v", r)
	}
	b.p.Unseal()
	if at := b.must(batchOf{values: []string{"e"}}); at != 3 {
		t.Errorf("at %d", at)
	}
}

func TestASealEndsBeforeWhatFails(t *testing.T) {
	b := newBench(t)
	b.must(batchOf{values: []string{"a"}})
	b.store.Hold()
	b.store.FailNext(errors.New("no"))
	lost := b.start(batchOf{values: []string{"b"}})
	b.store.WaitQueued(1)
	ends := make(chan int64, 1)
	go func() { ends <- b.p.Seal() }()
	b.store.Release()
	if end := <-ends; end != 1 {
		t.Errorf("the shard ends at %d, want 1", end)
	}
	if r := <-lost; r.Err == nil {
		t.Error("the append has not failed")
	}
}

// The markers of transactions go into closed shards, so that their records can be
// read, and a producer that repeats itself gets the answer that it has missed.
func TestWhatGoesIntoAClosedShard(t *testing.T) {
	b := newBench(t)
	b.in(7, 0, 0, "x")
	b.must(batchOf{producer: from(8, 0, 0), values: []string{"y"}})
	b.close(b.p.Seal())
	b.wantStable(0)
	b.wantSealed(b.append(batchOf{producer: from(7, 0, 1), values: []string{"z"}, txn: true}).Err, true)
	b.wantSealed(b.append(batchOf{producer: from(8, 0, 1), values: []string{"z"}}).Err, true)
	b.wantSealed(b.append(batchOf{producer: from(9, 0, 5), values: []string{"z"}}).Err, true)
	if at := b.must(batchOf{producer: from(8, 0, 0), values: []string{"y"}}); at != 1 {
		t.Errorf("the repeated batch is at %d", at)
	}
	b.end(7, 0, true)
	b.wantStable(3)
	b.want(b.committed(0, 1<<20), "0:x", "1:y")
	// And a restart finds the shard closed.
	b.restart()
	b.wantSealed(b.append(batchOf{values: []string{"z"}}).Err, true)
	b.want(b.committed(0, 1<<20), "0:x", "1:y")
}

func TestACrashForgetsASeal(t *testing.T) {
	b := newBench(t)
	b.p.Seal()
	b.crash()
	b.must(batchOf{values: []string{"a"}})
}

func TestARefusalNamesAFewOpenPartitions(t *testing.T) {
	b := newBench(t)
	l := shard.Implicit(30, 1)
	l, err := l.Reshard([]shard.Step{{Shard: 0, Merge: 1}}, 2, func(int32) int64 { return 0 })
	if err != nil {
		t.Fatal(err)
	}
	many := *b.topic
	many.Stream, many.Partitions = &topic.Stream{Lineage: l, Own: true}, l.Len()
	b.m.Open(&many)
	const want = "partition t-0 belongs to a shard that a reshard of the stream has closed: it can be read, but takes no records any more; " +
		"open are the partitions 30, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20 and 9 more"
	if err := b.append(batchOf{values: []string{"a"}}).Err; err == nil || err.Error() != want {
		t.Errorf("%v", err)
	}
}
