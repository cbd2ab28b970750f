package partition

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"go.uber.org/zap"

	"github.com/streamweir/streamweir/storage"
)

// Compaction's settings, as they are at the moment.
type Compaction struct {
	Enabled        bool
	Threads        int           // passes at a time
	Backoff        time.Duration // between two looks when nothing is to be done
	MapBytes       int64         // memory for keys, of all threads together
	MapLoad        float64
	BytesPerSecond float64 // read and written, of all threads together
}

// stateCompacted is the name under which the store keeps how far a log is clean.
const stateCompacted = "compacted"

// compacted is what a partition knows of its compaction; its lock guards it.
type compacted struct {
	loaded      bool
	upTo        int64 // the log is clean below it
	busy        bool
	uncleanable error // why nothing is compacted until the next start
}

// candidate is a partition that could be compacted.
type candidate struct {
	p         *Partition
	from, to  int64
	clean     int64 // bytes below from
	cleanable int64 // bytes from there to to
	overdue   bool  // max.compaction.lag.ms has passed
}

func (c *candidate) ratio() float64 {
	if c.clean+c.cleanable == 0 {
		return 0
	}
	return float64(c.cleanable) / float64(c.clean+c.cleanable)
}

// cleanUpTo returns the offset below which the log is clean. It is a cache: where
// it was lost or cannot be right, the log counts as dirty.
func (p *Partition) cleanUpTo() (int64, error) {
	p.mu.Lock()
	start, high, loaded, upTo := p.start, p.high, p.compacted.loaded, p.compacted.upTo
	p.mu.Unlock()
	if !loaded {
		s, ok, err := p.m.log.LoadState(p.id, stateCompacted)
		if err != nil {
			return 0, fmt.Errorf("read how far %s-%d is compacted: %w", p.topic.Load().Name, p.id.Index, err)
		}
		if ok && s.Offset <= high {
			upTo = s.Offset
		}
		p.mu.Lock()
		p.compacted.loaded, p.compacted.upTo = true, upTo
		p.mu.Unlock()
	}
	return max(start, upTo), nil
}

// candidate looks at what of the partition could be compacted; nil for nothing.
//
// As in Apache Kafka, that ends before the last stable offset, before the newest
// segment, and before the first that holds a record younger than
// min.compaction.lag.ms. There, the newest segment is closed when a record comes
// that is segment.ms younger than its first, so a topic to which nothing more is
// written keeps its newest records uncompacted. Here segments are accounts that
// can be closed at any time: the newest counts as closed when it has segment.bytes,
// or when its first record is older than segment.ms or max.compaction.lag.ms.
func (p *Partition) candidate(now int64) (*candidate, error) {
	s := p.topic.Load().Settings
	from, err := p.cleanUpTo()
	if err != nil {
		return nil, err
	}
	if from >= p.Offsets().High {
		return nil, nil // nothing is new, and the state of producers need not be known
	}
	offsets, err := p.StableOffsets()
	if err != nil {
		return nil, err
	}
	stable := offsets.LastStable
	c := &candidate{p: p, from: from, to: from}
	segments := p.m.log.Segments(p.id)
	for i, seg := range segments {
		if seg.LastOffset < from {
			c.clean += seg.Bytes
			continue
		}
		first, below, err := p.split(seg, from)
		if err != nil {
			return nil, err
		}
		c.clean += below
		if seg.LastOffset >= stable || s.MinCompactionLagMs > 0 && seg.MaxTimestamp > now-s.MinCompactionLagMs {
			break
		}
		closedAge := min(s.SegmentMs, s.MaxCompactionLagMs)
		if i == len(segments)-1 && seg.Bytes < int64(s.SegmentBytes) && now-first <= closedAge {
			break
		}
		c.cleanable += seg.Bytes - below
		c.to = seg.LastOffset + 1
		c.overdue = c.overdue || first > 0 && first < now-s.MaxCompactionLagMs
	}
	if c.cleanable == 0 {
		return nil, nil
	}
	return c, nil
}

// split returns the time of a segment's first batch at or above from, and the
// bytes of those below it.
func (p *Partition) split(seg storage.Segment, from int64) (first, below int64, err error) {
	err = p.m.log.Batches(p.id, seg.BaseOffset, func(i storage.BatchInfo) bool {
		if i.LastOffset < from {
			below += int64(i.Size)
			return i.LastOffset < seg.LastOffset
		}
		first = i.MaxTimestamp
		return false
	})
	return first, below, err
}

// compactor compacts the partitions of a manager.
type compactor struct {
	m        *Manager
	settings func() Compaction
	rate     rate
	done     chan struct{} // a token when a pass has ended
	passes   sync.WaitGroup
	running  int // the run loop's
}

// compactionStats are the counters of all passes.
type compactionStats struct {
	passes, failed                                 atomic.Int64
	read, written, removed, records, kept, keyless atomic.Int64
	edits, nanos                                   atomic.Int64
	lastRun, lastLook                              atomic.Int64 // unix ms; 0 for never
	maxRatio                                       atomic.Uint64
	candidates                                     atomic.Int64
	mapUse                                         atomic.Uint64
}

