package memory

import (
	"errors"
	"io"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"
)

// Who makes room is told by how long a request would still take, not by how much
// of it has come: one that stops in front of its end holds the most.
func TestSlowestRequestsMakeRoom(t *testing.T) {
	const mb = 1 << 20
	now := time.Unix(1000, 0)
	// Each looks at the request again and again, as those do who wait for memory.
	for name, tc := range map[string]struct {
		size int
		come func(a *arrival, look func(seconds float64))
		want bool // it is closed
	}{
		"fast": {size: 100 * mb, come: func(a *arrival, look func(float64)) {
			for range 12 {
				a.arrived(8 * mb)
				look(0.25)
			}
		}},
		"stopped before its end": {size: 100 * mb, want: true, come: func(a *arrival, look func(float64)) {
			a.arrived(100*mb - 1)
			look(1)
		}},
		"only just stopped": {size: 100 * mb, come: func(a *arrival, look func(float64)) {
			a.arrived(100*mb - 1)
			look(0.5)
			look(0.4)
		}},
		"stopped for a moment again and again": {size: 4 * mb, come: func(a *arrival, look func(float64)) {
			for range 4 {
				a.arrived(mb - 1)
				look(0.9)
			}
		}},
		"in drops, shortly before its end": {size: mb, want: true, come: func(a *arrival, look func(float64)) {
			a.arrived(mb - 1000)
			for range 10 {
				look(0.5)
				a.arrived(1)
			}
		}},
		"large, and not fast enough": {size: 100 * mb, want: true, come: func(a *arrival, look func(float64)) {
			for range 10 {
				a.arrived(mb)
				look(0.5)
			}
		}},
		"of that rate, but not large": {size: 12 * mb, come: func(a *arrival, look func(float64)) {
			for range 10 {
				a.arrived(mb)
				look(0.5)
			}
		}},
		"small, stopped": {size: 100, want: true, come: func(_ *arrival, look func(float64)) { look(1) }},
		"reads without a byte": {size: 100, want: true, come: func(a *arrival, look func(float64)) {
			look(0.9)
			a.arrived(0)
			look(0.1)
		}},
		"the server makes it wait": {size: mb, come: func(a *arrival, look func(float64)) {
			a.arrived(pieceBytes)
			a.pause()
			look(30)
			look(30)
			a.resume()
			look(0.9)
		}},
		"slow, and the server makes it wait": {size: 10 * mb, want: true, come: func(a *arrival, look func(float64)) {
			now = now.Add(10 * time.Second)
			a.arrived(pieceBytes)
			a.pause()
			look(0)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			in := NewIntake(mb, 100*mb, func() {})
			in.now = func() time.Time { return now }
			closed := false
			tc.come(in.begin(nil, tc.size, steps{mb}), func(seconds float64) {
				now = now.Add(time.Duration(seconds * float64(time.Second)))
				closed = len(in.choose(&steps{mb})) > 0 || closed
			})
			if closed != tc.want {
				t.Errorf("closed: %v", closed)
			}
		})
	}
}

// No more are closed than it takes, the slowest first, and those that are on
// their way out count. What they give back must be of the step that is waited for,
// or of one before it.
func TestNoMoreMakeRoomThanItTakes(t *testing.T) {
	in := NewIntake(1000, 5000, func() {})
	now := time.Unix(1000, 0)
	in.now = func() time.Time { return now }
	var arrivals []*arrival
	for i := range 5 {
		a := in.begin(nil, 5000, steps{300, 200})
		a.arrived(i) // the first is the slowest
		arrivals = append(arrivals, a)
	}
	now = now.Add(2 * time.Second)
	for i, step := range []struct {
		wanted steps
		want   []*arrival
	}{
		{steps{0, 500}, arrivals[:1]}, {steps{0, 500}, nil}, {steps{0, 501}, arrivals[1:2]}, {steps{600, 400}, nil}, {steps{}, nil},
		{steps{601}, arrivals[2:3]}, {steps{0, 0, 1500}, nil}, {steps{0, 0, 1501}, arrivals[3:4]}, {steps{5000}, arrivals[4:]}, {steps{5000}, nil},
	} {
		if got := in.choose(&step.wanted); !slices.Equal(got, step.want) {
			t.Errorf("step %d: %d are closed, or others than the slowest; want %d", i, len(got), len(step.want))
		}
	}
	for _, a := range arrivals {
		in.end(a)
	}
	if len(in.arriving) > 0 {
		t.Error("requests are noted that have ended")
	}
}

