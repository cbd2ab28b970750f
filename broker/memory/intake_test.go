package memory

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"testing"
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
		want bool // it is cut off
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
			look(1) // the window in which most of it came
			look(1)
			look(1)
		}},
		"only just stopped": {size: 100 * mb, come: func(a *arrival, look func(float64)) {
			a.arrived(100*mb - 1)
			look(1)
			look(1)
			look(1)
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
		"of unknown size, coming": {size: -1, come: func(a *arrival, look func(float64)) {
			for range 10 {
				a.arrived(mb)
				look(0.5)
			}
		}},
		"of unknown size, stopped": {size: -1, want: true, come: func(a *arrival, look func(float64)) {
			a.arrived(mb)
			look(2)
			look(2)
		}},
		"small, stopped": {size: 100, want: true, come: func(_ *arrival, look func(float64)) { look(2) }},
		"the server makes it wait": {size: mb, come: func(a *arrival, look func(float64)) {
			a.arrived(pieceBytes)
			a.pause()
			look(30)
			look(30)
			a.resume()
			look(1)
		}},
		"slow, and the server makes it wait": {size: 10 * mb, want: true, come: func(a *arrival, look func(float64)) {
			now = now.Add(10 * time.Second)
			a.arrived(pieceBytes)
			a.pause()
			look(0)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			in := NewIntake(mb, func() {})
			in.now = func() time.Time { return now }
			a := &arrival{part: &in.large, size: tc.size}
			in.large.begin(a, mb)
			closed := false
			tc.come(a, func(seconds float64) {
				now = now.Add(time.Duration(seconds * float64(time.Second)))
				closed = len(in.large.choose(mb)) > 0 || closed
			})
			if closed != tc.want {
				t.Errorf("cut off: %v", closed)
			}
		})
	}
}

// No more are cut off than it takes, the slowest first, and those that are on
// their way out count.
func TestNoMoreMakeRoomThanItTakes(t *testing.T) {
	in := NewIntake(1000, func() {})
	now := time.Unix(1000, 0)
	in.now = func() time.Time { return now }
	p := &in.usual
	var all []*arrival
	for i := range 3 {
		a := &arrival{part: p, size: 5000}
		p.begin(a, 500)
		a.arrived(i) // the first is the slowest
		all = append(all, a)
	}
	now = now.Add(2 * time.Second)
	for i, step := range []struct {
		wanted int64
		want   []*arrival
	}{{500, all[:1]}, {500, nil}, {501, all[1:2]}, {1000, nil}, {0, nil}, {5000, all[2:]}, {5000, nil}} {
		if got := p.choose(step.wanted); !slices.Equal(got, step.want) {
			t.Errorf("step %d: %d are cut off, or others than the slowest; want %d", i, len(got), len(step.want))
		}
	}
	for _, a := range all {
		if !p.end(a) {
			t.Error("one was cut off and does not know it")
		}
	}
	if len(p.arriving) > 0 {
		t.Error("requests are noted that have ended")
	}
}

// dripping gives a request's bytes a piece at a time, and counts deadlines.
type dripping struct {
	left, step int
	asked      int
	err        error // at the end of left
}

func (d *dripping) Read(b []byte) (int, error) {
	n := min(d.left, d.step, len(b))
	if d.left -= n; n == 0 {
		return 0, d.err
	}
	for i := range n {
		b[i] = 7
	}
	return n, nil
}

func TestIntakeReadsWholeRequests(t *testing.T) {
	const mb = 1 << 20
	for name, tc := range map[string]struct {
		size, comes, most int
		err               error // of Read
	}{
		"nothing":                {size: 0, most: 10},
		"small":                  {size: 100, comes: 100, most: 100},
		"large":                  {size: 5*mb + 3, comes: 6 * mb, most: 10 * mb},
		"larger than the budget": {size: 30 * mb, comes: 30 * mb, most: 30 * mb},
		"too large":              {size: 11, comes: 11, most: 10, err: ErrTooLarge},
		"cut short":              {size: 1000, comes: 999, most: 1000, err: io.ErrUnexpectedEOF},
		"of unknown size":        {size: -1, comes: 3*mb + 1, most: 4 * mb},
		"of unknown size, full":  {size: -1, comes: 4 * mb, most: 4 * mb},
		"of unknown size, more":  {size: -1, comes: 4*mb + 1, most: 4 * mb, err: ErrTooLarge},
		"of unknown size, none":  {size: -1, comes: 0, most: 4 * mb},
	} {
		t.Run(name, func(t *testing.T) {
			in := NewIntake(16*mb, func() {})
			d := &dripping{left: tc.comes, step: 100_000, err: io.EOF}
			q, err := in.Read(Source{Reader: d, Deadline: func(time.Duration) { d.asked++ }, Cut: func() {}}, tc.size, tc.most)
			if !errors.Is(err, tc.err) {
				t.Fatal(err)
			}
			if tc.err == nil {
				want := tc.size
				if want < 0 {
					want = tc.comes
				}
				if got := len(q.Buf.B); got != want || bytes.Count(q.Buf.B, []byte{7}) != want {
					t.Errorf("%d bytes, want %d", got, want)
				}
				if most := want/pieceBytes + 12; d.asked > most {
					t.Errorf("%d deadlines for %d bytes", d.asked, want)
				}
				q.Release()
			}
			q.Release()
			if in.Used() != 0 || in.Wanted() != 0 {
				t.Errorf("%d bytes are still taken, %d wanted", in.Used(), in.Wanted())
			}
		})
	}
}

// A request that has been cut off is not answered, even if its last byte came at
// the same moment.
func TestCutOffRequestsAreNotTaken(t *testing.T) {
	in := NewIntake(16<<20, func() {})
	cuts := 0
	src := Source{
		Reader: readerFunc(func(b []byte) (int, error) {
			for a := range in.small.arriving {
				a.rate = 0 // slow
			}
			for _, a := range in.small.choose(1) {
				a.source.Cut()
			}
			return len(b), nil
		}),
		Deadline: func(time.Duration) {}, Cut: func() { cuts++ },
	}
	if _, err := in.Read(src, 1000, 1000); !errors.Is(err, ErrSlow) || cuts != 1 || in.Used() != 0 {
		t.Errorf("%v, cut %d times, %d bytes taken", err, cuts, in.Used())
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(b []byte) (int, error) { return f(b) }
