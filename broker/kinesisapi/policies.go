package kinesisapi

import (
	"context"

	"github.com/streamweir/streamweir/protocol/aws/kinesis"
)

func (s *Server) putPolicy(_ context.Context, _ *Call, in *kinesis.PutResourcePolicyInput) error {
	return s.core.Streams.PutPolicy(*in.ResourceARN, *in.Policy)
}

func (s *Server) getPolicy(_ context.Context, _ *Call, in *kinesis.GetResourcePolicyInput) (*kinesis.GetResourcePolicyOutput, error) {
	policy, err := s.core.Streams.Policy(*in.ResourceARN)
	if err != nil {
		return nil, err
	}
	return &kinesis.GetResourcePolicyOutput{Policy: new(policy)}, nil
}

func (s *Server) deletePolicy(_ context.Context, _ *Call, in *kinesis.DeleteResourcePolicyInput) error {
	return s.core.Streams.DeletePolicy(*in.ResourceARN)
}
