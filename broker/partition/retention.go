package partition

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"go.uber.org/zap"
)

// DeleteBefore moves the log's start to offset (DeleteRecords); -1 is the high
// watermark. It returns the start that holds then.
func (p *Partition) DeleteBefore(offset int64) (int64, error) {
	p.mu.Lock()
	if offset == -1 {
		offset = p.high
	}
	gone, start, high := p.gone, p.start, p.high
	p.mu.Unlock()
	switch {
	case gone:
		return -1, kerr.NotLeaderForPartition
	case offset < 0 || offset > high:
		return -1, fmt.Errorf("%w: records up to %d cannot be deleted, the log ends at %d", kerr.OffsetOutOfRange, offset, high)
	case offset <= start:
		return start, nil
	}
	if err := p.trim(offset); err != nil {
		return -1, clientError(err)
	}
	return p.Offsets().Start, nil
}

// trim moves the start, in memory once it is so on disk.
func (p *Partition) trim(offset int64) error {
	// What is known of producers is known from batches that may go now.
	if err := p.loadProducers(); err != nil {
		p.zap().Warn("old records are deleted without a look at their producers, which are unknown then", zap.Error(err))
	}
	p.saveProducers()
	if err := p.m.log.Trim(p.id, offset); err != nil {
		return fmt.Errorf("trim %s-%d to %d: %w", p.topic.Load().Name, p.id.Index, offset, err)
	}
	p.mu.Lock()
	p.start = max(p.start, offset)
	for base := range p.corrupt {
		if base < p.start {
			delete(p.corrupt, base)
		}
	}
	var fire []*Watch
	if p.producers != nil {
		p.trimAborted()
		if p.stable() == p.start {
			fire = p.takeWatchers() // the last stable offset may have moved
		}
	}
	p.mu.Unlock()
	for _, w := range fire {
		w.fire()
	}
	return nil
}

// expired returns the offset up to which retention wants the log deleted, and
// whether that is anything.
func (p *Partition) expired(now int64) (int64, bool) {
	t := p.topic.Load()
	if !t.Settings.CleanupDelete {
		return 0, false
	}
	bounds := p.Offsets()
	segments := p.m.log.Segments(p.id)
	var total int64
	for _, s := range segments {
		total += s.Bytes
	}
	upTo, any := int64(0), false
	for _, s := range segments {
		old := t.Settings.RetentionMs >= 0 && s.MaxTimestamp >= 0 && now-s.MaxTimestamp > t.Settings.RetentionMs
		// As in Kafka, a segment goes when what is left without it is still as
		// large as the limit; the newest never goes for its size.
		large := t.Settings.RetentionBytes >= 0 && total-s.Bytes >= t.Settings.RetentionBytes && s.LastOffset+1 < bounds.High
		if !old && !large {
			break
		}
		total -= s.Bytes
		upTo, any = min(s.LastOffset+1, bounds.High), true
	}
	return upTo, any && upTo > bounds.Start
}

// Clean applies retention to all partitions once, and forgets producers that
// have been silent for too long.
func (m *Manager) Clean(ctx context.Context) {
	now := m.now().UnixMilli()
	m.each(func(p *Partition) {
		if ctx.Err() != nil {
			return
		}
		if offset, ok := p.expired(now); ok {
			from := p.Offsets().Start
			if err := p.trim(offset); err != nil {
				p.zap().Error("retention could not delete old records; it tries again at the next check", zap.Error(err))
				return
			}
			m.stats.trimmed.Add(offset - from)
			p.zap().Info("retention deleted old records", zap.Int64("from", from), zap.Int64("to", offset))
		}
		p.mu.Lock()
		before := now - m.expireProducers().Milliseconds()
		if p.producers != nil {
			p.producers.expire(before)
		}
		p.expireVerifications(before)
		p.mu.Unlock()
	})
}

// RunCleaner calls Clean in every interval until ctx ends.
func (m *Manager) RunCleaner(ctx context.Context, interval time.Duration) {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			m.Clean(ctx)
		}
	}
}

type stats struct {
	batches, bytes, fetched, refused, noSpace, duplicates, corrupt, trimmed, rebuilt atomic.Int64
}

// Stats are counters since the start.
type Stats struct {
	Batches, Bytes      int64 // appended
	Fetched             int64 // bytes handed to readers
	Refused, Duplicates int64 // batches
	NoSpace             int64 // batches refused because the disk is full
	Corrupt             int64 // batches on disk that cannot be read
	Trimmed             int64 // offsets deleted by retention
	CacheBytes          int64 // memory of recent batches now
	Partitions          int
}

// Stats returns the counters.
func (m *Manager) Stats() Stats {
	m.mu.RLock()
	n := 0
	for _, ps := range m.topics {
		n += len(ps)
	}
	m.mu.RUnlock()
	return Stats{
		Batches: m.stats.batches.Load(), Bytes: m.stats.bytes.Load(), Fetched: m.stats.fetched.Load(), NoSpace: m.stats.noSpace.Load(),
		Refused: m.stats.refused.Load(), Duplicates: m.stats.duplicates.Load(),
		Corrupt: m.stats.corrupt.Load(), Trimmed: m.stats.trimmed.Load(),
		CacheBytes: m.cache.used.Load(), Partitions: n,
	}
}
