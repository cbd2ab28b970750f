package kinesis

import (
	"context"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/aws/smithy-go"

	"github.com/streamweir/streamweir/integration/awssdk"
	"github.com/streamweir/streamweir/integration/harness"
)

// stream is what the tests of this file do with one stream.
type stream struct {
	*testing.T
	*kinesis.Client
	ctx  context.Context
	name string
}

// refused checks that a call fails with a type, and says something.
func (s *stream) refused(err error, code, says string) {
	s.Helper()
	var api smithy.APIError
	switch {
	case err == nil:
		s.Errorf("not refused: want %s", code)
	case harness.PeerAWS() != "": // with types and words of its own
	case !errors.As(err, &api) || api.ErrorCode() != code || !strings.Contains(api.ErrorMessage(), says):
		s.Errorf("got %v, want %s with %q", err, code, says)
	}
}

func (s *stream) ok(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

func (s *stream) active() *types.StreamDescriptionSummary {
	s.Helper()
	return harness.WaitActive(s, s.Client, s.name)
}

// read reads a shard from a position.
func (s *stream) read(shard string, from types.ShardIteratorType, in kinesis.GetShardIteratorInput) []types.Record {
	s.Helper()
	in.StreamName, in.ShardId, in.ShardIteratorType = &s.name, &shard, from
	records, _, err := harness.ReadShard(s.ctx, s.Client, &in)
	s.ok(err)
	return records
}

func data(records []types.Record) []string {
	list := make([]string, len(records))
	for i, r := range records {
		list[i] = string(r.Data)
	}
	return list
}

// The whole life of a stream with the Go SDK.
func TestLifeWithGo(t *testing.T) {
	a := harness.SharedAWS(t)
	s := &stream{T: t, Client: a.Kinesis(), ctx: harness.Context(t, lifeTakes), name: harness.Name(t, "s")}
	_, err := s.CreateStream(s.ctx, &kinesis.CreateStreamInput{StreamName: aws.String("not a name"), ShardCount: aws.Int32(1)})
	s.refused(err, "ValidationException", "1 validation error detected: Value 'not a name' at 'streamName' failed to satisfy constraint: Member must")
	_, err = s.DescribeStreamSummary(s.ctx, &kinesis.DescribeStreamSummaryInput{StreamName: &s.name})
	s.refused(err, "ResourceNotFoundException", "Stream "+s.name+" under account 000000000000 not found.")
	_, err = s.CreateStream(s.ctx, &kinesis.CreateStreamInput{StreamName: &s.name, ShardCount: aws.Int32(2)})
	s.ok(err)
	_, err = s.CreateStream(s.ctx, &kinesis.CreateStreamInput{StreamName: &s.name, ShardCount: aws.Int32(2)})
	s.refused(err, "ResourceInUseException", s.name)
	s.ok(kinesis.NewStreamExistsWaiter(s.Client).Wait(s.ctx, &kinesis.DescribeStreamInput{StreamName: &s.name}, harness.Long))
	summary := s.active()
	if *summary.OpenShardCount != 2 || *summary.RetentionPeriodHours != 24 || time.Since(*summary.StreamCreationTimestamp).Abs() > 5*time.Minute {
		t.Errorf("description %+v", summary)
	}
	s.tags()
	first := s.putAndGet()
	if harness.PeerAWS() == "" {
		s.subscribe(*summary.StreamARN, *first.ShardId)
	}
	s.reshape(*first.ShardId)
	s.retention()
	_, err = s.DeleteStream(s.ctx, &kinesis.DeleteStreamInput{StreamName: &s.name})
	s.ok(err)
	s.ok(kinesis.NewStreamNotExistsWaiter(s.Client).Wait(s.ctx, &kinesis.DescribeStreamInput{StreamName: &s.name}, harness.Long))
}

func (s *stream) tags() {
	s.Helper()
	_, err := s.AddTagsToStream(s.ctx, &kinesis.AddTagsToStreamInput{StreamName: &s.name, Tags: map[string]string{"team": "web", "cost": "low"}})
	s.ok(err)
	_, err = s.RemoveTagsFromStream(s.ctx, &kinesis.RemoveTagsFromStreamInput{StreamName: &s.name, TagKeys: []string{"cost"}})
	s.ok(err)
	out, err := s.ListTagsForStream(s.ctx, &kinesis.ListTagsForStreamInput{StreamName: &s.name})
	s.ok(err)
	if len(out.Tags) != 1 || *out.Tags[0].Key != "team" || *out.Tags[0].Value != "web" {
		s.Errorf("tags %+v", out.Tags)
	}
}

// putAndGet puts records, and reads them by every kind of iterator.
func (s *stream) putAndGet() *kinesis.PutRecordOutput {
	s.Helper()
	before := time.Now().Add(-5 * time.Second)
	first, err := s.PutRecord(s.ctx, &kinesis.PutRecordInput{StreamName: &s.name, Data: []byte("first"), PartitionKey: aws.String("k"), ExplicitHashKey: aws.String("0")})
	s.ok(err)
	shard := *first.ShardId
	latest, err := s.GetShardIterator(s.ctx, &kinesis.GetShardIteratorInput{StreamName: &s.name, ShardId: &shard, ShardIteratorType: types.ShardIteratorTypeLatest})
	s.ok(err)
	in := &kinesis.PutRecordsInput{StreamName: &s.name}
	for i := range 100 {
		in.Records = append(in.Records, types.PutRecordsRequestEntry{Data: fmt.Appendf(nil, "record %d", i), PartitionKey: aws.String(fmt.Sprint("key ", i))})
	}
	out, err := s.PutRecords(s.ctx, in)
	s.ok(err)
	if *out.FailedRecordCount != 0 || len(out.Records) != 100 {
		s.Fatalf("%d of %d records failed", *out.FailedRecordCount, len(out.Records))
	}
	var want []string
	for i, r := range out.Records {
		if *r.ShardId == shard {
			want = append(want, fmt.Sprintf("record %d", i))
		}
	}
	all := s.read(shard, types.ShardIteratorTypeTrimHorizon, kinesis.GetShardIteratorInput{})
	if got := data(all); !slices.Equal(got, append([]string{"first"}, want...)) {
		s.Errorf("from the beginning: %q, want first and %q", got, want)
	}
	if other := s.read("shardId-000000000001", types.ShardIteratorTypeTrimHorizon, kinesis.GetShardIteratorInput{}); len(other)+len(all) != 101 {
		s.Errorf("%d and %d records, want 101 in all", len(all), len(other))
	}
	number := kinesis.GetShardIteratorInput{StartingSequenceNumber: first.SequenceNumber}
	if got := data(s.read(shard, types.ShardIteratorTypeAtSequenceNumber, number)); len(got) != len(all) || got[0] != "first" {
		s.Errorf("at a sequence number: %q", got)
	}
	if got := data(s.read(shard, types.ShardIteratorTypeAfterSequenceNumber, number)); !slices.Equal(got, want) {
		s.Errorf("after a sequence number: %q, want %q", got, want)
	}
	if got := s.read(shard, types.ShardIteratorTypeAtTimestamp, kinesis.GetShardIteratorInput{Timestamp: &before}); len(got) != len(all) {
		s.Errorf("at a time: %d records, want %d", len(got), len(all))
	}
	newer, err := s.GetRecords(s.ctx, &kinesis.GetRecordsInput{ShardIterator: latest.ShardIterator})
	s.ok(err)
	if got := data(newer.Records); !slices.Equal(got, want) {
		s.Errorf("an iterator at the end, taken before a put, saw %q, want %q", got, want)
	}
	_, err = s.GetRecords(s.ctx, &kinesis.GetRecordsInput{ShardIterator: aws.String(strings.Repeat("A", 56))})
	s.refused(err, "InvalidArgumentException", "nvalid ShardIterator")
	_, err = s.PutRecord(s.ctx, &kinesis.PutRecordInput{StreamName: &s.name, Data: []byte("x"), PartitionKey: aws.String(strings.Repeat("k", 257))})
	s.refused(err, "ValidationException", "at 'partitionKey' failed to satisfy constraint: Member must have length less than or equal to 256")
	return first
}

// subscribe reads what is there through enhanced fan-out, and then what comes.
func (s *stream) subscribe(arn, shard string) {
	s.Helper()
	out, err := s.RegisterStreamConsumer(s.ctx, &kinesis.RegisterStreamConsumerInput{StreamARN: &arn, ConsumerName: aws.String("reader")})
	s.ok(err)
	consumer := out.Consumer.ConsumerARN
	waitConsumer(s, s.Client, consumer)
	want := data(s.read(shard, types.ShardIteratorTypeTrimHorizon, kinesis.GetShardIteratorInput{}))
	events, err := awssdk.Subscribe(s.ctx, s.Client, &kinesis.SubscribeToShardInput{ConsumerARN: consumer, ShardId: &shard,
		StartingPosition: &types.StartingPosition{Type: types.ShardIteratorTypeTrimHorizon}})
	s.ok(err)
	defer events.Close()
	var got []string
	put := false
	for event := range events.Events() {
		e := event.(*types.SubscribeToShardEventStreamMemberSubscribeToShardEvent).Value
		if e.ContinuationSequenceNumber == nil || e.MillisBehindLatest == nil {
			s.Fatalf("an event without its position: %+v", e)
		}
		got = append(got, data(e.Records)...)
		if !put && len(got) == len(want) {
			_, err := s.PutRecord(s.ctx, &kinesis.PutRecordInput{StreamName: &s.name, Data: []byte("pushed"), PartitionKey: aws.String("k"), ExplicitHashKey: aws.String("0")})
			s.ok(err)
			want, put = append(want, "pushed"), true
		} else if put && len(got) >= len(want) {
			break
		}
	}
	if !slices.Equal(got, want) {
		s.Errorf("pushed %q, want %q; %v", got, want, events.Err())
	}
	_, err = s.DeregisterStreamConsumer(s.ctx, &kinesis.DeregisterStreamConsumerInput{ConsumerARN: consumer})
	s.ok(err)
}

// waitConsumer waits until a consumer is active.
func waitConsumer(t testing.TB, cl *kinesis.Client, arn *string) {
	t.Helper()
	ctx := harness.Context(t, harness.Long)
	harness.Eventually(t, harness.Long, "the consumer is active", func() error {
		out, err := cl.DescribeStreamConsumer(ctx, &kinesis.DescribeStreamConsumerInput{ConsumerARN: arn})
		if err == nil && out.ConsumerDescription.ConsumerStatus != types.ConsumerStatusActive {
			err = fmt.Errorf("it is %s", out.ConsumerDescription.ConsumerStatus)
		}
		return err
	})
}

// power is 2 to the n, in decimal.
func power(n uint) *big.Int { return new(big.Int).Lsh(big.NewInt(1), n) }

// reshape splits a shard, merges the halves, and then asks for four shards.
func (s *stream) reshape(shard string) {
	s.Helper()
	_, err := s.SplitShard(s.ctx, &kinesis.SplitShardInput{StreamName: &s.name, ShardToSplit: &shard, NewStartingHashKey: aws.String(power(126).String())})
	s.ok(err)
	s.active()
	var halves []string
	for _, one := range harness.Shards(s, s.Client, s.name) {
		if aws.ToString(one.ParentShardId) == shard {
			halves = append(halves, *one.ShardId)
		}
	}
	_, children, err := harness.ReadShard(s.ctx, s.Client, &kinesis.GetShardIteratorInput{StreamName: &s.name, ShardId: &shard, ShardIteratorType: types.ShardIteratorTypeTrimHorizon})
	s.ok(err)
	if len(halves) != 2 || len(children) != 2 {
		s.Fatalf("split into %v; at its end the shard names %+v", halves, children)
	}
	for _, c := range children {
		if !slices.Contains(halves, *c.ShardId) || !slices.Equal(c.ParentShards, []string{shard}) {
			s.Errorf("child %s of %v, want one of %v", *c.ShardId, c.ParentShards, halves)
		}
	}
	_, err = s.MergeShards(s.ctx, &kinesis.MergeShardsInput{StreamName: &s.name, ShardToMerge: &halves[0], AdjacentShardToMerge: aws.String("shardId-000000000001")})
	s.refused(err, "InvalidArgumentException", "")
	_, err = s.MergeShards(s.ctx, &kinesis.MergeShardsInput{StreamName: &s.name, ShardToMerge: &halves[0], AdjacentShardToMerge: &halves[1]})
	s.ok(err)
	s.active()
	_, err = s.UpdateShardCount(s.ctx, &kinesis.UpdateShardCountInput{StreamName: &s.name, TargetShardCount: aws.Int32(4), ScalingType: types.ScalingTypeUniformScaling})
	s.ok(err)
	s.active()
	var starts []string
	for _, one := range harness.Shards(s, s.Client, s.name) {
		if harness.Open(one) {
			starts = append(starts, *one.HashKeyRange.StartingHashKey)
		}
	}
	slices.Sort(starts)
	want := []string{"0", power(126).String(), power(127).String(), new(big.Int).Add(power(127), power(126)).String()}
	slices.Sort(want)
	if harness.PeerAWS() == "" && !slices.Equal(starts, want) || len(starts) != 4 {
		s.Errorf("shards begin at %v, want %v", starts, want)
	}
}

func (s *stream) retention() {
	s.Helper()
	_, err := s.IncreaseStreamRetentionPeriod(s.ctx, &kinesis.IncreaseStreamRetentionPeriodInput{StreamName: &s.name, RetentionPeriodHours: aws.Int32(48)})
	s.ok(err)
	if got := *s.active().RetentionPeriodHours; got != 48 {
		s.Errorf("retention of %d hours, want 48", got)
	}
	_, err = s.IncreaseStreamRetentionPeriod(s.ctx, &kinesis.IncreaseStreamRetentionPeriodInput{StreamName: &s.name, RetentionPeriodHours: aws.Int32(24)})
	s.refused(err, "InvalidArgumentException", "")
	_, err = s.DecreaseStreamRetentionPeriod(s.ctx, &kinesis.DecreaseStreamRetentionPeriodInput{StreamName: &s.name, RetentionPeriodHours: aws.Int32(24)})
	s.ok(err)
	s.active()
}
