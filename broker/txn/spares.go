package txn

import (
	"sync"

	"go.uber.org/zap"
)

// spares are producer ids that were taken out and not used: an event may need
// one, and getting it may take a write, which nobody waits for under a lock.
type spares struct {
	next func() (int64, error)

	mu   sync.Mutex
	left []int64
}

// get returns a producer id that nobody has, noProducerID where none can be had
// now: then the event that needs one is refused.
func (p *spares) get(logger *zap.Logger) int64 {
	p.mu.Lock()
	if n := len(p.left); n > 0 {
		id := p.left[n-1]
		p.left = p.left[:n-1]
		p.mu.Unlock()
		return id
	}
	p.mu.Unlock()
	id, err := p.next()
	if err != nil {
		logger.Error("no producer id can be given out", zap.Error(err))
		return noProducerID
	}
	return id
}

// put takes back one that was not used. There are no more than were in use at
// one time.
func (p *spares) put(id int64) {
	if id == noProducerID {
		return
	}
	p.mu.Lock()
	p.left = append(p.left, id)
	p.mu.Unlock()
}
