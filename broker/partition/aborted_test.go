package partition

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"testing"

	"github.com/streamweir/streamweir/storage"
)

// abortMany aborts n transactions of two producers that overlap, between plain
// batches, and returns what the index must know.
func (b *bench) abortMany(n int) (all []AbortedTxn) {
	b.t.Helper()
	seq := map[int64]int32{}
	for i := range n {
		id := int64(1 + i%2)
		b.must(batchOf{values: []string{"plain"}})
		if seq[id] == 0 && id == 2 {
			b.in(2, 0, 0, "first")
			seq[2] = 1
		}
		first := b.in(id, 0, seq[id], "x")
		seq[id]++
		b.end(id, 0, false)
		all = append(all, AbortedTxn{ProducerID: id, FirstOffset: first, LastOffset: b.p.Offsets().High - 1})
	}
	return all
}

// overlapping is what find must return of all for a range, by its definition but
// for where Apache Kafka stops: later transactions begin behind the range then.
func overlapping(all []AbortedTxn, from, upTo int64) (out []AbortedTxn) {
	for _, a := range all {
		if a.LastOffset >= from && a.FirstOffset < upTo {
			out = append(out, a)
		}
	}
	return out
}

func (b *bench) wantAborted(all []AbortedTxn, from, upTo int64) {
	b.t.Helper()
	got, err := b.p.Aborted(from, upTo)
	if err != nil {
		b.t.Fatal(err)
	}
	for i := range got {
		got[i].LastStableOffset = 0
	}
	if want := overlapping(all, from, upTo); fmt.Sprint(got) != fmt.Sprint(want) {
		b.t.Fatalf("aborted in %d to %d: %v\nwant %v", from, upTo, got, want)
	}
}

func (b *bench) wantAllAborted(all []AbortedTxn) {
	b.t.Helper()
	o := b.p.Offsets()
	for from := o.Start; from < o.High; from += 3 {
		for _, n := range []int64{1, 2, 7, 40, 1000} {
			b.wantAborted(all, from, min(from+n, o.High))
		}
	}
}

func TestAbortedTransactionsAreFoundInChunks(t *testing.T) {
	b := newBench(t)
	b.chunk = 4
	b.crash()
	all := b.abortMany(50)
	all[1].FirstOffset-- // of "first"
	if n := len(b.p.producers.index.chunks); n < 10 || len(b.p.producers.index.recent) >= 8 {
		t.Fatalf("%d chunks, %d in memory", n, len(b.p.producers.index.recent))
	}
	b.wantAllAborted(all)
	b.crash()
	b.wantAllAborted(all)
	b.restart()
	b.wantAllAborted(all)

	// What lies before the log's start is let go.
	if _, err := b.p.DeleteBefore(all[20].LastOffset + 1); err != nil {
		t.Fatal(err)
	}
	b.wantAllAborted(all[21:])
	if c := b.p.producers.index.chunks[0]; c.last < b.p.Offsets().Start {
		t.Fatal("a chunk of deleted records is kept")
	}
	if st, _, err := b.store.Log().LoadState(b.p.id, chunkName(0)); err != nil || len(st.Data) != 0 {
		t.Fatalf("%d bytes of a chunk of deleted records are kept, %v", len(st.Data), err)
	}
	b.crash()
	b.wantAllAborted(all[21:])
}

// A chunk that is lost, or is of another history, is made again from the log.
func TestDamagedChunks(t *testing.T) {
	for name, damage := range map[string]func(b *bench, name string){
		"lost": func(b *bench, name string) { b.save(name, nil) },
		"another": func(b *bench, name string) {
			b.save(name, encodeAborted(nil, []AbortedTxn{{1, 0, 1, 1}, {1, 2, 3, 4}, {1, 5, 6, 7}, {1, 8, 9, 10}}))
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.chunk = 4
			b.crash()
			all := b.abortMany(30)
			all[1].FirstOffset--
			b.restart()
			damage(b, chunkName(2))
			b.wantAllAborted(all)
			if b.m.stats.rebuilt.Load() != 1 {
				t.Error("the damage was not seen")
			}
			b.restart()
			b.wantAllAborted(all)
			if b.m.stats.rebuilt.Load() != 0 {
				t.Error("the damage is still there")
			}
		})
	}
}

