package badgerstore

import (
	"encoding/binary"
	"errors"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dgraph-io/badger/v4"
	"go.uber.org/zap"

	"github.com/streamweir/streamweir/storage"
)

// reaper is the goroutine that deletes, in small transactions, what Trim and
// Drop have made unreadable. What it has not done when the store ends is found
// again at the next start: keys below a partition's start, and drop entries.
type reaper struct {
	s    *Store
	wake chan struct{}
	stop chan struct{}

	look  atomic.Bool  // a sweep is wanted
	drops atomic.Int32 // partitions in mu.dropping; a fast way to see that there are none

	mu struct {
		sync.Mutex
		dropping map[storage.Partition]bool // from the tombstone to the last key's end
		jobs     []reapJob
		trims    map[storage.Partition]int64 // jobs that are queued, and how far
	}
}

type reapJob struct {
	partition storage.Partition
	drop      bool
}

// reapChunk is how many keys are deleted in one transaction, at most.
const reapChunk = 1000

func newReaper(s *Store) *reaper {
	r := &reaper{s: s, wake: make(chan struct{}, 1), stop: make(chan struct{})}
	r.mu.dropping = map[storage.Partition]bool{}
	r.mu.trims = map[storage.Partition]int64{}
	return r
}

func (r *reaper) dropping(p storage.Partition) bool {
	if r.drops.Load() == 0 {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.mu.dropping[p]
}

func (r *reaper) begin(p storage.Partition) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.mu.dropping[p] = true
	r.drops.Store(int32(len(r.mu.dropping)))
}

func (r *reaper) end(p storage.Partition) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.mu.dropping, p)
	r.drops.Store(int32(len(r.mu.dropping)))
}

// dropped says that p's tombstone is durable.
func (r *reaper) dropped(p storage.Partition) { r.add(reapJob{partition: p, drop: true}, 0) }

// trimmed says that p's start is durably at start.
func (r *reaper) trimmed(p storage.Partition, start int64) { r.add(reapJob{partition: p}, start) }

func (r *reaper) add(j reapJob, start int64) {
	r.mu.Lock()
	if !j.drop {
		if _, queued := r.mu.trims[j.partition]; !queued {
			r.mu.jobs = append(r.mu.jobs, j)
		}
		r.mu.trims[j.partition] = max(start, r.mu.trims[j.partition])
	} else {
		r.mu.jobs = append(r.mu.jobs, j)
	}
	r.mu.Unlock()
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

func (r *reaper) next() (j reapJob, start int64, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.mu.jobs) == 0 {
		return j, 0, false
	}
	j = r.mu.jobs[0]
	r.mu.jobs = r.mu.jobs[1:]
	if !j.drop {
		start = r.mu.trims[j.partition]
		delete(r.mu.trims, j.partition)
	}
	return j, start, true
}

func (r *reaper) stopped() bool {
	select {
	case <-r.stop:
		return true
	default:
		return false
	}
}

func (r *reaper) run() {
	for {
		select {
		case <-r.stop:
			return
		case <-r.wake:
		}
		for !r.stopped() {
			j, start, ok := r.next()
			if !ok {
				if !r.look.Swap(false) {
					break
				}
				r.report(r.sweep())
				r.report(r.removeStubs())
				continue
			}
			err := r.do(j, start)
			if errors.Is(err, errStopped) {
				return
			}
			r.report(err)
		}
		r.s.collector.nudge()
	}
}

// report logs what a job did not do. What it left stays unreadable; the next
// start tries again.
func (r *reaper) report(err error) {
	if err != nil && !errors.Is(err, errStopped) {
		r.s.log.Error("removing trimmed or dropped data", zap.Error(err))
	}
}

