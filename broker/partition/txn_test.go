package partition

import (
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/streamweir/streamweir/protocol/kafka"
	"github.com/streamweir/streamweir/storage"
)

// in appends one record in a transaction of which the coordinator knows.
func (b *bench) in(id int64, epoch int16, seq int32, value string) int64 {
	b.t.Helper()
	return b.must(batchOf{producer: from(id, epoch, seq), values: []string{value}, txn: true})
}

func (b *bench) mark(m Marker) error {
	done := make(chan error, 1)
	m.Done = func(err error) { done <- err }
	b.p.WriteMarker(m)
	return <-done
}

// end ends a transaction in the way of transaction version 1.
func (b *bench) end(id int64, epoch int16, commit bool) {
	b.t.Helper()
	if err := b.mark(Marker{ProducerID: id, ProducerEpoch: epoch, Commit: commit}); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) stable() int64 {
	b.t.Helper()
	o, err := b.p.StableOffsets()
	if err != nil {
		b.t.Fatal(err)
	}
	return o.LastStable
}

func (b *bench) wantStable(want int64) {
	b.t.Helper()
	if got := b.stable(); got != want {
		b.t.Fatalf("the last stable offset is %d, want %d", got, want)
	}
}

// committed reads what a read-committed consumer sees from offset on: it skips
// what the aborted list says, as clients do.
func (b *bench) committed(offset int64, max int) (out []string) {
	b.t.Helper()
	for {
		plan, err := b.p.PlanCommitted(offset, -1, max, true)
		if err != nil {
			b.t.Fatal(err)
		}
		if plan.Bytes == 0 {
			return out
		}
		out = append(out, skipAborted(b.t, readPlan(b.t, plan, 1<<20), plan.Aborted, offset)...)
		offset = plan.Next
	}
}

func skipAborted(t *testing.T, raw []byte, list []AbortedTxn, offset int64) (out []string) {
	aborting := map[int64]bool{}
	for len(raw) > 0 {
		batch, rest, err := kafka.NextBatch(raw)
		if err != nil {
			t.Fatal(err)
		}
		raw = rest
		for _, a := range list {
			if a.FirstOffset <= batch.LastOffset() && a.LastOffset >= batch.BaseOffset() {
				aborting[a.ProducerID] = true
			}
		}
		if batch.IsControl() {
			delete(aborting, batch.ProducerID())
			continue
		}
		if batch.IsTransactional() && aborting[batch.ProducerID()] {
			continue
		}
		r := kafka.ReadRecords(batch, 0)
		for r.Next() {
			if r.Record().Offset >= offset {
				out = append(out, fmt.Sprintf("%d:%s", r.Record().Offset, r.Record().Value))
			}
		}
		r.Close()
	}
	return out
}

// reopened runs a test three times: on the partition as it is, and after each of
// its steps restarted or crashed.
func reopened(t *testing.T, test func(t *testing.T, b *bench, step func())) {
	for _, how := range []string{"", "restart", "crash"} {
		t.Run(how, func(t *testing.T) {
			b := newBench(t)
			test(t, b, func() {
				switch how {
				case "restart":
					b.restart()
				case "crash":
					b.crash()
				}
			})
		})
	}
}

func TestLastStableOffset(t *testing.T) {
	reopened(t, func(t *testing.T, b *bench, step func()) {
		b.wantStable(0)
		b.must(batchOf{values: []string{"plain"}})
		step()
		b.wantStable(1)
		b.in(1, 0, 0, "a1") // 1
		step()
		b.wantStable(1)
		b.in(2, 0, 0, "b1") // 2
		b.in(1, 0, 1, "a2") // 3
		b.must(batchOf{values: []string{"plain"}})
		step()
		b.wantStable(1)
		b.want(b.committed(0, 1<<20), "0:plain")
		b.end(1, 0, true) // 5
		step()
		b.wantStable(2)
		b.want(b.committed(0, 1<<20), "0:plain", "1:a1")
		b.in(1, 0, 2, "a3") // 6
		b.end(2, 0, false)  // 7
		step()
		b.wantStable(6)
		b.want(b.committed(0, 1), "0:plain", "1:a1", "3:a2", "4:plain")
		b.end(1, 0, false) // 8
		step()
		b.wantStable(9)
		b.want(b.committed(0, 1<<20), "0:plain", "1:a1", "3:a2", "4:plain")
		b.want(b.committed(2, 1), "3:a2", "4:plain")
		b.want(b.values(6, 1<<20, 1<<20)[:1], "6:a3")
	})
}

