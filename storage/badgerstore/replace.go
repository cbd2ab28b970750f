package badgerstore

import (
	"fmt"
	"slices"

	"github.com/dgraph-io/badger/v4"

	"github.com/streamweir/streamweir/storage"
)

// Compaction changes batches in the middle of a log. An edit puts a stub (stubs.go)
// in the place of the old batch and sets the new one in one transaction, together
// with the accounts of the segments that it touches; so a crash leaves one of the
// two, and an account that agrees with it.
//
// Edits touch sealed segments only: what the committer adds to is sealed before.
// One Replace or Trim of a partition works at a time, so that nobody else changes
// those segments from the listing of their keys to the commit.

// replacement is one step of a Replace: what goes into one transaction.
type replacement struct {
	edits      []storage.Edit
	gone, made []storage.Segment // accounts, in order of offset
	bytes      int64             // of new batches
	// What changes in the sums of the log.
	freedBytes, freedBatches int64
}

// The largest step: a part of what a group takes, so that a produce that comes
// behind it waits little longer than it would for another produce.
const maxStepBytes = 1 << 20

func (l *batchLog) Replace(id storage.Partition, edits ...storage.Edit) error {
	s := l.store()
	if !s.enter() {
		return storage.ErrClosed
	}
	defer s.leave()
	p := s.partition(id)
	if len(edits) == 0 {
		return nil
	}
	if p == nil {
		return fmt.Errorf("replace batches of %s: %w", id, storage.ErrOutOfRange)
	}
	p.trim.Lock()
	defer p.trim.Unlock()
	if err := s.sealFor(p, edits[len(edits)-1].Old.BaseOffset); err != nil {
		return fmt.Errorf("replace batches of %s: %w", id, err)
	}
	if err := s.checkEdits(p, edits); err != nil {
		return fmt.Errorf("replace batches of %s: %w", id, err)
	}
	for len(edits) > 0 {
		n := s.stepOf(edits)
		if err := s.replaceStep(p, edits[:n]); err != nil {
			return fmt.Errorf("replace batches of %s from %d: %w", id, edits[0].Old.BaseOffset, err)
		}
		edits = edits[n:]
	}
	s.collector.nudge()
	return nil
}

// sealFor ends the growing segment if base lies in it.
func (s *Store) sealFor(p *partition, base int64) error {
	p.mu.RLock()
	growing := p.mu.growing
	p.mu.RUnlock()
	if growing.Batches == 0 || base < growing.BaseOffset {
		return nil
	}
	return s.do(&change{kind: changeSeal, partition: p.id})
}

// checkEdits looks for the batches that edits name before any is done.
func (s *Store) checkEdits(p *partition, edits []storage.Edit) error {
	start, end := p.bounds()
	next := start
	for i := range edits {
		e := &edits[i]
		switch {
		case e.Old.LastOffset < next || i > 0 && e.Old.BaseOffset < next:
			return fmt.Errorf("the batch at %d is behind %d: %w", e.Old.BaseOffset, next, storage.ErrOutOfRange)
		case e.Data == nil && e.Old.LastOffset+1 >= end:
			return fmt.Errorf("the batch at %d is the last one: %w", e.Old.BaseOffset, storage.ErrOutOfRange)
		case len(e.Data) > s.opts.maxBatchBytes():
			return fmt.Errorf("%d bytes at %d are more than the %d that a value log file holds: %w",
				len(e.Data), e.Old.BaseOffset, s.opts.maxBatchBytes(), storage.ErrOutOfRange)
		}
		next = e.Old.LastOffset + 1
	}
	txn := s.db.NewTransactionAt(maxVersion, false)
	defer txn.Discard()
	key := make([]byte, 0, batchKeyLen)
	for i := range edits {
		key = appendBatchKey(key[:0], p.id, edits[i].Old)
		item, err := txn.Get(key)
		if err != nil || item.Version() < p.created || isStub(item) {
			return fmt.Errorf("no batch at %d is as the edit says: %w", edits[i].Old.BaseOffset, storage.ErrOutOfRange)
		}
	}
	return nil
}

