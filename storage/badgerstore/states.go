package badgerstore

import (
	"bytes"
	"errors"
	"fmt"
	"sync"

	"github.com/dgraph-io/badger/v4"

	"github.com/streamweir/streamweir/storage"
)

// states holds derived states on their way to the database: SaveState does not
// wait for a commit, and LoadState finds what was saved last.
type states struct {
	limit int64

	mu struct {
		sync.Mutex
		room    *sync.Cond
		bytes   int64
		pending map[stateKey]*change
	}
}

type stateKey struct {
	partition storage.Partition
	name      string
}

func newStates(limit int64) *states {
	s := &states{limit: limit}
	s.mu.room = sync.NewCond(&s.mu)
	s.mu.pending = map[stateKey]*change{}
	return s
}

// stateOverhead is what a pending state takes beside its data.
const stateOverhead = 256

func stateCost(ch *change) int64 { return int64(len(ch.state.Data)) + stateOverhead }

// add makes ch the pending one once there is room for it. Without wait it
// reports false where there is none.
func (s *states) add(ch *change, wait bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.mu.bytes > 0 && s.mu.bytes+stateCost(ch) > s.limit {
		if !wait {
			return false
		}
		s.mu.room.Wait()
	}
	s.mu.bytes += stateCost(ch)
	s.mu.pending[stateKey{ch.partition, ch.name}] = ch
	return true
}

// saved says that ch is in the database, or failed.
func (s *states) saved(ch *change) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.bytes -= stateCost(ch)
	key := stateKey{ch.partition, ch.name}
	if s.mu.pending[key] == ch {
		delete(s.mu.pending, key)
	}
	s.mu.room.Broadcast()
}

func (s *states) get(key stateKey) (*change, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	ch, ok := s.mu.pending[key]
	return ch, ok
}

// forget drops what is pending for partitions.
func (s *states) forget(ids []storage.Partition) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.mu.pending) == 0 {
		return
	}
	gone := make(map[storage.Partition]bool, len(ids))
	for _, id := range ids {
		gone[id] = true
	}
	for key := range s.mu.pending {
		if gone[key.partition] {
			delete(s.mu.pending, key)
		}
	}
}

func (l *batchLog) SaveState(id storage.Partition, name string, st storage.State) error {
	return l.saveState(id, name, st, true)
}

func (l *batchLog) TrySaveState(id storage.Partition, name string, st storage.State) error {
	return l.saveState(id, name, st, false)
}

func (l *batchLog) saveState(id storage.Partition, name string, st storage.State, wait bool) error {
	s := l.store()
	if !s.enter() {
		return storage.ErrClosed
	}
	defer s.leave()
	if max := s.opts.maxBatchBytes(); len(st.Data)+stateHeaderLen > max {
		return fmt.Errorf("save state %s of %s: %d bytes are more than %d", name, id, len(st.Data), max)
	}
	if err := s.refusal(int64(len(st.Data))); err != nil {
		return fmt.Errorf("save state %s of %s: %w", name, id, err)
	}
	ch := &change{kind: changeState, partition: id, name: name, state: storage.State{Offset: st.Offset, Data: bytes.Clone(st.Data)}}
	if !s.states.add(ch, wait) {
		return fmt.Errorf("save state %s of %s: %w: %d bytes of states are on their way to disk", name, id, storage.ErrBusy, s.states.limit)
	}
	if !s.queue.change(ch) {
		s.states.saved(ch)
		return storage.ErrClosed
	}
	return nil
}

func (l *batchLog) LoadState(id storage.Partition, name string) (storage.State, bool, error) {
	s := l.store()
	if !s.enter() {
		return storage.State{}, false, storage.ErrClosed
	}
	defer s.leave()
	if ch, ok := s.states.get(stateKey{id, name}); ok {
		return storage.State{Offset: ch.state.Offset, Data: bytes.Clone(ch.state.Data)}, true, nil
	}
	p := s.partition(id)
	if p == nil || s.reaper.dropping(id) {
		return storage.State{}, false, nil
	}
	txn := s.db.NewTransactionAt(maxVersion, false)
	defer txn.Discard()
	item, err := txn.Get(appendStateKey(nil, id, name))
	if errors.Is(err, badger.ErrKeyNotFound) {
		return storage.State{}, false, nil
	}
	if err != nil {
		return storage.State{}, false, fmt.Errorf("load state %s of %s: %w", name, id, err)
	}
	if item.Version() < p.created {
		return storage.State{}, false, nil
	}
	var st storage.State
	err = item.Value(func(value []byte) (err error) {
		st, err = decodeStateValue(value)
		return err
	})
	if err != nil {
		return storage.State{}, false, fmt.Errorf("load state %s of %s: %w", name, id, err)
	}
	return st, true, nil
}
