package storagetest

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"pgregory.net/rapid"

	"github.com/streamweir/streamweir/storage"
)

// shrunk is an edit that puts a batch of size bytes in the place of old, or
// nothing where size is 0. The new bytes are as payload makes them.
func shrunk(p storage.Partition, old storage.BatchInfo, size int32, ts int64) storage.Edit {
	e := storage.Edit{Old: old, MaxTimestamp: ts}
	if size > 0 {
		e.Data = payload(p, old.BaseOffset, size)
	}
	return e
}

// edited is infos after edits.
func edited(infos []storage.BatchInfo, edits ...storage.Edit) []storage.BatchInfo {
	var out []storage.BatchInfo
	for _, b := range infos {
		i := slices.IndexFunc(edits, func(e storage.Edit) bool { return e.Old == b })
		switch {
		case i < 0:
			out = append(out, b)
		case edits[i].Data != nil:
			out = append(out, edits[i].New())
		}
	}
	return out
}

// wantHoles checks a log whose end need not be that of its last batch.
func (h *harness) wantHoles(p storage.Partition, start, end int64, infos []storage.BatchInfo) {
	h.Helper()
	h.wantBounds(p, start, end)
	h.wantBatches(p, 0, infos)
	h.wantSegments(p, infos)
	h.wantData(p, infos)
}

func (h *harness) replace(p storage.Partition, edits ...storage.Edit) {
	h.Helper()
	if err := h.log().Replace(p, edits...); err != nil {
		h.Fatalf("replace %d batches of %s: %v", len(edits), p, err)
	}
}

func testReplace(t *testing.T, h *harness) {
	p := part(1, 0)
	infos := h.fill(p, 0, 50, 10, 300)
	usage := func() int64 {
		var n int64
		for _, s := range h.log().Segments(p) {
			n += s.Bytes
		}
		return n
	}
	before := usage()
	for _, edits := range [][]storage.Edit{
		{shrunk(p, infos[0], 0, 0)},                                    // the first one
		{shrunk(p, infos[7], 100, 5)},                                  // smaller, with an older time
		{shrunk(p, infos[8], 700, 2000)},                               // larger
		{shrunk(p, infos[9], infos[9].Size, 1009+90)},                  // as large
		{shrunk(p, infos[10], infos[10].Size, infos[10].MaxTimestamp)}, // all the same: only the bytes are new
		{shrunk(p, infos[11], 0, 0), shrunk(p, infos[13], 61, -1), shrunk(p, infos[20], 0, 0)},
		{shrunk(p, infos[49], 61, 1)}, // the last one may become empty
	} {
		h.replace(p, edits...)
		infos = edited(infos, edits...)
		h.wantHoles(p, 0, 500, infos)
		h.reopen()
		h.wantHoles(p, 0, 500, infos)
	}
	if now := usage(); now >= before {
		t.Errorf("the segments have %d bytes, %d before", now, before)
	}
	// Offsets in a hole find the batch behind it, and one in a batch that batch.
	h.wantBatches(p, 3, infos)
	h.wantBatches(p, 115, infos[10:])
	h.wantBatches(p, 75, infos[6:])
	if _, err := h.log().Read(p, storage.Position{Base: 0}, make([]byte, 10)); !errors.Is(err, storage.ErrOutOfRange) {
		t.Errorf("read of a removed batch: %v", err)
	}
	// The log goes on where it was.
	more := h.fill(p, 500, 5, 1, 200)
	infos = append(infos, more...)
	h.wantHoles(p, 0, 505, infos)
	h.reopen()
	h.wantHoles(p, 0, 505, infos)
}

// testReplaceAll removes all but the last batch, and then that one too, once
// there is another.
func testReplaceAll(t *testing.T, h *harness) {
	p := part(1, 0)
	infos := h.fill(p, 0, 30, 10, 300)
	var edits []storage.Edit
	for _, b := range infos[:29] {
		edits = append(edits, shrunk(p, b, 0, 0))
	}
	h.replace(p, edits...)
	h.wantHoles(p, 0, 300, infos[29:])
	h.reopen()
	h.wantHoles(p, 0, 300, infos[29:])
	more := h.fill(p, 300, 3, 1, 100)
	h.replace(p, shrunk(p, infos[29], 0, 0))
	h.wantHoles(p, 0, 303, more)
	h.reopen()
	h.wantHoles(p, 0, 303, more)
	h.wantErrs(h.try(p, spec{base: 302, size: 100}), storage.ErrOutOfRange)
	// A start in the hole, and one at the end.
	for _, to := range []int64{17, 301, 303} {
		if err := h.log().Trim(p, to); err != nil {
			t.Fatal(err)
		}
		left := slices.DeleteFunc(slices.Clone(more), func(b storage.BatchInfo) bool { return b.LastOffset < to })
		h.wantHoles(p, to, 303, left)
		h.reopen()
		h.wantHoles(p, to, 303, left)
	}
}

