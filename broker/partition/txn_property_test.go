package partition

import (
	"fmt"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"pgregory.net/rapid"

	"github.com/streamweir/streamweir/storage"
)

// TestRandomTransactions writes random transactional histories, with deletions,
// failed appends, restarts, crashes and lost snapshots, and compares what the
// partition says with a model that keeps every batch.
func TestRandomTransactions(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		b := newBench(t)
		b.chunk = rapid.IntRange(1, 4).Draw(rt, "chunk")
		b.cache = rapid.SampledFrom([]int64{0, 600, 1 << 20}).Draw(rt, "cache")
		b.crash()
		w := &txnWorld{t: rt, b: b, m: newTxnModel(), epoch: map[int64]int16{}}
		rt.Repeat(map[string]func(*rapid.T){
			"plain":    w.plain,
			"in":       w.in,
			"in again": w.in,
			"end":      w.end,
			"fails":    w.fails,
			"delete":   w.deletes,
			"restart":  func(*rapid.T) { b.restart() },
			"crash":    func(*rapid.T) { b.crash() },
			"lose":     w.loses,
			"damage":   w.damages,
			"":         w.check,
		})
	})
}

// modelBatch is a batch of one record.
type modelBatch struct {
	offset   int64
	producer int64 // -1 for none
	end      string
	value    string
}

// txnModel is what a log of transactions means, worked out from its batches.
type txnModel struct {
	log     []modelBatch // those that were not deleted
	start   int64
	high    int64
	ongoing map[int64]int64 // producer -> first offset
	aborted []AbortedTxn
}

func newTxnModel() *txnModel { return &txnModel{ongoing: map[int64]int64{}} }

func (m *txnModel) add(x modelBatch) {
	m.log = append(m.log, x)
	m.high = x.offset + 1
	m.take(x)
}

// take follows the transactions.
func (m *txnModel) take(x modelBatch) {
	first, open := m.ongoing[x.producer]
	switch {
	case x.producer < 0:
	case x.end == "" && !open:
		m.ongoing[x.producer] = x.offset
	case x.end != "" && open:
		delete(m.ongoing, x.producer)
		if x.end == "abort" {
			stable := x.offset + 1
			for _, first := range m.ongoing {
				stable = min(stable, first)
			}
			m.aborted = append(m.aborted, AbortedTxn{x.producer, first, x.offset, stable})
		}
	}
}

func (m *txnModel) trim(start int64) {
	m.start = start
	m.log = slices.DeleteFunc(m.log, func(x modelBatch) bool { return x.offset < start })
	m.aborted = slices.DeleteFunc(m.aborted, func(a AbortedTxn) bool { return a.LastOffset < start })
}

// rebuild forgets what is not in the log any more.
func (m *txnModel) rebuild() {
	m.ongoing, m.aborted = map[int64]int64{}, nil
	for _, x := range m.log {
		m.take(x)
	}
}

func (m *txnModel) stable() int64 {
	stable := m.high
	for _, first := range m.ongoing {
		stable = min(stable, max(first, m.start))
	}
	return stable
}

// collect is Apache Kafka's collectAbortedTxns.
func (m *txnModel) collect(from, upTo int64) (out []AbortedTxn) {
	for _, a := range m.aborted {
		if a.LastOffset >= from && a.FirstOffset < upTo {
			out = append(out, a)
		}
		if a.LastStableOffset >= upTo {
			break
		}
	}
	return out
}

// committed is what a read-committed consumer sees from offset on.
func (m *txnModel) committed(offset int64) (out []string) {
	for _, x := range m.log {
		hidden := slices.ContainsFunc(m.aborted, func(a AbortedTxn) bool {
			return a.ProducerID == x.producer && a.FirstOffset <= x.offset && x.offset < a.LastOffset
		})
		if x.offset >= offset && x.offset < m.stable() && x.end == "" && !hidden {
			out = append(out, fmt.Sprintf("%d:%s", x.offset, x.value))
		}
	}
	return out
}

type txnWorld struct {
	t     *rapid.T
	b     *bench
	m     *txnModel
	epoch map[int64]int16
	n     int
}

func (w *txnWorld) value() string { w.n++; return fmt.Sprint("v", w.n) }

func (w *txnWorld) producer(t *rapid.T) int64 { return rapid.Int64Range(0, 3).Draw(t, "producer") }

func (w *txnWorld) plain(t *rapid.T) {
	v := w.value()
	w.m.add(modelBatch{offset: w.b.must(batchOf{values: []string{v}}), producer: -1, value: v})
}

