package badgerstore

import (
	"errors"
	"fmt"
	"time"

	"github.com/dgraph-io/badger/v4"

	"github.com/streamweir/streamweir/storage"
)

// committer is the one goroutine that writes batches to the log database. It
// gathers what all partitions have queued into groups, and begins a group as
// soon as fewer than inflight are under way: while the disk works on one, the
// next one grows. That is the whole of group commit; there is no delay in it.
type committer struct {
	s *Store
	g *group

	// Limits of one Badger transaction, and what the one being built has used.
	maxCount, maxSize int64
	count, size       int64

	slots  chan struct{} // a token for each group under way
	out    chan *group   // to the completer, in order
	parked map[storage.Partition][]entry
}

// Badger's own account of a transaction: one entry and its key stand for the
// end, and each entry costs its key, its value or a pointer, and a bit more.
const (
	txnBaseCount    = 1
	txnBaseSize     = 32
	entryOverhead   = 2 + 10
	valuePointerLen = 12
	// A batch may need its partition's, its epoch's and its segment's entries.
	maxEntriesPerBatch = 4
	maxAuxiliarySize   = 3 * (partitionKeyLen + 8 + partitionValueLen + entryOverhead)
)

func newCommitter(s *Store) *committer {
	return &committer{
		s:        s,
		maxCount: s.db.MaxBatchCount(),
		maxSize:  s.db.MaxBatchSize(),
		slots:    make(chan struct{}, s.opts.CommitsInFlight),
		out:      make(chan *group, 64),
		parked:   map[storage.Partition][]entry{},
	}
}

// run works until the queue is closed and empty and nothing is parked.
func (c *committer) run() {
	defer close(c.out)
	for open := true; open || len(c.parked) > 0; {
		c.slots <- struct{}{}
		<-c.s.queue.wake
		var entries []entry
		entries, open = c.s.queue.take()
		if c.s.failure() != nil {
			entries = c.unparkAll(entries)
		}
		c.commitAll(entries)
	}
	c.slots <- struct{}{}
	c.commitAll([]entry{{change: &change{kind: changeRest}}})
}

// commitAll makes groups of entries. The caller has taken the first one's slot.
func (c *committer) commitAll(entries []entry) {
	if len(entries) == 0 {
		<-c.slots
		return
	}
	for {
		entries = entries[c.commit(entries):]
		if len(entries) == 0 {
			return
		}
		c.slots <- struct{}{}
	}
}

// commit builds and begins a group of the first entries and returns how many
// it took.
func (c *committer) commit(entries []entry) int {
	c.g = newGroup(c.s, c.slots)
	n, need := c.measure(entries)
	refusal := c.s.refusal(need)
	if errors.Is(refusal, storage.ErrNoSpace) {
		if c.s.refusedNeed.Swap(need) == 0 {
			c.s.tellFull(refusal)
		}
	} else if c.s.refusedNeed.Load() != 0 {
		c.s.refusedNeed.Store(0)
		c.s.log.Info("there is space on the disk again: appends are taken")
	}
	for _, e := range entries[:n] {
		if e.append != nil {
			c.append(e.append, refusal)
		} else {
			c.change(e.change, refusal)
		}
	}
	c.endTxn()
	g := c.g
	c.s.inflightBytes.Add(g.bytes)
	c.s.writeback.wrote(g.bytes)
	c.out <- g
	g.ended(nil)
	return n
}

// measure says how many entries make the next group, and what they will take
// on disk.
func (c *committer) measure(entries []entry) (n int, need int64) {
	for n < len(entries) && n < c.s.opts.MaxGroupBatches && need < c.s.opts.MaxGroupBytes {
		if a := entries[n].append; a != nil {
			need += int64(len(a.Data)) + perBatchDiskBytes
		} else {
			need += perBatchDiskBytes
		}
		n++
	}
	return n, need
}

// perBatchDiskBytes is what a batch takes beside its data: the value log's
// header and key, and the key in the write-ahead log and in a table.
const perBatchDiskBytes = 256

// lookup returns the partition, which it makes where there is none.
func (c *committer) lookup(id storage.Partition) *partition {
	if p := c.s.partition(id); p != nil {
		return p
	}
	p := &partition{id: id, created: c.s.version.Load() + 1}
	p.staged.epoch = -1
	c.s.addPartition(p)
	return p
}

func (c *committer) append(a *storage.Append, refusal error) {
	if c.s.reaper.dropping(a.Partition) {
		c.parked[a.Partition] = append(c.parked[a.Partition], entry{append: a})
		return
	}
	if a.Internal && errors.Is(refusal, storage.ErrNoSpace) {
		refusal = c.s.refuseCleanup()
	}
	p := c.lookup(a.Partition)
	err := p.staged.check(a, refusal, c.s.opts.maxBatchBytes())
	c.g.outcomes = append(c.g.outcomes, outcome{partition: p, append: a, err: err})
	if err != nil {
		if !errors.Is(err, storage.ErrTerm) {
			p.staged.minTerm = a.Term + 1
		}
		return
	}
	c.g.outcomes[len(c.g.outcomes)-1].seals = c.stage(p, a)
	c.g.bytes += int64(len(a.Data))
	c.g.batches++
}

