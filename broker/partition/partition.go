// Package partition is the core of the log: it gives offsets, checks what
// producers send, makes batches visible once they are durable, serves fetches
// and searches, and lets old data go.
//
// A partition's state is guarded by one mutex that is never held over I/O: an
// append is validated before it is taken, queued to the store under it, and
// completed by the store's callback. What a consumer may see ends at the high
// watermark, which rises as the store reports batches durable.
package partition

import (
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"go.uber.org/zap"

	"github.com/streamweir/streamweir/broker/topic"
	"github.com/streamweir/streamweir/storage"
)

// Partition is one partition that this broker leads.
type Partition struct {
	m     *Manager
	id    storage.Partition
	topic atomic.Pointer[topic.Topic]

	loading sync.Mutex // one goroutine reads the state of producers

	mu   sync.Mutex
	gone bool // the topic was deleted, or the broker is closing
	// sealed says that clients append no more: see Seal.
	sealed bool
	start  int64 // log start offset
	next   int64 // the offset that the next record gets
	high   int64 // high watermark: the offset after the last durable record
	// appendTime is the largest LogAppendTime given so far, in ms.
	appendTime int64
	term       uint64
	inflight   pendings // queued to the store, oldest first
	tails      tails
	producers  *producers // nil until somebody has to know of them
	verifying  map[int64]*verification
	guards     uint64 // given to verifications so far
	unstable   int64  // bytes appended since the last stable offset moved
	distrusted bool   // what the store has saved of the state contradicts the log
	snapshot   snapshots
	watchers   map[*Watch]struct{}
	corrupt    map[int64]struct{} // base offsets of batches that cannot be read
	holds      holds
	forgotten  int // batches in the cache's order that are in memory no more
	compacted  compacted
}

// Offsets are the bounds of a partition's log at one moment.
type Offsets struct {
	Start      int64 // log start offset
	High       int64 // high watermark
	LastStable int64 // last stable offset; -1 where it is not known: see StableOffsets
}

// Manager owns the partitions of this broker.
type Manager struct {
	store storage.Store
	log   storage.Log
	zap   *zap.Logger
	now   func() time.Time
	epoch int32
	cache cache
	// expireProducers returns producer.id.expiration.ms.
	expireProducers func() time.Duration
	decompressing   chan struct{} // batches being decompressed
	recompressing   chan struct{} // the batch being recompressed
	recompressLimit int64
	reading         atomic.Int64 // bytes that readers hold
	chunks          chunkCache
	chunkTxns       int // chunkTxns, but for tests

	mu     sync.RWMutex
	topics map[storage.TopicID][]*Partition
	closed bool

	stats      stats
	compaction compactionStats
}

// Options configure a Manager.
type Options struct {
	Store storage.Store
	Log   *zap.Logger
	// Now is the clock; time.Now where nil.
	Now func() time.Time
	// Epoch is the leader epoch of all partitions: it rises at every start.
	Epoch int32
	// CacheBytes is the memory for recent batches.
	CacheBytes int64
	// RecompressLimit is the largest size, decompressed, of a batch that a topic's
	// compression.type has compressed anew. 0 is the decoder's own limit.
	RecompressLimit int64
	// ProducerExpiration returns how long a silent producer is remembered.
	ProducerExpiration func() time.Duration
}

// NewManager returns a manager without partitions.
func NewManager(o Options) *Manager {
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Manager{
		store: o.Store, log: o.Store.Log(), zap: o.Log, now: o.Now, epoch: o.Epoch,
		cache: cache{limit: o.CacheBytes}, expireProducers: o.ProducerExpiration,
		decompressing: make(chan struct{}, 2*runtime.GOMAXPROCS(0)),
		recompressing: make(chan struct{}, 1), recompressLimit: o.RecompressLimit,
		chunkTxns: chunkTxns, topics: map[storage.TopicID][]*Partition{},
	}
}

// Epoch is the leader epoch of every partition.
func (m *Manager) Epoch() int32 { return m.epoch }