// source is a Source that gives out its text.
type source struct {
	io.Reader
	pieces int
	held   int64
	gone   chan struct{}
}

func (s *source) Piece()                { s.pieces++ }
func (s *source) Took(n int64)          { s.held += n }
func (s *source) Cut()                  {}
func (s *source) Gone() <-chan struct{} { return s.gone }

func TestRequestsAreReadWhole(t *testing.T) {
	const most = 1 << 20
	for _, size := range []int{0, 1, 1000, firstStep - 1, firstStep, firstStep + 1, 4*firstStep - 1, most - 1, most} {
		text := strings.Repeat("abcdefg", size/7+1)[:size]
		for how, open := range map[string]func(io.Reader) io.Reader{
			"at once": func(r io.Reader) io.Reader { return r }, "in halves": iotest.HalfReader, "with the end": iotest.DataErrReader,
		} {
			in := NewIntake(2*most, most+1, func() {})
			for name, read := range map[string]func(*source) (Request, error){
				"of a known size":    func(s *source) (Request, error) { return in.Read(s, size, 0) },
				"that is here":       func(s *source) (Request, error) { return in.Read(s, size, size) },
				"of an unknown size": func(s *source) (Request, error) { return in.ReadAll(s, most) },
			} {
				s := &source{Reader: open(strings.NewReader(text))}
				q, err := read(s)
				if err != nil || string(q.Buf.B) != text {
					t.Errorf("%d bytes %s, %s: %v", size, name, how, err)
					continue
				}
				if s.held != in.Used() || s.held < int64(size) {
					t.Errorf("%d bytes %s, %s: %d of memory are noted, %d taken", size, name, how, s.held, in.Used())
				}
				q.Release()
				q.Release()
				if s.held != 0 || in.Used() != 0 {
					t.Errorf("%d bytes %s, %s: %d and %d of memory are not given back", size, name, how, s.held, in.Used())
				}
			}
		}
	}
}

func TestRequestsThatDoNotArrive(t *testing.T) {
	broken := errors.New("broken")
	closed := make(chan struct{})
	close(closed)
	in := NewIntake(1000, 1000, func() {})
	for name, c := range map[string]struct {
		read func() (Request, error)
		want error
	}{
		"cut off":   {func() (Request, error) { return in.Read(&source{Reader: strings.NewReader("abc")}, 4, 0) }, io.ErrUnexpectedEOF},
		"not here":  {func() (Request, error) { return in.Read(&source{Reader: strings.NewReader("abc")}, 4, 4) }, io.ErrUnexpectedEOF},
		"broken":    {func() (Request, error) { return in.ReadAll(&source{Reader: iotest.ErrReader(broken)}, 10) }, broken},
		"too large": {func() (Request, error) { return in.ReadAll(&source{Reader: strings.NewReader("0123456789x")}, 10) }, ErrTooLarge},
		"just so":   {func() (Request, error) { return in.ReadAll(&source{Reader: strings.NewReader("0123456789")}, 10) }, nil},
		"gone before": {func() (Request, error) {
			in.budget.TryAcquire(1000)
			defer in.budget.Release(1000)
			return in.Read(&source{Reader: strings.NewReader("abc"), gone: closed}, 3, 0)
		}, ErrGone},
	} {
		q, err := c.read()
		if !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
		q.Release()
		if in.Used() != 0 {
			t.Errorf("%s: %d bytes are still taken", name, in.Used())
		}
	}
}

// stalled is a Source of which have bytes come and no more until it is cut.
type stalled struct {
	source
	have  int
	waits chan struct{} // closed when it waits for a byte
	cut   chan struct{}
}

func newStalled(have int) *stalled {
	return &stalled{have: have, waits: make(chan struct{}), cut: make(chan struct{})}
}

func (s *stalled) Cut() { close(s.cut) }

// silent says whether it waits for a byte.
func (s *stalled) silent() bool {
	select {
	case <-s.cut:
		return false
	default:
	}
	select {
	case <-s.waits:
		return true
	default:
		return false
	}
}

// end cuts it unless it has been.
func (s *stalled) end() {
	select {
	case <-s.cut:
	default:
		s.Cut()
	}
}

func (s *stalled) Read(b []byte) (int, error) {
	if n := min(len(b), s.have); n > 0 {
		s.have -= n
		return n, nil
	}
	close(s.waits)
	<-s.cut
	return 0, errors.New("cut")
}

