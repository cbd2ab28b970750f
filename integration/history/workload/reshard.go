package workload

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"github.com/streamweir/streamweir/integration/history/checker"
)

// mostOpen is how many open shards UpdateShardCount may make.
const mostOpen = 6

// reshard changes a stream: its shards, or how long it keeps records. Where the
// broker may be killed, every other time it is killed meanwhile, or while the
// stream is still to change; but not before one reshard of the round is done.
func (r *round) reshard(ctx context.Context, rnd *rand.Rand, what Disturbance) (string, error) {
	s := r.streams[rnd.IntN(len(r.streams))]
	api, done := r.api(rnd.IntN(2) == 0)
	defer done()
	if what == Retain {
		return r.retain(ctx, rnd, api)
	}
	if err := r.list(ctx, api, s, true); err != nil {
		return fmt.Sprintf("%s: %s: %v", what, s.name, err), nil
	}
	call, op := r.plan(rnd, api, s, what)
	if call == nil {
		return fmt.Sprintf("%s: %s has had its shards", what, s.name), nil
	}
	told := op.String()
	if !slices.Contains(r.Disturb, Kill) || !r.sys.Ours() || !r.resharded || rnd.IntN(2) == 0 {
		r.resharded = r.call(ctx, call, op) == checker.OK || r.resharded
		return fmt.Sprintf("%s: %s", what, told), nil
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		r.call(ctx, call, op)
	}()
	wait(ctx, between(rnd, 0, []time.Duration{10, 50, 500}[rnd.IntN(3)]*time.Millisecond))
	r.inspect()
	r.sys.Kill()
	<-ended
	return fmt.Sprintf("%s-kill: %s", what, told), r.start(ctx)
}

// call asks for a reshard and notes the answer.
func (r *round) call(ctx context.Context, call func(context.Context) error, op checker.Reshard) checker.Outcome {
	ctx, cancel := context.WithTimeout(ctx, callWithin)
	defer cancel()
	op.Start = r.rec.now()
	err := call(ctx)
	op.End = r.rec.now()
	switch {
	case err == nil:
		op.Outcome = checker.OK
	case declined(err):
		op.Outcome = checker.Failed
	}
	r.rec.reshard(op)
	return op.Outcome
}

// plan chooses what to ask for; nothing when the stream has had enough shards.
func (r *round) plan(rnd *rand.Rand, api *kinesis.Client, s *stream, what Disturbance) (func(context.Context) error, checker.Reshard) {
	op := checker.Reshard{Topic: s.name}
	open, closed := s.open()
	slices.SortFunc(open, func(a, b checker.Shard) int { return a.Low.Compare(b.Low) })
	room := mostShards - len(open) - len(closed)
	i := rnd.IntN(len(open))
	switch what {
	case Split:
		at, ok := splitAt(open[i], rnd)
		if !ok || room < 2 || len(open) >= mostOpen {
			break
		}
		op.What, op.Shards, op.At = checker.Split, []int32{open[i].Index}, at
		return func(ctx context.Context) error {
			_, err := api.SplitShard(ctx, &kinesis.SplitShardInput{StreamName: &s.name, ShardToSplit: shardID(open[i].Index), NewStartingHashKey: aws.String(at.String())})
			return err
		}, op
	case Merge:
		if room < 1 || len(open) < 2 {
			break
		}
		a, b := open[max(i, 1)-1], open[max(i, 1)]
		if rnd.IntN(2) == 0 {
			a, b = b, a
		}
		op.What, op.Shards = checker.Merge, []int32{a.Index, b.Index}
		return func(ctx context.Context) error {
			_, err := api.MergeShards(ctx, &kinesis.MergeShardsInput{StreamName: &s.name, ShardToMerge: shardID(a.Index), AdjacentShardToMerge: shardID(b.Index)})
			return err
		}, op
	case Count:
		low, high := (len(open)+1)/2, min(2*len(open), mostOpen)
		to := low + rnd.IntN(max(high-low, 0)+1)
		if to == len(open) || room < 2*(len(open)+to) {
			break
		}
		op.What, op.Target = checker.Count, int32(to)
		return func(ctx context.Context) error {
			_, err := api.UpdateShardCount(ctx, &kinesis.UpdateShardCountInput{StreamName: &s.name, TargetShardCount: &op.Target, ScalingType: types.ScalingTypeUniformScaling})
			return err
		}, op
	}
	return nil, op
}

// The hours for which the records of a stream are kept, one after the other.
const (
	fewHours  = 24
	manyHours = 48
)

// retain has records kept longer, and then shorter, than any round lasts.
func (r *round) retain(ctx context.Context, rnd *rand.Rand, api *kinesis.Client) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, callWithin)
	defer cancel()
	s := r.streams[0] // Kinesis has made it, so that its records are kept for a day
	var err error
	if rnd.IntN(2) == 0 {
		_, err = api.IncreaseStreamRetentionPeriod(ctx, &kinesis.IncreaseStreamRetentionPeriodInput{StreamName: &s.name, RetentionPeriodHours: aws.Int32(manyHours)})
	} else {
		_, err = api.DecreaseStreamRetentionPeriod(ctx, &kinesis.DecreaseStreamRetentionPeriodInput{StreamName: &s.name, RetentionPeriodHours: aws.Int32(fewHours)})
	}
	// What it answers is no matter here: nothing may be lost by it.
	return fmt.Sprintf("retain: %s, error %v", s.name, err), nil
}
