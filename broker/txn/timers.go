package txn

import (
	"container/heap"
	"sync"
	"sync/atomic"
	"time"
)

// Clock is how the coordinator knows the time.
type Clock interface {
	Now() time.Time
	// AfterFunc calls f once, in a goroutine of its own, after d. The function
	// that it returns calls that off, if it is not too late.
	AfterFunc(d time.Duration, f func()) (stop func())
}

type systemClock struct{}

func (systemClock) Now() time.Time { return time.Now() }

func (systemClock) AfterFunc(d time.Duration, f func()) func() {
	t := time.AfterFunc(d, f)
	return func() { t.Stop() }
}

// timerHeap holds the timers of a shard, the next one first.
type timerHeap []*timer

func (h timerHeap) Len() int           { return len(h) }
func (h timerHeap) Less(i, j int) bool { return h[i].at.Before(h[j].at) }
func (h timerHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i+1, j+1
}

// Push and Pop are for container/heap.
func (h *timerHeap) Push(x any) {
	t := x.(*timer)
	*h = append(*h, t)
	t.index = len(*h)
}

func (h *timerHeap) Pop() any {
	old := *h
	t := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	t.index = 0
	return t
}

// set makes t run out at at. An index of 0 says that t is not in the heap.
func (h *timerHeap) set(t *timer, at time.Time) {
	t.at = at
	if t.index == 0 {
		heap.Push(h, t)
		return
	}
	heap.Fix(h, t.index-1)
}

func (h *timerHeap) cancel(t *timer) {
	if t.index > 0 {
		heap.Remove(h, t.index-1)
	}
}

// due takes out a timer that has run out; nil if there is none.
func (h *timerHeap) due(now time.Time) *timer {
	if len(*h) == 0 || (*h)[0].at.After(now) {
		return nil
	}
	return heap.Pop(h).(*timer)
}

// next is when to look again; ok is false for never.
func (h timerHeap) next() (at time.Time, ok bool) {
	if len(h) == 0 {
		return time.Time{}, false
	}
	return h[0].at, true
}

// alarm is the one timer of a coordinator: it wakes up for the next timer of
// any shard.
type alarm struct {
	c    *Coordinator
	soon atomic.Int64 // when it rings, as time since the coordinator's start; 0 for never

	mu   sync.Mutex
	stop func()
	off  bool

	ringing sync.Mutex // held while it rings
}

// at makes the alarm ring no later than then.
func (a *alarm) at(then time.Time) {
	due := max(int64(then.Sub(a.c.start)), 1)
	if soon := a.soon.Load(); soon != 0 && soon <= due {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if soon := a.soon.Load(); a.off || soon != 0 && soon <= due {
		return
	}
	if a.stop != nil {
		a.stop()
	}
	a.soon.Store(due)
	a.stop = a.c.clock.AfterFunc(max(then.Sub(a.c.clock.Now()), 0), a.ring)
}

// ring fires all timers that have run out.
func (a *alarm) ring() {
	a.ringing.Lock()
	defer a.ringing.Unlock()
	a.mu.Lock()
	a.soon.Store(0)
	off := a.off
	a.mu.Unlock()
	if off {
		return
	}
	for i := range a.c.seats {
		a.c.fire(&a.c.seats[i])
	}
}

// silence ends the alarm; when it returns, the alarm does not ring any more.
func (a *alarm) silence() {
	a.mu.Lock()
	a.off = true
	if a.stop != nil {
		a.stop()
	}
	a.mu.Unlock()
	a.ringing.Lock()
	defer a.ringing.Unlock()
}
