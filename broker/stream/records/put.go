package records

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"go.uber.org/zap"

	"github.com/streamweir/streamweir/broker/memory"
	"github.com/streamweir/streamweir/broker/partition"
	"github.com/streamweir/streamweir/broker/quota"
	"github.com/streamweir/streamweir/broker/shard"
	"github.com/streamweir/streamweir/broker/stream"
	"github.com/streamweir/streamweir/broker/topic"
	"github.com/streamweir/streamweir/protocol/kafka"
	"github.com/streamweir/streamweir/storage"
)

// Entry is one record that shall be put.
type Entry struct {
	PartitionKey string
	NoKey        bool // it has no partition key
	Data         []byte
	// Hash says which shard takes it: shard.KeyOf(PartitionKey), or what the
	// client gives in place of that. A stream with the record distribution strategy
	// AUTO gives its open shards records in turn instead.
	Hash shard.HashKey
}

func (e *Entry) size() int { return len(e.PartitionKey) + len(e.Data) }

// Outcome is what became of an Entry: a *stream.Error, another error, which is
// ours, or its place.
type Outcome struct {
	Shard  *shard.Shard
	Offset int64
	Err    error
}

// ErrInternal is the outcome of a record that could not be stored for reasons
// that are ours, and in the log.
var ErrInternal = errors.New("the record could not be stored")

// maxReroutes bounds how often records look for a shard: it takes as many
// reshards in a row to use them up.
const maxReroutes = 100

// maxBatchBytes bounds the batch of a request, whose size is bound already: 10 MiB,
// with the headers of 500 records, and some more where a topic's compression makes
// it larger. What a Kafka client may send does not matter here.
const maxBatchBytes = 12 << 20

// recordOverhead bounds what a record takes in a batch beside key and value:
// its varints.
const recordOverhead = 32

// put is one call of Put, with what it needs of memory.
type put struct {
	m       *Manager
	entries []Entry
	out     []Outcome

	order   []uint64 // shard index and entry of those to be appended
	groups  []group
	sizes   []int
	records []kafka.Record
	keys    []byte
	wait    sync.WaitGroup
}

// group is the records of one shard.
type group struct {
	shard  *shard.Shard
	order  []uint64
	result partition.Result
}

var puts = sync.Pool{New: func() any { return new(put) }}

// PutRecord puts one entry and waits until it is durable.
func (m *Manager) PutRecord(ctx context.Context, t *topic.Topic, e Entry) (Outcome, error) {
	if err := m.CheckRecord(t, e); err != nil {
		return Outcome{}, err
	}
	start := m.clock.Now()
	var out [1]Outcome
	if err := m.put(ctx, t, []Entry{e}, out[:]); err != nil {
		return Outcome{}, err
	}
	stored := 0
	if out[0].Err == nil {
		stored = 1
	}
	m.measure(t, []quota.Value{
		{Metric: quota.PutRecordBytes, V: float64(stored * e.size())},
		{Metric: quota.PutRecordLatency, V: m.since(start)},
		{Metric: quota.PutRecordSuccess, V: float64(stored)},
	}, []Entry{e}, out[:])
	return out[0], out[0].Err
}

// PutRecords puts entries into the shards that take them, as one batch for each
// shard, and waits until they are durable. out tells of each entry what became of
// it. Entries for the same shard keep their order. An error is for all of them.
func (m *Manager) PutRecords(ctx context.Context, t *topic.Topic, entries []Entry, out []Outcome) error {
	if err := m.CheckRecords(t, entries); err != nil {
		return err
	}
	start := m.clock.Now()
	if err := m.put(ctx, t, entries, out); err != nil {
		return err
	}
	bytes, stored, throttled := 0, 0, 0
	for i := range entries {
		switch {
		case out[i].Err == nil:
			bytes += entries[i].size()
			stored++
		case out[i].throttled():
			throttled++
		}
	}
	success := 0.0
	if stored > 0 {
		success = 1
	}
	m.measure(t, []quota.Value{
		{Metric: quota.PutRecordsBytes, V: float64(bytes)},
		{Metric: quota.PutRecordsLatency, V: m.since(start)},
		{Metric: quota.PutRecordsSuccess, V: success},
		{Metric: quota.PutRecordsTotalRecords, V: float64(len(entries))},
		{Metric: quota.PutRecordsSuccessfulRecords, V: float64(stored)},
		{Metric: quota.PutRecordsFailedRecords, V: float64(len(entries) - stored - throttled)},
		{Metric: quota.PutRecordsThrottledRecords, V: float64(throttled)},
	}, entries, out)
	return nil
}

