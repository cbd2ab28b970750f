package partition

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/streamweir/streamweir/protocol/kafka"
	"github.com/streamweir/streamweir/storage"
	"github.com/streamweir/streamweir/storage/memstore"
)

// plenty is a compaction without limits.
var plenty = Compaction{Enabled: true, Threads: 1, MapBytes: 1 << 20, MapLoad: 0.9}

// rec is a record of a test: "k=v", "k=" for a tombstone, or "=v" without a key.
func rec(s string, at int64) kafka.Record {
	k, v, _ := strings.Cut(s, "=")
	r := kafka.Record{Timestamp: at, Headers: []kafka.Header{{Key: []byte("h"), Value: []byte(k)}}}
	if k != "" {
		r.Key = []byte(k)
	}
	if v != "" {
		r.Value = []byte(v)
	}
	return r
}

// put appends a batch to the store, past the rules for clients; the next broker
// finds it.
func (b *bench) put(o kafka.BatchOptions, records ...kafka.Record) int64 {
	b.t.Helper()
	_, end := b.store.Log().Bounds(b.p.id)
	o.BaseOffset, o.LeaderEpoch = end, b.epoch
	raw, err := kafka.BuildBatch(nil, o, records...)
	if err != nil {
		b.t.Fatal(err)
	}
	done := make(chan error, 1)
	batch := kafka.Batch(raw)
	b.store.Log().Append(&storage.Append{
		Partition: b.p.id, Data: raw, Epoch: b.epoch,
		Info: storage.BatchInfo{BaseOffset: end, LastOffset: batch.LastOffset(), MaxTimestamp: batch.MaxTimestamp(), Size: int32(len(raw))},
		Done: func(_ *storage.Append, err error) { done <- err },
	})
	if err := <-done; err != nil {
		b.t.Fatal(err)
	}
	return end
}

func (b *bench) puts(records ...string) {
	b.t.Helper()
	for _, r := range records {
		b.put(kafka.BatchOptions{}, rec(r, b.now.UnixMilli()))
	}
}

func (b *bench) txn(id int64, records ...string) {
	b.t.Helper()
	var rs []kafka.Record
	for _, r := range records {
		rs = append(rs, rec(r, b.now.UnixMilli()))
	}
	b.put(kafka.BatchOptions{Transactional: true, Producer: &kafka.Producer{ID: id, Epoch: 1}}, rs...)
}

func (b *bench) marker(id int64, t kafka.ControlType) {
	b.t.Helper()
	key := binary.BigEndian.AppendUint16([]byte{0, 0}, uint16(t))
	b.put(kafka.BatchOptions{Transactional: true, Control: true, Producer: &kafka.Producer{ID: id, Epoch: 1, Sequence: -1}},
		kafka.Record{Timestamp: b.now.UnixMilli(), Key: key, Value: make([]byte, 6)})
}

// pass lets time go by, so that the newest segment is closed, starts a broker and
// compacts what is due.
func (b *bench) pass(after time.Duration) {
	b.t.Helper()
	b.now = b.now.Add(after)
	b.crash()
	b.m.Compact(b.t.Context(), plenty)
	if s := b.m.CompactionStats(); len(s.Uncleanable) > 0 {
		b.t.Fatal(s.Uncleanable)
	}
}

// dump writes down what the log holds: "offset:key=value", batches between bars,
// C and A for markers, a star behind a batch that has a delete horizon.
func (b *bench) dump() string {
	b.t.Helper()
	var out []string
	_, err := b.p.EachBatch(0, func(batch kafka.Batch) error {
		if !batch.CRCValid() {
			b.t.Fatalf("the batch at %d has a wrong checksum", batch.BaseOffset())
		}
		s := ""
		if batch.NumRecords() == 0 {
			s = fmt.Sprintf("%d-%d empty", batch.BaseOffset(), batch.LastOffset())
		}
		r := kafka.ReadRecords(batch, 0)
		defer r.Close()
		for r.Next() {
			rec := r.Record()
			if batch.IsControl() {
				s += fmt.Sprintf(" %d:%s", rec.Offset, map[byte]string{0: "A", 1: "C"}[rec.Key[3]])
			} else {
				s += fmt.Sprintf(" %d:%s=%s", rec.Offset, rec.Key, rec.Value)
			}
		}
		if batch.HasDeleteHorizon() {
			s += "*"
		}
		out = append(out, strings.TrimSpace(s))
		return r.Err()
	})
	if err != nil {
		b.t.Fatal(err)
	}
	return strings.Join(out, " | ")
}

