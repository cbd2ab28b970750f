package badgerstore

import "sync/atomic"

// Reads see whatever is in the database, and a transaction does not come into it
// at one moment: while a step of Replace is on its way, a reader could find both
// the old batch and the new one, or neither. So a partition keeps which offsets
// its latest steps were about, and who has read any of them meanwhile reads again.

// stepsKept is how many steps are remembered: a reader that took longer than
// these reads again without need.
const stepsKept = 64

// steps are the steps of Replace on one partition, one at a time. The
// partition's mu guards all but the counters.
type steps struct {
	begun   atomic.Uint64
	ended   atomic.Uint64
	recent  *[stepsKept]offsetRange
	running chan struct{} // closed at the end of the one that is on its way; nil for none
}

// offsetRange is inclusive.
type offsetRange struct{ from, to int64 }

func (p *partition) beginStep(r offsetRange) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.mu.steps.recent == nil {
		p.mu.steps.recent = new([stepsKept]offsetRange)
	}
	p.mu.steps.running = make(chan struct{})
	p.mu.steps.recent[p.mu.steps.begun.Load()%stepsKept] = r
	p.mu.steps.begun.Add(1)
}

func (p *partition) endStep() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mu.steps.ended.Add(1)
	close(p.mu.steps.running)
	p.mu.steps.running = nil
}

// undisturbed calls read, which says what offsets it has looked at, until no
// step was on its way there meanwhile.
func (p *partition) undisturbed(read func() (offsetRange, error)) error {
	for {
		ended := p.mu.steps.ended.Load()
		r, err := read()
		wait, again := p.disturbed(ended, r)
		if !again {
			return err
		}
		if wait != nil {
			<-wait
		}
	}
}

// disturbed says whether a step about r was on its way since so many had ended,
// and what to wait for if it still is.
func (p *partition) disturbed(ended uint64, r offsetRange) (wait <-chan struct{}, again bool) {
	if p.mu.steps.begun.Load() == ended {
		return nil, false // by far the most
	}
	p.mu.RLock()
	defer p.mu.RUnlock()
	s := &p.mu.steps
	begun := s.begun.Load()
	if begun-ended > stepsKept {
		return nil, true
	}
	for i := ended; i < begun; i++ {
		if step := s.recent[i%stepsKept]; step.from <= r.to && step.to >= r.from {
			return s.running, true
		}
	}
	return nil, false
}
