package txn

import (
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
)

// producer is who sends a request, by its own account.
type producer struct {
	id         string // transactional id
	producerID int64
	epoch      int16
}

// An addition brings partitions into a transaction; the first one begins it.
type addition struct {
	producer
	partitions []TopicPartition
	version    int16 // the client's transaction version
	reply      func(err *kerr.Error)
}

// waiting is an addition that came while the transaction was changing.
type waiting struct {
	*addition
	until time.Time
}

// addPartitions serves AddPartitionsToTxn, AddOffsetsToTxn and the produce
// requests of version 2, which add their partitions by themselves.
//
// Where the transaction before is just ending, the answer waits for that, for a
// while: a client that gets CONCURRENT_TRANSACTIONS pauses for longer.
func (s *shard) addPartitions(st *step, r *addition) {
	t := s.get(r.id)
	switch {
	case r.id == "":
		st.reply(func() { r.reply(kerr.InvalidRequest) })
	case t == nil:
		st.reply(func() { r.reply(kerr.InvalidProducerIDMapping) })
	default:
		s.addAll(st, t, []waiting{{r, st.now.Add(s.cfg.AddWait)}})
	}
}

// mayAdd says whether the sender may add to the transaction now.
func (t *transaction) mayAdd(p producer) *kerr.Error {
	switch {
	case t.busy():
		// First of all: the producer may have a producer id that is still on
		// its way to the log.
		return kerr.ConcurrentTransactions
	case t.producerID != p.producerID:
		return kerr.InvalidProducerIDMapping
	case t.epoch != p.epoch:
		return kerr.ProducerFenced
	}
	return nil
}

// addAll adds what several requests ask for with one record, so that the
// partitions of one produce request do not wait for each other.
func (s *shard) addAll(st *step, t *transaction, requests []waiting) {
	var joined []waiting
	var version int16
	ps := t.partitions
	for _, r := range requests {
		err := t.mayAdd(r.producer)
		if err == kerr.ConcurrentTransactions && r.until.After(st.now) {
			s.park(st, t, r)
			continue
		}
		if err == nil && (t.state != Ongoing || !t.partitions.hasAll(r.partitions)) {
			var more partitions
			if more, err = s.within(t, ps.with(r.partitions)); err == nil {
				ps, version = more, r.version
				joined = append(joined, r)
				continue
			}
		}
		st.reply(func() { r.reply(err) })
	}
	if len(joined) == 0 {
		return
	}
	s.transit(st, t, t.adding(ps, version, st.ms()), func(st *step, err *kerr.Error) {
		for _, r := range joined {
			st.reply(func() { r.reply(err) })
		}
	})
}

// within refuses a set of partitions that is over the limits.
func (s *shard) within(t *transaction, ps partitions) (partitions, *kerr.Error) {
	if ps.count() > s.cfg.MaxPartitions {
		return nil, kerr.PolicyViolation
	}
	n := size(t.id, &metadata{partitions: ps})
	if n > s.cfg.MaxRecordBytes || s.total.bytes.Load()+n-t.bytes > s.cfg.MaxBytes {
		return nil, kerr.PolicyViolation
	}
	return ps, nil
}

// park lets an addition wait for the end of the present change.
func (s *shard) park(st *step, t *transaction, r waiting) {
	t.waiting = append(t.waiting, r)
	if len(t.waiting) == 1 {
		st.set(&t.patience, r.until.Sub(st.now))
	}
}

// resume lets those go on that waited.
func (s *shard) resume(st *step, t *transaction) {
	if rs := t.takeWaiting(st); len(rs) > 0 {
		s.addAll(st, t, rs)
	}
}

func (t *transaction) takeWaiting(st *step) []waiting {
	rs := t.waiting
	if len(rs) > 0 {
		t.waiting = nil
		st.cancel(&t.patience)
	}
	return rs
}

// giveUp answers those that have waited for long enough: with
// CONCURRENT_TRANSACTIONS, unless the change is through at this very moment.
func (s *shard) giveUp(st *step, t *transaction) {
	rs := t.waiting
	t.waiting = nil
	s.addAll(st, t, rs)
}

// release answers those that wait with an error.
func (s *shard) release(st *step, t *transaction, err *kerr.Error) {
	for _, r := range t.takeWaiting(st) {
		st.reply(func() { r.reply(err) })
	}
}

// verify says, for each partition, whether it is in the sender's transaction.
// Changes that are under way do not count: the partition looks again when it
// appends.
func (s *shard) verify(p producer, tps []TopicPartition) []*kerr.Error {
	errs := make([]*kerr.Error, len(tps))
	t := s.get(p.id)
	var all *kerr.Error
	switch {
	case p.id == "":
		all = kerr.InvalidRequest
	case t == nil || t.producerID != p.producerID:
		all = kerr.InvalidProducerIDMapping
	case t.epoch != p.epoch:
		all = kerr.ProducerFenced
	case t.state.preparing():
		all = kerr.ConcurrentTransactions
	}
	for i, tp := range tps {
		if errs[i] = all; all == nil && !t.partitions.has(tp) {
			errs[i] = kerr.TransactionAbortable
		}
	}
	return errs
}
