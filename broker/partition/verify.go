package partition

import (
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
)

// verification is what a partition knows of a transaction between the first
// question to its coordinator and its first record, or its marker (KIP-890).
type verification struct {
	guard   uint64
	started int64 // ms
	epoch   int16
	lowest  int32 // sequence number: none above it may come first
	bumps   bool  // the client raises its epoch with each transaction
	asking  bool
	begun   bool                            // the transaction has a record; others still wait for the answer
	waiting []func(guard uint64, err error) // in the order of their batches
}

// maxVerifications bounds the transactions of one partition that have been asked
// about but have no record yet.
const maxVerifications = 10_000

// A Verification is a transactional batch that shall be appended.
type Verification struct {
	ProducerID int64
	Epoch      int16
	Sequence   int32
	// Bumps says that the client raises its epoch with each transaction.
	Bumps bool
}

// Verify has the transaction coordinator asked about a batch, unless its
// transaction is ongoing here, and then calls then: with an error, or with the
// guard that the batch's Request needs. The guard says that no marker was written
// in between: that would have ended the transaction that the coordinator knew of.
//
// ask is called where the coordinator has to be asked; it calls done with the
// answer. Batches of the same producer that come meanwhile wait for that answer,
// so that they stay in order.
func (p *Partition) Verify(v Verification, ask func(done func(error)), then func(guard uint64, err error)) {
	if err := p.lockLoaded(); err != nil {
		then(0, clientError(err))
		return
	}
	if x := p.verifying[v.ProducerID]; x != nil && x.asking && x.epoch == v.Epoch {
		x.lowest = min(x.lowest, v.Sequence)
		x.waiting = append(x.waiting, then)
		p.mu.Unlock()
		return
	}
	s := p.producers.byID[v.ProducerID]
	if s != nil && v.Epoch < s.epoch {
		p.mu.Unlock()
		then(0, staleEpoch(v.ProducerID, v.Epoch, s.epoch))
		return
	}
	if s.inTransaction(v.Epoch) {
		p.mu.Unlock()
		then(0, nil)
		return
	}
	x := p.startVerification(v)
	if x == nil {
		p.mu.Unlock()
		then(0, fmt.Errorf("%w: %d transactions wait for their first record in %s", kerr.NotEnoughReplicas, maxVerifications, p.id))
		return
	}
	x.asking = true
	x.waiting = append(x.waiting, then)
	p.mu.Unlock()
	ask(func(err error) { p.verified(v.ProducerID, x, err) })
}

// startVerification makes a verification, or takes up the one that is there. It
// returns nil where there are too many.
func (p *Partition) startVerification(v Verification) *verification {
	x := p.verifying[v.ProducerID]
	if x != nil && !x.asking {
		if v.Epoch > x.epoch {
			x.epoch, x.lowest = v.Epoch, v.Sequence
		} else if v.Epoch == x.epoch {
			x.lowest = min(x.lowest, v.Sequence)
		}
		return x
	}
	if x == nil && len(p.verifying) >= maxVerifications {
		return nil
	}
	if p.verifying == nil {
		p.verifying = map[int64]*verification{}
	}
	p.guards++
	x = &verification{guard: p.guards, started: p.m.now().UnixMilli(), epoch: v.Epoch, lowest: v.Sequence, bumps: v.Bumps}
	p.verifying[v.ProducerID] = x
	return x
}

// verified passes the coordinator's answer on to all who wait for it, in order.
// Those who come meanwhile are among them.
func (p *Partition) verified(producerID int64, x *verification, err error) {
	for {
		p.mu.Lock()
		waiting := x.waiting
		x.waiting = nil
		if len(waiting) == 0 {
			x.asking = false
			if x.begun && p.verifying[producerID] == x {
				delete(p.verifying, producerID)
			}
			p.mu.Unlock()
			return
		}
		p.mu.Unlock()
		for _, then := range waiting {
			then(x.guard, err)
		}
	}
}

// endVerification forgets a verification once its transaction has a record or a
// marker. The marker of a transaction leaves the verification of the next one,
// which has its epoch, where the client raises epochs: the coordinator may have
// begun it before the marker was written. The caller holds the lock.
func (p *Partition) endVerification(producerID int64, epoch int16, marker bool) {
	x := p.verifying[producerID]
	switch {
	case x == nil || marker && x.bumps && x.epoch == epoch:
	case x.asking && !marker:
		x.begun = true // those behind it stay in order
	default:
		delete(p.verifying, producerID)
	}
}

// expireVerifications forgets those that nothing came of.
func (p *Partition) expireVerifications(before int64) {
	for id, x := range p.verifying {
		if x.started < before && !x.asking {
			delete(p.verifying, id)
		}
	}
}

// NeedsVerification says whether the transaction coordinator has to confirm
// that this partition is part of the producer's transaction before a batch of
// it is appended: it is false where that transaction is ongoing here already.
func (p *Partition) NeedsVerification(producerID int64, epoch int16) bool {
	if p.lockLoaded() != nil {
		return true
	}
	defer p.mu.Unlock()
	return !p.producers.byID[producerID].inTransaction(epoch)
}
