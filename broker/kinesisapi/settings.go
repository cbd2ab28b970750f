package kinesisapi

import (
	"context"

	"github.com/streamweir/streamweir/broker/stream"
	"github.com/streamweir/streamweir/protocol/aws/kinesis"
)

func (s *Server) increaseRetention(_ context.Context, _ *Call, in *kinesis.IncreaseStreamRetentionPeriodInput) error {
	return s.setRetention(in.StreamName, in.StreamARN, *in.RetentionPeriodHours, false)
}

func (s *Server) decreaseRetention(_ context.Context, _ *Call, in *kinesis.DecreaseStreamRetentionPeriodInput) error {
	return s.setRetention(in.StreamName, in.StreamARN, *in.RetentionPeriodHours, true)
}

func (s *Server) setRetention(name, arn *string, hours int32, decrease bool) error {
	t, err := s.core.Streams.Find(name, arn)
	if err != nil {
		return err
	}
	return s.core.Streams.SetRetention(t, hours, decrease)
}

func (s *Server) enableMonitoring(_ context.Context, _ *Call, in *kinesis.EnableEnhancedMonitoringInput) (*kinesis.EnhancedMonitoringOutput, error) {
	return s.setMonitoring(in.StreamName, in.StreamARN, in.ShardLevelMetrics, true)
}

func (s *Server) disableMonitoring(_ context.Context, _ *Call, in *kinesis.DisableEnhancedMonitoringInput) (*kinesis.EnhancedMonitoringOutput, error) {
	return s.setMonitoring(in.StreamName, in.StreamARN, in.ShardLevelMetrics, false)
}

func (s *Server) setMonitoring(name, arn *string, metrics []string, on bool) (*kinesis.EnhancedMonitoringOutput, error) {
	t, err := s.core.Streams.Find(name, arn)
	if err != nil {
		return nil, err
	}
	before, after, err := s.core.Streams.SetMonitoring(t, metrics, on)
	if err != nil {
		return nil, err
	}
	return &kinesis.EnhancedMonitoringOutput{
		StreamName: new(t.Name), StreamARN: new(s.core.Streams.ARN(t.Name)),
		CurrentShardLevelMetrics: metricsList(before), DesiredShardLevelMetrics: metricsList(after),
	}, nil
}

func (s *Server) startEncryption(_ context.Context, _ *Call, in *kinesis.StartStreamEncryptionInput) error {
	t, err := s.core.Streams.Find(in.StreamName, in.StreamARN)
	if err != nil {
		return err
	}
	if err := checkEncryptionType(in.EncryptionType); err != nil {
		return err
	}
	return s.core.Streams.StartEncryption(t, *in.KeyId)
}

func (s *Server) stopEncryption(_ context.Context, _ *Call, in *kinesis.StopStreamEncryptionInput) error {
	t, err := s.core.Streams.Find(in.StreamName, in.StreamARN)
	if err != nil {
		return err
	}
	if err := checkEncryptionType(in.EncryptionType); err != nil {
		return err
	}
	return s.core.Streams.StopEncryption(t, *in.KeyId)
}

func checkEncryptionType(t *string) error {
	if value(t) != kinesis.EncryptionTypeKms {
		return stream.Errorf(stream.InvalidArgument, "EncryptionType %s is not supported: the only valid value is KMS.", value(t))
	}
	return nil
}

func (s *Server) updateStreamMode(_ context.Context, _ *Call, in *kinesis.UpdateStreamModeInput) error {
	t, err := s.core.Streams.Find(nil, in.StreamARN)
	if err != nil {
		return err
	}
	return s.core.Streams.SetMode(t, modeOf(in.StreamModeDetails), value(in.WarmThroughputMiBps))
}

func (s *Server) updateMaxRecordSize(_ context.Context, _ *Call, in *kinesis.UpdateMaxRecordSizeInput) error {
	t, err := s.core.Streams.Find(nil, in.StreamARN)
	if err != nil {
		return err
	}
	return s.core.Streams.SetMaxRecordSize(t, *in.MaxRecordSizeInKiB<<10)
}

func (s *Server) updateWarmThroughput(_ context.Context, _ *Call, in *kinesis.UpdateStreamWarmThroughputInput) (*kinesis.UpdateStreamWarmThroughputOutput, error) {
	t, err := s.core.Streams.Find(in.StreamName, in.StreamARN)
	if err != nil {
		return nil, err
	}
	before := value(warmThroughput(t.Stream)).CurrentMiBps
	if err := s.core.Streams.SetWarmThroughput(t, *in.WarmThroughputMiBps); err != nil {
		return nil, err
	}
	return &kinesis.UpdateStreamWarmThroughputOutput{
		StreamName: new(t.Name), StreamARN: new(s.core.Streams.ARN(t.Name)),
		WarmThroughput: &kinesis.WarmThroughputObject{TargetMiBps: in.WarmThroughputMiBps, CurrentMiBps: before},
	}, nil
}

func (s *Server) updateDistribution(_ context.Context, _ *Call, in *kinesis.UpdateStreamRecordDistributionStrategyInput) error {
	t, err := s.core.Streams.Find(nil, in.StreamARN)
	if err != nil {
		return err
	}
	return s.core.Streams.SetDistribution(t, *in.RecordDistributionStrategy)
}
