package workload

import (
	"context"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"github.com/streamweir/streamweir/integration/awssdk"
)

// fanout is a follower that has what it reads pushed to it.
func (r *round) fanout(name string, s *stream) *follower {
	f := r.follower(name, s)
	var consumer string
	f.prepare = func(ctx context.Context) bool {
		consumer = f.register(ctx)
		return consumer != ""
	}
	f.read = func(ctx context.Context, p *position) {
		for ctx.Err() == nil && !p.subscribe(ctx, consumer) {
			wait(ctx, between(p.rand, 50*time.Millisecond, 500*time.Millisecond))
		}
	}
	return f
}

// register makes the follower a consumer of its stream, and returns its ARN once
// it is active.
func (f *follower) register(ctx context.Context) string {
	ctx, cancel := context.WithTimeout(ctx, callWithin)
	defer cancel()
	summary, err := f.api.DescribeStreamSummary(ctx, &kinesis.DescribeStreamSummaryInput{StreamName: &f.s.name})
	if err != nil {
		return ""
	}
	arn := summary.StreamDescriptionSummary.StreamARN
	// One that was registered by an earlier attempt is in use.
	if _, err = f.api.RegisterStreamConsumer(ctx, &kinesis.RegisterStreamConsumerInput{StreamARN: arn, ConsumerName: &f.name}); err != nil && !is[*types.ResourceInUseException](err) {
		return ""
	}
	for {
		out, err := f.api.DescribeStreamConsumer(ctx, &kinesis.DescribeStreamConsumerInput{StreamARN: arn, ConsumerName: &f.name})
		if err != nil {
			return ""
		}
		if c := out.ConsumerDescription; c.ConsumerStatus == types.ConsumerStatusActive {
			return aws.ToString(c.ConsumerARN)
		}
		if !wait(ctx, 50*time.Millisecond) {
			return ""
		}
	}
}

// subscribe reads a shard through one session, and says whether it is at the
// shard's end. A session ends when its connection does, or when the reader has
// enough of it; what it has read is where the next one goes on.
func (p *position) subscribe(ctx context.Context, consumer string) (ended bool) {
	ctx, cancel := context.WithTimeout(ctx, between(p.rand, time.Second, 20*time.Second))
	defer cancel()
	in := &kinesis.SubscribeToShardInput{ConsumerARN: &consumer, ShardId: shardID(p.shard), StartingPosition: p.from()}
	start := p.f.r.rec.now()
	session, err := awssdk.Subscribe(ctx, p.f.api, in)
	if err != nil {
		return false
	}
	defer session.Close()
	for {
		select {
		case <-ctx.Done():
			return false
		case event, ok := <-session.Events():
			if !ok {
				return false
			}
			e, ok := event.(*types.SubscribeToShardEventStreamMemberSubscribeToShardEvent)
			if !ok {
				p.f.r.fail(fmt.Errorf("an event of type %T", event))
				return false
			}
			a := answer{
				records: e.Value.Records, behind: e.Value.MillisBehindLatest, children: e.Value.ChildShards,
				upTo: e.Value.ContinuationSequenceNumber, ended: e.Value.ContinuationSequenceNumber == nil,
			}
			// When an event was made is not known: it may have been before the last
			// one was taken.
			if !p.took(a, start, false) {
				return false
			}
			if a.ended {
				return true
			}
		}
	}
}
