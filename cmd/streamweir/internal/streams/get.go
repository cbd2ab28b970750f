package streams

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"github.com/streamweir/streamweir/cmd/streamweir/internal/output"
)

const (
	// maxReaders bounds the shards that are read at the same time.
	maxReaders = 32
	// readAgain is how long to wait before a shard is read again: it may be
	// read five times a second.
	readAgain = 200 * time.Millisecond
	readMost  = 2 * time.Second
)

// GetJob is what to read of a stream.
type GetJob struct {
	Stream string
	Shards []string // nil: all
	From   types.StartingPosition
	Count  int64 // end after so many records; 0: no limit
	Append Appender
	Note   func(string)
}

// Get reads what is in a stream now and writes the records out, by polling. That
// ctx ends is a success.
func Get(ctx context.Context, c *Client, job *GetJob, w io.Writer) error {
	nodes, closed, err := job.nodes(ctx, c)
	if err != nil {
		return job.finish(ctx, err)
	}
	g := &getter{c: c, job: job, sink: newSink(job.Stream, job.Append, job.Count, w), closed: closed}
	return job.finish(ctx, walk(ctx, g.read, maxReaders, nodes))
}

// finish turns the ways to end that are no failure into a success.
func (j *GetJob) finish(ctx context.Context, err error) error {
	if errors.Is(err, errEnough) || errors.Is(err, context.Canceled) && ctx.Err() != nil {
		return nil
	}
	return err
}

// nodes are the shards to read at first; closed are those of them that end.
func (j *GetJob) nodes(ctx context.Context, c *Client) (nodes []node, closed map[string]bool, err error) {
	all, err := listShards(ctx, c, j.Stream)
	if err != nil {
		return nil, nil, fmt.Errorf("stream %q: %w", j.Stream, err)
	}
	closed = map[string]bool{}
	for _, s := range all {
		one := newShard(s)
		closed[one.ID] = one.State == shardClosed
		switch {
		case j.Shards != nil && !slices.Contains(j.Shards, one.ID):
		case j.From.Type == types.ShardIteratorTypeLatest && closed[one.ID]:
		default:
			nodes = append(nodes, newNode(s, j.From))
		}
	}
	for _, id := range j.Shards {
		if _, ok := closed[id]; !ok {
			return nil, nil, fmt.Errorf("stream %q has no shard %q: it has %s", j.Stream, id, output.Plural(int64(len(all)), "shard"))
		}
	}
	return nodes, closed, nil
}

// getter reads shards by polling, each to what is its end.
type getter struct {
	c      *Client
	job    *GetJob
	sink   *sink
	closed map[string]bool
}

func (g *getter) read(ctx context.Context, n node) ([]types.ChildShard, error) {
	from, iterator, wait := n.from, (*string)(nil), readAgain
	for {
		if iterator == nil {
			var err error
			if iterator, err = g.iterator(ctx, n.id, from); err != nil {
				return nil, fmt.Errorf("%s: %w", n.id, err)
			}
		}
		out, err := call(ctx, g.c, g.c.GetRecords, &kinesis.GetRecordsInput{ShardIterator: iterator})
		switch {
		case isCode(err, overThroughput, overLimit):
			if err := pause(ctx, wait); err != nil {
				return nil, err
			}
			wait = min(2*wait, readMost)
			continue
		case isCode(err, iteratorExpired):
			iterator = nil
			continue
		case err != nil:
			return nil, fmt.Errorf("read %s: %w", n.id, err)
		}
		wait = readAgain
		if err := g.sink.write(n.id, out.Records); err != nil {
			return nil, err
		}
		if len(out.Records) > 0 {
			from = types.StartingPosition{Type: types.ShardIteratorTypeAfterSequenceNumber, SequenceNumber: out.Records[len(out.Records)-1].SequenceNumber}
		}
		iterator = out.NextShardIterator
		switch {
		case iterator == nil && g.job.Shards != nil:
			return nil, nil
		case iterator == nil:
			return out.ChildShards, nil
		case aws.ToInt64(out.MillisBehindLatest) == 0 && !g.closed[n.id]:
			return nil, nil
		case len(out.Records) == 0:
			if err := pause(ctx, readAgain); err != nil {
				return nil, err
			}
		}
	}
}

func (g *getter) iterator(ctx context.Context, shard string, from types.StartingPosition) (*string, error) {
	wait := readAgain
	for {
		out, err := call(ctx, g.c, g.c.GetShardIterator, &kinesis.GetShardIteratorInput{
			StreamName: &g.job.Stream, ShardId: &shard, ShardIteratorType: from.Type,
			StartingSequenceNumber: from.SequenceNumber, Timestamp: from.Timestamp,
		})
		if err == nil {
			return out.ShardIterator, nil
		}
		if !isCode(err, overThroughput, overLimit) {
			return nil, err
		}
		if err := pause(ctx, wait); err != nil {
			return nil, err
		}
		wait = min(2*wait, readMost)
	}
}
