package storagetest

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/streamweir/streamweir/storage"
)

// harness is a store under test and the helpers around it.
type harness struct {
	*testing.T
	f     Factory
	dir   string
	store storage.Store
}

func (h *harness) open() {
	h.Helper()
	h.store = h.f.Open(h.T, h.dir)
}

func (h *harness) close() {
	h.Helper()
	if h.store == nil {
		return
	}
	if err := h.store.Close(); err != nil {
		h.Errorf("close: %v", err)
	}
	h.store = nil
}

// reopen closes and opens a durable store; another one just goes on.
func (h *harness) reopen() {
	h.Helper()
	if !h.f.Durable {
		return
	}
	h.close()
	h.open()
}

func (h *harness) log() storage.Log   { return h.store.Log() }
func (h *harness) meta() storage.Meta { return h.store.Meta() }

// part names a partition of a test.
func part(topic byte, index int32) storage.Partition {
	return storage.Partition{Topic: storage.TopicID{0: topic, 15: 0xff - topic}, Index: index}
}

// payload is size bytes that only the batch at base of p has.
func payload(p storage.Partition, base int64, size int32) []byte {
	b := make([]byte, size)
	src := rand.NewChaCha8([32]byte{p.Topic[0], byte(p.Index), byte(p.Index >> 8),
		byte(base), byte(base >> 8), byte(base >> 16), byte(base >> 24), byte(base >> 32)})
	_, _ = src.Read(b) // never fails
	return b
}

// spec describes a batch to append.
type spec struct {
	base    int64
	records int64 // 0 means 1
	size    int32
	ts      int64
	epoch   int32
	term    uint64
}

func (s spec) info() storage.BatchInfo {
	return storage.BatchInfo{BaseOffset: s.base, LastOffset: s.base + max(s.records, 1) - 1, MaxTimestamp: s.ts, Size: s.size}
}

// waiter collects the completions of a group of appends.
type waiter struct {
	wg    sync.WaitGroup
	mu    sync.Mutex
	order []*storage.Append
	errs  map[*storage.Append]error
	twice []string
}

func newWaiter() *waiter { return &waiter{errs: map[*storage.Append]error{}} }

func (w *waiter) make(p storage.Partition, s spec) *storage.Append {
	w.wg.Add(1)
	return &storage.Append{
		Partition: p, Info: s.info(), Data: payload(p, s.base, s.size),
		Epoch: s.epoch, Term: s.term, Done: w.done,
	}
}

func (w *waiter) done(a *storage.Append, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, ok := w.errs[a]; ok {
		w.twice = append(w.twice, fmt.Sprintf("%s at %d", a.Partition, a.Info.BaseOffset))
		return
	}
	w.errs[a] = err
	w.order = append(w.order, a)
	w.wg.Done()
}

// wait waits for all and returns the errors of as, in their order.
func (w *waiter) wait(t testing.TB, as ...*storage.Append) []error {
	t.Helper()
	w.wg.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range w.twice {
		t.Errorf("Done was called twice for %s", s)
	}
	errs := make([]error, len(as))
	for i, a := range as {
		errs[i] = w.errs[a]
	}
	return errs
}

// try appends batches together, waits, and returns their errors.
func (h *harness) try(p storage.Partition, specs ...spec) []error {
	h.Helper()
	w := newWaiter()
	as := make([]*storage.Append, len(specs))
	for i, s := range specs {
		as[i] = w.make(p, s)
	}
	h.log().Append(as...)
	return w.wait(h, as...)
}

// append appends batches that must succeed.
func (h *harness) append(p storage.Partition, specs ...spec) {
	h.Helper()
	for i, err := range h.try(p, specs...) {
		if err != nil {
			h.Fatalf("append %+v to %s: %v", specs[i], p, err)
		}
	}
}

// fill appends n batches of records records and size bytes from base on, with
// rising timestamps, and returns what was appended.
func (h *harness) fill(p storage.Partition, base int64, n int, records int64, size int32) []storage.BatchInfo {
	h.Helper()
	specs := make([]spec, n)
	infos := make([]storage.BatchInfo, n)
	for i := range specs {
		specs[i] = spec{base: base + int64(i)*records, records: records, size: size, ts: 1000 + base + int64(i)}
		infos[i] = specs[i].info()
	}
	h.append(p, specs...)
	return infos
}