// measure notes what one request has put.
func (m *Manager) measure(t *topic.Topic, values []quota.Value, entries []Entry, out []Outcome) {
	bytes, stored, throttled := 0, 0, 0
	for i := range out {
		if out[i].Err == nil {
			bytes += entries[i].size()
			stored++
		} else if out[i].throttled() {
			throttled++
		}
	}
	if stored > 0 {
		values = append(values, quota.Value{Metric: quota.IncomingBytes, V: float64(bytes)}, quota.Value{Metric: quota.IncomingRecords, V: float64(stored)})
	}
	values = append(values, quota.Value{Metric: quota.WriteThroughputExceeded, V: float64(throttled)})
	m.quotas.Stream(t.ID, t.Name).AddAll(values...)
}

func (m *Manager) since(start time.Time) float64 {
	return float64(m.clock.Now().Sub(start).Microseconds()) / 1000
}

// throttled says whether the record's shard had no room for it.
func (o *Outcome) throttled() bool {
	var refused *stream.Error
	return errors.As(o.Err, &refused) && refused.Type == stream.ThroughputExceeded
}

// MaxPutBytes bounds the records of one PutRecords, data and partition keys
// together.
const MaxPutBytes = 10 << 20

// CheckRecord checks the size of a record by the limit of its stream.
func (m *Manager) CheckRecord(t *topic.Topic, e Entry) error {
	return checkSize(t, &e, "data")
}

// CheckRecords checks the sizes of the records of one request.
func (m *Manager) CheckRecords(t *topic.Topic, entries []Entry) error {
	total := 0
	for i := range entries {
		e := &entries[i]
		if e.size() > int(t.Stream.MaxRecordBytes) {
			return checkSize(t, e, fmt.Sprintf("records.%d.member.data", i+1))
		}
		total += e.size()
	}
	if total > MaxPutBytes {
		return stream.Errorf(stream.InvalidArgument, "Records size exceeds %d MB limit", MaxPutBytes>>20)
	}
	return nil
}

// checkSize checks the size of a record, whose data clients know as member.
func checkSize(t *topic.Topic, e *Entry, member string) error {
	limit, n := int(t.Stream.MaxRecordBytes), len(e.Data)
	switch {
	case n > limit:
		return stream.Errorf(stream.Validation, "1 validation error detected: Value 'java.nio.HeapByteBuffer[pos=0 lim=%d cap=%d]' at '%s' failed to satisfy constraint: "+
			"Member must have length less than or equal to %d", n, n, member, limit)
	case e.size() > limit:
		return stream.Errorf(stream.InvalidArgument, "The record at '%s' has %d bytes with its partition key, which exceeds the maximum record size of %d bytes of stream %s.",
			member, e.size(), limit, t.Name)
	}
	return nil
}

func (m *Manager) put(ctx context.Context, t *topic.Topic, entries []Entry, out []Outcome) error {
	p := puts.Get().(*put)
	p.m, p.entries, p.out = m, entries, out
	defer p.release()
	p.order = p.order[:0]
	for i := range entries {
		p.order = append(p.order, uint64(i))
	}
	for try := 0; len(p.order) > 0; try++ {
		if err := p.route(t); err != nil {
			return err
		}
		if try == 0 {
			p.throttle(t)
		}
		p.append(t)
		if again := p.settle(t, try); !again {
			return nil
		}
		// A reshard has closed shards since they were looked up, or is about to.
		if err := m.streams.AwaitShards(ctx, t); err != nil {
			return err
		}
		now, err := m.streams.Stream(t.Name)
		if err != nil {
			return err
		}
		t = now
	}
	return nil
}

const entryMask = 1<<32 - 1

// route groups the entries of p.order by the shards that take them now.
func (p *put) route(t *topic.Topic) error {
	if t.Stream.Status == topic.Creating {
		return stream.Errorf(stream.ResourceNotFound, "Stream %s under account %s not found.", t.Name, p.m.streams.Account())
	}
	var open []*shard.Shard // those that take records in turn
	turn := uint64(0)
	if t.Stream.Distribution == stream.DistributionAuto {
		open = t.Stream.Lineage.Open()
		n := uint64(len(p.order))
		turn = p.m.turn.Add(n) - n
	}
	for i, o := range p.order {
		var sh *shard.Shard
		if open != nil {
			sh = open[(turn+uint64(i))%uint64(len(open))]
		} else {
			sh = t.Stream.Lineage.Route(p.entries[o&entryMask].Hash)
		}
		p.out[o&entryMask] = Outcome{Shard: sh, Offset: -1}
		p.order[i] = uint64(sh.Index)<<32 | o&entryMask
	}
	slices.Sort(p.order)
	p.groups = p.groups[:0]
	for from := 0; from < len(p.order); {
		to := from + 1
		for to < len(p.order) && p.order[to]>>32 == p.order[from]>>32 {
			to++
		}
		p.groups = append(p.groups, group{shard: p.out[p.order[from]&entryMask].Shard, order: p.order[from:to]})
		from = to
	}
	return nil
}

