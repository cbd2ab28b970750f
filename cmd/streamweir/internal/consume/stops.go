package consume

import (
	"context"
	"maps"
	"sync"

	"github.com/streamweir/streamweir/cmd/streamweir/internal/position"
)

// stops keeps the offsets before which to stop reading. Partitions without one
// are read for ever. In a group, partitions come and go while others are read,
// hence the lock.
type stops struct {
	mu     sync.Mutex
	before map[position.Partition]stop // still to be reached
	past   map[position.Partition]bool // reached
	known  bool                        // it has been worked out which partitions there are

	// reached ends once all stops are: it wakes a poll that waits for
	// records which are not going to come.
	reached context.Context //nolint:containedctx // used as a signal
	signal  context.CancelFunc
}

func newStops() *stops {
	s := &stops{before: make(map[position.Partition]stop), past: make(map[position.Partition]bool)}
	s.reached, s.signal = context.WithCancel(context.Background())
	return s
}

// check is called with the lock held after every change.
func (s *stops) check() {
	if s.known && len(s.before) == 0 {
		s.signal()
	}
}

// ready says that the stops of all partitions are set.
func (s *stops) ready() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.known = true
	s.check()
}

// set makes p, of which everything before next is written, stop before an offset.
func (s *stops) set(p position.Partition, next, before int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.before[p] = stop{next: next, before: before}
	delete(s.past, p)
}

// assigned says whether the stops of any partitions are known.
func (s *stops) assigned() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.known
}

// finish notes that there is nothing to read in p.
func (s *stops) finish(p position.Partition) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.before, p)
	s.past[p] = true
	s.check()
}

// forget is for a partition that another member has now.
func (s *stops) forget(p position.Partition) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.before, p)
	delete(s.past, p)
	s.check()
}

// allows says whether the record at offset is before the stop, and closes the
// partition where it is not.
func (s *stops) allows(p position.Partition, offset int64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.past[p] {
		return false
	}
	if at, ok := s.before[p]; ok && offset >= at.before {
		delete(s.before, p)
		s.past[p] = true
		s.check()
		return false
	}
	return true
}

// passed notes that the record at offset is written, and says whether it was
// the last of its partition.
func (s *stops) passed(p position.Partition, offset int64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	at, ok := s.before[p]
	if !ok {
		return false
	}
	if at.next = offset + 1; at.next < at.before {
		s.before[p] = at
		return false
	}
	delete(s.before, p)
	s.past[p] = true
	s.check()
	return true
}

// done says whether every stop was reached at some time.
func (s *stops) done() bool { return s.reached.Err() != nil }

// open returns the stops that are not reached.
func (s *stops) open() map[position.Partition]stop {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.before)
}
