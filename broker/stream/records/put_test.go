package records

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/streamweir/streamweir/broker/quota"
	"github.com/streamweir/streamweir/broker/shard"
	"github.com/streamweir/streamweir/broker/topic"
	"github.com/streamweir/streamweir/storage"
)

func TestRecordsGoToTheShardsOfTheirHashes(t *testing.T) {
	b := newBench(t)
	s := b.stream("s", 4)
	var entries []Entry
	for i := range 100 {
		entries = append(entries, entry(fmt.Sprint("key", i), fmt.Sprint(i)))
	}
	entries[7].Hash = shard.MaxHashKey // as ExplicitHashKey says
	want := map[int32][]string{}
	for i, o := range b.put(s, entries...) {
		sh := s.Stream.Lineage.Route(entries[i].Hash)
		if o.Err != nil || o.Shard != sh || o.Offset != int64(len(want[sh.Index])) {
			t.Fatalf("record %d: shard %v at %d, %v; want shard %d", i, o.Shard.ID(), o.Offset, o.Err, sh.Index)
		}
		want[sh.Index] = append(want[sh.Index], fmt.Sprint(i))
	}
	if o := want[3]; len(want) != 4 || !slices.Contains(o, "7") {
		t.Fatalf("the records went to %v", want)
	}
	for index, w := range want {
		if got := b.all(s, index, Position{Type: TrimHorizon}); !slices.Equal(got, w) {
			t.Errorf("shard %d has %v, want %v", index, got, w)
		}
	}
}

func TestOneRequestIsOneBatchForEachShard(t *testing.T) {
	b := newBench(t)
	s := b.stream("s", 2)
	before := b.parts.Stats().Batches
	var entries []Entry
	for i := range 500 {
		entries = append(entries, entry(fmt.Sprint("key", i), "data"))
	}
	b.put(s, entries...)
	if n := b.parts.Stats().Batches - before; n != 2 {
		t.Errorf("%d batches were appended, want 2", n)
	}
}

func TestThrottledRecordsFailAlone(t *testing.T) {
	b := newBench(t)
	b.limits = true
	s := b.stream("s", 2)
	low, high := entry("low", strings.Repeat("x", 600<<10)), entry("high", strings.Repeat("y", 600<<10))
	low.Hash, high.Hash = shard.HashKey{}, shard.MaxHashKey
	out := b.put(s, low, low, high, entry("low", "small"))
	const refused = "ProvisionedThroughputExceededException: Rate exceeded for shard shardId-000000000000 in stream s under account 000000000000."
	if out[0].Err != nil || out[2].Err != nil || out[3].Err != nil {
		t.Fatalf("records that had room: %v, %v, %v", out[0].Err, out[2].Err, out[3].Err)
	}
	if got := refusal(t, out[1].Err); got != refused {
		t.Errorf("%s", got)
	}
	if got := b.all(s, 0, Position{Type: TrimHorizon}); len(got) != 1+int(1-out[3].Shard.Index) {
		t.Errorf("the first shard holds %d records", len(got))
	}
}

func TestConcurrentPutsLoseNothing(t *testing.T) {
	b := newBench(t)
	s := b.stream("s", 3)
	const writers, rounds, each = 50, 10, 20
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			out := make([]Outcome, each)
			for r := range rounds {
				var entries []Entry
				for i := range each {
					entries = append(entries, entry(fmt.Sprint(w, "/", i), fmt.Sprint(w, "/", r, "/", i)))
				}
				if err := b.PutRecords(context.Background(), s, entries, out); err != nil {
					t.Error(err)
				}
				for i := range out {
					if out[i].Err != nil {
						t.Error(out[i].Err)
					}
				}
			}
		})
	}
	wg.Wait()
	seen := map[string]bool{}
	for index := range int32(3) {
		for _, v := range b.all(s, index, Position{Type: TrimHorizon}) {
			if seen[v] {
				t.Fatalf("%s is there twice", v)
			}
			seen[v] = true
		}
	}
	if len(seen) != writers*rounds*each {
		t.Errorf("%d records of %d", len(seen), writers*rounds*each)
	}
}

func TestPutToADeletedStreamIsNotFound(t *testing.T) {
	b := newBench(t)
	s := b.stream("s", 1)
	if _, _, err := b.topics.Delete(ids(s)); err != nil {
		t.Fatal(err)
	}
	if err := b.parts.Drop(s.ID, 1); err != nil {
		t.Fatal(err)
	}
	out := b.put(s, entry("k", "v"))
	if got := refusal(t, out[0].Err); got != "ResourceNotFoundException: Stream s under account 000000000000 not found." {
		t.Error(got)
	}
	if b.quotas.Streams() != 0 {
		t.Error("quotas of a deleted stream are kept")
	}
}

func TestEmptyDataIsNotNull(t *testing.T) {
	b := newBench(t)
	s := b.stream("s", 1)
	b.put(s, Entry{PartitionKey: "k"}, entry("k", ""))
	r := b.kafkaRecords(s, 0)
	if len(r) != 2 || r[0].Value == nil || r[1].Value == nil || string(r[0].Key) != "k" {
		t.Fatalf("a Kafka consumer sees %v", r)
	}
}

