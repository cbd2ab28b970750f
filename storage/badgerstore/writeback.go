package badgerstore

import (
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
)

// writeback is the goroutine that syncs the value log behind Badger's writer
// where appends do not wait for that (storage.sync=os). Badger syncs each file
// when it ends it, and its one writer waits: for 128 MB, that is a third of a
// second in which nobody is acknowledged. With most of the file on disk by
// then, little is left to wait for, and the disk works all the time.
type writeback struct {
	s     *Store
	every int64 // bytes between two syncs
	wake  chan struct{}
	stop  chan struct{}
	fresh atomic.Int64 // bytes handed to Badger since the last wake-up
	// moves ticks while Badger's collection moves values: it writes as fast as it
	// can, and tells nobody how much.
	moves *time.Ticker

	file *os.File // the one that is being written, as far as is known
	id   uint32
}

// writebackDivisor: a sync is due when that part of a value log file was written.
// Less would have the disk flush its own cache more often than it gains.
const writebackDivisor = 16

// movesSync is the time between two syncs while values are moved: a disk takes
// about a part of a file in it.
const movesSync = 25 * time.Millisecond

func newWriteback(s *Store) *writeback {
	w := &writeback{
		s: s, every: s.opts.ValueLogFileBytes / writebackDivisor,
		wake: make(chan struct{}, 1), stop: make(chan struct{}),
		moves: time.NewTicker(movesSync),
	}
	w.moves.Stop()
	return w
}

// moving says that Badger begins to move values; done is called when it has ended.
func (w *writeback) moving() (done func()) {
	if !w.s.opts.SyncAlways {
		w.moves.Reset(movesSync)
	}
	return w.moves.Stop
}

// wrote says that so many bytes have been handed to Badger.
func (w *writeback) wrote(n int64) {
	if w.s.opts.SyncAlways || w.fresh.Add(n) < w.every {
		return
	}
	w.fresh.Store(0)
	select {
	case w.wake <- struct{}{}:
	default: // a sync is due already
	}
}

func (w *writeback) run() {
	defer w.close()
	for {
		select {
		case <-w.stop:
			return
		case <-w.wake:
		case <-w.moves.C:
		}
		if err := w.follow(); err != nil {
			// Badger syncs the whole file when it ends it, as it would anyway.
			w.s.log.Warn("syncing the value log ahead of time", zap.Error(err))
			continue
		}
		// Pages that could not be written may be dropped by the system, so what
		// was acknowledged may be gone: the same as a failed sync of Badger's.
		if err := w.s.opts.syncFile(w.file); err != nil {
			w.s.fail(fmt.Errorf("sync %s: %w", w.file.Name(), err))
			return
		}
	}
}

// follow goes over to the newest file.
func (w *writeback) follow() error {
	dir := w.s.logDir.file.Name()
	if w.file != nil {
		if _, err := os.Stat(valueLogPath(dir, w.id+1)); errors.Is(err, os.ErrNotExist) {
			return nil
		}
	}
	newest, err := newestValueLog(dir)
	if err != nil {
		return err
	}
	file, err := os.OpenFile(valueLogPath(dir, newest), os.O_RDWR, 0)
	if err != nil {
		return err
	}
	w.close()
	w.file, w.id = file, newest
	return nil
}

func (w *writeback) close() {
	if w.file != nil {
		w.file.Close() // nothing was written through it
		w.file = nil
	}
}
