package badgerstore

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/dgraph-io/badger/v4"

	"github.com/streamweir/streamweir/storage"
)

var fp = storage.Partition{Topic: storage.TopicID{9}, Index: 1}

// appendOne appends a batch of one record and returns its outcome.
func appendOne(s storage.Store, p storage.Partition, base int64, term uint64, data []byte) error {
	done := make(chan error, 1)
	s.Log().Append(&storage.Append{
		Partition: p, Data: data, Term: term,
		Info: storage.BatchInfo{BaseOffset: base, LastOffset: base, MaxTimestamp: base, Size: int32(len(data))},
		Done: func(_ *storage.Append, err error) { done <- err },
	})
	return <-done
}

// TestFailedSyncIsNeverAcknowledged does what Badger does when the sync of the
// value log fails: it writes an error line while it writes, and ends the
// commit as if nothing had happened.
func TestFailedSyncIsNeverAcknowledged(t *testing.T) {
	for _, always := range []bool{true, false} {
		t.Run(syncName(always), func(t *testing.T) {
			var broken atomic.Bool
			o := Options{Dir: t.TempDir(), SyncAlways: always}
			o.onMessage = func(l *badgerLogger, msg string) {
				if broken.Load() && strings.HasPrefix(msg, "writeRequests called") {
					l.Errorf("Error while curlf sync: %v\n", errors.New("input/output error"))
				}
			}
			s := mustOpen(t, o)
			defer s.Close()
			if err := appendOne(s, fp, 0, 0, make([]byte, 5000)); err != nil {
				t.Fatal(err)
			}
			if err := s.Meta().Apply(storage.Op{Key: "a", Value: []byte("1")}); err != nil {
				t.Fatal(err)
			}
			broken.Store(true)
			if err := appendOne(s, fp, 1, 0, make([]byte, 5000)); !errors.Is(err, storage.ErrFailed) {
				t.Fatalf("append whose sync failed: %v, want ErrFailed", err)
			}
			broken.Store(false)
			if err := appendOne(s, fp, 1, 1, make([]byte, 5000)); !errors.Is(err, storage.ErrFailed) {
				t.Errorf("append after a failed sync: %v, want ErrFailed", err)
			}
			if err := s.Health(); !errors.Is(err, storage.ErrFailed) || !strings.Contains(err.Error(), "input/output error") {
				t.Errorf("health: %v, want ErrFailed and the reason", err)
			}
			for what, err := range map[string]error{
				"trim": s.Log().Trim(fp, 1), "drop": s.Log().Drop(fp), "meta": s.Meta().Apply(storage.Op{Key: "a"}),
				"state": s.Log().SaveState(fp, "x", storage.State{}),
			} {
				if !errors.Is(err, storage.ErrFailed) {
					t.Errorf("%s of a failed store: %v", what, err)
				}
			}
			if _, end := s.Log().Bounds(fp); end != 1 {
				t.Errorf("the log ends at %d, want 1", end)
			}
			if n, err := s.Log().Read(fp, storage.Position{}, make([]byte, 9000)); n != 5000 || err != nil {
				t.Errorf("read of a failed store: %d, %v", n, err)
			}
			if _, ok, err := s.Meta().Get("a"); !ok || err != nil {
				t.Errorf("get of a failed store: %v, %v", ok, err)
			}
		})
	}
}

// TestFailedMetaSync is the same for the metadata.
func TestFailedMetaSync(t *testing.T) {
	var broken atomic.Bool
	o := Options{Dir: t.TempDir()}
	o.onMessage = func(l *badgerLogger, msg string) {
		if broken.Load() && strings.HasPrefix(msg, "writeRequests called") {
			l.Errorf("Error while curlf sync: %v\n", errors.New("input/output error"))
		}
	}
	s := mustOpen(t, o)
	defer s.Close()
	broken.Store(true)
	if err := s.Meta().Apply(storage.Op{Key: "a", Value: []byte("1")}); !errors.Is(err, storage.ErrFailed) {
		t.Errorf("apply whose sync failed: %v, want ErrFailed", err)
	}
}

