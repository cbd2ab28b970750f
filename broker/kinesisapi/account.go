package kinesisapi

import (
	"context"

	"github.com/streamweir/streamweir/broker/stream"
	"github.com/streamweir/streamweir/protocol/aws"
	"github.com/streamweir/streamweir/protocol/aws/kinesis"
)

func (s *Server) describeLimits(context.Context, *Call, *kinesis.DescribeLimitsInput) (*kinesis.DescribeLimitsOutput, error) {
	l := s.core.Streams.Limits()
	return &kinesis.DescribeLimitsOutput{
		OpenShardCount: new(l.Shards), ShardLimit: new(l.ShardLimit),
		OnDemandStreamCount: new(l.OnDemandStreams), OnDemandStreamCountLimit: new(l.OnDemandStreamLimit),
		ChannelCount: new(int32(0)), ChannelCountLimit: new(int32(0)),
	}, nil
}

func (s *Server) describeAccount(context.Context, *Call, *kinesis.DescribeAccountSettingsInput) (*kinesis.DescribeAccountSettingsOutput, error) {
	out, err := s.commitment()
	return &kinesis.DescribeAccountSettingsOutput{MinimumThroughputBillingCommitment: out}, err
}

func (s *Server) updateAccount(_ context.Context, _ *Call, in *kinesis.UpdateAccountSettingsInput) (*kinesis.UpdateAccountSettingsOutput, error) {
	wanted := value(in.MinimumThroughputBillingCommitment.Status)
	if err := s.core.Streams.SetCommitment(wanted == kinesis.MinimumThroughputBillingCommitmentInputStatusEnabled); err != nil {
		return nil, err
	}
	out, err := s.commitment()
	return &kinesis.UpdateAccountSettingsOutput{MinimumThroughputBillingCommitment: out}, err
}

func (s *Server) commitment() (*kinesis.MinimumThroughputBillingCommitmentOutput, error) {
	c, now, err := s.core.Streams.Commitment()
	if err != nil {
		return nil, err
	}
	return describeCommitment(c, now), nil
}

func describeCommitment(c stream.Commitment, now int64) *kinesis.MinimumThroughputBillingCommitmentOutput {
	out := &kinesis.MinimumThroughputBillingCommitmentOutput{Status: new(kinesis.MinimumThroughputBillingCommitmentOutputStatusDisabled)}
	if c.StartedAt == 0 {
		return out
	}
	out.StartedAt = new(aws.Time(c.StartedAt))
	switch {
	case !c.On(now):
		out.EndedAt = new(aws.Time(c.EndsAt))
	case c.EndsAt > 0:
		out.Status = new(kinesis.MinimumThroughputBillingCommitmentOutputStatusEnabledUntilEarliestAllowedEnd)
		out.EarliestAllowedEndAt = new(aws.Time(c.EarliestEndAt))
	default:
		out.Status = new(kinesis.MinimumThroughputBillingCommitmentOutputStatusEnabled)
		out.EarliestAllowedEndAt = new(aws.Time(c.EarliestEndAt))
	}
	return out
}
