package records

import (
	"bytes"
	"crypto/md5"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/streamweir/streamweir/broker/stream"
	"github.com/streamweir/streamweir/broker/topic"
	"github.com/streamweir/streamweir/protocol/kafka"
	"github.com/streamweir/streamweir/storage"
)

func ids(ts ...*topic.Topic) (out []storage.TopicID) {
	for _, t := range ts {
		out = append(out, t.ID)
	}
	return out
}

// kafkaRecords are the records of a partition as a Kafka consumer gets them.
func (b *bench) kafkaRecords(t *topic.Topic, index int32) (out []kafka.Record) {
	b.Helper()
	_, err := b.parts.Get(t.ID, index).EachBatch(0, func(batch kafka.Batch) error {
		r := kafka.ReadRecords(batch, 0)
		defer r.Close()
		for r.Next() {
			out = append(out, r.Record().Clone())
		}
		return r.Err()
	})
	if err != nil {
		b.Fatal(err)
	}
	return out
}

func TestIteratorsOfAllTypes(t *testing.T) {
	b := newBench(t)
	s := b.stream("s", 1)
	for i := range 4 {
		b.puts(s, fmt.Sprint(i))
		b.clock.Advance(10 * time.Millisecond)
	}
	sh := b.shard(s, 0)
	start := startTime.UnixMilli()
	at := func(ms int64) *int64 { ms += start; return &ms }
	for name, c := range map[string]struct {
		at   Position
		want []string
	}{
		"trim horizon":                    {Position{Type: TrimHorizon}, []string{"0", "1", "2", "3"}},
		"latest":                          {Position{Type: Latest}, []string{}},
		"at a record":                     {Position{Type: AtSequenceNumber, Sequence: sh.Sequence(2)}, []string{"2", "3"}},
		"after a record":                  {Position{Type: AfterSequenceNumber, Sequence: sh.Sequence(2)}, []string{"3"}},
		"at the last":                     {Position{Type: AtSequenceNumber, Sequence: sh.Sequence(3)}, []string{"3"}},
		"after the last":                  {Position{Type: AfterSequenceNumber, Sequence: sh.Sequence(3)}, []string{}},
		"at the shard's start":            {Position{Type: AtSequenceNumber, Sequence: sh.StartingSequence()}, []string{"0", "1", "2", "3"}},
		"after the shard's start":         {Position{Type: AfterSequenceNumber, Sequence: sh.StartingSequence()}, []string{"0", "1", "2", "3"}},
		"at the time of a record":         {Position{Type: AtTimestamp, Timestamp: at(20)}, []string{"2", "3"}},
		"at a time between two records":   {Position{Type: AtTimestamp, Timestamp: at(11)}, []string{"2", "3"}},
		"at a time before all records":    {Position{Type: AtTimestamp, Timestamp: at(-5000)}, []string{"0", "1", "2", "3"}},
		"at a time after the last record": {Position{Type: AtTimestamp, Timestamp: at(40)}, []string{}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := b.all(s, 0, c.at); !slices.Equal(got, c.want) {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}

func TestPositionsThatAreRefused(t *testing.T) {
	b := newBench(t)
	s, other := b.stream("s", 2), b.stream("other", 2)
	b.puts(s, "v")
	sh := b.shard(s, 0)
	future := startTime.UnixMilli() + 1
	used := func(sequence, because string) string {
		return fmt.Sprintf("StartingSequenceNumber %s used in GetShardIterator on shard shardId-000000000000 in stream s under account 000000000000 is invalid%s.", sequence, because)
	}
	const either = "Must either specify (1) AT_SEQUENCE_NUMBER or AFTER_SEQUENCE_NUMBER and StartingSequenceNumber or (2) TRIM_HORIZON or LATEST and no StartingSequenceNumber. Request specified "
	b.clock.Advance(0)
	for name, c := range map[string]struct {
		at   Position
		want string
	}{
		"a number too many":    {Position{Type: Latest, Sequence: sh.Sequence(0)}, either + "LATEST and also a StartingSequenceNumber."},
		"a number that lacks":  {Position{Type: AtSequenceNumber}, either + "AT_SEQUENCE_NUMBER and no StartingSequenceNumber."},
		"a time that lacks":    {Position{Type: AtTimestamp}, "Must specify timestampInMillis parameter for iterator of type AT_TIMESTAMP. Current request has no timestamp parameter."},
		"a time in the future": {Position{Type: AtTimestamp, Timestamp: &future}, fmt.Sprintf("The timestampInMillis parameter cannot be greater than the currentTimestampInMillis. timestampInMillis: %d, currentTimestampInMillis: %d", future, future-1)},
		"no number at all":     {Position{Type: AtSequenceNumber, Sequence: "123"}, used("123", "")},
		"of another shard":     {Position{Type: AtSequenceNumber, Sequence: b.shard(s, 1).Sequence(0)}, "Invalid StartingSequenceNumber. It encodes shardId-000000000001, while it was used in a call to a shard with shardId-000000000000"},
		"of no record yet":     {Position{Type: AtSequenceNumber, Sequence: sh.Sequence(1000)}, used(sh.Sequence(1000), "")},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := b.GetIterator(sh, c.at)
			if got := refusal(t, err); got != "InvalidArgumentException: "+c.want {
				t.Errorf("%s\nwant %s", got, c.want)
			}
		})
	}
	b.clock.Advance(time.Minute)
	later := b.stream("later", 1)
	seq := b.shard(later, 0).Sequence(0)
	_, err := b.GetIterator(sh, Position{Type: AfterSequenceNumber, Sequence: seq})
	if got := refusal(t, err); got != "InvalidArgumentException: "+used(seq, " because it did not come from this stream") {
		t.Error(got)
	}
	for id, want := range map[string]string{
		"shardId-000000000002": "ResourceNotFoundException: Shard shardId-000000000002 in stream other under account 000000000000 does not exist",
		"shard 1":              "ResourceNotFoundException: Could not find shard shard 1 in stream other under account 000000000000.",
	} {
		_, err := b.Shard(other, id)
		if got := refusal(t, err); got != want {
			t.Error(got)
		}
	}
}

func TestIteratorsAreSealed(t *testing.T) {
	b := newBench(t)
	s := b.stream(strings.Repeat("n", topic.MaxStreamNameBytes), 1)
	b.puts(s, "v")
	it := b.iterator(s, 0, Position{Type: TrimHorizon})
	if len(it) > 512 {
		t.Errorf("an iterator has %d characters, more than AWS allows", len(it))
	}
	if it == b.iterator(s, 0, Position{Type: TrimHorizon}) {
		t.Error("two iterators are the same")
	}
	raw := []byte(it)
	for i := range raw {
		bad := bytes.Clone(raw)
		if bad[i]++; bad[i] == it[i] {
			continue
		}
		if opened, err := b.OpenIterator(string(bad)); err == nil {
			t.Fatalf("a changed iterator was opened: %v", opened)
		}
	}
	for _, bad := range []string{"", "x", it[:len(it)-4], it + "AAAA", "AAAAAAAAAAE="} {
		_, err := b.OpenIterator(bad)
		if got := refusal(t, err); got != "InvalidArgumentException: Invalid ShardIterator." {
			t.Error(got)
		}
	}
	if elsewhere := newBench(t); true {
		if _, err := elsewhere.OpenIterator(it); err == nil {
			t.Error("another broker opened the iterator")
		}
	}
	b.restart()
	if got := values(b.get(it, 10).List); !slices.Equal(got, []string{"v"}) {
		t.Errorf("after a restart it reads %v", got)
	}
}

func TestIteratorsExpire(t *testing.T) {
	b := newBench(t)
	s := b.stream("s", 1)
	it := b.iterator(s, 0, Position{Type: TrimHorizon})
	b.clock.Advance(5 * time.Minute)
	b.get(it, 1)
	b.clock.Advance(time.Millisecond)
	_, err := b.OpenIterator(it)
	const want = "ExpiredIteratorException: Iterator expired. The iterator was created at time Tue Nov 14 22:13:20 UTC 2023 while right now it is Tue Nov 14 22:18:20 UTC 2023 " +
		"which is further in the future than the tolerated delay of 300000 milliseconds."
	if got := refusal(t, err); got != want {
		t.Error(got)
	}
}

func TestIteratorOfADeletedStream(t *testing.T) {
	b := newBench(t)
	s := b.stream("s", 1)
	it := b.iterator(s, 0, Position{Type: TrimHorizon})
	if _, _, err := b.topics.Delete(ids(s)); err != nil {
		t.Fatal(err)
	}
	b.stream("s", 1) // another of the same name
	_, err := b.OpenIterator(it)
	if got := refusal(t, err); got != "ResourceNotFoundException: Shard shardId-000000000000 in stream s under account 000000000000 does not exist" {
		t.Error(got)
	}
}

func TestALatestIteratorSeesThePutAfterIt(t *testing.T) {
	b := newBench(t)
	s := b.stream("s", 1)
	b.puts(s, "before")
	it := b.iterator(s, 0, Position{Type: Latest})
	b.puts(s, "after")
	if got := values(b.get(it, 10).List); !slices.Equal(got, []string{"after"}) {
		t.Errorf("it reads %v", got)
	}
}

func TestALatestIteratorSeesAnOpenTransactionCommit(t *testing.T) {
	b := newBench(t)
	s := b.topic("s", 1)
	b.produce(s, 0, batch{producer: 7, txn: true, records: []kafka.Record{{Value: []byte("in transaction")}}})
	it := b.iterator(s, 0, Position{Type: Latest})
	b.endTxn(s, 0, 7, true)
	if got := values(b.get(it, 10).List); !slices.Equal(got, []string{"in transaction"}) {
		t.Errorf("it reads %v", got)
	}
}

func TestAnIdleConsumerGoesOnForever(t *testing.T) {
	b := newBench(t)
	s := b.stream("s", 1)
	b.puts(s, "first")
	it := b.iterator(s, 0, Position{Type: Latest})
	for range 7 * 24 * 15 { // a week, every four minutes
		b.clock.Advance(4 * time.Minute)
		got := b.get(it, 10)
		if len(got.List) != 0 || got.Next == "" || got.Behind != 0 {
			t.Fatalf("an idle shard gives %v, %d ms behind, next %q", values(got.List), got.Behind, got.Next)
		}
		it = got.Next
	}
	b.puts(s, "last")
	if got := values(b.get(it, 10).List); !slices.Equal(got, []string{"last"}) {
		t.Errorf("it reads %v", got)
	}
}

func TestLimitAndMillisBehindLatest(t *testing.T) {
	b := newBench(t)
	s := b.stream("s", 1)
	b.put(s, entry("k", "0"), entry("k", "1"), entry("k", "2")) // in one batch
	b.clock.Advance(1500 * time.Millisecond)
	it := b.iterator(s, 0, Position{Type: TrimHorizon})
	for i, want := range []struct {
		values []string
		behind int64
	}{{[]string{"0", "1"}, 1500}, {[]string{"2"}, 0}, {[]string{}, 0}} {
		got := b.get(it, 2)
		if !slices.Equal(values(got.List), want.values) || got.Behind != want.behind {
			t.Errorf("call %d: %v, %d ms behind; want %v", i, values(got.List), got.Behind, want)
		}
		it = got.Next
	}
	// Where there is more, a consumer is behind, whatever the clock says.
	b.put(s, entry("k", "3"), entry("k", "4"))
	if got := b.get(it, 1); got.Behind != 1 {
		t.Errorf("with one more to read it is %d ms behind", got.Behind)
	}
}

func TestAnAnswerIsBoundInBytes(t *testing.T) {
	b := newBench(t)
	s := b.large(b.stream("s", 1))
	for range 7 {
		b.puts(s, strings.Repeat("x", 2<<20-1)) // with its key 2 MiB
	}
	it := b.iterator(s, 0, Position{Type: TrimHorizon})
	got := b.get(it, MaxGetRecords)
	if len(got.List) != 5 || got.Bytes != MaxGetBytes {
		t.Errorf("%d records of %d bytes, want 10 MiB", len(got.List), got.Bytes)
	}
	if got = b.get(got.Next, MaxGetRecords); len(got.List) != 2 {
		t.Errorf("then %d records", len(got.List))
	}
}

func TestARecordOf10MiBGoesBothWays(t *testing.T) {
	for _, cache := range []int64{0, 64 << 20} {
		b := newBench(t)
		b.cache = cache
		b.restart()
		big := bytes.Repeat([]byte("0123456789abcdef"), 10<<20/16)[:10<<20-4]
		s := b.large(b.topic("s", 1, "max.message.bytes", "1000"))
		o := b.put(s, Entry{PartitionKey: "keyü", Data: big[:10<<20-5]})
		if o[0].Err != nil {
			t.Fatal(o[0].Err)
		}
		if r := b.kafkaRecords(s, 0); len(r) != 1 || !bytes.Equal(r[0].Value, big[:10<<20-5]) {
			t.Fatal("a Kafka consumer does not see the record as it was put")
		}
		k := b.topic("k", 1, "max.message.bytes", "20000000")
		b.produce(k, 0, batch{codec: kafka.CodecZstd, records: []kafka.Record{{Key: []byte("key4"), Value: big, Headers: []kafka.Header{{Key: []byte("h"), Value: make([]byte, 1000)}}}}})
		got := b.get(b.iterator(k, 0, Position{Type: TrimHorizon}), 10)
		if len(got.List) != 1 || !bytes.Equal(got.List[0].Data, big) || got.List[0].PartitionKey != "key4" {
			t.Fatal("the record that Kafka wrote is read as another")
		}
	}
}

func TestWithoutMemoryAnAnswerHasOneRecord(t *testing.T) {
	b := newBench(t)
	b.memory = 1000
	b.restart()
	s := b.stream("s", 1)
	b.puts(s, strings.Repeat("x", 5000), strings.Repeat("y", 5000), "z")
	it := b.iterator(s, 0, Position{Type: TrimHorizon})
	for _, want := range []int{5000, 5000, 1} {
		got := b.get(it, 10)
		if len(got.List) != 1 || len(got.List[0].Data) != want {
			t.Fatalf("got %d records", len(got.List))
		}
		it = got.Next
		got.Release()
	}
	if used := b.Memory(); used != 0 {
		t.Errorf("%d bytes are accounted for after all was released", used)
	}
}

func TestKafkaRecordsAreSeenWithEveryCodec(t *testing.T) {
	for codec := kafka.CodecNone; codec <= kafka.CodecZstd; codec++ {
		for _, cache := range []int64{0, 1 << 20} {
			t.Run(fmt.Sprintf("%v, cache of %d", codec, cache), func(t *testing.T) {
				b := newBench(t)
				b.cache = cache
				b.restart()
				s := b.topic("s", 1)
				var want []string
				for i := range 5 {
					var rs []kafka.Record
					for j := range 50 {
						v := strings.Repeat(fmt.Sprint(i, "-", j, " "), 20*j)
						want = append(want, v)
						rs = append(rs, kafka.Record{Key: []byte("k"), Value: []byte(v), Headers: []kafka.Header{{Key: []byte("h"), Value: []byte("x")}}})
					}
					b.produce(s, 0, batch{codec: codec, records: rs})
				}
				if got := b.all(s, 0, Position{Type: TrimHorizon}); !slices.Equal(got, want) {
					t.Errorf("%d records, want %d", len(got), len(want))
				}
				if got := b.all(s, 0, Position{Type: AtSequenceNumber, Sequence: b.shard(s, 0).Sequence(120)}); !slices.Equal(got, want[120:]) {
					t.Errorf("from the middle of a batch: %d records, want %d", len(got), len(want)-120)
				}
			})
		}
	}
}

func TestOnlyCommittedRecordsAreSeen(t *testing.T) {
	b := newBench(t)
	s := b.topic("s", 1)
	write := func(producer int64, sequence int32, value string) {
		b.produce(s, 0, batch{producer: producer, sequence: sequence, txn: producer != 0, records: []kafka.Record{{Value: []byte(value)}}})
	}
	it := b.iterator(s, 0, Position{Type: TrimHorizon})
	check := func(when string, want ...string) {
		t.Helper()
		got := b.get(it, 100)
		if !slices.Equal(values(got.List), append([]string{}, want...)) || got.Next == "" {
			t.Errorf("%s: %v, want %v", when, values(got.List), want)
		}
		if got.Behind != 0 {
			t.Errorf("%s: %d ms behind what can be read", when, got.Behind)
		}
		it = got.Next
	}
	write(0, 0, "plain")
	write(7, 0, "a1")
	write(8, 0, "b1")
	write(0, 0, "behind them")
	check("two transactions are open", "plain")
	b.endTxn(s, 0, 8, false)
	check("the younger one is aborted")
	write(7, 1, "a2")
	b.endTxn(s, 0, 7, true)
	check("the other is committed", "a1", "behind them", "a2")
	write(8, 1, "b2")
	b.endTxn(s, 0, 8, true)
	check("the first producer's next one is committed", "b2")
	write(8, 2, "b3")
	b.endTxn(s, 0, 8, false)
	check("nothing is left of an aborted one")
	write(0, 0, "last")
	check("it goes on behind the marker", "last")
}

func TestKeysThatKinesisCannotHave(t *testing.T) {
	b := newBench(t)
	s := b.topic("s", 1)
	long := strings.Repeat("k", 5000)
	b.produce(s, 0, batch{records: []kafka.Record{
		{Value: []byte("null key")},
		{Key: []byte{}, Value: []byte("empty key")},
		{Key: []byte{0xff, 0xfe}, Value: []byte("no UTF-8")},
		{Key: []byte(long), Value: nil},
		{Key: []byte(strings.Repeat("ü", 256)), Value: []byte("256 characters")},
		{Key: bytes.Repeat([]byte{0xff}, 193), Value: []byte("too long in base64")},
	}})
	got := b.get(b.iterator(s, 0, Position{Type: TrimHorizon}), 100)
	var keys []string
	for _, r := range got.List {
		keys = append(keys, r.PartitionKey)
	}
	if want := []string{"0", "1", "//4=", md5Of(long), strings.Repeat("ü", 256), md5Of(strings.Repeat("\xff", 193))}; !slices.Equal(keys, want) {
		t.Errorf("the keys are %q", keys)
	}
	if got.List[3].Data == nil || len(got.List[3].Data) != 0 {
		t.Errorf("a null value is %v, want no bytes", got.List[3].Data)
	}
}

func md5Of(s string) string { return fmt.Sprintf("%x", md5.Sum([]byte(s))) }

func TestCompactedGapsArePassed(t *testing.T) {
	b := newBench(t)
	s := b.topic("s", 1, "cleanup.policy", "compact", "segment.ms", "1", "min.cleanable.dirty.ratio", "0")
	for i := range 20 {
		b.produce(s, 0, batch{records: []kafka.Record{{Key: []byte("same"), Value: fmt.Append(nil, i)}, {Key: fmt.Append(nil, i%3), Value: fmt.Append(nil, "m", i)}}})
	}
	b.clock.Advance(time.Hour)
	b.compact()
	it := b.iterator(s, 0, Position{Type: TrimHorizon})
	got := b.get(it, 100)
	if want := []string{"m17", "m18", "19", "m19"}; !slices.Equal(values(got.List), want) {
		t.Errorf("after compaction: %v, want %v", values(got.List), want)
	}
	if got.Next == "" || got.Behind != 0 {
		t.Errorf("%d ms behind", got.Behind)
	}
	b.puts(s, "next")
	if got := values(b.get(got.Next, 100).List); !slices.Equal(got, []string{"next"}) {
		t.Errorf("then: %v", got)
	}
}

func TestWhatRetentionTookIsPassed(t *testing.T) {
	b := newBench(t)
	s := b.stream("s", 1)
	b.puts(s, "0", "1")
	it := b.iterator(s, 0, Position{Type: TrimHorizon})
	b.puts(s, "2")
	if _, err := b.parts.Get(s.ID, 0).DeleteBefore(2); err != nil {
		t.Fatal(err)
	}
	if got := values(b.get(it, 10).List); !slices.Equal(got, []string{"2"}) {
		t.Errorf("it reads %v", got)
	}
	if got := b.all(s, 0, Position{Type: AtSequenceNumber, Sequence: b.shard(s, 0).Sequence(0)}); !slices.Equal(got, []string{"2"}) {
		t.Errorf("at a record that is gone: %v", got)
	}
}

func TestReadsAreThrottled(t *testing.T) {
	b := newBench(t)
	b.limits = true
	s := b.stream("s", 1)
	it := b.iterator(s, 0, Position{Type: TrimHorizon})
	opened, err := b.OpenIterator(it)
	if err != nil {
		t.Fatal(err)
	}
	for range 5 {
		b.get(it, 1)
	}
	_, err = b.Get(t.Context(), opened, 1)
	const want = "ProvisionedThroughputExceededException: Rate exceeded for shard shardId-000000000000 in stream s under account 000000000000."
	if got := refusal(t, err); got != want {
		t.Error(got)
	}
	for range 4 {
		b.iterator(s, 0, Position{Type: TrimHorizon})
	}
	_, err = b.GetIterator(b.shard(s, 0), Position{Type: Latest})
	if got := refusal(t, err); got != want {
		t.Error(got)
	}
}

func TestDryRuns(t *testing.T) {
	b := newBench(t)
	b.limits = true
	s := b.stream("s", 1)
	if got := refusal(t, b.DryRun(s)); !strings.HasPrefix(got, stream.DryRunOperation) {
		t.Error(got)
	}
	if got := refusal(t, b.DryRun(s)); !strings.HasPrefix(got, "ThrottlingException") {
		t.Error(got)
	}
}

func TestRecordsWithoutTimestamps(t *testing.T) {
	b := newBench(t)
	s := b.topic("s", 1)
	b.produce(s, 0, batch{records: []kafka.Record{{Timestamp: kafka.NoTimestamp, Value: []byte("0")}, {Timestamp: kafka.NoTimestamp, Value: []byte("1")}}})
	got := b.get(b.iterator(s, 0, Position{Type: TrimHorizon}), 1)
	if got.List[0].Timestamp >= 0 || got.Behind != 1 {
		t.Errorf("it arrived at %d, %d ms behind", got.List[0].Timestamp, got.Behind)
	}
}
