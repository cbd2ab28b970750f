package partition

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/streamweir/streamweir/protocol/kafka"
	"github.com/streamweir/streamweir/storage"
	"github.com/streamweir/streamweir/storage/memstore"
)

// history is what was ever written to a log that is compacted now and then.
type history struct {
	*bench
	records map[int64]kafka.Record // by offset, all that ever were
	open    map[int64]bool         // producers with a transaction that has not ended
	next    map[int64]int32        // sequence numbers
}

// view is what a consumer with isolation.level=read_committed makes of the log:
// the last record of each key. It follows the markers as they are in the log.
func (h *history) view(rt *rapid.T) map[string]string {
	out := map[string]string{}
	pending := map[int64][]kafka.Record{}
	var all []kafka.Record
	last := int64(-1)
	_, err := h.p.EachBatch(0, func(b kafka.Batch) error {
		if b.BaseOffset() <= last {
			rt.Fatalf("the batch at %d follows %d", b.BaseOffset(), last)
		}
		last = b.LastOffset()
		r := kafka.ReadRecords(b, 0)
		defer r.Close()
		for r.Next() {
			rec := r.Record().Clone()
			switch {
			case b.IsControl():
				if rec.Key[3] == byte(kafka.ControlCommit) {
					all = append(all, pending[b.ProducerID()]...)
				}
				delete(pending, b.ProducerID())
				continue
			case b.IsTransactional():
				pending[b.ProducerID()] = append(pending[b.ProducerID()], rec)
			default:
				all = append(all, rec)
			}
			was := h.records[rec.Offset]
			if !bytes.Equal(was.Key, rec.Key) || !bytes.Equal(was.Value, rec.Value) || was.Timestamp != rec.Timestamp || (was.Value == nil) != (rec.Value == nil) {
				rt.Fatalf("the record at %d is %s=%s, it was %s=%s", rec.Offset, rec.Key, rec.Value, was.Key, was.Value)
			}
		}
		return r.Err()
	})
	if err != nil {
		rt.Fatal(err)
	}
	newest := map[string]int64{}
	for _, rec := range all {
		if at, ok := newest[string(rec.Key)]; ok && at > rec.Offset {
			continue
		}
		newest[string(rec.Key)] = rec.Offset
		if out[string(rec.Key)] = fmt.Sprintf("%d:%s", rec.Offset, rec.Value); rec.Value == nil {
			delete(out, string(rec.Key))
		}
	}
	return out
}

// sequences is what the log alone says of producers.
func (h *history) sequences(rt *rapid.T) map[int64]string {
	ps := newProducers(0)
	if err := h.p.scanProducers(ps, h.p.Offsets().High); err != nil {
		rt.Fatal(err)
	}
	out := map[int64]string{}
	for id, s := range ps.byID {
		out[id] = fmt.Sprint(s.epoch, s.lastSeq(), s.batches[s.n-1].lastOffset)
	}
	return out
}

func (h *history) append(rt *rapid.T) {
	id := rapid.Int64Range(0, 4).Draw(rt, "producer") // 0 for none, 3 and 4 with transactions
	o := kafka.BatchOptions{Codec: rapid.SampledFrom([]kafka.Codec{0, 0, kafka.CodecLZ4}).Draw(rt, "codec")}
	n := rapid.IntRange(1, 4).Draw(rt, "records")
	if id > 0 {
		o.Transactional = id >= 3
		o.Producer = &kafka.Producer{ID: id, Epoch: 1, Sequence: h.next[id]}
		h.next[id] += int32(n)
		h.open[id] = o.Transactional
	}
	var rs []kafka.Record
	_, end := h.store.Log().Bounds(h.p.id)
	for i := range n {
		r := kafka.Record{Timestamp: h.now.UnixMilli(), Key: fmt.Appendf(nil, "k%d", rapid.IntRange(0, 5).Draw(rt, "key"))}
		if rapid.IntRange(0, 4).Draw(rt, "tombstone") > 0 {
			r.Value = fmt.Appendf(nil, "v%d", end+int64(i))
		}
		rs = append(rs, r)
		h.records[end+int64(i)] = r
	}
	h.put(o, rs...)
}

