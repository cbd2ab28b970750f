package kafkaapi

import (
	"cmp"
	"errors"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/streamweir/streamweir/broker/memory"
)

// intake is a share of the memory for requests, and the requests that are on
// their way into it.
//
// A client that sends a request slowly, or stops in the middle, holds the memory
// of what it has sent. As long as there is enough for all, that disturbs nobody,
// and it has pieceTime for each piece. Once others have waited for memory, the
// requests that would take the longest to arrive make room for them.
type intake struct {
	budget *memory.Budget
	// overdraft is for one frame at a time that goes over the budget: frames that
	// have begun must not wait for each other for ever.
	overdraft chan struct{}
	metrics   *metrics
	haste     haste
	now       func() time.Time

	mu       sync.Mutex
	arriving map[*arrival]struct{}
}

// haste says when slow requests make room.
type haste struct {
	// patience is how long a request waits for memory before others that arrive
	// slowly are closed for it.
	patience time.Duration
	// window is over what time the rate of a request is taken.
	window time.Duration
	// slow is how long a request may still need to arrive without being slow.
	slow time.Duration
}

func defaultHaste() haste {
	return haste{patience: time.Second, window: 2 * time.Second, slow: 5 * time.Second}
}

// errTooSlow ends a connection whose request makes room for others.
var errTooSlow = errors.New("its request arrived too slowly while others waited for memory (queued.max.request.bytes)")

func newIntake(bytes int64, m *metrics) *intake {
	return &intake{
		budget: memory.NewBudget(bytes), overdraft: make(chan struct{}, 1), metrics: m,
		haste: defaultHaste(), now: time.Now, arriving: map[*arrival]struct{}{},
	}
}

// granted is the outcome of a wait for memory.
type granted struct {
	ok    bool
	drawn bool // by the overdraft; nothing was taken from the budget
}

// await takes n bytes of the budget, waiting for them if it must. Where overdraft
// is given, having that will do as well.
func (in *intake) await(n int64, overdraft chan struct{}, gone <-chan struct{}) granted {
	if in.budget.TryAcquire(n) {
		return granted{ok: true}
	}
	in.metrics.memoryWaits.Inc()
	ticket := in.budget.Ask(n)
	hurry := time.NewTicker(in.haste.patience)
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
			in.relieve()
		case <-gone:
			if !ticket.Withdraw() {
				in.budget.Release(n)
			}
			return granted{}
		}
	}
}

// extend takes n more bytes for a frame that has begun.
func (in *intake) extend(f *frame, a *arrival, n int64) bool {
	if f.drawn {
		return true
	}
	a.pause()
	g := in.await(n, in.overdraft, f.c.gone)
	a.resume()
	if !g.ok {
		return false
	}
	if f.drawn = g.drawn; !f.drawn {
		f.took(n)
		a.took(n)
	}
	return true
}

// relieve closes the connections of the slowest requests, as many as it takes to
// give those who wait for memory what they wait for.
func (in *intake) relieve() {
	for _, c := range in.choose(in.budget.Wanted()) {
		c.close()
	}
}

// choose marks the slowest requests, until together they have the wanted bytes.
func (in *intake) choose(wanted int64) (cut []*conn) {
	in.mu.Lock()
	defer in.mu.Unlock()
	now := in.now()
	var slow []*arrival
	for a := range in.arriving {
		if a.cut {
			wanted -= a.taken // its memory is on the way
			continue
		}
		a.measure(now)
		if a.left() > in.haste.slow.Seconds() {
			slow = append(slow, a)
		}
	}
	slices.SortFunc(slow, func(a, b *arrival) int { return cmp.Compare(b.left(), a.left()) })
	for _, a := range slow {
		if wanted <= 0 {
			break
		}
		wanted -= a.taken
		a.cut = true
		cut = append(cut, a.c)
	}
	return cut
}

// arrival is a request whose bytes are arriving.
type arrival struct {
	in   *intake
	c    *conn
	size int

	// Guarded by in.mu.
	read  int
	taken int64
	cut   bool
	piece int // bytes of the present piece
	// rate is how many bytes a second came in the last window, infinite before the
	// first has passed. The present one began at since, with before bytes; while
	// the server itself makes the request wait, it stands still at until.
	rate         float64
	since, until time.Time
	before       int
}

// begin notes a request of size bytes of which taken bytes of memory are for.
func (in *intake) begin(c *conn, size int, taken int64) *arrival {
	in.mu.Lock()
	defer in.mu.Unlock()
	a := &arrival{in: in, c: c, size: size, taken: taken, rate: math.Inf(1), since: in.now()}
	in.arriving[a] = struct{}{}
	return a
}

func (in *intake) end(a *arrival) {
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
	a.measure(a.in.now())
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
	if passed := now.Sub(a.since); passed >= a.in.haste.window {
		a.rate = float64(a.read-a.before) / passed.Seconds()
		a.since, a.before = now, a.read
	}
}

// left is how many seconds the request still takes at its rate.
func (a *arrival) left() float64 { return float64(a.size-a.read) / a.rate }

// pause stops the request's clock while the server makes it wait.
func (a *arrival) pause() {
	a.in.mu.Lock()
	defer a.in.mu.Unlock()
	a.until = a.in.now()
}

func (a *arrival) resume() {
	a.in.mu.Lock()
	defer a.in.mu.Unlock()
	a.since, a.until = a.since.Add(a.in.now().Sub(a.until)), time.Time{}
}

func (a *arrival) took(n int64) {
	a.in.mu.Lock()
	defer a.in.mu.Unlock()
	a.taken += n
}
