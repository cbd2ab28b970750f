package coordinatortest

import (
	"slices"
	"sync"
	"time"
)

// Clock is a coordinator.Clock that stands still until it is moved.
type Clock struct {
	mu    sync.Mutex
	now   time.Time
	calls []*call
}

type call struct {
	at time.Time
	f  func()
}

// NewClock makes a clock that stands at now.
func NewClock(now time.Time) *Clock { return &Clock{now: now} }

func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *Clock) AfterFunc(d time.Duration, f func()) func() {
	c.mu.Lock()
	defer c.mu.Unlock()
	call := &call{c.now.Add(d), f}
	c.calls = append(c.calls, call)
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.remove(call)
	}
}

func (c *Clock) remove(one *call) {
	c.calls = slices.DeleteFunc(c.calls, func(o *call) bool { return o == one })
}

// Calls is how many calls are to come.
func (c *Clock) Calls() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.calls)
}

// Advance moves the clock and makes the calls that are due, in order.
func (c *Clock) Advance(d time.Duration) {
	c.mu.Lock()
	end := c.now.Add(d)
	for {
		var next *call
		for _, call := range c.calls {
			if !call.at.After(end) && (next == nil || call.at.Before(next.at)) {
				next = call
			}
		}
		if next == nil {
			break
		}
		c.remove(next)
		if next.at.After(c.now) {
			c.now = next.at
		}
		c.mu.Unlock()
		next.f()
		c.mu.Lock()
	}
	c.now = end
	c.mu.Unlock()
}
