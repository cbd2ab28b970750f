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

// Request is one record batch that shall be appended.
type Request struct {
	// Batch is the batch as the producer sent it; its offsets, leader epoch and,
	// where the topic says so, timestamps are set in place.
	Batch kafka.Batch
	// Buffer holds Batch. Append keeps it as long as it needs it.
	Buffer *memory.Buffer
	// Internal marks a batch that the broker itself has made.
	Internal bool
	// Verified marks a transactional batch whose partition the transaction
	// coordinator has confirmed (KIP-890). Guard is then what Verify gave, which
	// says that no marker came in between; 0 is not compared.
	Verified bool
	Guard    uint64
	// MaxBytes, where it is not 0, bounds the batch's size in place of
	// max.message.bytes: the caller has rules of its own for what it takes.
	MaxBytes int
	// Done is called exactly once, perhaps before Append returns.
	Done func(Result)
}

// Result is what came of a Request.
type Result struct {
	BaseOffset     int64
	LogAppendTime  int64 // -1 where the records keep their own time
	LogStartOffset int64
	// Err is nil, or wraps a *kerr.Error that the client is told.
	Err error
}

// pending is an append that the store has not reported yet.
type pending struct {
	storage.Append
	batch    kafka.Batch
	buffer   *memory.Buffer
	internal bool
	marker   *Marker // of a control batch
	verified bool
	guard    uint64
	result   Result
	done     func(Result)
	also     []func(Result) // repeated sends of the same batch, and drain
}

// pendings is a queue of appends in a ring.
type pendings struct {
	ring []*pending
	head int
	n    int
}

func (q *pendings) at(i int) *pending { return q.ring[(q.head+i)&(len(q.ring)-1)] }

func (q *pendings) push(x *pending) {
	if q.n == len(q.ring) {
		grown := make([]*pending, max(4, 2*len(q.ring)))
		for i := range q.n {
			grown[i] = q.at(i)
		}
		q.ring, q.head = grown, 0
	}
	q.ring[(q.head+q.n)&(len(q.ring)-1)] = x
	q.n++
}

func (q *pendings) pop() *pending {
	x := q.ring[q.head]
	q.ring[q.head] = nil
	q.head = (q.head + 1) & (len(q.ring) - 1)
	q.n--
	return x
}

// Append checks a batch, gives it its offsets and queues it. r.Done is told
// when it is durable, or why not.
func (p *Partition) Append(r Request) {
	t := p.topic.Load()
	rules := kafka.Rules{
		MaxMessageBytes: int(t.Settings.MaxMessageBytes),
		BeforeMaxMs:     t.Settings.TimestampBeforeMaxMs,
		AfterMaxMs:      t.Settings.TimestampAfterMaxMs,
		Now:             p.m.now().UnixMilli(),
		Compacted:       t.Settings.CleanupCompact,
		Coordinator:     r.Internal,
		Target: kafka.Target{
			Recompress: !t.Settings.CompressionProducer,
			Codec:      kafka.Codec(t.Settings.Codec), Level: int(t.Settings.CompressionLevel),
		},
	}
	if t.Settings.LogAppendTime {
		rules.TimestampType = kafka.LogAppendTime
	}
	if r.MaxBytes > 0 {
		rules.MaxMessageBytes = r.MaxBytes
	}
	batch, checked, err := p.m.validate(r.Batch, rules)
	if err == nil {
		// Refused before the batch has an offset, so that a full disk does not
		// disturb the sequence of those behind it.
		err = p.m.store.Health()
		if r.Internal && errors.Is(err, storage.ErrNoSpace) {
			err = nil // it may use the reserve; the store decides
		}
		if errors.Is(err, storage.ErrNoSpace) {
			p.m.stats.noSpace.Add(1)
		}
	}
	if err != nil {
		p.m.stats.refused.Add(1)
		r.Done(Result{BaseOffset: -1, LogAppendTime: -1, LogStartOffset: -1, Err: clientError(err)})
		return
	}
	x := &pending{
		batch: batch, done: r.Done, result: Result{LogAppendTime: -1}, internal: r.Internal,
		verified: r.Verified, guard: r.Guard,
	}
	if t.Settings.LogAppendTime {
		x.result.LogAppendTime = rules.Now
	}
	x.buffer = r.Buffer
	if checked.Rewritten {
		// The batch left the request's buffer.
		x.buffer = nil
	}
	p.queue(x, rules.Now)
}

