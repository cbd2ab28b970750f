package group

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/twmb/franz-go/pkg/kerr"
	"go.uber.org/zap"

	"github.com/streamweir/streamweir/broker/coordinator"
	"github.com/streamweir/streamweir/protocol/kafka"
)

// Log is __consumer_offsets as the coordinator needs it.
type Log interface {
	// Append adds one batch to a partition. guard, where it is not 0, says that the
	// batch's transaction is verified (see partition.Verify). It may be called from many
	// goroutines, but for one partition only from one at a time, and must not
	// block. done is called exactly once, in the order of the appends of the
	// partition: with the offset of the batch's first record when the batch is
	// durable, or with an error. It may be called before Append returns.
	Append(partition int32, batch []byte, guard uint64, done func(base int64, err error))
	// Read calls fn for every batch from the offset from on, in order, up to
	// the end of the partition as it is when Read is called, which it returns.
	// A batch is valid only during fn.
	Read(partition int32, from int64, fn func(b kafka.Batch) error) (end int64, err error)
}

// Options are what a Coordinator needs from outside.
type Options struct {
	Config Config
	Log    Log
	Logger *zap.Logger       // nil for none
	Clock  coordinator.Clock // nil for the system's
	// Exists says whether there is a topic of that name and, unless it is zero,
	// of that id; nil if all exist. What a load finds of topics that do not,
	// it lets go of: a broker that was killed may have deleted them before it
	// could delete their offsets.
	Exists func(topic string, id [16]byte) bool
	// NewID makes the unique part of member ids; nil for random UUIDs.
	NewID func() string
}

// Coordinator serves the groups of the partitions that it was told to load.
// Its methods may be called from many goroutines. A reply function is called
// exactly once, from any goroutine, perhaps before the method returns, and with
// no lock held; it must not block.
type Coordinator struct {
	cfg    Config
	log    Log
	logger *zap.Logger
	clock  coordinator.Clock
	newID  func() string
	exists func(topic string, id [16]byte) bool

	seats []seat
	total atomic.Int64 // groups of all seats

	pastMu sync.Mutex
	past   Stats // counters of shards that were unloaded

	stopping atomic.Bool
	appends  sync.WaitGroup // appends that have not ended
	loads    *coordinator.Loads

	alarm *coordinator.Alarm
}

// New makes a coordinator that serves nothing yet: see Load.
func New(o Options) (*Coordinator, error) {
	if err := o.Config.Validate(); err != nil {
		return nil, fmt.Errorf("group coordinator: %w", err)
	}
	c := &Coordinator{
		cfg: o.Config, log: o.Log, logger: o.Logger, clock: o.Clock, newID: o.NewID, exists: o.Exists,
		seats: make([]seat, o.Config.Partitions), loads: coordinator.NewLoads(),
	}
	if c.logger == nil {
		c.logger = zap.NewNop()
	}
	if c.clock == nil {
		c.clock = coordinator.SystemClock{}
	}
	if c.exists == nil {
		c.exists = func(string, [16]byte) bool { return true }
	}
	if c.newID == nil {
		c.newID = newUUID
	}
	c.alarm = coordinator.NewAlarm(c.clock, c.fireAll)
	for i := range c.seats {
		c.seats[i].partition = int32(i)
	}
	return c, nil
}

func newUUID() string {
	var u [16]byte
	rand.Read(u[:])
	u[6], u[8] = u[6]&0x0f|0x40, u[8]&0x3f|0x80
	h := hex.EncodeToString(u[:])
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}

// PartitionFor says which partition of __consumer_offsets a group belongs to:
// whoever leads it coordinates the group.
func (c *Coordinator) PartitionFor(group string) int32 {
	return coordinator.PartitionFor(group, c.cfg.Partitions)
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
	deleted  []DeletedTopic
	loadErr  error
}

// queued is an entry with the shard that it is of, which may have been unloaded
// when the append ends.
type queued struct {
	shard *shard
	entry *entry
}

// refuses says why the seat serves no request; nil if it does.
func (c *Coordinator) refuses(s *seat) *kerr.Error { return s.status.Refuses(c.stopping.Load()) }

