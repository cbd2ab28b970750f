// Package wire speaks the Kafka protocol to the built binary request by
// request: every served key in every version, and the rules that clients hide.
package wire

import (
	"errors"
	"fmt"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/streamweir/streamweir/integration/harness"
)

func TestMain(m *testing.M) { harness.Main(m) }

// The versions that helpers use where a test is not about versions.
const (
	produceV  = 9  // the first flexible one, by name
	fetchV    = 12 // the last by name
	offsetsV  = 9
	metadataV = 12
)

// env is what a test works with: a raw connection and a topic of its own.
type env struct {
	t     testing.TB
	s     *harness.Server
	c     *harness.Conn
	topic string
	id    [16]byte
}

func newEnv(t testing.TB, partitions int, configs ...string) *env {
	t.Helper()
	return newEnvOn(t, harness.Shared(t), partitions, configs...)
}

func newEnvOn(t testing.TB, s *harness.Server, partitions int, configs ...string) *env {
	t.Helper()
	e := &env{t: t, s: s, c: harness.Dial(t, s)}
	e.topic = harness.Topic(t, s, partitions, configs...)
	e.id = e.topicID(e.topic)
	return e
}

// with is the same environment for a subtest.
func (e *env) with(t testing.TB) *env {
	x := *e
	x.t = t
	return &x
}

// redial replaces the connection, as after a restart.
func (e *env) redial() { e.t.Helper(); e.c = harness.Dial(e.t, e.s) }

func (e *env) topicID(topic string) [16]byte {
	e.t.Helper()
	req := harness.At(kmsg.NewPtrMetadataRequest(), metadataV)
	rt := kmsg.NewMetadataRequestTopic()
	rt.Topic = &topic
	req.Topics = append(req.Topics, rt)
	r := harness.Ask[*kmsg.MetadataResponse](e.t, e.c, req)
	if len(r.Topics) != 1 || r.Topics[0].ErrorCode != 0 {
		e.t.Fatalf("metadata of %s: %+v", topic, r.Topics)
	}
	return r.Topics[0].TopicID
}

// produceReq asks to append batch to a partition.
func (e *env) produceReq(version int16, partition int32, batch []byte) *kmsg.ProduceRequest {
	req := harness.At(kmsg.NewPtrProduceRequest(), version)
	req.Acks, req.TimeoutMillis = -1, 30_000
	rt := kmsg.NewProduceRequestTopic()
	rt.Topic, rt.TopicID = e.topic, e.id
	rp := kmsg.NewProduceRequestTopicPartition()
	rp.Partition, rp.Records = partition, batch
	rt.Partitions = append(rt.Partitions, rp)
	req.Topics = append(req.Topics, rt)
	return req
}

// try appends a batch and returns the partition's answer.
func (e *env) try(partition int32, b harness.Batch) kmsg.ProduceResponseTopicPartition {
	e.t.Helper()
	return e.produced(harness.Ask[*kmsg.ProduceResponse](e.t, e.c, e.produceReq(produceV, partition, b.Encode())))
}

func (e *env) produced(r *kmsg.ProduceResponse) kmsg.ProduceResponseTopicPartition {
	e.t.Helper()
	if len(r.Topics) != 1 || len(r.Topics[0].Partitions) != 1 {
		e.t.Fatalf("produce response: %+v", r)
	}
	return r.Topics[0].Partitions[0]
}

// produce appends a batch that has to be taken and returns its base offset.
func (e *env) produce(partition int32, b harness.Batch) int64 {
	e.t.Helper()
	p := e.try(partition, b)
	if p.ErrorCode != 0 {
		e.t.Fatalf("produce: %v (%s)", kerr.ErrorForCode(p.ErrorCode), str(p.ErrorMessage))
	}
	return p.BaseOffset
}

// refused checks that a batch is refused with the given error, or one of them.
func (e *env) refused(b harness.Batch, want ...*kerr.Error) {
	e.t.Helper()
	p := e.try(0, b)
	got := kerr.ErrorForCode(p.ErrorCode)
	for _, w := range want {
		if errors.Is(got, w) {
			return
		}
	}
	e.t.Errorf("produce: %v (%s), want %v", got, str(p.ErrorMessage), want)
}

// fetchReq asks for one partition from an offset, without waiting.
func (e *env) fetchReq(version int16, partition int32, offset int64) *kmsg.FetchRequest {
	req := harness.At(kmsg.NewPtrFetchRequest(), version)
	req.ReplicaID, req.MaxBytes = -1, 50<<20
	req.SessionEpoch = -1 // no session
	rt := kmsg.NewFetchRequestTopic()
	rt.Topic, rt.TopicID = e.topic, e.id
	rt.Partitions = append(rt.Partitions, fetchPartition(partition, offset))
	req.Topics = append(req.Topics, rt)
	return req
}

func fetchPartition(partition int32, offset int64) kmsg.FetchRequestTopicPartition {
	rp := kmsg.NewFetchRequestTopicPartition()
	rp.Partition, rp.FetchOffset, rp.PartitionMaxBytes = partition, offset, 10<<20
	return rp
}

// fetch asks, and returns the only partition of the answer.
func (e *env) fetch(req *kmsg.FetchRequest) kmsg.FetchResponseTopicPartition {
	e.t.Helper()
	r := harness.Ask[*kmsg.FetchResponse](e.t, e.c, req)
	if r.ErrorCode != 0 || len(r.Topics) != 1 || len(r.Topics[0].Partitions) != 1 {
		e.t.Fatalf("fetch response: %v, %+v", kerr.ErrorForCode(r.ErrorCode), r.Topics)
	}
	return r.Topics[0].Partitions[0]
}

// batches takes apart what a fetch brought.
func (e *env) batches(p kmsg.FetchResponseTopicPartition) []kmsg.RecordBatch {
	e.t.Helper()
	if p.ErrorCode != 0 {
		e.t.Fatalf("fetch: %v", kerr.ErrorForCode(p.ErrorCode))
	}
	bs, _, err := harness.Batches(p.RecordBatches)
	if err != nil {
		e.t.Fatalf("fetched records: %v", err)
	}
	return bs
}

// listOffset answers for one partition and timestamp.
func (e *env) listOffset(version int16, partition int32, timestamp int64) kmsg.ListOffsetsResponseTopicPartition {
	e.t.Helper()
	req := harness.At(kmsg.NewPtrListOffsetsRequest(), version)
	req.ReplicaID = -1
	rt := kmsg.NewListOffsetsRequestTopic()
	rt.Topic = e.topic
	rp := kmsg.NewListOffsetsRequestTopicPartition()
	rp.Partition, rp.Timestamp, rp.CurrentLeaderEpoch = partition, timestamp, -1
	rt.Partitions = append(rt.Partitions, rp)
	req.Topics = append(req.Topics, rt)
	r := harness.Ask[*kmsg.ListOffsetsResponse](e.t, e.c, req)
	if len(r.Topics) != 1 || len(r.Topics[0].Partitions) != 1 {
		e.t.Fatalf("list offsets response: %+v", r)
	}
	return r.Topics[0].Partitions[0]
}

func str(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

func ptr[T any](v T) *T { return &v }

// fault is nil for code 0.
func fault(what string, code int16) error {
	if err := kerr.ErrorForCode(code); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

// check is the first error of a list of claims.
func check(errs ...error) error { return errors.Join(errs...) }

func equal[T comparable](what string, got, want T) error {
	if got != want {
		return fmt.Errorf("%s is %v, want %v", what, got, want)
	}
	return nil
}
