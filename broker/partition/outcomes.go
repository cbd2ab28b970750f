package partition

import (
	"sort"

	"github.com/streamweir/streamweir/protocol/kafka"
)

// outcome is what became of the transaction that a batch belongs to.
type outcome int8

const (
	committed outcome = iota
	aborted
	unknown // its end cannot be read
)

// outcomes are the transactions in a part of the log that did not commit, or of
// which that is not known: by producer, in order of offset.
type outcomes struct {
	byProducer map[int64][]txnRange
}

type txnRange struct {
	from, to int64 // inclusive; to is the marker's offset
	outcome  outcome
}

// of says what became of the batch of a producer at offset.
func (o *outcomes) of(producer, offset int64) outcome {
	rs := o.byProducer[producer]
	i := sort.Search(len(rs), func(i int) bool { return rs[i].to >= offset })
	if i < len(rs) && rs[i].from <= offset {
		return rs[i].outcome
	}
	return committed
}

// txnFinder gathers outcomes from the batches of a log in order.
type txnFinder struct {
	outcomes
	open map[int64]int64 // producer to first offset
}

func newTxnFinder() *txnFinder {
	return &txnFinder{outcomes: outcomes{byProducer: map[int64][]txnRange{}}, open: map[int64]int64{}}
}

// data takes up a batch with records of a transaction.
func (f *txnFinder) data(producer, offset int64) {
	if _, ok := f.open[producer]; !ok {
		f.open[producer] = offset
	}
}

// marker takes up the end of a transaction.
func (f *txnFinder) marker(producer, offset int64, t kafka.ControlType) {
	from, ok := f.open[producer]
	if !ok || t != kafka.ControlAbort && t != kafka.ControlCommit {
		return
	}
	delete(f.open, producer)
	if t == kafka.ControlAbort {
		f.add(producer, txnRange{from, offset, aborted})
	}
}

// unreadable takes up a batch that may have been the marker of any transaction.
func (f *txnFinder) unreadable(offset int64) {
	for producer, from := range f.open {
		f.add(producer, txnRange{from, offset, unknown})
	}
	clear(f.open)
}

func (f *txnFinder) add(producer int64, r txnRange) {
	f.byProducer[producer] = append(f.byProducer[producer], r)
}