// A marker counts when it is durable: until then, a read-committed consumer must
// not see what it might commit.
func TestMarkerCountsWhenDurable(t *testing.T) {
	b := newBench(t)
	b.in(1, 0, 0, "a")
	b.store.Hold()
	done := make(chan error, 1)
	b.p.WriteMarker(Marker{ProducerID: 1, Commit: true, Done: func(err error) { done <- err }})
	next := b.start(batchOf{producer: from(1, 0, 1), values: []string{"b"}, txn: true})
	b.wantStable(0)
	b.want(b.committed(0, 1<<20))
	b.store.Step(1)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	b.wantStable(2)
	b.store.Release()
	if r := <-next; r.Err != nil {
		t.Fatal(r.Err)
	}
	b.wantStable(2)
}

// Of two markers on their way the later one may end the older transaction.
func TestMarkersOnTheirWay(t *testing.T) {
	b := newBench(t)
	b.in(1, 0, 0, "a")
	b.in(2, 0, 0, "b")
	b.store.Hold()
	done := make(chan error, 2)
	for _, id := range []int64{2, 1} {
		b.p.WriteMarker(Marker{ProducerID: id, Commit: true, Done: func(err error) { done <- err }})
	}
	b.wantStable(0)
	b.store.Step(1)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	b.wantStable(0)
	b.store.Step(1)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	b.wantStable(4)
}

// A marker that the store refuses leaves its transaction open.
func TestMarkerThatFailed(t *testing.T) {
	b := newBench(t)
	b.in(1, 0, 0, "a")
	b.store.FailNext(storage.ErrNoSpace)
	b.wantCode(b.mark(Marker{ProducerID: 1, Commit: false}), kerr.KafkaStorageError)
	b.wantStable(0)
	b.end(1, 0, true)
	b.wantStable(2)
	b.want(b.committed(0, 1<<20), "0:a")
}

func TestWhatMayBePartOfATransaction(t *testing.T) {
	reopened(t, func(t *testing.T, b *bench, step func()) {
		r := b.append(batchOf{producer: from(1, 4, 0), values: []string{"x"}, unknown: true})
		b.wantCode(r.Err, kerr.InvalidTxnState)
		b.in(1, 4, 0, "a")
		step()
		// From now on the partition knows the transaction itself.
		b.must(batchOf{producer: from(1, 4, 1), values: []string{"b"}, unknown: true})
		step()
		r = b.append(batchOf{producer: from(1, 4, 2), values: []string{"x"}})
		b.wantCode(r.Err, kerr.InvalidTxnState)
		r = b.append(batchOf{producer: from(1, 3, 2), values: []string{"x"}, txn: true})
		b.wantCode(r.Err, kerr.InvalidProducerEpoch)
		r = b.append(batchOf{producer: from(1, 5, 0), values: []string{"x"}, unknown: true})
		b.wantCode(r.Err, kerr.InvalidTxnState)
		b.end(1, 4, true)
		step()
		// A repeated batch is one even after its transaction.
		if r = b.append(batchOf{producer: from(1, 4, 1), values: []string{"b"}, unknown: true}); r.Err != nil || r.BaseOffset != 1 {
			t.Fatalf("%+v", r)
		}
		r = b.append(batchOf{producer: from(1, 4, 2), values: []string{"x"}, unknown: true})
		b.wantCode(r.Err, kerr.InvalidTxnState)
		b.must(batchOf{producer: from(1, 4, 2), values: []string{"plain"}})
		step()
		b.in(1, 4, 3, "c")
		step()
		// The coordinator ends a transaction of a producer that it fences with the
		// next epoch (KIP-360), and sequences begin anew.
		b.end(1, 5, false)
		step()
		r = b.append(batchOf{producer: from(1, 4, 4), values: []string{"x"}, txn: true})
		b.wantCode(r.Err, kerr.InvalidProducerEpoch)
		r = b.append(batchOf{producer: from(1, 5, 4), values: []string{"x"}, txn: true})
		b.wantCode(r.Err, kerr.OutOfOrderSequenceNumber)
		b.in(1, 5, 0, "d")
		b.end(1, 5, true)
		b.want(b.committed(0, 1<<20), "0:a", "1:b", "3:plain", "6:d")
	})
}

