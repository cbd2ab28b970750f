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
	waiters list.List // of *Ticket
	wanted  int64     // bytes that they wait for
}

// Ticket is a place in the queue for bytes.
type Ticket struct {
	b     *Budget
	n     int64
	ready chan struct{}
	place *list.Element
}

// NewBudget returns a budget of limit bytes.
func NewBudget(limit int64) *Budget { return &Budget{limit: limit} }

// Ask queues for n bytes. They are taken once the ticket is granted. More than
// the whole budget is granted when nothing else is in use.
func (b *Budget) Ask(n int64) *Ticket {
	b.mu.Lock()
	defer b.mu.Unlock()
	t := &Ticket{b: b, n: n, ready: make(chan struct{})}
	t.place = b.waiters.PushBack(t)
	b.wanted += n
	b.grant()
	return t
}

// Granted is closed when the bytes are taken.
func (t *Ticket) Granted() <-chan struct{} { return t.ready }

// Withdraw gives up the place in the queue. It reports false where the bytes
// were granted before, so that they are the caller's to use or to release.
func (t *Ticket) Withdraw() bool {
	t.b.mu.Lock()
	defer t.b.mu.Unlock()
	if t.place == nil {
		return false
	}
	t.b.take(t)
	t.b.grant()
	return true
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

// Used returns how many bytes are taken.
func (b *Budget) Used() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.used
}

// Wanted returns how many bytes are waited for.
func (b *Budget) Wanted() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.wanted
}

func (b *Budget) fits(n int64) bool { return b.used+n <= b.limit || b.used == 0 }

func (b *Budget) grant() {
	for e := b.waiters.Front(); e != nil; e = b.waiters.Front() {
		t := e.Value.(*Ticket)
		if !b.fits(t.n) {
			return
		}
		b.take(t)
		b.used += t.n
		close(t.ready)
	}
}

// take takes a ticket out of the queue.
func (b *Budget) take(t *Ticket) {
	b.waiters.Remove(t.place)
	t.place = nil
	b.wanted -= t.n
}