func (b *bench) wantLog(want string) {
	b.t.Helper()
	if got := b.dump(); got != want {
		b.t.Fatalf("the log holds\n     %s\nwant %s", got, want)
	}
}

// compacting is a partition of a compacted topic whose newest segment is closed
// after a minute.
func compacting(t *testing.T, configs ...string) *bench {
	return newBench(t, append([]string{"cleanup.policy", "compact", "min.cleanable.dirty.ratio", "0", "segment.ms", "60000", "delete.retention.ms", "600000"}, configs...)...)
}

func TestCompactionKeepsTheLastRecordOfEachKey(t *testing.T) {
	b := compacting(t)
	at := b.now.UnixMilli()
	b.put(kafka.BatchOptions{}, rec("a=1", at), rec("b=1", at), rec("a=2", at))
	b.put(kafka.BatchOptions{Codec: kafka.CodecZstd}, rec("c=1", at), rec("b=2", at), rec("c=2", at))
	b.puts("a=3", "d=1", "=keyless", "e=1")
	b.pass(0)
	b.wantLog("0:a=1 1:b=1 2:a=2 | 3:c=1 4:b=2 5:c=2 | 6:a=3 | 7:d=1 | 8:=keyless | 9:e=1") // the newest segment is open
	b.pass(2 * time.Minute)
	b.wantLog("4:b=2 5:c=2 | 6:a=3 | 7:d=1 | 9:e=1")
	b.puts("b=3", "c=3")
	b.pass(2 * time.Minute)
	b.wantLog("6:a=3 | 7:d=1 | 9:e=1 | 10:b=3 | 11:c=3")
	if o := b.p.Offsets(); o.Start != 0 || o.High != 12 {
		t.Fatalf("%+v", o)
	}
}

func TestCompactionKeepsWhatARecordIs(t *testing.T) {
	for _, codec := range []kafka.Codec{kafka.CodecNone, kafka.CodecGzip, kafka.CodecSnappy, kafka.CodecLZ4, kafka.CodecZstd} {
		for _, kind := range []kafka.TimestampType{kafka.CreateTime, kafka.LogAppendTime} {
			t.Run(fmt.Sprint(codec, kind), func(t *testing.T) {
				b := compacting(t)
				large := strings.Repeat("x", 300_000)
				b.put(kafka.BatchOptions{Codec: codec, TimestampType: kind, LogAppendTime: 999, Producer: &kafka.Producer{ID: 5, Epoch: 3, Sequence: 70}},
					rec("a=1", 500), rec("b="+large, 100), rec("a=2", 900), rec("c=", 300))
				b.puts("a=3")
				var before, after kafka.Batch
				read := func(into *kafka.Batch) {
					if _, err := b.p.EachBatch(0, func(x kafka.Batch) error {
						if x.BaseOffset() == 0 {
							*into = bytes.Clone(x)
						}
						return nil
					}); err != nil {
						t.Fatal(err)
					}
				}
				b.crash()
				read(&before)
				b.pass(2 * time.Minute)
				read(&after)
				if after.LastOffset() != 3 || after.BaseSequence() != 70 || after.LastSequence() != 73 || after.ProducerID() != 5 || after.ProducerEpoch() != 3 ||
					after.Codec() != codec || after.TimestampType() != kind || after.NumRecords() != 2 || after.PartitionLeaderEpoch() != before.PartitionLeaderEpoch() {
					t.Fatalf("the header is %x", []byte(after[:61]))
				}
				horizon, ok := after.DeleteHorizon()
				if want := b.now.Add(10 * time.Minute).UnixMilli(); !ok || horizon != want {
					t.Fatalf("delete horizon %d, want %d", horizon, want)
				}
				times := []int64{100, 300}
				maxTime := int64(300)
				if kind == kafka.LogAppendTime {
					times, maxTime = []int64{999, 999}, 999
				}
				if after.MaxTimestamp() != maxTime {
					t.Fatalf("max timestamp %d", after.MaxTimestamp())
				}
				r := kafka.ReadRecords(after, 0)
				defer r.Close()
				for i, want := range []string{"b=" + large, "c="} {
					w := rec(want, 0)
					if !r.Next() {
						t.Fatal(r.Err())
					}
					got := r.Record()
					if got.Offset != int64(1+2*i) || got.Timestamp != times[i] || !bytes.Equal(got.Key, w.Key) || !bytes.Equal(got.Value, w.Value) ||
						len(got.Headers) != 1 || !bytes.Equal(got.Headers[0].Value, w.Key) || (got.Value == nil) != (w.Value == nil) {
						t.Fatalf("record %d: %d at %d", i, got.Offset, got.Timestamp)
					}
				}
			})
		}
	}
}

