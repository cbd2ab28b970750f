// Package badgerstore is the embedded storage.Store: record batches and
// metadata in two Badger databases under one data directory. docs/format.md
// describes what is on disk.
//
// The way of an append: any goroutine queues it (queue.go); the committer
// gathers what is queued into groups and hands them to Badger as transactions
// (committer.go); the completer waits for them in order, makes the batches
// visible and reports them. What Trim and Drop make unreadable, the reaper
// deletes (reaper.go), and the collector gives its space back to the disk
// (collector.go).
//
// Badger has habits that a log store must not pass on; each is handled in one
// place: it dies on a full disk (space.go), it only logs a failed sync
// (logger.go), it drops without a word what it cannot replay (acked.go,
// walcheck.go), it tries a failed flush for ever (Close), it does not sync the
// names of new files (space.go), it swallows read errors and lends values under
// a lock (read.go), it does not tell where a value lies (places.go, valuefiles.go),
// and it does not return disk space by itself (collector.go).
package badgerstore

import (
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dgraph-io/badger/v4"
	"go.uber.org/zap"

	"github.com/streamweir/streamweir/storage"
)

// Store is a storage.Store on Badger.
type Store struct {
	opts Options
	log  *zap.Logger
	dir  *directory
	// space asks the file system; tests command it.
	space func() (total, free int64, err error)

	db    *badger.DB // batches
	acked *acked     // of db; the completer's
	boot  bootID
	meta  *metaStore

	logDir  *syncedDir
	metaDir *syncedDir

	queue     *queue
	places    *places
	values    *valueFiles
	states    *states
	reaper    *reaper
	collector *collector
	writeback *writeback

	version       atomic.Uint64 // of the last transaction on the log database
	inflightBytes atomic.Int64
	refusedNeed   atomic.Int64 // bytes that were last refused for want of space; 0 after a success
	discard       struct {
		sync.Mutex
		version uint64
	}
	liveBytes   atomic.Int64
	liveBatches atomic.Int64
	stats       counters
	failed      atomic.Pointer[error]
	failing     chan struct{} // closed when failed is set
	closeGrace  time.Duration
	finished    chan struct{} // closed when Close has let go of everything

	turns sync.RWMutex // see raceDetector
	// moving is held while Badger's collection moves values (stubs.go).
	moving sync.RWMutex

	// alive is held for reading while a call uses the databases.
	alive  sync.RWMutex
	closed bool
	once   sync.Once

	commits  sync.WaitGroup // committer and completer
	reaping  sync.WaitGroup
	collects sync.WaitGroup
	flushes  sync.WaitGroup

	mu struct {
		sync.RWMutex
		partitions map[storage.Partition]*partition
	}
}

var _ storage.Store = (*Store)(nil)

// Open opens the store in opts.Dir and makes it where it is missing. It
// returns storage.ErrLocked while another process has it open, and
// storage.ErrVersion where a newer release has written it.
func Open(opts Options) (*Store, error) {
	dir, err := openDirectory(opts.Dir)
	if err != nil {
		return nil, err
	}
	s, err := open(dir, opts)
	if err != nil {
		dir.close()
		return nil, fmt.Errorf("open the store in %s: %w", opts.Dir, err)
	}
	return s, nil
}

func open(dir *directory, opts Options) (_ *Store, err error) {
	total, _, err := dir.space()
	if err != nil {
		return nil, err
	}
	if opts, err = opts.withDefaults(total); err != nil {
		return nil, err
	}
	s := &Store{opts: opts, log: opts.Logger, boot: thisBoot(), dir: dir, space: dir.space, queue: newQueue(), states: newStates(opts.StateBytes)}
	s.failing, s.finished, s.closeGrace = make(chan struct{}), make(chan struct{}), closeGrace
	s.mu.partitions = map[storage.Partition]*partition{}
	s.reaper, s.collector = newReaper(s), newCollector(s)
	s.writeback = newWriteback(s)
	s.places = &places{limit: opts.PlacesBytes}
	s.values = newValueFiles(filepath.Join(dir.path, logName), !opts.TrustDisk)
	defer func() {
		if err != nil {
			e := s.bounded(func() error { return s.closeDatabases(false) })
			if !errors.Is(e, storage.ErrNoSpace) { // then all is left to the end of the process
				err = errors.Join(err, e)
			}
		}
	}()
	if err := s.openDatabases(); err != nil {
		return nil, err
	}
	if err := s.load(); err != nil {
		return nil, err
	}
	c := newCommitter(s)
	s.commits.Go(c.run)
	s.commits.Go(func() { s.complete(c.out) })
	s.reaping.Go(s.reaper.run)
	s.collects.Go(s.collector.run)
	s.flushes.Go(s.writeback.run)
	_ = s.Health() // a disk that is full from the start is in the log then
	return s, nil
}