func TestPutsHaveTheTimeOfTheirAppend(t *testing.T) {
	for _, kind := range []string{"LogAppendTime", "CreateTime"} {
		b := newBench(t)
		s := b.topic("s", 1, "message.timestamp.type", kind)
		b.clock.Advance(time.Hour)
		b.puts(s, "v")
		got := b.get(b.iterator(s, 0, Position{Type: TrimHorizon}), 1)
		if want := startTime.Add(time.Hour).UnixMilli(); got.List[0].Timestamp != want {
			t.Errorf("%s: it arrived at %d, want %d", kind, got.List[0].Timestamp, want)
		}
	}
}

func TestSizesAreChecked(t *testing.T) {
	b := newBench(t)
	s := b.stream("s", 1)
	large := strings.Repeat("x", 1<<20)
	put := func(s *topic.Topic, entries ...Entry) string {
		err := b.PutRecords(context.Background(), s, entries, make([]Outcome, len(entries)))
		if err == nil {
			return ""
		}
		return refusal(t, err)
	}
	one := func(e Entry) string {
		if _, err := b.PutRecord(context.Background(), s, e); err != nil {
			return refusal(t, err)
		}
		return ""
	}
	const tooLong = "ValidationException: 1 validation error detected: Value 'java.nio.HeapByteBuffer[pos=0 lim=1048577 cap=1048577]' at '%s' failed to satisfy constraint: Member must have length less than or equal to 1048576"
	const withKey = "InvalidArgumentException: The record at '%s' has 1048577 bytes with its partition key, which exceeds the maximum record size of 1048576 bytes of stream s."
	for name, c := range map[string]struct{ got, want string }{
		"as large as it may be":        {one(entry("k", large[1:])), ""},
		"too large by its key":         {one(entry("k", large)), fmt.Sprintf(withKey, "data")},
		"too large by itself":          {one(entry("k", large+"x")), fmt.Sprintf(tooLong, "data")},
		"one of several too large":     {put(s, entry("k", "v"), entry("k", large+"x")), fmt.Sprintf(tooLong, "records.2.member.data")},
		"one too large by its key":     {put(s, entry("k", large)), fmt.Sprintf(withKey, "records.1.member.data")},
		"as many as there may be":      {put(s, slices.Repeat([]Entry{entry("k", large[1:])}, 10)...), ""},
		"more than there may be":       {put(s, append(slices.Repeat([]Entry{entry("k", large[1:])}, 10), entry("k", ""))...), "InvalidArgumentException: Records size exceeds 10 MB limit"},
		"large where the stream wants": {put(b.large(b.stream("l", 1)), entry("k", strings.Repeat(large, 10)[1:])), ""},
	} {
		if c.got != c.want {
			t.Errorf("%s: %s", name, c.got)
		}
	}
	if n := len(b.all(s, 0, Position{Type: TrimHorizon})); n != 11 {
		t.Errorf("%d records are there, want 11", n)
	}
}

// Each request is a sample of the metrics that CloudWatch has for it.
func TestRequestsAreMeasured(t *testing.T) {
	b := newBench(t)
	b.limits = true
	s := b.stream("s", 1)
	b.put(s, entry("k", strings.Repeat("x", 700<<10)), entry("k", strings.Repeat("x", 700<<10)), entry("k", "1234"))
	if _, err := b.PutRecord(context.Background(), s, entry("k", "1234")); err != nil {
		t.Fatal(err)
	}
	b.clock.Advance(3 * time.Second)
	b.get(b.iterator(s, 0, Position{Type: TrimHorizon}), 2)
	b.clock.Advance(time.Minute)
	got := map[string]float64{}
	registry := prometheus.NewRegistry()
	registry.MustRegister(quota.NewCollector(b.quotas, func(storage.TopicID) []string { return nil }))
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		got[strings.TrimPrefix(f.GetName(), "aws_kinesis_")] = f.Metric[0].Gauge.GetValue()
	}
	for name, want := range map[string]float64{
		"put_records_total_records_sum":                 3,
		"put_records_successful_records_sum":            2,
		"put_records_throttled_records_sum":             1,
		"put_records_failed_records_sum":                0,
		"put_records_success_average":                   1,
		"put_record_success_sum":                        1,
		"put_record_bytes_sum":                          5,
		"incoming_records_sum":                          3,
		"incoming_bytes_sum":                            700<<10 + 1 + 5 + 5,
		"write_provisioned_throughput_exceeded_sum":     1,
		"read_provisioned_throughput_exceeded_sum":      0,
		"get_records_records_sum":                       2,
		"get_records_bytes_sum":                         700<<10 + 1 + 5,
		"get_records_success_average":                   1,
		"get_records_iterator_age_milliseconds_maximum": 3000,
		"get_records_latency_sample_count":              1,
		"put_records_latency_sample_count":              1,
	} {
		if v, ok := got[name]; !ok || v != want {
			t.Errorf("%s is %v (%t), want %v", name, v, ok, want)
		}
	}
}
