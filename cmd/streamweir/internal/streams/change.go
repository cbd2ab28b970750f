package streams

import (
	"context"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"github.com/streamweir/streamweir/cmd/streamweir/internal/output"
)

// pollEvery is how often a stream is looked at that is to become active or to
// go. DescribeStreamSummary may be called 20 times a second in an account.
const pollEvery = 200 * time.Millisecond

// Spec says what a new stream is to be like.
type Spec struct {
	Shards      int32
	OnDemand    bool
	Tags        map[string]string
	MaxRecord   int64         // bytes; 0: the default
	Retention   time.Duration // 0: the default
	IfNotExists bool
}

// Waiting is how long to wait for a change, and whom to tell of its progress.
type Waiting struct {
	For  time.Duration // 0: do not wait
	Tell func(string)  // one line that replaces the last one; nil: nobody
}

func (w Waiting) tell(format string, args ...any) {
	if w.Tell != nil {
		w.Tell(fmt.Sprintf(format, args...))
	}
}

// Create creates streams.
func Create(ctx context.Context, c *Client, names []string, spec Spec, wait Waiting) []output.Result {
	results := make([]output.Result, 0, len(names))
	for _, name := range names {
		r := output.Result{Name: name}
		r.Done, r.Err = create(ctx, c, name, spec, wait)
		if r.Done == "created" {
			r.Detail = output.Plural(int64(spec.Shards), "shard")
			if spec.OnDemand {
				r.Detail = onDemand
			}
		}
		results = append(results, r)
	}
	return results
}

func create(ctx context.Context, c *Client, name string, spec Spec, wait Waiting) (string, error) {
	in := &kinesis.CreateStreamInput{StreamName: &name, Tags: spec.Tags}
	if spec.OnDemand {
		in.StreamModeDetails = &types.StreamModeDetails{StreamMode: types.StreamModeOnDemand}
	} else {
		in.ShardCount = &spec.Shards
	}
	if spec.MaxRecord > 0 {
		kib := int32((spec.MaxRecord + 1023) >> 10)
		in.MaxRecordSizeInKiB = &kib
	}
	if _, err := call(ctx, c, c.CreateStream, in); err != nil {
		if spec.IfNotExists && isCode(err, inUse) {
			return "exists", nil
		}
		return "", err
	}
	if wait.For == 0 && spec.Retention == 0 {
		return "created", nil
	}
	if wait.For == 0 {
		wait.For = c.cfg.Timeout // the retention can only be set on an active stream
	}
	// From here on the stream is there: whatever fails has to say so.
	s, err := becomesActive(ctx, c, name, wait)
	if spec.Retention == 0 {
		if err != nil {
			return "", fmt.Errorf("it was created, but: %w", err)
		}
		return "created", nil
	}
	if err == nil {
		err = setRetention(ctx, c, s, spec.Retention)
	}
	if err != nil {
		return "", fmt.Errorf("it was created, but setting its retention to %d hours failed: %w", int(spec.Retention.Hours()), err)
	}
	if _, err := becomesActive(ctx, c, name, wait); err != nil {
		return "", fmt.Errorf("it was created and its retention set, but: %w", err)
	}
	return "created", nil
}

// The shortest and the longest retention of a stream that the API knows.
const (
	MinRetention = 24 * time.Hour
	MaxRetention = 8760 * time.Hour
)

func setRetention(ctx context.Context, c *Client, s *types.StreamDescriptionSummary, retention time.Duration) (err error) {
	hours := int32(retention.Hours())
	switch have := aws.ToInt32(s.RetentionPeriodHours); {
	case hours > have:
		_, err = call(ctx, c, c.IncreaseStreamRetentionPeriod, &kinesis.IncreaseStreamRetentionPeriodInput{StreamName: s.StreamName, RetentionPeriodHours: &hours})
	case hours < have:
		_, err = call(ctx, c, c.DecreaseStreamRetentionPeriod, &kinesis.DecreaseStreamRetentionPeriodInput{StreamName: s.StreamName, RetentionPeriodHours: &hours})
	}
	return err
}

// becomesActive waits until a stream is active, and returns it.
func becomesActive(ctx context.Context, c *Client, name string, wait Waiting) (*types.StreamDescriptionSummary, error) {
	deadline := time.Now().Add(wait.For)
	for {
		s, err := summary(ctx, c, name)
		switch {
		case isCode(err, overLimit):
			// Others look too: there is a limit for the whole account.
		case err != nil:
			return nil, err
		case s.StreamStatus == types.StreamStatusActive:
			return s, nil
		case s.StreamStatus == types.StreamStatusDeleting:
			return nil, errors.New("the stream is being deleted")
		default:
			wait.tell("%s is %s, %s", name, strings.ToLower(string(s.StreamStatus)), output.Plural(int64(aws.ToInt32(s.OpenShardCount)), "open shard"))
		}
		if time.Now().After(deadline) {
			return nil, fmt.Errorf("it is not active yet after %s (--wait)", wait.For)
		}
		if err := pause(ctx, pollEvery); err != nil {
			return nil, err
		}
	}
}

// Delete deletes streams with all their records and consumers.
func Delete(ctx context.Context, c *Client, names []string, ifExists bool, wait Waiting) []output.Result {
	results := make([]output.Result, 0, len(names))
	for _, name := range names {
		r := output.Result{Name: name}
		r.Done, r.Err = remove(ctx, c, name, ifExists, wait)
		results = append(results, r)
	}
	return results
}