func (h *harness) wantErrs(got []error, want ...error) {
	h.Helper()
	if len(got) != len(want) {
		h.Fatalf("%d errors, want %d", len(got), len(want))
	}
	for i := range got {
		if !errors.Is(got[i], want[i]) {
			h.Errorf("append %d: error %v, want %v", i, got[i], want[i])
		}
	}
}

func (h *harness) wantBounds(p storage.Partition, start, end int64) {
	h.Helper()
	if s, e := h.log().Bounds(p); s != start || e != end {
		h.Errorf("bounds of %s are %d..%d, want %d..%d", p, s, e, start, end)
	}
}

func (h *harness) batches(p storage.Partition, from int64) []storage.BatchInfo {
	h.Helper()
	var out []storage.BatchInfo
	if err := h.log().Batches(p, from, func(b storage.BatchInfo) bool { out = append(out, b); return true }); err != nil {
		h.Fatalf("batches of %s from %d: %v", p, from, err)
	}
	return out
}

func (h *harness) wantBatches(p storage.Partition, from int64, want []storage.BatchInfo) {
	h.Helper()
	if got := h.batches(p, from); !slices.Equal(got, want) {
		h.Errorf("batches of %s from %d:\n got %s\nwant %s", p, from, abbreviate(got), abbreviate(want))
	}
}

func abbreviate(b []storage.BatchInfo) string {
	if len(b) > 8 {
		return fmt.Sprintf("%v ... (%d)", b[:8], len(b))
	}
	return fmt.Sprintf("%v", b)
}

// bytesOf is what a partition's log holds from the first batch of infos on.
func bytesOf(p storage.Partition, infos []storage.BatchInfo) []byte {
	var out []byte
	for _, b := range infos {
		out = append(out, payload(p, b.BaseOffset, b.Size)...)
	}
	return out
}

func (h *harness) read(p storage.Partition, at storage.Position, n int) []byte {
	h.Helper()
	dst := make([]byte, n)
	got, err := h.log().Read(p, at, dst)
	if err != nil {
		h.Fatalf("read %s at %+v: %v", p, at, err)
	}
	return dst[:got]
}

// wantData checks that the whole log from infos on reads as it was written.
func (h *harness) wantData(p storage.Partition, infos []storage.BatchInfo) {
	h.Helper()
	want := bytesOf(p, infos)
	if len(infos) == 0 {
		return
	}
	got := h.read(p, storage.Position{Base: infos[0].BaseOffset}, len(want)+100)
	if !bytes.Equal(got, want) {
		h.Errorf("the log of %s from %d reads as %d bytes that differ from the %d written", p, infos[0].BaseOffset, len(got), len(want))
	}
}

// wantSegments checks that the segments account for exactly the batches there.
func (h *harness) wantSegments(p storage.Partition, infos []storage.BatchInfo) []storage.Segment {
	h.Helper()
	segs := h.log().Segments(p)
	rest := infos
	for i, s := range segs {
		n := int(s.Batches)
		if n <= 0 || n > len(rest) {
			h.Fatalf("segment %d of %s counts %d batches, %d are left: %+v", i, p, n, len(rest), segs)
		}
		want := storage.Segment{BaseOffset: rest[0].BaseOffset, LastOffset: rest[n-1].LastOffset, MaxTimestamp: -1, Batches: int32(n)}
		for _, b := range rest[:n] {
			want.Bytes += int64(b.Size)
			want.MaxTimestamp = max(want.MaxTimestamp, b.MaxTimestamp)
		}
		if s != want {
			h.Errorf("segment %d of %s is %+v, want %+v", i, p, s, want)
		}
		rest = rest[n:]
	}
	if len(rest) > 0 {
		h.Errorf("segments of %s leave out %d batches from %d on", p, len(rest), rest[0].BaseOffset)
	}
	return segs
}

// wantLog checks everything that a partition says of itself.
func (h *harness) wantLog(p storage.Partition, start int64, infos []storage.BatchInfo) {
	h.Helper()
	end := start
	if n := len(infos); n > 0 {
		end = infos[n-1].LastOffset + 1
	}
	h.wantBounds(p, start, end)
	h.wantBatches(p, start, infos)
	h.wantSegments(p, infos)
	h.wantData(p, infos)
}
