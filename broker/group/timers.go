package group

import (
	"container/heap"
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

// timerHeap holds the timers of a shard, the next one first. A timer that is
// put off, as a member's session is by each heartbeat, stays where it is until
// its old time has come: that makes a heartbeat cost next to nothing.
type timerHeap []*timer

func (h timerHeap) Len() int           { return len(h) }
func (h timerHeap) Less(i, j int) bool { return h[i].queued.Before(h[j].queued) }
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
	t.want = at
	switch {
	case t.index == 0:
		t.queued = at
		heap.Push(h, t)
	case at.Before(t.queued):
		t.queued = at
		heap.Fix(h, t.index-1)
	}
}

func (h *timerHeap) cancel(t *timer) {
	if t.index > 0 {
		heap.Remove(h, t.index-1)
	}
}

// due takes out a timer that has run out; nil if there is none.
func (h *timerHeap) due(now time.Time) *timer {
	for len(*h) > 0 {
		t := (*h)[0]
		if t.queued.After(now) {
			return nil
		}
		if t.want.After(now) {
			t.queued = t.want
			heap.Fix(h, 0)
			continue
		}
		heap.Pop(h)
		return t
	}
	return nil
}

// next is when to look again; ok is false for never.
func (h timerHeap) next() (at time.Time, ok bool) {
	if len(h) == 0 {
		return time.Time{}, false
	}
	return h[0].queued, true
}
