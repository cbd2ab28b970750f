package memory

import (
	"cmp"
	"errors"
	"math"
	"slices"
	"sync"
	"time"
)

// Intake is a share of the memory for requests, and the requests that are on
// their way into it.
//
// A client that sends a request slowly, or stops in the middle, holds the memory
// of its present step: a small first one, then up to four times what it has sent.
// As long as there is enough for all, that disturbs nobody, and it has its time for
// each piece. Once others have waited for memory, requests of which nothing comes
// any more make room for them, and those that would take the longest to arrive.
type Intake struct {
	// Haste may be changed before the first request.
	Haste Haste

	budget *Budget // with a rung for each step of a request
	waits  func()
	now    func() time.Time

	mu       sync.Mutex
	arriving map[*arrival]struct{}
	relieved time.Time // when room was last made
}

// Intakes are shares of one budget, so that small requests, and those of the size
// that many clients send by default, do not wait for larger ones.
type Intakes struct{ Small, Usual, Large *Intake }

// The largest requests of the shares.
const (
	smallRequest = 16 << 10
	usualRequest = 2 << 20
)

// NewIntakes divides a budget of bytes, of which so many as aside says are not for
// these. It calls waits when a request has to wait for memory.
func NewIntakes(bytes, aside int64, waits func()) *Intakes {
	eighth := bytes / 8
	return &Intakes{
		NewIntake(eighth, smallRequest, waits), NewIntake(3*eighth, usualRequest, waits), NewIntake(4*eighth-aside, math.MaxInt32, waits),
	}
}

// For returns the share that a request of size bytes comes out of.
func (s *Intakes) For(size int) *Intake {
	switch {
	case size <= smallRequest:
		return s.Small
	case size <= usualRequest:
		return s.Usual
	}
	return s.Large
}

// CutSlow ends the requests that arrive slowly.
func (s *Intakes) CutSlow() {
	for _, in := range []*Intake{s.Small, s.Usual, s.Large} {
		in.CutSlow()
	}
}

// Used returns how many bytes are taken.
func (s *Intakes) Used() int64 { return s.Small.Used() + s.Usual.Used() + s.Large.Used() }

// Haste says when slow requests make room.
type Haste struct {
	// Patience is how long a request waits for memory before others that arrive
	// slowly are closed for it.
	Patience time.Duration
	// Silence is after what time without a byte a request is slow, whatever its
	// rate was.
	Silence time.Duration
	// Window is over what time the rate of a request is taken.
	Window time.Duration
	// Slow is how long a request may still need to arrive without being slow.
	Slow time.Duration
}

// Errors of arrivals.
var (
	// ErrTooSlow is a request that made room for others.
	ErrTooSlow = errors.New("it arrived too slowly while others waited for memory")
	// ErrTooLarge is a request that is longer than it may be.
	ErrTooLarge = errors.New("it is larger than what is accepted")
	// ErrGone is a client that went while its request waited for memory.
	ErrGone = errors.New("the client went while its request waited for memory")
)

// NewIntake returns an intake of a budget of bytes for requests of up to largest
// bytes. It calls waits when a request has to wait for memory.
func NewIntake(bytes int64, largest int, waits func()) *Intake {
	steps := 1
	for step := firstStep; step < largest; step *= 4 {
		steps++
	}
	return &Intake{
		Haste:  Haste{Patience: time.Second, Silence: time.Second, Window: 2 * time.Second, Slow: 5 * time.Second},
		budget: newLadder(bytes, steps), waits: waits,
		now: time.Now, arriving: map[*arrival]struct{}{},
	}
}

// Used returns how many bytes are taken.
func (in *Intake) Used() int64 { return in.budget.Used() }

// last is the rung of the step that completes a request.
func (in *Intake) last() int { return len(in.budget.rungs) - 1 }

// await takes n bytes of the budget for a step, waiting for them if it must. It ends
// without when gone or cut is closed.
func (in *Intake) await(rung int, n int64, gone, cut <-chan struct{}) bool {
	if in.budget.try(rung, n) {
		return true
	}
	in.waits()
	return in.budget.ask(rung, n).Await(in.Haste.Patience, in.relieve, gone, cut)
}

// relieve ends the slowest requests, as many as it takes to give those who wait for
// memory what they wait for. What one of those who wait has just done need not be
// done again by each of the others.
func (in *Intake) relieve() {
	if !in.mayRelieve() {
		return
	}
	wanted := in.budget.wanted()
	for _, a := range in.choose(&wanted) {
		a.from.Cut()
	}
}

