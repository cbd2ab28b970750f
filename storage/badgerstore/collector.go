package badgerstore

import (
	"encoding/binary"
	"errors"
	"path/filepath"
	"sync"
	"time"

	"github.com/dgraph-io/badger/v4"
	"go.uber.org/zap"
)

// collector is the goroutine that gives disk space back. Badger does that only
// when it is told to, and only for value log files of which it knows how much
// is garbage; it learns that when tables with the deletions are compacted, and
// those reach a table when the memtable is full. So the collector knows on its
// own how much is garbage (what the files take, less what can be read), and
// pushes where Badger has no reason to go on: it fills up the memtable, and in
// an idle store merges the levels and begins a new value log file.
type collector struct {
	s    *Store
	wake chan struct{}
	stop chan struct{}

	// working is held while the collector uses the database in a way that the
	// end must wait for. Badger's own collection it may interrupt.
	working sync.Mutex
}

const (
	// collectRatio is how much of a file has to be garbage.
	collectRatio = 0.5
	// garbageDivisor: that part of what is live may be garbage.
	garbageDivisor = 5
	// A batch's key takes that much, in the log before the table and in it.
	batchOverheadBytes = 150
	// collectPause is the time between two looks while there is garbage that
	// Badger does not know of yet.
	collectPause = 200 * time.Millisecond
	// collectRetry is the time after which garbage that stayed is tried again.
	collectRetry     = 30 * time.Second
	fillerValueBytes = 256
)

func newCollector(s *Store) *collector {
	return &collector{s: s, wake: make(chan struct{}, 1), stop: make(chan struct{})}
}

func (c *collector) nudge() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// end stops the collector, as far as the database may be closed.
func (c *collector) end() {
	close(c.stop)
	c.working.Lock()
}

// ended lets the collector see that the database is closed.
func (c *collector) ended() { c.working.Unlock() }

func (c *collector) stopped() bool {
	select {
	case <-c.stop:
		return true
	default:
		return false
	}
}

// pause waits and says whether to go on.
func (c *collector) pause(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-c.stop:
		return false
	case <-t.C:
		return true
	}
}

func (c *collector) run() {
	t := time.NewTicker(collectRetry)
	defer t.Stop()
	for {
		select {
		case <-c.stop:
			return
		case <-c.wake:
		case <-t.C:
		}
		c.work()
	}
}

// garbage estimates what could be given back.
func (c *collector) garbage() int64 {
	s := c.s
	used := usedBytes(filepath.Join(s.dir.path, logName))
	return used - s.liveBytes.Load() - s.liveBatches.Load()*batchOverheadBytes - s.inflightBytes.Load() - 4*s.opts.MemtableBytes
}

func (c *collector) allowed() int64 {
	return max(c.s.opts.ValueLogFileBytes, c.s.liveBytes.Load()/garbageDivisor)
}

// work gives space back until little enough garbage is left, or nothing helps.
func (c *collector) work() {
	push := pushMemtable
	for waits := 0; !c.stopped(); {
		before := c.garbage()
		if before < c.allowed() {
			return
		}
		began := time.Now()
		err := c.s.db.RunValueLogGC(collectRatio)
		took := time.Since(began)
		switch {
		case err == nil:
			c.s.stats.collected.Add(1)
			c.s.stats.reclaimed.Add(uint64(max(0, before-c.garbage())))
			waits, push = 0, pushMemtable
			if !c.rest(took) {
				return
			}
			continue
		case errors.Is(err, badger.ErrNoRewrite):
		default: // the store is closing, or has failed
			return
		}
		// Compaction may be on its way with what Badger needs to know.
		if waits++; waits < 5 {
			if !c.pause(collectPause) {
				return
			}
			continue
		}
		waits = 0
		if push == pushNothing || !c.push(push) {
			return
		}
		push++
	}
}

// rest keeps the collector's share of time, unless the disk is short of space.
func (c *collector) rest(worked time.Duration) bool {
	share := c.s.opts.CollectShare
	if share >= 1 || c.s.refuseBelow(2*c.s.opts.ReserveBytes, 0) != nil {
		return true
	}
	return c.pause(time.Duration(float64(worked) * (1 - share) / share))
}

type push int

const (
	pushMemtable push = iota
	pushLevels
	pushValueLog
	pushNothing
)

// push has Badger do what it does not do by itself.
func (c *collector) push(p push) bool {
	c.working.Lock()
	defer c.working.Unlock()
	if c.stopped() {
		return false
	}
	var err error
	switch p {
	case pushMemtable:
		err = c.fillMemtable()
	case pushLevels:
		err = c.s.db.Flatten(1)
	case pushValueLog:
	}
	if err != nil {
		c.s.log.Warn("collecting disk space", zap.Error(err))
	}
	return err == nil
}

// fillMemtable writes entries without meaning until the memtable is full and
// goes to a table, with the deletions that it holds. The next time replaces them.
func (c *collector) fillMemtable() error {
	s := c.s
	value := make([]byte, fillerValueBytes)
	perTxn := min(s.db.MaxBatchCount(), s.db.MaxBatchSize()/(fillerValueBytes+64)) / 2
	n := uint32(s.opts.MemtableBytes / fillerValueBytes)
	for i := uint32(0); i < n; {
		if err := s.refuseCleanup(); err != nil {
			return err
		}
		if c.stopped() {
			return nil
		}
		txn := s.db.NewTransactionAt(0, true)
		for k := int64(0); k < perTxn; k++ {
			if err := txn.Set(binary.BigEndian.AppendUint32([]byte{prefixFiller}, i), value); err != nil {
				txn.Discard()
				return err
			}
			i++
		}
		if err := txn.CommitAt(s.nextVersion(), nil); err != nil {
			return err
		}
	}
	return nil
}