// check says whether a can follow what was staged before it.
func (st *staged) check(a *storage.Append, refusal error, maxBytes int) error {
	switch {
	case a.Term < st.minTerm:
		return storage.ErrTerm
	case refusal != nil:
		return refusal
	case a.Info.BaseOffset < st.end || a.Info.BaseOffset < 0:
		return fmt.Errorf("the log ends at %d: %w", st.end, storage.ErrOutOfRange)
	case a.Info.LastOffset < a.Info.BaseOffset || a.Info.LastOffset-a.Info.BaseOffset > maxOffsetDelta:
		return fmt.Errorf("its last offset is %d: %w", a.Info.LastOffset, storage.ErrOutOfRange)
	case int(a.Info.Size) != len(a.Data):
		return fmt.Errorf("%d bytes of data for a batch of %d: %w", len(a.Data), a.Info.Size, storage.ErrOutOfRange)
	case len(a.Data) > maxBytes:
		return fmt.Errorf("%d bytes are more than the %d that a value log file holds: %w", len(a.Data), maxBytes, storage.ErrOutOfRange)
	}
	return nil
}

// stage writes a batch, and what goes with it, into one transaction.
func (c *committer) stage(p *partition, a *storage.Append) (seals bool) {
	st := &p.staged
	valueSize := int64(len(a.Data))
	if valueSize >= c.s.opts.InlineBytes {
		valueSize = valuePointerLen
	}
	c.room(maxEntriesPerBatch, batchKeyLen+valueSize+entryOverhead+maxAuxiliarySize)
	c.set(c.key(func(b []byte) []byte { return appendBatchKey(b, p.id, a.Info) }), a.Data)
	st.end = a.Info.LastOffset + 1
	addBatch(&st.growing, a.Info)
	if a.Epoch > st.epoch {
		st.epoch = a.Epoch
		c.set(c.key(func(b []byte) []byte { return appendEpochKey(b, p.id, a.Epoch) }),
			c.key(func(b []byte) []byte { return appendEpochValue(b, a.Info.BaseOffset) }))
	}
	if st.growing.Batches >= c.s.opts.SegmentBatches || st.growing.Bytes >= c.s.opts.SegmentBytes {
		c.seal(p)
		seals = true
	}
	// The entry saves a start after a crash from looking at more batches than
	// these. It is the newest of what is in its transaction, or older.
	if !st.known || st.growing.Batches-st.saved >= batchesBetweenSnapshots {
		c.setPartition(p)
	}
	return seals
}

// batchesBetweenSnapshots is how many batches of a growing segment the opening
// has to look at, at most.
const batchesBetweenSnapshots = 64

func (c *committer) seal(p *partition) {
	st := &p.staged
	c.setSegment(p, st.growing)
	st.growing, st.saved = storage.Segment{}, 0
}

func (c *committer) setSegment(p *partition, s storage.Segment) {
	c.set(c.key(func(b []byte) []byte { return appendSegmentKey(b, p.id, s.LastOffset) }),
		c.key(func(b []byte) []byte { return appendSegmentValue(b, s) }))
}

func (c *committer) setPartition(p *partition) {
	st := &p.staged
	st.known, st.saved = true, st.growing.Batches
	c.set(c.key(func(b []byte) []byte { return appendPartitionKey(b, prefixPartition, p.id) }),
		c.key(func(b []byte) []byte { return appendPartitionValue(b, p.created, st.start, st.growing) }))
}

// key builds a short slice in the group's memory. Growing that memory leaves
// earlier slices where they are.
func (c *committer) key(build func([]byte) []byte) []byte {
	const room = 128
	g := c.g
	if cap(g.keys)-len(g.keys) < room {
		g.keys = make([]byte, 0, max(4096, 2*cap(g.keys)))
	}
	from := len(g.keys)
	g.keys = build(g.keys)
	return g.keys[from:len(g.keys):len(g.keys)]
}

// room begins another transaction where the current one cannot take so much.
func (c *committer) room(count, size int64) {
	if c.g.txn != nil && (c.count+count >= c.maxCount || c.size+size >= c.maxSize) {
		c.endTxn()
	}
	if c.g.txn == nil {
		c.g.txn = c.s.db.NewTransactionAt(0, true)
		c.count, c.size = txnBaseCount, txnBaseSize
	}
}

func (c *committer) account(key []byte, value int64) {
	c.count++
	c.size += int64(len(key)) + value + entryOverhead
}