// openDatabases opens both at a time.
func (s *Store) openDatabases() error {
	logPath, metaPath := filepath.Join(s.dir.path, logName), filepath.Join(s.dir.path, metaName)
	if s.dir.made {
		for path, name := range map[string]string{logPath: logName, metaPath: metaName} {
			if err := errors.Join(checkNames(path, name), s.checkOlderMemtables(path, name)); err != nil {
				return err
			}
		}
		if err := errors.Join(checkDatabase(logPath, logName), checkDatabase(metaPath, metaName)); err != nil {
			return err
		}
	}
	var metaErr error
	var wg sync.WaitGroup
	wg.Go(func() { s.meta, metaErr = s.openMeta(metaPath) })
	db, err := s.openBadger("log", func(l badger.Logger) (*badger.DB, error) {
		if err := prepareValueLog(logPath, s.opts.ValueLogFileBytes); err != nil {
			return nil, err
		}
		return badger.OpenManaged(s.opts.logOptions(logPath, l))
	})
	wg.Wait()
	s.db = db
	if err := errors.Join(err, metaErr); err != nil {
		return err
	}
	s.version.Store(s.db.MaxVersion())
	if s.logDir, err = openSyncedDir(logPath); err != nil {
		return err
	}
	if s.metaDir, err = openSyncedDir(metaPath); err != nil {
		return err
	}
	var logErr error
	s.acked, logErr = openAcked(s.dir.path, logName, s.version.Load(), s.log)
	s.meta.mu.acked, metaErr = openAcked(s.dir.path, metaName, s.meta.db.MaxVersion(), s.log)
	if err := errors.Join(logErr, metaErr); err != nil {
		return err
	}
	if err := errors.Join(removeAside(logPath), removeAside(metaPath)); err != nil {
		return err
	}
	return s.dir.begun()
}

// opened is what open returns. A panic of Badger's becomes an error.
func opened(name string, logger badger.Logger, open func(badger.Logger) (*badger.DB, error)) (db *badger.DB, err error) {
	defer func() {
		if p := recover(); p != nil {
			db, err = nil, damaged(name, fmt.Sprint(p))
		}
	}()
	return open(logger)
}

// openBadger opens a database, and refuses one that had to leave a table out.
func (s *Store) openBadger(name string, open func(badger.Logger) (*badger.DB, error)) (*badger.DB, error) {
	var mu sync.Mutex
	var leftOut string
	logger := &badgerLogger{log: s.log.With(zap.String("database", name)), fail: s.fail, onMessage: s.opts.onMessage, unreadable: func(what string) {
		mu.Lock()
		defer mu.Unlock()
		leftOut = what
	}}
	db, err := opened(name, logger, open)
	if err != nil && isDamage(err) {
		return nil, fmt.Errorf("open the %s database: it is corrupt on disk: check the disk and restore the directory from a copy: %w", name, err)
	}
	if err != nil {
		return nil, fmt.Errorf("open the %s database: %w", name, err)
	}
	mu.Lock()
	defer mu.Unlock()
	if leftOut != "" {
		return nil, errors.Join(fmt.Errorf("open the %s database: it is corrupt on disk (%s): check the disk and restore the directory from a copy", name, leftOut), db.Close())
	}
	return db, nil
}

func (s *Store) closeDatabases(clean bool) error {
	err := s.refuseClose()
	if err == nil {
		if s.db != nil {
			err = s.db.Close()
		}
		if s.meta != nil {
			err = errors.Join(err, s.meta.db.Close())
		}
	}
	for _, d := range []*syncedDir{s.logDir, s.metaDir} {
		if d != nil {
			err = errors.Join(err, d.file.Close())
		}
	}
	clean = clean && err == nil
	if s.acked != nil {
		err = errors.Join(err, s.acked.close(clean))
	}
	if s.meta != nil && s.meta.mu.acked != nil {
		err = errors.Join(err, s.meta.mu.acked.close(clean))
	}
	return err
}

// Log returns the log.
func (s *Store) Log() storage.Log { return (*batchLog)(s) }

// Meta returns the metadata map.
func (s *Store) Meta() storage.Meta { return s.meta }

// Health says why the store refuses writes, if it does. After a refusal for
// want of space, it tells whether there is room for that now.
func (s *Store) Health() error {
	refusal := s.refusal(s.refusedNeed.Load())
	if errors.Is(refusal, storage.ErrNoSpace) && s.refusedNeed.CompareAndSwap(0, 1) {
		s.tellFull(refusal)
	}
	return refusal
}

