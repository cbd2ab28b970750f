package quota

import (
	"sync"
	"time"

	"github.com/streamweir/streamweir/storage"
)

// Limits of Kinesis; see docs/kinesis.md.
var (
	shardInBytes   = rate{1 << 20, 1 << 20}
	shardInRecords = rate{1000, 1000}
	shardOutBytes  = rate{2 << 20, 2 << 20}
	shardReads     = rate{5, 5} // GetRecords
	shardIterators = rate{5, 5} // GetShardIterator
	fanOutBytes    = rate{2 << 20, 2 << 20}
	dryRuns        = rate{1, 1}
)

// Manager owns the quotas of this broker.
type Manager struct {
	now func() time.Time
	// on is kinesis.limits: without it everything is measured and nothing refused.
	on func() bool
	// exists says whether a stream is in the catalogue.
	exists func(storage.TopicID) bool

	mu      sync.RWMutex
	streams map[storage.TopicID]*Stream
	account actions
}

// Options are what a Manager works with.
type Options struct {
	Now func() time.Time
	// Enforced is kinesis.limits.
	Enforced func() bool
	// Exists says whether a stream is in the catalogue. Once it is not, Drop is
	// called for it.
	Exists func(storage.TopicID) bool
}

// New makes a manager.
func New(o Options) *Manager {
	return &Manager{now: o.Now, on: o.Enforced, exists: o.Exists, streams: map[storage.TopicID]*Stream{}}
}

// Enforced says whether limits are enforced.
func (m *Manager) Enforced() bool { return m.on() }

// Stream returns the quotas of a stream; Drop ends them. A call that came late,
// for a stream that is deleted, gets some that nobody keeps.
func (m *Manager) Stream(id storage.TopicID, name string) *Stream {
	m.mu.RLock()
	s := m.streams[id]
	m.mu.RUnlock()
	if s != nil {
		return s
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if s = m.streams[id]; s == nil {
		s = &Stream{m: m, name: name, shards: map[int32]*Shard{}, consumers: map[string]*Consumer{}}
		if m.exists(id) {
			m.streams[id] = s
		}
	}
	return s
}

// Drop forgets a stream that is deleted.
func (m *Manager) Drop(id storage.TopicID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.streams, id)
}

// Streams is how many streams have quotas.
func (m *Manager) Streams() int {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return len(m.streams)
}

// Stream is the quotas and meters of one stream.
type Stream struct {
	m    *Manager
	name string

	mu        sync.Mutex
	shards    map[int32]*Shard
	consumers map[string]*Consumer
	actions   actions
	dryRuns   bucket
	meters    [numStreamMetrics]meter
}

// Shard returns the quotas of a shard that exists.
func (s *Stream) Shard(index int32) *Shard {
	s.mu.Lock()
	defer s.mu.Unlock()
	sh := s.shards[index]
	if sh == nil {
		sh = &Shard{m: s.m}
		s.shards[index] = sh
	}
	return sh
}

// Consumer returns the quotas of a registered consumer; DropConsumer ends them.
func (s *Stream) Consumer(name string) *Consumer {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.consumers[name]
	if c == nil {
		c = &Consumer{m: s.m, shards: map[int32]*bucket{}}
		s.consumers[name] = c
	}
	return c
}

// DropConsumer forgets a consumer that was deregistered.
func (s *Stream) DropConsumer(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.consumers, name)
}

// DryRun says whether the stream may be asked for another dry run.
func (s *Stream) DryRun() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.dryRuns.take(dryRuns, s.m.now().UnixNano(), 1) || !s.m.on()
}

// Add notes one value of a metric.
func (s *Stream) Add(metric StreamMetric, v float64) {
	minute := minuteOf(s.m.now())
	s.mu.Lock()
	defer s.mu.Unlock()
	s.meters[metric].add(minute, v)
}

// AddAll notes one value each of several metrics.
func (s *Stream) AddAll(values ...Value) {
	minute := minuteOf(s.m.now())
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, v := range values {
		s.meters[v.Metric].add(minute, v.V)
	}
}

// Value is one value of a stream's metric.
type Value struct {
	Metric StreamMetric
	V      float64
}

// Shard is the quotas and meters of one shard.
type Shard struct {
	m *Manager

	mu        sync.Mutex
	inBytes   bucket
	inRecords bucket
	outBytes  bucket
	reads     bucket
	iterators bucket
	meters    [numShardMetrics]meter
}

