// Package txn drives transactions of the built binary with franz-go, and step
// by step on a raw connection while the server is killed between any two of
// them.
package txn

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kversion"

	"github.com/streamweir/streamweir/integration/harness"
)

func TestMain(m *testing.M) { harness.Main(m) }

// eachVersion runs a test for clients of both transaction versions.
func eachVersion(t *testing.T, test func(t *testing.T, version kgo.Opt, version2 bool)) {
	t.Run("version 2", func(t *testing.T) { test(t, kgo.WithHooks(), true) })
	t.Run("version 0", func(t *testing.T) {
		// Without Produce 12, a client does not use transaction version 2.
		test(t, kgo.MaxVersions(kversion.V3_8_0()), false)
	})
}

// read reads what there is of a topic up to its end, and returns the values in
// order of partition and offset. committed is for read_committed.
func read(t testing.TB, s *harness.Server, topic string, committed bool) []string {
	t.Helper()
	level := kgo.ReadUncommitted()
	if committed {
		level = kgo.ReadCommitted()
	}
	adm := harness.Admin(t, s)
	ctx := harness.Context(t, harness.Long)
	list := adm.ListEndOffsets
	if committed {
		list = adm.ListCommittedOffsets
	}
	ends, err := list(ctx, topic)
	if err != nil {
		t.Fatal(err)
	}
	cl := harness.Client(t, s, kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchIsolationLevel(level), kgo.KeepControlRecords())
	left := map[int32]int64{}
	ends.Each(func(o kadm.ListedOffset) {
		if o.Offset > 0 {
			left[o.Partition] = o.Offset
		}
	})
	var rs []*kgo.Record
	for len(left) > 0 {
		fs := cl.PollFetches(ctx)
		if err := fs.Err0(); err != nil {
			t.Fatalf("read %s (committed: %v), %v to go: %v", topic, committed, left, err)
		}
		fs.EachRecord(func(r *kgo.Record) {
			if r.Offset+1 >= left[r.Partition] {
				delete(left, r.Partition)
			}
			if !r.Attrs.IsControl() {
				rs = append(rs, r)
			}
		})
	}
	slices.SortFunc(rs, func(a, b *kgo.Record) int {
		if a.Partition != b.Partition {
			return int(a.Partition) - int(b.Partition)
		}
		return int(a.Offset - b.Offset)
	})
	out := make([]string, len(rs))
	for i, r := range rs {
		out[i] = string(r.Value)
	}
	return out
}

func wantValues(t testing.TB, what string, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: %q, want %q", what, got, want)
	}
}

func producer(t testing.TB, s *harness.Server, id string, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	return harness.Client(t, s, append([]kgo.Opt{
		kgo.TransactionalID(id), kgo.TransactionTimeout(30 * time.Second), kgo.RecordPartitioner(kgo.ManualPartitioner()),
	}, opts...)...)
}

// produce sends one record to each partition and waits for them.
func produce(ctx context.Context, cl *kgo.Client, topic, value string, partitions ...int32) error {
	var rs []*kgo.Record
	for _, p := range partitions {
		rs = append(rs, &kgo.Record{Topic: topic, Partition: p, Value: []byte(value)})
	}
	if err := cl.ProduceSync(ctx, rs...).FirstErr(); err != nil {
		return fmt.Errorf("produce %q: %w", value, err)
	}
	return nil
}
