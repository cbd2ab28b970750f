package partition

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"go.uber.org/zap"

	"github.com/streamweir/streamweir/broker/memory"
	"github.com/streamweir/streamweir/broker/topic"
	"github.com/streamweir/streamweir/protocol/kafka"
	"github.com/streamweir/streamweir/storage"
)

// A pass of compaction over one partition, by the rules of Apache Kafka's
// Cleaner: it notes the last offset of each key in the part of the log that is
// dirty, as far as the memory for that reaches; and then goes over the log from
// its start to there, and drops every record whose key has a later one. What does
// not change is not written. Edits go to the store in order of offset, a few at a
// time, and whatever is done when a pass ends early is a valid log: the later
// record that took the place of a dropped one is always there.
type pass struct {
	p        *Partition
	ctx      context.Context
	settings *topic.Settings
	limits   CompactionLimits
	now      int64
	throttle func(ctx context.Context, bytes int64) error

	from, to int64 // what is dirty and may be compacted
	keys     *keyMap
	latest   int64 // the last offset that keys knows of
	txns     *outcomes
	last     map[int64]lastEntry // of active producers; nil until one is seen

	// Of the second part: producers of whose transaction a batch was seen since
	// its last marker, and whether a batch could not be read.
	seen    map[int64]struct{}
	badSeen bool

	edits     []storage.Edit
	editBytes int64 // new bytes in edits
	passed    int64 // bytes gone over since the first of them
	waiting   time.Duration
	stats     passStats
}

type passStats struct {
	read, written        int64 // bytes
	before, after        int64 // bytes of what was gone over, and of what is left of it
	records, kept        int64
	batches, corrupt     int64
	keyless              int64
	edits                int64
	mapKeys, mapSlots    int
	full                 bool
	began, mapped, ended time.Time
}

// lastEntry is where the newest batch of an active producer is. It stays, even
// empty, so that the producer's state can be rebuilt from the log.
type lastEntry struct {
	offset int64 // last offset of its newest batch with records; -1 where only a marker is known
	epoch  int16
}

// CompactionLimits bound what compaction uses.
type CompactionLimits struct {
	MapBytes int64   // memory for keys, of one pass
	MapLoad  float64 // how full it may get
}

const (
	// scanBytes is how much of a log is read at a time.
	scanBytes = 1 << 20
	// A step of edits goes to the store when it has reached one of these.
	stepBytes  = 512 << 10
	stepEdits  = 256
	stepPassed = 4 << 20
	// waitBudget is how long one pass waits for readers in all.
	waitBudget = 2 * time.Minute
)

var errMapTooSmall = errors.New("log.cleaner.dedupe.buffer.size, divided by log.cleaner.threads, has no room for even one key")

// run does the pass, and returns the offset up to which the log is clean then.
func (w *pass) run() (end int64, err error) {
	w.stats.began = w.p.m.now()
	// The state of producers must not depend on batches that are about to go.
	w.p.saveProducers()
	if err := w.buildMap(); err != nil {
		return w.from, err
	}
	w.stats.mapped = w.p.m.now()
	w.stats.mapKeys, w.stats.mapSlots = w.keys.n, len(w.keys.slots)
	if w.latest >= w.from {
		if err := w.filter(); err != nil {
			return w.from, err
		}
	}
	w.stats.ended = w.p.m.now()
	return w.latest + 1, nil
}