// sweepSoon has the reaper look for deleted batches that came back. Badger's
// collection of the value log reads a batch as live, and writes it again; if
// compaction has thrown the batch and its deletion away between the two, it is
// there again, below the start or in a partition that is gone: no harm, but
// garbage that nothing would remove.
func (r *reaper) sweepSoon() {
	r.look.Store(true)
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// sweep looks at the first batch of every partition.
func (r *reaper) sweep() error {
	bound := r.s.version.Load()
	orphans := r.leftovers()
	for _, id := range orphans {
		// Whoever writes this partition anew does so with later versions.
		err := r.deleteAll(appendPartitionKey(nil, prefixBatch, id), func(item *badger.Item) verdict {
			if item.Version() > bound {
				return keep
			}
			return remove
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (r *reaper) leftovers() (orphans []storage.Partition) {
	txn := r.s.db.NewTransactionAt(maxVersion, false)
	defer txn.Discard()
	it := txn.NewIterator(badger.IteratorOptions{Prefix: []byte{prefixBatch}})
	defer it.Close()
	for it.Rewind(); it.Valid() && !r.stopped(); {
		key := it.Item().Key()
		b, err := decodeBatchKey(key)
		if err != nil {
			it.Next()
			continue
		}
		id, _ := decodePartitionKey(key) // a batch key has one
		if p := r.s.partition(id); p == nil {
			if !r.dropping(id) {
				orphans = append(orphans, id)
			}
		} else if start, _ := p.bounds(); b.LastOffset < start {
			r.trimmed(id, start)
		}
		it.Seek(appendBatchSeek(nil, id, math.MaxInt64))
	}
	return orphans
}

var errStopped = errors.New("stopped")

func (r *reaper) do(j reapJob, start int64) error {
	if j.drop {
		for _, prefix := range []byte{prefixBatch, prefixSegment, prefixEpoch, prefixState, prefixStubs, prefixPartition} {
			if err := r.deleteAll(appendPartitionKey(nil, prefix, j.partition), func(*badger.Item) verdict { return remove }); err != nil {
				return err
			}
		}
		r.s.queue.change(&change{kind: changeReaped, partition: j.partition})
		return nil
	}
	if r.dropping(j.partition) {
		return nil
	}
	err := r.deleteAll(appendPartitionKey(nil, prefixBatch, j.partition), func(item *badger.Item) verdict {
		key := item.Key()
		b, err := decodeBatchKey(key)
		if err != nil {
			return keep
		}
		if b.LastOffset >= start {
			return enough
		}
		return remove
	})
	if err != nil {
		return err
	}
	err = r.deleteAll(appendPartitionKey(nil, prefixSegment, j.partition), func(item *badger.Item) verdict {
		key := item.Key()
		if len(key) != segmentKeyLen {
			return keep
		}
		if int64(binary.BigEndian.Uint64(key[partitionKeyLen:])) >= start {
			return enough
		}
		return remove
	})
	if err != nil {
		return err
	}
	return r.epochs(j.partition)
}

// epochs deletes the entries of epochs that the log does not reach back to.
func (r *reaper) epochs(id storage.Partition) error {
	p := r.s.partition(id)
	if p == nil {
		return nil
	}
	p.mu.RLock()
	first := int32(0)
	if len(p.mu.epochs) > 0 {
		first = p.mu.epochs[0].Epoch
	}
	p.mu.RUnlock()
	return r.deleteAll(appendPartitionKey(nil, prefixEpoch, id), func(item *badger.Item) verdict {
		key := item.Key()
		if len(key) != epochKeyLen {
			return keep
		}
		if int32(binary.BigEndian.Uint32(key[partitionKeyLen:])) >= first {
			return enough
		}
		return remove
	})
}

type verdict int

const (
	keep verdict = iota
	remove
	enough // keep this one and all that follow
)

// deleteAll deletes the keys under prefix that judge says to.
func (r *reaper) deleteAll(prefix []byte, judge func(item *badger.Item) verdict) error {
	var from []byte
	for {
		if r.stopped() {
			return errStopped
		}
		keys, more := r.collect(prefix, from, judge)
		if len(keys) == 0 {
			return nil
		}
		if err := r.deleteKeys(keys); err != nil {
			return err
		}
		if !more {
			return nil
		}
		from = keys[len(keys)-1]
	}
}

// collect lists the next chunk of keys to delete.
func (r *reaper) collect(prefix, from []byte, judge func(item *badger.Item) verdict) (keys [][]byte, more bool) {
	txn := r.s.db.NewTransactionAt(maxVersion, false)
	defer txn.Discard()
	it := txn.NewIterator(badger.IteratorOptions{Prefix: prefix})
	defer it.Close()
	if from == nil {
		from = prefix
	}
	for it.Seek(from); it.Valid(); it.Next() {
		switch judge(it.Item()) {
		case enough:
			return keys, false
		case remove:
			keys = append(keys, it.Item().KeyCopy(nil))
		}
		if len(keys) == reapChunk {
			return keys, true
		}
	}
	return keys, false
}

func (r *reaper) deleteKeys(keys [][]byte) error {
	limit := min(len(keys), r.deleteLimit())
	for len(keys) > 0 {
		if err := r.waitForSpace(); err != nil {
			return err
		}
		n := min(limit, len(keys))
		if err := r.deleteNow(keys[:n]); err != nil {
			return err
		}
		keys = keys[n:]
	}
	return nil
}

// deleteLimit is how many keys go into one transaction.
func (r *reaper) deleteLimit() int {
	return min(reapChunk, int(r.s.db.MaxBatchCount())/2, int(r.s.db.MaxBatchSize())/(2*(batchKeyLen+entryOverhead)))
}

// deleteNow deletes keys in one transaction.
func (r *reaper) deleteNow(keys [][]byte) error {
	txn := r.s.db.NewTransactionAt(0, true)
	if err := txn.Set(markerKey, tombstone); err != nil {
		txn.Discard()
		return err
	}
	for _, k := range keys {
		if err := txn.Delete(k); err != nil {
			txn.Discard()
			return err
		}
	}
	if err := r.s.commitNow(txn); err != nil {
		return err
	}
	r.s.stats.deleted.Add(uint64(len(keys)))
	return nil
}

// spaceRetry is the time between two looks at a disk too full for deletions.
const spaceRetry = time.Second

// waitForSpace waits while there is not even room to delete.
func (r *reaper) waitForSpace() error {
	for {
		err := r.s.refuseCleanup()
		if !errors.Is(err, storage.ErrNoSpace) {
			return err
		}
		t := time.NewTimer(spaceRetry)
		select {
		case <-r.stop:
			t.Stop()
			return errStopped
		case <-t.C:
		}
	}
}