func testReplaceRefusals(t *testing.T, h *harness) {
	p := part(1, 0)
	infos := h.fill(p, 0, 20, 10, 300)
	if err := h.log().Trim(p, 35); err != nil {
		t.Fatal(err)
	}
	infos = infos[3:]
	other := infos[2]
	other.Size++
	for name, edits := range map[string][]storage.Edit{
		"a removed last batch":              {shrunk(p, infos[16], 0, 0)},
		"a batch behind the start":          {shrunk(p, storage.BatchInfo{BaseOffset: 20, LastOffset: 29, MaxTimestamp: 1002, Size: 300}, 0, 0)},
		"a batch of another size":           {shrunk(p, other, 0, 0)},
		"a batch that never was":            {shrunk(p, storage.BatchInfo{BaseOffset: 45, LastOffset: 45, Size: 300}, 61, 0)},
		"edits in the wrong order":          {shrunk(p, infos[5], 61, 0), shrunk(p, infos[4], 61, 0)},
		"an edit twice":                     {shrunk(p, infos[5], 61, 0), shrunk(p, infos[5], 61, 0)},
		"a good one before one that is not": {shrunk(p, infos[5], 61, 0), shrunk(p, storage.BatchInfo{BaseOffset: 999, LastOffset: 999, Size: 1}, 0, 0)},
	} {
		if err := h.log().Replace(p, edits...); !errors.Is(err, storage.ErrOutOfRange) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := h.log().Replace(part(9, 9), shrunk(p, infos[0], 0, 0)); !errors.Is(err, storage.ErrOutOfRange) {
		t.Errorf("a partition that is not there: %v", err)
	}
	if err := h.log().Replace(p); err != nil {
		t.Errorf("no edits: %v", err)
	}
	h.wantHoles(p, 35, 200, infos)
	// The batch that holds the start may change, and keeps its place.
	e := shrunk(p, infos[0], 100, 1)
	h.replace(p, e)
	infos = edited(infos, e)
	h.wantHoles(p, 35, 200, infos)
	h.reopen()
	h.wantHoles(p, 35, 200, infos)
}

// testReplaceLarge makes more and larger edits than go into one transaction.
func testReplaceLarge(t *testing.T, h *harness) {
	p := part(1, 0)
	infos := h.fill(p, 0, 9000, 1, 400)
	infos = append(infos, h.fill(p, 9000, 4, 1, 3<<20)...)
	var edits []storage.Edit
	for i, b := range infos[:len(infos)-1] {
		switch {
		case b.Size > 1<<20:
			edits = append(edits, shrunk(p, b, 2<<20, 9))
		case i%3 == 0:
			edits = append(edits, shrunk(p, b, 0, 0))
		case i%3 == 1:
			edits = append(edits, shrunk(p, b, 300, 9))
		}
	}
	h.replace(p, edits...)
	infos = edited(infos, edits...)
	h.wantHoles(p, 0, 9004, infos)
	h.reopen()
	h.wantHoles(p, 0, 9004, infos)
}

// testReplaceMerges sees that compacted logs do not keep a segment for every
// batch that is left.
func testReplaceMerges(t *testing.T, h *harness) {
	p := part(1, 0)
	n := 20 * h.f.SegmentBatches
	infos := h.fill(p, 0, n, 1, 100)
	var edits []storage.Edit
	for i, b := range infos[:n-1] {
		if i%h.f.SegmentBatches > 0 {
			edits = append(edits, shrunk(p, b, 0, 0))
		}
	}
	h.replace(p, edits...)
	infos = edited(infos, edits...)
	h.wantHoles(p, 0, int64(n), infos)
	if segs := h.log().Segments(p); h.f.Merges && len(segs) > 4 {
		t.Errorf("%d batches are in %d segments", len(infos), len(segs))
	}
}

// testReplaceWhileWriting edits a log from its start to its end, again and again,
// while others append to it, trim it and read it.
func testReplaceWhileWriting(t *testing.T, h *harness) {
	p := part(1, 0)
	const total = 3000
	h.fill(p, 0, 100, 1, 200)
	var wg sync.WaitGroup
	var done atomic.Bool
	wg.Go(func() {
		defer done.Store(true)
		w := newWaiter()
		var as []*storage.Append
		for base := int64(100); base < total; base += 20 {
			batch := make([]*storage.Append, 20)
			for i := range batch {
				batch[i] = w.make(p, spec{base: base + int64(i), size: 200, ts: 1})
			}
			h.log().Append(batch...)
			as = append(as, batch...)
			if base%400 == 0 {
				for _, err := range w.wait(t, as...) {
					if err != nil {
						t.Errorf("append: %v", err)
					}
				}
			}
		}
		w.wait(t, as...)
	})
	wg.Go(func() {
		for !done.Load() {
			start, end := h.log().Bounds(p)
			if err := h.log().Trim(p, start+(end-start)/50); err != nil {
				t.Errorf("trim: %v", err)
			}
		}
	})
	wg.Go(func() {
		for !done.Load() {
			last := int64(-1)
			err := h.log().Batches(p, 0, func(b storage.BatchInfo) bool {
				if b.BaseOffset <= last {
					t.Errorf("batch %d follows %d", b.BaseOffset, last)
				}
				last = b.LastOffset
				return true
			})
			if err != nil {
				t.Errorf("batches: %v", err)
			}
		}
	})
	random := rand.New(rand.NewPCG(1, 2))
	rounds := 0
	for ; !done.Load() || rounds < 3; rounds++ {
		var edits []storage.Edit
		infos := h.batches(p, 0)
		for _, b := range infos[:max(0, len(infos)-1)] {
			switch random.IntN(4) {
			case 0:
				edits = append(edits, shrunk(p, b, 0, 0))
			case 1:
				edits = append(edits, shrunk(p, b, 61+int32(random.IntN(200)), 3))
			}
			if len(edits) == 30 {
				break
			}
		}
		if err := h.log().Replace(p, edits...); err != nil && !errors.Is(err, storage.ErrOutOfRange) {
			t.Fatalf("replace: %v", err)
		}
	}
	wg.Wait()
	start, end := h.log().Bounds(p)
	if end != total {
		t.Errorf("the log ends at %d", end)
	}
	infos := h.batches(p, 0)
	h.wantHoles(p, start, total, infos)
	h.reopen()
	h.wantHoles(p, start, total, infos)
}

func testReplaceDropped(t *testing.T, h *harness) {
	p := part(1, 0)
	infos := h.fill(p, 0, 50, 10, 300)
	if err := h.log().Drop(p); err != nil {
		t.Fatal(err)
	}
	if err := h.log().Replace(p, shrunk(p, infos[0], 100, 1)); !errors.Is(err, storage.ErrOutOfRange) && !errors.Is(err, storage.ErrTerm) {
		t.Errorf("replace in a dropped partition: %v", err)
	}
	infos = h.fillTerm(p, 0, 5, 1)
	h.wantLog(p, 0, infos)
	h.reopen()
	h.wantLog(p, 0, infos)
}

// replaceInBoth makes random edits in the store and in the model.
func replaceInBoth(rt *rapid.T, h *harness, p storage.Partition, m *model) {
	var edits []storage.Edit
	for i, b := range m.batches {
		last := i == len(m.batches)-1 && b.LastOffset+1 == m.end
		switch what := rapid.IntRange(0, 3).Draw(rt, "edit"); {
		case what == 0 && !last:
			edits = append(edits, shrunk(p, b, 0, 0))
		case what == 1:
			size := rapid.SampledFrom([]int32{61, 61, 200, 600, b.Size}).Draw(rt, "size")
			edits = append(edits, shrunk(p, b, size, rapid.Int64Range(-1, 50).Draw(rt, "timestamp")))
		}
	}
	if err := h.log().Replace(p, edits...); err != nil {
		rt.Fatalf("replace: %v", err)
	}
	m.batches = edited(m.batches, edits...)
	for _, b := range m.batches {
		dst := make([]byte, b.Size)
		if n, err := h.log().Read(p, storage.Position{Base: b.BaseOffset}, dst); err != nil || !bytes.Equal(dst[:n], payload(p, b.BaseOffset, b.Size)) {
			rt.Fatalf("%s", fmt.Sprintf("the batch at %d reads otherwise: %v", b.BaseOffset, err))
		}
	}
}