// TestCompactionProperty writes, compacts and restarts at random, and compares
// what can be read before and after each pass.
func TestCompactionProperty(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		h := &history{bench: compacting(t), records: map[int64]kafka.Record{}, open: map[int64]bool{}, next: map[int64]int32{}}
		h.quiet = true
		h.store = memstore.New(memstore.Options{SegmentBatches: int32(rapid.IntRange(1, 6).Draw(rt, "segment"))})
		defer h.store.Close()
		h.cache = 0
		h.crash()
		// A crash in the middle of a pass: the store does no more of it.
		failAt := -1
		ctx, crash := context.WithCancel(t.Context())
		defer func() { crash() }()
		h.store.FailReplaceWhen(func(storage.Partition, *storage.Edit) error {
			if failAt--; failAt == 0 {
				crash()
				return storage.ErrFailed
			}
			return nil
		})
		rt.Repeat(map[string]func(*rapid.T){
			"append": h.append,
			"end": func(rt *rapid.T) {
				id := rapid.Int64Range(3, 4).Draw(rt, "producer")
				if !h.open[id] {
					return
				}
				h.open[id] = false
				h.marker(id, rapid.SampledFrom([]kafka.ControlType{kafka.ControlAbort, kafka.ControlCommit}).Draw(rt, "marker"))
			},
			"time": func(rt *rapid.T) {
				h.now = h.now.Add(time.Duration(rapid.IntRange(1, 700).Draw(rt, "seconds")) * time.Second)
			},
			"compact": func(rt *rapid.T) {
				h.crash()
				s := plenty
				s.MapBytes = keySlotBytes * rapid.SampledFrom([]int64{3, 6, 1000}).Draw(rt, "keys")
				before, sequences := h.view(rt), h.sequences(rt)
				offsets, err := h.p.StableOffsets()
				if err != nil {
					rt.Fatal(err)
				}
				failAt = rapid.IntRange(-20, 8).Draw(rt, "fails")
				passes := 1 + rapid.IntRange(0, 3).Draw(rt, "passes")
				if failAt > 0 {
					ctx, crash = context.WithCancel(t.Context())
					h.m.Compact(ctx, s)
					crash()
				} else {
					for range passes {
						h.m.Compact(t.Context(), s)
					}
				}
				if u := h.m.CompactionStats().Uncleanable; len(u) > 0 {
					rt.Fatal(u)
				}
				if after := h.view(rt); !maps.Equal(before, after) {
					rt.Fatalf("read %v before and %v after", before, after)
				}
				if after := h.sequences(rt); !maps.Equal(sequences, after) {
					rt.Fatalf("sequences %v before and %v after", sequences, after)
				}
				if after, err := h.p.StableOffsets(); err != nil || after != offsets {
					rt.Fatalf("offsets %+v before and %+v after", offsets, after)
				}
				if failAt <= 0 && s.MapBytes == 1000*keySlotBytes {
					h.wantCompact(rt)
				}
			},
		})
	})
}

// wantCompact checks that what is below the clean point holds no record that a
// later one there has outdated, and nothing that was aborted.
func (h *history) wantCompact(rt *rapid.T) {
	upTo, err := h.p.cleanUpTo()
	if err != nil {
		rt.Fatal(err)
	}
	last := map[string]int64{}
	_, err = h.p.EachBatch(0, func(b kafka.Batch) error {
		r := kafka.ReadRecords(b, 0)
		defer r.Close()
		for r.Next() {
			rec := r.Record()
			if b.IsControl() || b.IsTransactional() || rec.Offset >= upTo {
				continue
			}
			if at, ok := last[string(rec.Key)]; ok {
				rt.Fatalf("%s is at %d and at %d, and the log is clean up to %d: %s", rec.Key, at, rec.Offset, upTo, h.dump())
			}
			last[string(rec.Key)] = rec.Offset
		}
		return r.Err()
	})
	if err != nil {
		rt.Fatal(err)
	}
}
