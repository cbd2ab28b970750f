package group

import (
	"errors"
	"fmt"
	"sync/atomic"

	"go.uber.org/zap"

	"github.com/streamweir/streamweir/broker/coordinator"
	"github.com/streamweir/streamweir/protocol/kafka"
)

var errOutdated = errors.New("the partition is not wanted any more")

// Load begins to serve partitions of __consumer_offsets, as the broker does
// when it has become their leader: their logs are read in the background, and
// until that is done clients get COORDINATOR_LOAD_IN_PROGRESS. The channel is
// closed when all of them are served, or have failed: see Failed.
func (c *Coordinator) Load(partitions ...int32) <-chan struct{} {
	if c.stopping.Load() {
		done := make(chan struct{})
		close(done)
		return done
	}
	return c.loads.Run(partitions, func(partition int32) func() {
		s := &c.seats[partition]
		s.mu.Lock()
		c.empty(s)
		s.status = coordinator.Loading
		term := s.term
		s.mu.Unlock()
		return func() { c.loads.Limit(func() { c.load(s, term) }) }
	})
}

// Unload ends serving a partition, as the broker does when it leads it no more.
func (c *Coordinator) Unload(partition int32) {
	s := &c.seats[partition]
	s.mu.Lock()
	c.empty(s)
	s.mu.Unlock()
}

// empty lets go of the shard of a seat. The caller holds the lock, which is
// let go of for a moment while the waiting clients are answered.
func (c *Coordinator) empty(s *seat) {
	s.term++
	s.status, s.loadErr, s.deleted = coordinator.Unloaded, nil, nil
	sh := s.shard
	if sh == nil {
		return
	}
	c.total.Add(-int64(len(sh.groups)))
	sh.total = new(atomic.Int64) // appends that end later are no business of the others
	c.pastMu.Lock()
	c.past.add(&sh.stats)
	c.past.Groups, c.past.Members, c.past.Offsets = [5]int{}, 0, 0
	c.pastMu.Unlock()
	s.shard, s.timers = nil, nil
	st := c.newStep()
	sh.resign(st)
	c.finish(s, sh, st)
	s.mu.Lock()
}

// load reads the log of a partition into a new shard and gives it its seat.
func (c *Coordinator) load(s *seat, term int) {
	start := c.clock.Now()
	sh := newShard(&c.cfg, c.newID, &c.total)
	st := &step{now: start}
	records, unknown, err := c.replay(s, term, sh, st)
	s.mu.Lock()
	if s.term != term || c.stopping.Load() {
		s.mu.Unlock()
		c.total.Add(-int64(len(sh.groups)))
		return
	}
	if err != nil {
		s.status, s.loadErr = coordinator.Failed, err
		s.mu.Unlock()
		c.total.Add(-int64(len(sh.groups)))
		c.logger.Error("load of groups failed; their clients find no coordinator", zap.Int32("partition", s.partition), zap.Error(err))
		return
	}
	st.now = c.clock.Now()
	sh.loaded(st)
	sh.forgetMissing(st, c.exists)
	if len(s.deleted) > 0 {
		sh.topicsDeleted(st, s.deleted)
		s.deleted = nil
	}
	s.shard, s.status = sh, coordinator.Active
	took, groups, offsets := st.now.Sub(start), len(sh.groups), sh.stats.Offsets
	c.finish(s, sh, st)
	if records > 0 {
		c.logger.Info("loaded groups", zap.Int32("partition", s.partition), zap.Int("groups", groups), zap.Int("offsets", offsets),
			zap.Int64("records", records), zap.Int64("unknown_records", unknown), zap.Duration("took", took))
	}
}

// replay runs all records of a partition through sh. Records of kinds that are
// not known here are counted and passed over; they stay in the log.
func (c *Coordinator) replay(s *seat, term int, sh *shard, st *step) (records, unknown int64, err error) {
	_, err = c.log.Read(s.partition, 0, func(b kafka.Batch) error {
		s.mu.Lock()
		outdated := s.term != term || c.stopping.Load()
		s.mu.Unlock()
		if outdated {
			return errOutdated
		}
		if b.IsControl() {
			end, ok, err := kafka.ParseEndMarker(b)
			if err != nil {
				return fmt.Errorf("offset %d: %w", b.BaseOffset(), err)
			}
			if ok {
				sh.complete(st, b.ProducerID(), b.BaseOffset(), end.Commit)
			}
			return nil
		}
		producerID := int64(kafka.NoProducerID)
		if b.IsTransactional() {
			producerID = b.ProducerID()
		}
		r := kafka.ReadRecords(b, 0)
		defer r.Close()
		for r.Next() {
			rec := r.Record()
			known, err := sh.replay(st, rec.Offset, producerID, record{key: rec.Key, value: rec.Value})
			if err != nil {
				return fmt.Errorf("offset %d: %w", rec.Offset, err)
			}
			records++
			if !known {
				unknown++
			}
		}
		return r.Err()
	})
	if err != nil {
		return records, unknown, fmt.Errorf("load __consumer_offsets-%d: %w", s.partition, err)
	}
	return records, unknown, nil
}

// Failed names the partitions whose load has failed, and why. Their groups have
// no coordinator until Load is called again.
func (c *Coordinator) Failed() map[int32]error {
	var failed map[int32]error
	for i := range c.seats {
		s := &c.seats[i]
		s.mu.Lock()
		if s.loadErr != nil {
			if failed == nil {
				failed = make(map[int32]error)
			}
			failed[int32(i)] = s.loadErr
		}
		s.mu.Unlock()
	}
	return failed
}

// Stats sums the figures of all partitions that are served.
func (c *Coordinator) Stats() Stats {
	c.pastMu.Lock()
	sum := c.past
	c.pastMu.Unlock()
	for i := range c.seats {
		s := &c.seats[i]
		s.mu.Lock()
		if s.shard != nil {
			sum.add(&s.shard.stats)
		}
		s.mu.Unlock()
	}
	return sum
}
