package memory

import (
	"math"
	"slices"
	"testing"
	"time"
)

// clocked are answers whose clock the test moves.
type clocked struct {
	*Outgoing
	at time.Time
}

func newClocked() *clocked {
	c := &clocked{NewOutgoing(), time.Unix(1000, 0)}
	c.now = func() time.Time { return c.at }
	return c
}

func (c *clocked) pass(seconds float64) {
	c.at = c.at.Add(time.Duration(seconds * float64(time.Second)))
}

// Who makes room is told by whether the client takes anything, and by how long it
// would still need.
func TestSlowReadersMakeRoom(t *testing.T) {
	const mb = 1 << 20
	for name, tc := range map[string]struct {
		take         func(c *clocked, s *Sending)
		slow, silent bool
	}{
		"just begun":           {take: func(c *clocked, _ *Sending) { c.pass(0.9) }},
		"nothing for a second": {take: func(c *clocked, _ *Sending) { c.pass(1) }, slow: true, silent: true},
		"stopped before its end": {take: func(c *clocked, s *Sending) {
			s.Took(10*mb - 1)
			c.pass(1)
		}, slow: true, silent: true},
		"steady": {take: func(c *clocked, s *Sending) {
			for range 8 {
				c.pass(0.5)
				s.Took(mb)
			}
		}},
		"in drops": {take: func(c *clocked, s *Sending) {
			for range 8 {
				c.pass(0.5)
				s.Took(100)
			}
		}, slow: true},
		"in drops after most of it": {take: func(c *clocked, s *Sending) {
			s.Took(9 * mb)
			for range 8 {
				c.pass(0.5)
				s.Took(100)
			}
		}, slow: true},
	} {
		t.Run(name, func(t *testing.T) {
			for _, look := range []struct {
				cut  func(*Outgoing, int64)
				want bool
			}{{(*Outgoing).CutSilent, tc.silent}, {(*Outgoing).CutSlow, tc.slow}} {
				c, cut := newClocked(), 0
				s := c.Begin(10*mb, func() { cut++ })
				tc.take(c, s)
				look.cut(c.Outgoing, 1)
				if cut > 0 != look.want || s.End() != look.want {
					t.Errorf("cut %d times, want it: %v", cut, look.want)
				}
			}
		})
	}
}

// No more are cut than it takes, the slowest first. One that does not end is told so
// again, and one that has ended is not.
func TestNoMoreAnswersAreCutThanItTakes(t *testing.T) {
	c := newClocked()
	var sendings []*Sending
	told := make([]int, 4)
	for i := range told {
		c.pass(0.01)
		sendings = append(sendings, c.Begin(100, func() { told[i]++ }))
	}
	look := func(wanted int64, want ...int) {
		t.Helper()
		c.pass(1)
		c.CutSlow(wanted)
		if !slices.Equal(told, want) {
			t.Fatalf("told %v, want %v", told, want)
		}
	}
	look(0, 0, 0, 0, 0)
	look(101, 1, 1, 0, 0)
	look(200, 2, 2, 0, 0) // they are on the way
	if !sendings[0].End() || sendings[3].End() {
		t.Error("an answer does not know what became of it")
	}
	look(100, 2, 3, 0, 0)
	look(math.MaxInt64, 2, 4, 1, 0)
	c.CutSlow(math.MaxInt64) // who waits beside the one that has just looked
	look(0, 2, 5, 2, 0)
}
