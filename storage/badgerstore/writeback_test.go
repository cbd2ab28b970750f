package badgerstore

import (
	"errors"
	"os"
	"testing"

	"github.com/streamweir/streamweir/storage"
)

// appendUntil appends batches until ok is closed, and returns the first error.
func appendUntil(s storage.Store, ok <-chan struct{}) error {
	for base := int64(0); ; base++ {
		select {
		case <-ok:
			return nil
		default:
		}
		if err := appendOne(s, fp, base, 0, make([]byte, 256<<10)); err != nil {
			return err
		}
	}
}

func TestValueLogIsSyncedWhileItIsWritten(t *testing.T) {
	synced, files := make(chan struct{}), map[string]bool{}
	s := mustOpen(t, Options{Dir: t.TempDir(), ValueLogFileBytes: 4 << 20, syncFile: func(f *os.File) error {
		// The first file, and one that came later: it follows the writer.
		if !files[f.Name()] {
			files[f.Name()] = true
			if len(files) == 2 {
				close(synced)
			}
		}
		return f.Sync()
	}})
	defer s.Close()
	if err := appendUntil(s, synced); err != nil {
		t.Fatal(err)
	}
}

func TestFailedSyncBehindTheWriterStopsAppends(t *testing.T) {
	s := mustOpen(t, Options{Dir: t.TempDir(), ValueLogFileBytes: 4 << 20, syncFile: func(*os.File) error {
		return errors.New("input/output error")
	}})
	defer s.Close()
	if err := appendUntil(s, nil); !errors.Is(err, storage.ErrFailed) {
		t.Fatalf("append after a failed sync: %v, want ErrFailed", err)
	}
	if err := s.Health(); !errors.Is(err, storage.ErrFailed) {
		t.Errorf("health: %v, want ErrFailed", err)
	}
}

func TestNothingIsSyncedBehindWhereAppendsWaitForIt(t *testing.T) {
	s := mustOpen(t, Options{Dir: t.TempDir(), SyncAlways: true, ValueLogFileBytes: 4 << 20, syncFile: func(*os.File) error {
		return errors.New("must not be called")
	}})
	defer s.Close()
	for base := range int64(20) {
		if err := appendOne(s, fp, base, 0, make([]byte, 256<<10)); err != nil {
			t.Fatal(err)
		}
	}
}

// TestMovedValuesAreSyncedBehindTheWriter: Badger's collection tells nobody what it
// writes, and its writer would wait for all of it at the end of a file.
func TestMovedValuesAreSyncedBehindTheWriter(t *testing.T) {
	synced := make(chan struct{}, 1)
	s := mustOpen(t, Options{Dir: t.TempDir(), ValueLogFileBytes: 4 << 20, syncFile: func(f *os.File) error {
		select {
		case synced <- struct{}{}:
		default:
		}
		return f.Sync()
	}})
	defer s.Close()
	done := s.writeback.moving()
	for range 3 {
		<-synced
	}
	done()
}
