package records

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/streamweir/streamweir/broker/config"
	"github.com/streamweir/streamweir/broker/coordinator/coordinatortest"
	"github.com/streamweir/streamweir/broker/memory"
	"github.com/streamweir/streamweir/broker/partition"
	"github.com/streamweir/streamweir/broker/quota"
	"github.com/streamweir/streamweir/broker/shard"
	"github.com/streamweir/streamweir/broker/stream"
	"github.com/streamweir/streamweir/broker/topic"
	"github.com/streamweir/streamweir/protocol/kafka"
	"github.com/streamweir/streamweir/storage"
	"github.com/streamweir/streamweir/storage/memstore"
)

var startTime = time.UnixMilli(1_700_000_000_123)

// bench is the data plane on a store in memory, with a clock that a test moves.
type bench struct {
	testing.TB
	store   *memstore.Store
	clock   *coordinatortest.Clock
	topics  *topic.Catalogue
	parts   *partition.Manager
	streams *stream.Manager
	quotas  *quota.Manager
	limits  bool
	cache   int64
	memory  int64
	epoch   int32
	*Manager
}

func newBench(t testing.TB) *bench {
	b := &bench{TB: t, store: memstore.New(memstore.Options{}), clock: coordinatortest.NewClock(startTime), cache: 1 << 20, memory: 128 << 20}
	t.Cleanup(func() { b.store.Close() })
	b.open()
	return b
}

// open starts a broker on what the store holds.
func (b *bench) open() {
	b.Helper()
	cfg, err := config.Default().With(map[string]string{"kinesis.transition.ms": "0", "kinesis.limits": "off"})
	if err != nil {
		b.Fatal(err)
	}
	if b.topics, err = topic.Open(b.store.Meta(), cfg, topic.Options{Now: b.clock.Now}); err != nil {
		b.Fatal(err)
	}
	b.parts = partition.NewManager(partition.Options{
		Store: b.store, Log: zap.NewNop(), Now: b.clock.Now, CacheBytes: b.cache, Epoch: b.epoch,
		ProducerExpiration: func() time.Duration { return time.Hour },
	})
	for _, t := range b.topics.Topics() {
		b.parts.Open(t)
	}
	b.topics.Watch(func(ch topic.Change) {
		if ch.New != nil {
			b.parts.Open(ch.New)
		}
	})
	b.streams = stream.Open(stream.Options{
		Topics: b.topics, Partitions: b.parts, Meta: b.store.Meta(), Account: "000000000000", Region: "us-east-1",
		Clock: b.clock, Log: zap.NewNop(), Delete: b.drop,
	})
	b.quotas = quota.New(quota.Options{
		Now: b.clock.Now, Enforced: func() bool { return b.limits },
		Exists: func(id storage.TopicID) bool { return b.topics.TopicByID(id) != nil },
	})
	b.Manager, err = New(Options{
		Streams: b.streams, Topics: b.topics, Partitions: b.parts, Quotas: b.quotas, Meta: b.store.Meta(),
		Clock: b.clock, Log: zap.NewNop(), ReadBytes: b.memory,
	})
	if err != nil {
		b.Fatal(err)
	}
}

// drop deletes a stream, as the broker does when that is due.
func (b *bench) drop(id storage.TopicID) error {
	deleted, err := b.topics.DeletePending(id)
	for _, d := range deleted {
		err = errors.Join(err, b.parts.Drop(d.ID, d.Partitions))
	}
	return err
}

func (b *bench) restart() {
	b.Helper()
	b.Manager.Close()
	b.streams.Close()
	b.parts.Close()
	b.epoch++
	b.open()
}

// topic makes a topic; configs are names and values.
func (b *bench) topic(name string, partitions int32, configs ...string) *topic.Topic {
	b.Helper()
	n := topic.NewTopic{Name: name, Partitions: partitions, ReplicationFactor: 1}
	for i := 0; i < len(configs); i += 2 {
		n.Configs = append(n.Configs, topic.ConfigValue{Name: configs[i], Value: &configs[i+1]})
	}
	_, errs, err := b.topics.Create([]topic.NewTopic{n}, false)
	if err = errors.Join(append(errs, err)...); err != nil {
		b.Fatal(err)
	}
	return b.topics.Topic(name)
}

// stream makes a topic as Kinesis makes them.
func (b *bench) stream(name string, shards int32) *topic.Topic {
	b.Helper()
	return b.topic(name, shards, "message.timestamp.type", "LogAppendTime")
}

// change changes a stream.
func (b *bench) change(t *topic.Topic, change func(*topic.Stream)) *topic.Topic {
	b.Helper()
	t, err := b.topics.ChangeStream(t.ID, func(t *topic.Topic) (*topic.StreamChange, error) {
		ch := &topic.StreamChange{Stream: *t.Stream}
		change(&ch.Stream)
		return ch, nil
	})
	if err != nil {
		b.Fatal(err)
	}
	return t
}