func TestTombstonesGoAfterDeleteRetention(t *testing.T) {
	b := compacting(t)
	b.puts("a=1", "b=1", "a=", "c=1")
	b.pass(2 * time.Minute)
	b.wantLog("1:b=1 | 2:a=* | 3:c=1")
	b.puts("x=1")
	b.pass(9 * time.Minute) // not yet
	b.wantLog("1:b=1 | 2:a=* | 3:c=1 | 4:x=1")
	b.puts("y=1")
	b.pass(2 * time.Minute)
	b.wantLog("1:b=1 | 3:c=1 | 4:x=1 | 5:y=1")
}

func TestMinCompactionLag(t *testing.T) {
	b := compacting(t, "min.compaction.lag.ms", "3600000")
	b.store = memstore.New(memstore.Options{SegmentBatches: 2})
	b.crash()
	b.puts("a=1", "a=2")
	b.now = b.now.Add(30 * time.Minute)
	b.puts("a=3", "a=4", "a=5")
	b.pass(31 * time.Minute)
	b.wantLog("1:a=2 | 2:a=3 | 3:a=4 | 4:a=5")
	b.pass(30 * time.Minute)
	b.wantLog("4:a=5")
}

func TestMaxCompactionLagIgnoresTheDirtyRatio(t *testing.T) {
	b := compacting(t, "min.cleanable.dirty.ratio", "1", "max.compaction.lag.ms", "3600000", "segment.ms", "604800000")
	b.puts("a=1", "a=2", "b=1")
	b.pass(59 * time.Minute)
	b.wantLog("0:a=1 | 1:a=2 | 2:b=1")
	b.pass(2 * time.Minute)
	b.wantLog("1:a=2 | 2:b=1")
}

func TestDirtyRatioDecides(t *testing.T) {
	b := compacting(t, "min.cleanable.dirty.ratio", "0.5")
	for i := range 10 {
		b.puts(fmt.Sprintf("k%d=1", i))
	}
	b.pass(2 * time.Minute)
	b.puts("k0=2")
	b.pass(2 * time.Minute)
	if n := strings.Count(b.dump(), "|"); n != 10 {
		t.Fatalf("a log with a tenth of dirt was compacted: %s", b.dump())
	}
	for i := range 10 {
		b.puts(fmt.Sprintf("k%d=3", i))
	}
	b.pass(2 * time.Minute)
	if n := strings.Count(b.dump(), "|"); n != 9 {
		t.Fatalf("a log with half of dirt was not compacted: %s", b.dump())
	}
}

// What was aborted goes at once; its marker stays as long as anything of the
// transaction, gets a horizon, and goes when that is over.
func TestAbortedTransactions(t *testing.T) {
	b := compacting(t)
	b.puts("a=0", "b=0")
	b.txn(7, "a=1", "b=1")
	b.txn(8, "b=2")
	b.txn(7, "c=1")
	b.marker(7, kafka.ControlAbort)
	b.marker(8, kafka.ControlCommit)
	b.puts("z=1")
	b.pass(2 * time.Minute)
	// Producers 7 and 8 are remembered by their last batches.
	b.wantLog("0:a=0 | 4:b=2 | 5-5 empty | 6:A | 7:C | 8:z=1")
	b.txn(7, "d=1")
	b.marker(7, kafka.ControlCommit)
	b.pass(2 * time.Minute)
	// The empty batch was still there when its marker was looked at.
	b.wantLog("0:a=0 | 4:b=2 | 6:A | 7:C | 8:z=1 | 9:d=1 | 10:C")
	b.puts("w=1")
	b.pass(2 * time.Minute)
	b.wantLog("0:a=0 | 4:b=2 | 6:A* | 7:C | 8:z=1 | 9:d=1 | 10:C | 11:w=1")
	b.puts("y=1")
	b.pass(11 * time.Minute)
	b.wantLog("0:a=0 | 4:b=2 | 7:C | 8:z=1 | 9:d=1 | 10:C | 11:w=1 | 12:y=1")
	// A consumer must not wait for the marker that is gone, and drop d=1.
	plan, err := b.p.PlanCommitted(4, -1, 1<<20, true)
	if err != nil || plan.Next != 13 || len(plan.Aborted) != 0 {
		t.Fatalf("%+v %v", plan, err)
	}
	plan.Release()
	// When what was committed is outdated, its marker has a horizon too.
	b.puts("b=9", "d=9", "y=2")
	b.pass(2 * time.Minute)
	b.wantLog("0:a=0 | 4-4 empty | 7:C | 8:z=1 | 9-9 empty | 10:C | 11:w=1 | 13:b=9 | 14:d=9 | 15:y=2")
}

