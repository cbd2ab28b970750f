package badgerstore

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/streamweir/streamweir/storage"
)

func TestOpenLocked(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, Options{Dir: dir})
	if _, err := Open(Options{Dir: dir}); !errors.Is(err, storage.ErrLocked) || !strings.Contains(err.Error(), dir) {
		t.Errorf("second open: %v, want ErrLocked and the directory's name", err)
	}
	// Somebody may take the lock for what a killed process has left.
	if err := os.Remove(filepath.Join(dir, lockName)); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(Options{Dir: dir}); !errors.Is(err, storage.ErrLocked) {
		t.Errorf("second open without the lock's file: %v, want ErrLocked", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = mustOpen(t, Options{Dir: dir})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil { // a second close does nothing
		t.Fatal(err)
	}
}

func TestOpenVersion(t *testing.T) {
	dir := t.TempDir()
	mustOpen(t, Options{Dir: dir}).Close()
	name := filepath.Join(dir, versionName)
	if got, err := os.ReadFile(name); err != nil || string(got) != "1\n" {
		t.Fatalf("VERSION is %q, %v", got, err)
	}
	for content, want := range map[string]string{"2\n": "format version 2", "17": "format version 17", "x": "not a version number", "": "not a version number", "0": "not a version number"} {
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := Open(Options{Dir: dir})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("VERSION %q: %v, want %q", content, err, want)
		}
		if newer := strings.HasPrefix(want, "format"); newer != errors.Is(err, storage.ErrVersion) {
			t.Errorf("VERSION %q: %v, ErrVersion %v", content, err, newer)
		}
	}
	if err := os.WriteFile(name, []byte("1"), 0o600); err != nil {
		t.Fatal(err)
	}
	mustOpen(t, Options{Dir: dir}).Close()
}

func TestOpenForeignDirectory(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "thesis.tex"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(Options{Dir: dir}); err == nil || !strings.Contains(err.Error(), "thesis.tex") {
		t.Errorf("open of a directory with something else in it: %v", err)
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 1 {
		t.Errorf("the refused directory has %d entries", len(entries))
	}
	file := filepath.Join(dir, "thesis.tex")
	if _, err := Open(Options{Dir: file}); err == nil {
		t.Error("open of a file succeeded")
	}
}

func TestOpenBadOptions(t *testing.T) {
	for name, o := range map[string]Options{
		"memtable": {MemtableBytes: 1 << 10}, "value log": {ValueLogFileBytes: 1 << 10}, "share": {CollectShare: 2},
		"inline": {MemtableBytes: 1 << 20, InlineBytes: 1 << 20}, "segment": {SegmentBatches: -1},
	} {
		o.Dir = t.TempDir()
		if s, err := Open(o); err == nil {
			s.Close()
			t.Errorf("bad options (%s) were taken", name)
		}
	}
}

// TestCloseEndsEverything opens, works, and finds no goroutine left.
func TestCloseEndsEverything(t *testing.T) {
	before := goleak.IgnoreCurrent()
	s := mustOpen(t, smallFiles(t.TempDir()))
	f := newFeeder(t, s, 4, 10<<10, 8)
	f.run(2000)
	for _, p := range f.parts {
		if err := s.Log().Trim(p, 4000); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Log().Drop(f.parts[0]); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	goleak.VerifyNone(t, before)
}

// TestOpenWithEmptyFiles starts after a kill at the moment when Badger had made
// a file and not yet given it a length, or emptied it and not yet removed it.
func TestOpenWithEmptyFiles(t *testing.T) {
	o := smallFiles(t.TempDir())
	s := mustOpen(t, o)
	f := newFeeder(t, s, 2, 10_000, 8)
	f.run(1000)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for _, db := range []string{logName, metaName} {
		for _, name := range []string{"00099.mem", "000999.vlog"} {
			if err := os.WriteFile(filepath.Join(o.Dir, db, name), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	s = mustOpen(t, o)
	defer s.Close()
	checkEnds(t, s, f)
	if err := appendOne(s, f.parts[0], f.next[0], 0, make([]byte, 10_000)); err != nil {
		t.Error(err)
	}
}

// checkEnds checks that all that was fed is there.
func checkEnds(t *testing.T, s *Store, f *feeder) {
	t.Helper()
	for i, p := range f.parts {
		if _, end := s.Log().Bounds(p); end != f.next[i] {
			t.Errorf("%s ends at %d, want %d", p, end, f.next[i])
		}
	}
}

// TestBareValueLogsAreRemoved: each start that is killed leaves a value log file
// without entries in it.
func TestBareValueLogsAreRemoved(t *testing.T) {
	o := smallFiles(t.TempDir())
	s := mustOpen(t, o)
	f := newFeeder(t, s, 2, 10_000, 8)
	f.run(1000)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	count := func(db string) int {
		files, err := filepath.Glob(filepath.Join(o.Dir, db, "*"+valueLogExt))
		if err != nil {
			t.Fatal(err)
		}
		return len(files)
	}
	before := map[string]int{logName: count(logName), metaName: count(metaName)}
	for _, db := range []string{logName, metaName} {
		for i, size := range []int{valueLogHeaderLen, 4096, maxBareBytes} {
			path := valueLogPath(filepath.Join(o.Dir, db), uint32(900+i))
			header := bytes.Repeat([]byte{0, 7}, valueLogHeaderLen/2)
			clear(header[:valueLogKeyIDLen])
			if err := os.WriteFile(path, append(header, make([]byte, size-valueLogHeaderLen)...), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	for range 3 {
		s = mustOpen(t, o)
		checkEnds(t, s, f)
		for _, p := range f.parts {
			checkIndex(t, s, p)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	for db, n := range before {
		// The last start has left its own two: what Badger looks at, and where it writes.
		if now := count(db); now > n+2 {
			t.Errorf("%s has %d value log files, and had %d", db, now, n)
		}
		if newest, err := newestValueLog(filepath.Join(o.Dir, db)); err != nil || newest < 903 {
			t.Errorf("the newest file of %s is %d, %v: a number was given up", db, newest, err)
		}
	}
}

func TestADiskThatIsFullFromTheStartIsLogged(t *testing.T) {
	core, logs := observer.New(zap.WarnLevel)
	s := mustOpen(t, Options{Dir: t.TempDir(), ReserveBytes: 1 << 60, Logger: zap.New(core)})
	defer s.Close()
	if err := s.Health(); !errors.Is(err, storage.ErrNoSpace) {
		t.Fatalf("health: %v", err)
	}
	if n := logs.FilterMessageSnippet("the disk is full").Len(); n != 1 {
		t.Errorf("it is logged %d times", n)
	}
}

func TestOpenWithoutVersion(t *testing.T) {
	dir := t.TempDir()
	mustOpen(t, Options{Dir: dir}).Close()
	if err := os.Remove(filepath.Join(dir, versionName)); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(Options{Dir: dir}); err == nil || !strings.Contains(err.Error(), "has lost its VERSION file") {
		t.Errorf("%v", err)
	}
}
