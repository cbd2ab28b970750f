package partition

import (
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
	"go.uber.org/zap"

	"github.com/streamweir/streamweir/broker/memory"
	"github.com/streamweir/streamweir/protocol/kafka"
	"github.com/streamweir/streamweir/storage"
)

// Plan is a run of whole batches that a fetch shall return. It holds no
// memory and no lock: the bytes are found when they are sent.
type Plan struct {
	Partition *Partition
	Offsets   Offsets
	Base      int64 // base offset of the first batch
	Next      int64 // the offset after the last
	Bytes     int   // of all of them
	// Aborted are the aborted transactions among them, of a plan that ends at the
	// last stable offset.
	Aborted []AbortedTxn

	hold  *hold // in a compacted topic; see Release
	first int32 // bytes of the first batch
}

// Plan returns what can be read from offset on: whole batches up to maxBytes,
// or one that is larger where oneAtLeast says so. The first batch may begin
// before offset; clients skip what they did not ask for. Errors carry Kafka's
// codes; the plan's Offsets are set in any case.
func (p *Partition) Plan(offset int64, epoch int32, maxBytes int, oneAtLeast bool) (Plan, error) {
	return p.planHeld(offset, epoch, maxBytes, oneAtLeast, false)
}

// PlanCommitted is Plan up to the last stable offset, with the transactions in
// that which were aborted: clients skip their records (read_committed).
func (p *Partition) PlanCommitted(offset int64, epoch int32, maxBytes int, oneAtLeast bool) (Plan, error) {
	plan, err := p.planHeld(offset, epoch, maxBytes, oneAtLeast, true)
	if err == nil && plan.Bytes > 0 {
		plan.Aborted, err = p.Aborted(offset, plan.Next)
	}
	if err == nil && len(plan.Aborted) > 0 {
		plan.Aborted, err = p.stillMarked(plan.Aborted)
	}
	if err != nil {
		plan.Release()
		plan.Bytes = 0
	}
	return plan, err
}

// planHeld makes a plan that compaction spares (holds.go).
func (p *Partition) planHeld(offset int64, epoch int32, maxBytes int, oneAtLeast, committed bool) (Plan, error) {
	for {
		held := p.beginHold(offset)
		plan, err := p.plan(offset, epoch, maxBytes, oneAtLeast, committed, held.limit)
		if !p.settleHold(&plan, held) || err != nil {
			return plan, err
		}
		<-held.cut // what compaction is about to change is the next there is
	}
}

// plan makes a plan of whole batches below limit.
func (p *Partition) plan(offset int64, epoch int32, maxBytes int, oneAtLeast, committed bool, limit int64) (Plan, error) {
	plan := Plan{Partition: p, Base: offset, Next: offset}
	if err := p.lockLoaded(); err != nil {
		plan.Offsets = p.Offsets()
		return plan, clientError(err)
	}
	plan.Offsets = p.offsets()
	end := plan.Offsets.High
	if committed {
		end = plan.Offsets.LastStable
	}
	err := p.checkFetch(offset, epoch)
	if err != nil || offset >= end {
		p.mu.Unlock()
		return plan, err
	}
	take := func(i storage.BatchInfo) bool {
		if i.BaseOffset >= min(end, limit) {
			return false
		}
		first := plan.Bytes == 0
		if plan.Bytes+int(i.Size) > maxBytes && (!first || !oneAtLeast) {
			return false
		}
		if first {
			plan.Base, plan.first = i.BaseOffset, i.Size
		}
		plan.Bytes += int(i.Size)
		plan.Next = i.LastOffset + 1
		return true
	}
	if at, ok := p.tails.find(offset); ok {
		for ; at < p.tails.n; at++ {
			if !take(p.tails.at(at).info) {
				break
			}
		}
		p.mu.Unlock()
		return plan, nil
	}
	anyBad, bad := len(p.corrupt) > 0, error(nil)
	p.mu.Unlock()
	err = p.m.log.Batches(p.id, offset, func(i storage.BatchInfo) bool {
		if anyBad && p.isCorrupt(i.BaseOffset) {
			if plan.Bytes == 0 {
				bad = fmt.Errorf("%w: the batch at offset %d cannot be read from disk", kerr.CorruptMessage, i.BaseOffset)
			}
			return false
		}
		return take(i)
	})
	if err == nil {
		err = bad
	}
	if err != nil {
		plan.Bytes = 0
		return plan, clientError(err)
	}
	return plan, nil
}

