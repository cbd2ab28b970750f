package badgerstore

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/dgraph-io/badger/v4"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
	"golang.org/x/sys/unix"

	"github.com/streamweir/streamweir/storage"
)

const ackedAppends = 200

// childAcked writes a little to both databases, and dies.
func childAcked(dir string, always bool) error {
	s, err := Open(Options{Dir: dir, SyncAlways: always, ReserveBytes: 1 << 20})
	if err != nil {
		return err
	}
	_, end := s.Log().Bounds(fp)
	for i := range int64(ackedAppends) {
		if err := appendOne(s, fp, end+i, 0, fmt.Appendf(nil, "batch %d", end+i)); err != nil {
			return err
		}
	}
	for i := range 20 {
		if err := s.Meta().Apply(storage.Op{Key: fmt.Sprint("key", i), Value: fmt.Appendf(nil, "value %d", i)}); err != nil {
			return err
		}
	}
	// The last append is reported before the watermark moves; a change that is
	// reported later finds it moved.
	if err := s.Log().Trim(fp, 1); err != nil {
		return err
	}
	fmt.Println("written")
	return unix.Kill(os.Getpid(), unix.SIGKILL)
}

func killed(t *testing.T, name, dir string, always bool) {
	t.Helper()
	out, err := child(name, dir, always).Output()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || !strings.Contains(string(out), "written") {
		t.Fatalf("the child ended with %v: %s", err, out)
	}
}

// wantRefused opens twice: what one start refuses, the next one does too.
func wantRefused(t *testing.T, o Options, want string) error {
	t.Helper()
	var err error
	for range 2 {
		var s *Store
		if s, err = Open(o); err == nil {
			s.Close()
			t.Fatalf("a damaged store was opened, want %q", want)
		}
		if !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "restore the directory from a copy") {
			t.Errorf("the refusal is %q, want %q and what to do", err, want)
		}
	}
	return err
}

func TestDamagedWriteAheadLogIsNotSilent(t *testing.T) {
	for _, db := range []string{logName, metaName} {
		for _, always := range []bool{false, true} {
			t.Run(db+"/"+syncName(always), func(t *testing.T) {
				dir := t.TempDir()
				killed(t, "acked", dir, always)
				what := map[string]string{logName: "batch 77", metaName: "value 11"}[db]
				name := filepath.Join(dir, db, "00001.mem")
				content, err := os.ReadFile(name)
				if err != nil {
					t.Fatal(err)
				}
				at := strings.Index(string(content), what)
				if at < 0 {
					t.Fatalf("%s holds no %q", name, what)
				}
				content[at] ^= 1
				if err := os.WriteFile(name, content, 0o600); err != nil {
					t.Fatal(err)
				}
				o := Options{Dir: dir, SyncAlways: always}
				if err := wantRefused(t, o, db+" database: "+storage.ErrLost.Error()); !errors.Is(err, storage.ErrLost) {
					t.Errorf("%v is not ErrLost", err)
				}
				if err := os.Remove(filepath.Join(dir, db+ackedExt)); err != nil {
					t.Fatal(err)
				}
				mustOpen(t, o).Close()
				mustOpen(t, o).Close()
			})
		}
	}
}

