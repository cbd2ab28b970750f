package badgerstore

import (
	"errors"

	"github.com/dgraph-io/badger/v4"

	"github.com/streamweir/streamweir/storage"
)

// Badger's collection of the value log keeps an entry alive as long as the index
// has that very version of its key, deleted or not, and writes it again on top of
// all levels. If compaction then throws the deletion away, which lies further
// down, the entry is there again. Below the start of a log that does no harm, and
// the reaper removes it once more. In the middle of one it would bring back what
// compaction has removed: a value under its tombstone, a record of an aborted
// transaction. So a batch in the middle is not deleted, but replaced by a stub, an
// entry without a value: the newest version of a key that is there stays, whatever
// happens to older ones. The stub is deleted when the index has no other version
// of its key any more, and so no collection can find one.

// stubMeta marks a stub.
const stubMeta byte = 1

func isStub(item *badger.Item) bool { return item.UserMeta()&stubMeta != 0 }

// setStub puts a stub in the place of a batch.
func (c *committer) setStub(key []byte) {
	e := c.g.entries.get()
	*e = badger.Entry{Key: key, UserMeta: stubMeta}
	c.account(key, 0)
	if err := c.g.txn.SetEntry(e); err != nil {
		c.fail(err)
	}
}

// anyStubs says whether any partition may have stubs.
func (s *Store) anyStubs() (any bool) {
	s.eachPartition(func(p *partition) { any = any || p.stubs.Load() })
	return any
}

// removeStubs deletes the stubs that have nothing below them.
func (r *reaper) removeStubs() error {
	var ps []*partition
	r.s.eachPartition(func(p *partition) {
		if p.stubs.Load() {
			ps = append(ps, p)
		}
	})
	for _, p := range ps {
		if err := r.removeStubsOf(p); err != nil {
			return err
		}
	}
	return nil
}

func (r *reaper) removeStubsOf(p *partition) error {
	// Whoever makes one from now on sets this again.
	p.stubs.Store(false)
	left := false
	for from := []byte(nil); ; {
		if r.stopped() {
			return errStopped
		}
		next, kept, err := r.removeSomeStubs(p, from)
		if left = left || kept; err != nil || next == nil {
			if left || err != nil {
				p.stubs.Store(true)
			}
			return err
		}
		from = next
	}
}

// removeSomeStubs looks at the next keys. It keeps Badger's collection away from
// the look to the deletion: that may have read an older version before it was
// thrown away, and be about to write it.
func (r *reaper) removeSomeStubs(p *partition, from []byte) (next []byte, kept bool, err error) {
	r.s.moving.RLock()
	defer r.s.moving.RUnlock()
	// No waiting for space here: it is the collection that makes some.
	if err := r.s.refuseCleanup(); errors.Is(err, storage.ErrNoSpace) {
		return nil, true, nil // another time
	} else if err != nil {
		return nil, true, err
	}
	keys, next, kept := r.bareStubs(p, from)
	if len(keys) > 0 {
		err = r.deleteNow(keys)
	}
	return next, kept, err
}

// bareStubs lists stubs that are the only version of their key. next is where to
// go on, nil at the end; kept says that there are others.
func (r *reaper) bareStubs(p *partition, from []byte) (keys [][]byte, next []byte, kept bool) {
	txn := r.s.db.NewTransactionAt(maxVersion, false)
	defer txn.Discard()
	prefix := appendPartitionKey(nil, prefixBatch, p.id)
	it := txn.NewIterator(badger.IteratorOptions{Prefix: prefix, AllVersions: true})
	defer it.Close()
	if from == nil {
		from = prefix
	}
	var key []byte
	versions, stub := 0, false
	end := func() {
		switch {
		case !stub:
		case versions == 1:
			keys = append(keys, append([]byte{}, key...))
		default:
			kept = true
		}
	}
	looked := 0
	for it.Seek(from); it.Valid(); it.Next() {
		item := it.Item()
		if string(item.Key()) == string(key) {
			versions++
			continue
		}
		end()
		if looked++; looked > reapLook || len(keys) >= r.deleteLimit() {
			return keys, item.KeyCopy(nil), kept
		}
		key = item.KeyCopy(key)
		versions, stub = 1, isStub(item) && !item.IsDeletedOrExpired()
	}
	end()
	return keys, nil, kept
}

// reapLook is how many keys are looked at while the collection waits.
const reapLook = 20_000
