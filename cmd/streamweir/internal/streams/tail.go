package streams

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
)

const (
	// subscribeAgain is how long to wait before a shard is subscribed to
	// again: once a second for each consumer and shard, and five seconds
	// after a subscription that another one has taken over.
	subscribeAgain = time.Second
	subscribeMost  = 5 * time.Second
	// deregisterTime is how long the end may take.
	deregisterTime = 10 * time.Second
)

// Tail follows a stream through enhanced fan-out and writes its records out. It
// registers a consumer of its own and deregisters it at the end. That ctx ends is
// a success.
func Tail(ctx context.Context, c *Client, job *GetJob, w io.Writer) (err error) {
	nodes, _, err := job.nodes(ctx, c)
	if err != nil {
		return job.finish(ctx, err)
	}
	s, err := summary(ctx, c, job.Stream)
	if err != nil {
		return job.finish(ctx, fmt.Errorf("stream %q: %w", job.Stream, err))
	}
	name := fmt.Sprintf("%s%08x", tailPrefix, rand.Uint32())
	out, err := call(ctx, c, c.RegisterStreamConsumer, &kinesis.RegisterStreamConsumerInput{StreamARN: s.StreamARN, ConsumerName: &name})
	if isCode(err, overLimit) {
		err = c.withRemedy(err, job.Stream, aws.ToString(s.StreamARN))
	}
	if err != nil {
		return job.finish(ctx, fmt.Errorf("register a consumer: %w", err))
	}
	t := &tailer{c: c, job: job, arn: aws.ToString(out.Consumer.ConsumerARN), sink: newSink(job.Stream, job.Append, job.Count, w)}
	defer func() {
		if e := t.deregister(ctx); err == nil {
			err = e
		}
	}()
	if err := t.ready(ctx); err != nil {
		return job.finish(ctx, err)
	}
	job.Note(fmt.Sprintf("following %q as consumer %s", job.Stream, name))
	return job.finish(ctx, walk(ctx, t.read, math.MaxInt, nodes))
}

// tailPrefix begins the names of our own consumers, so that those that were left
// behind can be told from others.
const tailPrefix = "streamweir-tail-"

// withRemedy says what helps where a stream can have no more consumers.
func (c *Client) withRemedy(err error, stream, arn string) error {
	return fmt.Errorf("%w\n"+
		"tail registers a consumer, %s..., for as long as it runs; one that was killed leaves it behind.\n"+
		"`streamweir stream describe %s` lists the consumers, and one that is of no more use goes with\n"+
		"  aws kinesis deregister-stream-consumer --endpoint-url %s --stream-arn %s --consumer-name NAME\n"+
		"`streamweir stream get` needs none", err, tailPrefix, stream, c.cfg.Endpoint, arn)
}

// tailer follows shards by subscription.
type tailer struct {
	c    *Client
	job  *GetJob
	arn  string // of the consumer
	sink *sink
}

// ready waits until the consumer is active.
func (t *tailer) ready(ctx context.Context) error {
	deadline := time.Now().Add(t.c.cfg.Timeout)
	for {
		out, err := call(ctx, t.c, t.c.DescribeStreamConsumer, &kinesis.DescribeStreamConsumerInput{ConsumerARN: &t.arn})
		switch {
		case err != nil && !isCode(err, overLimit):
			return fmt.Errorf("wait for the consumer: %w", err)
		case err == nil && out.ConsumerDescription.ConsumerStatus == types.ConsumerStatusActive:
			return nil
		case time.Now().After(deadline):
			return fmt.Errorf("the consumer is not active yet after %s (--timeout)", t.c.cfg.Timeout)
		}
		if err := pause(ctx, pollEvery); err != nil {
			return err
		}
	}
}

// deregister ends the consumer, also after an interruption.
func (t *tailer) deregister(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), deregisterTime)
	defer cancel()
	_, err := call(ctx, t.c, t.c.DeregisterStreamConsumer, &kinesis.DeregisterStreamConsumerInput{ConsumerARN: &t.arn})
	if err != nil && !isCode(err, notFound) {
		return fmt.Errorf("deregister the consumer %s: %w", t.arn, err)
	}
	return nil
}

// read follows one shard to its end. A subscription lasts five minutes at most,
// and ends when the connection does; then another one goes on.
func (t *tailer) read(ctx context.Context, n node) ([]types.ChildShard, error) {
	wait, lost := subscribeAgain, false
	begun := func() {
		if lost {
			lost = false
			t.job.Note(n.id + ": following again")
		}
	}
	for {
		children, next, err := t.subscribe(ctx, n, begun)
		switch {
		case errors.Is(err, errEnough), ctx.Err() != nil:
			return nil, err
		case isCode(err, notFound), err != nil && !isCode(err, inUse, overLimit, overThroughput, internalFailure) && !t.mayReturn(err):
			return nil, fmt.Errorf("follow %s: %w", n.id, err)
		case children != nil && t.job.Shards != nil:
			return nil, nil
		case children != nil:
			return children, nil
		}
		if next != nil {
			n.from = types.StartingPosition{Type: types.ShardIteratorTypeAfterSequenceNumber, SequenceNumber: next}
			wait = subscribeAgain
		}
		if err != nil && !lost && !isCode(err, inUse) {
			lost = true
			t.job.Note(fmt.Sprintf("%s: %v; trying again until it is back", n.id, err))
		}
		if err := pause(ctx, wait); err != nil {
			return nil, err
		}
		wait = min(2*wait, subscribeMost)
	}
}

// mayReturn says whether the server may be there again later.
func (t *tailer) mayReturn(err error) bool { return t.c.unreachable(err) != "" }

// subscribe reads one subscription to its end, and calls begun when the server has
// granted it, which may be long before the first record comes. next is where to go on, nil if
// nothing came; children is set where the shard has ended.
func (t *tailer) subscribe(ctx context.Context, n node, begun func()) (children []types.ChildShard, next *string, err error) {
	// A client of its own: in this version of the SDK, the subscriptions of a client
	// decode their events into one buffer.
	api := kinesis.New(t.c.Options())
	out, err := api.SubscribeToShard(ctx, &kinesis.SubscribeToShardInput{ConsumerARN: &t.arn, ShardId: &n.id, StartingPosition: &n.from})
	if err != nil {
		return nil, nil, t.c.Explain(err)
	}
	begun()
	events := out.GetStream()
	for event := range events.Events() {
		e, ok := event.(*types.SubscribeToShardEventStreamMemberSubscribeToShardEvent)
		if !ok {
			continue
		}
		if err := t.sink.write(n.id, e.Value.Records); err != nil {
			return nil, nil, errors.Join(err, events.Close())
		}
		if e.Value.ContinuationSequenceNumber != nil {
			next = e.Value.ContinuationSequenceNumber
		}
		if len(e.Value.ChildShards) > 0 {
			children = e.Value.ChildShards
		}
	}
	err = events.Err()
	if closeErr := events.Close(); err == nil {
		err = closeErr
	}
	if children != nil {
		err = nil
	}
	if err != nil {
		err = t.c.Explain(err)
	}
	return children, next, err
}