// walks counts how often the batches of a log are looked for.
type walks struct {
	storage.Log
	n int
}

func (w *walks) Batches(p storage.Partition, from int64, fn func(storage.BatchInfo) bool) error {
	w.n++
	return w.Log.Batches(p, from, fn)
}

// TestRemovedMarkersCostOneWalk: each of them was looked for by itself, over the
// same gap in the log, and a fetch took tens of seconds.
func TestRemovedMarkersCostOneWalk(t *testing.T) {
	b := compacting(t)
	b.puts("a=0")
	for range 300 {
		b.txn(7, "a=1")
		b.marker(7, kafka.ControlAbort)
	}
	b.puts("z=1")
	for range 3 {
		b.pass(11 * time.Minute)
		b.puts("z=1")
	}
	b.txn(7, "b=1")
	b.marker(7, kafka.ControlAbort)
	b.pass(0)
	all, err := b.p.Aborted(0, math.MaxInt64)
	if err != nil || len(all) != 301 {
		t.Fatalf("%d aborted transactions, %v", len(all), err)
	}
	w := &walks{Log: b.p.m.log}
	b.p.m.log = w
	left, err := b.p.stillMarked(all)
	if err != nil || len(left) == 0 || len(left) > 2 || left[len(left)-1] != all[300] {
		t.Errorf("%v are left, %v: %s", left, err, b.dump())
	}
	if w.n > 2 {
		t.Errorf("the log was searched %d times", w.n)
	}
}

// A transaction that begins in the part that is compacted and ends behind it.
func TestTransactionAcrossTheEndOfAPass(t *testing.T) {
	b := compacting(t)
	b.store = memstore.New(memstore.Options{SegmentBatches: 3})
	b.crash()
	b.puts("a=0", "b=0")
	b.txn(7, "a=1")
	b.txn(7, "b=1")
	b.now = b.now.Add(30 * time.Second)
	b.marker(7, kafka.ControlAbort)
	b.pass(0)
	// As in Apache Kafka, the last batch of a pass stays until the next.
	b.wantLog("0:a=0 | 1:b=0 | 2-2 empty | 3:b=1 | 4:A")
	b.puts("c=1")
	b.pass(2 * time.Minute)
	b.wantLog("0:a=0 | 1:b=0 | 3-3 empty | 4:A | 5:c=1")
}

func TestCorruptBatchesAreLeftAlone(t *testing.T) {
	b := compacting(t)
	b.puts("a=1", "a=2", "b=1", "a=3", "b=2")
	b.txn(7, "a=9")
	b.marker(7, kafka.ControlAbort)
	b.puts("z=1")
	if !b.store.Corrupt(b.p.id, 3) {
		t.Fatal("nothing was corrupted")
	}
	b.pass(2 * time.Minute)
	var got []int64
	if err := b.store.Log().Batches(b.p.id, 0, func(i storage.BatchInfo) bool { got = append(got, i.BaseOffset); return true }); err != nil {
		t.Fatal(err)
	}
	// What the batch at 3 holds cannot be told: it stays, and so does a=2. That at 5
	// is empty.
	if want := []int64{1, 3, 4, 5, 6, 7}; !slices.Equal(got, want) {
		t.Fatalf("batches at %v are left, want %v", got, want)
	}
}

// An empty batch holds the sequence of a silent producer, until it has expired.
func TestActiveProducersKeepTheirLastBatch(t *testing.T) {
	b := compacting(t)
	b.put(kafka.BatchOptions{Producer: &kafka.Producer{ID: 3}}, rec("a=1", 1))
	b.put(kafka.BatchOptions{Producer: &kafka.Producer{ID: 3, Sequence: 1}}, rec("a=2", 1), rec("b=1", 1))
	b.puts("a=3", "b=3", "c=1")
	b.pass(2 * time.Minute)
	b.wantLog("1-2 empty | 3:a=3 | 4:b=3 | 5:c=1")
	b.crash()
	dup := b.append(batchOf{producer: &kafka.Producer{ID: 3, Sequence: 1}, values: []string{"2", "1"}})
	if dup.Err != nil || dup.BaseOffset != 1 {
		t.Fatalf("the repeated batch: %+v", dup)
	}
	b.must(batchOf{producer: &kafka.Producer{ID: 3, Sequence: 3}, values: []string{"x"}})
}