// in appends in a transaction, which is verified only where that is asked for.
func (w *txnWorld) in(t *rapid.T) {
	id, v := w.producer(t), w.value()
	_, open := w.m.ongoing[id]
	if needs := w.b.p.NeedsVerification(id, w.epoch[id]); needs == open {
		t.Fatalf("producer %d has a transaction: %v; it needs verification: %v", id, open, needs)
	}
	o := batchOf{producer: from(id, w.epoch[id], w.sequence(id)), values: []string{v}, unknown: true}
	if !open {
		w.b.wantCode(w.b.append(o).Err, kerr.InvalidTxnState)
		o.txn = true
	}
	w.m.add(modelBatch{offset: w.b.must(o), producer: id, value: v})
}

func (w *txnWorld) end(t *rapid.T) {
	id, commit := w.producer(t), rapid.Bool().Draw(t, "commit")
	m := Marker{ProducerID: id, ProducerEpoch: w.epoch[id], Commit: commit}
	if rapid.Bool().Draw(t, "next epoch") {
		m.ProducerEpoch++
		m.TransactionVersion = 2
	}
	if err := w.b.mark(m); err != nil {
		t.Fatal(err)
	}
	if m.ProducerEpoch > w.epoch[id] {
		w.epoch[id] = m.ProducerEpoch
	}
	end := "abort"
	if commit {
		end = "commit"
	}
	w.m.add(modelBatch{offset: w.m.high, producer: id, end: end})
}

// fails has the store refuse a batch, and those queued behind it.
func (w *txnWorld) fails(t *rapid.T) {
	id := w.producer(t)
	w.b.store.Hold()
	w.b.store.FailNext(storage.ErrNoSpace)
	marked := make(chan error, 1)
	w.b.p.WriteMarker(Marker{ProducerID: id, ProducerEpoch: w.epoch[id], Done: func(err error) { marked <- err }})
	behind := w.b.start(batchOf{producer: from(id, w.epoch[id], w.sequence(id)), values: []string{"lost"}, txn: true})
	w.b.store.Release()
	if <-marked == nil || (<-behind).Err == nil {
		t.Fatal("an append that the store refused was acknowledged")
	}
}

func (w *txnWorld) deletes(t *rapid.T) {
	to := rapid.Int64Range(w.m.start, w.m.high).Draw(t, "to")
	if _, err := w.b.p.DeleteBefore(to); err != nil {
		t.Fatal(err)
	}
	w.m.trim(max(w.m.start, to))
}

// loses crashes the broker and takes its snapshot: what the log does not show any
// more is forgotten.
func (w *txnWorld) loses(t *rapid.T) {
	w.b.save(stateProducers, rapid.SampledFrom([][]byte{nil, {1}, []byte("damaged snapshot")}).Draw(t, "snapshot"))
	w.b.crash()
	w.m.rebuild()
}

// sequence is the one that the producer continues with: sequences have tests of
// their own, and what is known of them depends on what was lost.
func (w *txnWorld) sequence(id int64) int32 {
	w.b.stable() // has the state of producers read
	if s := w.b.p.producers.byID[id]; s != nil && s.epoch == w.epoch[id] {
		return s.lastSeq() + 1
	}
	return 0
}

// damages loses a chunk of the index of aborted transactions, which is seen when
// it is looked for; then everything is read from the log.
func (w *txnWorld) damages(t *rapid.T) {
	w.b.save(chunkName(uint32(rapid.IntRange(0, 5).Draw(t, "chunk"))), []byte("lost"))
	w.b.crash()
	if _, err := w.b.p.Aborted(w.m.start, w.m.high); err != nil {
		t.Fatal(err)
	}
	if w.b.m.stats.rebuilt.Load() > 0 {
		w.m.rebuild()
	}
}

func (w *txnWorld) check(t *rapid.T) {
	o, err := w.b.p.StableOffsets()
	if err != nil || o.Start != w.m.start || o.High != w.m.high || o.LastStable != w.m.stable() {
		t.Fatalf("%+v, %v; want %d to %d, stable up to %d", o, err, w.m.start, w.m.high, w.m.stable())
	}
	from := rapid.Int64Range(w.m.start, w.m.high).Draw(t, "from")
	plan, err := w.b.p.PlanCommitted(from, -1, rapid.IntRange(1, 1000).Draw(t, "bytes"), true)
	if err != nil || plan.Next > o.LastStable && plan.Bytes > 0 {
		t.Fatalf("%+v, %v", plan, err)
	}
	if want := w.m.collect(from, plan.Next); plan.Bytes > 0 && fmt.Sprint(plan.Aborted) != fmt.Sprint(want) {
		t.Fatalf("aborted in %d to %d: %v\nwant %v", from, plan.Next, plan.Aborted, want)
	}
	if got, want := w.b.committed(from, 200), w.m.committed(from); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Fatalf("read committed from %d: %v\nwant %v", from, got, want)
	}
}
