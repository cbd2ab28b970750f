package partition

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/streamweir/streamweir/protocol/kafka"
	"github.com/streamweir/streamweir/storage"
)

// batchValues reads a plan batch by batch, in pieces of piece bytes.
func (b *bench) batchValues(plan Plan, piece int) (out []string) {
	b.t.Helper()
	bs := NewBatches(plan)
	defer bs.Close()
	for {
		bs.piece = piece
		batch, err := bs.Next()
		if err != nil {
			b.t.Fatal(err)
		}
		if batch == nil {
			return out
		}
		if !batch.CRCValid() {
			b.t.Fatalf("the batch at %d is not what was appended", batch.BaseOffset())
		}
		r := kafka.ReadRecords(batch, 0)
		for r.Next() {
			out = append(out, string(r.Record().Value))
		}
		if err := r.Err(); err != nil {
			b.t.Fatal(err)
		}
		r.Close()
	}
}

func TestBatchesAreWholeHoweverThePiecesAreCut(t *testing.T) {
	for _, cache := range []int64{0, 1 << 20} {
		t.Run(fmt.Sprintf("cache of %d", cache), func(t *testing.T) {
			b := newBench(t)
			b.cache = cache
			b.restart()
			var want []string
			for i := range 20 {
				v := strings.Repeat(string(rune('a'+i)), i*i*7)
				b.must(batchOf{values: []string{v, "-"}})
				want = append(want, v, "-")
			}
			for _, piece := range []int{1, 7, 60, 61, 62, 100, 1000, 1 << 20} {
				plan, err := b.p.Plan(0, -1, 1<<20, true)
				if err != nil {
					t.Fatal(err)
				}
				if got := b.batchValues(plan, piece); !slices.Equal(got, want) {
					t.Fatalf("in pieces of %d bytes: got %d values, want %d", piece, len(got), len(want))
				}
			}
		})
	}
}

func TestBatchesThatAreTrimmedAwayAreAnError(t *testing.T) {
	b := newBench(t)
	b.cache = 0
	b.restart()
	for range 3 {
		b.must(batchOf{values: []string{"v"}})
	}
	plan, err := b.p.Plan(0, -1, 1<<20, true)
	if err != nil {
		t.Fatal(err)
	}
	bs := NewBatches(plan)
	defer bs.Close()
	if _, err := b.p.DeleteBefore(3); err != nil {
		t.Fatal(err)
	}
	if batch, err := bs.Next(); !errors.Is(err, storage.ErrOutOfRange) {
		t.Fatalf("got batch %v and %v", batch, err)
	}
}

func TestAppendIsBoundByTheCallersLimit(t *testing.T) {
	b := newBench(t, "max.message.bytes", "1000")
	raw := b.build(batchOf{values: []string{strings.Repeat("x", 5000)}})
	for _, c := range []struct {
		limit int
		want  error
	}{{0, kerr.MessageTooLarge}, {len(raw) - 1, kerr.MessageTooLarge}, {len(raw), nil}} {
		done := make(chan Result, 1)
		b.p.Append(Request{Batch: slices.Clone(raw), MaxBytes: c.limit, Done: func(r Result) { done <- r }})
		if r := <-done; !errors.Is(r.Err, c.want) {
			t.Errorf("with a limit of %d: %v, want %v", c.limit, r.Err, c.want)
		}
	}
}
