package badgerstore

import (
	"sync"

	"github.com/streamweir/streamweir/storage"
)

// entry is one thing for the committer to do: an append or a change.
type entry struct {
	append *storage.Append
	change *change
}

// queue hands entries from many goroutines to the committer, in order.
type queue struct {
	wake chan struct{} // holds a token when there may be something to take

	mu struct {
		sync.Mutex
		entries []entry
		spare   []entry
		closed  bool
	}
}

func newQueue() *queue { return &queue{wake: make(chan struct{}, 1)} }

func (q *queue) signal() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// appends queues all or, when the queue is closed, none.
func (q *queue) appends(as []*storage.Append) bool {
	q.mu.Lock()
	if q.mu.closed {
		q.mu.Unlock()
		return false
	}
	for _, a := range as {
		q.mu.entries = append(q.mu.entries, entry{append: a})
	}
	q.mu.Unlock()
	q.signal()
	return true
}

// change queues c. A closed queue takes only the store's own, those that a
// parked append waits for.
func (q *queue) change(c *change) bool {
	q.mu.Lock()
	if q.mu.closed && c.kind != changeReaped {
		q.mu.Unlock()
		return false
	}
	q.mu.entries = append(q.mu.entries, entry{change: c})
	q.mu.Unlock()
	q.signal()
	return true
}

// take returns what is queued, and whether more can come. What it returns
// is valid until the next call.
func (q *queue) take() (entries []entry, open bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	entries = q.mu.entries
	clear(q.mu.spare[:cap(q.mu.spare)])
	q.mu.entries, q.mu.spare = q.mu.spare[:0], entries
	return entries, !q.mu.closed
}

func (q *queue) close() {
	q.mu.Lock()
	q.mu.closed = true
	q.mu.Unlock()
	q.signal()
}
