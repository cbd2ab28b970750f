package badgerstore

import (
	"encoding/binary"
	"errors"
	"math"
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

	lookedAt    time.Time // for stubs
	pushedAt    int64     // bytes freed when a memtable was last pushed under load
	exhaustedAt uint64    // keys deleted when an idle store had nothing left to try
}

const (
	// collectRatio is how much of a file has to be garbage.
	collectRatio = 0.5
	// garbageDivisor: that part of what is live may be garbage.
	garbageDivisor = 5
	// batchOverheadBytes is what a batch's key takes in the log before the
	// table and in tables.
	batchOverheadBytes = 150
	// collectPause is the time that compaction is given to find garbage.
	collectPause = 200 * time.Millisecond
	// collectRetry is the time after which garbage that stayed is tried again.
	collectRetry = 30 * time.Second
	// pushEvery is how many memtables' bytes must have been freed for one to
	// be pushed out under load.
	pushEvery = 20
	// idleTime without a commit makes a store idle.
	idleTime = time.Second
	// fillerValueBytes is the size of entries that fill up a memtable, and
	// fillerChunkBytes of those that fill up a value log file.
	fillerValueBytes = 256
	fillerChunkBytes = 1 << 20
)

func newCollector(s *Store) *collector {
	// What a run before this one has deleted is still to be tried.
	return &collector{s: s, wake: make(chan struct{}, 1), stop: make(chan struct{}), exhaustedAt: math.MaxUint64}
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
	t := time.NewTimer(collectRetry)
	defer t.Stop()
	for {
		select {
		case <-c.stop:
			return
		case <-c.wake:
		case <-t.C:
		}
		again := c.work()
		if time.Since(c.lookedAt) > collectRetry && c.s.anyStubs() {
			c.lookedAt = time.Now()
			c.s.reaper.sweepSoon()
		}
		c.workMeta()
		t.Reset(again)
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

// work gives space back until little enough garbage is left, or nothing helps,
// and returns when to look again.
func (c *collector) work() time.Duration {
	collected := false
	defer func() {
		if collected {
			c.s.reaper.sweepSoon()
		}
	}()
	for try := 0; !c.stopped(); {
		before := c.garbage()
		if before < c.allowed() {
			break
		}
		if c.s.refuseBelow(0, c.s.opts.ValueLogFileBytes) != nil {
			break // what is left of a file must be written before it goes
		}
		began := time.Now()
		err := c.s.collectValueLog()
		if err == nil {
			c.s.stats.collected.Add(1)
			collected = true
			c.s.stats.reclaimed.Add(uint64(max(0, before-c.garbage())))
			try = 0
			if !c.rest(time.Since(began), before) {
				break
			}
			continue
		}
		if !errors.Is(err, badger.ErrNoRewrite) {
			break // the store is closing, or has failed
		}
		// Compaction may be on its way with what Badger needs to know.
		if !c.pause(collectPause) {
			break
		}
		if !c.idle() {
			if !c.pushUnderLoad(before) {
				return collectPause
			}
			continue
		}
		deleted := c.s.stats.deleted.Load()
		if deleted == c.exhaustedAt {
			break
		}
		if !c.pushIdle(try) {
			c.exhaustedAt = deleted
			break
		}
		try++
	}
	return collectRetry
}

// workMeta does the same for the metadata, which is little.
func (c *collector) workMeta() {
	for !raceDetector && !c.stopped() && c.s.meta.db.RunValueLogGC(collectRatio) == nil {
		if !c.pause(collectPause) {
			return
		}
	}
}

// rest keeps the collector's share of time: all of it when the disk is short of
// space or what is garbage outweighs what is not, or else the more of its time
// the more garbage there is. Otherwise disk use would grow for as long as a load
// lasts that deletes as much as it writes.
func (c *collector) rest(worked time.Duration, garbage int64) bool {
	share := max(c.s.opts.CollectShare, float64(garbage)/float64(c.s.liveBytes.Load()+2*c.s.opts.ValueLogFileBytes))
	if share >= 1 || c.s.refuseBelow(2*c.s.opts.ReserveBytes, 0) != nil {
		return true
	}
	return c.pause(time.Duration(float64(worked) * (1 - share) / share))
}

// pushUnderLoad pushes a memtable out when enough has been freed since the last
// one that its deletions are worth it: a fifth of the garbage, at most.
func (c *collector) pushUnderLoad(garbage int64) bool {
	freed := c.s.stats.freed.Load()
	if freed-c.pushedAt < min(pushEvery*c.s.opts.MemtableBytes, garbage/garbageDivisor) {
		return false
	}
	c.pushedAt = freed
	return c.push(c.fillMemtable)
}

// pushIdle does a little more at each try, and returns false when there is
// nothing left to do.
func (c *collector) pushIdle(try int) bool {
	switch {
	case try < levelZeroTables:
		return c.push(c.fillMemtable)
	case try == levelZeroTables:
		return c.push(func() error { return c.s.db.Flatten(1) })
	case try == levelZeroTables+1:
		return c.push(c.fillValueLog)
	case try <= 2*levelZeroTables+1: // for the filler's own end
		return c.push(c.fillMemtable)
	}
	return false
}

// push has Badger do what it does not do by itself.
func (c *collector) push(do func() error) bool {
	c.working.Lock()
	defer c.working.Unlock()
	if c.stopped() {
		return false
	}
	if err := do(); err != nil {
		c.s.log.Warn("collecting disk space", zap.Error(err))
		return false
	}
	return true
}

// idle says whether nothing has been committed for a while.
func (c *collector) idle() bool {
	return time.Now().UnixNano()-c.s.stats.lastGroup.Load() > int64(idleTime)
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
		for range perTxn {
			if err := txn.Set(binary.BigEndian.AppendUint32([]byte{prefixFiller}, i), value); err != nil {
				txn.Discard()
				return err
			}
			i++
		}
		if err := s.commitNow(txn); err != nil {
			return err
		}
	}
	return nil
}

// fillValueLog writes until a new value log file begins: Badger does not
// collect the one that is being written, and while that one holds the most
// garbage, none at all.
func (c *collector) fillValueLog() error {
	s := c.s
	chunk := make([]byte, fillerChunkBytes)
	key := []byte{prefixFiller, prefixFiller}
	first, err := newestValueLog(s.logDir.file.Name())
	if err != nil {
		return err
	}
	for range s.opts.ValueLogFileBytes/fillerChunkBytes + 1 {
		if err := s.refuseCleanup(); err != nil {
			return err
		}
		if newest, err := newestValueLog(s.logDir.file.Name()); err != nil || newest != first || c.stopped() {
			break
		}
		txn := s.db.NewTransactionAt(0, true)
		if err := txn.Set(key, chunk); err != nil {
			txn.Discard()
			return err
		}
		if err := s.commitNow(txn); err != nil {
			return err
		}
	}
	txn := s.db.NewTransactionAt(0, true)
	if err := errors.Join(txn.Delete(key), txn.Set(markerKey, tombstone)); err != nil {
		txn.Discard()
		return err
	}
	return s.commitNow(txn)
}
