package coordinator

import "time"

// Clock is how a coordinator knows the time.
type Clock interface {
	Now() time.Time
	// AfterFunc calls f once, in a goroutine of its own, after d. The function
	// that it returns calls that off, if it is not too late.
	AfterFunc(d time.Duration, f func()) (stop func())
}

// SystemClock is the machine's own clock.
type SystemClock struct{}

func (SystemClock) Now() time.Time { return time.Now() }

func (SystemClock) AfterFunc(d time.Duration, f func()) func() {
	t := time.AfterFunc(d, f)
	return func() { t.Stop() }
}
