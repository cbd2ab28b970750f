package coordinator

import (
	"container/heap"
	"time"
)

// A Timer is what Timers know of a timer. A coordinator embeds it in a type of
// its own, which says what runs out. The zero Timer is not set.
type Timer struct {
	want, queued time.Time // when it runs out, and when Timers look at it
	index        int       // its place in Timers, from 1; 0 while it is in none
}

// IsSet says whether the timer is going to run out.
func (t *Timer) IsSet() bool { return t.index > 0 }

func (t *Timer) timer() *Timer { return t }

// Timers holds the timers of a shard, the next one first. A timer that is put
// off, as a group member's session is by each heartbeat, stays where it is until
// its old time has come: that makes a heartbeat cost next to nothing. T points
// to a type that embeds Timer.
type Timers[T interface{ timer() *Timer }] []T

// Len, Less, Swap, Push and Pop are for container/heap.
func (ts Timers[T]) Len() int { return len(ts) }

func (ts Timers[T]) Less(i, j int) bool { return ts[i].timer().queued.Before(ts[j].timer().queued) }

func (ts Timers[T]) Swap(i, j int) {
	ts[i], ts[j] = ts[j], ts[i]
	ts[i].timer().index, ts[j].timer().index = i+1, j+1
}

func (ts *Timers[T]) Push(x any) {
	t := x.(T)
	*ts = append(*ts, t)
	t.timer().index = len(*ts)
}

func (ts *Timers[T]) Pop() any {
	old := *ts
	t := old[len(old)-1]
	clear(old[len(old)-1:])
	*ts = old[:len(old)-1]
	t.timer().index = 0
	return t
}

// Set makes t run out at at, in place of any earlier setting.
func (ts *Timers[T]) Set(t T, at time.Time) {
	own := t.timer()
	own.want = at
	switch {
	case own.index == 0:
		own.queued = at
		heap.Push(ts, t)
	case at.Before(own.queued):
		own.queued = at
		heap.Fix(ts, own.index-1)
	}
}

// Cancel makes t run out no more.
func (ts *Timers[T]) Cancel(t T) {
	if i := t.timer().index; i > 0 {
		heap.Remove(ts, i-1)
	}
}

// Due takes out a timer that has run out; nil if there is none.
func (ts *Timers[T]) Due(now time.Time) T {
	for len(*ts) > 0 {
		t := (*ts)[0]
		next := t.timer()
		if next.queued.After(now) {
			break
		}
		if next.want.After(now) {
			next.queued = next.want
			heap.Fix(ts, 0)
			continue
		}
		heap.Pop(ts)
		return t
	}
	var none T
	return none
}

// Next is when to look again, which may be before any timer runs out; ok is
// false for never.
func (ts Timers[T]) Next() (at time.Time, ok bool) {
	if len(ts) == 0 {
		return time.Time{}, false
	}
	return ts[0].timer().queued, true
}