func (p *Partition) checkFetch(offset int64, epoch int32) error {
	if p.gone {
		return kerr.NotLeaderForPartition
	}
	if err := p.checkEpoch(epoch); err != nil {
		return err
	}
	if offset < p.start || offset > p.next {
		return fmt.Errorf("%w: offset %d is outside of %d to %d", kerr.OffsetOutOfRange, offset, p.start, p.next)
	}
	return nil
}

// Reader hands out the bytes of a plan, piece by piece.
type Reader struct {
	p     *Partition
	pos   storage.Position
	left  int // bytes of the plan that are still to come
	next  int64
	check checker
	plan  Plan
	size  int32 // of the batch before: most likely, of the next one too

	held  []*memory.Buffer
	bufs  [][]byte
	bytes int64 // of memory for bufs
}

// What readers hold is memory that clients decide over: it lasts until they have
// taken it. Up to readMemory in all, a reader gets as much as it asks for; above
// it, only small pieces, so that clients that do not read cost little and nobody
// has to wait for them.
const (
	readMemory = 128 << 20
	smallPiece = 64 << 10
)

// NewReader returns a reader for the bytes of plan.
func NewReader(plan Plan) *Reader {
	return &Reader{
		p: plan.Partition, pos: storage.Position{Base: plan.Base}, left: plan.Bytes, next: plan.Next,
		check: checker{base: plan.Base}, plan: plan, size: plan.first,
	}
}

// Left returns how many bytes are still to come.
func (r *Reader) Left() int { return r.left }

// Next returns the next bytes, about max of them, without copying those that
// are in memory. They stay valid until the call after, or Close. An error means
// that the rest cannot be had any more: the batch was trimmed away meanwhile, or
// is corrupt, which later plans then say.
func (r *Reader) Next(max int) ([][]byte, error) {
	r.Close()
	if r.left == 0 {
		return nil, nil
	}
	before := r.left
	if r.p.m.reading.Load() > readMemory {
		max = min(max, smallPiece)
	}
	if r.check.at != 0 || !r.fromMemory(max) {
		if err := r.fromStore(max); err != nil {
			r.plan.Release()
			return nil, err
		}
	}
	r.p.m.reading.Add(r.bytes)
	r.plan.readUpTo(r.check.base, r.left <= 0)
	// The log may have changed since the plan was made. What was announced must
	// be what is sent, to the byte, and end with the batch that it should.
	if r.left < 0 || r.left == 0 && (r.check.base != r.next || r.check.at != 0) {
		return nil, fmt.Errorf("the log of %s changed before offset %d while it was sent: %w", r.p.id, r.next, storage.ErrOutOfRange)
	}
	r.p.m.stats.fetched.Add(int64(before - r.left))
	return r.bufs, nil
}

// Close lets go of what Next returned.
func (r *Reader) Close() {
	r.p.m.reading.Add(-r.bytes)
	r.bytes = 0
	for i, b := range r.held {
		b.Release()
		r.held[i] = nil
	}
	r.held = r.held[:0]
	clear(r.bufs)
	r.bufs = r.bufs[:0]
}

func (r *Reader) fromMemory(max int) bool {
	p := r.p
	p.mu.Lock()
	defer p.mu.Unlock()
	i, ok := p.tails.find(r.check.base)
	if !ok {
		return false
	}
	var last storage.BatchInfo
	for n := 0; i < p.tails.n && r.left > 0 && n < max; i++ {
		e := p.tails.at(i)
		e.buffer.Retain()
		r.bytes += int64(cap(e.buffer.B)) // also where it is shared: rather too much
		r.held = append(r.held, e.buffer)
		r.bufs = append(r.bufs, e.data)
		n += len(e.data)
		r.left -= len(e.data)
		last = e.info
	}
	r.pos = storage.Position{Base: last.BaseOffset, Skip: last.Size}
	r.check = checker{base: last.LastOffset + 1}
	return true
}

func (r *Reader) fromStore(max int) error {
	buf := memory.NewBuffer(r.piece(max))
	n, err := r.p.m.log.Read(r.p.id, r.pos, buf.B)
	var bad *storage.CorruptError
	if errors.As(err, &bad) {
		r.p.reportCorrupt(bad.Base, err)
	}
	if err == nil && n < len(buf.B) {
		err = storage.ErrOutOfRange
	}
	if err == nil {
		if err = r.check.add(buf.B); err != nil {
			r.p.reportCorrupt(r.check.base, err)
		}
	}
	if err != nil {
		buf.Release()
		return fmt.Errorf("read %s-%d at %d: %w", r.p.topic.Load().Name, r.p.id.Index, r.pos.Base, err)
	}
	r.left -= n
	r.bytes = int64(n)
	r.pos = r.check.position()
	if size := r.check.last.Skip; size > 0 {
		r.size = size
	}
	r.held = append(r.held, buf)
	r.bufs = append(r.bufs, buf.B)
	return nil
}

