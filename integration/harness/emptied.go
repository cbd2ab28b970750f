package harness

import (
	"encoding/binary"
	"fmt"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// CompactAtOnce are settings of a server with which compaction is quick.
func CompactAtOnce() []Option {
	return []Option{Config("log.cleaner.backoff.ms", "50"), Config("log.cleaner.min.cleanable.ratio", "0.01")}
}

// EmptiedTopic makes a compacted topic with one partition, most of whose batches
// are without records: of each producer that is active the last one stays, though
// others have written the same keys since. The last is the marker of a transaction
// that was aborted, whose records are gone. It returns what is left as "OFFSET KEY=VALUE", and where the log ends.
func EmptiedTopic(t testing.TB, s *Server) (topic string, want []string, end int64) {
	t.Helper()
	topic = Topic(t, s, 1, "cleanup.policy=compact", "segment.ms=1000", "min.cleanable.dirty.ratio=0.01")
	ctx := Context(t, 2*Long)
	const producers, keys = 12, 3
	records := func(value string) (rs []*kgo.Record) {
		for k := range keys {
			rs = append(rs, &kgo.Record{Topic: topic, Key: fmt.Appendf(nil, "key-%d", k), Value: []byte(value)})
		}
		return rs
	}
	for p := range producers {
		want = nil
		for _, res := range Client(t, s).ProduceSync(ctx, records(fmt.Sprintf("of-%d", p))...) {
			if res.Err != nil {
				t.Fatal(res.Err)
			}
			want = append(want, fmt.Sprintf("%d %s=%s", res.Record.Offset, res.Record.Key, res.Record.Value))
		}
	}
	cl := Client(t, s, kgo.TransactionalID(Name(t, "x")))
	if err := cl.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	if err := cl.ProduceSync(ctx, records("aborted")...).FirstErr(); err != nil {
		t.Fatal(err)
	}
	if err := cl.EndTransaction(ctx, kgo.TryAbort); err != nil {
		t.Fatal(err)
	}
	end = producers*keys + keys + 1 // and the marker
	Eventually(t, Long, "compaction empties the batches", func() error {
		left, batches := 0, BatchSizes(t, s, topic, 0)
		for _, n := range batches {
			left += n
		}
		if left > keys+1 || len(batches) < producers+1 {
			return fmt.Errorf("%d records are left in the batches %v", left, batches)
		}
		return nil
	})
	return topic, want, end
}

// BatchSizes is how many records each batch of a partition has, of its first 10 MB.
func BatchSizes(t testing.TB, s *Server, topic string, partition int32) (sizes []int) {
	t.Helper()
	req := At(kmsg.NewPtrFetchRequest(), 12)
	req.MaxBytes, req.MinBytes, req.SessionEpoch = 10<<20, 1, -1
	rp := kmsg.NewFetchRequestTopicPartition()
	rp.Partition, rp.PartitionMaxBytes = partition, 10<<20
	rt := kmsg.NewFetchRequestTopic()
	rt.Topic, rt.Partitions = topic, []kmsg.FetchRequestTopicPartition{rp}
	req.Topics = append(req.Topics, rt)
	c := Dial(t, s)
	defer c.Close()
	resp := Ask[*kmsg.FetchResponse](t, c, req)
	const lengthAt, recordsAt = 8, 57 // in the header of a batch
	for raw := resp.Topics[0].Partitions[0].RecordBatches; len(raw) > recordsAt+4; {
		sizes = append(sizes, int(binary.BigEndian.Uint32(raw[recordsAt:])))
		raw = raw[min(len(raw), lengthAt+4+int(binary.BigEndian.Uint32(raw[lengthAt:]))):]
	}
	return sizes
}
