package memory

import (
	"cmp"
	"math"
	"time"
)

// Haste says when what moves slowly makes room: requests that arrive, and answers that
// their clients take.
type Haste struct {
	// Patience is how long one waits for memory before others that are slow are ended
	// for it, and how often they are looked at from then on.
	Patience time.Duration
	// Silence is after what time without a byte a client is slow, whatever its rate
	// was.
	Silence time.Duration
	// Window is over what time the rate of a client is taken.
	Window time.Duration
	// Slow is how long the rest may still need without being slow.
	Slow time.Duration
}

// due says whether to look for slow ones, last having been the last time. What one of
// those who wait has just done need not be done again by each of the others.
func (h *Haste) due(now time.Time, last *time.Time) bool {
	if now.Sub(*last) < h.Patience/10 {
		return false
	}
	*last = now
	return true
}

// pace is how fast the bytes of a request or an answer move.
type pace struct {
	size, done int
	// rate is how many bytes a second moved in the last window, infinite before the
	// first has passed. The present one began at since, with before bytes; while
	// the server itself holds things up, it stands still at until.
	rate         float64
	since, until time.Time
	before       int
	last         time.Time // when a byte moved last
	left         float64   // seconds that it still takes, as last measured
}

func newPace(size int, now time.Time) pace {
	return pace{size: size, rate: math.Inf(1), since: now, last: now}
}

// moved counts n bytes.
func (p *pace) moved(n int, now time.Time, h *Haste) {
	p.done += n
	if n > 0 {
		p.last = now
	}
	p.measure(now, h)
}

// measure takes the rate of a window that has passed, and how many seconds the
// rest takes at that rate: for ever when it has fallen silent.
func (p *pace) measure(now time.Time, h *Haste) {
	if !p.until.IsZero() {
		now = p.until
	}
	if passed := now.Sub(p.since); passed >= h.Window {
		p.rate = float64(p.done-p.before) / passed.Seconds()
		p.since, p.before = now, p.done
	}
	p.left = float64(p.size-p.done) / p.rate
	if now.Sub(p.last) >= h.Silence {
		p.left = math.Inf(1)
	}
}

func (p *pace) pause(now time.Time) { p.until = now }

func (p *pace) resume(now time.Time) {
	waited := now.Sub(p.until)
	p.since, p.last = p.since.Add(waited), p.last.Add(waited)
	p.until = time.Time{}
}

// slowest orders those first that make room first.
func slowest(a, b *pace) int {
	return cmp.Or(cmp.Compare(b.left, a.left), a.last.Compare(b.last), cmp.Compare(a.done, b.done))
}
