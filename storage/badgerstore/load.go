package badgerstore

import (
	"errors"
	"fmt"

	"github.com/dgraph-io/badger/v4"

	"github.com/streamweir/streamweir/storage"
)

// load reads what the store keeps in memory: the small entries of every
// partition, and the keys of the batches written since the last of them.
func (s *Store) load() error {
	txn := s.db.NewTransactionAt(maxVersion, false)
	defer txn.Discard()
	dropping := map[storage.Partition]bool{}
	err := s.scan(txn, prefixDrop, func(id storage.Partition, _ uint64, _, _ []byte) error {
		dropping[id] = true
		return nil
	})
	if err != nil {
		return err
	}
	if err := s.loadPartitions(txn, dropping); err != nil {
		return err
	}
	if err := s.loadTails(txn); err != nil {
		return err
	}
	s.eachPartition(func(p *partition) {
		p.staged.end, p.staged.start = p.mu.end, p.mu.start
		p.staged.growing = p.mu.growing
		p.staged.epoch = -1
		if n := len(p.mu.epochs); n > 0 {
			p.staged.epoch = p.mu.epochs[n-1].Epoch
		}
		p.mu.epochs = storage.TrimEpochs(p.mu.epochs, p.mu.start)
		bytes, batches := p.size()
		s.liveBytes.Add(bytes)
		s.liveBatches.Add(batches)
		if p.mu.start > 0 {
			s.reaper.trimmed(p.id, p.mu.start)
		}
	})
	for id := range dropping {
		s.reaper.begin(id)
		s.reaper.dropped(id)
	}
	return nil
}

// scan calls fn for the entries of one kind.
func (s *Store) scan(txn *badger.Txn, prefix byte, fn func(id storage.Partition, version uint64, key, value []byte) error) error {
	it := txn.NewIterator(badger.IteratorOptions{Prefix: []byte{prefix}})
	defer it.Close()
	for it.Rewind(); it.Valid(); it.Next() {
		item := it.Item()
		key := item.Key()
		id, err := decodePartitionKey(key)
		if err != nil {
			return err
		}
		if err := item.Value(func(value []byte) error { return fn(id, item.Version(), key, value) }); err != nil {
			return fmt.Errorf("read the index of %s: %w", id, err)
		}
	}
	return nil
}

func (s *Store) loadPartitions(txn *badger.Txn, dropping map[storage.Partition]bool) error {
	err := s.scan(txn, prefixPartition, func(id storage.Partition, _ uint64, _, value []byte) (err error) {
		if dropping[id] {
			return nil
		}
		p := &partition{id: id}
		p.created, p.mu.start, p.mu.growing, err = decodePartitionValue(value)
		p.mu.exists = true
		p.staged.known, p.staged.saved = true, p.mu.growing.Batches
		s.mu.partitions[id] = p
		return err
	})
	if err != nil {
		return err
	}
	err = s.scan(txn, prefixEpoch, func(id storage.Partition, version uint64, key, value []byte) error {
		e, err := decodeEpoch(key, value)
		if p := s.mu.partitions[id]; p != nil && err == nil && version >= p.created {
			p.mu.epochs = storage.AddEpoch(p.mu.epochs, e.Epoch, e.StartOffset)
		}
		return err
	})
	if err != nil {
		return err
	}
	err = s.scan(txn, prefixStubs, func(id storage.Partition, _ uint64, _, _ []byte) error {
		if p := s.mu.partitions[id]; p != nil {
			p.stubs.Store(true)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return s.scan(txn, prefixSegment, func(id storage.Partition, version uint64, key, value []byte) error {
		seg, err := decodeSegment(key, value)
		if p := s.mu.partitions[id]; p != nil && err == nil && version >= p.created && seg.LastOffset >= p.mu.start {
			p.mu.sealed = append(p.mu.sealed, seg)
		}
		return err
	})
}

// loadTails looks at the batches behind what the entries tell.
func (s *Store) loadTails(txn *badger.Txn) error {
	it := txn.NewIterator(badger.IteratorOptions{Prefix: []byte{prefixBatch}})
	defer it.Close()
	var errs []error
	s.eachPartition(func(p *partition) {
		if err := s.loadTail(it, p); err != nil {
			errs = append(errs, err)
		}
	})
	return errors.Join(errs...)
}

func (s *Store) loadTail(it *badger.Iterator, p *partition) error {
	known := p.mu.start
	if n := len(p.mu.sealed); n > 0 {
		known = max(known, p.mu.sealed[n-1].LastOffset+1)
	}
	// An entry that was written before a seal or a trim tells of what is past.
	if g := &p.mu.growing; g.Batches > 0 && g.LastOffset >= known {
		known = g.LastOffset + 1
	} else {
		*g = storage.Segment{}
		p.staged.saved = 0
	}
	prefix := appendPartitionKey(nil, prefixBatch, p.id)
	for it.Seek(appendBatchSeek(nil, p.id, known)); it.ValidForPrefix(prefix); it.Next() {
		b, err := decodeBatchKey(it.Item().Key())
		if err != nil {
			return fmt.Errorf("read the index of %s: %w", p.id, err)
		}
		if it.Item().Version() < p.created || isStub(it.Item()) {
			continue
		}
		addBatch(&p.mu.growing, b)
		known = b.LastOffset + 1
	}
	p.mu.end = known
	return nil
}
