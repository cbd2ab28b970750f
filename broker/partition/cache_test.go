package partition

import (
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/streamweir/streamweir/broker/memory"
)

// TestCacheCountsWhatItKeeps appends batches that came in requests of several,
// reads them, and takes them away in every way there is: what the cache counts is
// at each time the memory that it keeps, each buffer once, and never above its
// limit.
func TestCacheCountsWhatItKeeps(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		b := newBench(t)
		b.quiet = true
		b.cache = rapid.SampledFrom([]int64{0, 700, 20_000}).Draw(rt, "cache")
		b.open()
		for range rapid.IntRange(1, 15).Draw(rt, "requests") {
			appendRequest(rt, b)
			if rapid.IntRange(0, 9).Draw(rt, "what") == 0 {
				b.p.mu.Lock()
				b.p.forgetUpTo(rapid.Int64Range(0, b.p.high).Draw(rt, "offset"))
				b.p.mu.Unlock()
			}
			checkCache(rt, b)
		}
		if got := b.values(0, 5000, 700); int64(len(got)) != b.p.high {
			rt.Fatalf("read %d records, want %d", len(got), b.p.high)
		}
		if n := b.m.reading.Load(); n != 0 {
			rt.Fatalf("%d bytes are held by readers that are closed", n)
		}
		b.p.retire()
		if used := b.m.cache.used.Load(); used != 0 {
			rt.Fatalf("%d bytes are counted of what is gone", used)
		}
	})
}

// appendRequest appends batches that lie side by side in one buffer, as those of
// a request do.
func appendRequest(rt *rapid.T, b *bench) {
	var raws [][]byte
	total := 0
	for range rapid.IntRange(1, 6).Draw(rt, "batches") {
		size := rapid.SampledFrom([]int{1, 30, 500, 3000}).Draw(rt, "size")
		raws = append(raws, b.build(batchOf{values: []string{strings.Repeat("v", size)}}))
		total += len(raws[len(raws)-1])
	}
	frame := memory.NewBuffer(total)
	at := 0
	for _, raw := range raws {
		n := copy(frame.B[at:], raw)
		done := make(chan Result, 1)
		b.p.Append(Request{Batch: frame.B[at : at+n], Buffer: frame, Done: func(r Result) { done <- r }})
		if r := <-done; r.Err != nil {
			rt.Fatal(r.Err)
		}
		at += n
	}
	frame.Release()
}

func checkCache(rt *rapid.T, b *bench) {
	b.p.mu.Lock()
	defer b.p.mu.Unlock()
	kept := map[*memory.Buffer]bool{}
	var want int64
	for i := range b.p.tails.n {
		e := b.p.tails.at(i)
		if !kept[e.buffer] {
			kept[e.buffer] = true
			want += int64(cap(e.buffer.B))
		}
		if cap(e.buffer.B) > 512 && cap(e.buffer.B) >= (maxShare+1)*len(e.data) {
			rt.Fatalf("a batch of %d bytes keeps a buffer of %d", len(e.data), cap(e.buffer.B))
		}
		want += tailOverhead
	}
	if used := b.m.cache.used.Load(); used != want || used > max(b.m.cache.limit, 0) {
		rt.Fatalf("the cache counts %d bytes and keeps %d, its limit is %d", used, want, b.m.cache.limit)
	}
}
