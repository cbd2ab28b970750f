package badgerstore

import (
	"errors"
	"fmt"
	"math"
	"sync"

	"github.com/dgraph-io/badger/v4"

	"github.com/streamweir/streamweir/storage"
)

// Reads copy out of Badger and let go of it before anyone else runs: while a
// value is lent out, Badger holds a lock that its writer needs.

var errUnreadable = errors.New("the database cannot read it")

// reader is what a read needs, kept for the next one.
type reader struct {
	key    []byte
	prefix []byte
	infos  []storage.BatchInfo
	dst    []byte
	n      int
	skip   int32
	size   int32
	seen   int64 // the largest offset that was looked at
	first  int64 // the last offset of the batch that was asked for
	copyFn func(value []byte) error
}

var readers = sync.Pool{New: func() any {
	r := &reader{}
	r.copyFn = r.copy
	return r
}}

var errSize = errors.New("size")

// copy runs under Badger's lock on the value's file.
func (r *reader) copy(value []byte) error {
	if len(value) != int(r.size) {
		return errSize
	}
	r.n += copy(r.dst[r.n:], value[r.skip:])
	return nil
}

func (r *reader) free() {
	r.dst = nil
	readers.Put(r)
}

func (l *batchLog) Read(id storage.Partition, at storage.Position, dst []byte) (int, error) {
	s := l.store()
	if !s.enter() {
		return 0, storage.ErrClosed
	}
	defer s.leave()
	p := s.partition(id)
	if p == nil {
		return 0, outOfRange(id, at)
	}
	start, end := p.bounds()
	if at.Base < 0 || at.Base >= end || at.Skip < 0 {
		return 0, outOfRange(id, at)
	}
	r := readers.Get().(*reader)
	defer r.free()
	r.dst = dst
	var next int64
	err := p.undisturbed(func() (seen offsetRange, err error) {
		r.n, r.skip = 0, at.Skip
		next, err = s.read(r, p, at.Base, start, end, true)
		if errors.Is(err, errUnreadable) {
			// A value that the collector moved at the wrong moment is found where it
			// went; one that is corrupt is not.
			next, err = s.read(r, p, next, start, end, next == at.Base)
		}
		return offsetRange{at.Base, r.seen}, err
	})
	switch {
	case errors.Is(err, errUnreadable):
		s.stats.corrupt.Add(1)
		return r.n, &storage.CorruptError{Partition: id, Base: next, Err: err}
	case err != nil:
		return 0, fmt.Errorf("read at %d of %s: %w", at.Base, id, err)
	case s.partition(id) != p:
		return 0, outOfRange(id, at)
	}
	if start, _ := p.bounds(); r.first < start {
		// Some of what was read may have been removed while it was: the read then
		// went on with what came behind that.
		return 0, outOfRange(id, at)
	}
	return r.n, nil
}

func outOfRange(id storage.Partition, at storage.Position) error {
	return fmt.Errorf("read at %d+%d of %s: %w", at.Base, at.Skip, id, storage.ErrOutOfRange)
}

// read copies batches from the one at base on. With exact, there must be a
// batch at base. It returns the batch that it could not read.
func (s *Store) read(r *reader, p *partition, base, start, end int64, exact bool) (at int64, err error) {
	txn := s.db.NewTransactionAt(maxVersion, false)
	defer txn.Discard()
	r.prefix = appendPartitionKey(r.prefix[:0], prefixBatch, p.id)
	r.key = appendBatchSeek(r.key[:0], p.id, base)
	it := txn.NewIterator(badger.IteratorOptions{Prefix: r.prefix, SinceTs: p.created - 1})
	defer it.Close()
	r.seen = base
	for it.Seek(r.key); it.Valid(); it.Next() {
		item := it.Item()
		if isStub(item) {
			continue
		}
		b, err := decodeBatchKey(item.Key())
		if err != nil {
			return base, err
		}
		r.seen = b.LastOffset
		if exact && (b.BaseOffset != base || b.LastOffset < start || r.skip > b.Size) {
			return base, storage.ErrOutOfRange
		}
		if exact {
			r.first = b.LastOffset
		}
		exact = false
		if b.BaseOffset >= end || r.n == len(r.dst) {
			return 0, nil
		}
		r.size = b.Size
		if err := item.Value(r.copyFn); err != nil {
			return b.BaseOffset, errUnreadable
		}
		r.skip = 0
	}
	r.seen = math.MaxInt64
	if exact {
		return base, storage.ErrOutOfRange
	}
	return 0, nil
}

