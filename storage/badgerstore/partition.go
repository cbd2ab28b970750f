package badgerstore

import (
	"slices"
	"sort"
	"sync"
	"sync/atomic"

	"github.com/streamweir/streamweir/storage"
)

// partition is what the store keeps in memory of one log. It has two faces:
// staged is how the log will be when all that was given to Badger is durable,
// and belongs to the committer; mu guards what is durable and may be seen.
type partition struct {
	id storage.Partition
	// created is the version of the log database from which entries count as
	// this partition's. Badger's collection may bring an entry back that was
	// deleted while it ran; if that was another partition of the same name, this
	// tells.
	created uint64
	staged  staged
	stubs   atomic.Bool // there may be some
	runs    []*run      // what is known of where batches lie, in order; places.mu guards it

	// trim lets one Trim at a time look for its cut.
	trim sync.Mutex

	mu struct {
		sync.RWMutex
		start, end int64
		epochs     []storage.EpochStart
		sealed     []storage.Segment
		growing    storage.Segment // Batches is 0 for none
		exists     bool            // something of it is durable
		steps      steps
	}
}

// staged is the committer's view of a partition.
type staged struct {
	start, end int64
	epoch      int32 // the highest so far; -1 for none
	minTerm    uint64
	growing    storage.Segment
	known      bool // the partition's entry has been written
	saved      int32
}

// addBatch accounts for a batch in a growing segment.
func addBatch(s *storage.Segment, b storage.BatchInfo) {
	if s.Batches == 0 {
		*s = storage.Segment{BaseOffset: b.BaseOffset, MaxTimestamp: -1}
	}
	s.LastOffset = b.LastOffset
	s.MaxTimestamp = max(s.MaxTimestamp, b.MaxTimestamp)
	s.Bytes += int64(b.Size)
	s.Batches++
}

// applyAppend makes a durable batch visible. The caller holds mu.
func (p *partition) applyAppend(a *storage.Append, seals bool) {
	p.mu.exists = true
	addBatch(&p.mu.growing, a.Info)
	p.mu.epochs = storage.AddEpoch(p.mu.epochs, a.Epoch, a.Info.BaseOffset)
	p.mu.end = a.Info.LastOffset + 1
	if seals {
		p.applySeal()
	}
}

// applySeal closes the growing segment. The caller holds mu.
func (p *partition) applySeal() {
	p.mu.sealed = append(p.mu.sealed, p.mu.growing)
	p.mu.growing = storage.Segment{}
}

// applyTrim moves the start up, past all segments that end below it; cut is
// what is left of the one that holds it. The caller holds mu.
func (p *partition) applyTrim(start int64, cut *storage.Segment) {
	p.mu.start = start
	n := sort.Search(len(p.mu.sealed), func(i int) bool { return p.mu.sealed[i].LastOffset >= start })
	p.mu.sealed = slices.Delete(p.mu.sealed, 0, n)
	if cut != nil && len(p.mu.sealed) > 0 && p.mu.sealed[0].LastOffset == cut.LastOffset {
		p.mu.sealed[0] = *cut
	}
	if p.mu.growing.Batches > 0 && p.mu.growing.LastOffset < start {
		p.mu.growing = storage.Segment{}
	}
	p.mu.epochs = storage.TrimEpochs(p.mu.epochs, start)
}

// size sums up the log. The caller holds mu.
func (p *partition) size() (bytes, batches int64) {
	bytes, batches = p.mu.growing.Bytes, int64(p.mu.growing.Batches)
	for _, s := range p.mu.sealed {
		bytes += s.Bytes
		batches += int64(s.Batches)
	}
	return bytes, batches
}

func (p *partition) exists() bool {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.mu.exists
}

func (p *partition) bounds() (start, end int64) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.mu.start, p.mu.end
}

func (p *partition) segments() []storage.Segment {
	p.mu.RLock()
	defer p.mu.RUnlock()
	n := len(p.mu.sealed)
	out := make([]storage.Segment, n, n+1)
	copy(out, p.mu.sealed)
	if p.mu.growing.Batches > 0 {
		out = append(out, p.mu.growing)
	}
	return out
}

// sealedAt is the index of the sealed segment that holds offset, or the first
// behind it. The caller holds mu.
func (p *partition) sealedAt(offset int64) int {
	return sort.Search(len(p.mu.sealed), func(i int) bool { return p.mu.sealed[i].LastOffset >= offset })
}

// segmentOf returns the segment that holds offset in its middle or at its end,
// so that a start there cuts it. The caller holds mu.
func (p *partition) segmentOf(offset int64) (s storage.Segment, growing, ok bool) {
	i := sort.Search(len(p.mu.sealed), func(i int) bool { return p.mu.sealed[i].LastOffset >= offset })
	if i < len(p.mu.sealed) {
		s = p.mu.sealed[i]
		return s, false, s.BaseOffset < offset
	}
	s = p.mu.growing
	return s, true, s.Batches > 0 && s.BaseOffset < offset && s.LastOffset >= offset
}
