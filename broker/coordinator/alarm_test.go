package coordinator

import (
	"testing"
	"time"
)

// handClock keeps what it was asked to call; its time is set by hand.
type handClock struct {
	now   time.Time
	calls []call
}

type call struct {
	at        time.Time
	f         func()
	calledOff bool
}

func (c *handClock) Now() time.Time { return c.now }

func (c *handClock) AfterFunc(d time.Duration, f func()) func() {
	i := len(c.calls)
	c.calls = append(c.calls, call{at: c.now.Add(d), f: f})
	return func() { c.calls[i].calledOff = true }
}

func TestAlarmRingsForTheEarliest(t *testing.T) {
	c := &handClock{now: time.Unix(1000, 0)}
	rings := 0
	a := NewAlarm(c, func() { rings++ })
	a.At(c.now.Add(3 * time.Second))
	a.At(c.now.Add(5 * time.Second)) // rings before that anyway
	a.At(c.now.Add(2 * time.Second))
	if len(c.calls) != 2 || !c.calls[0].calledOff || c.calls[1].calledOff {
		t.Fatalf("the clock was asked for %+v", c.calls)
	}
	if want := c.now.Add(2 * time.Second); !c.calls[1].at.Equal(want) {
		t.Errorf("the alarm is set to %v, want %v", c.calls[1].at, want)
	}
	c.calls[1].f()
	if rings != 1 {
		t.Fatalf("it rang %d times", rings)
	}
	a.At(c.now.Add(-time.Second)) // overdue: at once
	if last := c.calls[len(c.calls)-1]; len(c.calls) != 3 || !last.at.Equal(c.now) {
		t.Errorf("after ringing the clock was asked for %+v", c.calls)
	}
}

func TestSilentAlarmDoesNotRing(t *testing.T) {
	c := &handClock{now: time.Unix(1000, 0)}
	a := NewAlarm(c, func() { t.Error("it rang") })
	a.At(c.now.Add(time.Second))
	a.Silence()
	if !c.calls[0].calledOff {
		t.Error("the clock's call was not called off")
	}
	c.calls[0].f() // it was too late for that
	a.At(c.now.Add(2 * time.Second))
	if len(c.calls) != 1 {
		t.Error("a silent alarm was set")
	}
}

func TestSilenceWaitsForTheRinging(t *testing.T) {
	c := &handClock{now: time.Unix(1000, 0)}
	begun, goOn, over, silent := make(chan struct{}), make(chan struct{}), false, make(chan struct{})
	a := NewAlarm(c, func() {
		close(begun)
		<-goOn
		over = true
	})
	a.At(c.now)
	go c.calls[0].f()
	<-begun
	go func() {
		a.Silence()
		if !over {
			t.Error("silent while it rang")
		}
		close(silent)
	}()
	close(goOn)
	<-silent
}