func (c *committer) set(key, value []byte) {
	e := c.g.entries.get()
	*e = badger.Entry{Key: key, Value: value}
	if n := int64(len(value)); n < c.s.opts.InlineBytes {
		c.account(key, n)
	} else {
		c.account(key, valuePointerLen)
	}
	if err := c.g.txn.SetEntry(e); err != nil {
		c.fail(err)
	}
}

func (c *committer) delete(key []byte) {
	c.account(key, 0)
	if err := c.g.txn.Delete(key); err != nil {
		c.fail(err)
	}
	c.set(markerKey, tombstone) // see acked.go
}

// fail is for what must not happen, such as a transaction above Badger's limits.
func (c *committer) fail(err error) {
	err = fmt.Errorf("build a commit: %w", err)
	c.g.err.CompareAndSwap(nil, &err)
	c.s.fail(err)
}

func (c *committer) endTxn() {
	g := c.g
	if g.txn == nil {
		return
	}
	if c.count == txnBaseCount {
		// Nothing was to change: a version that no key has would look lost.
		g.txn.Discard()
		g.txn = nil
		return
	}
	g.version = c.s.nextVersion()
	g.pending.Add(1)
	c.s.stats.commits.Add(1)
	c.s.beginCommit()
	// CommitAt returns an error only where it was given no callback.
	_ = g.txn.CommitAt(g.version, g.committed)
	g.txn = nil
}

// change stages what is not an append.
func (c *committer) change(ch *change, refusal error) {
	if ch.kind == changeState && c.s.reaper.dropping(ch.partition) {
		c.parked[ch.partition] = append(c.parked[ch.partition], entry{change: ch})
		return
	}
	o := outcome{change: ch, err: refusal}
	if errors.Is(refusal, storage.ErrNoSpace) && ch.kind != changeState {
		// Removing data must be possible on a full disk.
		o.err = c.s.refuseCleanup()
	}
	if o.err != nil {
		c.g.outcomes = append(c.g.outcomes, o)
		return
	}
	c.room(maxEntriesPerBatch, maxAuxiliarySize)
	switch ch.kind {
	case changeSeal:
		o.partition = c.s.partition(ch.partition)
		if o.partition != nil && o.partition.staged.growing.Batches > 0 {
			c.seal(o.partition)
			o.seals = true
		}
	case changeTrim:
		if o.partition = c.s.partition(ch.partition); o.partition != nil {
			c.trim(o.partition, ch)
		}
	case changeReplace:
		o.partition, o.err = c.replace(ch)
	case changeDrop:
		c.drop(ch)
	case changeReaped:
		c.delete(c.key(func(b []byte) []byte { return appendPartitionKey(b, prefixDrop, ch.partition) }))
	case changeState:
		o.partition = c.state(ch)
	case changeRest:
		c.s.eachPartition(func(p *partition) {
			if p.staged.known && p.staged.saved != p.staged.growing.Batches {
				c.room(maxEntriesPerBatch, maxAuxiliarySize)
				c.setPartition(p)
			}
		})
	}
	c.g.outcomes = append(c.g.outcomes, o)
	if ch.kind == changeReaped {
		c.s.reaper.end(ch.partition)
		c.unpark(ch.partition)
	}
}

// tombstone is the value of a drop entry. Badger takes no meaning from it.
var tombstone = []byte{1}

func (c *committer) trim(p *partition, ch *change) {
	st := &p.staged
	if ch.start <= st.start {
		return
	}
	st.start = ch.start
	if st.growing.Batches > 0 && st.growing.LastOffset < ch.start {
		st.growing, st.saved = storage.Segment{}, 0
	}
	if ch.cut != nil {
		c.setSegment(p, *ch.cut)
	}
	c.setPartition(p)
}

// drop writes tombstones for those partitions that are there.
func (c *committer) drop(ch *change) {
	there := ch.drop[:0]
	for _, id := range ch.drop {
		for _, e := range c.parked[id] { // written again already, and dropped again
			c.g.outcomes = append(c.g.outcomes, outcome{append: e.append, change: e.change, err: errDropped})
		}
		delete(c.parked, id)
		if c.s.partition(id) == nil || c.s.reaper.dropping(id) {
			continue
		}
		c.room(maxEntriesPerBatch, maxAuxiliarySize)
		c.set(c.key(func(b []byte) []byte { return appendPartitionKey(b, prefixDrop, id) }), tombstone)
		c.s.reaper.begin(id)
		there = append(there, id)
	}
	ch.drop = there
}

var errDropped = fmt.Errorf("the partition was dropped: %w", storage.ErrTerm)

