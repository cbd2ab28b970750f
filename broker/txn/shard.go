package txn

import (
	"cmp"
	"fmt"
	"iter"
	"maps"
	"slices"
	"sync/atomic"

	"github.com/twmb/franz-go/pkg/kerr"
)

// A shard is the state of one partition of __transaction_state, as a pure state
// machine: see the package's documentation. Its methods are called one at a
// time, with the time and the actions so far in a step.
type shard struct {
	cfg   *Config
	epoch int32 // the coordinator's epoch: the leader epoch of the partition
	txns  map[string]*transaction
	// open holds the transactions that are Ongoing.
	open                   map[*transaction]struct{}
	timeouts, expiry       timer
	timeoutsSet, expirySet bool
	resigned               bool
	stats                  Stats
	// total counts what all shards of the coordinator hold.
	total *total
}

// total is what the limits of a coordinator are on.
type total struct {
	ids   atomic.Int64
	bytes atomic.Int64
}

func newShard(cfg *Config, epoch int32, sum *total) *shard {
	return &shard{
		cfg: cfg, epoch: epoch, total: sum,
		txns: make(map[string]*transaction), open: make(map[*transaction]struct{}),
		timeouts: timer{kind: timerTimeouts}, expiry: timer{kind: timerExpiry},
	}
}

// A transaction is a transactional id and the transaction of its producer, if
// there is one. What it holds is durable, but for one whose epoch is
// noProducerEpoch: its first record is on its way.
type transaction struct {
	id string
	metadata
	// pending is the state that is on its way to the log; nothing else happens
	// to the transaction until it is there or was refused.
	pending    State
	hasPending bool
	ending     *ending   // the markers of a decided transaction
	waiting    []waiting // requests for when the present change is through
	retry      timer
	patience   timer // of those that wait
	bytes      int64 // counted in total
}

// busy says that the transaction is on its way to another state: its record is
// on the way to the log, or markers are on the way to its partitions.
func (t *transaction) busy() bool { return t.hasPending || t.ending != nil }

// full says whether the coordinator takes no further transactional id.
func (s *shard) full() bool {
	return s.total.ids.Load() >= int64(s.cfg.MaxIDs) || s.total.bytes.Load() >= s.cfg.MaxBytes
}

// get finds a transactional id that the log knows; nil if there is none.
func (s *shard) get(id string) *transaction {
	if t := s.txns[id]; t != nil && t.epoch != noProducerEpoch {
		return t
	}
	return nil
}

// sorted goes over transactional ids in order, so that the same events always
// cause the same actions.
func sorted(ts iter.Seq[*transaction]) []*transaction {
	return slices.SortedFunc(ts, func(a, b *transaction) int { return cmp.Compare(a.id, b.id) })
}

// add makes an id known, in place of one with the same name.
func (s *shard) add(id string, m metadata) *transaction {
	if old := s.txns[id]; old != nil {
		s.remove(old)
	}
	t := &transaction{id: id, metadata: m}
	t.retry, t.patience = timer{kind: timerRetry, txn: t}, timer{kind: timerWaiting, txn: t}
	s.txns[id] = t
	s.stats.Transactions[m.state]++
	s.total.ids.Add(1)
	s.account(t)
	return t
}

// remove forgets an id.
func (s *shard) remove(t *transaction) {
	delete(s.txns, t.id)
	delete(s.open, t)
	s.stats.Transactions[t.state]--
	s.total.ids.Add(-1)
	s.total.bytes.Add(-t.bytes)
}

// account notes what follows from what t holds.
func (s *shard) account(t *transaction) {
	n := size(t.id, &t.metadata)
	s.total.bytes.Add(n - t.bytes)
	t.bytes = n
	if t.state == Ongoing {
		s.open[t] = struct{}{}
	} else {
		delete(s.open, t)
	}
}

// arm sets the timers of the shard that are needed and not set.
func (s *shard) arm(st *step) {
	if len(s.open) > 0 && !s.timeoutsSet {
		s.timeoutsSet = true
		st.set(&s.timeouts, s.cfg.TimeoutsCheck)
	}
	if len(s.txns) > 0 && !s.expirySet {
		s.expirySet = true
		st.set(&s.expiry, s.cfg.ExpirationCheck)
	}
}

// A transition is a transaction on its way to its next state.
type transition struct {
	t    *transaction
	next metadata
	then func(st *step, err *kerr.Error) // answers; nil if nobody waits
}

func (e *transition) String() string {
	text := fmt.Sprintf("%s %d/%d", e.next.state, e.next.producerID, e.next.epoch)
	if e.next.nextProducerID != noProducerID {
		text += fmt.Sprintf(" then %d/0", e.next.nextProducerID)
	}
	for _, tp := range e.next.partitions.all() {
		text += fmt.Sprintf(" %s:%d", tp.Topic, tp.Partition)
	}
	return text
}

// transit asks for the record of the next state. Nothing changes until it is
// durable.
func (s *shard) transit(st *step, t *transaction, next metadata, then func(st *step, err *kerr.Error)) {
	if t.hasPending || !next.state.follows(t.state) {
		// The log would be led into a state that no reader understands.
		panic(fmt.Sprintf("transactional id %q: %s cannot follow %s (another change under way: %t)", t.id, next.state, t.state, t.hasPending))
	}
	t.pending, t.hasPending = next.state, true
	st.append(&entry{
		id: t.id, records: []record{{transactionKey(t.id), next.value()}},
		effect: &transition{t: t, next: next, then: then},
	})
}

func (e *transition) durable(s *shard, st *step) {
	t := e.t
	t.hasPending = false
	s.stats.Transactions[t.state]--
	t.metadata = e.next
	s.stats.Transactions[t.state]++
	s.account(t)
	s.arm(st)
	if e.then != nil {
		e.then(st, nil)
	}
	switch {
	case s.resigned:
		return // whoever loads the shard next goes on
	case t.state.preparing():
		s.beginEnding(st, t)
	case t.state == CompleteCommit:
		s.stats.Commits++
		t.ending = nil
	case t.state == CompleteAbort:
		s.stats.Aborts++
		t.ending = nil
	}
	s.resume(st, t)
}

func (e *transition) failed(s *shard, st *step, err *kerr.Error) {
	t := e.t
	t.hasPending = false
	if e.then != nil {
		e.then(st, err)
	}
	if t.epoch == noProducerEpoch {
		s.remove(t) // the log has never heard of it
		return
	}
	if !s.resigned {
		s.resume(st, t)
	}
}

// appended is the event that an append has ended: err is nil, or what clients
// get to see.
func (s *shard) appended(st *step, e *entry, err *kerr.Error) {
	if err == nil {
		s.stats.Appends++
		e.effect.durable(s, st)
		return
	}
	s.stats.FailedAppends++
	e.effect.failed(s, st, err)
}

// fire is the event that a timer has run out.
func (s *shard) fire(st *step, t *timer) {
	switch t.kind {
	case timerTimeouts:
		s.timeoutsSet = false
		s.abortOverdue(st)
		s.arm(st)
	case timerExpiry:
		s.expirySet = false
		s.expire(st)
		s.arm(st)
	case timerRetry:
		s.retryEnding(st, t.txn)
	case timerWaiting:
		s.giveUp(st, t.txn)
	}
}

// resign ends every wait, because this coordinator serves the shard no more.
// Records that are on their way end and are answered; what follows from them is
// for the next coordinator.
func (s *shard) resign(st *step) {
	s.resigned = true
	for _, t := range sorted(maps.Values(s.txns)) {
		s.release(st, t, kerr.NotCoordinator)
	}
}
