package kinesisapi

import (
	"context"

	"github.com/streamweir/streamweir/broker/stream"
	"github.com/streamweir/streamweir/broker/topic"
	"github.com/streamweir/streamweir/protocol/aws"
	"github.com/streamweir/streamweir/protocol/aws/kinesis"
)

// limited is h bound by the rate of its action, if that has one: see package quota.
// Actions on records are bound by their shards instead.
func (h handler) limited(action string) handler {
	next := h.unary
	if next == nil {
		return h
	}
	h.unary = func(s *Server, ctx context.Context, call *Call, in aws.Input) (aws.Output, error) {
		if err := s.tooOften(action, in); err != nil {
			return nil, err
		}
		return next(s, ctx, call, in)
	}
	return h
}

// tooOften refuses an action that was called more often than its rate allows.
func (s *Server) tooOften(action string, in aws.Input) error {
	account := s.core.Streams.Account()
	if !s.core.Quotas.Action(action) {
		return stream.Errorf(stream.LimitExceeded, "Rate exceeded for account %s.", account)
	}
	// A stream that is not there is the handler's to refuse.
	if t := s.ratedStream(in); t != nil && !s.core.Quotas.Stream(t.ID, t.Name).Action(action) {
		return stream.Errorf(stream.LimitExceeded, "Rate exceeded for stream %s under account %s.", t.Name, account)
	}
	return nil
}

// ratedStream is the stream for which an action's rate is counted; nil where it is
// counted for the account, or there is no such stream.
func (s *Server) ratedStream(in aws.Input) *topic.Topic {
	var name, arn *string
	switch in := in.(type) {
	case *kinesis.ListShardsInput:
		name, arn = in.StreamName, in.StreamARN
	case *kinesis.RegisterStreamConsumerInput:
		arn = in.StreamARN
	case *kinesis.ListStreamConsumersInput:
		arn = in.StreamARN
	case *kinesis.DeregisterStreamConsumerInput:
		return s.streamOfConsumer(in.StreamARN, in.ConsumerARN)
	case *kinesis.DescribeStreamConsumerInput:
		return s.streamOfConsumer(in.StreamARN, in.ConsumerARN)
	}
	if name == nil && arn == nil {
		return nil
	}
	t, err := s.core.Streams.Find(name, arn)
	if err != nil {
		return nil
	}
	return t
}

func (s *Server) streamOfConsumer(streamARN, consumerARN *string) *topic.Topic {
	arn := streamARN
	if arn == nil {
		arn = consumerARN
	}
	if arn == nil {
		return nil
	}
	name, _, _, err := s.core.Streams.ParseARN(*arn)
	if err != nil {
		return nil
	}
	t, err := s.core.Streams.Stream(name)
	if err != nil {
		return nil
	}
	return t
}