// buildMap notes the last offset of each key from w.from to w.to.
func (w *pass) buildMap() error {
	w.latest = w.from - 1
	w.keys = newKeyMap(w.limits.MapBytes, w.to-w.from, w.limits.MapLoad)
	err := w.scan(w.from, w.to, func(i storage.BatchInfo, b kafka.Batch) error {
		if b != nil && b.IsTransactional() && w.txns == nil {
			if err := w.findTransactions(max(i.BaseOffset, w.from)); err != nil {
				return err
			}
		}
		switch {
		case i.LastOffset >= w.to:
			return errEnough
		case b == nil || b.IsControl():
			// What cannot be read takes no part, and goes nowhere.
		case b.IsTransactional():
			// What was aborted, or perhaps was, must not outlast what was not.
			if w.txns.of(b.ProducerID(), i.LastOffset) == committed {
				return w.mapBatch(i, b)
			}
		default:
			return w.mapBatch(i, b)
		}
		w.latest = i.LastOffset
		return nil
	})
	if errors.Is(err, errMapFull) {
		w.stats.full = true
		if w.latest < w.from {
			return errMapTooSmall
		}
		return nil
	}
	if err == nil || errors.Is(err, errEnough) {
		w.latest = w.to - 1 // the log may have gaps
		return nil
	}
	return err
}

var errMapFull = errors.New("the map of keys is full")

func (w *pass) mapBatch(i storage.BatchInfo, b kafka.Batch) error {
	r := kafka.ReadRecords(b, 0)
	defer r.Close()
	for r.Next() {
		rec := r.Record()
		if rec.Key == nil || rec.Offset < w.from {
			continue
		}
		if !w.keys.put(rec.Key, rec.Offset) {
			return errMapFull
		}
		w.latest = rec.Offset
	}
	if err := r.Err(); err != nil {
		// The records up to here are in the map, and they are there: they stay.
		w.malformed(i, err)
	}
	w.latest = i.LastOffset
	return nil
}

// findTransactions looks for the ends of the transactions from offset on. All
// that lies below the last stable offset has one, perhaps behind w.to.
func (w *pass) findTransactions(offset int64) error {
	f := newTxnFinder()
	end := w.p.Offsets().High
	err := w.scan(offset, end, func(i storage.BatchInfo, b kafka.Batch) error {
		switch {
		case b == nil:
			f.unreadable(i.LastOffset)
		case b.IsControl():
			t, ok, err := b.ControlType()
			if err != nil {
				w.malformed(i, err)
				f.unreadable(i.LastOffset)
			} else if ok {
				f.marker(b.ProducerID(), i.LastOffset, t)
			}
		case b.IsTransactional() && i.BaseOffset < w.to:
			f.data(b.ProducerID(), i.BaseOffset)
		}
		if i.LastOffset >= w.to-1 && len(f.open) == 0 {
			return errEnough
		}
		return nil
	})
	if err != nil && !errors.Is(err, errEnough) {
		return err
	}
	// The last stable offset should have kept this pass from what has no end yet.
	for _, open := range f.open {
		w.to = max(w.from, min(w.to, open))
	}
	w.txns = &f.outcomes
	return nil
}

var errEnough = errors.New("enough")

// filter goes over the log up to w.latest and drops what is outdated.
func (w *pass) filter() error {
	w.seen = map[int64]struct{}{}
	err := w.scan(w.p.Offsets().Start, w.latest+1, func(i storage.BatchInfo, b kafka.Batch) error {
		w.stats.batches++
		w.stats.before += int64(i.Size)
		w.stats.after += int64(i.Size)
		if b == nil {
			w.badSeen = true
		} else if err := w.filterBatch(i, b); err != nil {
			return err
		}
		if len(w.edits) > 0 {
			w.passed += int64(i.Size)
		}
		if len(w.edits) >= stepEdits || w.editBytes >= stepBytes || w.passed >= stepPassed {
			return w.flush()
		}
		return nil
	})
	if err != nil {
		return err
	}
	return w.flush()
}

