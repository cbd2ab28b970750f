package kinesisapi

import (
	"context"
	"strconv"

	"github.com/streamweir/streamweir/broker/shard"
	"github.com/streamweir/streamweir/broker/stream"
	"github.com/streamweir/streamweir/broker/topic"
	"github.com/streamweir/streamweir/protocol/aws"
	"github.com/streamweir/streamweir/protocol/aws/kinesis"
)

func (s *Server) splitShard(_ context.Context, _ *Call, in *kinesis.SplitShardInput) error {
	t, err := s.core.Streams.Find(in.StreamName, in.StreamARN)
	if err != nil {
		return err
	}
	return s.core.Streams.SplitShard(t, *in.ShardToSplit, *in.NewStartingHashKey)
}

func (s *Server) mergeShards(_ context.Context, _ *Call, in *kinesis.MergeShardsInput) error {
	t, err := s.core.Streams.Find(in.StreamName, in.StreamARN)
	if err != nil {
		return err
	}
	return s.core.Streams.MergeShards(t, *in.ShardToMerge, *in.AdjacentShardToMerge)
}

func (s *Server) updateShardCount(_ context.Context, _ *Call, in *kinesis.UpdateShardCountInput) (*kinesis.UpdateShardCountOutput, error) {
	t, err := s.core.Streams.Find(in.StreamName, in.StreamARN)
	if err != nil {
		return nil, err
	}
	current, err := s.core.Streams.UpdateShardCount(t, *in.TargetShardCount)
	if err != nil {
		return nil, err
	}
	return &kinesis.UpdateShardCountOutput{
		StreamName: new(t.Name), StreamARN: new(s.core.Streams.ARN(t.Name)),
		CurrentShardCount: new(current), TargetShardCount: in.TargetShardCount,
	}, nil
}

// mostShards is how many shards ListShards lists at most.
const mostShards = 1000

// checkListShards refuses what cannot stand beside a token, which says all of it.
func checkListShards(in *kinesis.ListShardsInput) error {
	if in.NextToken == nil {
		if in.StreamName == nil && in.StreamARN == nil {
			return stream.Errorf(stream.InvalidArgument, "Either NextToken or StreamName should be provided.")
		}
		return nil
	}
	for _, beside := range []struct {
		name  string
		given bool
	}{
		{"StreamName", in.StreamName != nil},
		{"StreamARN", in.StreamARN != nil},
		{"ExclusiveStartShardId", in.ExclusiveStartShardId != nil},
		{"StreamCreationTimestamp", in.StreamCreationTimestamp != nil},
		{"ShardFilter", in.ShardFilter != nil},
	} {
		if beside.given {
			return stream.Errorf(stream.InvalidArgument, "NextToken and %s cannot be provided together.", beside.name)
		}
	}
	return nil
}

func (s *Server) listShards(_ context.Context, _ *Call, in *kinesis.ListShardsInput) (*kinesis.ListShardsOutput, error) {
	if err := checkListShards(in); err != nil {
		return nil, err
	}
	var t *topic.Topic
	var token nextToken
	var err error
	if in.NextToken != nil {
		t, token, err = s.tokenStream("ListShards", *in.NextToken)
	} else {
		t, err = s.streamOf(in.StreamName, in.StreamARN, in.StreamCreationTimestamp)
		token = nextToken{Action: "ListShards", After: value(in.ExclusiveStartShardId)}
		if err == nil && in.ShardFilter != nil {
			token.Filter, err = shardFilter(in.ShardFilter)
		}
	}
	if err != nil {
		return nil, err
	}
	if t.Stream.Status == topic.Creating {
		return nil, stream.Errorf(stream.ResourceInUse, "Stream %s under account %s not ACTIVE, instead in state %s", t.Name, s.core.Streams.Account(), t.Stream.Status)
	}
	var after *string
	if token.After != "" {
		after = &token.After
	}
	shards, more, err := s.shardsAfter(t, after, token.Filter, atMost(in.MaxResults, mostShards))
	if err != nil {
		return nil, err
	}
	out := &kinesis.ListShardsOutput{Shards: shards}
	if more {
		token.After, token.Topic = *shards[len(shards)-1].ShardId, t.ID.String()
		out.NextToken = s.newToken(token)
	}
	return out, nil
}

