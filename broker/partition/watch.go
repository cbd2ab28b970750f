package partition

import "sync/atomic"

// Watch waits for data on any of several partitions. It fires once: when need
// bytes have been appended to them, or when one of them changes otherwise.
type Watch struct {
	// Committed says that only what is below the last stable offset counts.
	Committed bool

	need  atomic.Int64
	fired atomic.Bool
	fn    func()
}

// NewWatch returns a watch that calls fn, from whatever goroutine makes the
// data visible, once need bytes have come. fn must not block.
func NewWatch(need int64, fn func()) *Watch {
	w := &Watch{fn: fn}
	w.need.Store(need)
	return w
}

// Fire calls fn, unless that was done before.
func (w *Watch) Fire() { w.fire() }

func (w *Watch) fire() {
	if !w.fired.Swap(true) {
		w.fn()
	}
}

// Watch adds w to those told of new data. end is the high watermark that the
// caller has seen, or the last stable offset: if there is more already, w fires
// at once.
func (p *Partition) Watch(w *Watch, end int64) {
	p.mu.Lock()
	now := p.high
	if w.Committed {
		now = p.offsets().LastStable
	}
	if now != end || p.gone {
		p.mu.Unlock()
		w.fire()
		return
	}
	if w.fired.Load() {
		p.mu.Unlock()
		return
	}
	if p.watchers == nil {
		p.watchers = map[*Watch]struct{}{}
	}
	p.watchers[w] = struct{}{}
	p.mu.Unlock()
}

// Unwatch ends what Watch began.
func (p *Partition) Unwatch(w *Watch) {
	p.mu.Lock()
	delete(p.watchers, w)
	p.mu.Unlock()
}

// wake counts new bytes for those who wait, and of bytes that are stable now for
// those who wait for these, and returns whom to tell, once the lock is free.
func (p *Partition) wake(bytes, stable int64) []*Watch {
	var fire []*Watch
	for w := range p.watchers {
		n := bytes
		if w.Committed {
			n = stable
		}
		if n > 0 && w.need.Add(-n) <= 0 {
			delete(p.watchers, w)
			fire = append(fire, w)
		}
	}
	return fire
}

func (p *Partition) takeWatchers() []*Watch {
	fire := make([]*Watch, 0, len(p.watchers))
	for w := range p.watchers {
		fire = append(fire, w)
	}
	p.watchers = nil
	return fire
}
