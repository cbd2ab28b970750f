package badgerstore

import (
	"errors"
	"fmt"
	"sync"

	"github.com/dgraph-io/badger/v4"

	"github.com/streamweir/streamweir/storage"
)

// metaPrefix begins every key of the metadata database, so that an empty key
// is one, and other kinds can come beside it.
const metaPrefix = 'm'

// metaStore is the storage.Meta. Its keys are the caller's behind metaPrefix.
type metaStore struct {
	s  *Store
	db *badger.DB

	mu struct {
		// Held over the write of a few bytes to the page cache, by calls that
		// have just waited for the disk.
		sync.Mutex
		acked *acked
	}
}

func (s *Store) openMeta(path string) (*metaStore, error) {
	db, err := s.openBadger("meta", func(l badger.Logger) (*badger.DB, error) {
		if err := prepareValueLog(path, metaValueLogFileBytes); err != nil {
			return nil, err
		}
		return badger.Open(s.opts.metaOptions(path, l))
	})
	if err != nil {
		return nil, err
	}
	return &metaStore{s: s, db: db}, nil
}

func metaKey(key string) []byte { return append([]byte{metaPrefix}, key...) }

func (m *metaStore) Get(key string) (value []byte, ok bool, err error) {
	if !m.s.enter() {
		return nil, false, storage.ErrClosed
	}
	defer m.s.leave()
	err = m.db.View(func(txn *badger.Txn) error {
		item, err := txn.Get(metaKey(key))
		if err != nil {
			return err
		}
		value, err = metaValue(item)
		return err
	})
	if errors.Is(err, badger.ErrKeyNotFound) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, fmt.Errorf("get %q: %w", key, err)
	}
	return value, true, nil
}

// A value is stored behind a byte of its own: an empty one can then be told
// from one that Badger could not read, which it hands out as nothing.
const metaValueMark = 0

func metaValue(item *badger.Item) ([]byte, error) {
	v, err := item.ValueCopy(nil)
	if err != nil {
		return nil, err
	}
	if len(v) == 0 || v[0] != metaValueMark {
		return nil, errors.New("the value is corrupt on disk")
	}
	return v[1:], nil
}

// metaChunk is how many pairs are read before fn runs.
const metaChunk = 256

type metaPair struct {
	key   string
	value []byte
}

func (m *metaStore) Scan(prefix string, fn func(key string, value []byte) error) error {
	from := metaKey(prefix)
	for {
		pairs, err := m.chunk(metaKey(prefix), from)
		if err != nil {
			return fmt.Errorf("scan %q: %w", prefix, err)
		}
		for _, p := range pairs {
			if err := fn(p.key, p.value); err != nil {
				return err
			}
		}
		if len(pairs) < metaChunk {
			return nil
		}
		from = append(metaKey(pairs[len(pairs)-1].key), 0)
	}
}

func (m *metaStore) chunk(prefix, from []byte) (pairs []metaPair, err error) {
	if !m.s.enter() {
		return nil, storage.ErrClosed
	}
	defer m.s.leave()
	err = m.db.View(func(txn *badger.Txn) error {
		it := txn.NewIterator(badger.IteratorOptions{Prefix: prefix})
		defer it.Close()
		for it.Seek(from); it.Valid() && len(pairs) < metaChunk; it.Next() {
			key := string(it.Item().Key()[1:])
			value, err := metaValue(it.Item())
			if err != nil {
				return fmt.Errorf("%q: %w", key, err)
			}
			pairs = append(pairs, metaPair{key, value})
		}
		return nil
	})
	return pairs, err
}

func (m *metaStore) Apply(ops ...storage.Op) error {
	if !m.s.enter() {
		return storage.ErrClosed
	}
	defer m.s.leave()
	if len(ops) == 0 {
		return nil
	}
	if err := m.s.refuseCleanup(); err != nil {
		return fmt.Errorf("change metadata: %w", err)
	}
	txn := m.db.NewTransaction(true)
	defer txn.Discard()
	if err := txn.Set(markerKey, tombstone); err != nil {
		return fmt.Errorf("change metadata: %w", err)
	}
	for _, op := range ops {
		var err error
		if op.Value == nil {
			err = txn.Delete(metaKey(op.Key))
		} else {
			err = txn.Set(metaKey(op.Key), append([]byte{metaValueMark}, op.Value...))
		}
		if errors.Is(err, badger.ErrTxnTooBig) {
			return fmt.Errorf("change metadata: %d changes are too many for one step: %w", len(ops), err)
		}
		if err != nil {
			return fmt.Errorf("change metadata %q: %w", op.Key, err)
		}
	}
	if err := txn.Commit(); err != nil {
		m.s.fail(fmt.Errorf("commit metadata: %w", err))
	}
	if err := m.s.metaDir.sync(); err != nil {
		m.s.fail(err)
	}
	// A failed sync is known by now: Badger logs it before it ends the commit.
	if err := m.s.failure(); err != nil {
		return fmt.Errorf("change metadata: %w", err)
	}
	m.note()
	return nil
}

// note moves the watermark to the newest marker: commits run side by side and
// Badger does not tell which version each has got.
func (m *metaStore) note() {
	txn := m.db.NewTransaction(false)
	defer txn.Discard()
	item, err := txn.Get(markerKey)
	if err != nil {
		return // the watermark stays behind
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.s.failure() == nil {
		m.mu.acked.note(item.Version(), true, m.s.boot)
	}
}