// Put asks for room for records of these sizes (key and data), in their order.
// It calls refuse with the index of each that finds none, and returns how many
// records and bytes have room. unlimited is for streams that provision nothing.
func (s *Shard) Put(sizes []int, unlimited bool, refuse func(i int)) (records, bytes int) {
	t := s.m.now()
	now, on := t.UnixNano(), s.m.on() && !unlimited
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, size := range sizes {
		if on && (!s.inRecords.fits(shardInRecords, now, 1) || !s.inBytes.fits(shardInBytes, now, float64(size))) {
			refuse(i)
			continue
		}
		s.inRecords.charge(1)
		s.inBytes.charge(float64(size))
		records++
		bytes += size
	}
	if !on {
		// Nothing is owed once limits are switched on.
		s.inRecords, s.inBytes = bucket{}, bucket{}
	}
	minute := minuteOf(t)
	if records > 0 {
		s.meters[ShardIncomingBytes].add(minute, float64(bytes))
		s.meters[ShardIncomingRecords].add(minute, float64(records))
	}
	if refused := len(sizes) - records; refused > 0 {
		s.meters[ShardWriteThroughputExceeded].add(minute, float64(refused))
	}
	return records, bytes
}

// BeginRead says whether GetRecords may read: there was not too much read
// before, nor too often.
func (s *Shard) BeginRead(unlimited bool) bool {
	t := s.m.now()
	now := t.UnixNano()
	s.mu.Lock()
	defer s.mu.Unlock()
	ok := unlimited || !s.m.on() || s.outBytes.open(shardOutBytes, now) && s.reads.take(shardReads, now, 1)
	if !ok {
		s.meters[ShardReadThroughputExceeded].add(minuteOf(t), 1)
	}
	return ok
}

// EndRead notes what GetRecords has read. A read of more than the shard gives in
// a second is paid off in full: 10 MiB is five seconds.
func (s *Shard) EndRead(records, bytes int, age time.Duration, unlimited bool) {
	t := s.m.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	if !unlimited && s.m.on() {
		n := float64(bytes)
		if s.outBytes.drain(shardOutBytes, t.UnixNano()); n >= shardOutBytes.burst {
			s.outBytes.used = max(s.outBytes.used, shardOutBytes.burst)
		}
		s.outBytes.charge(n)
	}
	minute := minuteOf(t)
	s.meters[ShardOutgoingBytes].add(minute, float64(bytes))
	s.meters[ShardOutgoingRecords].add(minute, float64(records))
	s.meters[ShardIteratorAgeMilliseconds].add(minute, float64(age.Milliseconds()))
}

// Iterator says whether GetShardIterator may be called.
func (s *Shard) Iterator(unlimited bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return unlimited || !s.m.on() || s.iterators.take(shardIterators, s.m.now().UnixNano(), 1)
}

// Consumer is the quotas and meters of a registered consumer.
type Consumer struct {
	m *Manager

	mu     sync.Mutex
	shards map[int32]*bucket // bytes
	meters [numConsumerMetrics]meter
}

// Wait returns how long a shard's subscription has to wait before it may send.
func (c *Consumer) Wait(shard int32, unlimited bool) time.Duration {
	if unlimited || !c.m.on() {
		return 0
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	b := c.shards[shard]
	if b == nil {
		return 0
	}
	return b.wait(fanOutBytes, c.m.now().UnixNano())
}

// Sent notes an event that was sent to a shard's subscription.
func (c *Consumer) Sent(shard int32, records, bytes int, behind time.Duration, unlimited bool) {
	t := c.m.now()
	c.mu.Lock()
	defer c.mu.Unlock()
	if !unlimited && c.m.on() {
		b := c.shards[shard]
		if b == nil {
			b = &bucket{}
			c.shards[shard] = b
		}
		b.drain(fanOutBytes, t.UnixNano())
		b.charge(float64(bytes))
	}
	minute := minuteOf(t)
	c.meters[ConsumerEventSuccess].add(minute, 1)
	c.meters[ConsumerEventBytes].add(minute, float64(bytes))
	c.meters[ConsumerEventRecords].add(minute, float64(records))
	c.meters[ConsumerEventMillisBehindLatest].add(minute, float64(behind.Milliseconds()))
}

// Add notes one value of a metric.
func (c *Consumer) Add(metric ConsumerMetric, v float64) {
	minute := minuteOf(c.m.now())
	c.mu.Lock()
	defer c.mu.Unlock()
	c.meters[metric].add(minute, v)
}