func TestMarkerRules(t *testing.T) {
	for name, c := range map[string]struct {
		open   bool
		marker Marker
		want   *kerr.Error
	}{
		"same epoch":                       {true, Marker{ProducerEpoch: 5, CoordinatorEpoch: 3}, nil},
		"next epoch":                       {true, Marker{ProducerEpoch: 6, CoordinatorEpoch: 3}, nil},
		"older epoch":                      {true, Marker{ProducerEpoch: 4, CoordinatorEpoch: 3}, kerr.InvalidProducerEpoch},
		"older coordinator":                {true, Marker{ProducerEpoch: 5, CoordinatorEpoch: 2}, kerr.TransactionCoordinatorFenced},
		"newer coordinator":                {true, Marker{ProducerEpoch: 5, CoordinatorEpoch: 4}, nil},
		"same epoch, nothing open":         {false, Marker{ProducerEpoch: 5, CoordinatorEpoch: 3}, nil},
		"version 2, next epoch":            {true, Marker{ProducerEpoch: 6, CoordinatorEpoch: 3, TransactionVersion: 2}, nil},
		"version 2, same epoch":            {true, Marker{ProducerEpoch: 5, CoordinatorEpoch: 3, TransactionVersion: 2}, kerr.InvalidProducerEpoch},
		"version 2, the same once more":    {false, Marker{ProducerEpoch: 5, CoordinatorEpoch: 3, TransactionVersion: 2}, nil},
		"version 2, older epoch":           {false, Marker{ProducerEpoch: 4, CoordinatorEpoch: 3, TransactionVersion: 2}, kerr.InvalidProducerEpoch},
		"version 2, older, by coordinator": {true, Marker{ProducerEpoch: 6, CoordinatorEpoch: 1, TransactionVersion: 2}, kerr.TransactionCoordinatorFenced},
		"no epoch":                         {true, Marker{ProducerEpoch: -1, CoordinatorEpoch: 3}, kerr.InvalidRequest},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.in(7, 5, 0, "a")
			if err := b.mark(Marker{ProducerID: 7, ProducerEpoch: 5, CoordinatorEpoch: 3, Commit: true}); err != nil {
				t.Fatal(err)
			}
			if c.open {
				b.in(7, 5, 1, "b")
			}
			c.marker.ProducerID = 7
			err := b.mark(c.marker)
			if c.want == nil && err != nil {
				t.Fatal(err)
			}
			if c.want != nil {
				b.wantCode(err, c.want)
			}
		})
	}
	t.Run("the largest epoch", func(t *testing.T) {
		b := newBench(t)
		b.in(7, math.MaxInt16, 0, "a")
		m := Marker{ProducerID: 7, ProducerEpoch: math.MaxInt16, TransactionVersion: 2}
		if err := b.mark(m); err != nil {
			t.Fatal(err)
		}
	})
}

func TestMarkerOfAnUnknownProducer(t *testing.T) {
	reopened(t, func(t *testing.T, b *bench, step func()) {
		if err := b.mark(Marker{ProducerID: 3, ProducerEpoch: 2, CoordinatorEpoch: 8}); err != nil {
			t.Fatal(err)
		}
		step()
		b.wantStable(1)
		b.wantCode(b.mark(Marker{ProducerID: 3, ProducerEpoch: 1, CoordinatorEpoch: 8}), kerr.InvalidProducerEpoch)
		b.wantCode(b.mark(Marker{ProducerID: 3, ProducerEpoch: 2, CoordinatorEpoch: 7}), kerr.TransactionCoordinatorFenced)
		r := b.append(batchOf{producer: from(3, 2, 5), values: []string{"x"}, txn: true})
		b.wantCode(r.Err, kerr.OutOfOrderSequenceNumber)
		b.in(3, 2, 0, "a")
	})
}

func TestDescribeProducers(t *testing.T) {
	reopened(t, func(t *testing.T, b *bench, step func()) {
		b.must(batchOf{producer: from(1, 0, 0), values: []string{"a", "b"}})
		b.in(2, 3, 0, "c")
		if err := b.mark(Marker{ProducerID: 2, ProducerEpoch: 4, CoordinatorEpoch: 6, TransactionVersion: 2}); err != nil {
			t.Fatal(err)
		}
		b.in(4, 0, 0, "d")
		step()
		at := startTime.UnixMilli()
		got, err := b.p.DescribeProducers()
		want := []ProducerState{
			{ProducerID: 1, Epoch: 0, LastSequence: 1, LastTimestamp: at + 1, CoordinatorEpoch: -1, TxnStartOffset: -1, LastOffset: 1},
			{ProducerID: 2, Epoch: 4, LastSequence: -1, LastTimestamp: at, CoordinatorEpoch: 6, TxnStartOffset: -1, LastOffset: -1},
			{ProducerID: 4, Epoch: 0, LastSequence: 0, LastTimestamp: at, CoordinatorEpoch: -1, TxnStartOffset: 4, LastOffset: 4},
		}
		if err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
			t.Fatalf("%v, %v\nwant %v", got, err, want)
		}
	})
}

