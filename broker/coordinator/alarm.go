package coordinator

import (
	"sync"
	"sync/atomic"
	"time"
)

// Alarm is the one timer of a coordinator on its clock: it wakes up for the next
// timer of any shard.
type Alarm struct {
	clock Clock
	start time.Time
	fire  func()
	soon  atomic.Int64 // when it rings, as time since start; 0 for never

	mu   sync.Mutex
	stop func()
	off  bool

	ringing sync.Mutex // held while it rings
}

// NewAlarm makes an alarm that calls fire when it rings. fire runs all timers
// that have run out, and calls At for the next one. It is called from one
// goroutine at a time.
func NewAlarm(clock Clock, fire func()) *Alarm {
	return &Alarm{clock: clock, start: clock.Now(), fire: fire}
}

// At makes the alarm ring no later than then.
func (a *Alarm) At(then time.Time) {
	due := max(int64(then.Sub(a.start)), 1)
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
	a.stop = a.clock.AfterFunc(max(then.Sub(a.clock.Now()), 0), a.ring)
}

func (a *Alarm) ring() {
	a.ringing.Lock()
	defer a.ringing.Unlock()
	a.mu.Lock()
	a.soon.Store(0)
	off := a.off
	a.mu.Unlock()
	if !off {
		a.fire()
	}
}

// Silence ends the alarm; when it returns, the alarm does not ring any more.
func (a *Alarm) Silence() {
	a.mu.Lock()
	a.off = true
	if a.stop != nil {
		a.stop()
	}
	a.mu.Unlock()
	a.ringing.Lock()
	defer a.ringing.Unlock()
}