// Requests that were announced and did not come took the memory of as many whole
// ones, and kept everybody else waiting.
func TestAnnouncedRequestsTakeNoMoreThanTheirFirstStep(t *testing.T) {
	for _, tc := range []struct {
		size, came int
		want       int64
	}{{16 << 10, 0, 4 << 10}, {100, 0, 100}, {16 << 20, 0, 4 << 10}, {16 << 20, 4 << 10, 16 << 10}, {16 << 20, 100 << 10, 256 << 10}} {
		in := NewIntake(1<<30, 1<<30, func() {})
		s := newStalled(tc.came)
		ended := make(chan error)
		go func() {
			_, err := in.Read(s, tc.size, 0)
			ended <- err
		}()
		<-s.waits
		if used := in.Used(); used != tc.want {
			t.Errorf("%d bytes are taken for a request of %d of which %d have come", used, tc.size, tc.came)
		}
		s.Cut()
		if err := <-ended; err == nil || in.Used() != 0 {
			t.Errorf("%v, and %d bytes are taken", err, in.Used())
		}
	}
}

// One that waits is served as soon as those before it have been silent for a
// second, also when they have been here for no longer than that, and although more
// of them wait in front of it.
func TestStalledRequestsMakeRoomAtOnce(t *testing.T) {
	var mu sync.Mutex
	now := time.Unix(1000, 0)
	in := NewIntake(20*firstStep, 4*firstStep, func() {}) // half of it for first steps
	in.now = func() time.Time { mu.Lock(); defer mu.Unlock(); return now }
	in.Haste.Patience = time.Hour // the test says when
	ended := make(chan error)
	read := func(s Source) {
		q, err := in.Read(s, 4*firstStep, 0)
		q.Release()
		ended <- err
	}
	var first, behind []*stalled
	for i := range 10 {
		s := newStalled(i % 2)
		first = append(first, s)
		go read(s)
		<-s.waits
	}
	for range 5 {
		s := newStalled(0)
		behind = append(behind, s)
		go read(s)
	}
	awaitWanted(in, 5*firstStep)
	good := make(chan error)
	go func() {
		q, err := in.Read(&source{Reader: strings.NewReader(strings.Repeat("x", firstStep))}, firstStep, firstStep)
		q.Release()
		good <- err
	}()
	awaitWanted(in, 6*firstStep)
	pass := func(d time.Duration) { mu.Lock(); now = now.Add(d); mu.Unlock(); in.relieve() }
	pass(900 * time.Millisecond)
	if in.budget.Wanted() != 6*firstStep {
		t.Fatal("requests were closed that had not been silent for a second")
	}
	in.mu.Lock()
	in.relieved = time.Time{} // longer ago
	in.mu.Unlock()
	pass(100 * time.Millisecond)
	if err := <-good; err != nil {
		t.Error(err)
	}
	for range 6 { // as many as it takes
		if err := <-ended; !errors.Is(err, ErrTooSlow) {
			t.Error(err)
		}
	}
	for _, s := range behind {
		<-s.waits // it has its turn
	}
	for _, s := range append(first, behind...) {
		if s.silent() {
			s.Cut()
			<-ended
		}
	}
	if in.Used() != 0 {
		t.Errorf("%d bytes are still taken", in.Used())
	}
}

// awaitWanted returns when so many bytes are waited for.
func awaitWanted(in *Intake, n int64) {
	for in.budget.Wanted() != n {
		runtime.Gosched()
	}
}

// A request that waits for its next step ends when it is cut, although its source
// is not read meanwhile: cutting a stream does not end the others of its connection.
func TestCutWhileItWaitsForMemory(t *testing.T) {
	in := NewIntake(4*firstStep, 4*firstStep, func() {})
	in.Haste.Patience = time.Hour
	if !in.budget.try(1, 2*firstStep) {
		t.Fatal("no memory")
	}
	s := newStalled(firstStep)
	ended := make(chan error)
	go func() {
		_, err := in.Read(s, 4*firstStep, 0)
		ended <- err
	}()
	awaitWanted(in, 3*firstStep)
	in.Haste.Silence = 0 // from now on it is slow
	in.relieve()
	if err := <-ended; !errors.Is(err, ErrTooSlow) || in.Used() != 2*firstStep {
		t.Errorf("%v, %d bytes are taken", err, in.Used())
	}
}