// TestFailureEndsParkedAppends has a store fail while an append waits for the
// end of a drop.
func TestFailureEndsParkedAppends(t *testing.T) {
	s := mustOpen(t, Options{Dir: t.TempDir()})
	defer s.Close()
	if err := appendOne(s, fp, 0, 0, make([]byte, 100)); err != nil {
		t.Fatal(err)
	}
	s.reaper.begin(fp) // as in a drop whose clean-up takes its time
	done := make(chan error, 1)
	go func() { done <- appendOne(s, fp, 0, 0, make([]byte, 100)) }()
	// Another partition's append is behind it in the queue, sooner or later.
	for len(done) == 0 {
		if err := appendOne(s, storage.Partition{Index: 7}, s.stageEnd(storage.Partition{Index: 7}), 0, make([]byte, 100)); err != nil {
			break
		}
		s.fail(errors.New("test"))
	}
	if err := <-done; !errors.Is(err, storage.ErrFailed) {
		t.Errorf("parked append: %v, want ErrFailed", err)
	}
}

func (s *Store) stageEnd(p storage.Partition) int64 {
	_, end := s.Log().Bounds(p)
	return end
}

// TestFullDiskRefusesAndRecovers commands the free space.
func TestFullDiskRefusesAndRecovers(t *testing.T) {
	s := mustOpen(t, Options{Dir: t.TempDir(), ReserveBytes: 100 << 20})
	defer s.Close()
	var free atomic.Int64
	free.Store(1 << 30)
	s.space = func() (int64, int64, error) { return 10 << 30, free.Load(), nil }
	if err := appendOne(s, fp, 0, 0, make([]byte, 1000)); err != nil {
		t.Fatal(err)
	}
	free.Store(100<<20 + 2000)
	if err := appendOne(s, fp, 1, 0, make([]byte, 1<<20)); !errors.Is(err, storage.ErrNoSpace) {
		t.Fatalf("append into the reserve: %v, want ErrNoSpace", err)
	}
	free.Store(90 << 20)
	if err := appendOne(s, fp, 1, 0, make([]byte, 10)); !errors.Is(err, storage.ErrTerm) {
		t.Errorf("append after a refused one: %v, want ErrTerm", err)
	}
	if err := s.Health(); !errors.Is(err, storage.ErrNoSpace) {
		t.Errorf("health of a full store: %v", err)
	}
	// What makes room goes on.
	for what, err := range map[string]error{
		"trim": s.Log().Trim(fp, 1), "meta": s.Meta().Apply(storage.Op{Key: "a", Value: []byte("1")}), "drop": s.Log().Drop(storage.Partition{Index: 55}),
	} {
		if err != nil {
			t.Errorf("%s on a full disk: %v", what, err)
		}
	}
	free.Store(10 << 20)
	if err := s.Meta().Apply(storage.Op{Key: "b", Value: []byte("1")}); !errors.Is(err, storage.ErrNoSpace) {
		t.Errorf("metadata where not even the clean-up has room: %v", err)
	}
	if got := s.Stats().NoSpace; got != 1 {
		t.Errorf("%d refusals counted, want 1", got)
	}
	free.Store(1 << 30)
	if err := s.Health(); err != nil {
		t.Errorf("health with space again: %v", err)
	}
	if err := appendOne(s, fp, 1, 1, make([]byte, 1000)); err != nil {
		t.Errorf("append with space again: %v", err)
	}
}

// TestCloseOnAFullDisk: Badger would be ended by a signal, so it is left as a kill
// would leave it.
func TestCloseOnAFullDisk(t *testing.T) {
	o := Options{Dir: t.TempDir()}
	s := mustOpen(t, o)
	if err := appendOne(s, fp, 0, 0, make([]byte, 1000)); err != nil {
		t.Fatal(err)
	}
	s.space = func() (int64, int64, error) { return 10 << 30, 1000, nil }
	err := s.Close()
	if !errors.Is(err, storage.ErrNoSpace) || !strings.Contains(err.Error(), "1000 bytes free") {
		t.Errorf("close without space: %v", err)
	}
	if s.db.IsClosed() || s.meta.db.IsClosed() {
		t.Error("a database was closed")
	}
	if err := errors.Join(s.db.Close(), s.meta.db.Close()); err != nil { // what the end of the process does
		t.Fatal(err)
	}
	s = mustOpen(t, o)
	defer s.Close()
	if _, end := s.Log().Bounds(fp); end != 1 {
		t.Errorf("the log ends at %d", end)
	}
}

