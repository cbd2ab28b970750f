package partition

import (
	"bytes"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest"

	"github.com/streamweir/streamweir/broker/config"
	"github.com/streamweir/streamweir/broker/memory"
	"github.com/streamweir/streamweir/broker/topic"
	"github.com/streamweir/streamweir/protocol/kafka"
	"github.com/streamweir/streamweir/storage"
	"github.com/streamweir/streamweir/storage/memstore"
)

// bench is a partition on a store in memory that a test commands.
type bench struct {
	t     *testing.T
	store *memstore.Store
	m     *Manager
	topic *topic.Topic
	p     *Partition
	now   time.Time
	epoch int32
	cache int64
	quiet bool // no logs
	chunk int  // transactions in a chunk of the index of aborted ones, if not 0
}

var startTime = time.UnixMilli(1_700_000_000_000)

func newBench(t *testing.T, configs ...string) *bench {
	b := &bench{t: t, store: memstore.New(memstore.Options{}), now: startTime, cache: 1 << 20}
	t.Cleanup(func() { b.store.Close() })
	cat, err := topic.Open(b.store.Meta(), config.Default(), topic.Options{})
	if err != nil {
		t.Fatal(err)
	}
	n := topic.NewTopic{Name: "t", Partitions: 1, ReplicationFactor: 1}
	for i := 0; i < len(configs); i += 2 {
		n.Configs = append(n.Configs, topic.ConfigValue{Name: configs[i], Value: &configs[i+1]})
	}
	_, errs, err := cat.Create([]topic.NewTopic{n}, false)
	if err = errors.Join(append(errs, err)...); err != nil {
		t.Fatal(err)
	}
	b.topic = cat.Topic("t")
	b.open()
	return b
}

// open starts a broker on what the store holds.
func (b *bench) open() {
	log := zap.NewNop()
	if !b.quiet {
		log = zaptest.NewLogger(b.t)
	}
	b.m = NewManager(Options{
		Store: b.store, Log: log, Epoch: b.epoch, CacheBytes: b.cache,
		Now: func() time.Time { return b.now }, ProducerExpiration: func() time.Duration { return time.Hour },
	})
	if b.chunk != 0 {
		b.m.chunkTxns = b.chunk
	}
	b.m.Open(b.topic)
	b.p = b.m.Get(b.topic.ID, 0)
	// The store in memory goes on, and remembers the terms of appends that failed.
	b.p.term = uint64(b.epoch) << 32
}

// restart ends this broker cleanly and starts the next.
func (b *bench) restart() {
	b.m.Close()
	b.epoch++
	b.open()
}

// crash starts the next broker without ending this one.
func (b *bench) crash() {
	b.epoch++
	b.open()
}

type batchOf struct {
	producer *kafka.Producer
	values   []string
	at       int64 // timestamp, startTime where 0
	codec    kafka.Codec
	txn      bool // part of a transaction, which the coordinator knows
	unknown  bool // part of a transaction that the coordinator was not asked about
	guard    uint64
}

func (b *bench) build(o batchOf) []byte {
	at := o.at
	if at == 0 {
		at = startTime.UnixMilli()
	}
	var records []kafka.Record
	for i, v := range o.values {
		records = append(records, kafka.Record{Timestamp: at + int64(i), Key: []byte("k"), Value: []byte(v)})
	}
	raw, err := kafka.BuildBatch(nil, kafka.BatchOptions{Producer: o.producer, Codec: o.codec, Transactional: o.txn || o.unknown}, records...)
	if err != nil {
		b.t.Fatal(err)
	}
	return raw
}

// start begins an append and returns where its result comes.
func (b *bench) start(o batchOf) chan Result {
	raw := b.build(o)
	buf := memory.NewBuffer(len(raw))
	copy(buf.B, raw)
	done := make(chan Result, 1)
	b.p.Append(Request{Batch: buf.B, Buffer: buf, Verified: o.txn, Guard: o.guard, Done: func(r Result) { done <- r }})
	buf.Release()
	return done
}

func (b *bench) append(o batchOf) Result { return <-b.start(o) }

func (b *bench) must(o batchOf) int64 {
	b.t.Helper()
	r := b.append(o)
	if r.Err != nil {
		b.t.Fatal(r.Err)
	}
	return r.BaseOffset
}

