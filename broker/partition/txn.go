package partition

import (
	"github.com/twmb/franz-go/pkg/kerr"
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

// WriteMarker appends the control batch that ends a transaction.
func (p *Partition) WriteMarker(m Marker) {
	p.AppendMarker(m, func(_ int64, err error) { m.Done(err) })
}

// AppendMarker is WriteMarker for a caller that needs the marker's offset; it
// calls done in place of m.Done.
func (p *Partition) AppendMarker(m Marker, done func(offset int64, err error)) {
	done(-1, kerr.InvalidTxnState)
}

// NeedsVerification says whether the transaction coordinator has to confirm
// that this partition is part of the producer's transaction before a batch of
// it is appended: it is false where that transaction is ongoing here already.
func (p *Partition) NeedsVerification(producerID int64, epoch int16) bool { return true }

// ProducerState is what DescribeProducers tells of a producer.
type ProducerState struct {
	ProducerID       int64
	Epoch            int16
	LastSequence     int32 // -1 where none is known
	LastTimestamp    int64 // of its last batch or marker
	CoordinatorEpoch int32 // -1 where no marker is known
	TxnStartOffset   int64 // first offset of its ongoing transaction; -1 for none
}

// DescribeProducers lists the producers that the partition remembers, by id.
func (p *Partition) DescribeProducers() ([]ProducerState, error) { return nil, nil }