// throttle refuses what the shards have no room for.
func (p *put) throttle(t *topic.Topic) {
	quotas := p.m.quotas.Stream(t.ID, t.Name)
	for g := range p.groups {
		gr := &p.groups[g]
		p.sizes = p.sizes[:0]
		for _, o := range gr.order {
			p.sizes = append(p.sizes, p.entries[o&entryMask].size())
		}
		var refused error
		quotas.Shard(gr.shard.Index).Put(p.sizes, unlimited(t), func(i int) {
			if refused == nil {
				refused = p.m.tooFast(gr.shard.Index, t.Name)
			}
			p.out[gr.order[i]&entryMask].Err = refused
		})
		if refused != nil {
			gr.order = slices.DeleteFunc(gr.order, func(o uint64) bool { return p.out[o&entryMask].Err != nil })
		}
	}
}

// append appends each group as one batch, and waits for all of them.
func (p *put) append(t *topic.Topic) {
	for g := range p.groups {
		gr := &p.groups[g]
		if len(gr.order) == 0 {
			continue
		}
		part := p.m.partitions.Get(t.ID, gr.shard.Index)
		if part == nil {
			gr.result.Err = kerr.UnknownTopicOrPartition
			continue
		}
		buf, err := p.build(gr)
		if err != nil {
			gr.result.Err = err
			continue
		}
		p.wait.Add(1)
		part.Append(partition.Request{
			Batch: buf.B, Buffer: buf, MaxBytes: maxBatchBytes,
			Done: func(r partition.Result) {
				gr.result = r
				p.wait.Done()
			},
		})
		buf.Release()
	}
	p.wait.Wait()
}

// build makes the batch of a group.
func (p *put) build(gr *group) (*memory.Buffer, error) {
	now := p.m.clock.Now().UnixMilli()
	size, keys := kafka.BatchHeaderSize, 0
	for _, o := range gr.order {
		e := &p.entries[o&entryMask]
		size += e.size() + recordOverhead
		keys += len(e.PartitionKey)
	}
	// The keys are copied, so that each need not be made a slice by itself. The
	// slice must not move while records point into it.
	p.keys = slices.Grow(p.keys[:0], keys)
	p.records = p.records[:0]
	for _, o := range gr.order {
		e := &p.entries[o&entryMask]
		from := len(p.keys)
		p.keys = append(p.keys, e.PartitionKey...)
		data := e.Data
		if data == nil {
			data = []byte{} // no data is not null
		}
		key := p.keys[from:len(p.keys):len(p.keys)]
		if e.NoKey {
			key = nil
		}
		p.records = append(p.records, kafka.Record{Timestamp: now, Key: key, Value: data})
	}
	buf := memory.NewBuffer(size)
	b, err := kafka.BuildBatch(buf.B[:0], kafka.BatchOptions{LeaderEpoch: kafka.NoLeaderEpoch}, p.records...)
	clear(p.records)
	if err != nil {
		buf.Release()
		return nil, err
	}
	buf.B = b
	return buf, nil
}

// settle gives each entry of the groups its outcome, and says whether some have
// to be routed again: p.order then.
func (p *put) settle(t *topic.Topic, try int) (again bool) {
	p.order = p.order[:0]
	for g := range p.groups {
		gr := &p.groups[g]
		if len(gr.order) == 0 {
			continue
		}
		err := gr.result.Err
		var sealed *partition.SealedError
		if errors.As(err, &sealed) && try < maxReroutes {
			// p.order is filled from its beginning; no group that is still to come
			// lies there.
			p.order = append(p.order, gr.order...)
			continue
		}
		if err != nil {
			err = p.m.putError(t, gr.shard, err)
		}
		for i, o := range gr.order {
			out := &p.out[o&entryMask]
			if out.Err = err; err == nil {
				out.Offset = gr.result.BaseOffset + int64(i)
			}
		}
	}
	return len(p.order) > 0
}

// putError is what a failed append means for the client.
func (m *Manager) putError(t *topic.Topic, sh *shard.Shard, err error) error {
	if now, gone := m.streams.Stream(t.Name); gone != nil {
		return gone
	} else if now.ID != t.ID {
		return stream.Errorf(stream.ResourceNotFound, "Stream %s under account %s not found.", t.Name, m.streams.Account())
	}
	if errors.Is(err, storage.ErrNoSpace) || errors.Is(err, storage.ErrFailed) {
		return fmt.Errorf("%w: %w", ErrInternal, err) // the store's log has it already
	}
	m.log.Error("records could not be put into a shard", zap.String("stream", t.Name), zap.String("shard", sh.ID()), zap.Error(err))
	return ErrInternal
}

const (
	keptRecords  = 1024
	keptKeyBytes = 256 << 10
)

func (p *put) release() {
	clear(p.groups)
	p.m, p.entries, p.out = nil, nil, nil
	if cap(p.records) <= keptRecords && cap(p.keys) <= keptKeyBytes {
		puts.Put(p)
	}
}