// validate checks a batch. Decompressing one may take memory for a large window,
// so that only so many are checked at a time.
//
// A batch that gets another codec is held in memory decompressed. So it may be
// no larger than a request that brings it uncompressed could be, and only one is
// rewritten at a time.
func (m *Manager) validate(b kafka.Batch, rules kafka.Rules) (kafka.Batch, kafka.Result, error) {
	if rules.Target.Recompress && rules.Target.Codec != b.Codec() {
		rules.DecompressedLimit = m.recompressLimit
		m.recompressing <- struct{}{}
		defer func() { <-m.recompressing }()
	}
	if b.Codec() != kafka.CodecNone {
		m.decompressing <- struct{}{}
		defer func() { <-m.decompressing }()
	}
	return kafka.Validate(b, rules)
}

// queue gives x its offsets and hands it to the store.
func (p *Partition) queue(x *pending, now int64) {
	p.mu.Lock()
	for p.mustLoad(x) {
		p.mu.Unlock()
		if err := p.loadProducers(); err != nil {
			x.done(p.refusal(err))
			return
		}
		p.mu.Lock()
	}
	if p.gone {
		p.mu.Unlock()
		x.done(p.refusal(kerr.NotLeaderForPartition))
		return
	}
	dup, err := p.admit(x, now)
	switch {
	case dup != nil: // sealed or not: it was appended
		p.repeat(dup, x.done)
		return
	case p.sealed && !x.internal:
		err = p.sealedError()
	}
	if err != nil {
		p.mu.Unlock()
		x.done(p.refusal(err))
		return
	}
	if x.result.LogAppendTime >= 0 {
		// Batches that were checked side by side may have come here in another
		// order; the log's time does not go back.
		if now < p.appendTime {
			x.batch.SetLogAppendTime(p.appendTime)
			x.result.LogAppendTime = p.appendTime
		}
		p.appendTime = x.result.LogAppendTime
	}
	info := storage.BatchInfo{
		BaseOffset: p.next, LastOffset: p.next + int64(x.batch.LastOffsetDelta()),
		MaxTimestamp: x.batch.MaxTimestamp(), Size: int32(len(x.batch)),
	}
	x.batch.SetBaseOffset(info.BaseOffset)
	x.batch.SetLeaderEpoch(p.m.epoch)
	x.result.BaseOffset, x.result.LogStartOffset = info.BaseOffset, p.start
	x.Append = storage.Append{
		Partition: p.id, Info: info, Data: x.batch, Epoch: p.m.epoch, Term: p.term,
		Internal: x.internal, Done: p.appended, Owner: x,
	}
	if x.buffer != nil {
		x.buffer.Retain()
	}
	p.next = info.LastOffset + 1
	p.appending(x, now)
	p.inflight.push(x)
	p.m.log.Append(&x.Append)
	p.mu.Unlock()
}

// mustLoad says whether the state of producers has to be read before x can be
// appended: because x has a producer, or because so much was appended without
// the state that reading it later would take long.
func (p *Partition) mustLoad(x *pending) bool {
	if p.producers != nil || p.gone {
		return false
	}
	if p.next == 0 {
		p.producers = newProducers(0) // there is nothing to read
		return false
	}
	return x.batch.HasProducerID() || p.snapshot.due()
}

// admit checks x against what is known of its producer. The caller holds the
// lock.
func (p *Partition) admit(x *pending, now int64) (*producerBatch, error) {
	if !x.batch.HasProducerID() {
		return nil, nil
	}
	if x.marker != nil {
		return nil, p.producers.checkMarker(x.marker)
	}
	a := admission{batch: x.batch, client: !x.internal, verified: x.verified}
	if x.batch.IsTransactional() {
		if v := p.verifying[x.batch.ProducerID()]; v != nil && !v.begun {
			a.verification = v
		}
		if x.guard != 0 {
			a.verified = x.verified && a.verification != nil && a.verification.guard == x.guard
		}
	}
	return p.producers.check(a, now-p.m.expireProducers().Milliseconds())
}

// appending takes x, which has its offsets now, into the state of producers. The
// caller holds the lock.
func (p *Partition) appending(x *pending, now int64) {
	if x.batch.IsTransactional() {
		p.endVerification(x.batch.ProducerID(), x.batch.ProducerEpoch(), x.marker != nil)
	}
	if p.producers != nil {
		_ = p.producers.add(x.batch, now) // a marker that we have built can be read
	}
	p.snapshot.grown(p, int(x.Info.Size))
}