// TestReadersHoldNoLock blocks inside what a caller runs, and rotates the
// value log meanwhile. If a read lent out Badger's memory while its caller
// waits, sealing the file would wait for it, and every append with it.
func TestReadersHoldNoLock(t *testing.T) {
	s := mustOpen(t, smallFiles(t.TempDir()))
	defer s.Close()
	f := newFeeder(t, s, 2, 64<<10, 8)
	f.run(40)
	release, inside := make(chan struct{}), make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		first := true
		if err := s.Log().Batches(f.parts[0], 0, func(storage.BatchInfo) bool {
			if first {
				first = false
				close(inside)
				<-release
			}
			return true
		}); err != nil {
			t.Error(err)
		}
	})
	wg.Go(func() {
		if err := s.Meta().Apply(storage.Op{Key: "a", Value: []byte("1")}); err != nil {
			t.Error(err)
		}
		if err := s.Meta().Scan("a", func(string, []byte) error { <-release; return nil }); err != nil {
			t.Error(err)
		}
	})
	<-inside
	before, _ := newestValueLog(s.logDir.file.Name())
	done := make(chan struct{})
	go func() {
		defer close(done)
		f.run(500) // 32 MB over files of 4 MB
		dst := make([]byte, 1<<20)
		for base := int64(0); base < 300; base += 100 {
			if _, err := s.Log().Read(f.parts[0], storage.Position{Base: base}, dst); err != nil {
				t.Error(err)
			}
		}
		if err := s.Log().Trim(f.parts[0], 100); err != nil {
			t.Error(err)
		}
	}()
	select {
	case <-done:
	case <-time.After(30 * time.Second):
		t.Error("appends wait for a reader that waits")
	}
	if after, _ := newestValueLog(s.logDir.file.Name()); after < before+5 {
		t.Errorf("only %d value log files were sealed meanwhile", after-before)
	}
	close(release)
	wg.Wait()
}

// corruptFile flips a byte at the first place where the file holds what.
func corruptFile(t *testing.T, dir string, what []byte, shift int) {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*"+valueLogExt))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		content, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if i := strings.Index(string(content), string(what)); i >= 0 {
			content[i+shift] ^= 0x40
			f, err := os.OpenFile(name, os.O_WRONLY, 0)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := f.WriteAt(content[i+shift:i+shift+1], int64(i+shift)); err != nil {
				t.Fatal(err)
			}
			if err := f.Close(); err != nil {
				t.Fatal(err)
			}
			return
		}
	}
	t.Fatalf("no file holds %x", what)
}

