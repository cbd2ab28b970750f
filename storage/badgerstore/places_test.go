package badgerstore

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/streamweir/streamweir/storage"
)

// listed lists a partition and returns its batches.
func listed(t testing.TB, s *Store, p storage.Partition) (infos []storage.BatchInfo) {
	t.Helper()
	if err := s.Log().Batches(p, 0, func(b storage.BatchInfo) bool { infos = append(infos, b); return true }); err != nil {
		t.Fatal(err)
	}
	return infos
}

// TestReadsAtKnownPlaces would fail with a version of Badger whose items or
// entries are made otherwise: reads would ask Badger and be right, but not fast.
func TestReadsAtKnownPlaces(t *testing.T) {
	o := smallFiles(t.TempDir())
	s := mustOpen(t, o)
	var whole []byte
	sizes := []int{600, 20_000, 512, 127 + 512, 70_000, 1 << 20, 16_384 + 63, 2_000}
	for base, size := range sizes {
		data := bytes.Repeat([]byte{byte(base + 1)}, size)
		whole = append(whole, data...)
		if err := appendOne(s, fp, int64(base), 0, data); err != nil {
			t.Fatal(err)
		}
	}
	for _, when := range []string{"written", "opened again"} {
		listed(t, s, fp)
		before := s.Stats().PlacedReads
		dst := make([]byte, len(whole)+1)
		if n, err := s.Log().Read(fp, storage.Position{}, dst); err != nil || !bytes.Equal(dst[:n], whole) {
			t.Fatalf("%s: read %d bytes, %v", when, n, err)
		}
		if placed := s.Stats().PlacedReads - before; placed != uint64(len(sizes)) {
			t.Errorf("%s: %d of %d batches were read where they were listed", when, placed, len(sizes))
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		s = mustOpen(t, o)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestPlacesThatAreWrong reads at places where something else is: what comes
// back must be right all the same.
func TestPlacesThatAreWrong(t *testing.T) {
	for name, spoil := range map[string]func(x *place){
		"another file":     func(x *place) { x.file = 77 },
		"another batch":    func(x *place) { x.offset -= uint32(x.entryBytes()) },
		"inside the entry": func(x *place) { x.offset += 5 },
		"behind the file":  func(x *place) { x.offset = 1 << 31 },
		"in the empty end": func(x *place) { x.offset += 4 << 20 },
	} {
		t.Run(name, func(t *testing.T) {
			s := mustOpen(t, smallFiles(t.TempDir()))
			defer s.Close()
			var whole []byte
			for base := range int64(10) {
				data := bytes.Repeat([]byte{byte(base)}, 3000)
				whole = append(whole, data...)
				if err := appendOne(s, fp, base, 0, data); err != nil {
					t.Fatal(err)
				}
			}
			listed(t, s, fp)
			spoil(&s.partition(fp).runs[0].at[5])
			dst := make([]byte, len(whole)+1)
			if n, err := s.Log().Read(fp, storage.Position{Base: 2, Skip: 10}, dst); err != nil || !bytes.Equal(dst[:n], whole[2*3000+10:]) {
				t.Errorf("read %d bytes, %v", n, err)
			}
			if placed := s.Stats().PlacedReads; placed != 3 {
				t.Errorf("%d batches before the wrong place were read at theirs, want 3", placed)
			}
			if runs := s.partition(fp).runs; len(runs) != 0 {
				t.Errorf("wrong places are still known: %v", runs)
			}
		})
	}
}

// TestValueFileThatIsRemoved empties a file while it is mapped, as Badger does.
func TestValueFileThatIsRemoved(t *testing.T) {
	dir := t.TempDir()
	f := newValueFiles(dir, true)
	defer f.close()
	if err := os.WriteFile(valueLogPath(dir, 1), make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	file, err := f.acquire(1, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	x := place{file: 1, offset: 8192, size: 100_000}
	var scratch []byte
	read := func() error {
		return guarded(func() error {
			_, err := f.copyEntry(make([]byte, 1000), file, fp, &x, 0, &scratch)
			return err
		})
	}
	if err := read(); !errors.Is(err, errMoved) {
		t.Errorf("read of zeros: %v", err)
	}
	if err := os.Truncate(valueLogPath(dir, 1), 0); err != nil {
		t.Fatal(err)
	}
	if err := read(); !errors.Is(err, errMoved) {
		t.Errorf("read of an emptied file: %v", err)
	}
	f.release(file, false)
	if _, err := f.acquire(1, 1); !errors.Is(err, errMoved) {
		t.Errorf("an empty file was mapped: %v", err)
	}
	if err := os.Remove(valueLogPath(dir, 1)); err != nil {
		t.Fatal(err)
	}
	if _, err := f.acquire(1, 1); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a removed file was mapped: %v", err)
	}
}

// TestGuardedHidesNothingElse lets a panic that is no fault of a mapping through.
func TestGuardedHidesNothingElse(t *testing.T) {
	for name, fn := range map[string]func() error{
		"panic": func() error { panic("x") },
		"nil":   func() error { var p *place; return errors.New(fmt.Sprint(p.base)) },
		"index": func() error { var b []byte; return errors.New(fmt.Sprint(b[len(b)])) },
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("nothing was seen of it")
				}
			}()
			t.Errorf("returned %v", guarded(fn))
		})
	}
}

