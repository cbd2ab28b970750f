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
// so that no more than that is read again when the state of producers is needed
// after a start; and never before ten times its own size was appended. Where the
// state was not needed, as much may be appended without it before it is read.
const (
	snapshotBatches = 4096
	snapshotBytes   = 32 << 20
)

// snapshots decides when to take one, and keeps it until the log has become
// durable up to it: a snapshot never runs ahead of the log.
type snapshots struct {
	batches, bytes int
	ready          []byte
	end            int64 // of the last snapshot
}

// due says that enough was appended for another snapshot.
func (s *snapshots) due() bool { return s.batches >= snapshotBatches || s.bytes >= snapshotBytes }

// grown counts a queued batch. The caller holds the lock.
func (s *snapshots) grown(p *Partition, bytes int) {
	s.batches++
	s.bytes += bytes
	if p.producers == nil || s.ready != nil || !s.due() || s.bytes < 10*p.producers.snapshotSize() {
		return
	}
	s.take(p)
}

func (s *snapshots) take(p *Partition) {
	s.ready, s.end = p.producers.snapshot(), p.producers.end
	s.batches, s.bytes = 0, 0
}

// durable hands a snapshot to the store once the log reaches up to it. The
// caller holds the lock, so this does not wait.
func (s *snapshots) durable(p *Partition) {
	if s.ready == nil || p.high < s.end {
		return
	}
	err := p.m.log.TrySaveState(p.id, stateProducers, storage.State{Offset: s.end, Data: s.ready})
	switch {
	case errors.Is(err, storage.ErrBusy):
		return // the next batch tries again
	case err != nil:
		p.notSaved(err)
	default:
		p.distrusted = false
	}
	s.ready = nil
}

func (p *Partition) notSaved(err error) {
	// Only the next start is slower for it.
	p.zap().Warn("the snapshot of producers was not saved", zap.Error(err))
}

// saveProducers takes a snapshot out of turn: at a clean end, and before the
// log is trimmed, since batches behind the last one may be among those that go.
// It may wait for the store, and is called without the lock.
func (p *Partition) saveProducers() {
	p.mu.Lock()
	ps, s := p.producers, &p.snapshot
	if ps == nil || s.ready == nil && s.end == ps.end {
		p.mu.Unlock()
		return
	}
	s.take(p)
	if p.high < s.end {
		p.mu.Unlock() // the batch that makes it durable hands it over
		return
	}
	st := storage.State{Offset: s.end, Data: s.ready}
	s.ready = nil
	p.mu.Unlock()
	if err := p.m.log.SaveState(p.id, stateProducers, st); err != nil {
		p.notSaved(err)
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.producers == ps { // or else it was distrusted meanwhile
		p.distrusted = false
	}
}

// lockLoaded takes the lock with the state of producers in memory. After an error
// it is not held.
func (p *Partition) lockLoaded() error {
	for {
		p.mu.Lock()
		if p.producers == nil && p.next == 0 {
			p.producers = newProducers(0)
		}
		if p.producers != nil {
			return nil
		}
		p.mu.Unlock()
		if err := p.loadProducers(); err != nil {
			return err
		}
	}
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
	start, high, term, distrusted := p.start, p.high, p.term, p.distrusted
	p.mu.Unlock()

	ps := newProducers(start)
	if !distrusted {
		var err error
		if ps, err = p.savedProducers(start, high); err != nil {
			return err
		}
	}
	saved := ps.end
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
	ps.txns.durable(high)
	for i := range p.inflight.n {
		if x := p.inflight.at(i); x.Term == p.term {
			_ = ps.add(x.batch, now) // a marker that we have built can be read
		}
	}
	p.producers = ps
	p.trimAborted()
	switch {
	case distrusted:
		// What was saved before must not come back with the next start.
		p.snapshot.take(p)
		p.snapshot.durable(p)
	case p.term == term && p.snapshot.end == 0:
		p.snapshot.end = saved
	}
	return nil
}

// distrustSaved has the state of producers read from the whole log, since a part
// of what was saved of it is damaged or lost.
func (p *Partition) distrustSaved() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.zap().Warn("the saved index of aborted transactions is unusable and is made anew from the log")
	p.distrusted, p.producers, p.snapshot = true, nil, snapshots{}
	p.m.stats.rebuilt.Add(1)
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
	if err == nil && !p.wroteBefore(s.Offset, ps.epoch) {
		err = fmt.Errorf("it is of leader epoch %d at offset %d, and the log is not", ps.epoch, s.Offset)
	}
	if err != nil {
		p.zap().Warn("the snapshot of producers is unusable and is made anew from the log", zap.Error(err))
		return newProducers(start), nil
	}
	return ps, nil
}

// wroteBefore says whether the last batch before offset was written under epoch.
// It was not where the end of the log has been lost since, and written anew: the
// leader epoch rises with every start.
func (p *Partition) wroteBefore(offset int64, epoch int32) bool {
	found := int32(kafka.NoLeaderEpoch)
	for _, e := range p.m.log.Epochs(p.id) {
		if e.StartOffset >= offset {
			break
		}
		found = e.Epoch
	}
	return found == epoch || found == kafka.NoLeaderEpoch || epoch == kafka.NoLeaderEpoch
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
			if err := p.scanBatch(ps, i, buf.B, now); err != nil {
				return err
			}
			ps.end = i.LastOffset + 1
		}
		ps.txns.durable(high)
		p.sealAborted(ps, high)
	}
	return nil
}

// scanBatch adds one batch, of which header has room for the header. One that was
// trimmed away meanwhile, or is corrupt, is passed over.
func (p *Partition) scanBatch(ps *producers, i storage.BatchInfo, header []byte, now int64) error {
	_, err := p.m.log.Read(p.id, storage.Position{Base: i.BaseOffset}, header)
	b := kafka.Batch(header)
	if err == nil && b.IsControl() {
		// What it says is in its record.
		whole, readErr := p.readBatch(i)
		if err = readErr; err == nil {
			defer whole.Release()
			b = whole.B
		}
	}
	if err == nil {
		err = ps.add(b, now)
	}
	var bad *storage.CorruptError
	var refused *kafka.RefusedError
	switch {
	case errors.Is(err, storage.ErrOutOfRange):
		return nil
	case errors.As(err, &bad):
		p.reportCorrupt(i.BaseOffset, err)
		return nil
	case errors.As(err, &refused):
		p.zap().Error("a control batch says nothing that is known", zap.Int64("offset", i.BaseOffset), zap.Error(err))
		return nil
	}
	return err
}
