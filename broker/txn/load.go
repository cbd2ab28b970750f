package txn

import (
	"errors"
	"fmt"

	"go.uber.org/zap"

	"github.com/streamweir/streamweir/broker/coordinator"
	"github.com/streamweir/streamweir/protocol/kafka"
)

var errOutdated = errors.New("the partition is not wanted any more")

// Load begins to serve partitions of __transaction_state, as the broker does
// when it has become their leader: their logs are read in the background, and
// until that is done clients get COORDINATOR_LOAD_IN_PROGRESS. Transactions that
// were decided and lack markers get them then. The channel is closed when all
// partitions are served, or have failed: see Failed.
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
		return func() {
			s.appends.Wait()
			c.loads.Limit(func() { c.load(s, term) })
		}
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
	s.status, s.loadErr = coordinator.Unloaded, nil
	sh := s.shard
	if sh == nil {
		return
	}
	c.discount(sh)
	c.pastMu.Lock()
	c.past.add(&sh.stats)
	c.past.Transactions = [states]int{}
	c.pastMu.Unlock()
	s.shard, s.timers = nil, nil
	st := c.newStep(noProducerID)
	sh.resign(st)
	c.finish(s, sh, st)
	s.mu.Lock()
}

// discount takes what a shard holds out of the totals. Appends that end later
// are no business of the others.
func (c *Coordinator) discount(sh *shard) {
	for _, t := range sh.txns {
		c.total.ids.Add(-1)
		c.total.bytes.Add(-t.bytes)
	}
	sh.total = new(total)
}

// load reads the log of a partition into a new shard and gives it its seat.
func (c *Coordinator) load(s *seat, term int) {
	start := c.clock.Now()
	sh := newShard(&c.cfg, c.log.Epoch(s.partition), &c.total)
	records, unknown, err := c.replay(s, term, sh)
	s.mu.Lock()
	if s.term != term || c.stopping.Load() {
		s.mu.Unlock()
		c.discount(sh)
		return
	}
	if err != nil {
		s.status, s.loadErr = coordinator.Failed, err
		s.mu.Unlock()
		c.discount(sh)
		c.logger.Error("load of transactions failed; their producers find no coordinator", zap.Int32("partition", s.partition), zap.Error(err))
		return
	}
	st := c.newStep(noProducerID)
	sh.loaded(st)
	s.shard, s.status = sh, coordinator.Active
	took, ids, ending := st.now.Sub(start), len(sh.txns), sh.stats.Transactions[PrepareCommit]+sh.stats.Transactions[PrepareAbort]
	c.finish(s, sh, st)
	if records > 0 {
		c.logger.Info("loaded transactions", zap.Int32("partition", s.partition), zap.Int("transactional_ids", ids), zap.Int("to_complete", ending),
			zap.Int64("records", records), zap.Int64("unknown_records", unknown), zap.Duration("took", took))
	}
}

// replay runs all records of a partition through sh. Records of kinds that are
// not known here are counted and passed over; they stay in the log.
func (c *Coordinator) replay(s *seat, term int, sh *shard) (records, unknown int64, err error) {
	err = c.log.Read(s.partition, func(b kafka.Batch) error {
		s.mu.Lock()
		outdated := s.term != term || c.stopping.Load()
		s.mu.Unlock()
		if outdated {
			return errOutdated
		}
		if b.IsControl() {
			unknown += int64(b.NumRecords())
			return nil
		}
		r := kafka.ReadRecords(b, 0)
		defer r.Close()
		for r.Next() {
			rec := r.Record()
			known, err := sh.replay(record{key: rec.Key, value: rec.Value})
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
		return records, unknown, fmt.Errorf("load __transaction_state-%d: %w", s.partition, err)
	}
	return records, unknown, nil
}

// Failed names the partitions whose load has failed, and why. Their
// transactional ids have no coordinator until Load is called again.
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
