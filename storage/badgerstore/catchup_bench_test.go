package badgerstore

import (
	"fmt"
	"testing"
	"time"

	"github.com/streamweir/streamweir/storage"
)

// BenchmarkCatchUp does what consumers of old data have the store do: list what
// makes 1 MB of a partition, then read it, and the same for the next partition.
//
//   - known: what was listed is read where it lies, and the places fit into memory
//   - fresh: the same where each batch has to be listed anew, since other data was
//     read in between
//   - walked: as if no places were known, the keys are walked for each listing and
//     again for each read
func BenchmarkCatchUp(b *testing.B) {
	const total, response = 512 << 20, 1 << 20
	for _, c := range []struct{ size, partitions int }{{1 << 10, 100}, {8 << 10, 100}, {64 << 10, 12}} {
		s, f := filled(b, b.TempDir(), c.partitions, c.size, min(total, int64(c.size)*200_000))
		dst := make([]byte, response)
		for _, how := range []string{"known", "fresh", "walked"} {
			b.Run(fmt.Sprintf("%dB/%s", c.size, how), func(b *testing.B) {
				b.ReportAllocs()
				next := make([]int64, len(f.parts))
				var bytes int64
				cpu, began := cpuSeconds(), time.Now()
				for i := 0; b.Loop(); i = (i + 1) % len(f.parts) {
					p := f.parts[i]
					if _, end := s.Log().Bounds(p); next[i] >= end {
						next[i] = 0
						if how == "fresh" {
							s.places.forget(s.partition(p))
						}
					}
					from, want := next[i], 0
					err := s.Log().Batches(p, from, func(x storage.BatchInfo) bool {
						if want+int(x.Size) > response {
							return false
						}
						want += int(x.Size)
						next[i] = x.LastOffset + 1
						return true
					})
					if err != nil {
						b.Fatal(err)
					}
					if how == "walked" {
						s.places.forget(s.partition(p))
					}
					if n, err := s.Log().Read(p, storage.Position{Base: from}, dst[:want]); n != want || err != nil {
						b.Fatalf("read %d of %d bytes at %d of %s: %v", n, want, from, p, err)
					}
					bytes += int64(want)
				}
				b.ReportMetric(float64(bytes)/1e6/time.Since(began).Seconds(), "MB/s")
				b.ReportMetric((cpuSeconds()-cpu)/(float64(bytes)/1e9), "cpu-s/GB")
			})
		}
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
	}
}