func (w *pass) filterBatch(i storage.BatchInfo, b kafka.Batch) error {
	v, err := w.judge(i, b)
	if err != nil {
		return err
	}
	if v.malformed != nil {
		w.malformed(i, v.malformed)
		w.badSeen = true
		return nil
	}
	w.stats.records += int64(b.NumRecords())
	if v.dropRecords {
		w.settle(i, b, kafka.Filtered{Changed: true}, v.keepEmpty)
		return nil
	}
	horizon, hasHorizon := b.DeleteHorizon()
	f := kafka.Filter{Horizon: w.now + w.settings.DeleteRetentionMs, Marker: v.setHorizon}
	if !w.settings.CompressionProducer && kafka.Codec(w.settings.Codec) == b.Codec() {
		f.Level = int(w.settings.CompressionLevel)
	}
	f.Keep = func(r *kafka.Record) bool { return true }
	if !b.IsControl() {
		f.Keep = func(r *kafka.Record) bool { return w.keep(r, hasHorizon, horizon) }
		// The horizon of a tombstone begins when what it deletes is gone.
		f.Tombstone = func(r *kafka.Record) bool { return r.Offset <= w.latest }
	}
	out, err := f.Apply(b)
	if err != nil {
		w.malformed(i, err)
		w.badSeen = true
		return nil
	}
	w.settle(i, b, out, v.keepEmpty)
	return nil
}

// keep says whether a record stays: it is the last of its key, and no tombstone
// whose time is over. Records behind what the map knows stay.
func (w *pass) keep(r *kafka.Record, hasHorizon bool, horizon int64) bool {
	switch {
	case r.Offset > w.latest:
		return true
	case r.Key == nil:
		w.stats.keyless++
		return false
	case r.Offset < w.keys.get(r.Key):
		return false
	}
	return r.Value != nil || !hasHorizon || w.now < horizon
}

// verdict is what is decided of a batch before its records are looked at.
type verdict struct {
	dropRecords bool // all of them
	keepEmpty   bool // the batch stays without records
	setHorizon  bool // it is a marker that nothing needs any more
	malformed   error
}

func (w *pass) judge(i storage.BatchInfo, b kafka.Batch) (v verdict, err error) {
	discard := false
	switch {
	case b.IsControl():
		if discard, v.malformed = w.markerDone(b); v.malformed != nil {
			return v, nil
		}
		v.setHorizon = discard
		horizon, has := b.DeleteHorizon()
		v.dropRecords = discard && has && horizon <= w.now
	case b.IsTransactional():
		w.seen[b.ProducerID()] = struct{}{}
		v.dropRecords = w.txns != nil && w.txns.of(b.ProducerID(), i.LastOffset) == aborted
	}
	if b.HasProducerID() {
		if err := w.loadLast(); err != nil {
			return v, err
		}
		if l, ok := w.last[b.ProducerID()]; ok {
			v.keepEmpty = l.offset == i.LastOffset || l.offset < 0 && b.IsControl() && l.epoch == b.ProducerEpoch()
		}
	}
	// The last batch of a pass stays, so that where it ended can be seen.
	v.keepEmpty = v.keepEmpty || i.LastOffset+1 == w.to
	return v, nil
}

// markerDone takes up a marker and says whether none of the transaction that it
// ends is left.
func (w *pass) markerDone(b kafka.Batch) (bool, error) {
	t, ok, err := b.ControlType()
	switch {
	case err != nil:
		return false, err
	case !ok:
		return true, nil // it has been emptied before
	case t != kafka.ControlAbort && t != kafka.ControlCommit:
		return false, nil
	}
	_, any := w.seen[b.ProducerID()]
	delete(w.seen, b.ProducerID())
	// What could not be read may have been of this transaction.
	return !any && !w.badSeen, nil
}

// settle turns what became of a batch into an edit.
func (w *pass) settle(i storage.BatchInfo, b kafka.Batch, out kafka.Filtered, keepEmpty bool) {
	w.stats.kept += int64(out.Kept)
	if !out.Changed {
		return
	}
	e := storage.Edit{Old: i}
	switch {
	case out.Kept > 0:
		e.Data, e.MaxTimestamp = out.Batch, out.Batch.MaxTimestamp()
	case keepEmpty && b.NumRecords() == 0:
		return // it is empty already
	case keepEmpty:
		e.Data, e.MaxTimestamp = b.Empty(), b.MaxTimestamp()
	}
	w.edits = append(w.edits, e)
	w.editBytes += int64(len(e.Data))
	w.stats.after += int64(len(e.Data)) - int64(i.Size)
}

