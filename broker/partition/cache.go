package partition

import (
	"sync"
	"sync/atomic"

	"github.com/streamweir/streamweir/broker/memory"
	"github.com/streamweir/streamweir/storage"
)

// tail is one recent batch that is still in memory, as it is on disk.
type tail struct {
	info   storage.BatchInfo
	data   []byte
	buffer *memory.Buffer // holds data, and maybe others of its request
}

// drop lets go of a batch, and returns what it has cost.
func (t tail) drop() int64 { return t.buffer.Drop() + tailOverhead }

// tails is the run of a partition's newest batches that are in memory, oldest
// first and without a gap: a queue in a ring.
type tails struct {
	ring []tail
	head int
	n    int
}

func (t *tails) at(i int) *tail { return &t.ring[(t.head+i)&(len(t.ring)-1)] }

func (t *tails) push(x tail) {
	if t.n == len(t.ring) {
		grown := make([]tail, max(8, 2*len(t.ring)))
		for i := range t.n {
			grown[i] = *t.at(i)
		}
		t.ring, t.head = grown, 0
	}
	t.n++
	*t.at(t.n - 1) = x
}

func (t *tails) pop() tail {
	x := *t.at(0)
	*t.at(0) = tail{}
	t.head = (t.head + 1) & (len(t.ring) - 1)
	t.n--
	if t.n == 0 {
		t.ring, t.head = nil, 0
	}
	return x
}

// find returns the index of the batch that holds offset, or of the first after
// it; ok is false where offset lies before what is in memory, or behind it.
func (t *tails) find(offset int64) (i int, ok bool) {
	if t.n == 0 || offset < t.at(0).info.BaseOffset || offset > t.at(t.n-1).info.LastOffset {
		return 0, false
	}
	lo, hi := 0, t.n-1
	for lo < hi {
		mid := (lo + hi) / 2
		if t.at(mid).info.LastOffset < offset {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo, true
}

// cache bounds the memory that all partitions' tails take together. The oldest
// batch of all goes first, which is always the oldest of its partition.
type cache struct {
	limit int64
	used  atomic.Int64

	mu    sync.Mutex
	order []*Partition // one for each batch
	head  int
}

const (
	// tailOverhead is what a batch in the cache costs beside its bytes.
	tailOverhead = 128
	// maxShare is how much larger than a batch the buffer may be that it is kept
	// in: that is what a client that does not read can hold for each byte.
	maxShare = 8
)

// added notes that p has taken up a batch, and makes room by evicting others.
// The caller holds no partition's lock.
func (c *cache) added(p *Partition, cost int64) {
	c.used.Add(cost)
	c.mu.Lock()
	c.order = append(c.order, p)
	c.mu.Unlock()
	for c.used.Load() > c.limit {
		p := c.oldest()
		if p == nil {
			return
		}
		c.used.Add(-p.evictOldest())
	}
}

// oldest takes the partition of the oldest batch out of the order.
func (c *cache) oldest() (p *Partition) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.head == len(c.order) {
		return nil
	}
	p, c.order[c.head] = c.order[c.head], nil
	c.head++
	if c.head > len(c.order)/2 && c.head > 1024 {
		c.order = append(c.order[:0], c.order[c.head:]...)
		c.head = 0
	}
	return p
}
