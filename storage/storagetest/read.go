package storagetest

import (
	"bytes"
	"errors"
	"slices"
	"sync"
	"testing"

	"github.com/streamweir/streamweir/storage"
)

func testBoundsEmpty(t *testing.T, h *harness) {
	p := part(1, 0)
	h.wantBounds(p, 0, 0)
	h.wantBatches(p, 0, nil)
	if s := h.log().Segments(p); len(s) != 0 {
		t.Errorf("segments of nothing: %v", s)
	}
	if e := h.log().Epochs(p); len(e) != 0 {
		t.Errorf("epochs of nothing: %v", e)
	}
	if err := h.log().Trim(p, 10); err != nil {
		t.Errorf("trim of nothing: %v", err)
	}
	h.wantBounds(p, 0, 0)
	if err := h.log().Drop(p); err != nil {
		t.Errorf("drop of nothing: %v", err)
	}
	if err := h.log().Drop(); err != nil {
		t.Errorf("drop without partitions: %v", err)
	}
	h.log().Append()
}

func testPartitions(t *testing.T, h *harness) {
	ps := []storage.Partition{part(1, 0), part(1, 7), part(2, 0), part(200, 100000)}
	for _, p := range ps {
		h.fill(p, 0, 2, 1, 100)
	}
	if err := h.log().Drop(ps[1]); err != nil {
		t.Fatal(err)
	}
	if err := h.log().Trim(ps[2], 2); err != nil { // empty, but it has a start
		t.Fatal(err)
	}
	want := map[storage.Partition]bool{ps[0]: true, ps[2]: true, ps[3]: true}
	check := func() {
		t.Helper()
		got := map[storage.Partition]bool{}
		h.log().Partitions(func(p storage.Partition) {
			if got[p] {
				t.Errorf("%s twice", p)
			}
			got[p] = true
			h.log().Bounds(p) // fn may call the log
		})
		if len(got) != len(want) {
			t.Errorf("partitions %v, want %v", got, want)
		}
		for p := range want {
			if !got[p] {
				t.Errorf("%s is missing", p)
			}
		}
	}
	check()
	h.reopen()
	check()
}

// testPartitionsAreApart uses neighbouring names with overlapping offsets.
func testPartitionsAreApart(t *testing.T, h *harness) {
	ps := []storage.Partition{part(1, 0), part(1, 1), part(1, 256), part(2, 0), part(2, 1), part(255, 1<<31-1)}
	logs := make([][]storage.BatchInfo, len(ps))
	for i, p := range ps {
		logs[i] = h.fill(p, 0, 3+i, 2, int32(100+i))
	}
	check := func() {
		t.Helper()
		for i, p := range ps {
			h.wantLog(p, 0, logs[i])
		}
	}
	check()
	h.reopen()
	check()
}

func testSegments(t *testing.T, h *harness) {
	p, big := part(1, 0), part(1, 1)
	var infos []storage.BatchInfo
	for i := range 5 {
		// Timestamps that fall from one run of batches to the next.
		n := h.f.SegmentBatches/2 + 3
		specs := make([]spec, n)
		for k := range specs {
			specs[k] = spec{base: int64(len(infos) + k), size: 100, ts: int64(10000 - 100*i + k%7)}
		}
		h.append(p, specs...)
		for _, s := range specs {
			infos = append(infos, s.info())
		}
		h.wantSegments(p, infos)
		h.reopen()
		h.wantSegments(p, infos)
	}
	if segs := h.log().Segments(p); len(segs) < 2 || len(segs) > 1+len(infos)/h.f.SegmentBatches {
		t.Errorf("%d batches make %d segments", len(infos), len(segs))
	}
	infos = h.fill(big, 0, 50, 1, 1<<20)
	if segs := h.wantSegments(big, infos); len(segs) < 2 {
		t.Errorf("50 MB make %d segments", len(segs))
	}
	h.reopen()
	h.wantSegments(big, infos)
	none := part(2, 0)
	h.append(none, spec{base: 0, size: 100, ts: -1})
	if s := h.log().Segments(none); len(s) != 1 || s[0].MaxTimestamp != -1 {
		t.Errorf("segment of a batch without timestamp: %+v", s)
	}
}

