package partition

import (
	"errors"
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/streamweir/streamweir/protocol/kafka"
	"github.com/streamweir/streamweir/storage"
)

// Marker ends a producer's transaction in a partition.
type Marker struct {
	ProducerID       int64
	ProducerEpoch    int16
	CoordinatorEpoch int32
	Commit           bool // or abort
	// TransactionVersion is the producer's transaction.version feature: from 2 on
	// the coordinator raises the epoch with every marker (KIP-890).
	TransactionVersion int8
	// Done is called exactly once: with nil when the marker is durable, or with an
	// error that wraps a *kerr.Error. It may be called before WriteMarker returns,
	// and must not block.
	Done func(error)
}

// WriteMarker appends the control batch that ends a transaction. It does so too
// where the partition knows of none: the coordinator may write a marker twice.
func (p *Partition) WriteMarker(m Marker) {
	p.AppendMarker(m, func(_ int64, err error) { m.Done(err) })
}

// AppendMarker is WriteMarker for a caller that needs the marker's offset; it
// calls done in place of m.Done.
func (p *Partition) AppendMarker(m Marker, done func(offset int64, err error)) {
	if err := p.m.store.Health(); err != nil && !errors.Is(err, storage.ErrNoSpace) {
		done(-1, p.refusal(err).Err)
		return
	}
	if m.ProducerID < 0 || m.ProducerEpoch < 0 {
		done(-1, p.refusal(fmt.Errorf("%w: a marker for producer %d with epoch %d", kerr.InvalidRequest, m.ProducerID, m.ProducerEpoch)).Err)
		return
	}
	now := p.m.now().UnixMilli()
	o := kafka.BatchOptions{Producer: &kafka.Producer{ID: m.ProducerID, Epoch: m.ProducerEpoch}}
	x := &pending{marker: &m, internal: true, result: Result{LogAppendTime: -1}}
	if p.topic.Load().Settings.LogAppendTime {
		o.TimestampType, o.LogAppendTime, x.result.LogAppendTime = kafka.LogAppendTime, now, now
	}
	b, err := kafka.BuildEndMarker(nil, o, now, kafka.EndMarker{Commit: m.Commit, CoordinatorEpoch: m.CoordinatorEpoch})
	if err != nil {
		done(-1, p.refusal(err).Err)
		return
	}
	x.batch, x.done = b, func(r Result) { done(r.BaseOffset, r.Err) }
	p.queue(x, now)
}

// ProducerState is what DescribeProducers tells of a producer.
type ProducerState struct {
	ProducerID       int64
	Epoch            int16
	LastSequence     int32 // -1 where none is known
	LastTimestamp    int64 // of its last batch or marker
	CoordinatorEpoch int32 // -1 where no marker is known
	TxnStartOffset   int64 // first offset of its ongoing transaction; -1 for none
	// LastOffset is that of its last batch with records; -1 where none is known.
	// Compaction keeps that batch, if need be without its records, so that the
	// producer's sequence can be read from the log again.
	LastOffset int64
}

// DescribeProducers lists the producers that the partition remembers, by id.
func (p *Partition) DescribeProducers() ([]ProducerState, error) {
	if err := p.lockLoaded(); err != nil {
		return nil, clientError(err)
	}
	defer p.mu.Unlock()
	if p.gone {
		return nil, kerr.NotLeaderForPartition
	}
	p.producers.expire(p.m.now().UnixMilli() - p.m.expireProducers().Milliseconds())
	out := make([]ProducerState, 0, len(p.producers.byID))
	for id, s := range p.producers.byID {
		st := ProducerState{
			ProducerID: id, Epoch: s.epoch, LastSequence: s.lastSeq(), LastTimestamp: s.lastTimestamp,
			CoordinatorEpoch: s.coordinatorEpoch, TxnStartOffset: s.txnFirst, LastOffset: -1,
		}
		if s.n > 0 {
			st.LastOffset = s.batches[s.n-1].lastOffset
		}
		out = append(out, st)
	}
	slices.SortFunc(out, func(a, b ProducerState) int { return int(a.ProducerID - b.ProducerID) })
	return out, nil
}

// StableOffsets are Offsets with the exact last stable offset, for which the
// state of producers may have to be read first.
func (p *Partition) StableOffsets() (Offsets, error) {
	if err := p.lockLoaded(); err != nil {
		return p.Offsets(), clientError(err)
	}
	defer p.mu.Unlock()
	return p.offsets(), nil
}

// Aborted returns the aborted transactions that have records in the range from,
// upTo, in the order of their markers. upTo is not above the last stable offset,
// so that there is no transaction in the range of which it is not known yet
// whether it will be aborted. It is what a read-committed fetch is answered with,
// and what compaction leaves records out by.
func (p *Partition) Aborted(from, upTo int64) ([]AbortedTxn, error) {
	for again := true; ; again = false {
		if err := p.lockLoaded(); err != nil {
			return nil, clientError(err)
		}
		chunks, recent := p.producers.index.find(from, upTo)
		p.mu.Unlock()
		found, err := p.collectAborted(chunks, recent, from, upTo)
		switch {
		case err == nil:
			return found, nil
		case !again || !errors.Is(err, errIndex):
			return nil, clientError(fmt.Errorf("aborted transactions of %s-%d: %w", p.topic.Load().Name, p.id.Index, err))
		}
		p.distrustSaved()
	}
}

func (p *Partition) collectAborted(chunks []abortedChunk, recent []AbortedTxn, from, upTo int64) ([]AbortedTxn, error) {
	if len(chunks) == 0 {
		return recent, nil
	}
	var found []AbortedTxn
	for _, c := range chunks {
		txns, err := p.loadAborted(c)
		if err != nil {
			return nil, err
		}
		found = appendAborted(found, txns, from, upTo)
	}
	return append(found, recent...), nil
}
