package memory

import (
	"math"
	"slices"
	"sync"
	"time"
)

// Outgoing are answers on their way, which hold memory until their clients have taken
// them.
//
// As long as there is enough for all, a client may take its time. Once others wait,
// answers of which nothing is taken any more are cut off for them, and those that
// would take the longest.
type Outgoing struct {
	// Haste may be changed before the first answer.
	Haste Haste

	now func() time.Time

	mu      sync.Mutex
	sending map[*Sending]struct{}
	// When slow ones were last looked for, and silent ones.
	lookedSlow, lookedSilent time.Time
}

// Sending is an answer on its way to its client.
type Sending struct {
	pace // guarded by out.mu
	out  *Outgoing
	end  func()
	cut  bool // guarded by out.mu
}

// NewOutgoing returns a set of answers that is empty.
func NewOutgoing() *Outgoing {
	return &Outgoing{
		Haste: Haste{Patience: 250 * time.Millisecond, Silence: time.Second, Window: 2 * time.Second, Slow: 5 * time.Second},
		now:   time.Now, sending: map[*Sending]struct{}{},
	}
}

// Begin notes an answer of size bytes, which it holds until End. cut has to end what
// sends it; it is called, while that goes on, each time that somebody needs its memory.
func (o *Outgoing) Begin(size int, cut func()) *Sending {
	o.mu.Lock()
	defer o.mu.Unlock()
	s := &Sending{pace: newPace(size, o.now()), out: o, end: cut}
	o.sending[s] = struct{}{}
	return s
}

// Took notes that the client has taken n more bytes.
func (s *Sending) Took(n int) {
	s.out.mu.Lock()
	defer s.out.mu.Unlock()
	s.moved(n, s.out.now(), &s.out.Haste)
}

// End notes that the answer holds nothing any more, and says whether it was cut off.
func (s *Sending) End() (cut bool) {
	s.out.mu.Lock()
	defer s.out.mu.Unlock()
	delete(s.out.sending, s)
	return s.cut
}

// CutSlow ends the slowest answers, as many as it takes to give others what they wait
// for.
func (o *Outgoing) CutSlow(wanted int64) {
	for _, s := range o.choose(wanted, &o.lookedSlow, o.Haste.Slow.Seconds()) {
		s.end()
	}
}

// CutSilent ends only answers of which nothing is taken any more: for others that do
// not wait, but get less than they could.
func (o *Outgoing) CutSilent(wanted int64) {
	for _, s := range o.choose(wanted, &o.lookedSilent, math.MaxFloat64) {
		s.end()
	}
}

// choose marks the slowest of the answers that need more than slowFrom seconds, until
// together they hold the wanted bytes, and returns all that are marked.
func (o *Outgoing) choose(wanted int64, looked *time.Time, slowFrom float64) (cut []*Sending) {
	o.mu.Lock()
	defer o.mu.Unlock()
	now := o.now()
	if !o.Haste.due(now, looked) {
		return nil
	}
	var slow []*Sending
	for s := range o.sending {
		if s.cut {
			wanted -= int64(s.size) // on the way
			cut = append(cut, s)
			continue
		}
		if s.measure(now, &o.Haste); s.left > slowFrom {
			slow = append(slow, s)
		}
	}
	slices.SortFunc(slow, func(a, b *Sending) int { return slowest(&a.pace, &b.pace) })
	for _, s := range slow {
		if wanted <= 0 {
			break
		}
		wanted -= int64(s.size)
		s.cut = true
		cut = append(cut, s)
	}
	return cut
}