// Batches are listed in chunks: the iterator is closed before the caller's
// function runs. The first ones are small, for callers that want little.
const firstChunk, maxChunk = 16, 1024

func (l *batchLog) Batches(id storage.Partition, from int64, fn func(storage.BatchInfo) bool) error {
	s := l.store()
	r := readers.Get().(*reader)
	defer r.free()
	first := true
	for chunk := firstChunk; ; chunk = min(4*chunk, maxChunk) {
		infos, err := s.list(r, id, from, chunk, first)
		if err != nil {
			return err
		}
		for _, b := range infos {
			if !fn(b) {
				return nil
			}
		}
		if len(infos) < chunk {
			return nil
		}
		from, first = infos[len(infos)-1].LastOffset+1, false
	}
}

// list returns the next chunk of batches that end at or above from.
func (s *Store) list(r *reader, id storage.Partition, from int64, chunk int, inside bool) ([]storage.BatchInfo, error) {
	if !s.enter() {
		return nil, storage.ErrClosed
	}
	defer s.leave()
	p := s.partition(id)
	if p == nil {
		return nil, nil
	}
	start, end := p.bounds()
	from = max(from, start)
	if from >= end {
		return nil, nil
	}
	err := p.undisturbed(func() (offsetRange, error) {
		return s.listOnce(r, p, from, end, chunk, inside)
	})
	return r.infos, err
}

// listOnce is list; it says what offsets it has looked at.
func (s *Store) listOnce(r *reader, p *partition, from, end int64, chunk int, inside bool) (seen offsetRange, err error) {
	txn := s.db.NewTransactionAt(maxVersion, false)
	defer txn.Discard()
	r.prefix = appendPartitionKey(r.prefix[:0], prefixBatch, p.id)
	r.infos = r.infos[:0]
	if err := s.listForward(txn, r, p, from, end, chunk); err != nil {
		return seen, err
	}
	seen = offsetRange{from, end}
	if n := len(r.infos); n == chunk {
		seen.to = r.infos[n-1].LastOffset
	}
	if inside && (len(r.infos) == 0 || r.infos[0].BaseOffset != from) {
		// from may lie inside the batch before it.
		before, ok, err := s.before(txn, r, p, from)
		if err != nil {
			return seen, err
		}
		seen.from = 0
		if ok {
			seen.from = before.BaseOffset
		}
		if ok && before.LastOffset >= from {
			r.infos = append(r.infos, storage.BatchInfo{})
			copy(r.infos[1:], r.infos)
			r.infos[0] = before
		}
	}
	return seen, nil
}

func (s *Store) listForward(txn *badger.Txn, r *reader, p *partition, from, end int64, chunk int) error {
	it := txn.NewIterator(badger.IteratorOptions{Prefix: r.prefix, SinceTs: p.created - 1})
	defer it.Close()
	r.key = appendBatchSeek(r.key[:0], p.id, from)
	for it.Seek(r.key); it.Valid() && len(r.infos) < chunk; it.Next() {
		if isStub(it.Item()) {
			continue
		}
		b, err := decodeBatchKey(it.Item().Key())
		if err != nil {
			return fmt.Errorf("list batches of %s from %d: %w", p.id, from, err)
		}
		if b.BaseOffset >= end {
			break
		}
		r.infos = append(r.infos, b)
	}
	return nil
}

// before returns the last batch that begins below offset.
func (s *Store) before(txn *badger.Txn, r *reader, p *partition, offset int64) (b storage.BatchInfo, ok bool, err error) {
	it := txn.NewIterator(badger.IteratorOptions{Prefix: r.prefix, Reverse: true, SinceTs: p.created - 1})
	defer it.Close()
	r.key = appendBatchSeek(r.key[:0], p.id, offset)
	it.Seek(r.key)
	for it.Valid() && isStub(it.Item()) {
		it.Next()
	}
	if !it.Valid() {
		return b, false, nil
	}
	b, err = decodeBatchKey(it.Item().Key())
	if err != nil {
		return b, false, fmt.Errorf("find the batch of %s that holds %d: %w", p.id, offset, err)
	}
	return b, true, nil
}
