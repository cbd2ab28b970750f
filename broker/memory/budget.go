// Package memory bounds and recycles the memory that requests take: a Budget
// says how much may be in use at once, a Buffer is a piece of it that is shared
// without copying and returns to a pool when its last user lets go.
package memory

import (
	"container/list"
	"sync"
)

// Budget is a counting semaphore over bytes. Waiters are served in the order
// in which they came, so that a large request is not starved by small ones.
type Budget struct {
	mu      sync.Mutex
	limit   int64
	used    int64
	waiters list.List // of *waiter
}

type waiter struct {
	n     int64
	ready chan struct{}
}

// NewBudget returns a budget of limit bytes.
func NewBudget(limit int64) *Budget { return &Budget{limit: limit} }

// Acquire takes n bytes, waiting until they are free or cancel is closed; it
// reports whether it took them. A request for more than the whole budget is
// served when nothing else is in use.
func (b *Budget) Acquire(n int64, cancel <-chan struct{}) bool {
	b.mu.Lock()
	if b.waiters.Len() == 0 && b.fits(n) {
		b.used += n
		b.mu.Unlock()
		return true
	}
	w := &waiter{n: n, ready: make(chan struct{})}
	e := b.waiters.PushBack(w)
	b.mu.Unlock()
	select {
	case <-w.ready:
		return true
	case <-cancel:
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	select {
	case <-w.ready: // granted while we gave up
		b.used -= n
	default:
		b.waiters.Remove(e)
	}
	b.grant()
	return false
}

// TryAcquire takes n bytes if they are free at once.
func (b *Budget) TryAcquire(n int64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.waiters.Len() > 0 || !b.fits(n) {
		return false
	}
	b.used += n
	return true
}

// Release gives n bytes back.
func (b *Budget) Release(n int64) {
	if n == 0 {
		return
	}
	b.mu.Lock()
	b.used -= n
	if b.used < 0 {
		panic("memory: more was released than taken")
	}
	b.grant()
	b.mu.Unlock()
}

// Used returns how many bytes are taken, and Waiting how many wait for some.
func (b *Budget) Used() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.used
}

// Waiting returns how many callers wait.
func (b *Budget) Waiting() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.waiters.Len()
}

func (b *Budget) fits(n int64) bool { return b.used+n <= b.limit || b.used == 0 }

func (b *Budget) grant() {
	for e := b.waiters.Front(); e != nil; e = b.waiters.Front() {
		w := e.Value.(*waiter)
		if !b.fits(w.n) {
			return
		}
		b.used += w.n
		b.waiters.Remove(e)
		close(w.ready)
	}
}
