package quota

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/streamweir/streamweir/storage"
)

// bench is a manager whose clock a test moves.
type bench struct {
	*Manager
	clock time.Time
	off   bool
	gone  bool
}

func newBench() *bench {
	b := &bench{clock: time.Unix(1_700_000_040, 0)} // a whole minute
	b.Manager = New(Options{
		Now:      func() time.Time { return b.clock },
		Enforced: func() bool { return !b.off },
		Exists:   func(storage.TopicID) bool { return !b.gone },
	})
	return b
}

func (b *bench) after(d time.Duration) { b.clock = b.clock.Add(d) }

func (b *bench) shard() *Shard { return b.Stream(storage.TopicID{1}, "s").Shard(0) }

// put returns which of the sizes found no room.
func put(s *Shard, unlimited bool, sizes ...int) (refused []int) {
	s.Put(sizes, unlimited, func(i int) { refused = append(refused, i) })
	return refused
}

func repeat(n, size int) []int {
	out := make([]int, n)
	for i := range out {
		out[i] = size
	}
	return out
}

func TestPutsAreBoundByRecords(t *testing.T) {
	b := newBench()
	s := b.shard()
	if got := put(s, false, repeat(1001, 1)...); !slices.Equal(got, []int{1000}) {
		t.Fatalf("of 1001 records these were refused: %v", got)
	}
	b.after(100 * time.Millisecond)
	if got := put(s, false, repeat(101, 1)...); !slices.Equal(got, []int{100}) {
		t.Fatalf("a tenth of a second later, of 101: %v", got)
	}
}

func TestPutsAreBoundByBytes(t *testing.T) {
	b := newBench()
	s := b.shard()
	half := 512 << 10
	// A record that finds no room leaves it to smaller ones behind it.
	if got := put(s, false, half, half-100, half, 100, 1); !slices.Equal(got, []int{2, 4}) {
		t.Fatalf("refused: %v", got)
	}
	b.after(time.Second)
	if got := put(s, false, 1<<20); got != nil {
		t.Fatalf("a second later: %v", got)
	}
}

func TestALargeRecordPassesAFullBucketAndIsPaidOff(t *testing.T) {
	b := newBench()
	s := b.shard()
	if got := put(s, false, 10<<20); got != nil {
		t.Fatal("10 MiB were refused by a bucket that was full")
	}
	b.after(9 * time.Second)
	if got := put(s, false, 1); got == nil {
		t.Fatal("there was room before the debt was paid")
	}
	b.after(time.Millisecond)
	if got := put(s, false, 1); got != nil {
		t.Fatal("there was no room after the debt was paid")
	}
	if got := put(s, false, 10<<20); got == nil {
		t.Fatal("10 MiB passed a bucket that was not full")
	}
}

func TestReadsAreBoundByCallsAndBytes(t *testing.T) {
	b := newBench()
	s := b.shard()
	for range 5 {
		if !s.BeginRead(false) {
			t.Fatal("five reads in a second are allowed")
		}
	}
	if s.BeginRead(false) {
		t.Fatal("a sixth read passed")
	}
	b.after(time.Second)
	s.BeginRead(false)
	s.EndRead(1000, 10<<20, 0, false)
	b.after(5*time.Second - time.Millisecond)
	if s.BeginRead(false) {
		t.Fatal("10 MiB were paid off in less than five seconds")
	}
	b.after(2 * time.Millisecond)
	if !s.BeginRead(false) {
		t.Fatal("10 MiB were not paid off after five seconds")
	}
}

func TestIteratorsAndDryRunsAreBound(t *testing.T) {
	b := newBench()
	s := b.shard()
	n := 0
	for s.Iterator(false) {
		n++
	}
	if n != 5 {
		t.Errorf("%d iterators in a second, want 5", n)
	}
	st := b.Stream(storage.TopicID{1}, "s")
	if !st.DryRun() || st.DryRun() {
		t.Error("one dry run in a second is allowed")
	}
}

func TestFanOutWaitsForItsBytes(t *testing.T) {
	b := newBench()
	c := b.Stream(storage.TopicID{1}, "s").Consumer("c")
	if w := c.Wait(0, false); w != 0 {
		t.Fatalf("the first event waits %v", w)
	}
	c.Sent(0, 1, 3<<20, 0, false)
	if w := c.Wait(0, false); w < 500*time.Millisecond || w > 501*time.Millisecond {
		t.Fatalf("after 3 MiB it waits %v, want half a second", w)
	}
	if w := c.Wait(1, false); w != 0 {
		t.Fatalf("another shard waits %v", w)
	}
	b.after(501 * time.Millisecond)
	if w := c.Wait(0, false); w != 0 {
		t.Fatalf("half a second later it waits %v", w)
	}
}

