// Package memstore is a storage.Store that keeps everything in memory. It is
// for unit tests: nothing survives Close, and a test can command when appends
// complete and how they fail (see faults.go). It keeps the same promises as a
// durable store otherwise, shown by the suite in storagetest.
package memstore

import (
	"fmt"
	"slices"
	"sync"

	"github.com/streamweir/streamweir/storage"
)

// Options says how a Store behaves. The zero value is ready for use.
type Options struct {
	// SegmentBytes and SegmentBatches seal a segment when it has reached one of
	// them. Zero means the default.
	SegmentBytes   int64
	SegmentBatches int32
}

const (
	defaultSegmentBytes   = 16 << 20
	defaultSegmentBatches = 1024
)

// Store keeps a log and a metadata map in memory.
type Store struct {
	opts Options
	wg   sync.WaitGroup

	mu struct {
		sync.Mutex
		wake       *sync.Cond // the queue, the hold or closed changed
		settled    *sync.Cond // an append was queued or completed
		queue      []*storage.Append
		completing bool // the completer works on an append outside the lock
		completed  int
		partitions map[storage.Partition]*partition
		meta       map[string][]byte
		faults     faults
		closed     bool // no new appends
		ended      bool // nothing at all any more
	}
}

var _ storage.Store = (*Store)(nil)

// New returns an empty store.
func New(opts Options) *Store {
	if opts.SegmentBytes == 0 {
		opts.SegmentBytes = defaultSegmentBytes
	}
	if opts.SegmentBatches == 0 {
		opts.SegmentBatches = defaultSegmentBatches
	}
	s := &Store{opts: opts}
	s.mu.wake = sync.NewCond(&s.mu)
	s.mu.settled = sync.NewCond(&s.mu)
	s.mu.partitions = map[storage.Partition]*partition{}
	s.mu.meta = map[string][]byte{}
	s.wg.Add(1)
	go s.complete()
	return s
}

// Log returns the log of the store.
func (s *Store) Log() storage.Log { return (*log)(s) }

// Meta returns the metadata map of the store.
func (s *Store) Meta() storage.Meta { return (*meta)(s) }

// Health returns what SetHealth has set.
func (s *Store) Health() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mu.faults.health
}

// Usage counts the bytes of batches and of metadata values; there is no disk.
func (s *Store) Usage() storage.Usage {
	s.mu.Lock()
	defer s.mu.Unlock()
	var u storage.Usage
	for _, p := range s.mu.partitions {
		for _, b := range p.batches {
			u.LogBytes += int64(len(b.data))
		}
	}
	for _, v := range s.mu.meta {
		u.MetaBytes += int64(len(v))
	}
	return u
}

// Close completes what is queued (a hold is lifted) and ends the store.
func (s *Store) Close() error {
	s.mu.Lock()
	s.mu.closed = true
	s.mu.faults.held = false
	s.mu.wake.Signal()
	s.mu.Unlock()
	s.wg.Wait()
	s.mu.Lock()
	s.mu.ended = true
	s.mu.Unlock()
	return nil
}

// complete is the one goroutine that puts queued appends into the log and
// calls Done, in the order of the queue.
func (s *Store) complete() {
	defer s.wg.Done()
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		for (len(s.mu.queue) == 0 && !s.mu.closed) || (len(s.mu.queue) > 0 && !s.mu.faults.mayComplete()) {
			s.mu.wake.Wait()
		}
		if len(s.mu.queue) == 0 {
			return
		}
		a := s.mu.queue[0]
		s.mu.queue[0] = nil
		s.mu.queue = s.mu.queue[1:]
		if s.mu.faults.held {
			s.mu.faults.permits--
		}
		err := s.applyLocked(a)
		s.mu.completing = true
		s.mu.Unlock()
		a.Done(a, err)
		s.mu.Lock()
		s.mu.completing = false
		s.mu.completed++
		s.mu.settled.Broadcast()
	}
}

func (s *Store) applyLocked(a *storage.Append) error {
	p := s.mu.partitions[a.Partition]
	if p == nil {
		p = &partition{}
		s.mu.partitions[a.Partition] = p
	}
	if a.Term < p.minTerm {
		return fmt.Errorf("append at offset %d of %s: %w", a.Info.BaseOffset, a.Partition, storage.ErrTerm)
	}
	err := s.mu.faults.next(a)
	if err == nil {
		err = p.check(a)
	}
	if err != nil {
		p.minTerm = a.Term + 1
		return fmt.Errorf("append at offset %d of %s: %w", a.Info.BaseOffset, a.Partition, err)
	}
	p.append(a, &s.opts)
	return nil
}

// log is the Store seen as a storage.Log.
type log Store

