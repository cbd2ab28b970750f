package kinesis

import (
	"bytes"
	"crypto/md5"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/streamweir/streamweir/integration/harness"
)

// produce sends records to partitions of their choice with Kafka's protocol.
func produce(t testing.TB, s *harness.Server, records []*kgo.Record, opts ...kgo.Opt) {
	t.Helper()
	cl := harness.Client(t, s, append([]kgo.Opt{kgo.RecordPartitioner(kgo.ManualPartitioner())}, opts...)...)
	if err := cl.ProduceSync(harness.Context(t, harness.Long), records...).FirstErr(); err != nil {
		t.Fatal(err)
	}
}

// consume reads n records of a topic with Kafka's protocol, committed ones only.
func consume(t testing.TB, s *harness.Server, topic string, n int) []*kgo.Record {
	t.Helper()
	cl := harness.Client(t, s, kgo.ConsumeTopics(topic), kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	ctx := harness.Context(t, harness.Long)
	var all []*kgo.Record
	for len(all) < n {
		fs := cl.PollFetches(ctx)
		if err := fs.Err(); err != nil {
			t.Fatalf("after %d of %d records: %v", len(all), n, err)
		}
		all = append(all, fs.Records()...)
	}
	return all
}

func sharedBoth(t testing.TB) (harness.AWS, *harness.Server, *kinesis.Client) {
	t.Helper()
	harness.OnlyOurAWS(t, "they do not speak Kafka's protocol")
	a := harness.SharedAWS(t)
	return a, a.Server, a.Kinesis()
}

// Records that come in through Kafka in every codec go out through Kinesis, from a
// topic that Kafka made.
func TestKafkaToKinesisInEveryCodec(t *testing.T) {
	_, s, cl := sharedBoth(t)
	topic := harness.Topic(t, s, 2)
	codecs := []kgo.CompressionCodec{kgo.NoCompression(), kgo.GzipCompression(), kgo.SnappyCompression(), kgo.Lz4Compression(), kgo.ZstdCompression()}
	const perCodec = 100
	at := time.Now().Add(-time.Minute).Truncate(time.Millisecond)
	for c, codec := range codecs {
		var records []*kgo.Record
		for i := range perCodec {
			records = append(records, &kgo.Record{
				Topic: topic, Partition: int32(i % 2), Key: fmt.Appendf(nil, "key %d", i), Value: fmt.Appendf(nil, "codec %d record %d", c, i),
				Timestamp: at, Headers: []kgo.RecordHeader{{Key: "h", Value: []byte("v")}},
			})
		}
		produce(t, s, records, kgo.ProducerBatchCompression(codec))
	}
	list, err := cl.ListStreams(harness.Context(t, harness.Long), &kinesis.ListStreamsInput{ExclusiveStartStreamName: aws.String(topic[:len(topic)-1])})
	if err != nil || !slices.Contains(list.StreamNames, topic) {
		t.Errorf("the topic is not among the streams %v; %v", list, err)
	}
	all := harness.ReadStream(t, cl, topic)
	if len(all) != 2 {
		t.Fatalf("%d shards, want one for each partition", len(all))
	}
	for p := range 2 {
		records := all[fmt.Sprintf("shardId-%012d", p)]
		if len(records) != perCodec*len(codecs)/2 {
			t.Fatalf("shard %d has %d records", p, len(records))
		}
		for n, r := range records {
			i := n%(perCodec/2)*2 + p
			if string(r.Data) != fmt.Sprintf("codec %d record %d", n/(perCodec/2), i) || *r.PartitionKey != fmt.Sprintf("key %d", i) {
				t.Fatalf("record %d of shard %d is %q with key %q", n, p, r.Data, *r.PartitionKey)
			}
			if !r.ApproximateArrivalTimestamp.Equal(at) {
				t.Fatalf("record %d arrived at %v; the producer says %v", n, r.ApproximateArrivalTimestamp, at)
			}
		}
	}
}

// What Kinesis shows of records that only Kafka can write.
func TestKafkaRecordsThatKinesisCannotWrite(t *testing.T) {
	_, s, cl := sharedBoth(t)
	topic := harness.Topic(t, s, 1, "max.message.bytes=4000000")
	binary := []byte{0xff, 0xfe, 0x00}
	large := harness.Incompressible(1, 2<<20)
	longKey := strings.Repeat("k", 300)
	produce(t, s, []*kgo.Record{
		{Topic: topic, Value: []byte("null key")},
		{Topic: topic, Key: []byte{}, Value: []byte("empty key")},
		{Topic: topic, Key: binary, Value: []byte("binary key")},
		{Topic: topic, Key: []byte("tombstone")},
		{Topic: topic, Key: []byte(longKey), Value: []byte("long key")},
		{Topic: topic, Key: []byte("large"), Value: large},
	}, kgo.ProducerBatchMaxBytes(4_000_000))
	want := []struct {
		key  string
		data []byte
	}{
		{"0", []byte("null key")},
		{"1", []byte("empty key")},
		{base64.StdEncoding.EncodeToString(binary), []byte("binary key")},
		{"tombstone", nil},
		{fmt.Sprintf("%x", md5.Sum([]byte(longKey))), []byte("long key")},
		{"large", large},
	}
	records := harness.ReadStream(t, cl, topic)["shardId-000000000000"]
	if len(records) != len(want) {
		t.Fatalf("%d records, want %d", len(records), len(want))
	}
	for i, r := range records {
		if *r.PartitionKey != want[i].key || !bytes.Equal(r.Data, want[i].data) {
			t.Errorf("record %d has key %.40q and %d bytes, want %.40q and %d", i, *r.PartitionKey, len(r.Data), want[i].key, len(want[i].data))
		}
	}
}

// A reader of Kinesis sees what a transaction committed, once it is committed, and
// nothing of an aborted one.
func TestKinesisReadsCommittedRecordsOnly(t *testing.T) {
	_, s, cl := sharedBoth(t)
	topic := harness.Topic(t, s, 1)
	ctx := harness.Context(t, harness.Long)
	producer := harness.Client(t, s, kgo.DefaultProduceTopic(topic), kgo.TransactionalID(harness.Name(t, "txn")))
	values := func() []string { return data(harness.ReadStream(t, cl, topic)["shardId-000000000000"]) }
	transaction := func(value string, end kgo.TransactionEndTry) {
		t.Helper()
		if err := producer.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		if err := producer.ProduceSync(ctx, kgo.StringRecord(value)).FirstErr(); err != nil {
			t.Fatal(err)
		}
		produce(t, s, []*kgo.Record{{Topic: topic, Value: []byte("beside " + value)}})
		if got := values(); slices.Contains(got, value) || slices.Contains(got, "beside "+value) {
			t.Errorf("an ongoing transaction is visible: %q", got)
		}
		if err := producer.EndTransaction(ctx, end); err != nil {
			t.Fatal(err)
		}
	}
	transaction("committed", kgo.TryCommit)
	transaction("aborted", kgo.TryAbort)
	transaction("committed too", kgo.TryCommit)
	want := []string{"committed", "beside committed", "beside aborted", "committed too", "beside committed too"}
	harness.Eventually(t, harness.Long, "the markers are written", func() error {
		if got := values(); !slices.Equal(got, want) {
			return fmt.Errorf("got %q, want %q", got, want)
		}
		return nil
	})
}

// Records that come in through Kinesis go out through Kafka, in the partition of
// their shard and in order.
func TestKinesisToKafka(t *testing.T) {
	a, s, cl := sharedBoth(t)
	name := a.Stream(t, 2)
	in := &kinesis.PutRecordsInput{StreamName: &name}
	for i := range 200 {
		in.Records = append(in.Records, types.PutRecordsRequestEntry{PartitionKey: aws.String(fmt.Sprint("k", i)), Data: fmt.Append(nil, i)})
	}
	in.Records[7].Data = []byte{} // an empty value, not a null one
	before := time.Now()
	out, err := cl.PutRecords(harness.Context(t, harness.Long), in)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{} // shard by key
	for i, r := range out.Records {
		want[*in.Records[i].PartitionKey] = *r.ShardId
	}
	last := map[int32]int{0: -1, 1: -1}
	for _, r := range consume(t, s, name, 200) {
		i, err := strconv.Atoi(strings.TrimPrefix(string(r.Key), "k"))
		if err != nil || i <= last[r.Partition] {
			t.Fatalf("key %q after record %d of partition %d", r.Key, last[r.Partition], r.Partition)
		}
		last[r.Partition] = i
		if r.Value == nil || !bytes.Equal(r.Value, in.Records[i].Data) {
			t.Errorf("record %d has value %q, want %q", i, r.Value, in.Records[i].Data)
		}
		if got := fmt.Sprintf("shardId-%012d", r.Partition); got != want[string(r.Key)] {
			t.Errorf("record %d is in %s, was put into %s", i, got, want[string(r.Key)])
		}
		if r.Attrs.TimestampType() != 1 || r.Timestamp.Sub(before).Abs() > 5*time.Minute {
			t.Errorf("record %d has timestamp %v of type %d, want the time of its arrival", i, r.Timestamp, r.Attrs.TimestampType())
		}
	}
}

// Once a shard is closed, its partition refuses Kafka's writes and says which are
// open; Kafka's readers read it to its end. The number of partitions is Kinesis's.
func TestKafkaMeetsAClosedShard(t *testing.T) {
	a, s, cl := sharedBoth(t)
	name := a.Stream(t, 1)
	ctx := harness.Context(t, harness.Long)
	produce(t, s, []*kgo.Record{{Topic: name, Key: []byte("k"), Value: []byte("before")}})
	_, err := cl.SplitShard(ctx, &kinesis.SplitShardInput{StreamName: &name, ShardToSplit: aws.String("shardId-000000000000"), NewStartingHashKey: aws.String(power(127).String())})
	if err != nil {
		t.Fatal(err)
	}
	harness.WaitActive(t, cl, name)
	kafka := harness.Client(t, s, kgo.RecordPartitioner(kgo.ManualPartitioner()))
	err = kafka.ProduceSync(ctx, &kgo.Record{Topic: name, Value: []byte("refused")}).FirstErr()
	if !errors.Is(err, kerr.PolicyViolation) {
		t.Errorf("a write to the closed shard's partition: %v, want POLICY_VIOLATION", err)
	}
	produce(t, s, []*kgo.Record{{Topic: name, Partition: 1, Value: []byte("after")}, {Topic: name, Partition: 2, Value: []byte("after")}})
	var got []string
	for _, r := range consume(t, s, name, 3) {
		got = append(got, fmt.Sprintf("%d %s", r.Partition, r.Value))
	}
	slices.Sort(got)
	if want := []string{"0 before", "1 after", "2 after"}; !slices.Equal(got, want) {
		t.Errorf("a Kafka consumer got %q, want %q", got, want)
	}
	adm := kadm.NewClient(kafka)
	if resps, err := adm.CreatePartitions(ctx, 1, name); err != nil || !errors.Is(resps[name].Err, kerr.PolicyViolation) {
		t.Errorf("CreatePartitions: %v %v, want POLICY_VIOLATION", err, resps[name].Err)
	}
	offsets := kadm.Offsets{}
	offsets.AddOffset(name, 1, 1, -1)
	if resps, err := adm.DeleteRecords(ctx, offsets); err != nil || !errors.Is(resps[name][1].Err, kerr.PolicyViolation) {
		t.Errorf("DeleteRecords: %v %v, want POLICY_VIOLATION", err, resps[name][1].Err)
	}
}

// A record of the full 10 MiB goes in and out by both doors.
func TestTenMebibytes(t *testing.T) {
	a, s, cl := sharedBoth(t)
	name := a.Stream(t, 1)
	ctx := harness.Context(t, 2*harness.Long)
	arn := harness.WaitActive(t, cl, name).StreamARN
	value := harness.Incompressible(7, 10<<20-1)
	_, err := cl.PutRecord(ctx, &kinesis.PutRecordInput{StreamName: &name, Data: value, PartitionKey: aws.String("k")})
	var invalid *types.InvalidArgumentException
	var validation *types.ValidationException
	if !errors.As(err, &invalid) && !errors.As(err, &validation) {
		t.Errorf("10 MiB into a stream that takes 1: %v", err)
	}
	if _, err := cl.UpdateMaxRecordSize(ctx, &kinesis.UpdateMaxRecordSizeInput{StreamARN: arn, MaxRecordSizeInKiB: aws.Int32(10240)}); err != nil {
		t.Fatal(err)
	}
	harness.WaitActive(t, cl, name)
	if _, err := cl.PutRecord(ctx, &kinesis.PutRecordInput{StreamName: &name, Data: value, PartitionKey: aws.String("k")}); err != nil {
		t.Fatal(err)
	}
	// As large as Kinesis puts it, the record fits into a batch of Kafka's too.
	produce(t, s, []*kgo.Record{{Topic: name, Key: []byte("k"), Value: value}}, kgo.ProducerBatchMaxBytes(11<<20), kgo.BrokerMaxWriteBytes(64<<20), kgo.ProducerBatchCompression(kgo.NoCompression()))
	records := harness.ReadStream(t, cl, name)["shardId-000000000000"]
	if len(records) != 2 || !bytes.Equal(records[0].Data, value) || !bytes.Equal(records[1].Data, value) {
		t.Fatalf("%d records through Kinesis, or not what was put", len(records))
	}
	for i, r := range consume(t, s, name, 2) {
		if !bytes.Equal(r.Value, value) {
			t.Errorf("record %d through Kafka has %d bytes that are not what was put", i, len(r.Value))
		}
	}
}
