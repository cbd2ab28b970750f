package partition

import (
	"errors"
	"fmt"

	"go.uber.org/zap"

	"github.com/streamweir/streamweir/broker/memory"
	"github.com/streamweir/streamweir/protocol/kafka"
	"github.com/streamweir/streamweir/storage"
)

// stateProducers is the name under which the store keeps snapshots.
const stateProducers = "producers"

// A snapshot is taken after this many batches or bytes, whichever comes first,
// so that no more than that is read again at the first idempotent append after
// a start; and never before ten times its own size was appended.
const (
	snapshotBatches = 4096
	snapshotBytes   = 32 << 20
)

// snapshots decides when to take one, and keeps it until the log has become
// durable up to it: a snapshot never runs ahead of the log.
type snapshots struct {
	batches, bytes int
	ready          []byte
	end            int64
}

// grown counts a queued batch. The caller holds the lock.
func (s *snapshots) grown(p *Partition, bytes int) {
	s.batches++
	s.bytes += bytes
	if s.ready != nil || s.batches < snapshotBatches && s.bytes < snapshotBytes || len(p.producers.byID) == 0 {
		return
	}
	if size := len(p.producers.byID) * (snapshotProducerSize + 2*snapshotBatchSize); s.bytes < 10*size {
		return
	}
	s.take(p)
}

func (s *snapshots) take(p *Partition) {
	s.ready, s.end = p.producers.snapshot(), p.producers.end
	s.batches, s.bytes = 0, 0
}

// durable hands a snapshot to the store once the log reaches up to it. The
// caller holds the lock; SaveState only queues.
func (s *snapshots) durable(p *Partition) {
	if s.ready == nil || p.high < s.end {
		return
	}
	if err := p.m.log.SaveState(p.id, stateProducers, storage.State{Offset: s.end, Data: s.ready}); err != nil {
		// Only the next start is slower for it.
		p.zap().Warn("the snapshot of producers was not saved", zap.Error(err))
	}
	s.ready = nil
}

// saveProducers takes a snapshot out of turn: at a clean end, and before the
// log is trimmed, since batches behind the last one may be among those that go.
func (p *Partition) saveProducers() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.producers == nil || len(p.producers.byID) == 0 {
		return
	}
	p.snapshot.take(p)
	p.snapshot.durable(p)
}

// loadProducers builds the state of producers from the last snapshot and the
// log behind it. It reads without the lock, and then takes up what came
// meanwhile.
func (p *Partition) loadProducers() error {
	p.loading.Lock()
	defer p.loading.Unlock()
	p.mu.Lock()
	if p.producers != nil {
		p.mu.Unlock()
		return nil
	}
	start, high := p.start, p.high
	p.mu.Unlock()

	ps, err := p.savedProducers(start, high)
	if err != nil {
		return err
	}
	for {
		if err := p.scanProducers(ps, high); err != nil {
			return fmt.Errorf("read the producers of %s-%d: %w", p.topic.Load().Name, p.id.Index, err)
		}
		p.mu.Lock()
		if p.high == high {
			break
		}
		high = p.high
		p.mu.Unlock()
	}
	defer p.mu.Unlock()
	now := p.m.now().UnixMilli()
	for i := range p.inflight.n {
		if x := p.inflight.at(i); x.Term == p.term {
			ps.add(x.batch, now)
		}
	}
	p.producers = ps
	return nil
}

// savedProducers returns the state in the last snapshot, or an empty one where
// there is none that agrees with the log.
func (p *Partition) savedProducers(start, high int64) (*producers, error) {
	s, ok, err := p.m.log.LoadState(p.id, stateProducers)
	if err != nil {
		return nil, fmt.Errorf("read the snapshot of producers of %s-%d: %w", p.topic.Load().Name, p.id.Index, err)
	}
	if !ok || s.Offset > high || s.Offset < start {
		// A snapshot of more than the log holds is of a log that was lost; one
		// from before the log's start misses batches that were trimmed away.
		// Producers that the log itself does not show are then unknown, and any
		// sequence number is taken of them.
		return newProducers(start), nil
	}
	ps, err := restore(s.Data, s.Offset, p.m.now().UnixMilli())
	if err != nil {
		p.zap().Warn("the snapshot of producers is unusable and is made anew from the log", zap.Error(err))
		return newProducers(start), nil
	}
	return ps, nil
}

// scanProducers adds the batches from ps.end up to high.
func (p *Partition) scanProducers(ps *producers, high int64) error {
	now := p.m.now().UnixMilli()
	buf := memory.NewBuffer(kafka.BatchHeaderSize)
	defer buf.Release()
	for ps.end < high {
		var infos []storage.BatchInfo
		err := p.m.log.Batches(p.id, ps.end, func(i storage.BatchInfo) bool {
			if i.BaseOffset >= high {
				return false
			}
			infos = append(infos, i)
			return len(infos) < snapshotBatches
		})
		if err != nil {
			return err
		}
		if len(infos) == 0 {
			// The rest has been trimmed away meanwhile.
			ps.end = high
			return nil
		}
		for _, i := range infos {
			ps.end = i.LastOffset + 1
			_, err := p.m.log.Read(p.id, storage.Position{Base: i.BaseOffset}, buf.B)
			var bad *storage.CorruptError
			switch {
			case errors.Is(err, storage.ErrOutOfRange):
				continue
			case errors.As(err, &bad):
				p.reportCorrupt(i.BaseOffset, err)
				continue
			case err != nil:
				return err
			}
			ps.add(kafka.Batch(buf.B), now)
		}
	}
	return nil
}