// stepOf says how many of edits fit into one transaction: a quarter of what Badger
// takes, which leaves room for the accounts even where each edit is in another
// segment.
func (s *Store) stepOf(edits []storage.Edit) (n int) {
	maxCount, maxSize := s.db.MaxBatchCount()/4, s.db.MaxBatchSize()/4
	var count, size, bytes int64
	for n < len(edits) {
		e := &edits[n]
		value := int64(len(e.Data))
		bytes += value
		if value >= s.opts.InlineBytes {
			value = valuePointerLen
		}
		count += editEntries
		size += editEntries*(batchKeyLen+entryOverhead) + value
		if n > 0 && (count >= maxCount || size >= maxSize || bytes > maxStepBytes) {
			break
		}
		n++
	}
	return n
}

// editEntries is how many entries an edit makes at most: a stub and the new batch.
const editEntries = 2

// replaceStep does edits in one transaction. The caller holds p.trim.
func (s *Store) replaceStep(p *partition, edits []storage.Edit) error {
	r, err := s.account(p, edits)
	if err != nil {
		return err
	}
	p.beginStep(offsetRange{edits[0].Old.BaseOffset, edits[len(edits)-1].Old.LastOffset})
	defer p.endStep()
	s.places.forget(p)
	return s.do(&change{kind: changeReplace, partition: p.id, replace: r})
}

// account works out what edits leave of the segments that they touch.
func (s *Store) account(p *partition, edits []storage.Edit) (*replacement, error) {
	r := &replacement{edits: edits}
	first, last := edits[0].Old.BaseOffset, edits[len(edits)-1].Old.LastOffset
	p.mu.RLock()
	from := p.sealedAt(first)
	to := p.sealedAt(last) + 1
	if to > len(p.mu.sealed) {
		p.mu.RUnlock()
		return nil, storage.ErrOutOfRange // dropped meanwhile
	}
	// The segment before may take up what is left of the first.
	lead := max(from-1, 0)
	touched := slices.Clone(p.mu.sealed[lead:to])
	p.mu.RUnlock()

	counted, err := s.countEdited(p, touched[from-lead:], edits)
	if err != nil {
		return nil, err
	}
	r.made = s.mergeSegments(append(touched[:from-lead:from-lead], counted...))
	r.gone = touched
	if from > lead && r.made[0] == touched[0] {
		r.made, r.gone = r.made[1:], r.gone[1:] // it stays as it was
	}
	for i := range edits {
		r.bytes += int64(len(edits[i].Data))
		r.freedBytes += int64(edits[i].Old.Size) - int64(len(edits[i].Data))
		if edits[i].Data == nil {
			r.freedBatches++
		}
	}
	return r, nil
}

// countEdited sums up segments anew, as they will be. Empty ones are left out.
func (s *Store) countEdited(p *partition, segs []storage.Segment, edits []storage.Edit) ([]storage.Segment, error) {
	txn := s.db.NewTransactionAt(maxVersion, false)
	defer txn.Discard()
	it := txn.NewIterator(badger.IteratorOptions{Prefix: appendPartitionKey(nil, prefixBatch, p.id), SinceTs: p.created - 1})
	defer it.Close()
	it.Seek(appendBatchSeek(nil, p.id, segs[0].BaseOffset))
	start, _ := p.bounds()
	var out []storage.Segment
	for _, seg := range segs {
		var left storage.Segment
		for ; it.Valid(); it.Next() {
			if isStub(it.Item()) {
				continue
			}
			b, err := decodeBatchKey(it.Item().Key())
			if err != nil {
				return nil, err
			}
			if b.BaseOffset > seg.LastOffset {
				break
			}
			if b.LastOffset < start {
				continue
			}
			if len(edits) > 0 && edits[0].Old == b {
				e := &edits[0]
				edits = edits[1:]
				if e.Data == nil {
					continue
				}
				b = e.New()
			}
			addBatch(&left, b)
		}
		if left.Batches > 0 {
			out = append(out, left)
		}
	}
	if len(edits) > 0 {
		return nil, fmt.Errorf("the batch at %d is in no segment: %w", edits[0].Old.BaseOffset, storage.ErrOutOfRange)
	}
	return out, nil
}

