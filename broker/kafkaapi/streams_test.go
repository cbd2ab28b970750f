package kafkaapi

import (
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/streamweir/streamweir/broker/stream"
	"github.com/streamweir/streamweir/protocol/kafka"
)

// What Kafka clients see of a stream that Kinesis has resharded: shard 0 is closed,
// its children are 1 and 2.
func TestKafkaClientsOfAReshardedStream(t *testing.T) {
	b := startGroupBroker(t, "kinesis.transition.ms=0", "kinesis.limits=off")
	c := b.dial(t)
	produce := func(partition int32) kmsg.ProduceResponseTopicPartition {
		req := produceOf(t, "s", 10)
		req.Topics[0].Partitions[0].Partition = partition
		return ask[*kmsg.ProduceResponse](c, req, nil).Topics[0].Partitions[0]
	}
	if err := b.core.Streams.Create(stream.New{Name: "s", Shards: new(int32(1))}); err != nil {
		t.Fatal(err)
	}
	if p := produce(0); p.ErrorCode != 0 || p.LogAppendTime <= 0 {
		t.Fatalf("%+v", p)
	}
	s, err := b.core.Streams.Stream("s")
	if err != nil {
		t.Fatal(err)
	}
	if err := b.core.Streams.SplitShard(s, "shardId-000000000000", "100"); err != nil {
		t.Fatal(err)
	}
	p := produce(0)
	want(t, "produce to the closed shard", p.ErrorCode, kerr.PolicyViolation)
	if p.ErrorMessage == nil || !strings.HasSuffix(*p.ErrorMessage, "open are the partitions 1, 2") {
		t.Errorf("message %v", p.ErrorMessage)
	}
	for _, i := range []int32{1, 2} {
		want(t, "produce to a child", produce(i).ErrorCode, nil)
	}
	// The closed partition is read to its end, as any other.
	fetch := kmsg.NewPtrFetchRequest()
	fetch.Version, fetch.MaxWaitMillis, fetch.MinBytes, fetch.MaxBytes = 12, 0, 0, 1<<20
	ft := kmsg.NewFetchRequestTopic()
	fp := kmsg.NewFetchRequestTopicPartition()
	ft.Topic, fp.PartitionMaxBytes = "s", 1<<20
	ft.Partitions = append(ft.Partitions, fp)
	fetch.Topics = append(fetch.Topics, ft)
	got := ask[*kmsg.FetchResponse](c, fetch, nil).Topics[0].Partitions[0]
	want(t, "fetch", got.ErrorCode, nil)
	batch, _, err := kafka.NextBatch(got.RecordBatches)
	if err != nil || batch == nil || got.HighWatermark != 1 {
		t.Errorf("%+v, %v", got, err)
	}
	// Its data stays, and so do its partitions.
	del := kmsg.NewPtrDeleteRecordsRequest()
	del.Version = 2
	dt := kmsg.NewDeleteRecordsRequestTopic()
	dt.Topic, dt.Partitions = "s", []kmsg.DeleteRecordsRequestTopicPartition{{Partition: 0, Offset: 1}}
	del.Topics = append(del.Topics, dt)
	deleted := func() int16 { return ask[*kmsg.DeleteRecordsResponse](c, del, nil).Topics[0].Partitions[0].ErrorCode }
	want(t, "DeleteRecords", deleted(), kerr.PolicyViolation)
	grow := kmsg.NewPtrCreatePartitionsRequest()
	grow.Version = 3
	grow.Topics = []kmsg.CreatePartitionsRequestTopic{{Topic: "s", Count: 9}}
	want(t, "CreatePartitions", ask[*kmsg.CreatePartitionsResponse](c, grow, nil).Topics[0].ErrorCode, kerr.PolicyViolation)
	alter := func(name, value string) int16 {
		r := incrementalReq(false, ofTopic, "s", change(name, 0, value))
		r.SetVersion(1)
		return ask[*kmsg.IncrementalAlterConfigsResponse](c, r, nil).Resources[0].ErrorCode
	}
	want(t, "compaction", alter("cleanup.policy", "compact"), kerr.PolicyViolation)
	want(t, "times of producers", alter("message.timestamp.type", "CreateTime"), kerr.PolicyViolation)
	want(t, "the override", alter("kinesis.data.deletion.enable", "true"), nil)
	want(t, "DeleteRecords, with the override", deleted(), nil)
	meta := kmsg.NewPtrMetadataRequest()
	meta.Version = 12
	mt := kmsg.NewMetadataRequestTopic()
	mt.Topic = kmsg.StringPtr("s")
	meta.Topics = append(meta.Topics, mt)
	if n := len(ask[*kmsg.MetadataResponse](c, meta, nil).Topics[0].Partitions); n != 3 {
		t.Errorf("%d partitions", n)
	}
}