// values reads everything from offset on, as a client does that fetches max
// bytes at a time, in pieces of piece bytes.
func (b *bench) values(offset int64, max, piece int) (out []string) {
	b.t.Helper()
	for {
		plan, err := b.p.Plan(offset, -1, max, true)
		if err != nil {
			b.t.Fatal(err)
		}
		if plan.Bytes == 0 {
			return out
		}
		raw := readPlan(b.t, plan, piece)
		for len(raw) > 0 {
			var batch kafka.Batch
			if batch, raw, err = kafka.NextBatch(raw); err != nil || batch == nil || !batch.CRCValid() {
				b.t.Fatalf("a damaged batch was served: %v", err)
			}
			if batch.PartitionLeaderEpoch() > b.epoch {
				b.t.Fatalf("leader epoch %d", batch.PartitionLeaderEpoch())
			}
			r := kafka.ReadRecords(batch, 0)
			for r.Next() {
				if rec := r.Record(); rec.Offset >= offset {
					out = append(out, fmt.Sprintf("%d:%s", rec.Offset, rec.Value))
				}
			}
			if err := r.Err(); err != nil {
				b.t.Fatal(err)
			}
			r.Close()
		}
		offset = plan.Next
	}
}

func readPlan(t *testing.T, plan Plan, piece int) []byte {
	t.Helper()
	r := NewReader(plan)
	defer r.Close()
	var raw []byte
	for r.Left() > 0 {
		bufs, err := r.Next(piece)
		if err != nil {
			t.Fatal(err)
		}
		raw = append(raw, bytes.Join(bufs, nil)...)
	}
	if len(raw) != plan.Bytes {
		t.Fatalf("read %d bytes where %d were planned", len(raw), plan.Bytes)
	}
	return raw
}

func (b *bench) want(got []string, want ...string) {
	b.t.Helper()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		b.t.Fatalf("got %v, want %v", got, want)
	}
}

func (b *bench) wantCode(err error, want *kerr.Error) {
	b.t.Helper()
	if !errors.Is(err, want) {
		b.t.Fatalf("got %v, want %v", err, want)
	}
}

func TestRecordsBecomeVisibleWhenDurable(t *testing.T) {
	b := newBench(t)
	b.store.Hold()
	first, second := b.start(batchOf{values: []string{"a", "b"}}), b.start(batchOf{values: []string{"c"}})
	if o := b.p.Offsets(); o.High != 0 {
		t.Fatalf("the high watermark is %d before anything is durable", o.High)
	}
	b.want(b.values(0, 1<<20, 1<<20))
	b.store.Step(1)
	if r := <-first; r.Err != nil || r.BaseOffset != 0 {
		t.Fatalf("%+v", r)
	}
	b.want(b.values(0, 1<<20, 1<<20), "0:a", "1:b")
	b.store.Release()
	if r := <-second; r.Err != nil || r.BaseOffset != 2 {
		t.Fatalf("%+v", r)
	}
	b.want(b.values(1, 1<<20, 1<<20), "1:b", "2:c")
}

func TestReadsAreTheSameFromMemoryAndStoreInAnyPieces(t *testing.T) {
	for _, cache := range []int64{0, 400, 1 << 20} {
		for _, piece := range []int{1, 7, 61, 100, 1 << 20} {
			t.Run(fmt.Sprint(cache, piece), func(t *testing.T) {
				b := newBench(t)
				b.cache = cache
				b.crash()
				var want []string
				for i := range 20 {
					v := fmt.Sprint("value-", i)
					b.must(batchOf{values: []string{v, v}})
					want = append(want, fmt.Sprintf("%d:%s", 2*i, v), fmt.Sprintf("%d:%s", 2*i+1, v))
				}
				b.want(b.values(0, 1<<20, piece), want...)
				b.want(b.values(0, 300, piece), want...)
				b.want(b.values(13, 1, piece), want[13:]...)
			})
		}
	}
}

func TestFetchBounds(t *testing.T) {
	b := newBench(t)
	for range 4 {
		b.must(batchOf{values: []string{"x"}})
	}
	if _, err := b.p.DeleteBefore(2); err != nil {
		t.Fatal(err)
	}
	for offset, want := range map[int64]*kerr.Error{1: kerr.OffsetOutOfRange, 2: nil, 4: nil, 5: kerr.OffsetOutOfRange} {
		if _, err := b.p.Plan(offset, -1, 100, true); want != nil && !errors.Is(err, want) || want == nil && err != nil {
			t.Fatalf("offset %d: %v", offset, err)
		}
	}
	plan, err := b.p.Plan(2, -1, 1, false)
	if err != nil || plan.Bytes != 0 {
		t.Fatalf("a batch above the limit was returned: %+v %v", plan, err)
	}
	_, err = b.p.Plan(2, 7, 100, true)
	b.wantCode(err, kerr.UnknownLeaderEpoch)
	b.restart()
	_, err = b.p.Plan(2, 0, 100, true)
	b.wantCode(err, kerr.FencedLeaderEpoch)
}

