package partition

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"pgregory.net/rapid"

	"github.com/streamweir/streamweir/storage/memstore"
)

// smallSegments gives the bench a store whose segments hold two batches.
func smallSegments(t *testing.T, configs ...string) *bench {
	b := newBench(t, configs...)
	b.store = memstore.New(memstore.Options{SegmentBatches: 2})
	t.Cleanup(func() { b.store.Close() })
	b.open()
	return b
}

func TestRetentionByTime(t *testing.T) {
	b := smallSegments(t, "retention.ms", "60000")
	for i := range 6 {
		b.must(batchOf{values: []string{fmt.Sprint(i)}, at: b.now.Add(time.Duration(i) * 20 * time.Second).UnixMilli()})
	}
	for _, step := range []struct {
		at   time.Duration
		want int64
	}{{80 * time.Second, 0}, {81 * time.Second, 2}, {121 * time.Second, 4}, {160 * time.Second, 4}, {161 * time.Second, 6}} {
		b.now = startTime.Add(step.at)
		b.m.Clean(t.Context())
		if got := b.p.Offsets().Start; got != step.want {
			t.Fatalf("after %v the log starts at %d, want %d", step.at, got, step.want)
		}
	}
	// The end stays where it was, over a restart too.
	b.restart()
	if o := b.p.Offsets(); o.Start != 6 || o.High != 6 {
		t.Fatalf("%+v", o)
	}
	if base := b.must(batchOf{values: []string{"x"}}); base != 6 {
		t.Fatalf("base offset %d", base)
	}
}

func TestRetentionBySizeKeepsAtLeastTheLimit(t *testing.T) {
	b := smallSegments(t, "retention.bytes", "1000", "retention.ms", "-1")
	size := int64(len(b.build(batchOf{values: []string{strings.Repeat("x", 200)}})))
	for range 20 {
		b.must(batchOf{values: []string{strings.Repeat("x", 200)}})
		b.m.Clean(t.Context())
	}
	if n := b.p.Size(); n < 1000 || n > 1000+3*size {
		t.Fatalf("%d bytes are left", n)
	}
}

func TestCompactedTopicsAreNotTrimmed(t *testing.T) {
	b := smallSegments(t, "cleanup.policy", "compact", "retention.ms", "1", "retention.bytes", "1")
	for range 6 {
		b.must(batchOf{values: []string{"x"}})
	}
	b.now = b.now.Add(time.Hour)
	b.m.Clean(t.Context())
	if o := b.p.Offsets(); o.Start != 0 {
		t.Fatalf("%+v", o)
	}
}

func TestDeleteBefore(t *testing.T) {
	b := newBench(t)
	for range 4 {
		b.must(batchOf{values: []string{"a", "b"}})
	}
	for _, step := range []struct {
		offset, want int64
		err          *kerr.Error
	}{{3, 3, nil}, {1, 3, nil}, {9, -1, kerr.OffsetOutOfRange}, {-2, -1, kerr.OffsetOutOfRange}, {-1, 8, nil}} {
		got, err := b.p.DeleteBefore(step.offset)
		if got != step.want || step.err == nil && err != nil {
			t.Fatalf("up to %d: %d %v", step.offset, got, err)
		}
		if step.err != nil {
			b.wantCode(err, step.err)
		}
	}
}

func TestSearchByTime(t *testing.T) {
	b := smallSegments(t)
	at := startTime.UnixMilli()
	// The largest timestamp is in the middle, and timestamps go back.
	for _, ts := range []int64{100, 300, 200, 900, 400, 500} {
		b.must(batchOf{values: []string{"a", "b"}, at: at + ts})
	}
	for _, step := range []struct {
		at, offset, found int64
	}{{0, 0, 100}, {100, 0, 100}, {101, 1, 101}, {102, 2, 300}, {301, 3, 301}, {302, 6, 900}, {901, 7, 901}, {902, -1, -1}} {
		f, err := b.p.OffsetForTime(at + step.at)
		if err != nil {
			t.Fatal(err)
		}
		want := Found{Offset: step.offset, Timestamp: at + step.found, Epoch: 0}
		if step.offset < 0 {
			want = notFound
		}
		if f != want {
			t.Fatalf("at %d: %+v, want %+v", step.at, f, want)
		}
	}
	if f, err := b.p.OffsetOfMaxTime(); err != nil || f.Offset != 7 {
		t.Fatalf("%+v %v", f, err)
	}
	if _, err := b.p.DeleteBefore(8); err != nil {
		t.Fatal(err)
	}
	if f, err := b.p.OffsetForTime(at); err != nil || f.Offset != 8 {
		t.Fatalf("below the log's start: %+v %v", f, err)
	}
}

