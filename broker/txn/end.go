package txn

import (
	"math"

	"github.com/twmb/franz-go/pkg/kerr"
)

// An endRequest is EndTxn.
type endRequest struct {
	producer
	commit  bool
	version int16 // the client's transaction version
	// reply gets what the producer goes on with: noProducerID to a client of
	// version 0, which goes on with what it has.
	reply func(producerID int64, epoch int16, err *kerr.Error)
}

func (r *endRequest) refuse(err *kerr.Error) { r.reply(noProducerID, noProducerEpoch, err) }

// decision is where the request wants the transaction to go.
func (r *endRequest) decision() (prepare, complete State) {
	if r.commit {
		return PrepareCommit, CompleteCommit
	}
	return PrepareAbort, CompleteAbort
}

// verdict is what is to be done about an EndTxn.
type verdict uint8

const (
	refuse verdict = iota // with an error
	done                  // it was done before; the answer was lost
	decide                // the transaction is decided now
)

// endTxn serves EndTxn. The answer leaves when the decision is durable; the
// markers follow.
func (s *shard) endTxn(st *step, r *endRequest) {
	t := s.get(r.id)
	if t == nil {
		err := kerr.InvalidProducerIDMapping
		if r.id == "" {
			err = kerr.InvalidRequest
		}
		st.reply(func() { r.refuse(err) })
		return
	}
	judge := t.judge
	if r.version >= clientVersion2 {
		judge = t.judge2
	}
	var next metadata
	what, err := judge(r)
	if what == decide {
		prepare, _ := r.decision()
		next, err = t.decide(st, prepare, r.version)
	}
	switch {
	case err != nil:
		st.reply(func() { r.refuse(err) })
	case what == done:
		producerID, epoch := r.goesOn(&t.metadata)
		st.reply(func() { r.reply(producerID, epoch, nil) })
	default:
		s.transit(st, t, next, func(st *step, err *kerr.Error) {
			if err != nil {
				st.reply(func() { r.refuse(err) })
				return
			}
			producerID, epoch := r.goesOn(&next)
			st.reply(func() { r.reply(producerID, epoch, nil) })
		})
	}
}

func (r *endRequest) goesOn(m *metadata) (producerID int64, epoch int16) {
	if r.version < clientVersion2 {
		return noProducerID, noProducerEpoch
	}
	return m.successor()
}

// judge decides about the request of a client of transaction version 0.
func (t *transaction) judge(r *endRequest) (verdict, *kerr.Error) {
	_, complete := r.decision()
	switch {
	case t.producerID != r.producerID:
		return refuse, kerr.InvalidProducerIDMapping
	case t.epoch != r.epoch:
		return refuse, kerr.ProducerFenced
	case t.busy():
		return refuse, kerr.ConcurrentTransactions
	case t.state == Ongoing:
		return decide, nil
	case t.state == complete:
		return done, nil
	}
	return refuse, kerr.InvalidTxnState
}

// judge2 decides about the request of a client of transaction version 2, where
// each end raises the epoch: a request with the epoch before is a repeated one.
// (Apache Kafka 4.3 believes that also where the epoch was raised by a new
// producer of version 0; here the last end must have been one of version 2.)
// Abort is allowed without a transaction, since such a client does not always
// know whether it has one.
func (t *transaction) judge2(r *endRequest) (verdict, *kerr.Error) {
	_, complete := r.decision()
	// The epochs may have been used up, and the producer has not heard of its
	// new producer id.
	rotated := t.prevProducerID == r.producerID && r.epoch == math.MaxInt16-1 && t.epoch == 0
	raised := t.epoch == r.epoch+1
	repeated := (raised || rotated) && t.version >= clientVersion2
	valid := t.epoch == r.epoch
	if t.state == CompleteCommit || t.state == CompleteAbort {
		valid = valid || repeated
	}
	switch {
	case t.busy():
		return refuse, kerr.ConcurrentTransactions
	case t.producerID != r.producerID && !rotated:
		return refuse, kerr.InvalidProducerIDMapping
	case !valid:
		return refuse, kerr.ProducerFenced
	case t.state == Ongoing:
		return decide, nil
	case t.state == complete && repeated:
		return done, nil
	case t.state.resting() && !r.commit && !repeated:
		return decide, nil
	}
	return refuse, kerr.InvalidTxnState
}
