package memory

import (
	"cmp"
	"math"
	"slices"
	"sync"
	"time"
)

// part is a share of an intake's memory, and the requests that are on their way
// into it.
//
// A client that sends a request slowly, or stops in the middle, holds the memory
// of what it has sent. As long as there is enough for all, that disturbs nobody,
// and it has pieceTime for each piece. Once others have waited for memory, the
// requests that would take the longest to arrive make room for them.
type part struct {
	in     *Intake
	budget *Budget
	// overdraft is for one request at a time that goes over the budget: requests
	// that have begun must not wait for each other for ever.
	overdraft chan struct{}

	mu       sync.Mutex
	arriving map[*arrival]struct{}
}

func (p *part) init(in *Intake, bytes int64) {
	p.in, p.budget = in, NewBudget(bytes)
	p.overdraft, p.arriving = make(chan struct{}, 1), map[*arrival]struct{}{}
}

// Haste says when slow requests make room.
type Haste struct {
	// Patience is how long a request waits for memory before others that arrive
	// slowly are cut off for it.
	Patience time.Duration
	// Window is over what time the rate of a request is taken.
	Window time.Duration
	// Slow is how long a request may still need to arrive without being slow.
	Slow time.Duration
}

func defaultHaste() Haste {
	return Haste{Patience: time.Second, Window: 2 * time.Second, Slow: 5 * time.Second}
}

// granted is the outcome of a wait for memory.
type granted struct {
	ok    bool
	drawn bool // by the overdraft; nothing was taken from the budget
}

// await takes n bytes of the budget, waiting for them if it must until one of the
// channels is closed. Where overdraft is given, having that will do as well.
func (p *part) await(n int64, overdraft chan struct{}, cancel, cut <-chan struct{}) granted {
	if p.budget.TryAcquire(n) {
		return granted{ok: true}
	}
	p.in.waits()
	ticket := p.budget.Ask(n)
	hurry := time.NewTicker(p.in.Haste.Patience)
	defer hurry.Stop()
	for {
		select {
		case <-ticket.Granted():
			return granted{ok: true}
		case overdraft <- struct{}{}:
			if ticket.Withdraw() {
				return granted{ok: true, drawn: true}
			}
			<-overdraft // the bytes came at the same moment
			return granted{ok: true}
		case <-hurry.C:
			p.relieve()
			continue
		case <-cancel:
		case <-cut:
		}
		if !ticket.Withdraw() {
			p.budget.Release(n)
		}
		return granted{}
	}
}

// extend takes n more bytes for a request that has begun.
func (p *part) extend(q *Request, a *arrival, n int64) bool {
	if q.drawn {
		return true
	}
	a.pause()
	g := p.await(n, p.overdraft, a.source.Cancel, a.cut)
	a.resume()
	if !g.ok {
		return false
	}
	if q.drawn = g.drawn; !q.drawn {
		q.taken += n
		a.took(n)
	}
	return true
}

// relieve cuts off the slowest requests, as many as it takes to give those who
// wait for memory what they wait for.
func (p *part) relieve() {
	for _, a := range p.choose(p.budget.Wanted()) {
		a.source.Cut()
	}
}

// choose marks the slowest requests, until together they have the wanted bytes.
func (p *part) choose(wanted int64) []*arrival {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.in.now()
	var slow []*arrival
	for a := range p.arriving {
		if a.isCut {
			wanted -= a.taken // its memory is on the way
			continue
		}
		a.measure(now)
		if a.left() > p.in.Haste.Slow.Seconds() {
			slow = append(slow, a)
		}
	}
	slices.SortFunc(slow, func(a, b *arrival) int { return cmp.Compare(b.left(), a.left()) })
	for i, a := range slow {
		if wanted <= 0 {
			return slow[:i]
		}
		wanted -= a.taken
		a.isCut = true
		close(a.cut)
	}
	return slow
}

// arrival is a request whose bytes are arriving.
type arrival struct {
	part   *part
	source Source
	size   int           // negative where nobody has said it
	cut    chan struct{} // closed when it makes room for others

	// Guarded by part.mu.
	isCut bool
	read  int
	taken int64
	piece int // bytes of the present piece
	// rate is how many bytes a second came in the last window, infinite before the
	// first has passed. The present one began at since, with before bytes; while
	// the server itself makes the request wait, it stands still at until.
	rate         float64
	since, until time.Time
	before       int
}

// begin notes a request that has taken bytes of memory.
func (p *part) begin(a *arrival, taken int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	a.taken, a.rate, a.since, a.cut = taken, math.Inf(1), p.in.now(), make(chan struct{})
	p.arriving[a] = struct{}{}
}

// end forgets the request, and reports whether it has been cut off.
func (p *part) end(a *arrival) (cut bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.arriving, a)
	return a.isCut
}

// deadline gives the next piece its time, unless the request is cut off.
func (a *arrival) deadline() {
	a.source.Deadline(pieceTime)
	select {
	case <-a.cut:
		a.source.Cut()
	default:
	}
}

// arrived counts n bytes, and reports whether they complete a piece.
func (a *arrival) arrived(n int) bool {
	a.part.mu.Lock()
	defer a.part.mu.Unlock()
	a.read += n
	a.measure(a.part.in.now())
	if a.piece += n; a.piece < pieceBytes {
		return false
	}
	a.piece = 0
	return true
}

// measure takes the rate of a window that has passed.
func (a *arrival) measure(now time.Time) {
	if !a.until.IsZero() {
		now = a.until
	}
	if passed := now.Sub(a.since); passed >= a.part.in.Haste.Window {
		a.rate = float64(a.read-a.before) / passed.Seconds()
		a.since, a.before = now, a.read
	}
}

// left is how many seconds the request still takes at its rate.
func (a *arrival) left() float64 {
	left := pieceBytes // where nobody has said how much
	if a.size >= 0 {
		left = a.size - a.read
	}
	return float64(left) / a.rate
}

// pause stops the request's clock while the server makes it wait.
func (a *arrival) pause() {
	a.part.mu.Lock()
	defer a.part.mu.Unlock()
	a.until = a.part.in.now()
}

func (a *arrival) resume() {
	a.part.mu.Lock()
	defer a.part.mu.Unlock()
	a.since, a.until = a.since.Add(a.part.in.now().Sub(a.until)), time.Time{}
}

func (a *arrival) took(n int64) {
	a.part.mu.Lock()
	defer a.part.mu.Unlock()
	a.taken += n
}
