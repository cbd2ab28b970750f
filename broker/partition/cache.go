package partition

import (
	"sync"

	"github.com/streamweir/streamweir/broker/memory"
	"github.com/streamweir/streamweir/storage"
)

// tail is one recent batch that is still in memory, as it is on disk.
type tail struct {
	info   storage.BatchInfo
	data   []byte
	buffer *memory.Buffer // holds data
	cost   int64
}

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
	mu    sync.Mutex
	limit int64
	used  int64
	order []cached
	head  int
}

type cached struct {
	p    *Partition
	cost int64
}

// tailOverhead is what a batch in the cache costs beside its bytes.
const tailOverhead = 128

// added notes that p has taken up a batch, and makes room by evicting others.
// The caller holds no partition's lock.
func (c *cache) added(p *Partition, cost int64) {
	c.mu.Lock()
	c.used += cost
	c.order = append(c.order, cached{p, cost})
	if c.used <= c.limit {
		c.mu.Unlock()
		return
	}
	var buf [8]*Partition
	evict := buf[:0]
	for c.used > c.limit && c.head < len(c.order) {
		e := c.order[c.head]
		c.order[c.head] = cached{}
		c.head++
		c.used -= e.cost
		evict = append(evict, e.p)
	}
	if c.head > len(c.order)/2 && c.head > 1024 {
		c.order = append(c.order[:0], c.order[c.head:]...)
		c.head = 0
	}
	c.mu.Unlock()
	for _, p := range evict {
		p.evictOldest()
	}
}

func (c *cache) usedBytes() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.used
}
