package storagetest

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/streamweir/streamweir/storage"
)

func testTrim(t *testing.T, h *harness) {
	p := part(1, 0)
	infos := h.fill(p, 0, 100, 10, 200)
	for _, c := range []struct{ to, start int64 }{
		{0, 0}, {-5, 0}, {5, 5}, {3, 5}, {9, 9}, {10, 10}, {415, 415}, {0, 415}, {419, 419}, {420, 420}, {990, 990}, {995, 995},
	} {
		if err := h.log().Trim(p, c.to); err != nil {
			t.Fatalf("trim to %d: %v", c.to, err)
		}
		first := c.start / 10
		h.wantBounds(p, c.start, 1000)
		h.wantBatches(p, 0, infos[first:])
		h.wantBatches(p, c.start, infos[first:])
		h.wantData(p, infos[first:])
		h.wantSegments(p, infos[first:])
		h.reopen()
		h.wantBounds(p, c.start, 1000)
		h.wantBatches(p, 0, infos[first:])
		h.wantSegments(p, infos[first:])
	}
	more := h.fill(p, 1000, 10, 1, 200)
	h.wantBounds(p, 995, 1010)
	h.wantBatches(p, 0, append(slices.Clone(infos[99:]), more...))
}

func testTrimAll(t *testing.T, h *harness) {
	p := part(1, 0)
	h.fill(p, 0, 10, 10, 200)
	if err := h.log().Trim(p, 1000); err != nil { // beyond the end
		t.Fatal(err)
	}
	empty := func() {
		t.Helper()
		h.wantBounds(p, 100, 100)
		h.wantBatches(p, 0, nil)
		if s := h.log().Segments(p); len(s) != 0 {
			t.Errorf("segments of an empty log: %+v", s)
		}
	}
	empty()
	h.reopen()
	empty()
	h.wantErrs(h.try(p, spec{base: 99, size: 100}), storage.ErrOutOfRange)
	infos := h.fillTerm(p, 100, 5, 1)
	h.wantLog(p, 100, infos)
	h.reopen()
	h.wantLog(p, 100, infos)
}

// fillTerm appends n small batches under a term of their own.
func (h *harness) fillTerm(p storage.Partition, base int64, n int, term uint64) []storage.BatchInfo {
	h.Helper()
	var infos []storage.BatchInfo
	for i := range n {
		s := spec{base: base + int64(i), size: 100, ts: 7, term: term}
		h.append(p, s)
		infos = append(infos, s.info())
	}
	return infos
}

// testTrimLarge removes more batches than fit into one transaction of most
// engines, and checks that the start stays where it was put.
func testTrimLarge(t *testing.T, h *harness) {
	p := part(1, 0)
	const n = 20000
	infos := h.fill(p, 0, n, 1, 100)
	if err := h.log().Trim(p, n-5); err != nil {
		t.Fatal(err)
	}
	h.wantLog(p, n-5, infos[n-5:])
	h.reopen()
	h.wantLog(p, n-5, infos[n-5:])
}

func testDrop(t *testing.T, h *harness) {
	gone, stays, sibling := part(1, 0), part(2, 0), part(1, 1)
	for _, p := range []storage.Partition{gone, stays, sibling} {
		h.fill(p, 0, 3000, 1, 100)
		if err := h.log().SaveState(p, "producers", storage.State{Offset: 1, Data: []byte("x")}); err != nil {
			t.Fatal(err)
		}
	}
	if err := h.log().Trim(gone, 10); err != nil {
		t.Fatal(err)
	}
	if err := h.log().Drop(gone); err != nil {
		t.Fatal(err)
	}
	check := func() {
		t.Helper()
		h.wantBounds(gone, 0, 0)
		h.wantBatches(gone, 0, nil)
		if n := len(h.log().Segments(gone)) + len(h.log().Epochs(gone)); n != 0 {
			t.Errorf("a dropped partition has %d segments and epochs", n)
		}
		if _, err := h.log().Read(gone, storage.Position{Base: 10}, make([]byte, 10)); !errors.Is(err, storage.ErrOutOfRange) {
			t.Errorf("read of a dropped partition: %v", err)
		}
		if _, ok, err := h.log().LoadState(gone, "producers"); ok || err != nil {
			t.Errorf("state of a dropped partition: %v, %v", ok, err)
		}
		for _, p := range []storage.Partition{stays, sibling} {
			h.wantBounds(p, 0, 3000)
			if n := len(h.batches(p, 0)); n != 3000 {
				t.Errorf("%s has %d batches left", p, n)
			}
			if _, ok, err := h.log().LoadState(p, "producers"); !ok || err != nil {
				t.Errorf("state of %s: %v, %v", p, ok, err)
			}
		}
	}
	check()
	h.reopen()
	check()
	h.reopen() // once more: the clean-up may have ended now
	check()
}