func TestFailedAppendTakesThoseBehindItAlong(t *testing.T) {
	b := newBench(t)
	b.must(batchOf{values: []string{"a"}})
	b.store.Hold()
	id := &kafka.Producer{ID: 7}
	one := b.start(batchOf{producer: id, values: []string{"b"}})
	two := b.start(batchOf{producer: &kafka.Producer{ID: 7, Sequence: 1}, values: []string{"c"}})
	b.store.FailNext(storage.ErrNoSpace)
	b.store.Release()
	for _, r := range []Result{<-one, <-two} {
		b.wantCode(r.Err, kerr.KafkaStorageError)
	}
	// The producer sends both again, in order, and nothing is missing or twice.
	if base := b.must(batchOf{producer: id, values: []string{"b"}}); base != 1 {
		t.Fatalf("base offset %d", base)
	}
	b.must(batchOf{producer: &kafka.Producer{ID: 7, Sequence: 1}, values: []string{"c"}})
	b.want(b.values(0, 1<<20, 1<<20), "0:a", "1:b", "2:c")
}

func TestFullStoreRefusesBeforeAnOffsetIsGiven(t *testing.T) {
	b := newBench(t)
	b.store.SetHealth(storage.ErrNoSpace)
	b.wantCode(b.append(batchOf{values: []string{"a"}}).Err, kerr.KafkaStorageError)
	b.store.SetHealth(nil)
	if base := b.must(batchOf{values: []string{"a"}}); base != 0 {
		t.Fatalf("base offset %d", base)
	}
}

func TestWatchFiresOnEnoughBytes(t *testing.T) {
	b := newBench(t)
	size := int64(len(b.build(batchOf{values: []string{"x"}})))
	fired := make(chan struct{})
	w := NewWatch(2*size, func() { close(fired) })
	b.p.Watch(w, 0)
	b.must(batchOf{values: []string{"x"}})
	select {
	case <-fired:
		t.Fatal("fired too early")
	default:
	}
	b.must(batchOf{values: []string{"x"}})
	<-fired
	b.p.mu.Lock()
	defer b.p.mu.Unlock()
	if len(b.p.watchers) != 0 {
		t.Fatal("a fired watch is still kept")
	}
}

func TestWatchFiresForWhatCameBetweenAndAtTheEnd(t *testing.T) {
	b := newBench(t)
	b.must(batchOf{values: []string{"x"}})
	fired := make(chan struct{}, 2)
	b.p.Watch(NewWatch(1<<20, func() { fired <- struct{}{} }), 0)
	<-fired
	b.p.Watch(NewWatch(1<<20, func() { fired <- struct{}{} }), 1)
	b.m.Close()
	<-fired
	b.wantCode(b.append(batchOf{values: []string{"x"}}).Err, kerr.NotLeaderForPartition)
}

func TestCorruptBatchIsReportedAndItsNeighboursAreServed(t *testing.T) {
	b := newBench(t)
	b.cache = 0
	b.crash()
	for _, v := range []string{"a", "b", "c"} {
		b.must(batchOf{values: []string{v}})
	}
	if !b.store.Corrupt(b.p.id, 1) {
		t.Fatal("nothing was corrupted")
	}
	plan, err := b.p.Plan(0, -1, 1<<20, true)
	if err != nil {
		t.Fatal(err)
	}
	r := NewReader(plan)
	if _, err = r.Next(1 << 20); err == nil {
		t.Fatal("a corrupt batch was served")
	}
	r.Close()
	plan, err = b.p.Plan(0, -1, 1<<20, true)
	if err != nil || plan.Next != 1 {
		t.Fatalf("the batch before it: %+v %v", plan, err)
	}
	_, err = b.p.Plan(1, -1, 1<<20, true)
	b.wantCode(err, kerr.CorruptMessage)
	b.want(b.values(2, 1<<20, 1<<20), "2:c")
	if b.m.Stats().Corrupt != 1 {
		t.Fatal("not counted, or counted twice")
	}
}

func TestReaderNoticesThatTheLogWasTrimmed(t *testing.T) {
	b := newBench(t)
	b.cache = 0
	b.crash()
	for range 10 {
		b.must(batchOf{values: []string{"0123456789"}})
	}
	plan, err := b.p.Plan(0, -1, 1<<20, true)
	if err != nil {
		t.Fatal(err)
	}
	r := NewReader(plan)
	defer r.Close()
	if _, err := r.Next(100); err != nil {
		t.Fatal(err)
	}
	if _, err := b.p.DeleteBefore(8); err != nil {
		t.Fatal(err)
	}
	for r.Left() > 0 {
		if _, err = r.Next(100); err != nil {
			break
		}
	}
	if !errors.Is(err, storage.ErrOutOfRange) {
		t.Fatalf("trimmed away while it was read: %v", err)
	}
}
