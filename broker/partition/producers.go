package partition

import (
	"fmt"
	"math"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/streamweir/streamweir/protocol/kafka"
)

// keptBatches is how many of a producer's last batches are remembered, so that
// a repeated one is answered with its first offset: a client may have five
// requests in flight (Kafka's max.in.flight.requests.per.connection).
const keptBatches = 5

// maxProducers bounds the producers that one partition remembers. Above it the
// one that was silent longest is forgotten, as if it had expired, but never one
// with an ongoing transaction.
const maxProducers = 100_000

// noOffset stands for an offset where there is none.
const noOffset = -1

// producerBatch is what is kept of one batch.
type producerBatch struct {
	firstSeq, lastSeq     int32
	baseOffset, timestamp int64
	lastOffset            int64
}

// producer is the state of one producer id in one partition.
type producer struct {
	epoch            int16
	n                uint8 // batches kept, newest last
	batches          [keptBatches]producerBatch
	coordinatorEpoch int32 // of its last marker; -1 where there was none
	txnFirst         int64 // first offset of its ongoing transaction, or noOffset
	lastTimestamp    int64 // of its last batch or marker
	lastSeen         int64 // clock time of its last append, or of the start
}

func newProducer() *producer {
	return &producer{epoch: kafka.NoProducerEpoch, coordinatorEpoch: -1, txnFirst: noOffset, lastTimestamp: kafka.NoTimestamp}
}

func (s *producer) lastSeq() int32 {
	if s.n == 0 {
		return kafka.NoSequence
	}
	return s.batches[s.n-1].lastSeq
}

func (s *producer) duplicate(epoch int16, first, last int32) *producerBatch {
	if epoch != s.epoch {
		return nil
	}
	for i := range s.batches[:s.n] {
		if b := &s.batches[i]; b.firstSeq == first && b.lastSeq == last {
			return b
		}
	}
	return nil
}

// take gives the producer another epoch; sequences begin anew with it.
func (s *producer) take(epoch int16) {
	if epoch != s.epoch {
		s.epoch, s.n = epoch, 0
	}
}

func (s *producer) add(epoch int16, b producerBatch) {
	s.take(epoch)
	if s.n == keptBatches {
		copy(s.batches[:], s.batches[1:])
		s.n--
	}
	s.batches[s.n] = b
	s.n++
	s.lastTimestamp = b.timestamp
}

// inTransaction says whether a transaction of this epoch is ongoing.
func (s *producer) inTransaction(epoch int16) bool {
	return s != nil && s.txnFirst != noOffset && s.epoch == epoch
}

// producers holds the producers and transactions of a partition up to offset
// end: a cache of the log. It is not safe for concurrent use.
type producers struct {
	end   int64
	epoch int32 // leader epoch of the last batch before end; -1 where there was none
	byID  map[int64]*producer
	txns  transactions
	index abortedIndex
}

func newProducers(start int64) *producers {
	return &producers{end: start, epoch: kafka.NoLeaderEpoch, byID: map[int64]*producer{}}
}

// get returns a producer that has not expired: one that was not seen since
// before is not known any more, unless its transaction is ongoing.
func (ps *producers) get(id, before int64) *producer {
	s := ps.byID[id]
	if s != nil && s.lastSeen < before && s.txnFirst == noOffset {
		delete(ps.byID, id)
		return nil
	}
	return s
}

// An admission is a batch that asks to be appended, with what is known of it.
type admission struct {
	batch kafka.Batch
	// client says that a client made the batch, so that it has sequence numbers.
	client bool
	// verified says that the coordinator knows of its transaction.
	verified bool
	// verification is what is known of the producer's transaction, or nil.
	verification *verification
}

// check says whether a batch with a producer id may be appended, by the rules of
// Apache Kafka's ProducerAppendInfo: nil, the earlier copy of it, or an error
// with Kafka's code.
func (ps *producers) check(a admission, before int64) (*producerBatch, error) {
	b := a.batch
	id, epoch, first := b.ProducerID(), b.ProducerEpoch(), b.BaseSequence()
	s := ps.get(id, before)
	if s != nil && a.client {
		if dup := s.duplicate(epoch, first, b.LastSequence()); dup != nil {
			return dup, nil
		}
	}
	if s != nil && epoch < s.epoch {
		return nil, staleEpoch(id, epoch, s.epoch)
	}
	if b.IsTransactional() && !s.inTransaction(epoch) && !a.verified {
		return nil, fmt.Errorf("%w: the batch of producer %d is not part of an ongoing transaction", kerr.InvalidTxnState, id)
	}
	if a.client {
		if err := a.checkSequence(s); err != nil {
			return nil, err
		}
	}
	if s != nil && s.txnFirst != noOffset && !b.IsTransactional() {
		return nil, fmt.Errorf("%w: producer %d has an ongoing transaction, and sent a batch outside of it", kerr.InvalidTxnState, id)
	}
	if s == nil && len(ps.txns.ongoing) >= maxProducers {
		return nil, fmt.Errorf("%w: %d producers have ongoing transactions", kerr.PolicyViolation, maxProducers)
	}
	return nil, nil
}

func staleEpoch(id int64, epoch, seen int16) error {
	return fmt.Errorf("%w: epoch %d of producer %d is below the last one seen, %d", kerr.InvalidProducerEpoch, epoch, id, seen)
}