func TestActionsHaveTheirRates(t *testing.T) {
	b := newBench()
	count := func(allowed func(string) bool, action string) (n int) {
		for n < 2000 && allowed(action) {
			n++
		}
		return n
	}
	s := b.Stream(storage.TopicID{1}, "s")
	for action, want := range map[string]int{"DescribeStream": 10, "DescribeLimits": 1, "ListStreams": 5, "ListShards": 2000, "PutRecords": 2000} {
		if got := count(b.Action, action); got != want {
			t.Errorf("%s: %d calls of the account, want %d", action, got, want)
		}
	}
	for action, want := range map[string]int{"DescribeStream": 2000, "ListShards": 1000, "RegisterStreamConsumer": 5} {
		if got := count(s.Action, action); got != want {
			t.Errorf("%s: %d calls on the stream, want %d", action, got, want)
		}
	}
	b.after(time.Second)
	if got := count(b.Action, "ListStreams"); got != 5 {
		t.Errorf("a second later: %d calls", got)
	}
}

func TestWithoutLimitsNothingIsRefusedOrOwed(t *testing.T) {
	b := newBench()
	b.off = true
	s := b.shard()
	if got := put(s, false, repeat(5000, 1<<20)...); got != nil {
		t.Error("records were refused")
	}
	s.EndRead(1, 100<<20, 0, false)
	for range 100 {
		if !s.BeginRead(false) || !s.Iterator(false) || !b.Action("DescribeLimits") {
			t.Fatal("a call was refused")
		}
	}
	b.off = false
	if put(s, false, 1) != nil || !s.BeginRead(false) {
		t.Error("what was used without limits is owed with them")
	}
	if got := put(b.Stream(storage.TopicID{2}, "on demand").Shard(0), true, repeat(5000, 1000)...); got != nil {
		t.Error("records of a stream without provisioned throughput were refused")
	}
}

func TestQuotasGoWithTheirStream(t *testing.T) {
	b := newBench()
	s := b.shard()
	put(s, false, 1<<20)
	if b.shard() != s || b.Streams() != 1 {
		t.Fatal("a stream has one set of quotas")
	}
	b.gone = true
	b.Drop(storage.TopicID{1})
	put(b.shard(), false, 1) // a call that came late
	if b.Streams() != 0 {
		t.Error("the quotas of a deleted stream are kept")
	}
	b.gone = false
	if got := put(b.shard(), false, 1<<20); got != nil {
		t.Error("a new stream owes what the old one used")
	}
}

// samples are what a collector shows, as text.
func (b *bench) samples(t *testing.T, shardLevel ...string) map[string]float64 {
	t.Helper()
	r := prometheus.NewRegistry()
	r.MustRegister(NewCollector(b.Manager, func(storage.TopicID) []string { return shardLevel }))
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]float64{}
	for _, f := range families {
		for _, m := range f.Metric {
			name := f.GetName()
			for _, l := range m.Label {
				name += fmt.Sprintf(" %s=%s", l.GetName(), l.GetValue())
			}
			out[name] = m.Gauge.GetValue()
		}
	}
	return out
}

func TestMetricsAreThoseOfTheLastWholeMinute(t *testing.T) {
	b := newBench()
	st := b.Stream(storage.TopicID{1}, "s")
	put(st.Shard(7), false, 100, 200)
	st.AddAll(Value{IncomingBytes, 300}, Value{IncomingBytes, 100})
	st.Consumer("c").Sent(7, 3, 1000, 2*time.Second, false)
	if got := b.samples(t); len(got) != 0 {
		t.Fatalf("shown within the minute: %v", got)
	}
	b.after(time.Minute)
	st.Add(IncomingBytes, 5) // of the next minute
	got := b.samples(t, "IncomingRecords")
	const event = "aws_kinesis_subscribe_to_shard_event_millis_behind_latest_maximum dimension_ConsumerName=c dimension_StreamName=s"
	for name, want := range map[string]float64{
		"aws_kinesis_incoming_bytes_sum dimension_StreamName=s":                                          400,
		"aws_kinesis_incoming_bytes_average dimension_StreamName=s":                                      200,
		"aws_kinesis_incoming_bytes_maximum dimension_StreamName=s":                                      300,
		"aws_kinesis_incoming_bytes_minimum dimension_StreamName=s":                                      100,
		"aws_kinesis_incoming_bytes_sample_count dimension_StreamName=s":                                 2,
		"aws_kinesis_incoming_records_sum dimension_ShardId=shardId-000000000007 dimension_StreamName=s": 2,
		event: 2000,
	} {
		if v, ok := got[name]; !ok || v != want {
			t.Errorf("%s is %v (%t), want %v", name, v, ok, want)
		}
	}
	if _, ok := got["aws_kinesis_incoming_bytes_sum dimension_ShardId=shardId-000000000007 dimension_StreamName=s"]; ok {
		t.Error("a shard-level metric that is switched off is shown")
	}
	b.after(2 * time.Minute)
	if got := b.samples(t, "IncomingRecords"); len(got) != 0 {
		t.Errorf("shown after a minute in which nothing came: %v", got)
	}
}

func TestExportedNames(t *testing.T) {
	for name, want := range map[string]string{
		"IncomingBytes":                      "aws_kinesis_incoming_bytes",
		"GetRecords.IteratorAgeMilliseconds": "aws_kinesis_get_records_iterator_age_milliseconds",
		"WriteProvisionedThroughputExceeded": "aws_kinesis_write_provisioned_throughput_exceeded",
	} {
		if got := exportedName(name); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
}
