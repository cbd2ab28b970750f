package memstore

import (
	"bytes"
	"slices"
	"strings"

	"github.com/streamweir/streamweir/storage"
)

// meta is the Store seen as a storage.Meta.
type meta Store

func (m *meta) Get(key string) ([]byte, bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.mu.ended {
		return nil, false, storage.ErrClosed
	}
	v, ok := m.mu.meta[key]
	return bytes.Clone(v), ok, nil
}

func (m *meta) Scan(prefix string, fn func(key string, value []byte) error) error {
	m.mu.Lock()
	if m.mu.ended {
		m.mu.Unlock()
		return storage.ErrClosed
	}
	type pair struct {
		key   string
		value []byte
	}
	var pairs []pair
	for k, v := range m.mu.meta {
		if strings.HasPrefix(k, prefix) {
			pairs = append(pairs, pair{k, bytes.Clone(v)})
		}
	}
	m.mu.Unlock()
	slices.SortFunc(pairs, func(a, b pair) int { return strings.Compare(a.key, b.key) })
	for _, p := range pairs {
		if err := fn(p.key, p.value); err != nil {
			return err
		}
	}
	return nil
}

func (m *meta) Apply(ops ...storage.Op) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.mu.ended {
		return storage.ErrClosed
	}
	for _, op := range ops {
		if op.Value == nil {
			delete(m.mu.meta, op.Key)
		} else {
			m.mu.meta[op.Key] = append([]byte{}, op.Value...)
		}
	}
	return nil
}
