package faults

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/streamweir/streamweir/integration/harness"
)

// table is what a compacted topic stands for: the newest value of each key.
type table struct {
	topic  string
	random *rand.Rand
	number uint64            // of the last value
	newest map[string]uint64 // acknowledged
	pad    []byte
}

func newTable(topic string, valueBytes int) *table {
	return &table{topic: topic, random: rand.New(rand.NewPCG(1, 2)), newest: map[string]uint64{}, pad: harness.Incompressible(3, valueBytes)}
}

// update writes n values for keys at random, a tombstone now and then, and notes
// them when they are acknowledged.
func (tb *table) update(ctx context.Context, t testing.TB, cl *kgo.Client, keys, n int) {
	t.Helper()
	var rs []*kgo.Record
	for range n {
		tb.number++
		r := &kgo.Record{Topic: tb.topic, Key: fmt.Appendf(nil, "key-%d", tb.random.IntN(keys))}
		// Never the very last one, so that a reader sees where the log ends.
		if len(rs) == n-1 || tb.random.IntN(50) > 0 {
			r.Value = append(binary.BigEndian.AppendUint64(nil, tb.number), tb.pad...)
		}
		rs = append(rs, r)
	}
	for _, res := range cl.ProduceSync(ctx, rs...) {
		if res.Err != nil {
			t.Fatalf("produce: %v", res.Err)
		}
		r := res.Record
		if delete(tb.newest, string(r.Key)); r.Value != nil {
			tb.newest[string(r.Key)] = binary.BigEndian.Uint64(r.Value)
		}
	}
}

// check reads the topic from its start to end and compares.
func (tb *table) check(ctx context.Context, t testing.TB, s *harness.Server, end int64) (records int) {
	t.Helper()
	cl := harness.Client(t, s, kgo.ConsumeTopics(tb.topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	got := map[string]uint64{}
	for last := int64(-1); last < end-1; {
		fs := cl.PollFetches(ctx)
		if err := fs.Err0(); err != nil {
			t.Fatalf("read from %d of %d: %v", last+1, end, err)
		}
		fs.EachRecord(func(r *kgo.Record) {
			if r.Offset <= last {
				t.Errorf("offset %d follows %d", r.Offset, last)
			}
			last = r.Offset
			records++
			if delete(got, string(r.Key)); r.Value != nil {
				got[string(r.Key)] = binary.BigEndian.Uint64(r.Value)
			}
		})
	}
	if len(got) != len(tb.newest) {
		t.Errorf("%d keys are there, want %d", len(got), len(tb.newest))
	}
	for k, want := range tb.newest {
		if got[k] != want {
			t.Errorf("%s has value %d, want %d", k, got[k], want)
		}
	}
	return records
}

// logBytes is the size of partition 0 as DescribeLogDirs tells it.
func logBytes(t testing.TB, s *harness.Server, topic string) int64 {
	t.Helper()
	dirs, err := harness.Admin(t, s).DescribeAllLogDirs(harness.Context(t, harness.Long), nil)
	if err != nil {
		t.Fatal(err)
	}
	var n int64
	for _, d := range dirs {
		for _, dir := range d {
			for _, p := range dir.Topics[topic] {
				n += p.Size
			}
		}
	}
	return n
}

// A compacted topic gets as small as its keys, on disk too, and holds the newest
// value of each, also when the broker is killed in the middle of it again and
// again.
func TestCompactionShrinksTheLogOverKills(t *testing.T) {
	s := harness.Start(t, harness.Config("log.cleaner.backoff.ms", "50"), harness.Config("storage.sync", "os"))
	topic := harness.Topic(t, s, 1, "cleanup.policy=compact", "segment.ms=1000", "min.cleanable.dirty.ratio=0.05",
		"delete.retention.ms=1000", "segment.bytes=1048576")
	ctx := harness.Context(t, 6*harness.Long)
	const keys, valueBytes = 500, 10_000
	tb := newTable(topic, valueBytes)
	cl := harness.Client(t, s, kgo.ProducerBatchCompression(kgo.NoCompression()), kgo.ProducerBatchMaxBytes(100_000))
	rounds := harness.Scale(6)
	largest := int64(0)
	for round := range rounds {
		for range 10 {
			tb.update(ctx, t, cl, keys, 500)
			largest = max(largest, logBytes(t, s, topic))
		}
		if round%2 == 0 {
			s.Kill(t)
			s.StartAgain(t)
		}
	}
	written := int64(tb.number) * valueBytes
	t.Logf("%d MB written, the log had %d MB at most", written/megabyte, largest/megabyte)
	end := end(t, s, topic)
	live := int64(len(tb.newest)) * valueBytes
	harness.Eventually(t, 3*harness.Long, "the log is as small as its keys", func() error {
		if n := logBytes(t, s, topic); n > 2*live {
			return fmt.Errorf("it has %d bytes, its keys have %d", n, live)
		}
		return nil
	})
	records := tb.check(ctx, t, s, end)
	t.Logf("%d of %d records are left", records, tb.number)
	if got := harness.DiskUse(t, s.DataDir()); got < live {
		t.Errorf("%d bytes on disk", got)
	}
	harness.Eventually(t, 3*harness.Long, "disk use returns", func() error {
		if use := harness.DiskUse(t, s.DataDir()); use > live+300*megabyte {
			return fmt.Errorf("%d MB on disk for %d MB", use/megabyte, live/megabyte)
		}
		return nil
	})
	s.Kill(t)
	s.StartAgain(t)
	tb.check(ctx, t, s, end)
}
