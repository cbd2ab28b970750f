package partition

import (
	"bytes"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/streamweir/streamweir/storage"
)

// TestReaderPieces reads plans in pieces of any size: what comes is what the log
// holds, no piece is empty or too large, and where batches are of one size, none
// is cut that fits.
func TestReaderPieces(t *testing.T) {
	for _, sizes := range [][]int{{300}, {1, 200, 5000, 70, 40_000}} {
		b := newBench(t)
		b.m.cache.limit = 0
		for i := range 40 {
			b.must(batchOf{values: []string{strings.Repeat("x", sizes[i%len(sizes)])}})
		}
		var starts []int64
		var whole []byte
		largest := 0
		if err := b.store.Log().Batches(b.p.id, 0, func(i storage.BatchInfo) bool {
			starts = append(starts, int64(len(whole)))
			data := make([]byte, i.Size)
			if _, err := b.store.Log().Read(b.p.id, storage.Position{Base: i.BaseOffset}, data); err != nil {
				t.Error(err)
			}
			whole = append(whole, data...)
			largest = max(largest, len(data))
			return true
		}); err != nil {
			t.Fatal(err)
		}
		rapid.Check(t, func(rt *rapid.T) {
			from := rapid.Int64Range(0, 39).Draw(rt, "from")
			plan, err := b.p.Plan(from, -1, rapid.IntRange(1, len(whole)).Draw(rt, "max"), true)
			if err != nil {
				rt.Fatal(err)
			}
			r := NewReader(plan)
			defer r.Close()
			var got []byte
			for r.Left() > 0 {
				piece := rapid.IntRange(1, 2*largest).Draw(rt, "piece")
				bufs, err := r.Next(piece)
				if err != nil {
					rt.Fatal(err)
				}
				n := len(bytes.Join(bufs, nil))
				if n == 0 || n > piece {
					rt.Fatalf("%d bytes where %d were asked for", n, piece)
				}
				if cut := r.check.at != 0; cut && len(sizes) == 1 && piece >= largest {
					rt.Fatalf("a piece of %d ends %d bytes into a batch of %d", piece, r.check.at, largest)
				}
				got = append(got, bytes.Join(bufs, nil)...)
			}
			if want := whole[starts[from]:][:plan.Bytes]; !bytes.Equal(got, want) {
				rt.Fatalf("read %d bytes from %d that are not those of the log", len(got), from)
			}
		})
	}
}
