package partition

import (
	"math"
	"slices"
)

// transactions are those that hold back the last stable offset of a partition.
type transactions struct {
	ongoing []ongoingTxn // by first offset, which is the order in which they began
	// ended are those whose marker is appended but not known to be durable, in the
	// order of their markers. One that began after, and ends before, another is
	// left out: it never decides. So first offsets rise, and the first of them is
	// the least.
	ended []endedTxn
}

type ongoingTxn struct{ first, producerID int64 }

type endedTxn struct{ first, last int64 }

func (t *transactions) begin(producerID, first int64) {
	t.ongoing = append(t.ongoing, ongoingTxn{first, producerID})
}

// end takes the transaction that began at first out of those ongoing; its marker
// is at last. It returns the last stable offset as it will be once the marker is
// durable.
func (t *transactions) end(first, last int64) (stable int64) {
	i, ok := slices.BinarySearchFunc(t.ongoing, first, func(o ongoingTxn, first int64) int { return int(o.first - first) })
	if ok {
		t.ongoing = slices.Delete(t.ongoing, i, i+1)
	}
	for len(t.ended) > 0 && t.ended[len(t.ended)-1].first >= first {
		t.ended = t.ended[:len(t.ended)-1]
	}
	t.ended = append(t.ended, endedTxn{first, last})
	if len(t.ongoing) > 0 {
		return t.ongoing[0].first
	}
	return last + 1
}

// durable says that the log is durable up to high.
func (t *transactions) durable(high int64) {
	n := 0
	for n < len(t.ended) && t.ended[n].last < high {
		n++
	}
	if n == len(t.ended) {
		t.ended = t.ended[:0]
	} else if n > 0 {
		t.ended = slices.Delete(t.ended, 0, n)
	}
}

// first is where the oldest transaction begins that is not known to have ended;
// MaxInt64 where there is none.
func (t *transactions) first() int64 {
	first := int64(math.MaxInt64)
	if len(t.ongoing) > 0 {
		first = t.ongoing[0].first
	}
	if len(t.ended) > 0 {
		first = min(first, t.ended[0].first)
	}
	return first
}

// stable is the last stable offset: the caller holds the lock and knows that the
// producers are loaded. Where records of an ongoing transaction were deleted, it
// is the log's start.
func (p *Partition) stable() int64 {
	first := p.producers.txns.first()
	if first >= p.high {
		return p.high
	}
	return max(first, p.start)
}