// CompactionStats are figures since the start.
type CompactionStats struct {
	Passes, Failed         int64
	Read, Written, Removed int64 // bytes
	Records, Kept, Keyless int64 // that passes have looked at, kept, and dropped for want of a key
	Batches                int64 // that were changed or removed
	Seconds                float64
	LastPass, LastLook     time.Time // zero for never
	MaxDirtyRatio          float64   // of the partitions, at the last look
	Candidates             int64     // partitions that were due at the last look
	MapUse                 float64   // of the last pass: how full its map of keys was
	Uncleanable            []error   // a reason for each partition that is not compacted until the next start
}

// CompactionStats returns the figures of compaction.
func (m *Manager) CompactionStats() CompactionStats {
	c := &m.compaction
	out := CompactionStats{
		Passes: c.passes.Load(), Failed: c.failed.Load(), Read: c.read.Load(), Written: c.written.Load(), Removed: c.removed.Load(),
		Records: c.records.Load(), Kept: c.kept.Load(), Keyless: c.keyless.Load(), Batches: c.edits.Load(),
		Seconds:       time.Duration(c.nanos.Load()).Seconds(),
		MaxDirtyRatio: math.Float64frombits(c.maxRatio.Load()), Candidates: c.candidates.Load(),
		MapUse: math.Float64frombits(c.mapUse.Load()),
	}
	if ms := c.lastRun.Load(); ms > 0 {
		out.LastPass = time.UnixMilli(ms)
	}
	if ms := c.lastLook.Load(); ms > 0 {
		out.LastLook = time.UnixMilli(ms)
	}
	m.each(func(p *Partition) {
		p.mu.Lock()
		err := p.compacted.uncleanable
		p.mu.Unlock()
		if err != nil {
			out.Uncleanable = append(out.Uncleanable, fmt.Errorf("%s-%d: %w", p.topic.Load().Name, p.id.Index, err))
		}
	})
	return out
}

// RunCompaction compacts what is due until ctx ends, by settings that may change
// meanwhile.
func (m *Manager) RunCompaction(ctx context.Context, settings func() Compaction) {
	c := &compactor{m: m, settings: settings, done: make(chan struct{}, 1)}
	defer c.passes.Wait()
	for ctx.Err() == nil {
		s := settings()
		if s.Enabled && c.running < s.Threads {
			if next := m.dirtiest(ctx); next != nil {
				c.start(ctx, next, s)
				continue
			}
		}
		t := time.NewTimer(max(s.Backoff, minBackoff))
		select {
		case <-ctx.Done():
		case <-c.done:
			c.running--
		case <-t.C:
		}
		t.Stop()
	}
}

// minBackoff keeps log.cleaner.backoff.ms=0 from taking a processor for looking.
const minBackoff = 10 * time.Millisecond

func (c *compactor) start(ctx context.Context, next *candidate, s Compaction) {
	c.running++
	c.passes.Go(func() {
		c.m.compact(ctx, next, s, func(ctx context.Context, bytes int64) error {
			return c.rate.wait(ctx, bytes, c.settings().BytesPerSecond)
		})
		next.p.mu.Lock()
		next.p.compacted.busy = false
		next.p.mu.Unlock()
		select {
		case c.done <- struct{}{}:
		case <-ctx.Done():
		}
	})
}

// Compact makes one pass over each partition that is due, one after the other.
func (m *Manager) Compact(ctx context.Context, s Compaction) {
	tried := map[*Partition]bool{}
	for ctx.Err() == nil {
		next := m.dirtiest(ctx)
		if next == nil || tried[next.p] {
			if next != nil {
				next.p.idle()
			}
			return
		}
		tried[next.p] = true
		m.compact(ctx, next, s, func(ctx context.Context, _ int64) error { return ctx.Err() })
		next.p.idle()
	}
}

func (p *Partition) idle() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.compacted.busy = false
}

// dirtiest chooses the partition that has the most to gain, of those that are
// due, and marks it busy.
func (m *Manager) dirtiest(ctx context.Context) (best *candidate) {
	now := m.now().UnixMilli()
	largest, due := 0.0, int64(0)
	m.each(func(p *Partition) {
		s := p.topic.Load().Settings
		if ctx.Err() != nil || !s.CleanupCompact {
			return
		}
		p.mu.Lock()
		skip := p.gone || p.compacted.busy || p.compacted.uncleanable != nil
		p.mu.Unlock()
		if skip {
			return
		}
		c, err := p.candidate(now)
		if err != nil {
			p.uncleanable(err)
			return
		}
		if c == nil {
			return
		}
		largest = max(largest, c.ratio())
		if c.overdue || c.ratio() > s.MinCleanableDirtyRatio {
			due++
			if best == nil || c.ratio() > best.ratio() {
				best = c
			}
		}
	})
	m.compaction.maxRatio.Store(math.Float64bits(largest))
	m.compaction.candidates.Store(due)
	m.compaction.lastLook.Store(now)
	if best != nil {
		best.p.mu.Lock()
		best.p.compacted.busy = true
		best.p.mu.Unlock()
	}
	return best
}