// with runs one event of a group through its shard, or says why it cannot.
func (c *Coordinator) with(group string, event func(s *shard, st *step)) *kerr.Error {
	s := &c.seats[c.PartitionFor(group)]
	s.mu.Lock()
	if err := c.refuses(s); err != nil {
		s.mu.Unlock()
		return err
	}
	st := c.newStep()
	event(s.shard, st)
	c.finish(s, s.shard, st)
	return nil
}

var steps = sync.Pool{New: func() any { return new(step) }}

func (c *Coordinator) newStep() *step {
	st := steps.Get().(*step)
	st.now = c.clock.Now()
	return st
}

// finish does what the shard asked for, and lets go of the seat's lock before
// anything that leaves this package is called.
func (c *Coordinator) finish(s *seat, sh *shard, st *step) {
	others := 0 // actions for after the lock
	for i := range st.actions {
		a := &st.actions[i]
		switch a.kind {
		case actReply, actNote:
			others++
		case actAppend:
			c.appends.Add(1)
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

	if wake {
		c.alarm.At(next)
	}
	for i := 0; others > 0; i++ {
		switch a := &st.actions[i]; a.kind {
		case actReply:
			a.reply()
			others--
		case actNote:
			c.logger.Info(a.note.text, a.note.fields...)
			others--
		}
	}
	clear(st.actions)
	st.actions = st.actions[:0]
	steps.Put(st)
	if flush {
		c.flush(s)
	}
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
		for n < len(s.queue) && s.queue[0].entry.producer == nil && s.queue[n].entry.producer == nil {
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
	n := 0
	for _, q := range batch {
		n += len(q.entry.records)
	}
	now := c.clock.Now().UnixMilli()
	records := make([]kafka.Record, 0, n)
	for _, q := range batch {
		for _, r := range q.entry.records {
			records = append(records, kafka.Record{Timestamp: now, Key: r.key, Value: r.value})
		}
	}
	// What is part of a transaction is in a batch of its own.
	first := batch[0].entry
	data, err := kafka.BuildBatch(nil, kafka.BatchOptions{Producer: first.producer, Transactional: first.producer != nil}, records...)
	if err != nil {
		c.appended(s, batch, -1, fmt.Errorf("append to __consumer_offsets-%d: %w", s.partition, err))
		return
	}
	c.log.Append(s.partition, data, first.guard, func(base int64, err error) { c.appended(s, batch, base, err) })
}

// appended tells the shard how an append ended.
func (c *Coordinator) appended(s *seat, batch []queued, base int64, err error) {
	code := coordinator.ClientError(err)
	if err != nil {
		c.logger.Warn("append to the group log failed",
			zap.Int32("partition", s.partition), zap.String("group", batch[0].entry.group), zap.Int("entries", len(batch)),
			zap.Error(err), zap.String("answer", code.Message))
	}
	s.mu.Lock()
	st := c.newStep()
	for _, q := range batch {
		q.shard.appended(st, q.entry, base, code)
		base += int64(len(q.entry.records))
	}
	c.finish(s, batch[0].shard, st)
	c.appends.Add(-len(batch))
}

// fireAll runs all timers that have run out.
func (c *Coordinator) fireAll() {
	for i := range c.seats {
		c.fire(&c.seats[i])
	}
}

// fire runs the timers of a seat that have run out, and sets the alarm for the
// next one.
func (c *Coordinator) fire(s *seat) {
	s.mu.Lock()
	if s.shard == nil || len(s.timers) == 0 {
		s.mu.Unlock()
		return
	}
	st := c.newStep()
	for t := s.timers.Due(st.now); t != nil; t = s.timers.Due(st.now) {
		s.shard.fire(st, t)
	}
	c.finish(s, s.shard, st)
}

// Shutdown stops serving: parked JoinGroups are answered with NOT_COORDINATOR,
// so that clients look for a coordinator, and appends that are under way end
// and are answered. It returns an error if ctx ends before that.
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
		st := c.newStep()
		s.shard.resign(st)
		c.finish(s, s.shard, st)
	}
	if err := coordinator.WaitAll(ctx, c.appends.Wait, c.loads.Wait); err != nil {
		return fmt.Errorf("group coordinator: appends or loads have not ended: %w", err)
	}
	return nil
}
