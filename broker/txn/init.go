package txn

import (
	"maps"
	"math"

	"github.com/twmb/franz-go/pkg/kerr"
)

// An initialization is an InitProducerId request with a transactional id.
type initialization struct {
	id        string
	timeoutMs int32
	expected  expected
	reply     func(producerID int64, epoch int16, err *kerr.Error)
}

// check refuses what no coordinator would take.
func (r *initialization) check(cfg *Config) *kerr.Error {
	switch {
	case r.id == "":
		return kerr.InvalidRequest
	case (r.expected.producerID == noProducerID) != (r.expected.epoch == noProducerEpoch):
		return kerr.InvalidRequest
	case r.timeoutMs <= 0 || r.timeoutMs > cfg.MaxTimeoutMs:
		return kerr.InvalidTransactionTimeout
	}
	return nil
}

func (r *initialization) refuse(err *kerr.Error) { r.reply(noProducerID, noProducerEpoch, err) }

// initialize serves InitProducerId: it gives the id to the sender and fences
// whoever had it before.
func (s *shard) initialize(st *step, r *initialization) {
	refuse := func(err *kerr.Error) { st.reply(func() { r.refuse(err) }) }
	t := s.txns[r.id]
	if t == nil {
		if s.full() {
			refuse(kerr.PolicyViolation)
			return
		}
		producerID, err := st.newProducerID()
		if err != nil {
			refuse(err)
			return
		}
		t = s.add(clone(r.id), created(producerID, r.timeoutMs, st.ms()))
	}
	switch {
	case t.busy():
		refuse(kerr.ConcurrentTransactions)
	case !t.admits(r.expected):
		refuse(kerr.ProducerFenced)
	case t.state == Ongoing:
		// The sender asks again, and gets its epoch when the transaction of
		// the one before is undone.
		st.note(t, "a new producer aborts the transaction of the one before it")
		s.fence(st, t, func(st *step, err *kerr.Error) {
			if err == nil {
				s.stats.Fenced++
				err = kerr.ConcurrentTransactions
			}
			st.reply(func() { r.refuse(err) })
		})
	default:
		s.hand(st, t, r)
	}
}

// hand gives a transactional id without a transaction to the sender.
func (s *shard) hand(st *step, t *transaction, r *initialization) {
	var next metadata
	var err *kerr.Error
	if t.rotates(r.expected) {
		var producerID int64
		if producerID, err = st.newProducerID(); err == nil {
			next = t.rotated(producerID, r.expected, r.timeoutMs, st.ms())
		}
	} else {
		next, err = t.raised(r.expected, r.timeoutMs, st.ms())
	}
	if err != nil {
		st.reply(func() { r.refuse(err) })
		return
	}
	s.transit(st, t, next, func(st *step, err *kerr.Error) {
		if err != nil {
			st.reply(func() { r.refuse(err) })
			return
		}
		s.stats.Initialized++
		st.reply(func() { r.reply(next.producerID, next.epoch, nil) })
	})
}

// fence aborts an open transaction, with an epoch that its producer does not
// know.
func (s *shard) fence(st *step, t *transaction, then func(st *step, err *kerr.Error)) {
	next, err := t.decide(st, PrepareAbort, Version)
	if err != nil {
		then(st, err)
		return
	}
	s.transit(st, t, next, then)
}

// decide is the transaction on its way to be committed or aborted.
func (t *transaction) decide(st *step, state State, version int16) (next metadata, err *kerr.Error) {
	producerID := int64(noProducerID)
	if version >= clientVersion2 && exhausted(t.epoch) {
		if producerID, err = st.newProducerID(); err != nil {
			return next, err
		}
	}
	return t.prepared(state, version, producerID, st.ms()), nil
}

// noTimeout is the timeout of a transaction that another system decides on: it
// is as long as that takes.
const noTimeout = math.MaxInt32

// abortOverdue aborts the transactions that are over their timeout.
func (s *shard) abortOverdue(st *step) {
	for _, t := range sorted(maps.Keys(s.open)) {
		if t.busy() || t.timeoutMs == noTimeout || t.started+int64(t.timeoutMs) >= st.ms() {
			continue
		}
		st.note(t, "a transaction is over its timeout and is aborted")
		s.fence(st, t, func(st *step, err *kerr.Error) {
			if err == nil {
				s.stats.TimedOut++
			} // else the next look finds it again
		})
	}
}