// CutSlow ends all slow requests, for the sake of others that wait for something
// else than memory.
func (in *Intake) CutSlow() {
	if !in.mayRelieve() {
		return
	}
	for _, a := range in.choose(&steps{math.MaxInt64}) {
		a.from.Cut()
	}
}

func (in *Intake) mayRelieve() bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	now := in.now()
	if now.Sub(in.relieved) < in.Haste.Patience/10 {
		return false
	}
	in.relieved = now
	return true
}

// choose marks the slowest requests, until together they have the wanted bytes.
func (in *Intake) choose(wanted *steps) (cut []*arrival) {
	in.mu.Lock()
	defer in.mu.Unlock()
	now := in.now()
	var slow []*arrival
	var free steps
	for a := range in.arriving {
		if a.cut {
			free.add(&a.taken) // on the way
			continue
		}
		a.measure(now)
		if a.left > in.Haste.Slow.Seconds() {
			slow = append(slow, a)
		}
	}
	slices.SortFunc(slow, func(a, b *arrival) int {
		return cmp.Or(cmp.Compare(b.left, a.left), a.last.Compare(b.last), cmp.Compare(a.read, b.read))
	})
	for _, a := range slow {
		if free.serves(wanted) {
			break
		}
		free.add(&a.taken)
		a.cut = true
		if a.waits != nil {
			close(a.waits)
		}
		cut = append(cut, a)
	}
	return cut
}

// arrival is a request whose bytes are arriving.
type arrival struct {
	in   *Intake
	from Source
	size int

	// Guarded by in.mu.
	read  int
	taken steps
	cut   bool
	waits chan struct{} // while it waits for memory; closed when it is cut
	piece int           // bytes of the present piece
	// rate is how many bytes a second came in the last window, infinite before the
	// first has passed. The present one began at since, with before bytes; while
	// the server itself makes the request wait, it stands still at until.
	rate         float64
	since, until time.Time
	before       int
	last         time.Time // when a byte came last
	left         float64   // seconds that it still takes, as last measured
}

// begin notes a request of size bytes that has taken memory.
func (in *Intake) begin(from Source, size int, taken steps) *arrival {
	in.mu.Lock()
	defer in.mu.Unlock()
	now := in.now()
	a := &arrival{in: in, from: from, size: size, taken: taken, rate: math.Inf(1), since: now, last: now}
	in.arriving[a] = struct{}{}
	return a
}

func (in *Intake) end(a *arrival) {
	in.mu.Lock()
	defer in.mu.Unlock()
	delete(in.arriving, a)
}

func (a *arrival) isCut() bool {
	a.in.mu.Lock()
	defer a.in.mu.Unlock()
	return a.cut
}

// arrived counts n bytes, and reports whether they complete a piece.
func (a *arrival) arrived(n int) bool {
	a.in.mu.Lock()
	defer a.in.mu.Unlock()
	a.read += n
	now := a.in.now()
	if n > 0 {
		a.last = now
	}
	a.measure(now)
	if a.piece += n; a.piece < pieceBytes {
		return false
	}
	a.piece = 0
	return true
}

// measure takes the rate of a window that has passed, and how many seconds the
// request still takes at its rate: for ever when it has fallen silent.
func (a *arrival) measure(now time.Time) {
	if !a.until.IsZero() {
		now = a.until
	}
	if passed := now.Sub(a.since); passed >= a.in.Haste.Window {
		a.rate = float64(a.read-a.before) / passed.Seconds()
		a.since, a.before = now, a.read
	}
	a.left = float64(a.size-a.read) / a.rate
	if now.Sub(a.last) >= a.in.Haste.Silence {
		a.left = math.Inf(1)
	}
}

// pause stops the request's clock while the server makes it wait. What it returns is
// closed when the request is cut.
func (a *arrival) pause() <-chan struct{} {
	a.in.mu.Lock()
	defer a.in.mu.Unlock()
	a.until, a.waits = a.in.now(), make(chan struct{})
	if a.cut {
		close(a.waits)
	}
	return a.waits
}

func (a *arrival) resume() {
	a.in.mu.Lock()
	defer a.in.mu.Unlock()
	waited := a.in.now().Sub(a.until)
	a.since, a.last = a.since.Add(waited), a.last.Add(waited)
	a.until, a.waits = time.Time{}, nil
}

func (a *arrival) took(rung int, n int64) {
	a.in.mu.Lock()
	defer a.in.mu.Unlock()
	a.taken[rung] += n
}