// Open leads the partitions of t: those that exist are opened, those that are
// new begin empty. A later call takes up changed settings and added partitions.
func (m *Manager) Open(t *topic.Topic) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return
	}
	ps := m.topics[t.ID]
	for _, p := range ps {
		p.take(t)
	}
	if len(ps) >= int(t.Partitions) {
		return
	}
	// The slice is replaced, not grown: readers hold the old one.
	grown := make([]*Partition, t.Partitions)
	copy(grown, ps)
	block := make([]Partition, int(t.Partitions)-len(ps))
	for i := range block {
		p := &block[i]
		p.m, p.id = m, storage.Partition{Topic: t.ID, Index: int32(len(ps) + i)}
		p.take(t)
		p.start, p.next = m.log.Bounds(p.id)
		p.high = p.next
		grown[p.id.Index] = p
	}
	m.topics[t.ID] = grown
}

// take takes up the settings of t, and seals p where t says that its shard is
// closed. Nobody is told so before, and so no append can come in between.
func (p *Partition) take(t *topic.Topic) {
	p.topic.Store(t)
	if t.Stream == nil || !t.Stream.Closed(p.id.Index) {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sealed = true
}

// Get returns a partition, or nil where this broker has none such.
func (m *Manager) Get(id storage.TopicID, index int32) *Partition {
	m.mu.RLock()
	ps := m.topics[id]
	m.mu.RUnlock()
	if index < 0 || int(index) >= len(ps) {
		return nil
	}
	return ps[index]
}

// each calls fn for every partition.
func (m *Manager) each(fn func(*Partition)) {
	m.mu.RLock()
	all := make([][]*Partition, 0, len(m.topics))
	for _, ps := range m.topics {
		all = append(all, ps)
	}
	m.mu.RUnlock()
	for _, ps := range all {
		for _, p := range ps {
			fn(p)
		}
	}
}

// Drop ends the partitions of a topic and removes their data. Appends that are
// under way fail or succeed; afterwards clients are told that it is unknown.
func (m *Manager) Drop(id storage.TopicID, partitions int32) error {
	m.mu.Lock()
	ps := m.topics[id]
	delete(m.topics, id)
	m.mu.Unlock()
	for _, p := range ps {
		p.retire()
	}
	names := make([]storage.Partition, partitions)
	for i := range names {
		names[i] = storage.Partition{Topic: id, Index: int32(i)}
	}
	return m.log.Drop(names...)
}

// Close stops all appends, waits for those under way and saves what makes the
// next start fast. The store is closed by its owner, afterwards.
func (m *Manager) Close() {
	m.mu.Lock()
	m.closed = true
	m.mu.Unlock()
	var wait []*Partition
	m.each(func(p *Partition) {
		p.retire()
		wait = append(wait, p)
	})
	for _, p := range wait {
		p.drain()
		p.saveProducers()
	}
}

// retire refuses further appends and wakes those who wait for data.
func (p *Partition) retire() {
	p.mu.Lock()
	p.gone = true
	fire := p.takeWatchers()
	for p.tails.n > 0 {
		p.m.cache.used.Add(-p.tails.pop().drop())
	}
	p.mu.Unlock()
	for _, w := range fire {
		w.fire()
	}
}

// drain waits until no append of p is under way.
func (p *Partition) drain() {
	done := make(chan struct{})
	p.mu.Lock()
	if p.inflight.n == 0 {
		p.mu.Unlock()
		return
	}
	last := p.inflight.at(p.inflight.n - 1)
	last.also = append(last.also, func(Result) { close(done) })
	p.mu.Unlock()
	<-done
}

// Topic returns the partition's topic with its present settings.
func (p *Partition) Topic() *topic.Topic { return p.topic.Load() }

// Index returns the partition's number.
func (p *Partition) Index() int32 { return p.id.Index }

// Epoch is the leader epoch.
func (p *Partition) Epoch() int32 { return p.m.epoch }

// Offsets returns the log's bounds.
func (p *Partition) Offsets() Offsets {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.offsets()
}

func (p *Partition) offsets() Offsets {
	o := Offsets{Start: p.start, High: p.high, LastStable: -1}
	if p.producers != nil {
		o.LastStable = p.stable()
	}
	return o
}

// Size returns the bytes of the log.
func (p *Partition) Size() int64 {
	var n int64
	for _, s := range p.m.log.Segments(p.id) {
		n += s.Bytes
	}
	return n
}

// checkEpoch compares the leader epoch that a client believes in with ours
// (KIP-320); -1 is a client that does not say.
func (p *Partition) checkEpoch(epoch int32) error {
	switch {
	case epoch < 0 || epoch == p.m.epoch:
		return nil
	case epoch < p.m.epoch:
		return kerr.FencedLeaderEpoch
	default:
		return kerr.UnknownLeaderEpoch
	}
}