// flush has the store do the edits that have gathered.
func (w *pass) flush() error {
	if len(w.edits) == 0 {
		return nil
	}
	from, to := w.edits[0].Old.BaseOffset, w.edits[len(w.edits)-1].Old.LastOffset
	waited, ok := w.p.beginChange(w.ctx, from, to, min(holdWait, waitBudget-w.waiting))
	w.waiting += waited
	if !ok {
		return w.ctx.Err()
	}
	err := w.p.m.log.Replace(w.p.id, w.edits...)
	if errors.Is(err, storage.ErrOutOfRange) {
		// The log's start may have moved past some of them.
		start, _ := w.p.m.log.Bounds(w.p.id)
		left := w.edits[:0]
		for _, e := range w.edits {
			if e.Old.LastOffset >= start {
				left = append(left, e)
			}
		}
		if len(left) < len(w.edits) {
			w.edits = left
			err = w.p.m.log.Replace(w.p.id, w.edits...)
		}
	}
	w.p.endChange()
	if err != nil {
		return fmt.Errorf("compact %d to %d: %w", from, to, err)
	}
	w.stats.edits += int64(len(w.edits))
	w.stats.written += w.editBytes
	bytes := w.editBytes
	clear(w.edits)
	w.edits, w.editBytes, w.passed = w.edits[:0], 0, 0
	return w.throttle(w.ctx, bytes)
}

// loadLast asks for the newest batches of the active producers. Those that become
// active later write behind w.to.
func (w *pass) loadLast() error {
	if w.last != nil {
		return nil
	}
	var err error
	w.last, err = w.p.lastEntries()
	return err
}

// lastEntries returns the newest batch of each active producer.
func (p *Partition) lastEntries() (map[int64]lastEntry, error) {
	for {
		if err := p.loadProducers(); err != nil {
			return nil, err
		}
		p.mu.Lock()
		if p.producers == nil { // an append has failed meanwhile
			p.mu.Unlock()
			continue
		}
		out := make(map[int64]lastEntry, len(p.producers.byID))
		for id, s := range p.producers.byID {
			e := lastEntry{offset: -1, epoch: s.epoch}
			if s.n > 0 {
				e.offset = s.batches[s.n-1].lastOffset
			}
			out[id] = e
		}
		p.mu.Unlock()
		return out, nil
	}
}

// malformed takes note of a batch that is as it was written, but makes no sense.
// It stays as it is.
func (w *pass) malformed(i storage.BatchInfo, err error) {
	if w.stats.corrupt++; w.stats.corrupt == 1 {
		w.p.zap().Warn("compaction leaves a batch alone whose records it cannot read", zap.Int64("offset", i.BaseOffset), zap.Error(err))
	}
}

// scan calls fn with each batch that begins in from..to-1, or holds from, in
// order. The batch is nil where it cannot be read, and valid only during the call.
func (w *pass) scan(from, to int64, fn func(storage.BatchInfo, kafka.Batch) error) error {
	for from < to {
		if err := w.stopped(); err != nil {
			return err
		}
		var infos []storage.BatchInfo
		bytes := int64(0)
		err := w.p.m.log.Batches(w.p.id, from, func(i storage.BatchInfo) bool {
			if i.BaseOffset >= to {
				return false
			}
			infos = append(infos, i)
			bytes += int64(i.Size)
			return bytes < scanBytes
		})
		if err != nil {
			return err
		}
		if len(infos) == 0 {
			return nil
		}
		// A large batch at the end is read by itself.
		if n := len(infos); n > 1 && bytes > 2*scanBytes {
			bytes -= int64(infos[n-1].Size)
			infos = infos[:n-1]
		}
		if from, err = w.scanRun(infos, bytes, fn); err != nil {
			return err
		}
	}
	return nil
}

