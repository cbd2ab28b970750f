package storagetest

import (
	"bytes"
	"errors"
	"sync"
	"testing"

	"github.com/streamweir/streamweir/storage"
)

func testAppendReadBack(t *testing.T, h *harness) {
	p := part(1, 0)
	infos := h.fill(p, 0, 10, 3, 100)
	h.wantLog(p, 0, infos)
	h.reopen()
	h.wantLog(p, 0, infos)
	infos = append(infos, h.fill(p, 30, 5, 1, 2000)...)
	h.wantLog(p, 0, infos)
	h.reopen()
	h.wantLog(p, 0, infos)
}

func testAppendSizes(t *testing.T, h *harness) {
	var specs []spec
	for _, size := range []int32{61, 100, 999, 1 << 10, 1<<10 + 1, 8 << 10, 64 << 10, 1 << 20, 10 << 20, 100, 3 << 20, 500} {
		specs = append(specs, spec{base: int64(len(specs)) * 10, records: 10, size: size, ts: -1})
	}
	p := part(1, 0)
	h.append(p, specs...)
	var infos []storage.BatchInfo
	for _, s := range specs {
		infos = append(infos, s.info())
	}
	h.wantLog(p, 0, infos)
	h.reopen()
	h.wantLog(p, 0, infos)
	for _, b := range infos {
		if got := h.read(p, storage.Position{Base: b.BaseOffset}, int(b.Size)); !bytes.Equal(got, payload(p, b.BaseOffset, b.Size)) {
			t.Errorf("batch of %d bytes reads back wrong", b.Size)
		}
	}
}

// testAppendOrder writes to many partitions from many goroutines. At every
// completion the batch must be there to read, and completions of one partition
// must come in the order of their offsets.
func testAppendOrder(t *testing.T, h *harness) {
	const partitions, batches, chunk, size = 40, 200, 7, 150
	var wg sync.WaitGroup
	var mu sync.Mutex
	next := map[storage.Partition]int64{}
	l := h.log()
	for i := range partitions {
		p := part(byte(i%5), int32(i))
		wg.Add(batches)
		done := func(a *storage.Append, err error) {
			defer wg.Done()
			mu.Lock()
			want := next[a.Partition]
			next[a.Partition] = a.Info.LastOffset + 1
			mu.Unlock()
			if err != nil || a.Info.BaseOffset != want {
				t.Errorf("%s: append at %d completed (%v), want the one at %d", a.Partition, a.Info.BaseOffset, err, want)
			}
			if _, end := l.Bounds(a.Partition); end <= a.Info.LastOffset {
				t.Errorf("%s: %d is done but the log ends at %d", a.Partition, a.Info.BaseOffset, end)
			}
			if a.Info.BaseOffset%50 == 0 {
				var dst [size]byte
				if n, err := l.Read(a.Partition, storage.Position{Base: a.Info.BaseOffset}, dst[:]); n != size || err != nil {
					t.Errorf("%s: %d is done but reads as %d bytes, %v", a.Partition, a.Info.BaseOffset, n, err)
				}
			}
		}
		go func() {
			for b := 0; b < batches; b += chunk {
				var as []*storage.Append
				for k := b; k < min(b+chunk, batches); k++ {
					s := spec{base: int64(k) * 2, records: 2, size: size, ts: int64(k)}
					as = append(as, &storage.Append{Partition: p, Info: s.info(), Data: payload(p, s.base, size), Done: done})
				}
				l.Append(as...)
			}
		}()
	}
	wg.Wait()
	check := func() {
		for i := range partitions {
			p := part(byte(i%5), int32(i))
			var infos []storage.BatchInfo
			for k := range batches {
				infos = append(infos, spec{base: int64(k) * 2, records: 2, size: size, ts: int64(k)}.info())
			}
			h.wantLog(p, 0, infos)
		}
	}
	check()
	h.reopen()
	check()
}

// testAppendReleasesData overwrites the data as soon as Done is called.
func testAppendReleasesData(t *testing.T, h *harness) {
	p := part(1, 0)
	for i, size := range []int32{100, 5000, 2 << 20} {
		w := newWaiter()
		a := w.make(p, spec{base: int64(i), size: size})
		a.Done = func(a *storage.Append, err error) {
			clear(a.Data)
			w.done(a, err)
		}
		h.log().Append(a)
		h.wantErrs(w.wait(t, a), nil)
	}
	check := func() {
		for i, size := range []int32{100, 5000, 2 << 20} {
			if got := h.read(p, storage.Position{Base: int64(i)}, int(size)); !bytes.Equal(got, payload(p, int64(i), size)) {
				t.Errorf("batch %d changed with the caller's buffer", i)
			}
		}
	}
	check()
	h.reopen()
	check()
}

func testAppendRefusals(t *testing.T, h *harness) {
	p := part(1, 0)
	infos := h.fill(p, 0, 3, 5, 100)
	bad := func(change func(a *storage.Append)) {
		t.Helper()
		w := newWaiter()
		a := w.make(p, spec{base: 15, size: 100, term: 99})
		change(a)
		h.log().Append(a)
		h.wantErrs(w.wait(t, a), storage.ErrOutOfRange)
	}
	bad(func(a *storage.Append) { a.Info.BaseOffset = 14 })
	bad(func(a *storage.Append) { a.Info.BaseOffset, a.Term = -1, 100 })
	bad(func(a *storage.Append) { a.Info.LastOffset, a.Term = 14, 101 })
	bad(func(a *storage.Append) { a.Info.Size, a.Term = 99, 102 })
	h.wantLog(p, 0, infos)
	h.append(p, spec{base: 15, size: 100, term: 103})
}