func remove(ctx context.Context, c *Client, name string, ifExists bool, wait Waiting) (string, error) {
	_, err := call(ctx, c, c.DeleteStream, &kinesis.DeleteStreamInput{StreamName: &name, EnforceConsumerDeletion: aws.Bool(true)})
	switch {
	case ifExists && isCode(err, notFound):
		return "absent", nil
	case err != nil:
		return "", err
	case wait.For == 0:
		return "deleted", nil
	}
	deadline := time.Now().Add(wait.For)
	for {
		_, err := summary(ctx, c, name)
		switch {
		case isCode(err, notFound):
			return "deleted", nil
		case err != nil && !isCode(err, overLimit):
			return "", err
		case time.Now().After(deadline):
			return "", fmt.Errorf("it is still there after %s (--wait)", wait.For)
		}
		wait.tell("%s is deleting", name)
		if err := pause(ctx, pollEvery); err != nil {
			return "", err
		}
	}
}

// Reshaped is what a split, a merge or a resharding came to.
type Reshaped struct {
	Stream     string   `json:"stream"`
	Closed     []string `json:"closed_shards"`
	Opened     []string `json:"opened_shards"`
	OpenShards int32    `json:"open_shards"`
}

// Print says what became of the shards.
func (r *Reshaped) Sentence() string {
	if len(r.Closed)+len(r.Opened) == 0 {
		return fmt.Sprintf("stream %q has %s", r.Stream, output.Plural(int64(r.OpenShards), "open shard"))
	}
	return fmt.Sprintf("stream %q has %s: closed %s; opened %s", r.Stream, output.Plural(int64(r.OpenShards), "open shard"),
		strings.Join(r.Closed, ", "), strings.Join(r.Opened, ", "))
}

// reshape changes the shards of a stream, waits, and says what is different.
func reshape(ctx context.Context, c *Client, name string, wait Waiting, change func() error) (*Reshaped, error) {
	before, err := listShards(ctx, c, name)
	if err != nil {
		return nil, err
	}
	if err := change(); err != nil {
		return nil, err
	}
	r := &Reshaped{Stream: name, Closed: []string{}, Opened: []string{}}
	if wait.For > 0 {
		if _, err := becomesActive(ctx, c, name, wait); err != nil {
			return nil, err
		}
	}
	after, err := listShards(ctx, c, name)
	if err != nil {
		return nil, err
	}
	known := map[string]string{} // shard -> state
	for _, s := range before {
		known[aws.ToString(s.ShardId)] = newShard(s).State
	}
	for _, s := range after {
		one := newShard(s)
		if one.State == shardOpen {
			r.OpenShards++
		}
		switch was := known[one.ID]; {
		case was == shardOpen && one.State == shardClosed:
			r.Closed = append(r.Closed, one.ID)
		case was == "" && one.State == shardOpen:
			r.Opened = append(r.Opened, one.ID)
		}
	}
	return r, nil
}

// Split divides a shard at a hash key, with "" in its middle.
func Split(ctx context.Context, c *Client, name, shard, at string, wait Waiting) (*Reshaped, error) {
	return reshape(ctx, c, name, wait, func() error {
		if at == "" {
			var err error
			if at, err = middle(ctx, c, name, shard); err != nil {
				return err
			}
		}
		_, err := call(ctx, c, c.SplitShard, &kinesis.SplitShardInput{StreamName: &name, ShardToSplit: &shard, NewStartingHashKey: &at})
		return err
	})
}

func middle(ctx context.Context, c *Client, name, shard string) (string, error) {
	shards, err := listShards(ctx, c, name)
	if err != nil {
		return "", err
	}
	for _, s := range shards {
		if aws.ToString(s.ShardId) == shard {
			one := newShard(s)
			return halfWay(one.StartHash, one.EndHash)
		}
	}
	return "", fmt.Errorf("stream %q has no shard %q", name, shard)
}

// halfWay is where the upper half of a range of hash keys begins.
func halfWay(start, end string) (string, error) {
	low, ok := new(big.Int).SetString(start, 10)
	high, okHigh := new(big.Int).SetString(end, 10)
	if !ok || !okHigh {
		return "", fmt.Errorf("%q to %q is not a range of hash keys", start, end)
	}
	sum := low.Add(low, high)
	return sum.Add(sum, big.NewInt(1)).Rsh(sum, 1).String(), nil
}

// Merge makes one shard of two neighbours.
func Merge(ctx context.Context, c *Client, name, shard, adjacent string, wait Waiting) (*Reshaped, error) {
	return reshape(ctx, c, name, wait, func() error {
		_, err := call(ctx, c, c.MergeShards, &kinesis.MergeShardsInput{StreamName: &name, ShardToMerge: &shard, AdjacentShardToMerge: &adjacent})
		return err
	})
}

// Reshard brings a stream to a number of shards of the same size. One call may
// at most double or halve it, so it takes as many as are needed.
func Reshard(ctx context.Context, c *Client, name string, count int32, wait Waiting) (*Reshaped, error) {
	return reshape(ctx, c, name, wait, func() error {
		for {
			s, err := becomesActive(ctx, c, name, wait)
			if err != nil {
				return err
			}
			have := aws.ToInt32(s.OpenShardCount)
			next := step(have, count)
			wait.tell("%s goes from %d to %d of %s", name, have, next, output.Plural(int64(count), "shard"))
			_, err = call(ctx, c, c.UpdateShardCount, &kinesis.UpdateShardCountInput{
				StreamName: &name, TargetShardCount: &next, ScalingType: types.ScalingTypeUniformScaling,
			})
			if err != nil || next == count {
				return err
			}
		}
	})
}

// step is how far one call may go from have towards want.
func step(have, want int32) int32 {
	return min(max(want, (have+1)/2), 2*have)
}