// scanRun reads batches together, and returns where the next one begins.
func (w *pass) scanRun(infos []storage.BatchInfo, bytes int64, fn func(storage.BatchInfo, kafka.Batch) error) (next int64, err error) {
	buf := memory.NewBuffer(int(bytes))
	defer buf.Release()
	n, err := w.p.m.log.Read(w.p.id, storage.Position{Base: infos[0].BaseOffset}, buf.B[:bytes])
	var bad *storage.CorruptError
	if err != nil && !errors.As(err, &bad) {
		if errors.Is(err, storage.ErrOutOfRange) {
			start, _ := w.p.m.log.Bounds(w.p.id)
			if start > infos[0].LastOffset {
				return start, nil // trimmed away since it was listed
			}
		}
		return 0, err
	}
	w.stats.read += int64(n)
	at := 0
	for _, i := range infos {
		b := kafka.Batch(nil)
		end := at + int(i.Size)
		switch {
		case end <= n:
			b = kafka.Batch(buf.B[at:end])
			if len(b) < kafka.BatchHeaderSize || b.BaseOffset() != i.BaseOffset || b.Length()+batchPrefix != i.Size {
				return 0, fmt.Errorf("the batch at %d is not what was listed: %w", i.BaseOffset, storage.ErrOutOfRange)
			}
			if !b.CRCValid() {
				w.unreadable(i, errChecksum)
				b = nil
			}
		case bad != nil && bad.Base == i.BaseOffset:
			w.unreadable(i, err)
		case bad != nil:
			return i.BaseOffset, w.throttle(w.ctx, int64(n)) // behind the bad one, read again
		default:
			return i.BaseOffset, w.throttle(w.ctx, int64(n)) // trimmed away meanwhile
		}
		if err := fn(i, b); err != nil {
			return 0, err
		}
		next = i.LastOffset + 1
		at = end
	}
	return next, w.throttle(w.ctx, int64(n))
}

// unreadable reports a batch that stays as it is.
func (w *pass) unreadable(i storage.BatchInfo, err error) {
	w.stats.corrupt++
	w.p.reportCorrupt(i.BaseOffset, err)
}

// stopped says why the pass must not go on.
func (w *pass) stopped() error {
	if err := w.ctx.Err(); err != nil {
		return err
	}
	w.p.mu.Lock()
	gone := w.p.gone
	w.p.mu.Unlock()
	if gone {
		return kerr.NotLeaderForPartition
	}
	if !w.p.topic.Load().Settings.CleanupCompact {
		return errNotCompacted
	}
	return nil
}

var errNotCompacted = errors.New("cleanup.policy does not hold compact any more")

// stillMarked leaves out those transactions whose marker compaction has removed,
// after all that they wrote. A consumer takes a producer's records for aborted
// until it comes to the marker, and would take those of later transactions too.
//
// The index keeps them: chunks in the store are never changed, so that a crash
// between an edit of the log and one of the index cannot part the two.
func (p *Partition) stillMarked(txns []AbortedTxn) ([]AbortedTxn, error) {
	p.mu.Lock()
	compacted := p.compacted.upTo > 0
	p.mu.Unlock()
	if !compacted && !p.topic.Load().Settings.CleanupCompact {
		return txns, nil
	}
	// All markers in one walk: looking for each by itself would go over the same
	// gap that compaction has left again and again.
	markers := make([]int64, len(txns))
	for i, t := range txns {
		markers[i] = t.LastOffset
	}
	slices.Sort(markers)
	there := make(map[int64]bool, len(txns))
	for next := 0; next < len(markers); {
		far := false
		between := 0 // batches since the last marker
		err := p.m.log.Batches(p.id, markers[next], func(i storage.BatchInfo) bool {
			for between++; next < len(markers) && markers[next] <= i.LastOffset; next++ {
				there[markers[next]] = markers[next] >= i.BaseOffset && i.Size > kafka.BatchHeaderSize
				between = 0
			}
			far = between >= markerSeek
			return next < len(markers) && !far
		})
		if err != nil {
			return nil, clientError(err)
		}
		if !far {
			break
		}
	}
	return slices.DeleteFunc(slices.Clone(txns), func(t AbortedTxn) bool { return !there[t.LastOffset] }), nil
}

// markerSeek is how many batches are passed over on the way to the next marker
// before it is looked up.
const markerSeek = 256