func (c *committer) state(ch *change) *partition {
	p := c.lookup(ch.partition)
	value := appendStateValue(make([]byte, 0, stateHeaderLen+len(ch.state.Data)), ch.state)
	size := int64(len(value))
	if size >= c.s.opts.InlineBytes {
		size = valuePointerLen
	}
	key := appendStateKey(nil, ch.partition, ch.name)
	c.room(maxEntriesPerBatch, int64(len(key))+size+maxAuxiliarySize)
	c.set(key, value)
	if !p.staged.known {
		c.setPartition(p)
	}
	return p
}

// unpark goes on with what waited for the end of a drop.
func (c *committer) unpark(id storage.Partition) {
	entries := c.parked[id]
	delete(c.parked, id)
	for _, e := range entries {
		if e.append == nil {
			c.change(e.change, c.s.refusal(int64(len(e.change.state.Data))))
			continue
		}
		c.append(e.append, c.s.refusal(c.g.bytes+int64(len(e.append.Data))))
	}
}

// unparkAll puts behind entries what would wait for ever in a failed store.
func (c *committer) unparkAll(entries []entry) []entry {
	for id, es := range c.parked {
		c.s.reaper.end(id)
		entries = append(entries, es...)
	}
	clear(c.parked)
	return entries
}

// complete is the one goroutine that reports groups, in their order.
func (s *Store) complete(in <-chan *group) {
	for g := range in {
		<-g.done
		err := s.outcome(g)
		s.inflightBytes.Add(-g.bytes)
		for i := range g.outcomes {
			o := &g.outcomes[i]
			if o.err == nil {
				o.err = err
			}
			if o.err == nil {
				s.apply(o)
			} else {
				s.refused(o)
			}
		}
		s.stats.group(g, time.Since(g.began), s.opts.SyncAlways)
		for i := range g.outcomes {
			o := &g.outcomes[i]
			if o.append != nil {
				o.append.Done(o.append, o.err)
			} else {
				s.changed(o.change, o.err)
			}
		}
		if g.version > 0 {
			if err == nil {
				s.acked.note(g.version, s.opts.SyncAlways, s.boot)
			}
			s.committed(g.version)
		}
		g.release()
	}
}

// outcome says whether a group whose transactions have ended is durable.
func (s *Store) outcome(g *group) error {
	if err := g.failure(); err != nil {
		s.fail(err)
	}
	if s.opts.SyncAlways && g.version > 0 {
		if err := s.logDir.sync(); err != nil {
			s.fail(err)
		}
	}
	// A failed sync is known by now: Badger logs it before it ends the commit.
	if s.failure() != nil {
		return s.failure()
	}
	return nil
}

// apply makes a durable outcome visible.
func (s *Store) apply(o *outcome) {
	if o.append != nil {
		o.partition.mu.Lock()
		o.partition.applyAppend(o.append, o.seals)
		o.partition.mu.Unlock()
		s.liveBytes.Add(int64(o.append.Info.Size))
		s.liveBatches.Add(1)
		return
	}
	switch ch := o.change; ch.kind {
	case changeSeal:
		if o.seals {
			o.partition.mu.Lock()
			o.partition.applySeal()
			o.partition.mu.Unlock()
		}
	case changeTrim:
		if p := o.partition; p != nil {
			p.mu.Lock()
			bytes, batches := p.size()
			if ch.start > p.mu.start {
				p.applyTrim(ch.start, ch.cut)
			}
			leftBytes, leftBatches := p.size()
			p.mu.Unlock()
			s.freed(bytes-leftBytes, batches-leftBatches)
			s.reaper.trimmed(ch.partition, ch.start)
		}
	case changeReplace:
		s.applyReplace(o.partition, ch.replace)
	case changeState:
		if p := o.partition; p != nil {
			p.mu.Lock()
			p.mu.exists = true
			p.mu.Unlock()
		}
	case changeDrop:
		for _, id := range ch.drop {
			if p := s.removePartition(id); p != nil {
				s.places.forget(p)
				p.mu.RLock()
				bytes, batches := p.size()
				p.mu.RUnlock()
				s.freed(bytes, batches)
			}
			s.reaper.dropped(id)
		}
	}
}

// changed tells whoever waits for a change.
func (s *Store) changed(ch *change, err error) {
	if ch.kind == changeState {
		s.states.saved(ch)
	}
	if ch.done != nil {
		ch.done <- err
	}
}

// refused wraps the error of what was not written, and takes back what a
// change had begun.
func (s *Store) refused(o *outcome) {
	switch {
	case o.append != nil:
		s.stats.refuse(o.err)
		o.err = fmt.Errorf("append at offset %d of %s: %w", o.append.Info.BaseOffset, o.append.Partition, o.err)
	case o.change.kind == changeTrim:
		o.err = fmt.Errorf("trim %s to %d: %w", o.change.partition, o.change.start, o.err)
	case o.change.kind == changeDrop:
		o.err = fmt.Errorf("drop %d partitions: %w", len(o.change.drop), o.err)
	}
}
