package memory

import (
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestRungsLeaveSomethingForTheNext(t *testing.T) {
	b := newLadder(90, 3)
	for i, step := range []struct {
		rung int
		n    int64
		want bool
	}{
		{0, 30, true}, {0, 1, false}, // the rest is for those above
		{1, 29, true}, {1, 2, false}, {1, 1, true}, {1, 1, false}, {0, 1, false},
		{2, 29, true}, {2, 2, false}, {2, 1, true}, {2, 1, false}, {1, 1, false}, {0, 1, false},
	} {
		if got := b.try(step.rung, step.n); got != step.want {
			t.Errorf("step %d: granted: %v", i, got)
		}
	}
	b.release(steps{0, 30, 30})
	if b.try(0, 31) || !b.try(1, 31) || b.try(1, 1) {
		t.Error("one alone may have more than there is, and no other")
	}
	b.release(steps{30, 31})
	if !b.try(2, 80) || !b.try(0, 10) || b.try(0, 1) {
		t.Error("the last step may take what the others do not need")
	}
}

func TestHigherRungsAreServedFirst(t *testing.T) {
	b := newLadder(90, 3)
	if !b.try(0, 30) || !b.try(2, 60) {
		t.Fatal("no memory")
	}
	low, high := b.ask(0, 1), b.ask(2, 70)
	b.release(steps{0, 0, 5})
	if granted(low) || b.try(0, 1) {
		t.Error("served past one that waits for its last step")
	}
	if !high.Withdraw() || granted(low) {
		t.Error("granted more than the rung may have")
	}
	b.release(steps{1})
	if !granted(low) || b.Wanted() != 0 {
		t.Error("not served")
	}
}

// Whatever the requests need and in whatever order they go on, they never all wait
// for each other, and take no more than the budget and one of the largest.
func TestRungsNeverWaitForEachOtherForEver(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const rungs = 5
		limit := rapid.Int64Range(5, 2000).Draw(t, "limit")
		b := newLadder(limit, rungs)
		type request struct {
			steps  []int64
			taken  steps
			step   int
			waits  *Ticket
			silent bool // it goes no further until all the others wait or are
		}
		var all []*request
		var largest int64
		for range rapid.IntRange(1, 40).Draw(t, "requests") {
			r := &request{silent: rapid.Bool().Draw(t, "silent")}
			size := rapid.Int64Range(1, 1024).Draw(t, "size")
			for had, next := int64(0), int64(4); had < size; next *= 4 {
				r.steps = append(r.steps, min(next, size)-had)
				had = min(next, size)
			}
			largest = max(largest, size)
			all = append(all, r)
		}
		rungOf := func(r *request) int {
			if r.step > 0 && r.step == len(r.steps)-1 {
				return rungs - 1
			}
			return r.step
		}
		for len(all) > 0 {
			var ready []int
			for i, r := range all {
				if r.waits != nil && granted(r.waits) {
					r.taken[rungOf(r)] = r.steps[r.step]
					r.waits, r.step = nil, r.step+1
				}
				if r.waits == nil {
					ready = append(ready, i)
				}
			}
			if b.Used() > limit+largest*4/3 {
				t.Fatalf("%d are taken of %d, with requests of up to %d", b.Used(), limit, largest)
			}
			if len(ready) == 0 {
				t.Fatalf("%d requests wait for each other", len(all))
			}
			i := rapid.SampledFrom(ready).Draw(t, "next")
			if r := all[i]; r.step == len(r.steps) || r.silent && len(ready) == 1 {
				b.release(r.taken) // answered, or cut
				all = append(all[:i], all[i+1:]...)
			} else {
				r.waits = b.ask(rungOf(r), r.steps[r.step])
			}
		}
		if b.Used() != 0 || b.Wanted() != 0 {
			t.Fatalf("%d are taken, %d wanted", b.Used(), b.Wanted())
		}
	})
}

// Requests of which all has come but the end held what their first steps had taken,
// waited for the last one, and were found silent one by one.
func TestStalledRequestsThatWaitForEachOtherEndTogether(t *testing.T) {
	// step is what they wait for in the end: of it, there is always room for as many at a
	// time as fit the part of its rung, whoever holds the rest.
	for name, tc := range map[string]struct{ n, size, came, step int }{
		"before the end":      {400, 100 << 10, 100<<10 - 1, 36 << 10},
		"after a small part":  {400, 2 << 20, 16 << 10, 48 << 10},
		"after a larger part": {400, 2 << 20, 64 << 10, 192 << 10},
	} {
		t.Run(name, func(t *testing.T) {
			const memory = 6 << 20
			var mu sync.Mutex
			now := time.Unix(1000, 0)
			in := NewIntake(memory, 2<<20, func() {})
			in.now = func() time.Time { mu.Lock(); defer mu.Unlock(); return now }
			in.Haste.Patience = time.Hour // the test says when
			var ended atomic.Int64
			read := func(s Source, done chan<- error) {
				q, err := in.Read(s, tc.size, 0)
				q.Release()
				ended.Add(1)
				done <- err
			}
			cut, good := make(chan error, tc.n), make(chan error, 1)
			var all []*stalled
			for range tc.n {
				s := newStalled(tc.came)
				all = append(all, s)
				go read(s, cut)
			}
			awaitRest(in, all, &ended, tc.n)
			go read(&source{Reader: strings.NewReader(strings.Repeat("x", tc.size))}, good)
			rounds, most := 0, 2+tc.n/(memory/len(in.budget.rungs)/tc.step)
			for awaitRest(in, all, &ended, tc.n+1); len(good) == 0; awaitRest(in, all, &ended, tc.n+1) {
				if rounds++; rounds > most {
					t.Fatalf("only %d of %d have ended", ended.Load(), tc.n)
				}
				if used := in.Used(); used > memory {
					t.Fatalf("%d bytes are taken", used)
				}
				mu.Lock()
				now = now.Add(time.Second)
				mu.Unlock()
				in.mu.Lock()
				in.relieved = time.Time{} // longer ago
				in.mu.Unlock()
				in.relieve()
			}
			t.Logf("%d rounds, at most %d", rounds, most)
			if err := <-good; err != nil {
				t.Error(err)
			}
			for ended.Load() < int64(tc.n+1) {
				for _, s := range all {
					s.end()
				}
			}
			for range tc.n {
				if err := <-cut; err == nil {
					t.Error("a request was taken that did not come")
				}
			}
			if in.Used() != 0 || in.budget.Wanted() != 0 {
				t.Errorf("%d bytes are still taken, %d wanted", in.Used(), in.budget.Wanted())
			}
		})
	}
}

// awaitRest returns when of n requests those that have not ended wait for a byte or
// for memory.
func awaitRest(in *Intake, all []*stalled, ended *atomic.Int64, n int) {
	for {
		rest := ended.Load()
		for _, s := range all {
			if s.silent() {
				rest++
			}
		}
		in.budget.mu.Lock()
		for i := range in.budget.rungs {
			rest += int64(in.budget.rungs[i].waiters.Len())
		}
		in.budget.mu.Unlock()
		if rest == int64(n) {
			return
		}
		runtime.Gosched()
	}
}