func testSegmentsTrimmed(t *testing.T, h *harness) {
	p := part(1, 0)
	n := h.f.SegmentBatches
	infos := h.fill(p, 0, 3*n+n/2, 2, 100)
	for _, cut := range []int{1, n / 2, n - 1, n, n + 1, 2*n + n/3, 3 * n, 3*n + n/4, 3*n + n/2 - 1} {
		if err := h.log().Trim(p, infos[cut].BaseOffset); err != nil {
			t.Fatal(err)
		}
		h.wantSegments(p, infos[cut:])
		h.reopen()
		h.wantSegments(p, infos[cut:])
	}
}

func testEpochs(t *testing.T, h *harness) {
	p := part(1, 0)
	want := func(want ...storage.EpochStart) {
		t.Helper()
		if got := h.log().Epochs(p); !slices.Equal(got, want) {
			t.Errorf("epochs %v, want %v", got, want)
		}
		h.reopen()
		if got := h.log().Epochs(p); !slices.Equal(got, want) {
			t.Errorf("epochs after opening again %v, want %v", got, want)
		}
	}
	trim := func(to int64) {
		t.Helper()
		if err := h.log().Trim(p, to); err != nil {
			t.Fatal(err)
		}
	}
	h.append(p, spec{base: 0, size: 100, epoch: -1})
	want()
	h.append(p, spec{base: 1, size: 100, epoch: 0}, spec{base: 2, size: 100, epoch: 0})
	h.append(p, spec{base: 3, size: 100, epoch: 3}, spec{base: 4, size: 100, epoch: 2}, spec{base: 5, size: 100, epoch: 7})
	all := []storage.EpochStart{{Epoch: 0, StartOffset: 1}, {Epoch: 3, StartOffset: 3}, {Epoch: 7, StartOffset: 5}}
	want(all...)
	got := h.log().Epochs(p)
	got[0].Epoch = 42 // what is returned is the caller's
	trim(1)
	want(all...)
	trim(2)
	want(storage.EpochStart{Epoch: 0, StartOffset: 2}, all[1], all[2])
	trim(3)
	want(all[1:]...)
	trim(4)
	want(storage.EpochStart{Epoch: 3, StartOffset: 4}, all[2])
	trim(6)
	want(storage.EpochStart{Epoch: 7, StartOffset: 6})
	h.append(p, spec{base: 6, size: 100, epoch: 7}, spec{base: 7, size: 100, epoch: 8})
	want(storage.EpochStart{Epoch: 7, StartOffset: 6}, storage.EpochStart{Epoch: 8, StartOffset: 7})
}

func testBatches(t *testing.T, h *harness) {
	p := part(1, 0)
	infos := append(h.fill(p, 0, 20, 10, 100), h.fill(p, 500, 20, 10, 100)...)
	check := func() {
		t.Helper()
		for i, b := range infos {
			for _, from := range []int64{b.BaseOffset, b.BaseOffset + 1, b.LastOffset} {
				h.wantBatches(p, from, infos[i:])
			}
		}
		h.wantBatches(p, -5, infos)
		h.wantBatches(p, 200, infos[20:]) // in the gap
		h.wantBatches(p, 499, infos[20:])
		h.wantBatches(p, 700, nil)
		h.wantBatches(p, 1<<50, nil)
	}
	check()
	h.reopen()
	check()
}

func testBatchesCallback(t *testing.T, h *harness) {
	p := part(1, 0)
	infos := h.fill(p, 0, 50, 1, 100)
	calls := 0
	if err := h.log().Batches(p, 10, func(storage.BatchInfo) bool { calls++; return calls < 5 }); err != nil || calls != 5 {
		t.Errorf("%d calls, %v; want 5", calls, err)
	}
	// fn may use the log, write to it and cut it.
	var seen int
	if err := h.log().Batches(p, 0, func(b storage.BatchInfo) bool {
		if seen == 10 {
			h.fill(p, 50, 10, 1, 100)
			if err := h.log().Trim(p, 5); err != nil {
				t.Error(err)
			}
			h.read(p, storage.Position{Base: 7}, 300)
		}
		if seen < len(infos) && b != infos[seen] {
			t.Errorf("batch %d is %+v", seen, b)
		}
		seen++
		return true
	}); err != nil || seen < 50 {
		t.Errorf("%d batches, %v", seen, err)
	}
}