func (b *bench) save(name string, data []byte) {
	b.t.Helper()
	if err := b.store.Log().SaveState(b.p.id, name, storage.State{Offset: 1, Data: data}); err != nil {
		b.t.Fatal(err)
	}
}

func TestChunkCacheIsBounded(t *testing.T) {
	var c chunkCache
	for i := range uint32(3 * maxCachedChunks) {
		c.put(chunkKey{number: i}, nil)
		if _, ok := c.get(chunkKey{number: 0}); !ok {
			t.Fatal("the one in use was evicted")
		}
	}
	if len(c.byKey) != maxCachedChunks || c.order.Len() != maxCachedChunks {
		t.Fatalf("%d and %d chunks", len(c.byKey), c.order.Len())
	}
}

// A snapshot of a history whose end was lost, and written anew by a later
// leader epoch, says nothing of the log as it is.
func TestSnapshotOfALostHistoryLoses(t *testing.T) {
	b := newBench(t)
	b.must(batchOf{values: []string{"plain"}})
	b.in(1, 0, 0, "a")
	b.restart()
	st, ok, err := b.store.Log().LoadState(b.p.id, stateProducers)
	if !ok || err != nil {
		t.Fatal(ok, err)
	}
	// As if the log had ended at 1 after the crash, and epoch 1 wrote other batches.
	other := newBench(t)
	other.must(batchOf{values: []string{"plain"}})
	other.crash()
	other.must(batchOf{values: []string{"of the new epoch"}})
	if err := other.store.Log().SaveState(other.p.id, stateProducers, st); err != nil {
		t.Fatal(err)
	}
	other.crash()
	other.wantStable(2)
	if len(other.p.producers.byID) != 0 {
		t.Fatal("a producer of the lost history is known")
	}
}

// A snapshot from before the log's start may show a transaction whose marker has
// been deleted since.
func TestSnapshotFromBeforeTheLogLoses(t *testing.T) {
	b := newBench(t)
	b.in(1, 0, 0, "a")
	b.restart()
	st, ok, err := b.store.Log().LoadState(b.p.id, stateProducers)
	if !ok || err != nil {
		t.Fatal(ok, err)
	}
	b.end(1, 0, true)
	if _, err := b.p.DeleteBefore(-1); err != nil {
		t.Fatal(err)
	}
	b.must(batchOf{values: []string{"plain"}})
	if err := b.store.Log().SaveState(b.p.id, stateProducers, st); err != nil {
		t.Fatal(err)
	}
	b.crash()
	b.wantStable(3)
}

func FuzzRestore(f *testing.F) {
	seed := newProducers(7)
	f.Add(unsummed(seed))
	for id := range int64(3) {
		s := newProducer()
		s.add(int16(id), producerBatch{firstSeq: 1, lastSeq: 2, baseOffset: 3 * id, lastOffset: 3*id + 1, timestamp: 9})
		s.txnFirst, s.coordinatorEpoch = 3*id, 4
		seed.byID[id] = s
	}
	for i := range int64(6) {
		seed.index.add(AbortedTxn{i, i, i + 1, i + 2})
	}
	seed.index.wrote(seed.index.full(3, 100), []byte("data"))
	f.Add(unsummed(seed))
	f.Fuzz(func(t *testing.T, body []byte) {
		// With a right checksum, or nothing behind it would be tried.
		ps, err := restore(binary.BigEndian.AppendUint32(body, crc32.Checksum(body, castagnoli)), 10, 5)
		if err != nil {
			return
		}
		again, err := restore(ps.snapshot(), 10, 5)
		if err != nil || len(again.byID) != len(ps.byID) || len(again.txns.ongoing) > len(ps.txns.ongoing) ||
			len(again.index.chunks) != len(ps.index.chunks) || len(again.index.recent) != len(ps.index.recent) {
			t.Fatalf("%+v, %v\nwant %+v", again, err, ps)
		}
	})
}

func unsummed(ps *producers) []byte {
	b := ps.snapshot()
	return b[:len(b)-4]
}
