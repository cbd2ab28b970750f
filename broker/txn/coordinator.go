package txn

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/twmb/franz-go/pkg/kerr"
	"go.uber.org/zap"

	"github.com/streamweir/streamweir/broker/coordinator"
	"github.com/streamweir/streamweir/protocol/kafka"
)

// Log is __transaction_state as the coordinator needs it.
type Log interface {
	// Append adds one batch to a partition. It may be called from many
	// goroutines, but for one partition only from one at a time, and must not
	// block. done is called exactly once, in the order of the appends of the
	// partition: with nil when the batch is durable, or with an error. It may be
	// called before Append returns.
	Append(partition int32, batch []byte, done func(err error))
	// Read calls fn for every batch, in order, up to the end of the partition
	// as it is when Read is called. A batch is valid only during fn.
	Read(partition int32, fn func(b kafka.Batch) error) error
	// Epoch is the leader epoch of a partition: the coordinator's epoch.
	Epoch(partition int32) int32
}

// Markers is how transactions are ended in the partitions that they reached.
type Markers interface {
	// WriteMarker writes a marker to a partition, which may be one of
	// __consumer_offsets. It must not block. done is called exactly once: with
	// nil when the marker is durable, with UNKNOWN_TOPIC_OR_PARTITION where the
	// partition does not exist any more, or with another error, after which the
	// marker is written again. It may be called before WriteMarker returns.
	WriteMarker(to TopicPartition, m Marker, done func(err error))
}

// Options are what a Coordinator needs from outside.
type Options struct {
	Config  Config
	Log     Log
	Markers Markers
	// NewProducerID returns a producer id that nobody has.
	NewProducerID func() (int64, error)
	Logger        *zap.Logger       // nil for none
	Clock         coordinator.Clock // nil for the system's
}

// Coordinator serves the transactional ids of the partitions that it was told
// to load. Its methods may be called from many goroutines. A reply function is
// called exactly once, from any goroutine, perhaps before the method returns,
// and with no lock held; it must not block.
type Coordinator struct {
	cfg     Config
	log     Log
	markers Markers
	ids     spares
	logger  *zap.Logger
	clock   coordinator.Clock

	seats []seat
	total total // of all seats

	pastMu sync.Mutex
	past   Stats // counters of shards that were unloaded

	stopping atomic.Bool
	work     sync.WaitGroup // appends and markers that have not ended
	loads    *coordinator.Loads

	alarm *coordinator.Alarm
}

// New makes a coordinator that serves nothing yet: see Load.
func New(o Options) (*Coordinator, error) {
	if err := o.Config.Validate(); err != nil {
		return nil, fmt.Errorf("transaction coordinator: %w", err)
	}
	c := &Coordinator{
		cfg: o.Config, log: o.Log, markers: o.Markers, logger: o.Logger, clock: o.Clock,
		ids:   spares{next: o.NewProducerID},
		seats: make([]seat, o.Config.Partitions), loads: coordinator.NewLoads(),
	}
	if c.logger == nil {
		c.logger = zap.NewNop()
	}
	if c.clock == nil {
		c.clock = coordinator.SystemClock{}
	}
	c.alarm = coordinator.NewAlarm(c.clock, c.fireAll)
	for i := range c.seats {
		c.seats[i].partition = int32(i)
	}
	return c, nil
}

// PartitionFor says which partition of __transaction_state a transactional id
// belongs to: whoever leads it coordinates its transactions.
func (c *Coordinator) PartitionFor(id string) int32 {
	return coordinator.PartitionFor(id, c.cfg.Partitions)
}

// A seat is where the shard of one partition sits while we serve it.
type seat struct {
	partition int32

	mu       sync.Mutex
	status   coordinator.Status
	shard    *shard // of this status; nil unless Active
	timers   timerHeap
	queue    []queued // entries on their way to the log
	flushing bool     // somebody is handing the queue to the log
	term     int      // counts Load and Unload, so that an outdated load is noticed
	loadErr  error
	// appends counts the entries that have not ended: a load waits for those
	// of the shard before, whose records it has to read.
	appends sync.WaitGroup
}

// queued is an entry with the shard that it is of, which may have been unloaded
// when the append ends.
type queued struct {
	shard *shard
	entry *entry
}

// refuses says why the seat serves no request; nil if it does.
func (c *Coordinator) refuses(s *seat) *kerr.Error { return s.status.Refuses(c.stopping.Load()) }

// with runs one event of a transactional id through its shard, or says why it
// cannot. spare is a producer id that the event may use.
func (c *Coordinator) with(id string, spare int64, event func(s *shard, st *step)) *kerr.Error {
	s := &c.seats[c.PartitionFor(id)]
	s.mu.Lock()
	if err := c.refuses(s); err != nil {
		s.mu.Unlock()
		c.ids.put(spare)
		return err
	}
	st := c.newStep(spare)
	event(s.shard, st)
	c.finish(s, s.shard, st)
	return nil
}

var steps = sync.Pool{New: func() any { return new(step) }}

func (c *Coordinator) newStep(spare int64) *step {
	st := steps.Get().(*step)
	st.now, st.spare = c.clock.Now(), spare
	return st
}

