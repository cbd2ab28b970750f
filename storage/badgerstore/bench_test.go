package badgerstore

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/streamweir/streamweir/storage"
)

// cpuSeconds is what this process has used so far.
func cpuSeconds() float64 {
	var u unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return float64(u.Utime.Sec+u.Stime.Sec) + float64(u.Utime.Usec+u.Stime.Usec)/1e6
}

// measure reports bytes per second and CPU per byte of what fn does.
func measure(b *testing.B, bytes int64, fn func()) {
	b.Helper()
	cpu, began := cpuSeconds(), time.Now()
	b.ResetTimer()
	fn()
	b.StopTimer()
	total := float64(bytes) * float64(b.N)
	b.ReportMetric(total/1e6/time.Since(began).Seconds(), "MB/s")
	b.ReportMetric((cpuSeconds()-cpu)/(total/1e9), "cpu-s/GB")
}

// feeder keeps appends of some partitions going, a fixed number in flight for
// each, until all are done.
type feeder struct {
	log   storage.Log
	parts []storage.Partition
	size  int
	depth int

	mu   sync.Mutex
	next []int64
	left int
	wg   sync.WaitGroup
	fail func(args ...any)
}

func newFeeder(b testing.TB, s storage.Store, partitions, size, depth int) *feeder {
	f := &feeder{log: s.Log(), size: size, depth: depth, next: make([]int64, partitions), fail: b.Error}
	for i := range partitions {
		f.parts = append(f.parts, storage.Partition{Topic: storage.TopicID{1, byte(i % 7)}, Index: int32(i)})
	}
	return f
}

func (f *feeder) run(n int) {
	f.left = n
	f.wg.Add(n)
	data := make([]byte, f.size)
	for i := range data {
		data[i] = byte(i * 7)
	}
	var first []*storage.Append
	for i, p := range f.parts {
		for range f.depth {
			if f.left == 0 {
				break
			}
			f.left--
			a := &storage.Append{Partition: p, Data: data, Owner: i, Done: f.done, Epoch: 1}
			f.set(a, i)
			first = append(first, a)
		}
	}
	f.log.Append(first...)
	f.wg.Wait()
}

func (f *feeder) set(a *storage.Append, i int) {
	base := f.next[i]
	f.next[i] += 10
	a.Info = storage.BatchInfo{BaseOffset: base, LastOffset: base + 9, MaxTimestamp: base, Size: int32(f.size)}
}

func (f *feeder) done(a *storage.Append, err error) {
	if err != nil {
		f.fail(err)
	}
	f.mu.Lock()
	more := f.left > 0
	if more {
		f.left--
		f.set(a, a.Owner.(int))
	}
	f.mu.Unlock()
	if more {
		f.log.Append(a)
	}
	f.wg.Done()
}

func syncName(always bool) string {
	if always {
		return "always"
	}
	return "os"
}

func BenchmarkAppend(b *testing.B) {
	for _, always := range []bool{false, true} {
		for _, c := range []struct{ size, partitions, depth int }{
			{100, 100, 5}, {1 << 10, 100, 5}, {8 << 10, 100, 5}, {64 << 10, 12, 5}, {1 << 20, 4, 2},
		} {
			b.Run(fmt.Sprintf("%s/%dB/%dpartitions", syncName(always), c.size, c.partitions), func(b *testing.B) {
				s := mustOpen(b, Options{Dir: b.TempDir(), SyncAlways: always})
				defer s.Close()
				b.ReportAllocs()
				f := newFeeder(b, s, c.partitions, c.size, c.depth)
				measure(b, int64(c.size), func() { f.run(b.N) })
				st := s.Stats()
				b.ReportMetric(float64(st.Batches)/float64(max(st.Groups, 1)), "batches/group")
			})
		}
	}
}

// BenchmarkAppendLatency has one batch of 1 KB in flight.
func BenchmarkAppendLatency(b *testing.B) {
	for _, always := range []bool{false, true} {
		b.Run(syncName(always), func(b *testing.B) {
			s := mustOpen(b, Options{Dir: b.TempDir(), SyncAlways: always})
			defer s.Close()
			b.ReportAllocs()
			f := newFeeder(b, s, 1, 1<<10, 1)
			b.ResetTimer()
			f.run(b.N)
		})
	}
}

// filled is a store with about total bytes in batches of one size.
func filled(b testing.TB, dir string, partitions, size int, total int64) (*Store, *feeder) {
	s := mustOpen(b, Options{Dir: dir})
	f := newFeeder(b, s, partitions, size, 64)
	f.run(int(total / int64(size)))
	return s, f
}

func BenchmarkRead(b *testing.B) {
	for _, size := range []int{100, 1 << 10, 8 << 10, 64 << 10} {
		for _, chunk := range []int{64 << 10, 1 << 20} {
			b.Run(fmt.Sprintf("%dB/%dKB", size, chunk>>10), func(b *testing.B) {
				s, f := filled(b, b.TempDir(), 4, size, min(512<<20, int64(size)*200_000))
				defer s.Close()
				p := f.parts[0]
				_, end := s.Log().Bounds(p)
				dst := make([]byte, chunk)
				b.ReportAllocs()
				at := storage.Position{}
				var total int64
				cpu, began := cpuSeconds(), time.Now()
				b.ResetTimer()
				for range b.N {
					n, err := s.Log().Read(p, at, dst)
					if err != nil {
						b.Fatal(err)
					}
					total += int64(n)
					at.Base += int64(n / size * 10)
					if at.Base >= end || n < size {
						at.Base = 0
					}
				}
				b.StopTimer()
				b.ReportMetric(float64(total)/1e6/time.Since(began).Seconds(), "MB/s")
				b.ReportMetric((cpuSeconds()-cpu)/(float64(total)/1e9), "cpu-s/GB")
			})
		}
	}
}

func BenchmarkBatches(b *testing.B) {
	s, f := filled(b, b.TempDir(), 4, 1<<10, 200<<20)
	defer s.Close()
	_, end := s.Log().Bounds(f.parts[0])
	for _, n := range []int{1, 16, 256, 10000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			b.ReportAllocs()
			from := int64(5)
			for range b.N {
				k := 0
				if err := s.Log().Batches(f.parts[0], from, func(storage.BatchInfo) bool { k++; return k < n }); err != nil {
					b.Fatal(err)
				}
				from = (from + 7919) % (end / 2)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/batch")
		})
	}
}

func BenchmarkOpen(b *testing.B) {
	for _, c := range []struct{ partitions, size, batches int }{{0, 0, 0}, {10000, 1 << 10, 10}, {10000, 1 << 10, 60}, {12, 64 << 10, 20000}} {
		b.Run(fmt.Sprintf("%dpartitions/%dbatches", c.partitions, c.batches), func(b *testing.B) {
			dir := b.TempDir()
			s := mustOpen(b, Options{Dir: dir})
			if c.partitions > 0 {
				f := newFeeder(b, s, c.partitions, c.size, 2)
				f.run(c.partitions * c.batches)
			}
			if err := s.Close(); err != nil {
				b.Fatal(err)
			}
			b.ResetTimer()
			for range b.N {
				s := mustOpen(b, Options{Dir: dir})
				b.StopTimer()
				s.Close()
				b.StartTimer()
			}
		})
	}
}