// mergeSegments joins neighbours that are no larger together than one segment.
func (s *Store) mergeSegments(segs []storage.Segment) []storage.Segment {
	out := segs[:0:0]
	for _, seg := range segs {
		if n := len(out); n > 0 {
			l := &out[n-1]
			if l.Bytes+seg.Bytes <= s.opts.SegmentBytes && l.Batches+seg.Batches <= s.opts.SegmentBatches {
				l.LastOffset = seg.LastOffset
				l.MaxTimestamp = max(l.MaxTimestamp, seg.MaxTimestamp)
				l.Bytes += seg.Bytes
				l.Batches += seg.Batches
				continue
			}
		}
		out = append(out, seg)
	}
	return out
}

// replace stages one step. It comes too late for a partition that was dropped.
func (c *committer) replace(ch *change) (*partition, error) {
	p, r := c.s.partition(ch.partition), ch.replace
	if p == nil || c.s.reaper.dropping(ch.partition) {
		return nil, errDropped
	}
	if err := c.s.refuseReplace(r.bytes); err != nil {
		return nil, err
	}
	count := int64(editEntries*len(r.edits) + 2*len(r.gone) + len(r.made) + 2)
	size := int64(0)
	for i := range r.edits {
		value := int64(len(r.edits[i].Data))
		if value >= c.s.opts.InlineBytes {
			value = valuePointerLen
		}
		size += editEntries*(batchKeyLen+entryOverhead) + value
	}
	size += int64(2*len(r.gone)+len(r.made)+2) * (partitionKeyLen + 8 + partitionValueLen + entryOverhead)
	c.room(count, size)
	for i := range r.edits {
		e := &r.edits[i]
		old := c.key(func(b []byte) []byte { return appendBatchKey(b, p.id, e.Old) })
		if e.Data == nil || e.New() != e.Old {
			c.setStub(old)
		}
		if e.Data != nil {
			c.set(c.key(func(b []byte) []byte { return appendBatchKey(b, p.id, e.New()) }), e.Data)
		}
	}
	for _, seg := range r.gone {
		if !slices.ContainsFunc(r.made, func(m storage.Segment) bool { return m.LastOffset == seg.LastOffset }) {
			c.delete(c.key(func(b []byte) []byte { return appendSegmentKey(b, p.id, seg.LastOffset) }))
		}
	}
	for _, seg := range r.made {
		c.setSegment(p, seg)
	}
	c.set(c.key(func(b []byte) []byte { return appendPartitionKey(b, prefixStubs, p.id) }), tombstone)
	// The entry may tell of the last of these segments as it was when it grew,
	// and would seem to be newer than what is left of it.
	c.setPartition(p)
	return p, nil
}

// applyReplace makes a durable step visible.
func (s *Store) applyReplace(p *partition, r *replacement) {
	p.mu.Lock()
	if len(r.gone) > 0 {
		at := p.sealedAt(r.gone[0].LastOffset)
		p.mu.sealed = slices.Replace(p.mu.sealed, at, at+len(r.gone), r.made...)
	}
	p.mu.Unlock()
	s.freed(r.freedBytes, r.freedBatches)
	s.stats.freed.Add(r.bytes) // the old batch is garbage as a whole
	p.stubs.Store(true)
	s.stats.replaced.Add(uint64(r.bytes))
}

// refuseReplace says why a step may not be written now. Compaction takes from
// the reserve, since it makes room, but leaves the collector what it needs to
// give that room back.
func (s *Store) refuseReplace(bytes int64) error {
	if err := s.failure(); err != nil {
		return err
	}
	return s.refuseBelow(s.opts.ReserveBytes/2, bytes+s.inflightBytes.Load())
}