func TestFullMapTakesSeveralPasses(t *testing.T) {
	b := compacting(t)
	for round := range 3 {
		for i := range 40 {
			b.puts(fmt.Sprintf("k%d=%d", i, round))
		}
	}
	b.now = b.now.Add(2 * time.Minute)
	b.crash()
	small := plenty
	small.MapBytes = 12 * keySlotBytes
	for range 40 {
		b.m.Compact(t.Context(), small)
	}
	if n := strings.Count(b.dump(), "|"); n != 39 {
		t.Fatalf("%d batches are left: %s", n+1, b.dump())
	}
	small.MapBytes = keySlotBytes
	b.puts("a=1", "b=1", "c=1")
	b.now = b.now.Add(2 * time.Minute)
	b.crash()
	b.m.Compact(t.Context(), small) // room for one key: slow, but it goes on
	if s := b.m.CompactionStats(); len(s.Uncleanable) != 0 || s.Passes != 1 {
		t.Fatalf("%+v", s)
	}
}

func TestFailedPassLeavesTheOthersAlone(t *testing.T) {
	b := compacting(t)
	b.puts("a=1", "a=2", "b=1")
	b.store.FailReplaceWhen(func(storage.Partition, *storage.Edit) error { return fmt.Errorf("broken") })
	b.now = b.now.Add(2 * time.Minute)
	b.crash()
	b.m.Compact(t.Context(), plenty)
	s := b.m.CompactionStats()
	if len(s.Uncleanable) != 1 || s.Failed != 1 || !strings.Contains(s.Uncleanable[0].Error(), "broken") {
		t.Fatalf("%+v", s)
	}
	b.store.FailReplaceWhen(nil)
	b.m.Compact(t.Context(), plenty)
	b.wantLog("0:a=1 | 1:a=2 | 2:b=1")
	b.pass(0) // the next start tries again
	b.wantLog("1:a=2 | 2:b=1")
}

// A fetch that was announced is sent as it was announced.
func TestCompactionWaitsForReaders(t *testing.T) {
	for _, cache := range []int64{0, 1 << 20} {
		b := compacting(t)
		b.cache = cache
		b.crash()
		for i := range 10 {
			b.must(batchOf{values: []string{fmt.Sprint(i)}})
		}
		b.now = b.now.Add(2 * time.Minute)
		plan, err := b.p.Plan(0, -1, 1<<20, true)
		if err != nil || plan.Next != 10 {
			t.Fatalf("%+v %v", plan, err)
		}
		done := make(chan struct{})
		go func() {
			defer close(done)
			b.m.Compact(t.Context(), plenty)
		}()
		waiting := func() bool {
			b.p.mu.Lock()
			defer b.p.mu.Unlock()
			return b.p.holds.freed != nil
		}
		for !waiting() {
			select {
			case <-done:
				t.Fatal("compaction did not wait for the reader")
			case <-time.After(time.Millisecond):
			}
		}
		readPlan(t, plan, 50)
		<-done
		b.wantLog("9:k=9")
		b.want(b.values(0, 1<<20, 1<<20), "9:9")
	}
}

func TestMaxTimestampPassesOverEmptyBatches(t *testing.T) {
	b := compacting(t)
	b.put(kafka.BatchOptions{Producer: &kafka.Producer{ID: 3}}, rec("a=1", 5000))
	b.put(kafka.BatchOptions{}, rec("a=2", 100), rec("b=1", 200))
	b.pass(2 * time.Minute)
	b.wantLog("0-0 empty | 1:a=2 2:b=1")
	if f, err := b.p.OffsetOfMaxTime(); err != nil || f.Offset != 2 || f.Timestamp != 200 {
		t.Fatalf("%+v %v", f, err)
	}
	if f, err := b.p.OffsetForTime(50); err != nil || f.Offset != 1 {
		t.Fatalf("%+v %v", f, err)
	}
	if f, err := b.p.OffsetForTime(300); err != nil || f.Offset != -1 {
		t.Fatalf("%+v %v", f, err)
	}
}

func TestKeyMapIsBounded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		slots := rapid.Int64Range(2, 200).Draw(t, "slots")
		m := newKeyMap(slots*keySlotBytes, 1<<40, 0.9)
		model := map[string]int64{}
		for i := range rapid.Int64Range(1, 500).Draw(t, "puts") {
			key := fmt.Sprint("key", rapid.IntRange(0, 300).Draw(t, "key"))
			_, known := model[key]
			if ok := m.put([]byte(key), i); ok {
				model[key] = i
			} else if known || m.n < m.max {
				t.Fatalf("put was refused with %d of %d", m.n, m.max)
			}
		}
		for i := range 301 {
			key := fmt.Sprint("key", i)
			want, ok := model[key]
			if !ok {
				want = -1
			}
			if got := m.get([]byte(key)); got != want {
				t.Fatalf("%s is at %d, want %d", key, got, want)
			}
		}
	})
}