// TestValueFilesAreBounded maps more files than are kept, while the first one is
// in use.
func TestValueFilesAreBounded(t *testing.T) {
	dir := t.TempDir()
	f := newValueFiles(dir, true)
	const n = maxValueFiles + 10
	content := func(id uint32) []byte { return bytes.Repeat([]byte{byte(id)}, 5000) }
	for id := uint32(1); id <= n; id++ {
		if err := os.WriteFile(valueLogPath(dir, id), content(id), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	first, err := f.acquire(1, 5000)
	if err != nil {
		t.Fatal(err)
	}
	for id := uint32(2); id <= n; id++ {
		file, err := f.acquire(id, 5000)
		if err != nil || !bytes.Equal(file.data, content(id)) {
			t.Fatalf("file %d: %v", id, err)
		}
		f.release(file, true)
	}
	if len(f.mu.files) != maxValueFiles || f.mu.recent.Len() != maxValueFiles {
		t.Errorf("%d files are mapped, want %d", len(f.mu.files), maxValueFiles)
	}
	if !bytes.Equal(first.data, content(1)) {
		t.Error("a file that is in use was unmapped")
	}
	f.release(first, true)
	if first.data != nil {
		t.Error("a file that fell out is still mapped")
	}
	// One that has grown is mapped anew, also while the older mapping is in use.
	old, err := f.acquire(n, 5000)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(valueLogPath(dir, n), bytes.Repeat([]byte{byte(n)}, 9000), 0o600); err != nil {
		t.Fatal(err)
	}
	grown, err := f.acquire(n, 9000)
	if err != nil || len(grown.data) != 9000 || len(old.data) != 5000 {
		t.Fatalf("a file that has grown: %v", err)
	}
	f.release(old, true)
	f.release(grown, true)
	f.close()
	if len(f.mu.files) != 0 || old.data != nil || grown.data != nil {
		t.Error("files are mapped after the end")
	}
}

// TestReadsWhileValuesMove lists and reads all the time, while most of the log is
// removed and the collector moves the rest.
func TestReadsWhileValuesMove(t *testing.T) {
	const size, total = 20_000, 3000
	o := smallFiles(t.TempDir())
	o.PlacesBytes = 64 << 10
	s := mustOpen(t, o)
	defer s.Close()
	kept, passing := storage.Partition{Topic: storage.TopicID{1}}, storage.Partition{Topic: storage.TopicID{2}}
	data := func(base int64) []byte { return bytes.Repeat([]byte{byte(base), byte(base >> 8)}, size/2) }
	var done atomic.Bool
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			dst := make([]byte, 10*size)
			for !done.Load() {
				for _, p := range []storage.Partition{kept, passing} {
					start, end := s.Log().Bounds(p)
					for from := start; from < end; from += 10 {
						n := 0
						if err := s.Log().Batches(p, from, func(storage.BatchInfo) bool { n++; return n < 10 }); err != nil {
							t.Error(err)
							return
						}
						got, err := s.Log().Read(p, storage.Position{Base: from}, dst)
						if errors.Is(err, storage.ErrOutOfRange) {
							break // trimmed meanwhile
						}
						if err != nil {
							t.Error(err)
							return
						}
						for i := range int64(got / size) {
							if !bytes.Equal(dst[i*size:(i+1)*size], data(from+i)) {
								t.Errorf("batch %d of %s reads wrong", from+i, p)
								return
							}
						}
					}
				}
			}
		})
	}
	for base := range int64(total) {
		if base%10 == 0 {
			_, end := s.Log().Bounds(kept)
			if err := appendOne(s, kept, end, 0, data(end)); err != nil {
				t.Fatal(err)
			}
		}
		if err := appendOne(s, passing, base, 0, data(base)); err != nil {
			t.Fatal(err)
		}
		if base%50 == 0 {
			if err := s.Log().Trim(passing, base-100); err != nil {
				t.Fatal(err)
			}
		}
	}
	eventually(t, "a file that is collected", 30*time.Second, func() bool { return s.Stats().CollectorRuns > 3 })
	done.Store(true)
	wg.Wait()
	if s.Stats().PlacedReads == 0 {
		t.Error("nothing was read at a known place")
	}
	t.Logf("%d files collected, %d batches read at known places", s.Stats().CollectorRuns, s.Stats().PlacedReads)
}