// large gives a stream the largest records that it can have.
func (b *bench) large(t *topic.Topic) *topic.Topic {
	b.Helper()
	return b.change(t, func(s *topic.Stream) { s.MaxRecordBytes = 10 << 20 })
}

func entry(key, data string) Entry {
	return Entry{PartitionKey: key, Data: []byte(data), Hash: shard.KeyOf(key)}
}

// put puts entries and returns what became of them.
func (b *bench) put(t *topic.Topic, entries ...Entry) []Outcome {
	b.Helper()
	out := make([]Outcome, len(entries))
	if err := b.PutRecords(context.Background(), t, entries, out); err != nil {
		b.Fatal(err)
	}
	return out
}

// puts puts one record for each value.
func (b *bench) puts(t *topic.Topic, values ...string) {
	b.Helper()
	for _, v := range values {
		for _, o := range b.put(t, entry("k", v)) {
			if o.Err != nil {
				b.Fatal(o.Err)
			}
		}
	}
}

// batch is what a Kafka client produces.
type batch struct {
	codec    kafka.Codec
	producer int64 // 0 for none
	sequence int32
	txn      bool
	records  []kafka.Record
}

func (b *bench) produce(t *topic.Topic, index int32, o batch) int64 {
	b.Helper()
	opts := kafka.BatchOptions{Codec: o.codec, Transactional: o.txn}
	if o.producer != 0 {
		opts.Producer = &kafka.Producer{ID: o.producer, Sequence: o.sequence}
	}
	for i := range o.records {
		if o.records[i].Timestamp == 0 {
			o.records[i].Timestamp = b.clock.Now().UnixMilli()
		}
	}
	raw, err := kafka.BuildBatch(nil, opts, o.records...)
	if err != nil {
		b.Fatal(err)
	}
	buf := memory.NewBuffer(len(raw))
	copy(buf.B, raw)
	done := make(chan partition.Result, 1)
	b.parts.Get(t.ID, index).Append(partition.Request{Batch: buf.B, Buffer: buf, Verified: o.txn, Done: func(r partition.Result) { done <- r }})
	buf.Release()
	r := <-done
	if r.Err != nil {
		b.Fatal(r.Err)
	}
	return r.BaseOffset
}

// endTxn writes the marker of a transaction.
func (b *bench) endTxn(t *topic.Topic, index int32, producer int64, commit bool) {
	b.Helper()
	done := make(chan error, 1)
	b.parts.Get(t.ID, index).WriteMarker(partition.Marker{ProducerID: producer, Commit: commit, Done: func(err error) { done <- err }})
	if err := <-done; err != nil {
		b.Fatal(err)
	}
}

func (b *bench) shard(t *topic.Topic, index int32) Shard {
	b.Helper()
	sh, err := b.Shard(b.topics.Topic(t.Name), shard.FormatID(index))
	if err != nil {
		b.Fatal(err)
	}
	return sh
}

func (b *bench) iterator(t *topic.Topic, index int32, at Position) string {
	b.Helper()
	it, err := b.GetIterator(b.shard(t, index), at)
	if err != nil {
		b.Fatal(err)
	}
	return it
}

func (b *bench) get(iterator string, limit int) *Got {
	b.Helper()
	it, err := b.OpenIterator(iterator)
	if err != nil {
		b.Fatal(err)
	}
	got, err := b.Get(context.Background(), it, limit)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(got.Release)
	return got
}

// values are the data of records, as text.
func values(list []Record) []string {
	out := []string{}
	for _, r := range list {
		out = append(out, string(r.Data))
	}
	return out
}

// all reads a shard from a position to what is its tip now.
func (b *bench) all(t *topic.Topic, index int32, at Position) []string {
	b.Helper()
	out := []string{}
	it := b.iterator(t, index, at)
	for {
		got := b.get(it, MaxGetRecords)
		out = append(out, values(got.List)...)
		if got.Behind == 0 || got.Next == "" {
			return out
		}
		it = got.Next
	}
}

// refusal is the error of a client's, as type and message.
func refusal(t testing.TB, err error) string {
	t.Helper()
	var e *stream.Error
	if !errors.As(err, &e) {
		t.Fatalf("%v is no error for a client", err)
	}
	return fmt.Sprint(e)
}

// compact compacts every partition that is due.
func (b *bench) compact() {
	b.parts.Compact(context.Background(), partition.Compaction{Enabled: true, Threads: 1, MapBytes: 1 << 20, MapLoad: 0.9})
}