func TestEpochsOverRestarts(t *testing.T) {
	b := newBench(t)
	b.must(batchOf{values: []string{"a", "b"}}) // 0, 1 in epoch 0
	b.restart()
	b.restart()
	b.must(batchOf{values: []string{"c"}}) // 2 in epoch 2
	b.restart()
	for epoch, want := range map[int32]string{-1: "-1 -1", 0: "0 2", 1: "0 2", 2: "2 3", 3: "3 3", 4: "-1 -1"} {
		e, end := b.p.EndOffset(epoch)
		if got := fmt.Sprint(e, end); got != want {
			t.Errorf("epoch %d: %s, want %s", epoch, got, want)
		}
	}
	for offset, want := range map[int64]int32{0: 0, 1: 0, 2: 2, 3: 3} {
		if got := b.p.EpochAt(offset); got != want {
			t.Errorf("offset %d: epoch %d, want %d", offset, got, want)
		}
	}
}

// TestAgainstModel does random things to a partition and to a list of records,
// and compares.
func TestAgainstModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		b := newBench(t)
		b.cache = rapid.SampledFrom([]int64{0, 1000, 1 << 20}).Draw(rt, "cache")
		b.store = memstore.New(memstore.Options{SegmentBatches: 3})
		defer b.store.Close()
		b.open()
		var records []string
		start, seq := 0, int32(0)
		rt.Repeat(map[string]func(*rapid.T){
			"append": func(rt *rapid.T) {
				var values []string
				for range rapid.IntRange(1, 4).Draw(rt, "records") {
					values = append(values, strings.Repeat("v", rapid.IntRange(0, 300).Draw(rt, "size")))
				}
				if base := b.must(batchOf{values: values}); base != int64(len(records)) {
					rt.Fatalf("base offset %d, want %d", base, len(records))
				}
				for _, v := range values {
					records = append(records, fmt.Sprintf("%d:%s", len(records), v))
				}
			},
			"idempotent": func(rt *rapid.T) {
				for range rapid.IntRange(1, 3).Draw(rt, "sends") {
					if base := b.must(batchOf{producer: from(1, 0, seq), values: []string{"i"}}); base != int64(len(records)) {
						rt.Fatalf("base offset %d, want %d", base, len(records))
					}
				}
				records = append(records, fmt.Sprintf("%d:i", len(records)))
				seq++
			},
			"trim": func(rt *rapid.T) {
				to := rapid.IntRange(0, len(records)).Draw(rt, "to")
				if _, err := b.p.DeleteBefore(int64(to)); err != nil {
					rt.Fatal(err)
				}
				start = max(start, to)
			},
			"restart": func(*rapid.T) { b.restart() },
			"crash":   func(*rapid.T) { b.crash() },
			"": func(rt *rapid.T) {
				if o := b.p.Offsets(); o.Start != int64(start) || o.High != int64(len(records)) {
					rt.Fatalf("bounds %+v, want %d to %d", o, start, len(records))
				}
				at := rapid.IntRange(start, len(records)).Draw(rt, "from")
				got := b.values(int64(at), rapid.IntRange(1, 2000).Draw(rt, "max"), rapid.IntRange(1, 500).Draw(rt, "piece"))
				if fmt.Sprint(got) != fmt.Sprint(records[at:]) {
					rt.Fatalf("from %d: %v, want %v", at, got, records[at:])
				}
			},
		})
	})
}
