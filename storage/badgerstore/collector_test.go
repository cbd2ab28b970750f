package badgerstore

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/streamweir/streamweir/storage"
)

// smallFiles makes a store that rotates and compacts after little data.
func smallFiles(dir string) Options {
	return Options{
		Dir: dir, MemtableBytes: 256 << 10, ValueLogFileBytes: 4 << 20, ReserveBytes: 1 << 20,
		SegmentBytes: 1 << 20, CollectShare: 1,
	}
}

// eventually waits for a condition that background work brings about.
func eventually(t *testing.T, what string, limit time.Duration, ok func() bool) {
	t.Helper()
	deadline := time.After(limit)
	look := time.NewTicker(10 * time.Millisecond)
	defer look.Stop()
	for !ok() {
		select {
		case <-look.C:
		case <-deadline:
			t.Fatalf("%s: not within %v", what, limit)
		}
	}
}

// TestSpaceReturnsUnderLoad writes many times what it keeps. Without the
// collector (or with Badger's own options) the disk fills with all of it.
func TestSpaceReturnsUnderLoad(t *testing.T) {
	for _, size := range []int{64 << 10, 2 << 10, 100} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			s := mustOpen(t, smallFiles(t.TempDir()))
			defer s.Close()
			dir := filepath.Join(s.dir.path, logName)
			keep := int64(10 << 20) // of live data
			total := int64(240 << 20)
			if size == 100 {
				keep, total = 2<<20, 20<<20
			}
			f := newFeeder(t, s, 4, size, 16)
			perRound := int(keep / 4 / int64(size))
			var most int64
			for written := int64(0); written < total; written += int64(perRound * size) {
				f.run(perRound)
				for _, p := range f.parts {
					_, end := s.Log().Bounds(p)
					if err := s.Log().Trim(p, end-keep/4/int64(size)*10); err != nil {
						t.Fatal(err)
					}
				}
				most = max(most, usedBytes(dir))
			}
			// Live data, what may be garbage, and what the databases need to work.
			bound := keep + 5*s.opts.ValueLogFileBytes + 20*s.opts.MemtableBytes
			eventually(t, fmt.Sprintf("%d bytes on disk for %d live ones", usedBytes(dir), s.liveBytes.Load()), 30*time.Second, func() bool {
				return usedBytes(dir) < bound
			})
			if size > 100 && most > total*2/3 {
				t.Errorf("%d bytes on disk while %d were written and %d kept", most, total, keep)
			}
			t.Logf("kept %d of %d, at most %d on disk, %d at the end, %d files collected", keep, total, most, usedBytes(dir), s.Stats().CollectorRuns)
		})
	}
}

// TestSpaceReturnsWhenIdle writes, removes nearly all, and then does nothing.
func TestSpaceReturnsWhenIdle(t *testing.T) {
	for _, how := range []string{"trim", "drop"} {
		for _, size := range []int{32 << 10, 100} {
			t.Run(fmt.Sprint(how, size), func(t *testing.T) {
				s := mustOpen(t, smallFiles(t.TempDir()))
				defer s.Close()
				dir := filepath.Join(s.dir.path, logName)
				f := newFeeder(t, s, 8, size, 16)
				f.run(min(60<<20, size*100_000) / size)
				before := usedBytes(dir)
				for _, p := range f.parts[1:] {
					_, end := s.Log().Bounds(p)
					var err error
					if how == "trim" {
						err = s.Log().Trim(p, end)
					} else {
						err = s.Log().Drop(p)
					}
					if err != nil {
						t.Fatal(err)
					}
				}
				bound := min(before/2, s.liveBytes.Load()*3/2+2*s.opts.ValueLogFileBytes+12*s.opts.MemtableBytes)
				eventually(t, "space after removal", 60*time.Second, func() bool { return usedBytes(dir) < bound })
				// What stayed is whole.
				n := 0
				if err := s.Log().Batches(f.parts[0], 0, func(storage.BatchInfo) bool { n++; return true }); err != nil || int64(n)*10 != f.next[0] {
					t.Errorf("%d batches of the partition that stayed, %v; want %d", n, err, f.next[0]/10)
				}
				dst := make([]byte, size)
				for base := int64(0); base < f.next[0]; base += 10 {
					if got, err := s.Log().Read(f.parts[0], storage.Position{Base: base}, dst); got != size || err != nil {
						t.Fatalf("read at %d: %d, %v", base, got, err)
					}
				}
				t.Logf("%d bytes on disk before, %d after, %d live", before, usedBytes(dir), s.liveBytes.Load())
			})
		}
	}
}
