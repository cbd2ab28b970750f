package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/aws/smithy-go"
	"golang.org/x/sync/errgroup"

	"github.com/streamweir/streamweir/integration/awssdk"
	"github.com/streamweir/streamweir/integration/bench/comparison"
)

const (
	fanOutStream  = "fan-out"
	fanOutShards  = 4
	fanOutRate    = 1000 // records a second
	fanOutPutters = 64   // puts on the way at most
	fanOutDrain   = 5 * time.Second
	subscribeIn   = 5 * time.Second // a subscription that has not begun by then does not work
	consumerPoll  = 5 * time.Millisecond
)

// sdk is a client of aws-sdk-go-v2 with as many connections as puts may be on the way.
func sdk(addr string) *kinesis.Client {
	transport := awshttp.NewBuildableClient().WithTransportOptions(func(t *http.Transport) {
		t.MaxIdleConns, t.MaxIdleConnsPerHost = 2*fanOutPutters, 2*fanOutPutters
	})
	return awssdk.Kinesis("http://"+addr, func(o *kinesis.Options) {
		o.HTTPClient, o.Retryer = transport, aws.NopRetryer{}
	})
}

// fanOut puts at a steady rate and consumes all shards through enhanced fan-out,
// both with aws-sdk-go-v2: from when a record is due to be put to the record in
// the consumer's hands.
func (c *config) fanOut(ctx context.Context, s *comparison.Server, _ time.Duration) ([]comparison.Metric, error) {
	ctx, cancel := context.WithTimeout(ctx, c.Warmup+c.Measure+requestTimeout)
	defer cancel()
	client := sdk(s.Addr)
	arn, err := fanOutConsumer(ctx, s.Addr, client)
	if err != nil {
		return nil, notServed(err)
	}
	title := fmt.Sprintf("fan-out at %d/s, %d shards", c.rate, fanOutShards)
	began := time.Now()
	arrivals := newArrivals(began.Add(c.Warmup), began.Add(c.Warmup+c.Measure))

	// Subscriptions end with consuming, puts on their own.
	consuming, stopConsuming := context.WithCancel(ctx)
	defer stopConsuming()
	consumers, consuming := errgroup.WithContext(consuming)
	for shard := range fanOutShards {
		stream, err := subscribe(consuming, client, arn, fmt.Sprintf("shardId-%012d", shard))
		if err != nil {
			stopConsuming()
			// Whatever it is, this client cannot subscribe there.
			return nil, errors.Join(fmt.Errorf("%w: %w", comparison.ErrNotServed, err), consumers.Wait())
		}
		consumers.Go(func() error {
			defer stream.Close()
			return arrivals.receive(consuming, stream)
		})
	}
	var done comparison.Interval
	producers, producing := errgroup.WithContext(consuming)
	producers.Go(func() error {
		sent, err := putSteadily(producing, client, c.rate, arrivals.until)
		if err != nil {
			return err
		}
		return arrivals.awaitAll(producing, sent)
	})
	producers.Go(func() error {
		var err error
		done, err = c.Observe(producing, s, &arrivals.count, math.MaxInt64/2)
		return err
	})
	err = producers.Wait()
	stopConsuming()
	if ended := consumers.Wait(); ended != nil {
		err = ended // the cause of the producers' end, if they had one
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", title, err)
	}
	metrics, err := comparison.Percentiles(title, arrivals.latencies, comparison.P50, comparison.P99, comparison.P999)
	return append(metrics, done.CPUMetrics(title, "1000", 1e3, 3)...), err
}

// notServed says what an API error of an unknown action means to the table.
func notServed(err error) error {
	var api smithy.APIError
	if errors.As(err, &api) && api.ErrorCode() == "UnknownOperationException" {
		return fmt.Errorf("%w: %w", comparison.ErrNotServed, err)
	}
	return err
}

// fanOutConsumer makes the stream and its consumer, and waits until both are active.
func fanOutConsumer(ctx context.Context, addr string, client *kinesis.Client) (arn *string, err error) {
	conn, err := dial(ctx, addr, jsonFormat)
	if err != nil {
		return nil, err
	}
	defer conn.close()
	if err := conn.createStream(fanOutStream, fanOutShards); err != nil {
		return nil, err
	}
	stream, err := client.DescribeStreamSummary(ctx, &kinesis.DescribeStreamSummaryInput{StreamName: aws.String(fanOutStream)})
	if err != nil {
		return nil, err
	}
	registered, err := client.RegisterStreamConsumer(ctx, &kinesis.RegisterStreamConsumerInput{
		ConsumerName: aws.String("bench"), StreamARN: stream.StreamDescriptionSummary.StreamARN,
	})
	if err != nil {
		return nil, err
	}
	arn = registered.Consumer.ConsumerARN
	poll := time.NewTicker(consumerPoll)
	defer poll.Stop()
	for {
		consumer, err := client.DescribeStreamConsumer(ctx, &kinesis.DescribeStreamConsumerInput{ConsumerARN: arn})
		if err != nil || consumer.ConsumerDescription.ConsumerStatus == types.ConsumerStatusActive {
			return arn, err
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-poll.C:
		}
	}
}

