package badgerstore

import (
	"fmt"
	"math"
	"slices"

	"github.com/dgraph-io/badger/v4"

	"github.com/streamweir/streamweir/storage"
)

// maxVersion reads whatever is there. The log needs no snapshots: what is not
// durable yet lies behind a partition's end, and keys are written once.
const maxVersion = math.MaxUint64

// batchLog is the Store seen as a storage.Log.
type batchLog Store

func (l *batchLog) store() *Store { return (*Store)(l) }

func (l *batchLog) Append(appends ...*storage.Append) {
	if len(appends) == 0 || l.queue.appends(appends) {
		return
	}
	l.store().refuseLate(appends)
}

func (l *batchLog) Bounds(id storage.Partition) (start, end int64) {
	if p := l.store().partition(id); p != nil {
		return p.bounds()
	}
	return 0, 0
}

func (l *batchLog) Partitions(fn func(id storage.Partition)) {
	var ids []storage.Partition
	l.store().eachPartition(func(p *partition) {
		if p.exists() {
			ids = append(ids, p.id)
		}
	})
	for _, id := range ids {
		fn(id)
	}
}

func (l *batchLog) Segments(id storage.Partition) []storage.Segment {
	if p := l.store().partition(id); p != nil {
		return p.segments()
	}
	return nil
}

func (l *batchLog) Epochs(id storage.Partition) []storage.EpochStart {
	if p := l.store().partition(id); p != nil {
		p.mu.RLock()
		defer p.mu.RUnlock()
		return slices.Clone(p.mu.epochs)
	}
	return nil
}

func (l *batchLog) Trim(id storage.Partition, offset int64) error {
	s := l.store()
	if !s.enter() {
		return storage.ErrClosed
	}
	defer s.leave()
	p := s.partition(id)
	if p == nil {
		return nil
	}
	p.trim.Lock()
	defer p.trim.Unlock()
	start, end := p.bounds()
	offset = min(offset, end)
	if offset <= start {
		return nil
	}
	p.mu.RLock()
	seg, growing, cuts := p.segmentOf(offset)
	p.mu.RUnlock()
	var cut *storage.Segment
	if cuts {
		if growing {
			// What is cut must not grow meanwhile.
			if err := s.do(&change{kind: changeSeal, partition: id}); err != nil {
				return err
			}
			p.mu.RLock()
			seg, growing, cuts = p.segmentOf(offset)
			p.mu.RUnlock()
			if growing || !cuts {
				return fmt.Errorf("trim %s to %d: %w", id, offset, storage.ErrOutOfRange) // dropped meanwhile
			}
		}
		left, err := s.recount(p, seg, offset)
		if err != nil {
			return err
		}
		cut = &left
	}
	return s.do(&change{kind: changeTrim, partition: id, start: offset, cut: cut})
}

// recount accounts for what a start leaves of a sealed segment.
func (s *Store) recount(p *partition, seg storage.Segment, start int64) (left storage.Segment, err error) {
	id := p.id
	txn := s.db.NewTransactionAt(maxVersion, false)
	defer txn.Discard()
	it := txn.NewIterator(badger.IteratorOptions{Prefix: appendPartitionKey(nil, prefixBatch, id), SinceTs: p.created - 1})
	defer it.Close()
	for it.Seek(appendBatchSeek(nil, id, seg.BaseOffset)); it.Valid(); it.Next() {
		if isStub(it.Item()) {
			continue
		}
		b, err := decodeBatchKey(it.Item().Key())
		if err != nil {
			return left, fmt.Errorf("trim %s to %d: %w", id, start, err)
		}
		if b.BaseOffset > seg.LastOffset {
			break
		}
		if b.LastOffset >= start {
			addBatch(&left, b)
		}
	}
	if left.Batches == 0 {
		return left, fmt.Errorf("trim %s to %d: the segment up to %d has no batch left", id, start, seg.LastOffset)
	}
	return left, nil
}

func (l *batchLog) Drop(ids ...storage.Partition) error {
	s := l.store()
	if !s.enter() {
		return storage.ErrClosed
	}
	defer s.leave()
	if len(ids) == 0 {
		return nil
	}
	s.states.forget(ids)
	return s.do(&change{kind: changeDrop, drop: slices.Clone(ids)})
}

// do has the committer make a change, and waits for it.
func (s *Store) do(ch *change) error {
	ch.done = make(chan error, 1)
	if !s.queue.change(ch) {
		return storage.ErrClosed
	}
	return <-ch.done
}
