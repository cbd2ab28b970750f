package workload

import (
	"sync"
	"time"

	"github.com/streamweir/streamweir/integration/history/checker"
)

// recorder writes a round's history down.
type recorder struct {
	began time.Time // of the run

	mu sync.Mutex
	h  checker.History
}

// now is the run's clock.
func (r *recorder) now() checker.Time { return time.Since(r.began) }

// writer registers a client that sends.
func (r *recorder) writer(name string, kind checker.Kind) int32 {
	r.mu.Lock()
	defer r.mu.Unlock()
	id := int32(len(r.h.Writers) + 1)
	r.h.Writers = append(r.h.Writers, checker.Writer{ID: id, Name: name, Kind: kind})
	return id
}

func (r *recorder) send(s checker.Send) {
	if s.Outcome == checker.Unknown {
		s.End = checker.Never // it may still arrive
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.h.Sends = append(r.h.Sends, s)
}

// full says that the round has reached its largest size.
func (r *recorder) full() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.h.Sends) >= maxRecords
}

func (r *recorder) txn(t checker.Txn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.h.Txns = append(r.h.Txns, t)
}

func (r *recorder) poll(p checker.Poll) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.h.Polls = append(r.h.Polls, p)
}

func (r *recorder) bounds(b checker.Bounds) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.h.Bounds = append(r.h.Bounds, b)
}

func (r *recorder) commit(c checker.Commit) {
	if c.Outcome == checker.Unknown {
		c.End = checker.Never
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.h.Commits = append(r.h.Commits, c)
}

func (r *recorder) fetched(f checker.Fetched) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.h.Fetched = append(r.h.Fetched, f)
}

func (r *recorder) await(a checker.Await) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.h.Awaits = append(r.h.Awaits, a)
}

func (r *recorder) listing(l checker.Listing) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.h.Listings = append(r.h.Listings, l)
}

func (r *recorder) reshard(op checker.Reshard) {
	if op.Outcome == checker.Unknown {
		op.End = checker.Never
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.h.Reshards = append(r.h.Reshards, op)
}

// lastCommitted is the largest offset of a record that was acknowledged in a
// partition and is certain to be shown to those who read committed records; -1
// for none.
func (r *recorder) lastCommitted(on checker.Partition) int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	type txn struct{ writer, n int32 }
	committed := map[txn]bool{}
	for _, t := range r.h.Txns {
		committed[txn{t.Writer, t.N}] = t.Outcome == checker.OK
	}
	last := int64(-1)
	for _, s := range r.h.Sends {
		if s.To == on && s.Outcome == checker.OK && (s.Txn == 0 || committed[txn{s.ID.Writer, s.Txn}]) {
			last = max(last, s.Offset)
		}
	}
	return last
}

func (r *recorder) event(e checker.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.h.Events = append(r.h.Events, e)
}

func (r *recorder) drained(group string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.h.Drained = append(r.h.Drained, group)
}

// history is what was written. Nobody writes any more when it is called.
func (r *recorder) history() *checker.History {
	r.mu.Lock()
	defer r.mu.Unlock()
	return &r.h
}