// subscribe fails where the subscription does not begin in time: the SDK waits
// for its first message without end.
func subscribe(ctx context.Context, client *kinesis.Client, arn *string, shard string) (*kinesis.SubscribeToShardEventStream, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	late := time.AfterFunc(subscribeIn, func() {
		cancel(fmt.Errorf("aws-sdk-go-v2 got no initial-response of SubscribeToShard within %v", subscribeIn))
	})
	stream, err := awssdk.Subscribe(ctx, client, &kinesis.SubscribeToShardInput{
		ConsumerARN: arn, ShardId: aws.String(shard),
		StartingPosition: &types.StartingPosition{Type: types.ShardIteratorTypeTrimHorizon},
	})
	if err != nil || !late.Stop() {
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		cancel(err)
		return nil, err
	}
	return stream, nil // ctx ends with its parent
}

// putSteadily puts so many records a second until the deadline, each from a
// goroutine that waits for its acknowledgement, and says how many. Where the
// ticker was late it catches up, and a record's clock runs from when it was due.
func putSteadily(ctx context.Context, client *kinesis.Client, rate int, until time.Time) (sent uint64, err error) {
	putters, ctx := errgroup.WithContext(ctx)
	putters.SetLimit(fanOutPutters)
	began := time.Now()
	ticker := time.NewTicker(time.Second / time.Duration(rate))
	defer ticker.Stop()
	for now := began; now.Before(until) && ctx.Err() == nil; now = time.Now() {
		for due := uint64(now.Sub(began).Seconds() * float64(rate)); sent < due; sent++ {
			number, at := sent, began.Add(time.Duration(sent+1)*time.Second/time.Duration(rate))
			putters.Go(func() error { return putOne(ctx, client, number, at) })
		}
		select {
		case <-ctx.Done():
		case <-ticker.C:
		}
	}
	return sent, putters.Wait()
}

// fanOutBytes is how long the data of a record is: its number, when it was due,
// and nothing.
const fanOutBytes = 1024

func fanOutData(number uint64, due time.Time) []byte {
	data := make([]byte, fanOutBytes)
	binary.BigEndian.PutUint64(data, number)
	binary.BigEndian.PutUint64(data[8:], uint64(due.UnixNano()))
	return data
}

func putOne(ctx context.Context, client *kinesis.Client, number uint64, due time.Time) error {
	_, err := client.PutRecord(ctx, &kinesis.PutRecordInput{
		StreamName: aws.String(fanOutStream), PartitionKey: aws.String(strconv.FormatUint(number, 10)), Data: fanOutData(number, due),
	})
	if err != nil {
		return fmt.Errorf("put record %d: %w", number, err)
	}
	return nil
}

// arrivals are the records that came through the subscriptions.
type arrivals struct {
	warm, until time.Time
	count       atomic.Int64
	more        chan struct{} // has one when some came

	mu        sync.Mutex
	seen      []bool // by number
	latencies []time.Duration
}

func newArrivals(warm, until time.Time) *arrivals {
	return &arrivals{warm: warm, until: until, more: make(chan struct{}, 1)}
}

// receive takes what a subscription brings until its context ends.
func (a *arrivals) receive(ctx context.Context, stream *kinesis.SubscribeToShardEventStream) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case event, ok := <-stream.Events():
			if !ok {
				if ctx.Err() != nil {
					return nil
				}
				return fmt.Errorf("a subscription ended: %w", errors.Join(stream.Err(), errEnded))
			}
			if event, ok := event.(*types.SubscribeToShardEventStreamMemberSubscribeToShardEvent); ok {
				if err := a.add(time.Now(), event.Value.Records); err != nil {
					return err
				}
			}
		}
	}
}

var errEnded = errors.New("its stream of events is at an end")

func (a *arrivals) add(now time.Time, records []types.Record) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, r := range records {
		if len(r.Data) != fanOutBytes {
			return fmt.Errorf("a record of %d bytes came", len(r.Data))
		}
		number := binary.BigEndian.Uint64(r.Data)
		due := time.Unix(0, int64(binary.BigEndian.Uint64(r.Data[8:])))
		for uint64(len(a.seen)) <= number {
			a.seen = append(a.seen, false)
		}
		if a.seen[number] {
			return fmt.Errorf("record %d came twice", number)
		}
		a.seen[number] = true
		if due.After(a.warm) {
			a.latencies = append(a.latencies, now.Sub(due))
		}
	}
	a.count.Add(int64(len(records)))
	select {
	case a.more <- struct{}{}:
	default:
	}
	return nil
}

// awaitAll waits until so many records have come; each comes once.
func (a *arrivals) awaitAll(ctx context.Context, sent uint64) error {
	timer := time.NewTimer(fanOutDrain)
	defer timer.Stop()
	for uint64(a.count.Load()) < sent {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-timer.C:
			return fmt.Errorf("%d records were put, %d came within %v", sent, a.count.Load(), fanOutDrain)
		case <-a.more:
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if missing := slices.Index(a.seen, false); missing >= 0 {
		return fmt.Errorf("record %d never came", missing)
	}
	return nil
}