func (l *log) Append(appends ...*storage.Append) {
	s := (*Store)(l)
	s.mu.Lock()
	if s.mu.closed {
		s.mu.Unlock()
		go func() {
			for _, a := range appends {
				a.Done(a, storage.ErrClosed)
			}
		}()
		return
	}
	s.mu.queue = append(s.mu.queue, appends...)
	s.mu.wake.Signal()
	s.mu.settled.Broadcast()
	s.mu.Unlock()
}

func (l *log) Bounds(p storage.Partition) (start, end int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if part := l.mu.partitions[p]; part != nil {
		return part.start, part.end
	}
	return 0, 0
}

func (l *log) Partitions(fn func(p storage.Partition)) {
	l.mu.Lock()
	var ps []storage.Partition
	for p, part := range l.mu.partitions {
		if part.end > 0 || len(part.states) > 0 {
			ps = append(ps, p)
		}
	}
	l.mu.Unlock()
	for _, p := range ps {
		fn(p)
	}
}

func (l *log) Segments(p storage.Partition) []storage.Segment {
	l.mu.Lock()
	defer l.mu.Unlock()
	part := l.mu.partitions[p]
	if part == nil {
		return nil
	}
	return part.segments()
}

func (l *log) Epochs(p storage.Partition) []storage.EpochStart {
	l.mu.Lock()
	defer l.mu.Unlock()
	part := l.mu.partitions[p]
	if part == nil {
		return nil
	}
	return slices.Clone(part.epochs)
}

func (l *log) Batches(p storage.Partition, from int64, fn func(storage.BatchInfo) bool) error {
	l.mu.Lock()
	if l.mu.ended {
		l.mu.Unlock()
		return storage.ErrClosed
	}
	var infos []storage.BatchInfo
	if part := l.mu.partitions[p]; part != nil {
		for _, b := range part.batches {
			if b.info.LastOffset >= from {
				infos = append(infos, b.info)
			}
		}
	}
	l.mu.Unlock()
	for _, info := range infos {
		if !fn(info) {
			break
		}
	}
	return nil
}

func (l *log) Read(p storage.Partition, at storage.Position, dst []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.mu.ended {
		return 0, storage.ErrClosed
	}
	part := l.mu.partitions[p]
	if part == nil {
		part = &partition{}
	}
	return part.read(p, at, dst)
}

func (l *log) Trim(p storage.Partition, offset int64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.mu.ended {
		return storage.ErrClosed
	}
	if part := l.mu.partitions[p]; part != nil {
		part.trim(offset)
	}
	return nil
}

func (l *log) Replace(p storage.Partition, edits ...storage.Edit) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.mu.ended {
		return storage.ErrClosed
	}
	if err := l.mu.faults.health; err != nil {
		return err
	}
	part := l.mu.partitions[p]
	if part == nil {
		part = &partition{}
	}
	if err := part.checkEdits(edits); err != nil {
		return fmt.Errorf("replace batches of %s: %w", p, err)
	}
	for i := range edits {
		if hook := l.mu.faults.replace; hook != nil {
			if err := hook(p, &edits[i]); err != nil {
				return fmt.Errorf("replace batches of %s: %w", p, err)
			}
		}
		part.edit(&edits[i])
	}
	return nil
}

func (l *log) Drop(ps ...storage.Partition) error {
	l.mu.Lock()
	var orphans []*storage.Append
	if l.mu.ended {
		l.mu.Unlock()
		return storage.ErrClosed
	}
	for _, p := range ps {
		delete(l.mu.partitions, p)
	}
	// What was queued for a dropped partition must not bring it back.
	l.mu.queue = slices.DeleteFunc(l.mu.queue, func(a *storage.Append) bool {
		if !slices.Contains(ps, a.Partition) {
			return false
		}
		orphans = append(orphans, a)
		return true
	})
	l.mu.settled.Broadcast()
	l.mu.Unlock()
	for _, a := range orphans {
		a.Done(a, fmt.Errorf("append at offset %d of %s: the partition was dropped: %w",
			a.Info.BaseOffset, a.Partition, storage.ErrTerm))
	}
	return nil
}

// TrySaveState never has to wait.
func (l *log) TrySaveState(p storage.Partition, name string, st storage.State) error {
	return l.SaveState(p, name, st)
}

func (l *log) SaveState(p storage.Partition, name string, st storage.State) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.mu.ended {
		return storage.ErrClosed
	}
	part := l.mu.partitions[p]
	if part == nil {
		part = &partition{}
		l.mu.partitions[p] = part
	}
	if part.states == nil {
		part.states = map[string]storage.State{}
	}
	part.states[name] = storage.State{Offset: st.Offset, Data: slices.Clone(st.Data)}
	return nil
}

func (l *log) LoadState(p storage.Partition, name string) (storage.State, bool, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.mu.ended {
		return storage.State{}, false, storage.ErrClosed
	}
	part := l.mu.partitions[p]
	if part == nil {
		return storage.State{}, false, nil
	}
	st, ok := part.states[name]
	return storage.State{Offset: st.Offset, Data: slices.Clone(st.Data)}, ok, nil
}