// finish does what the shard asked for, and lets go of the seat's lock before
// anything that leaves this package is called.
func (c *Coordinator) finish(s *seat, sh *shard, st *step) {
	for i := range st.actions {
		a := &st.actions[i]
		switch a.kind {
		case actMarker:
			c.work.Add(1)
		case actAppend:
			c.work.Add(1)
			s.appends.Add(1)
			s.queue = append(s.queue, queued{sh, a.entry})
		case actSet:
			if s.shard == sh {
				s.timers.Set(a.timer, a.at)
			}
		case actCancel:
			if s.shard == sh {
				s.timers.Cancel(a.timer)
			}
		}
	}
	next, wake := s.timers.Next()
	flush := len(s.queue) > 0 && !s.flushing
	s.flushing = s.flushing || flush
	s.mu.Unlock()

	c.ids.put(st.spare)
	if wake {
		c.alarm.At(next)
	}
	for i := range st.actions {
		switch a := &st.actions[i]; a.kind {
		case actReply:
			a.reply()
		case actMarker:
			c.write(s, sh, a.marker)
		case actNote:
			c.tell(a.note)
		}
	}
	clear(st.actions)
	st.actions = st.actions[:0]
	steps.Put(st)
	if flush {
		c.flush(s)
	}
}

func (c *Coordinator) tell(n *note) {
	if n.grave {
		c.logger.Warn(n.text, n.fields...)
		return
	}
	c.logger.Info(n.text, n.fields...)
}

// write writes a marker and tells the shard how that ended.
func (c *Coordinator) write(s *seat, sh *shard, m *sending) {
	c.markers.WriteMarker(m.TopicPartition, m.Marker, func(err error) {
		s.mu.Lock()
		st := c.newStep(noProducerID)
		sh.markerEnded(st, m, markerError(err))
		c.finish(s, sh, st)
		c.work.Done()
	})
}

// maxBatchBytes bounds what is gathered into one batch. An entry is never
// split, so one that is larger makes a larger batch.
const maxBatchBytes = 512 << 10

// flush hands the queue to the log, in order, until it is empty. One goroutine
// does so at a time, without the lock; the others leave their entries to it.
func (c *Coordinator) flush(s *seat) {
	for {
		s.mu.Lock()
		if len(s.queue) == 0 {
			s.flushing = false
			s.mu.Unlock()
			return
		}
		n, size := 1, s.queue[0].entry.size()
		for n < len(s.queue) {
			if size += s.queue[n].entry.size(); size > maxBatchBytes {
				break
			}
			n++
		}
		batch := make([]queued, n)
		copy(batch, s.queue)
		left := copy(s.queue, s.queue[n:])
		clear(s.queue[left:])
		s.queue = s.queue[:left]
		s.mu.Unlock()
		c.append(s, batch)
	}
}

// append gives entries to the log as one batch.
func (c *Coordinator) append(s *seat, batch []queued) {
	now := c.clock.Now().UnixMilli()
	var records []kafka.Record
	for _, q := range batch {
		for _, r := range q.entry.records {
			records = append(records, kafka.Record{Timestamp: now, Key: r.key, Value: r.value})
		}
	}
	data, err := kafka.BuildBatch(nil, kafka.BatchOptions{}, records...)
	if err != nil {
		c.appended(s, batch, fmt.Errorf("append to __transaction_state-%d: %w", s.partition, err))
		return
	}
	c.log.Append(s.partition, data, func(err error) { c.appended(s, batch, err) })
}

// appended tells the shards how an append ended.
func (c *Coordinator) appended(s *seat, batch []queued, err error) {
	code := coordinator.ClientError(err)
	if err != nil {
		c.logger.Warn("append to the transaction log failed",
			zap.Int32("partition", s.partition), zap.String("transactional_id", batch[0].entry.id), zap.Int("entries", len(batch)),
			zap.Error(err), zap.String("answer", code.Message))
	}
	for len(batch) > 0 {
		sh, n := batch[0].shard, 1
		for n < len(batch) && batch[n].shard == sh {
			n++
		}
		s.mu.Lock()
		st := c.newStep(noProducerID)
		for _, q := range batch[:n] {
			sh.appended(st, q.entry, code)
		}
		c.finish(s, sh, st)
		s.appends.Add(-n)
		c.work.Add(-n)
		batch = batch[n:]
	}
}

// fireAll runs all timers that have run out.
func (c *Coordinator) fireAll() {
	for i := range c.seats {
		c.fire(&c.seats[i])
	}
}

// fire runs the timers of a seat that have run out, and sets the alarm for the
// next one. Each may use a producer id.
func (c *Coordinator) fire(s *seat) {
	for {
		spare := c.ids.get(c.logger)
		s.mu.Lock()
		if s.shard == nil || len(s.timers) == 0 {
			s.mu.Unlock()
			c.ids.put(spare)
			return
		}
		st := c.newStep(spare)
		t := s.timers.Due(st.now)
		if t != nil {
			s.shard.fire(st, t)
		}
		c.finish(s, s.shard, st)
		if t == nil {
			return
		}
	}
}

// Shutdown stops serving: those that wait are answered with NOT_COORDINATOR, so
// that clients look for a coordinator, and what is under way ends and is
// answered. It returns an error if ctx ends before that. Markers that are
// missing are written at the next start.
func (c *Coordinator) Shutdown(ctx context.Context) error {
	if !c.stopping.CompareAndSwap(false, true) {
		return nil
	}
	c.alarm.Silence()
	for i := range c.seats {
		s := &c.seats[i]
		s.mu.Lock()
		s.term++
		if s.shard == nil {
			s.mu.Unlock()
			continue
		}
		st := c.newStep(noProducerID)
		s.shard.resign(st)
		c.finish(s, s.shard, st)
	}
	if err := coordinator.WaitAll(ctx, c.work.Wait, c.loads.Wait); err != nil {
		return fmt.Errorf("transaction coordinator: appends, markers or loads have not ended: %w", err)
	}
	return nil
}