// checkSequence checks the sequence number of a client's batch. Where nothing is
// known of its producer, perhaps because its records have expired, any sequence
// number is taken (KIP-360), unless the producer has begun its transaction with
// a new epoch (KIP-890).
func (a *admission) checkSequence(s *producer) error {
	id, epoch, first := a.batch.ProducerID(), a.batch.ProducerEpoch(), a.batch.BaseSequence()
	if v := a.verification; v != nil {
		if v.bumps && first != 0 && (s == nil || s.n == 0) {
			return fmt.Errorf("%w: producer %d began with sequence %d instead of 0", kerr.OutOfOrderSequenceNumber, id, first)
		}
		if first > v.lowest {
			return fmt.Errorf("%w: producer %d sent sequence %d, and %d before that is still to come",
				kerr.OutOfOrderSequenceNumber, id, first, v.lowest)
		}
	}
	if s == nil {
		return nil
	}
	if epoch != s.epoch {
		if first != 0 {
			return fmt.Errorf("%w: producer %d began epoch %d with sequence %d instead of 0",
				kerr.OutOfOrderSequenceNumber, id, epoch, first)
		}
		return nil
	}
	if last := s.lastSeq(); first != last+1 && (first != 0 || last != math.MaxInt32) {
		return fmt.Errorf("%w: producer %d sent sequence %d after %d",
			kerr.OutOfOrderSequenceNumber, id, first, last)
	}
	return nil
}

// checkMarker says whether the end of a transaction may be appended.
//
// With transaction version 2 the coordinator raises the epoch with each marker,
// so one with the producer's present epoch is late; but where no transaction is
// ongoing it is the same marker once more, which is let pass, and so is one with
// the largest epoch there is.
func (ps *producers) checkMarker(m *Marker) error {
	s := ps.byID[m.ProducerID]
	if s == nil {
		return nil
	}
	stale := m.ProducerEpoch < s.epoch
	if m.TransactionVersion >= 2 && m.ProducerEpoch == s.epoch {
		stale = s.txnFirst != noOffset && m.ProducerEpoch != math.MaxInt16
	}
	if stale {
		return fmt.Errorf("%w: the marker has epoch %d of producer %d; the last one seen is %d, with transaction version %d",
			kerr.InvalidProducerEpoch, m.ProducerEpoch, m.ProducerID, s.epoch, m.TransactionVersion)
	}
	if m.CoordinatorEpoch < s.coordinatorEpoch {
		return fmt.Errorf("%w: the marker for producer %d has coordinator epoch %d; the last one seen is %d",
			kerr.TransactionCoordinatorFenced, m.ProducerID, m.CoordinatorEpoch, s.coordinatorEpoch)
	}
	return nil
}

// add takes up a batch that was appended, or that was found in the log; of one
// without control records the header is enough. The error says that a control
// batch cannot be read.
func (ps *producers) add(b kafka.Batch, now int64) error {
	ps.end, ps.epoch = b.LastOffset()+1, b.PartitionLeaderEpoch()
	id := b.ProducerID()
	if id < 0 {
		return nil
	}
	var end kafka.EndMarker
	if b.IsControl() {
		m, ok, err := kafka.ParseEndMarker(b)
		if !ok {
			return err
		}
		end = m
	}
	s := ps.byID[id]
	if s == nil {
		if len(ps.byID) >= maxProducers {
			ps.forgetOldest()
		}
		s = newProducer()
		ps.byID[id] = s
	}
	s.lastSeen = now
	if b.IsControl() {
		ps.finish(id, s, b, end)
		return nil
	}
	s.add(b.ProducerEpoch(), producerBatch{
		firstSeq: b.BaseSequence(), lastSeq: b.LastSequence(),
		baseOffset: b.BaseOffset(), lastOffset: b.LastOffset(), timestamp: b.MaxTimestamp(),
	})
	// Compaction may have emptied the batch, and have removed the marker.
	if b.IsTransactional() && b.NumRecords() > 0 && s.txnFirst == noOffset {
		s.txnFirst = b.BaseOffset()
		ps.txns.begin(id, s.txnFirst)
	}
	return nil
}

// finish ends a producer's transaction.
func (ps *producers) finish(id int64, s *producer, b kafka.Batch, m kafka.EndMarker) {
	if s.txnFirst != noOffset {
		stable := ps.txns.end(s.txnFirst, b.LastOffset())
		if !m.Commit {
			ps.index.add(AbortedTxn{ProducerID: id, FirstOffset: s.txnFirst, LastOffset: b.LastOffset(), LastStableOffset: stable})
		}
		s.txnFirst = noOffset
	}
	s.take(b.ProducerEpoch())
	s.coordinatorEpoch, s.lastTimestamp = m.CoordinatorEpoch, b.MaxTimestamp()
}

// expire forgets the producers that were not seen since before.
func (ps *producers) expire(before int64) {
	for id, s := range ps.byID {
		if s.lastSeen < before && s.txnFirst == noOffset {
			delete(ps.byID, id)
		}
	}
}

func (ps *producers) forgetOldest() {
	var oldest int64
	seen := int64(math.MaxInt64)
	for id, s := range ps.byID {
		if s.lastSeen < seen && s.txnFirst == noOffset {
			oldest, seen = id, s.lastSeen
		}
	}
	if seen < math.MaxInt64 {
		delete(ps.byID, oldest)
	}
}
