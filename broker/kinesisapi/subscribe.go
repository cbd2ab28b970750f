package kinesisapi

import (
	"context"
	"errors"
	"io"

	"github.com/streamweir/streamweir/broker/stream/records"
	"github.com/streamweir/streamweir/protocol/aws"
	"github.com/streamweir/streamweir/protocol/aws/kinesis"
)

// SubscribeToShard: events are sent as records are committed, or every five
// seconds where there are none, for five minutes.

func (s *Server) subscribeToShard(ctx context.Context, _ *Call, in *kinesis.SubscribeToShardInput, out *EventStream) error {
	t, c, err := s.core.Streams.FindConsumer(nil, nil, in.ConsumerARN)
	if err != nil {
		return err
	}
	sh, err := s.core.Records.Shard(t, *in.ShardId)
	if err != nil {
		return err
	}
	from := in.StartingPosition
	at := position(from.Type, from.SequenceNumber, from.Timestamp)
	if dry(in.DryRun) {
		if _, err := s.core.Records.CheckSubscription(sh, c, at); err != nil {
			return err
		}
		return s.core.Records.DryRun(t)
	}
	sub, err := s.core.Records.Subscribe(sh, c, at)
	if err != nil {
		return err
	}
	defer sub.Close()
	if err := out.Begin(); err != nil {
		return err
	}
	for {
		event, err := sub.Next(ctx)
		if err == nil {
			err = ctx.Err() // nothing is encoded for a client that is gone
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := out.Send(&shardEvent{event}, event.Encoded); err != nil {
			return err
		}
	}
}

// shardEvent is a SubscribeToShardEvent. It encodes records where they lie.
type shardEvent struct{ records.Event }

// Size implements aws.Sized.
func (x *shardEvent) Size() int { return sizeOf(x.Records) }

// Encode implements aws.Output.
func (x *shardEvent) Encode(e aws.Encoder) {
	e.BeginObject()
	encodeRecords(e, x.Records, x.Shard)
	if len(x.Children) == 0 {
		// That of the last offset that was passed: clients go on after it.
		e.Field("ContinuationSequenceNumber")
		e.String(x.Shard.Sequence(x.Next - 1))
	}
	e.Field("MillisBehindLatest")
	e.Int(x.Behind)
	encodeChildren(e, x.Children)
	e.EndObject()
}