// rewriteAcked changes the watermark of the log database.
func rewriteAcked(t *testing.T, dir string, change func(r *ackedRecord)) {
	t.Helper()
	name := filepath.Join(dir, logName+ackedExt)
	content, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	r, err := decodeAcked(content)
	if err != nil {
		t.Fatal(err)
	}
	change(&r)
	var b [ackedLen]byte
	r.encode(&b)
	if err := os.WriteFile(name, b[:], 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestLossByPowerCut(t *testing.T) {
	if thisBoot() == (bootID{}) {
		t.Skip("the system tells no boot id")
	}
	for _, always := range []bool{false, true} {
		t.Run(syncName(always), func(t *testing.T) {
			dir := t.TempDir()
			killed(t, "acked", dir, always)
			rewriteAcked(t, dir, func(r *ackedRecord) {
				if r.synced != always || r.version < ackedAppends || r.boot != thisBoot() {
					t.Errorf("the watermark is %+v", r)
				}
				r.version += 1000
				r.boot[0] ^= 1
			})
			core, logs := observer.New(zap.WarnLevel)
			o := Options{Dir: dir, SyncAlways: always, Logger: zap.New(core)}
			if always {
				wantRefused(t, o, storage.ErrLost.Error())
				return
			}
			// The mode of now says nothing about what was written then.
			o.SyncAlways = true
			mustOpen(t, o).Close()
			if n := logs.FilterMessageSnippet("acknowledged data was lost").Len(); n != 1 {
				t.Errorf("%d warnings: %v", n, logs.All())
			}
			mustOpen(t, o).Close()
			if n := logs.FilterMessageSnippet("acknowledged data was lost").Len(); n != 1 {
				t.Errorf("%d warnings after another start", n)
			}
		})
	}
}

func TestWatermarkMissingOrDamaged(t *testing.T) {
	dir := t.TempDir()
	killed(t, "acked", dir, false)
	name := filepath.Join(dir, logName+ackedExt)
	for content, warnings := range map[string]int{"": 0, "short": 1, strings.Repeat("x", ackedLen): 1, strings.Repeat("x", ackedLen+1): 1} {
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		core, logs := observer.New(zap.WarnLevel)
		s := mustOpen(t, Options{Dir: dir, Logger: zap.New(core)})
		if got := logs.FilterMessageSnippet("what was acknowledged").Len(); got != warnings {
			t.Errorf("%d bytes: %d warnings, want %d", len(content), got, warnings)
		}
		_, end := s.Log().Bounds(fp)
		if err := appendOne(s, fp, end, 0, []byte("x")); err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		rewriteAcked(t, dir, func(r *ackedRecord) {
			if r.version == 0 || !r.synced {
				t.Errorf("after a clean end the watermark is %+v", r)
			}
		})
	}
}

func TestMissingParts(t *testing.T) {
	for _, db := range []string{logName, metaName} {
		for what, damage := range map[string]func(dir string) error{
			"is missing":       func(dir string) error { return os.RemoveAll(dir) },
			"MANIFEST":         func(dir string) error { return os.Remove(filepath.Join(dir, "MANIFEST")) },
			"names no tables":  func(dir string) error { return os.Truncate(filepath.Join(dir, "MANIFEST"), 16) },
			"bad magic":        func(dir string) error { return os.Truncate(filepath.Join(dir, "MANIFEST"), 3) },
			"sst":              func(dir string) error { return cutTable(dir, 2) },
			"the table":        func(dir string) error { return cutTable(dir, 100) },
			"is empty":         func(dir string) error { return cutTable(dir, 1<<62) },
			"no such file":     func(dir string) error { return os.Remove(firstTable(dir)) },
			"names no tables ": func(dir string) error { return os.Truncate(filepath.Join(dir, "MANIFEST"), 20) },
		} {
			t.Run(db+"/"+what, func(t *testing.T) {
				o := Options{Dir: t.TempDir()}
				s := mustOpen(t, o)
				if err := errors.Join(appendOne(s, fp, 0, 0, []byte("x")), s.Meta().Apply(storage.Op{Key: "k", Value: []byte("v")}), s.Close()); err != nil {
					t.Fatal(err)
				}
				dir := filepath.Join(o.Dir, db)
				if err := damage(dir); err != nil {
					t.Fatal(err)
				}
				before := names(t, o.Dir)
				wantRefused(t, o, strings.TrimSpace(what))
				if after := names(t, o.Dir); after != before {
					t.Errorf("the refused starts changed the files from\n%s to\n%s", before, after)
				}
			})
		}
	}
}

func firstTable(dir string) string {
	tables, _ := filepath.Glob(filepath.Join(dir, "*"+tableExt))
	return append(tables, filepath.Join(dir, "none"))[0]
}

// cutTable leaves one part in by of a table.
func cutTable(dir string, by int64) error {
	fi, err := os.Stat(firstTable(dir))
	if err != nil {
		return err
	}
	return os.Truncate(firstTable(dir), fi.Size()/by)
}

func names(t *testing.T, dir string) (all string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		all += path + "\n"
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// TestUnnamedTableIsKeptUntilChecked cuts a MANIFEST that named one table while
// a write-ahead log is there too, as when a memtable was being flushed: only the
// watermark tells that something is missing.
func TestUnnamedTableIsKeptUntilChecked(t *testing.T) {
	dir := t.TempDir()
	o := Options{Dir: dir}
	s := mustOpen(t, o)
	if err := errors.Join(appendOne(s, fp, 0, 0, []byte("x")), s.Close()); err != nil {
		t.Fatal(err)
	}
	log := filepath.Join(dir, logName)
	if err := errors.Join(os.Truncate(filepath.Join(log, "MANIFEST"), 16),
		os.WriteFile(filepath.Join(log, "00001.mem"), make([]byte, 100), 0o600)); err != nil {
		t.Fatal(err)
	}
	wantRefused(t, o, storage.ErrLost.Error())
	if kept, _ := filepath.Glob(filepath.Join(log, "*"+asideExt)); len(kept) != 1 {
		t.Errorf("the table without a name is gone: %q", kept)
	}
	if err := os.Remove(filepath.Join(dir, logName+ackedExt)); err != nil {
		t.Fatal(err)
	}
	mustOpen(t, o).Close()
	if kept, _ := filepath.Glob(filepath.Join(log, "*"+asideExt)); len(kept) != 0 {
		t.Errorf("left over: %q", kept)
	}
}

func TestFirstStartInterrupted(t *testing.T) {
	dir := t.TempDir()
	d, err := openDirectory(dir)
	if err != nil {
		t.Fatal(err)
	}
	d.close()
	if err := os.Mkdir(filepath.Join(dir, metaName), 0o700); err != nil {
		t.Fatal(err)
	}
	o := Options{Dir: dir}
	mustOpen(t, o).Close()
	if err := os.RemoveAll(filepath.Join(dir, metaName)); err != nil {
		t.Fatal(err)
	}
	wantRefused(t, o, "is missing")
}

func TestPanicWhileOpening(t *testing.T) {
	s := mustOpen(t, Options{Dir: t.TempDir()})
	defer s.Close()
	db, err := s.openBadger(logName, func(badger.Logger) (*badger.DB, error) { panic("index out of range") })
	if db != nil || err == nil || !strings.Contains(err.Error(), "corrupt on disk (index out of range)") {
		t.Errorf("%v, %v", db, err)
	}
}

// childReap deletes most of what it writes, so that the newest versions are
// those of deletions, and dies at any moment.
func childReap(dir string, always bool) error {
	o := smallFiles(dir)
	o.SyncAlways = always
	s, err := Open(o)
	if err != nil {
		return err
	}
	for i := range 3 + rand.IntN(3) {
		p := crashPartition(i % 2)
		_, end := s.Log().Bounds(p)
		for k := range int64(100 + rand.IntN(300)) {
			if err := appendOne(s, p, end+k, 0, make([]byte, 700)); err != nil {
				return err
			}
		}
		if err := s.Log().Trim(p, end+50); err != nil {
			return err
		}
		if err := s.Log().Drop(crashPartition((i + 1) % 2)); err != nil {
			return err
		}
		key := fmt.Sprint(i % 3)
		if err := errors.Join(s.Meta().Apply(storage.Op{Key: key, Value: []byte("v")}), s.Meta().Apply(storage.Op{Key: key})); err != nil {
			return err
		}
	}
	fmt.Println("written")
	if rand.IntN(3) == 0 {
		if err := s.Close(); err != nil {
			return err
		}
	}
	return unix.Kill(os.Getpid(), unix.SIGKILL)
}

// TestWatermarkGivesNoFalseAlarm also merges all tables between the starts, so
// that deletions and their versions go away.
func TestWatermarkGivesNoFalseAlarm(t *testing.T) {
	for _, always := range []bool{false, true} {
		t.Run(syncName(always), func(t *testing.T) {
			dir := t.TempDir()
			for range 8 {
				killed(t, "reap", dir, always)
				s := mustOpen(t, smallFiles(dir))
				if err := s.Log().Drop(crashPartition(0), crashPartition(1)); err != nil {
					t.Fatal(err)
				}
				eventually(t, "the end of the removal", 10*time.Second, func() bool { return s.reaper.drops.Load() == 0 })
				if err := s.Meta().Apply(storage.Op{Key: "0"}); err != nil {
					t.Fatal(err)
				}
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
				s = mustOpen(t, smallFiles(dir))
				s.db.SetDiscardTs(s.db.MaxVersion())
				for what, db := range map[string]*badger.DB{logName: s.db, metaName: s.meta.db} {
					before := db.MaxVersion()
					if err := db.Flatten(1); err != nil {
						t.Fatal(err)
					}
					if has := db.MaxVersion(); has < before {
						t.Errorf("the highest version of %s went down from %d to %d", what, before, has)
					}
				}
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

func FuzzDecodeAcked(f *testing.F) {
	var b [ackedLen]byte
	(&ackedRecord{version: 7, synced: true, boot: thisBoot()}).encode(&b)
	f.Add(b[:])
	f.Add([]byte("x"))
	f.Fuzz(func(t *testing.T, in []byte) {
		r, err := decodeAcked(in)
		if err != nil {
			return
		}
		r.encode(&b)
		if again, err := decodeAcked(b[:]); err != nil || again != r {
			t.Errorf("%+v became %+v, %v", r, again, err)
		}
	})
}