func testRead(t *testing.T, h *harness) {
	p := part(1, 0)
	var specs []spec
	for i, size := range []int32{100, 1, 5000, 2, 300, 70000, 61, 1 << 20, 100} {
		specs = append(specs, spec{base: int64(i) * 10, records: 10, size: size})
	}
	h.append(p, specs...)
	h.fill(part(1, 1), 0, 3, 1, 100) // a neighbour that a read must not reach
	var infos []storage.BatchInfo
	for _, s := range specs {
		infos = append(infos, s.info())
	}
	check := func() {
		t.Helper()
		for i, b := range infos {
			want := bytesOf(p, infos[i:])
			for _, skip := range []int32{0, 1, b.Size / 2, b.Size - 1, b.Size} {
				for _, n := range []int{0, 1, 99, 5101, 100000, len(want) + 10} {
					got := h.read(p, storage.Position{Base: b.BaseOffset, Skip: skip}, n)
					w := want[skip:]
					if len(w) > n {
						w = w[:n]
					}
					if !bytes.Equal(got, w) {
						t.Errorf("read of %d at %d+%d: %d bytes, want %d", n, b.BaseOffset, skip, len(got), len(w))
					}
				}
			}
		}
	}
	check()
	h.reopen()
	check()
}

func testReadOutOfRange(t *testing.T, h *harness) {
	p := part(1, 0)
	h.fill(p, 0, 10, 10, 100)
	if err := h.log().Trim(p, 35); err != nil {
		t.Fatal(err)
	}
	check := func() {
		t.Helper()
		for _, at := range []storage.Position{{Base: 0}, {Base: 20}, {Base: 35}, {Base: 41}, {Base: 100}, {Base: 1000},
			{Base: -1}, {Base: 40, Skip: 101}, {Base: 40, Skip: -1}} {
			if n, err := h.log().Read(p, at, make([]byte, 10)); n != 0 || !errors.Is(err, storage.ErrOutOfRange) {
				t.Errorf("read at %+v: %d, %v; want ErrOutOfRange", at, n, err)
			}
		}
		if n, err := h.log().Read(p, storage.Position{Base: 30}, make([]byte, 10)); n != 10 || err != nil {
			t.Errorf("read of the batch that holds the start: %d, %v", n, err)
		}
		if _, err := h.log().Read(part(9, 9), storage.Position{}, make([]byte, 10)); !errors.Is(err, storage.ErrOutOfRange) {
			t.Errorf("read of no partition: %v; want ErrOutOfRange", err)
		}
	}
	check()
	h.reopen()
	check()
}

// testReadWhileWriting reads behind a writer, with the start following both.
func testReadWhileWriting(t *testing.T, h *harness) {
	p := part(1, 0)
	const n, size = 3000, 2000
	l := h.log()
	var wg sync.WaitGroup
	wg.Add(1)
	go func() {
		defer wg.Done()
		for base := int64(0); base < n; base += 10 {
			w := newWaiter()
			var as []*storage.Append
			for k := range int64(10) {
				as = append(as, w.make(p, spec{base: base + k, size: size}))
			}
			l.Append(as...)
			for _, err := range w.wait(t, as...) {
				if err != nil {
					t.Error(err)
				}
			}
			if base%100 == 0 {
				if err := l.Trim(p, base-300); err != nil {
					t.Error(err)
				}
			}
		}
	}()
	for range 2 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			dst := make([]byte, 5*size)
			for base := int64(0); base < n-5; {
				start, end := l.Bounds(p)
				base = max(base, start)
				if base >= end {
					continue
				}
				got, err := l.Read(p, storage.Position{Base: base}, dst)
				if errors.Is(err, storage.ErrOutOfRange) {
					continue // trimmed meanwhile
				}
				if err != nil {
					t.Error(err)
					return
				}
				for off := 0; off < got; off += size {
					if !bytes.Equal(dst[off:off+size], payload(p, base, size)) {
						t.Errorf("batch %d reads wrong", base)
						return
					}
					base++
				}
			}
		}()
	}
	wg.Wait()
}
