package memory

import (
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
// memory what they wait for.
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
	return in.Haste.due(in.now(), &in.relieved)
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
		if a.measure(now, &in.Haste); a.left > in.Haste.Slow.Seconds() {
			slow = append(slow, a)
		}
	}
	slices.SortFunc(slow, func(a, b *arrival) int { return slowest(&a.pace, &b.pace) })
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

	// Guarded by in.mu.
	pace
	taken steps
	cut   bool
	waits chan struct{} // while it waits for memory; closed when it is cut
	piece int           // bytes of the present piece
}

// begin notes a request of size bytes that has taken memory.
func (in *Intake) begin(from Source, size int, taken steps) *arrival {
	in.mu.Lock()
	defer in.mu.Unlock()
	a := &arrival{in: in, from: from, pace: newPace(size, in.now()), taken: taken}
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
	a.moved(n, a.in.now(), &a.in.Haste)
	if a.piece += n; a.piece < pieceBytes {
		return false
	}
	a.piece = 0
	return true
}

// pause stops the request's clock while the server makes it wait. What it returns is
// closed when the request is cut.
func (a *arrival) pause() <-chan struct{} {
	a.in.mu.Lock()
	defer a.in.mu.Unlock()
	a.pace.pause(a.in.now())
	a.waits = make(chan struct{})
	if a.cut {
		close(a.waits)
	}
	return a.waits
}

func (a *arrival) resume() {
	a.in.mu.Lock()
	defer a.in.mu.Unlock()
	a.pace.resume(a.in.now())
	a.waits = nil
}

func (a *arrival) took(rung int, n int64) {
	a.in.mu.Lock()
	defer a.in.mu.Unlock()
	a.taken[rung] += n
}
