package workload

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/streamweir/streamweir/integration/awssdk"
	"github.com/streamweir/streamweir/integration/history/checker"
)

// stream is a topic that both protocols write and read.
type stream struct {
	*topic
	byKafka bool // Kafka created it
	// following are the consumers that read it as long as the round lasts.
	following []*follower

	mu     sync.Mutex
	shards []checker.Shard // as they were listed last
}

const (
	firstShards = 3
	// mostShards is how many shards a stream may have had: nothing is resharded
	// beyond it.
	mostShards = 32
	// callWithin bounds every call of a Kinesis client.
	callWithin = 5 * time.Second
)

func (r *round) defineStreams() {
	for _, s := range []*stream{
		{topic: &topic{name: fmt.Sprintf("r%d-stream", r.n)}},
		{topic: &topic{name: fmt.Sprintf("r%d-both", r.n), configs: map[string]string{"retention.ms": "-1"}}, byKafka: true},
	} {
		s.partitions.Store(firstShards)
		r.streams = append(r.streams, s)
		r.rec.h.Topics[s.name] = s.Topic
	}
}

// readable are the topics that a Kafka consumer can read.
func (r *round) readable() []*topic {
	all := slices.Clone(r.topics)
	for _, s := range r.streams {
		all = append(all, s.topic)
	}
	return all
}

// api makes a Kinesis client that sends every request once, over connections of
// its own, which the nemesis can cut. done closes them.
func (r *round) api(h2 bool) (api *kinesis.Client, done func()) {
	transport := &http.Transport{DialContext: r.net.DialHTTP, Protocols: new(http.Protocols)}
	transport.Protocols.SetHTTP1(!h2)
	transport.Protocols.SetUnencryptedHTTP2(h2)
	var sends http.RoundTripper = transport
	if r.WrapHTTP != nil {
		sends = r.WrapHTTP(sends)
	}
	return awssdk.Kinesis("http://"+r.sys.aws, func(o *kinesis.Options) {
		o.HTTPClient, o.Retryer = &http.Client{Transport: sends}, aws.NopRetryer{}
	}), transport.CloseIdleConnections
}

// declined says that the answer to a request is that nothing was done.
func declined(err error) bool {
	var answer *smithyhttp.ResponseError
	return errors.As(err, &answer) && answer.HTTPStatusCode() >= 400 && answer.HTTPStatusCode() < 500
}

// is says that an error is of one of the API's types.
func is[T error](err error) bool {
	var want T
	return errors.As(err, &want)
}

func (r *round) createStreams(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, prepareWithin)
	defer cancel()
	api, done := r.api(false)
	defer done()
	for _, s := range r.streams {
		if s.byKafka {
			if err := r.createTopics(ctx, s.topic); err != nil {
				return err
			}
		} else if err := retry(ctx, func() error {
			_, err := api.CreateStream(ctx, &kinesis.CreateStreamInput{StreamName: &s.name, ShardCount: aws.Int32(firstShards)})
			if is[*types.ResourceInUseException](err) { // by an earlier attempt
				return nil
			}
			return err
		}); err != nil {
			return fmt.Errorf("create stream %s: %w", s.name, err)
		}
		if err := retry(ctx, func() error { return r.list(ctx, api, s, true) }); err != nil {
			return fmt.Errorf("stream %s: %w", s.name, err)
		}
	}
	return nil
}

func (r *round) deleteStreams(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, prepareWithin)
	defer cancel()
	api, done := r.api(false)
	defer done()
	for _, s := range r.streams {
		_, err := api.DeleteStream(ctx, &kinesis.DeleteStreamInput{StreamName: &s.name, EnforceConsumerDeletion: aws.Bool(true)})
		if err != nil {
			return fmt.Errorf("delete stream %s: %w", s.name, err)
		}
	}
	return nil
}