// uncleanable takes a partition out of compaction until the next start: what went
// wrong once would go wrong again and again, and keep the others waiting.
func (p *Partition) uncleanable(err error) {
	if errors.Is(err, storage.ErrClosed) {
		return
	}
	p.m.compaction.failed.Add(1)
	p.mu.Lock()
	p.compacted.uncleanable = err
	p.mu.Unlock()
	p.zap().Error("compaction of the partition has failed; it is left out until the next start", zap.Error(err))
}

// compact makes one pass over a partition.
func (m *Manager) compact(ctx context.Context, c *candidate, s Compaction, throttle func(context.Context, int64) error) {
	p := c.p
	w := &pass{
		p: p, ctx: ctx, settings: p.topic.Load().Settings, now: m.now().UnixMilli(), throttle: throttle,
		limits: CompactionLimits{MapBytes: s.MapBytes / int64(max(s.Threads, 1)), MapLoad: s.MapLoad},
		from:   c.from, to: c.to,
	}
	end, err := w.run()
	st := &m.compaction
	st.read.Add(w.stats.read)
	st.written.Add(w.stats.written)
	st.edits.Add(w.stats.edits)
	switch {
	case err == nil:
	case ctx.Err() != nil, errors.Is(err, storage.ErrClosed), errors.Is(err, kerr.NotLeaderForPartition),
		errors.Is(err, errNotCompacted), p.retired():
		return // it is not wanted any more
	case errors.Is(err, storage.ErrNoSpace), errors.Is(err, storage.ErrFailed):
		p.zap().Warn("compaction stopped on the way and tries again", zap.Error(err))
		p.postpone(ctx)
		return
	default:
		p.uncleanable(err)
		return
	}
	st.passes.Add(1)
	st.lastRun.Store(w.now)
	st.removed.Add(w.stats.before - w.stats.after)
	st.records.Add(w.stats.records)
	st.kept.Add(w.stats.kept)
	st.keyless.Add(w.stats.keyless)
	took := w.stats.ended.Sub(w.stats.began)
	st.nanos.Add(int64(took))
	st.mapUse.Store(math.Float64bits(float64(w.stats.mapKeys) / float64(w.stats.mapSlots)))
	p.cleaned(end)
	p.zap().Info("compacted", zap.Int64("from", c.from), zap.Int64("to", end),
		zap.Int64("bytes_before", w.stats.before), zap.Int64("bytes_after", w.stats.after),
		zap.Int64("bytes_written", w.stats.written), zap.Int64("records", w.stats.records), zap.Int64("records_kept", w.stats.kept),
		zap.Int("keys", w.stats.mapKeys), zap.Bool("map_full", w.stats.full), zap.Int64("batches_unreadable", w.stats.corrupt),
		zap.Duration("mapping", w.stats.mapped.Sub(w.stats.began)), zap.Duration("waited_for_readers", w.waiting), zap.Duration("took", took))
}

// cleaned notes how far the log is clean.
func (p *Partition) cleaned(upTo int64) {
	p.mu.Lock()
	p.compacted.loaded, p.compacted.upTo = true, upTo
	p.mu.Unlock()
	if err := p.m.log.SaveState(p.id, stateCompacted, storage.State{Offset: upTo}); err != nil && !errors.Is(err, storage.ErrClosed) {
		p.zap().Warn("how far the log is compacted was not saved: it is compacted again after the next start", zap.Error(err))
	}
}

func (p *Partition) retired() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.gone
}

// fullDiskRetry is the time after which a partition is tried again that could not
// be compacted for want of space.
const fullDiskRetry = 5 * time.Second

// postpone keeps a partition busy for a while.
func (p *Partition) postpone(ctx context.Context) {
	t := time.NewTimer(fullDiskRetry)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

// rate spreads bytes over time.
type rate struct {
	mu   sync.Mutex
	next time.Time // when what was admitted so far is paid for
}

// maxBurst is what may be ahead of the rate.
const maxBurst = 100 * time.Millisecond

// wait returns when bytes may pass.
func (r *rate) wait(ctx context.Context, bytes int64, perSecond float64) error {
	if err := ctx.Err(); err != nil || perSecond <= 0 || perSecond > 1e15 {
		return err
	}
	now := time.Now()
	r.mu.Lock()
	if r.next.Before(now) {
		r.next = now
	}
	r.next = r.next.Add(time.Duration(float64(bytes) / perSecond * float64(time.Second)))
	ahead := r.next.Sub(now)
	r.mu.Unlock()
	if ahead <= maxBurst {
		return nil
	}
	t := time.NewTimer(ahead)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