// testDropWhileWriting drops a partition that is being written. Every append
// ends somehow, and what is left is a log without holes.
func testDropWhileWriting(t *testing.T, h *harness) {
	for round := range 5 {
		p := part(3, int32(round))
		w := newWaiter()
		as := make([]*storage.Append, 400)
		for i := range as {
			as[i] = w.make(p, spec{base: int64(i), size: 5000})
		}
		h.log().Append(as[:200]...)
		var wg sync.WaitGroup
		wg.Add(1)
		go func() {
			defer wg.Done()
			if err := h.log().Drop(p); err != nil {
				t.Error(err)
			}
		}()
		h.log().Append(as[200:]...)
		wg.Wait()
		for i, err := range w.wait(t, as...) {
			if err != nil && !errors.Is(err, storage.ErrTerm) {
				t.Errorf("append %d: %v", i, err)
			}
		}
		_, end := h.log().Bounds(p)
		next := end
		if got := h.batches(p, 0); len(got) > 0 {
			next = got[0].BaseOffset
			for _, b := range got {
				if b.BaseOffset != next {
					t.Errorf("a hole before %d", b.BaseOffset)
				}
				next = b.LastOffset + 1
			}
		}
		if next != end {
			t.Errorf("batches up to %d, end %d", next, end)
		}
	}
}

func testDropAndWriteAgain(t *testing.T, h *harness) {
	p := part(1, 0)
	for round := range 3 {
		infos := h.fillTerm(p, int64(round), 50, uint64(round))
		h.wantBatches(p, 0, infos)
		h.wantData(p, infos)
		h.reopen()
		h.wantBatches(p, 0, infos)
		h.wantData(p, infos)
		if err := h.log().Drop(p); err != nil {
			t.Fatal(err)
		}
		h.wantBounds(p, 0, 0)
	}
	h.reopen()
	h.wantBounds(p, 0, 0)
	h.wantBatches(p, 0, nil)
}

func testState(t *testing.T, h *harness) {
	p := part(1, 0)
	h.fill(p, 0, 5, 1, 100)
	load := func(name string) (storage.State, bool) {
		t.Helper()
		s, ok, err := h.log().LoadState(p, name)
		if err != nil {
			t.Fatal(err)
		}
		return s, ok
	}
	if _, ok := load("producers"); ok {
		t.Error("a state before any was saved")
	}
	sizes := []int{0, 1, 1000, 100000, 5 << 20, 10}
	for i, size := range sizes {
		data := payload(p, int64(i), int32(size))
		if err := h.log().SaveState(p, "producers", storage.State{Offset: int64(i), Data: data}); err != nil {
			t.Fatalf("save %d bytes: %v", size, err)
		}
		clear(data)
		if s, ok := load("producers"); !ok || s.Offset != int64(i) || !slices.Equal(s.Data, payload(p, int64(i), int32(size))) {
			t.Errorf("state of %d bytes loads as %v, %d, %d bytes", size, ok, s.Offset, len(s.Data))
		}
	}
	if err := h.log().SaveState(p, "time", storage.State{Offset: 77, Data: []byte("t")}); err != nil {
		t.Fatal(err)
	}
	h.reopen() // an orderly end loses nothing
	if s, ok := load("producers"); !ok || s.Offset != 5 || len(s.Data) != 10 {
		t.Errorf("state after opening again: %v, %+v", ok, s)
	}
	if s, ok := load("time"); !ok || s.Offset != 77 {
		t.Errorf("other state: %v, %+v", ok, s)
	}
	if _, ok := load("tim"); ok {
		t.Error("a prefix of a name finds a state")
	}
}

func testStateConcurrent(t *testing.T, h *harness) {
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			p := part(1, int32(i))
			for k := range 30 {
				st := storage.State{Offset: int64(k), Data: fmt.Appendf(nil, "%d-%d", i, k)}
				if err := h.log().SaveState(p, "s", st); err != nil {
					t.Error(err)
				}
				got, ok, err := h.log().LoadState(p, "s")
				if err != nil || !ok || string(got.Data) != string(st.Data) {
					t.Errorf("saved %q, loaded %q (%v, %v)", st.Data, got.Data, ok, err)
				}
			}
		}()
	}
	wg.Wait()
}