// piece is how much to read. It ends with a batch if batches are all of one size,
// as those of a busy producer are: one that is cut is read and checked twice.
func (r *Reader) piece(max int) int {
	n, at, size := min(max, r.left), int(r.check.at), int(r.size)
	if at >= kafka.BatchHeaderSize {
		size = int(r.check.size)
	}
	if n < r.left && size > 0 && at+n > size {
		n -= (at + n) % size
	}
	return n
}

// checker follows batches through a stream of bytes that is cut anywhere, so
// that the reader knows where in the log it is. The store has compared what it
// read with its checksums.
type checker struct {
	base   int64            // of the batch that the stream is in, or the offset it must have or pass
	last   storage.Position // behind the last batch that is complete
	at     int32            // bytes of the batch that are behind us
	header [kafka.BatchHeaderSize]byte
	size   int32
	next   int64
}

// batchPrefix is what a batch's length does not count: its offset and itself.
const batchPrefix = 8 + 4

var errChecksum = errors.New("its checksum does not match its content")

func (c *checker) add(b []byte) error {
	for len(b) > 0 {
		if c.at < kafka.BatchHeaderSize {
			n := copy(c.header[c.at:], b)
			c.at += int32(n)
			b = b[n:]
			if c.at < kafka.BatchHeaderSize {
				return nil
			}
			h := kafka.Batch(c.header[:])
			if c.size = h.Length() + batchPrefix; c.size < kafka.BatchHeaderSize {
				return fmt.Errorf("its length of %d bytes is impossible", c.size)
			}
			// Offsets may have gaps, so the header says which batch this is.
			c.base, c.next = h.BaseOffset(), h.LastOffset()+1
		}
		n := min(int(c.size-c.at), len(b))
		c.at += int32(n)
		b = b[n:]
		if c.at == c.size {
			*c = checker{base: c.next, last: storage.Position{Base: c.base, Skip: c.size}}
		}
	}
	return nil
}

// position is where the stream goes on. Between two batches it is behind the
// first, since the offset at which the second begins is not known.
func (c *checker) position() storage.Position {
	if c.at == 0 {
		return c.last
	}
	return storage.Position{Base: c.base, Skip: c.at}
}

// reportCorrupt notes that a batch cannot be read: it is said once, and fetches
// stop before it from now on.
func (p *Partition) reportCorrupt(base int64, err error) {
	p.mu.Lock()
	if p.corrupt == nil {
		p.corrupt = map[int64]struct{}{}
	}
	_, known := p.corrupt[base]
	p.corrupt[base] = struct{}{}
	p.mu.Unlock()
	if !known {
		p.m.stats.corrupt.Add(1)
		p.zap().Error("a batch on disk is corrupt and cannot be served; its neighbours can", zap.Int64("offset", base), zap.Error(err))
	}
}

func (p *Partition) isCorrupt(base int64) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, bad := p.corrupt[base]
	return bad
}

// readBatch returns a whole batch in a buffer of its own.
func (p *Partition) readBatch(i storage.BatchInfo) (*memory.Buffer, error) {
	buf := memory.NewBuffer(int(i.Size))
	n, err := p.m.log.Read(p.id, storage.Position{Base: i.BaseOffset}, buf.B)
	if err == nil && n < len(buf.B) {
		err = storage.ErrOutOfRange
	}
	if b := kafka.Batch(buf.B); err == nil && (len(b) < kafka.BatchHeaderSize || b.BaseOffset() != i.BaseOffset || b.Length()+batchPrefix != i.Size) {
		err = storage.ErrOutOfRange // compaction has changed it meanwhile
	}
	if err == nil && !kafka.Batch(buf.B).CRCValid() {
		err = &storage.CorruptError{Partition: p.id, Base: i.BaseOffset, Err: errChecksum}
	}
	var bad *storage.CorruptError
	if errors.As(err, &bad) {
		p.reportCorrupt(i.BaseOffset, err)
		err = fmt.Errorf("%w: %w", kerr.CorruptMessage, err)
	}
	if err != nil {
		buf.Release()
		return nil, fmt.Errorf("read %s-%d at %d: %w", p.topic.Load().Name, p.id.Index, i.BaseOffset, err)
	}
	return buf, nil
}
