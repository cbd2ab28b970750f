package kinesisapi

import (
	"context"

	"github.com/streamweir/streamweir/protocol/aws"
	"github.com/streamweir/streamweir/protocol/aws/kinesis"
)

// Channels deliver a stream to S3 or to tables. There are none until this server
// has delivery streams, so whoever asks for one by its ARN learns that it does not
// exist, and none is made.

func channels() table {
	return table{
		"CreateChannel":   answers((*Server).createChannel),
		"DeleteChannel":   acknowledges((*Server).deleteChannel),
		"DescribeChannel": answers((*Server).describeChannel),
		"ListChannels":    answers((*Server).listChannels),
		"UpdateChannel":   answers((*Server).updateChannel),
	}
}

var errNoChannels = &aws.Error{Type: "InvalidArgumentException", Message: "Channels are not available: this server has no delivery streams."}

func (s *Server) noChannel(arn *string) error {
	return &aws.Error{Type: "ResourceNotFoundException", Message: "Channel " + aws.Text(arn) + " under account " + s.cfg.AWSAccountID + " not found."}
}

func (s *Server) createChannel(context.Context, *Call, *kinesis.CreateChannelInput) (*kinesis.CreateChannelOutput, error) {
	return nil, errNoChannels
}

func (s *Server) listChannels(context.Context, *Call, *kinesis.ListChannelsInput) (*kinesis.ListChannelsOutput, error) {
	return nil, errNoChannels
}

func (s *Server) describeChannel(_ context.Context, _ *Call, in *kinesis.DescribeChannelInput) (*kinesis.DescribeChannelOutput, error) {
	return nil, s.noChannel(in.ChannelARN)
}

func (s *Server) updateChannel(_ context.Context, _ *Call, in *kinesis.UpdateChannelInput) (*kinesis.UpdateChannelOutput, error) {
	return nil, s.noChannel(in.ChannelARN)
}

func (s *Server) deleteChannel(_ context.Context, _ *Call, in *kinesis.DeleteChannelInput) error {
	return s.noChannel(in.ChannelARN)
}