// tellFull logs the first refusal for want of space; the others are no news.
func (s *Store) tellFull(refusal error) {
	s.log.Warn("the disk is full up to the reserve: appends are refused until there is space", zap.Error(refusal))
}

// fail ends all writing. The first error is kept.
func (s *Store) fail(err error) {
	wrapped := fmt.Errorf("%w: %w", storage.ErrFailed, err)
	if s.failed.CompareAndSwap(nil, &wrapped) {
		s.log.Error("the store takes no more writes until it is started again", zap.Error(err))
		close(s.failing)
		s.queue.signal()
	}
}

func (s *Store) failure() error {
	if p := s.failed.Load(); p != nil {
		return *p
	}
	return nil
}

func (s *Store) nextVersion() uint64 { return s.version.Add(1) }

// commitNow commits a transaction beside those of the committer.
func (s *Store) commitNow(txn *badger.Txn) error {
	s.beginCommit()
	defer s.endCommit()
	version := s.nextVersion()
	if err := txn.CommitAt(version, nil); err != nil {
		return err
	}
	s.committed(version)
	return nil
}

func (s *Store) beginCommit() {
	if raceDetector {
		s.turns.RLock()
	}
}

func (s *Store) endCommit() {
	if raceDetector {
		s.turns.RUnlock()
	}
}

// collectValueLog has Badger give one file back, if it knows of one.
func (s *Store) collectValueLog() error {
	s.moving.Lock()
	defer s.moving.Unlock()
	if raceDetector {
		s.turns.Lock()
		defer s.turns.Unlock()
	}
	defer s.writeback.moving()()
	return s.db.RunValueLogGC(collectRatio)
}

// committed says that a transaction has ended. Badger may now forget what it
// has replaced or deleted; nobody reads old versions.
func (s *Store) committed(version uint64) {
	s.discard.Lock()
	defer s.discard.Unlock()
	if version > s.discard.version {
		s.discard.version = version
		s.db.SetDiscardTs(version)
	}
}

// enter is the beginning of a call that uses the databases, and leave its end.
func (s *Store) enter() bool {
	s.alive.RLock()
	if s.closed {
		s.alive.RUnlock()
		return false
	}
	return true
}

func (s *Store) leave() { s.alive.RUnlock() }

func (s *Store) partition(id storage.Partition) *partition {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.mu.partitions[id]
}

func (s *Store) addPartition(p *partition) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.partitions[p.id] = p
}

func (s *Store) removePartition(id storage.Partition) *partition {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.mu.partitions[id]
	delete(s.mu.partitions, id)
	return p
}

func (s *Store) eachPartition(fn func(p *partition)) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, p := range s.mu.partitions {
		fn(p)
	}
}

// freed accounts for what can no longer be read.
func (s *Store) freed(bytes, batches int64) {
	s.liveBytes.Add(-bytes)
	s.liveBatches.Add(-batches)
	s.stats.freed.Add(bytes)
}

// refuseLate answers appends that came after the end.
func (s *Store) refuseLate(as []*storage.Append) {
	go func() {
		for _, a := range as {
			a.Done(a, fmt.Errorf("append at offset %d of %s: %w", a.Info.BaseOffset, a.Partition, storage.ErrClosed))
		}
	}()
}

// closeGrace is how long closing may take after a failure. Badger tries to write
// its last table again and again, for ever where the directory is gone or the
// disk has died.
const closeGrace = 5 * time.Second

// bounded waits for fn, and after a failure of the store no longer than
// closeGrace. What fn has not ended by then it does not end: its goroutine and
// the lock of the directory are left to the end of the process. All that was
// acknowledged is in write-ahead logs by then, if the disk still has them.
func (s *Store) bounded(fn func() error) error {
	done := make(chan error, 1)
	go func() { done <- fn() }()
	select {
	case err := <-done:
		return err
	case <-s.failing:
	}
	timer := time.NewTimer(s.closeGrace)
	defer timer.Stop()
	select {
	case err := <-done:
		return err
	case <-timer.C:
		return fmt.Errorf("close the store: gave up %s after its failure: %w", s.closeGrace, s.failure())
	}
}

// Close finishes what was queued and lets go of the directory. After a failure
// it does not try for long.
func (s *Store) Close() (err error) {
	s.once.Do(func() { err = s.bounded(s.finish) })
	return err
}

func (s *Store) finish() error {
	s.queue.close()
	s.commits.Wait()
	close(s.reaper.stop)
	s.reaping.Wait()
	s.collector.end()
	close(s.writeback.stop)
	s.flushes.Wait()
	s.alive.Lock()
	s.closed = true
	s.alive.Unlock()
	s.values.close()
	err := s.closeDatabases(s.failure() == nil)
	s.collector.ended()
	s.collects.Wait()
	s.dir.close()
	close(s.finished)
	return err
}