// A producer with an ongoing transaction is never forgotten, or its transaction
// would never end.
func TestOngoingTransactionsDoNotExpire(t *testing.T) {
	b := newBench(t)
	b.in(1, 0, 0, "a")
	b.must(batchOf{producer: from(2, 0, 0), values: []string{"b"}})
	b.now = b.now.Add(3 * time.Hour)
	b.m.Clean(t.Context())
	b.wantStable(0)
	got, err := b.p.DescribeProducers()
	if err != nil || len(got) != 1 || got[0].ProducerID != 1 {
		t.Fatalf("%v, %v", got, err)
	}
	// It goes on where it was, and the end counts.
	b.must(batchOf{producer: from(1, 0, 1), values: []string{"c"}, unknown: true})
	b.end(1, 0, false)
	b.wantStable(4)
	b.want(b.committed(0, 1<<20), "1:b")
}

// Deleting records of an ongoing transaction moves the last stable offset to the
// log's start, as in Apache Kafka, and does not end the transaction.
func TestDeleteRecordsOfAnOngoingTransaction(t *testing.T) {
	reopened(t, func(t *testing.T, b *bench, step func()) {
		b.in(1, 0, 0, "a")
		b.must(batchOf{values: []string{"p", "q"}})
		if start, err := b.p.DeleteBefore(2); start != 2 || err != nil {
			t.Fatal(start, err)
		}
		step()
		b.wantStable(2)
		if start, err := b.p.DeleteBefore(-1); start != 3 || err != nil {
			t.Fatal(start, err)
		}
		step()
		b.must(batchOf{values: []string{"r"}})
		b.wantStable(3)
		b.must(batchOf{producer: from(1, 0, 1), values: []string{"b"}, unknown: true})
		step()
		b.end(1, 0, false)
		step()
		b.wantStable(6)
		b.want(b.committed(3, 1<<20), "3:r")
	})
}

// A fetch that waits with isolation level read_committed wakes up when the
// transaction ends, not when records come that it may not see.
func TestCommittedWatchWaitsForStableRecords(t *testing.T) {
	b := newBench(t)
	fired := make(chan string, 4)
	watch := func(name string, committed bool, need int64) {
		w := NewWatch(need, func() { fired <- name })
		w.Committed = committed
		o, err := b.p.StableOffsets()
		if err != nil {
			t.Fatal(err)
		}
		end := o.High
		if committed {
			end = o.LastStable
		}
		b.p.Watch(w, end)
	}
	none := func() {
		t.Helper()
		select {
		case name := <-fired:
			t.Fatalf("%s woke up", name)
		default:
		}
	}
	b.must(batchOf{values: []string{"plain"}})
	watch("committed", true, 1)
	watch("uncommitted", false, 1)
	b.in(1, 0, 0, "a")
	if name := <-fired; name != "uncommitted" {
		t.Fatal(name)
	}
	none()
	b.must(batchOf{values: []string{"plain"}})
	none()
	b.end(1, 0, true)
	if name := <-fired; name != "committed" {
		t.Fatal(name)
	}
	// It counts all that became stable at once.
	watch("many", true, 100) // more than the marker has
	b.in(1, 0, 1, "b")
	none()
	b.end(1, 0, true)
	if name := <-fired; name != "many" {
		t.Fatal(name)
	}
	// Deleting what holds it back wakes it too.
	b.in(1, 0, 2, "c")
	b.must(batchOf{values: []string{"plain"}})
	watch("deleted", true, 1)
	if _, err := b.p.DeleteBefore(-1); err != nil {
		t.Fatal(err)
	}
	if name := <-fired; name != "deleted" {
		t.Fatal(name)
	}
}

func TestRepeatOfTransactionalOffsets(t *testing.T) {
	// Commits of the group coordinator have no sequence numbers, and are no
	// duplicates of each other.
	b := newBench(t)
	for range 3 {
		raw := b.build(batchOf{producer: &kafka.Producer{ID: 1, Sequence: kafka.NoSequence}, values: []string{"o"}, txn: true})
		done := make(chan Result, 1)
		b.p.Append(Request{Batch: raw, Internal: true, Verified: true, Done: func(r Result) { done <- r }})
		if r := <-done; r.Err != nil {
			t.Fatal(r.Err)
		}
	}
	b.wantStable(0)
	b.end(1, 0, true)
	b.wantStable(4)
	raw := b.build(batchOf{producer: &kafka.Producer{ID: 1, Sequence: kafka.NoSequence}, values: []string{"o"}, txn: true})
	done := make(chan Result, 1)
	b.p.Append(Request{Batch: raw, Internal: true, Done: func(r Result) { done <- r }})
	b.wantCode((<-done).Err, kerr.InvalidTxnState)
}