// TestPlacesOfMovedValues lists, has the collector move what was listed, and
// reads where nothing is any more.
func TestPlacesOfMovedValues(t *testing.T) {
	s := mustOpen(t, smallFiles(t.TempDir()))
	defer s.Close()
	f := newFeeder(t, s, 8, 32<<10, 16)
	f.run(1200)
	p := f.parts[0]
	infos := listed(t, s, p)
	whole := make([]byte, len(infos)*f.size)
	if n, err := s.Log().Read(p, storage.Position{}, whole); n != len(whole) || err != nil {
		t.Fatalf("read %d of %d bytes: %v", n, len(whole), err)
	}
	first := s.partition(p).runs[0].at[0]
	for _, other := range f.parts[1:] {
		if err := s.Log().Drop(other); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "the file of the first batch goes", 30*time.Second, func() bool {
		_, err := os.Stat(valueLogPath(filepath.Join(s.dir.path, logName), first.file))
		return errors.Is(err, os.ErrNotExist)
	})
	if x := s.partition(p).runs[0].at[0]; x != first {
		t.Fatalf("the place is %+v now", x)
	}
	dst := make([]byte, len(whole))
	if n, err := s.Log().Read(p, storage.Position{}, dst); n != len(whole) || err != nil || !bytes.Equal(dst, whole) {
		t.Fatalf("read %d of %d bytes: %v", n, len(whole), err)
	}
}

// TestPlaces compares what is known with a plain list.
func TestPlaces(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		x := &places{limit: rapid.Int64Range(0, 40).Draw(rt, "limit") * runOverhead}
		ps := []*partition{{}, {}}
		var log []place // of both, with gaps
		for base := int64(0); len(log) < 60; {
			base += rapid.Int64Range(0, 2).Draw(rt, "gap")
			b := place{base: base, delta: rapid.Uint32Range(0, 3).Draw(rt, "delta"), size: 1}
			log = append(log, b)
			base = b.last() + 1
		}
		for range rapid.IntRange(1, 60).Draw(rt, "steps") {
			p := ps[rapid.IntRange(0, 1).Draw(rt, "partition")]
			from := rapid.IntRange(0, len(log)-1).Draw(rt, "from")
			offset := log[from].base + rapid.Int64Range(0, int64(log[from].delta)).Draw(rt, "inside")
			switch rapid.IntRange(0, 9).Draw(rt, "what") {
			case 0:
				x.forget(p)
				if at, before := x.find(p, offset); at != nil || before != 0 {
					rt.Fatalf("known after forgetting: %v, %d", at, before)
				}
			case 1: // a step of Replace was on its way when these were listed
				p.mu.steps.begun.Add(1)
				x.forget(p)
				x.add(p, log[from:], p.mu.steps.begun.Load()-1)
				if len(p.runs) != 0 {
					rt.Fatal("old places were added")
				}
			default:
				at, before := x.find(p, offset)
				if len(at) == 0 {
					if before > 0 && (from == 0 || log[from-1].last() != offset-1) {
						rt.Fatalf("%d known before %d", before, offset)
					}
					n := rapid.IntRange(1, 20).Draw(rt, "n")
					x.add(p, log[from:min(from+n, len(log))], p.mu.steps.begun.Load())
				}
				for i := range at {
					if at[i] != log[from+i] {
						rt.Fatalf("place %d from %d is %+v, want %+v", i, offset, at[i], log[from+i])
					}
				}
			}
			checkPlaces(rt, x, ps)
		}
	})
}

func checkPlaces(rt *rapid.T, x *places, ps []*partition) {
	var used int64
	n := 0
	for _, p := range ps {
		last := int64(-1)
		for _, r := range p.runs {
			if r.base() <= last {
				rt.Fatalf("a run begins at %d, the one before ends at %d", r.base(), last)
			}
			last = r.last()
			used += r.bytes()
			n++
		}
	}
	if used != x.mu.used || used > x.limit || n != x.mu.recent.Len() {
		rt.Fatalf("%d bytes in %d runs, counted %d in %d, at most %d", used, n, x.mu.used, x.mu.recent.Len(), x.limit)
	}
}
