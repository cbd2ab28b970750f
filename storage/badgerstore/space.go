package badgerstore

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/streamweir/streamweir/storage"
)

// Badger writes through mapped, sparse files: on a full disk it does not get an
// error but a signal that ends the process. So free space is asked for before
// each write, and a reserve is kept for what compaction and the collector
// write: appends end at the reserve, clean-up and metadata at a part of it.
// Of a large reserve clean-up does not need a quarter: as long as it can write,
// what fills the disk can be deleted.
const (
	cleanupReserveDivisor = 4
	maxCleanupReserve     = 16 << 20
)

// refusal says why need bytes of batches may not be written now, or nil.
func (s *Store) refusal(need int64) error {
	if err := s.failure(); err != nil {
		return err
	}
	return s.refuseBelow(s.opts.ReserveBytes, need+s.inflightBytes.Load())
}

// refuseCleanup says why not even a removal or a change of metadata may be
// written now.
func (s *Store) refuseCleanup() error {
	if err := s.failure(); err != nil {
		return err
	}
	return s.refuseBelow(min(s.opts.ReserveBytes/cleanupReserveDivisor, maxCleanupReserve), 0)
}

func (s *Store) refuseBelow(reserve, need int64) error {
	_, free, err := s.space()
	if err != nil {
		return fmt.Errorf("%w: %w", storage.ErrNoSpace, err)
	}
	if free-need < reserve {
		return fmt.Errorf("%w: %d bytes are free, %d are kept in reserve", storage.ErrNoSpace, free, reserve)
	}
	return nil
}

// closeBytes is what the end of a database takes beside its newest table.
const closeBytes = 1 << 20

// refuseClose says why the databases cannot be closed in order now: Badger writes its
// newest tables then, which are about as large as the write-ahead logs of them.
func (s *Store) refuseClose() error {
	need := int64(closeBytes)
	for _, name := range []string{logName, metaName} {
		need += usedBytesOf(filepath.Join(s.dir.path, name), memtableExt)
	}
	if _, free, err := s.space(); err == nil && free < need {
		return fmt.Errorf("%w: the databases cannot be closed in order with %d bytes free, which takes %d: "+
			"what was acknowledged is in write-ahead logs, and the next start needs that space", storage.ErrNoSpace, free, need)
	}
	return nil
}

// Usage says how full the disk is, and by whom.
func (s *Store) Usage() storage.Usage {
	u := storage.Usage{
		LogBytes:  usedBytes(filepath.Join(s.dir.path, logName)),
		MetaBytes: usedBytes(filepath.Join(s.dir.path, metaName)),
		Reserve:   s.opts.ReserveBytes,
	}
	u.Total, u.Free, _ = s.space() // zero where the system does not say
	return u
}

// coarseClock is more than the step of the clock that file times are taken from.
const coarseClock = 50 * time.Millisecond

// syncedDir is a directory of a database. It makes files durable that Badger has
// created there: Badger syncs what is in a file, and not the file's name. The
// time of the directory's last change says whether there is anything to do.
type syncedDir struct {
	file *os.File

	mu     sync.Mutex
	synced time.Time
}

func openSyncedDir(path string) (*syncedDir, error) {
	f, err := openDir(path)
	if err != nil {
		return nil, err
	}
	return &syncedDir{file: f}, nil
}

func (d *syncedDir) sync() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	fi, err := d.file.Stat()
	if err != nil {
		return fmt.Errorf("look at the directory of a database: %w", err)
	}
	changed := fi.ModTime()
	if changed.Equal(d.synced) {
		return nil
	}
	if err := d.file.Sync(); err != nil {
		return fmt.Errorf("sync the directory of a database: %w", err)
	}
	// A change within the same step of the clock would not show.
	if d.synced = changed; time.Since(changed) < coarseClock {
		d.synced = time.Time{}
	}
	return nil
}

func openDir(path string) (*os.File, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open the directory of a database: %w", err)
	}
	return f, nil
}
