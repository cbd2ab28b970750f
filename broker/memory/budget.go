// Package memory bounds and recycles the memory that requests take: a Budget
// says how much may be in use at once, a Buffer is a piece of it that is shared
// without copying and returns to a pool when its last user lets go.
package memory

import (
	"container/list"
	"sync"
	"time"
)

// Budget is a counting semaphore over bytes. Waiters are served in the order
// in which they came, so that a large request is not starved by small ones.
//
// What is taken step by step has a rung for each step. The first rungs may not take
// all there is: those together up to any one leave something for the next. Whoever
// holds memory waits only for a higher rung than it has, and of the highest rung
// there is something left unless somebody has it who waits for nothing; so they never
// wait for each other for ever.
type Budget struct {
	mu    sync.Mutex
	rungs []rung
}

// rung is a step of a budget.
type rung struct {
	limit   int64     // of what this rung and those below have taken
	used    int64     // by this rung
	waiters list.List // of *Ticket
	wanted  int64     // bytes that they wait for
}

// Ticket is a place in the queue for bytes.
type Ticket struct {
	b     *Budget
	rung  int
	n     int64
	ready chan struct{}
	place *list.Element
}

// NewBudget returns a budget of limit bytes.
func NewBudget(limit int64) *Budget { return newLadder(limit, 1) }

// newLadder returns a budget of limit bytes for so many steps, each of which has as
// much more than the one before it.
func newLadder(limit int64, steps int) *Budget {
	b := &Budget{rungs: make([]rung, steps)}
	for i := range b.rungs {
		b.rungs[i].limit = limit / int64(steps) * int64(i+1)
	}
	b.rungs[steps-1].limit = limit
	return b
}

// Ask queues for n bytes. They are taken once the ticket is granted. More than
// the whole budget is granted when nothing else is in use.
func (b *Budget) Ask(n int64) *Ticket { return b.ask(0, n) }

// ask queues for n bytes of a rung. More than there can be is granted when nothing
// of this rung and those above is in use.
func (b *Budget) ask(rung int, n int64) *Ticket {
	b.mu.Lock()
	defer b.mu.Unlock()
	t := &Ticket{b: b, rung: rung, n: n, ready: make(chan struct{})}
	r := &b.rungs[rung]
	t.place = r.waiters.PushBack(t)
	r.wanted += n
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

// Await waits until the bytes are taken, and calls hurry as often as every says. It
// returns false, and nothing is taken, once gone or cut is closed.
func (t *Ticket) Await(every time.Duration, hurry func(), gone, cut <-chan struct{}) bool {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-t.ready:
			return true
		case <-tick.C:
			hurry()
			continue
		case <-gone:
		case <-cut:
		}
		if !t.Withdraw() {
			var taken steps
			taken[t.rung] = t.n
			t.b.release(taken)
		}
		return false
	}
}

// TryAcquire takes n bytes if they are free at once.
func (b *Budget) TryAcquire(n int64) bool { return b.try(0, n) }

func (b *Budget) try(rung int, n int64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i := rung; i < len(b.rungs); i++ {
		if b.rungs[i].waiters.Len() > 0 {
			return false
		}
	}
	if !b.fits(rung, n) {
		return false
	}
	b.rungs[rung].used += n
	return true
}

// Overdraw takes n bytes whether they are free or not: for what is there already, and
// cannot wait because others wait for it.
func (b *Budget) Overdraw(n int64) {
	b.mu.Lock()
	b.rungs[0].used += n
	b.mu.Unlock()
}

// Over says whether more is taken than there is.
func (b *Budget) Over() bool { return b.Used() > b.rungs[len(b.rungs)-1].limit }

// Release gives n bytes back.
func (b *Budget) Release(n int64) { b.release(steps{n}) }

// release gives back what each of the steps has taken.
func (b *Budget) release(taken steps) {
	if taken == (steps{}) {
		return
	}
	b.mu.Lock()
	for i := range b.rungs {
		if b.rungs[i].used -= taken[i]; b.rungs[i].used < 0 {
			panic("memory: more was released than taken")
		}
	}
	b.grant()
	b.mu.Unlock()
}

// Used returns how many bytes are taken.
func (b *Budget) Used() (n int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i := range b.rungs {
		n += b.rungs[i].used
	}
	return n
}

// Wanted returns how many bytes are waited for.
func (b *Budget) Wanted() int64 {
	wanted := b.wanted()
	return wanted.sum()
}

// wanted returns how many bytes are waited for at each rung.
func (b *Budget) wanted() (n steps) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i := range b.rungs {
		n[i] = b.rungs[i].wanted
	}
	return n
}

// fits says whether n more bytes of a rung leave those above it what is theirs.
func (b *Budget) fits(rung int, n int64) bool {
	fits := true
	var used, above int64
	for i := range b.rungs {
		r := &b.rungs[i]
		used += r.used
		if i >= rung {
			above += r.used
			fits = fits && used+n <= r.limit
		}
	}
	return fits || above == 0
}

// grant serves those who wait, the highest rung first: whoever is there gives back
// the most, and needs nothing from those below. New ones do not overtake them.
func (b *Budget) grant() {
	for i := len(b.rungs) - 1; i >= 0; i-- {
		r := &b.rungs[i]
		for e := r.waiters.Front(); e != nil; e = r.waiters.Front() {
			t := e.Value.(*Ticket)
			if !b.fits(i, t.n) {
				return
			}
			b.take(t)
			r.used += t.n
			close(t.ready)
		}
	}
}

// take takes a ticket out of the queue.
func (b *Budget) take(t *Ticket) {
	r := &b.rungs[t.rung]
	r.waiters.Remove(t.place)
	t.place = nil
	r.wanted -= t.n
}

// maxSteps is how many steps a request can need, at four times as much each.
const maxSteps = 11

// steps are bytes of each step.
type steps [maxSteps]int64

func (s *steps) sum() (n int64) {
	for _, step := range s {
		n += step
	}
	return n
}

func (s *steps) add(t *steps) {
	for i := range s {
		s[i] += t[i]
	}
}

// serves says whether those who want something at some rung can have it once s is
// given back: what is above is not theirs.
func (s *steps) serves(wanted *steps) bool {
	var free, want int64
	for i := range s {
		free += s[i]
		if want += wanted[i]; wanted[i] > 0 && free < want {
			return false
		}
	}
	return true
}
