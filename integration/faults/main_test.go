// Package faults drives the built binary through what goes wrong: full disks,
// stolen directories, hostile and stalled clients, signals, and time.
package faults

import (
	"context"
	"fmt"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/streamweir/streamweir/integration/harness"
)

func TestMain(m *testing.M) { harness.Main(m) }

// writer is a client that sends at once and never tries again, so that the
// broker's errors are seen.
func writer(t testing.TB, s *harness.Server, topic string, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	return harness.Client(t, s, append([]kgo.Opt{
		kgo.DefaultProduceTopic(topic), kgo.DisableIdempotentWrite(), kgo.RecordRetries(0),
		kgo.ProducerBatchCompression(kgo.NoCompression()), kgo.ProducerBatchMaxBytes(8 << 20),
		kgo.RecordPartitioner(kgo.ManualPartitioner()),
	}, opts...)...)
}

// put sends one record to partition 0.
func put(ctx context.Context, cl *kgo.Client, value []byte) error {
	return cl.ProduceSync(ctx, kgo.SliceRecord(value)).FirstErr()
}

// mustServe checks that a record goes in and comes out.
func mustServe(t testing.TB, s *harness.Server) {
	t.Helper()
	topic := harness.Topic(t, s, 1)
	ctx := harness.Context(t, harness.Long)
	cl := harness.Client(t, s, kgo.DefaultProduceTopic(topic), kgo.ConsumeTopics(topic))
	if err := put(ctx, cl, []byte("alive")); err != nil {
		t.Fatalf("produce: %v", err)
	}
	fs := cl.PollFetches(ctx)
	if err := fs.Err(); err != nil || fs.NumRecords() != 1 {
		t.Fatalf("fetch: %d records, %v", fs.NumRecords(), err)
	}
}

// end is the end offset of partition 0.
func end(t testing.TB, s *harness.Server, topic string) int64 {
	t.Helper()
	ends, err := harness.Admin(t, s).ListEndOffsets(harness.Context(t, harness.Long), topic)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		t.Fatalf("end of %s: %v", topic, err)
	}
	return ends[topic][0].Offset
}

// start is the log start of partition 0.
func start(t testing.TB, s *harness.Server, topic string) int64 {
	t.Helper()
	starts, err := harness.Admin(t, s).ListStartOffsets(harness.Context(t, harness.Long), topic)
	if err == nil {
		err = starts.Error()
	}
	if err != nil {
		t.Fatalf("start of %s: %v", topic, err)
	}
	return starts[topic][0].Offset
}

func atLeast(what string, got, want int64) error {
	if got < want {
		return fmt.Errorf("%s is %d, want at least %d", what, got, want)
	}
	return nil
}
