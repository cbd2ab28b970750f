package kinesisapi

import (
	"context"

	"github.com/streamweir/streamweir/broker/stream"
	"github.com/streamweir/streamweir/broker/topic"
	"github.com/streamweir/streamweir/protocol/aws"
	"github.com/streamweir/streamweir/protocol/aws/kinesis"
)

func (s *Server) registerConsumer(_ context.Context, _ *Call, in *kinesis.RegisterStreamConsumerInput) (*kinesis.RegisterStreamConsumerOutput, error) {
	t, err := s.core.Streams.Find(nil, in.StreamARN)
	if err != nil {
		return nil, err
	}
	t, c, err := s.core.Streams.Register(t, *in.ConsumerName, in.Tags)
	if err != nil {
		return nil, err
	}
	out := s.describeRegistered(t, c)
	return &kinesis.RegisterStreamConsumerOutput{Consumer: &out}, nil
}

func (s *Server) describeRegistered(t *topic.Topic, c *topic.Consumer) kinesis.Consumer {
	return kinesis.Consumer{
		ConsumerName: new(c.Name), ConsumerARN: new(s.core.Streams.ConsumerARN(t, c)),
		ConsumerStatus: new(string(c.Status)), ConsumerCreationTimestamp: new(aws.Time(c.CreatedAt)),
	}
}

func (s *Server) deregisterConsumer(_ context.Context, _ *Call, in *kinesis.DeregisterStreamConsumerInput) error {
	t, c, err := s.core.Streams.FindConsumer(in.StreamARN, in.ConsumerName, in.ConsumerARN)
	if err != nil {
		return err
	}
	return s.core.Streams.Deregister(t, c)
}

func (s *Server) describeConsumer(_ context.Context, _ *Call, in *kinesis.DescribeStreamConsumerInput) (*kinesis.DescribeStreamConsumerOutput, error) {
	t, c, err := s.core.Streams.FindConsumer(in.StreamARN, in.ConsumerName, in.ConsumerARN)
	if err != nil {
		return nil, err
	}
	return &kinesis.DescribeStreamConsumerOutput{ConsumerDescription: &kinesis.ConsumerDescription{
		ConsumerName: new(c.Name), ConsumerARN: new(s.core.Streams.ConsumerARN(t, c)), StreamARN: new(s.core.Streams.ARN(t.Name)),
		ConsumerStatus: new(string(c.Status)), ConsumerCreationTimestamp: new(aws.Time(c.CreatedAt)),
	}}, nil
}

// mostConsumers is how many consumers ListStreamConsumers lists at most.
const mostConsumers = 100

func (s *Server) listConsumers(_ context.Context, _ *Call, in *kinesis.ListStreamConsumersInput) (*kinesis.ListStreamConsumersOutput, error) {
	t, err := s.streamOf(nil, in.StreamARN, in.StreamCreationTimestamp)
	if err != nil {
		return nil, err
	}
	after := ""
	if in.NextToken != nil {
		if in.StreamCreationTimestamp != nil {
			return nil, stream.Errorf(stream.InvalidArgument, "NextToken and StreamCreationTimestamp cannot be provided together.")
		}
		of, token, err := s.tokenStream("ListStreamConsumers", *in.NextToken)
		if err != nil {
			return nil, err
		}
		if of.ID != t.ID {
			return nil, stream.Errorf(stream.InvalidArgument, "NextToken is of another stream.")
		}
		after = token.After
	}
	out := &kinesis.ListStreamConsumersOutput{Consumers: []kinesis.Consumer{}}
	limit := atMost(in.MaxResults, mostConsumers)
	for _, c := range stream.ConsumersByName(t) {
		switch {
		case c.Name <= after:
		case len(out.Consumers) == limit:
			out.NextToken = s.newToken(nextToken{Action: "ListStreamConsumers", Topic: t.ID.String(), After: *out.Consumers[limit-1].ConsumerName})
			return out, nil
		default:
			out.Consumers = append(out.Consumers, s.describeRegistered(t, c))
		}
	}
	return out, nil
}
