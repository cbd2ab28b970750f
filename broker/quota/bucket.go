package quota

import "time"

// rate is how fast a bucket fills, and how full it gets.
type rate struct {
	perSecond float64
	burst     float64
}

// bucket is a token bucket that may go into debt: what is larger than the bucket
// passes when it is full, and is paid off afterwards. The zero value is full.
// Whoever owns it has a lock.
type bucket struct {
	used float64 // tokens below full; above the burst it is debt
	at   int64   // when that was so, in ns
}

func (b *bucket) drain(r rate, now int64) {
	if elapsed := now - b.at; elapsed > 0 {
		b.used = max(0, b.used-float64(elapsed)/1e9*r.perSecond)
		b.at = now
	}
}

// fits says whether n tokens can be taken: there are as many, or the bucket is
// full and holds no more than that.
func (b *bucket) fits(r rate, now int64, n float64) bool {
	b.drain(r, now)
	return b.used == 0 || b.used+n <= r.burst
}

// open says whether there is any token.
func (b *bucket) open(r rate, now int64) bool {
	b.drain(r, now)
	return b.used < r.burst
}

// charge takes n tokens, whether they are there or not.
func (b *bucket) charge(n float64) { b.used += n }

// take takes n tokens if that can be.
func (b *bucket) take(r rate, now int64, n float64) bool {
	if !b.fits(r, now, n) {
		return false
	}
	b.charge(n)
	return true
}

// wait returns how long it is until the bucket is open; 0 is now.
func (b *bucket) wait(r rate, now int64) time.Duration {
	if b.open(r, now) {
		return 0
	}
	return time.Duration((b.used-r.burst)/r.perSecond*1e9) + 1
}