func testAppendTerms(t *testing.T, h *harness) {
	p, other := part(1, 0), part(1, 1)
	h.wantErrs(h.try(p,
		spec{base: 0, size: 100, term: 5},
		spec{base: 0, size: 100, term: 5}, // fails: below the end
		spec{base: 1, size: 100, term: 5},
		spec{base: 1, size: 100, term: 4},
		spec{base: 1, size: 100, term: 6},
		spec{base: 2, size: 100, term: 6},
	), nil, storage.ErrOutOfRange, storage.ErrTerm, storage.ErrTerm, nil, nil)
	h.wantErrs(h.try(p, spec{base: 3, size: 100, term: 5}), storage.ErrTerm)
	h.append(p, spec{base: 3, size: 100, term: 6})
	h.append(other, spec{base: 0, size: 100, term: 0})
	h.wantBounds(p, 0, 4)
	h.wantBounds(other, 0, 1)
	// A term refused is no failure of its own: the higher one goes on.
	h.append(p, spec{base: 4, size: 100, term: 6})
	h.reopen()
	// A store that was opened again has no failure behind it.
	h.append(p, spec{base: 5, size: 100, term: 6})
	h.wantBounds(p, 0, 6)
}

// testAppendFromDone keeps a chain of appends going from the completions.
func testAppendFromDone(t *testing.T, h *harness) {
	p := part(1, 0)
	l := h.log()
	const n = 100
	finished := make(chan error, 1)
	var next func(base int64) *storage.Append
	next = func(base int64) *storage.Append {
		s := spec{base: base, size: 120}
		return &storage.Append{Partition: p, Info: s.info(), Data: payload(p, base, 120), Done: func(a *storage.Append, err error) {
			if err != nil || base == n-1 {
				finished <- err
				return
			}
			l.Append(next(base + 1))
		}}
	}
	l.Append(next(0))
	if err := <-finished; err != nil {
		t.Fatal(err)
	}
	h.wantBounds(p, 0, n)
}

func testAppendSkipsOffsets(t *testing.T, h *harness) {
	p := part(1, 0)
	specs := []spec{{base: 100, size: 100}, {base: 250, records: 10, size: 70}, {base: 1 << 40, size: 80}}
	h.append(p, specs...)
	infos := []storage.BatchInfo{specs[0].info(), specs[1].info(), specs[2].info()}
	check := func() {
		h.wantBounds(p, 0, 1<<40+1)
		h.wantBatches(p, 0, infos)
		h.wantBatches(p, 101, infos[1:])
		h.wantData(p, infos)
		h.wantSegments(p, infos)
	}
	check()
	h.reopen()
	check()
	if err := h.log().Trim(p, 200); err != nil {
		t.Fatal(err)
	}
	h.wantBounds(p, 200, 1<<40+1)
	h.wantBatches(p, 0, infos[1:])
}

func testCloseFinishesAppends(t *testing.T, h *harness) {
	p := part(1, 0)
	const n = 500
	w := newWaiter()
	as := make([]*storage.Append, n)
	for i := range as {
		as[i] = w.make(p, spec{base: int64(i), size: 3000})
	}
	l := h.log()
	l.Append(as...)
	h.close()
	for i, err := range w.wait(t, as...) {
		if err != nil {
			t.Fatalf("append %d queued before Close: %v", i, err)
		}
	}
	a := w.make(p, spec{base: n, size: 100})
	l.Append(a)
	h.wantErrs(w.wait(t, a), storage.ErrClosed)
	h.open()
	if h.f.Durable {
		h.wantBounds(p, 0, n)
	}
}

func testClosed(t *testing.T, h *harness) {
	p := part(1, 0)
	h.fill(p, 0, 2, 1, 100)
	l, m := h.log(), h.meta()
	h.close()
	_, readErr := l.Read(p, storage.Position{}, make([]byte, 10))
	_, _, loadErr := l.LoadState(p, "x")
	_, _, getErr := m.Get("x")
	for what, err := range map[string]error{
		"Read":         readErr,
		"Batches":      l.Batches(p, 0, func(storage.BatchInfo) bool { return true }),
		"Trim":         l.Trim(p, 1),
		"Drop":         l.Drop(p),
		"SaveState":    l.SaveState(p, "x", storage.State{}),
		"TrySaveState": l.TrySaveState(p, "x", storage.State{}),
		"LoadState":    loadErr,
		"Get":          getErr,
		"Scan":         m.Scan("", func(string, []byte) error { return nil }),
		"Apply":        m.Apply(storage.Op{Key: "x", Value: []byte("y")}),
	} {
		if !errors.Is(err, storage.ErrClosed) {
			t.Errorf("%s of a closed store: %v, want ErrClosed", what, err)
		}
	}
}

func testHealthAndUsage(t *testing.T, h *harness) {
	h.fill(part(1, 0), 0, 100, 1, 10000)
	if err := h.store.Health(); err != nil {
		t.Errorf("health of a store at work: %v", err)
	}
	u := h.store.Usage()
	if u.LogBytes < 100*10000 {
		t.Errorf("usage %+v after writing %d bytes", u, 100*10000)
	}
	if h.f.Durable && (u.Total <= 0 || u.Free <= 0 || u.Free > u.Total || u.Reserve <= 0) {
		t.Errorf("usage %+v does not describe a disk", u)
	}
}