// TestCorruptBatch flips bytes in a value, in an entry's header and in its key,
// in the file that was written last: the others must stay readable, through
// more starts, and the store must go on.
func TestCorruptBatch(t *testing.T) {
	const size, n = 10_000, 20
	for what, shift := range map[string]int{"value": 5000, "first byte": 0, "key": -20, "header": -(batchKeyLen + 8 + 3)} {
		t.Run(what, func(t *testing.T) {
			o := smallFiles(t.TempDir())
			s := mustOpen(t, o)
			data := func(i int64) []byte {
				d := make([]byte, size)
				for k := range d {
					d[k] = byte(i) + byte(k*k)
				}
				return d
			}
			for i := range int64(n) {
				if err := appendOne(s, fp, i, 0, data(i)); err != nil {
					t.Fatal(err)
				}
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			corruptFile(t, filepath.Join(o.Dir, logName), data(7), shift)
			for round := range 3 {
				s = mustOpen(t, o)
				if round == 1 {
					listed(t, s, fp) // so that their places are known
				}
				dst := make([]byte, 100*size)
				got, err := s.Log().Read(fp, storage.Position{Base: 3}, dst)
				var ce *storage.CorruptError
				if got != 4*size || !errors.As(err, &ce) || ce.Base != 7 || ce.Partition != fp {
					t.Fatalf("round %d: read over a corrupt batch: %d, %v", round, got, err)
				}
				for _, i := range []int64{0, 6, 8, 19} {
					if got, err := s.Log().Read(fp, storage.Position{Base: i}, dst[:size]); got != size || err != nil || string(dst[:size]) != string(data(i)) {
						t.Errorf("round %d: batch %d: %d, %v", round, i, got, err)
					}
				}
				if err := s.Health(); err != nil {
					t.Errorf("round %d: health: %v", round, err)
				}
				// Appends that seal files must not wait for a lock that the failed
				// read has kept.
				_, end := s.Log().Bounds(fp)
				for k := range int64(12) {
					if err := appendOne(s, fp, end+k, 0, make([]byte, 1<<20)); err != nil {
						t.Fatal(err)
					}
				}
				if s.Stats().CorruptReads != 1 {
					t.Errorf("round %d: %d corrupt reads counted", round, s.Stats().CorruptReads)
				}
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// TestCorruptTable refuses a store whose index is damaged: Badger would leave
// the table out and go on without the keys in it.
func TestCorruptTable(t *testing.T) {
	o := smallFiles(t.TempDir())
	s := mustOpen(t, o)
	f := newFeeder(t, s, 2, 100, 50)
	f.run(5000)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	names, err := filepath.Glob(filepath.Join(o.Dir, logName, "*.sst"))
	if err != nil || len(names) == 0 {
		t.Fatalf("tables: %v, %v", names, err)
	}
	content, err := os.ReadFile(names[0])
	if err != nil {
		t.Fatal(err)
	}
	content[len(content)/3] ^= 1
	if err := os.WriteFile(names[0], content, 0o600); err != nil {
		t.Fatal(err)
	}
	if s, err := Open(o); err == nil {
		s.Close()
		t.Fatal("a store with a corrupt table was opened")
	} else if !strings.Contains(err.Error(), "corrupt") {
		t.Errorf("the refusal does not say why: %v", err)
	}
}

// TestBatchesThatComeBack plants what Badger's collection can bring back.
func TestBatchesThatComeBack(t *testing.T) {
	o := smallFiles(t.TempDir())
	s := mustOpen(t, o)
	for i := range int64(10) {
		if err := appendOne(s, fp, i, 0, fmt.Appendf(nil, "batch %d", i)); err != nil {
			t.Fatal(err)
		}
	}
	gone := storage.Partition{Topic: storage.TopicID{5}}
	if err := appendOne(s, gone, 0, 0, []byte("x")); err != nil {
		t.Fatal(err)
	}
	old := s.version.Load()
	if err := s.Log().Drop(gone); err != nil {
		t.Fatal(err)
	}
	if err := appendOne(s, gone, 0, 0, []byte("new")); err != nil { // waits for the drop
		t.Fatal(err)
	}
	if err := s.Log().Trim(fp, 5); err != nil {
		t.Fatal(err)
	}
	orphan := storage.Partition{Topic: storage.TopicID{6}}
	plant := func(p storage.Partition, base int64) []byte {
		key := appendBatchKey(nil, p, storage.BatchInfo{BaseOffset: base, LastOffset: base, Size: 3})
		txn := s.db.NewTransactionAt(0, true)
		if err := txn.Set(key, []byte("old")); err != nil {
			t.Fatal(err)
		}
		if err := txn.CommitAt(old, nil); err != nil {
			t.Fatal(err)
		}
		return key
	}
	stale, lost, before := plant(fp, 2), plant(orphan, 7), plant(gone, 1000)
	check := func() {
		t.Helper()
		if start, end := s.Log().Bounds(fp); start != 5 || end != 10 {
			t.Errorf("bounds %d..%d", start, end)
		}
		if _, end := s.Log().Bounds(gone); end != 1 {
			t.Errorf("the partition that was written again ends at %d", end)
		}
		n := 0
		if err := s.Log().Batches(gone, 0, func(b storage.BatchInfo) bool { n++; return true }); err != nil || n != 1 {
			t.Errorf("the partition that was written again has %d batches, %v", n, err)
		}
		if _, err := s.Log().Read(fp, storage.Position{Base: 2}, make([]byte, 10)); !errors.Is(err, storage.ErrOutOfRange) {
			t.Errorf("read of a batch that came back: %v", err)
		}
	}
	check()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = mustOpen(t, o)
	defer s.Close()
	check()
	s.reaper.sweepSoon()
	there := func(key []byte) bool {
		txn := s.db.NewTransactionAt(maxVersion, false)
		defer txn.Discard()
		_, err := txn.Get(key)
		return !errors.Is(err, badger.ErrKeyNotFound)
	}
	eventually(t, "removal of batches that came back", 20*time.Second, func() bool { return !there(stale) && !there(lost) })
	_ = before // stays, unseen, until that partition is trimmed or dropped
	check()
}