// streamOf finds a stream that was created at a time, where one is given: an
// earlier stream of its name is not there any more.
func (s *Server) streamOf(name, arn *string, created *aws.Time) (*topic.Topic, error) {
	t, err := s.core.Streams.Find(name, arn)
	if err != nil || created == nil {
		return t, err
	}
	if created.Time().Unix() != t.CreatedAt.Unix() {
		return nil, stream.Errorf(stream.ResourceNotFound, "Stream %s under account %s, created at %s, not found.",
			t.Name, s.core.Streams.Account(), strconv.FormatInt(created.Time().Unix(), 10))
	}
	return t, nil
}

// shardFilter checks a filter, of which each type has its own property or none.
func shardFilter(in *kinesis.ShardFilter) (f shard.Filter, err error) {
	f.Type = shard.FilterType(*in.Type)
	wantsShard := f.Type == shard.AfterShardID
	wantsTime := f.Type == shard.AtTimestamp || f.Type == shard.FromTimestamp
	switch {
	case wantsShard != (in.ShardId != nil):
		return f, stream.Errorf(stream.InvalidArgument, "ShardFilter of type %s: ShardId must be specified for AFTER_SHARD_ID, and only for that.", f.Type)
	case wantsTime != (in.Timestamp != nil):
		return f, stream.Errorf(stream.InvalidArgument, "ShardFilter of type %s: Timestamp must be specified for AT_TIMESTAMP and FROM_TIMESTAMP, and only for those.", f.Type)
	case wantsShard:
		f.Shard, err = shardAfter(*in.ShardId)
	case wantsTime:
		f.At = in.Timestamp.Time().UnixMilli()
	}
	return f, err
}

// shardAfter reads the id of a shard to begin after, which need not be there any more.
func shardAfter(id string) (int32, error) {
	index, ok := shard.ParseID(id)
	if !ok {
		return 0, stream.Errorf(stream.InvalidArgument, "%s is not the id of a shard.", id)
	}
	return index, nil
}

// shardsAfter lists the shards behind one, as many as limit of those that the
// filter lets pass, and says whether there are more.
func (s *Server) shardsAfter(t *topic.Topic, after *string, f shard.Filter, limit int) (out []kinesis.Shard, more bool, err error) {
	first := shard.None
	if after != nil {
		if first, err = shardAfter(*after); err != nil {
			return nil, false, err
		}
	}
	out = []kinesis.Shard{}
	if t.Stream.Status == topic.Creating {
		return out, false, nil
	}
	for _, sh := range t.Stream.Lineage.Select(f, s.core.Streams.Horizon(t)) {
		switch {
		case sh.Index <= first:
		case len(out) == limit:
			return out, true, nil
		default:
			out = append(out, describeShard(sh))
		}
	}
	return out, false, nil
}

func describeShard(sh *shard.Shard) kinesis.Shard {
	out := kinesis.Shard{
		ShardId:             new(sh.ID()),
		HashKeyRange:        hashKeyRange(sh.Range),
		SequenceNumberRange: &kinesis.SequenceNumberRange{StartingSequenceNumber: new(sh.StartingSequence())},
	}
	if !sh.IsOpen() {
		out.SequenceNumberRange.EndingSequenceNumber = new(sh.EndingSequence())
	}
	if sh.Parent != shard.None {
		out.ParentShardId = new(shard.FormatID(sh.Parent))
	}
	if sh.AdjacentParent != shard.None {
		out.AdjacentParentShardId = new(shard.FormatID(sh.AdjacentParent))
	}
	return out
}

func hashKeyRange(r shard.Range) *kinesis.HashKeyRange {
	return &kinesis.HashKeyRange{StartingHashKey: new(r.Start.String()), EndingHashKey: new(r.End.String())}
}
