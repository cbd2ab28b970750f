package badgerstore

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"

	"github.com/dgraph-io/badger/v4"

	"github.com/streamweir/streamweir/storage"
)

// Reads copy what they return and let go of it before anyone else runs. What a
// listing has found lately is read where it lies (places.go); the rest is asked of
// Badger, which holds a lock that its writer needs while it lends a value out.

var errUnreadable = errors.New("the database cannot read it")

// reader is what a read needs, kept for the next one.
type reader struct {
	key    []byte
	prefix []byte
	at     []place
	dst    []byte
	n      int
	skip   int32
	size   int32
	seen   int64 // the largest offset that was looked at
	first  int64 // the last offset of the batch that was asked for
	copyFn func(value []byte) error
	file   *valueFile // where the last value was
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
		r.n, r.skip, r.seen = 0, at.Skip, at.Base
		var exact, done bool
		if next, exact, done = s.readPlaces(r, p, at.Base, start, end); done {
			return offsetRange{at.Base, r.seen}, nil
		}
		next, err = s.read(r, p, next, start, end, exact)
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

// readPlaces copies batches from the one at base on, as far as their places are
// known. It returns the next one that it has not read, whether that must begin at
// base, and whether nothing is left to do.
func (s *Store) readPlaces(r *reader, p *partition, base, start, end int64) (next int64, exact, done bool) {
	next, exact = base, true
	err := guarded(func() error {
		for r.n < len(r.dst) && next < end {
			at, _ := s.places.find(p, next)
			if len(at) == 0 {
				return nil
			}
			for i := 0; i < len(at) && r.n < len(r.dst); i++ {
				b := &at[i]
				if exact && (b.base != base || b.last() < start || r.skip > b.size) || b.file == 0 {
					return nil // Badger knows better
				}
				if err := s.readPlace(r, p, b); err != nil {
					return err
				}
				if exact {
					r.first, exact = b.last(), false
				}
				r.seen, r.skip, next = b.last(), 0, b.last()+1
			}
		}
		return nil
	})
	s.values.release(r.file, err == nil)
	r.file = nil
	if err != nil {
		s.places.forget(p)
	}
	return next, exact, !exact && (r.n == len(r.dst) || next >= end)
}

// readPlace copies one batch. r keeps the file for the next one.
func (s *Store) readPlace(r *reader, p *partition, b *place) error {
	if r.skip == b.size {
		return nil // all of it was read before
	}
	bytes := int64(b.offset) + int64(b.entryBytes())
	if r.file == nil || r.file.id != b.file || int64(len(r.file.data)) < bytes {
		s.values.release(r.file, true)
		r.file = nil
		file, err := s.values.acquire(b.file, bytes)
		if err != nil {
			return err
		}
		r.file = file
	}
	n, err := s.values.copyEntry(r.dst[r.n:], r.file, p.id, b, int(r.skip), &r.key)
	if err != nil {
		return err
	}
	r.n += n
	s.stats.placed.Add(1)
	return nil
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
		if r.skip < b.Size {
			if err := item.Value(r.copyFn); err != nil {
				return b.BaseOffset, errUnreadable
			}
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
// function runs. The first ones are small, for callers that want little, unless
// what is before them was listed too: whoever goes through a log wants more.
const firstChunk, maxChunk = 16, 512

func (l *batchLog) Batches(id storage.Partition, from int64, fn func(storage.BatchInfo) bool) error {
	s := l.store()
	r := readers.Get().(*reader)
	defer r.free()
	first := true
	for chunk := firstChunk; ; chunk = min(4*chunk, maxChunk) {
		at, more, err := s.list(r, id, from, chunk, first)
		if err != nil {
			return err
		}
		for i := range at {
			if !fn(at[i].info()) {
				return nil
			}
		}
		if !more {
			return nil
		}
		from, first = at[len(at)-1].last()+1, false
	}
}

// list returns the next batches that end at or above from, valid until r is used
// again, and whether there may be more: what is known of them already, or else a
// chunk.
func (s *Store) list(r *reader, id storage.Partition, from int64, chunk int, inside bool) (at []place, more bool, err error) {
	if !s.enter() {
		return nil, false, storage.ErrClosed
	}
	defer s.leave()
	p := s.partition(id)
	if p == nil {
		return nil, false, nil
	}
	start, end := p.bounds()
	from = max(from, start)
	if from >= end {
		return nil, false, nil
	}
	at, before := s.places.find(p, from)
	if len(at) > 0 {
		return at, true, nil
	}
	if before > 0 {
		inside, chunk = false, max(chunk, min(4*before, maxChunk))
	}
	steps := p.mu.steps.ended.Load()
	err = p.undisturbed(func() (offsetRange, error) {
		return s.listOnce(r, p, from, end, chunk, inside)
	})
	if err != nil {
		return nil, false, err
	}
	s.places.add(p, r.at, steps)
	return r.at, len(r.at) >= chunk, nil
}

// listOnce is list without what is known; it says what offsets it has looked at.
func (s *Store) listOnce(r *reader, p *partition, from, end int64, chunk int, inside bool) (seen offsetRange, err error) {
	txn := s.db.NewTransactionAt(maxVersion, false)
	defer txn.Discard()
	r.prefix = appendPartitionKey(r.prefix[:0], prefixBatch, p.id)
	r.at = r.at[:0]
	if err := s.listForward(txn, r, p, from, end, chunk); err != nil {
		return seen, err
	}
	seen = offsetRange{from, end}
	if n := len(r.at); n == chunk {
		seen.to = r.at[n-1].last()
	}
	if inside && (len(r.at) == 0 || r.at[0].base != from) {
		// from may lie inside the batch before it.
		before, ok, err := s.before(txn, r, p, from)
		if err != nil {
			return seen, err
		}
		seen.from = 0
		if ok {
			seen.from = before.base
		}
		if ok && before.last() >= from {
			r.at = slices.Insert(r.at, 0, before)
		}
	}
	return seen, nil
}

func (s *Store) listForward(txn *badger.Txn, r *reader, p *partition, from, end int64, chunk int) error {
	it := txn.NewIterator(badger.IteratorOptions{Prefix: r.prefix, SinceTs: p.created - 1})
	defer it.Close()
	r.key = appendBatchSeek(r.key[:0], p.id, from)
	for it.Seek(r.key); it.Valid() && len(r.at) < chunk; it.Next() {
		if isStub(it.Item()) {
			continue
		}
		x, err := placeOf(it.Item())
		if err != nil {
			return fmt.Errorf("list batches of %s from %d: %w", p.id, from, err)
		}
		if x.base >= end {
			break
		}
		r.at = append(r.at, x)
	}
	return nil
}

// before returns the last batch that begins below offset.
func (s *Store) before(txn *badger.Txn, r *reader, p *partition, offset int64) (x place, ok bool, err error) {
	it := txn.NewIterator(badger.IteratorOptions{Prefix: r.prefix, Reverse: true, SinceTs: p.created - 1})
	defer it.Close()
	r.key = appendBatchSeek(r.key[:0], p.id, offset)
	it.Seek(r.key)
	for it.Valid() && isStub(it.Item()) {
		it.Next()
	}
	if !it.Valid() {
		return x, false, nil
	}
	x, err = placeOf(it.Item())
	if err != nil {
		return x, false, fmt.Errorf("find the batch of %s that holds %d: %w", p.id, offset, err)
	}
	return x, true, nil
}