// repeat answers a batch that was sent before: at once if the first one is
// durable, else together with it. It is called with the lock and lets go of it.
func (p *Partition) repeat(dup *producerBatch, done func(Result)) {
	p.m.stats.duplicates.Add(1)
	for i := range p.inflight.n {
		if x := p.inflight.at(i); x.Info.BaseOffset == dup.baseOffset {
			x.also = append(x.also, done)
			p.mu.Unlock()
			return
		}
	}
	r := Result{BaseOffset: dup.baseOffset, LogAppendTime: -1, LogStartOffset: p.start}
	if p.topic.Load().Settings.LogAppendTime {
		r.LogAppendTime = dup.timestamp
	}
	p.mu.Unlock()
	done(r)
}

func (p *Partition) refusal(err error) Result {
	p.m.stats.refused.Add(1)
	return Result{BaseOffset: -1, LogAppendTime: -1, LogStartOffset: -1, Err: clientError(err)}
}

// appended is the store's report on the oldest append under way.
func (p *Partition) appended(a *storage.Append, err error) {
	x := a.Owner.(*pending)
	var fire []*Watch
	p.mu.Lock()
	if first := p.inflight.pop(); first != x {
		p.mu.Unlock()
		panic(fmt.Sprintf("append %s at %d was reported before that at %d", p.id, x.Info.BaseOffset, first.Info.BaseOffset))
	}
	cost := int64(0)
	if err == nil {
		stable := p.raise(x)
		p.snapshot.durable(p)
		cost = p.remember(x)
		fire = p.wake(int64(x.Info.Size), stable)
	} else {
		p.failed(x)
	}
	p.mu.Unlock()
	if x.buffer != nil {
		x.buffer.Release()
	}
	if cost > 0 {
		p.m.cache.added(p, cost)
	}
	if err != nil {
		x.result = p.refusal(fmt.Errorf("append %s-%d at %d: %w", p.topic.Load().Name, p.id.Index, x.Info.BaseOffset, err))
	} else {
		p.m.stats.batches.Add(1)
		p.m.stats.bytes.Add(int64(x.Info.Size))
	}
	x.done(x.result)
	for _, done := range x.also {
		done(x.result)
	}
	for _, w := range fire {
		w.fire()
	}
}

// raise moves the high watermark up to behind x, and returns how many bytes have
// become stable by that.
func (p *Partition) raise(x *pending) int64 {
	size := int64(x.Info.Size)
	if p.producers == nil {
		// Nobody knows the last stable offset; those who wait for it look again.
		p.high = x.Info.LastOffset + 1
		return size
	}
	before := p.stable()
	p.high = x.Info.LastOffset + 1
	p.producers.txns.durable(p.high)
	if x.marker != nil {
		p.sealAborted(p.producers, p.high)
	}
	p.unstable += size
	if p.stable() == before {
		return 0
	}
	size = p.unstable
	if p.stable() == p.high {
		p.unstable = 0
	}
	// Or else a part stays unstable, and this is more than there is: somebody who
	// waits for many bytes may get fewer.
	return size
}

// failed takes the log's end back to before x. What was queued behind it in
// the same term will be reported as failed as well.
func (p *Partition) failed(x *pending) {
	if x.Term != p.term {
		return
	}
	p.term++
	p.next = x.Info.BaseOffset
	p.producers = nil // holds batches that never were: read again from the log
	p.snapshot = snapshots{}
}

// remember keeps a durable batch in memory for those who read at the end, and
// returns what it costs.
func (p *Partition) remember(x *pending) int64 {
	if p.m.cache.limit <= 0 || p.gone {
		return 0
	}
	e := tail{info: x.Info, data: x.batch, buffer: x.buffer}
	if x.buffer == nil || cap(x.buffer.B)/maxShare > len(x.batch) {
		e.buffer = memory.NewBuffer(len(x.batch))
		defer e.buffer.Release()
		copy(e.buffer.B, x.batch)
		e.data = e.buffer.B
	}
	p.tails.push(e)
	return e.buffer.Keep() + tailOverhead
}

// evictOldest lets go of the oldest batch in memory, and returns what it has cost.
func (p *Partition) evictOldest() int64 {
	p.mu.Lock()
	var e tail
	switch {
	case p.forgotten > 0:
		p.forgotten-- // compaction was faster
	case p.tails.n > 0:
		e = p.tails.pop()
	}
	p.mu.Unlock()
	if e.buffer == nil {
		return 0
	}
	return e.drop()
}

// clientError wraps err so that it carries a code for the client.
func clientError(err error) error {
	var ke *kerr.Error
	if errors.As(err, &ke) {
		return err
	}
	return fmt.Errorf("%w: %w", kerr.KafkaStorageError, err)
}

func (p *Partition) zap() *zap.Logger {
	return p.m.zap.With(zap.String("topic", p.topic.Load().Name), zap.Int32("partition", p.id.Index))
}