// list asks for a stream's status and its shards, and writes the shards down. It
// is an error when the stream has to be active, and is not.
func (r *round) list(ctx context.Context, api *kinesis.Client, s *stream, active bool) error {
	ctx, cancel := context.WithTimeout(ctx, callWithin)
	defer cancel()
	l := checker.Listing{Topic: s.name, Start: r.rec.now()}
	summary, err := api.DescribeStreamSummary(ctx, &kinesis.DescribeStreamSummaryInput{StreamName: &s.name})
	if err != nil {
		return err
	}
	status := summary.StreamDescriptionSummary.StreamStatus
	l.Active = status == types.StreamStatusActive
	if active && !l.Active {
		return fmt.Errorf("it is %s", status)
	}
	if status == types.StreamStatusCreating {
		return nil
	}
	in := &kinesis.ListShardsInput{StreamName: &s.name}
	for {
		out, err := api.ListShards(ctx, in)
		if err != nil {
			return err
		}
		for _, shard := range out.Shards {
			l.Shards = append(l.Shards, shardOf(shard, &l.Bad))
		}
		if out.NextToken == nil {
			break
		}
		in = &kinesis.ListShardsInput{NextToken: out.NextToken}
	}
	l.End = r.rec.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	same := slices.EqualFunc(s.shards, l.Shards, func(a, b checker.Shard) bool {
		return a.Index == b.Index && (a.Last == nil) == (b.Last == nil)
	})
	if !same || l.Active {
		r.rec.listing(l)
	}
	if l.Bad == "" && len(l.Shards) >= len(s.shards) {
		s.shards = l.Shards
		s.partitions.Store(int32(len(l.Shards)))
	}
	return nil
}

// shardOf takes a shard apart. What is not as it has to be is noted in bad.
func shardOf(in types.Shard, bad *string) checker.Shard {
	note := func(err error) {
		if err != nil {
			*bad = fmt.Sprintf("shard %s: %v", aws.ToString(in.ShardId), err)
		}
	}
	out := checker.Shard{Index: shardIndex(in.ShardId), Parent: shardIndex(in.ParentShardId), Adjacent: shardIndex(in.AdjacentParentShardId)}
	out.Low, out.High = hashRange(in.HashKeyRange, note)
	numbers := in.SequenceNumberRange
	if numbers == nil || numbers.StartingSequenceNumber == nil {
		note(errors.New("no starting sequence number"))
		return out
	}
	var err error
	out.First, err = checker.ParseSequence(*numbers.StartingSequenceNumber)
	note(err)
	if numbers.EndingSequenceNumber != nil {
		last, err := checker.ParseSequence(*numbers.EndingSequenceNumber)
		note(err)
		out.Last = &last
	}
	return out
}

func hashRange(in *types.HashKeyRange, note func(error)) (low, high checker.Hash) {
	if in == nil {
		note(errors.New("no range of hash keys"))
		return low, high
	}
	low, err := checker.ParseHash(aws.ToString(in.StartingHashKey))
	note(err)
	high, err = checker.ParseHash(aws.ToString(in.EndingHashKey))
	note(err)
	return low, high
}

const shardPrefix = "shardId-"

// shardIndex is the partition that a shard is; -1 for none.
func shardIndex(id *string) int32 {
	n, err := strconv.ParseInt(strings.TrimPrefix(aws.ToString(id), shardPrefix), 10, 32)
	if err != nil {
		return -1
	}
	return int32(n)
}

func shardID(i int32) *string { return aws.String(fmt.Sprintf(shardPrefix+"%012d", i)) }

// listed are the shards as they were listed last.
func (s *stream) listed() []checker.Shard {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.shards
}

// open are the shards that are not closed, and closed the others.
func (s *stream) open() (open, closed []checker.Shard) {
	for _, shard := range s.listed() {
		if shard.Last == nil {
			open = append(open, shard)
		} else {
			closed = append(closed, shard)
		}
	}
	return open, closed
}

// watchStreams lists the shards again and again.
func (r *round) watchStreams(ctx context.Context) {
	rnd := r.random(r.n, "shards")
	api, done := r.api(true)
	defer done()
	for wait(ctx, between(rnd, 50*time.Millisecond, 500*time.Millisecond)) {
		// Without an answer there is nothing to write down.
		_ = r.list(ctx, api, r.streams[rnd.IntN(len(r.streams))], false)
	}
}
