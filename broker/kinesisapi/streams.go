package kinesisapi

import (
	"context"

	"github.com/streamweir/streamweir/broker/shard"
	"github.com/streamweir/streamweir/broker/stream"
	"github.com/streamweir/streamweir/broker/topic"
	"github.com/streamweir/streamweir/protocol/aws"
	"github.com/streamweir/streamweir/protocol/aws/kinesis"
)

// value is what p points to, and the zero value for nil.
func value[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}

// atMost is how many entries an answer may have: what the client wants, up to
// most, which is also the default.
func atMost(limit *int32, most int) int {
	if limit == nil {
		return most
	}
	return min(int(*limit), most)
}

func modeOf(d *kinesis.StreamModeDetails) topic.StreamMode {
	if d == nil {
		return ""
	}
	return topic.StreamMode(value(d.StreamMode))
}

func (s *Server) createStream(_ context.Context, _ *Call, in *kinesis.CreateStreamInput) error {
	return s.core.Streams.Create(stream.New{
		Name: *in.StreamName, Shards: in.ShardCount, Mode: modeOf(in.StreamModeDetails), Tags: in.Tags,
		MaxRecordBytes: value(in.MaxRecordSizeInKiB) << 10, WarmMiBps: value(in.WarmThroughputMiBps),
		Distribution: value(in.RecordDistributionStrategy),
	})
}

func (s *Server) deleteStream(_ context.Context, _ *Call, in *kinesis.DeleteStreamInput) error {
	t, err := s.core.Streams.Find(in.StreamName, in.StreamARN)
	if err != nil {
		return err
	}
	return s.core.Streams.Delete(t, value(in.EnforceConsumerDeletion))
}

// mostDescribed is how many shards DescribeStream describes at most.
const mostDescribed = 100

func (s *Server) describeStream(_ context.Context, _ *Call, in *kinesis.DescribeStreamInput) (*kinesis.DescribeStreamOutput, error) {
	t, err := s.core.Streams.Find(in.StreamName, in.StreamARN)
	if err != nil {
		return nil, err
	}
	shards, more, err := s.shardsAfter(t, in.ExclusiveStartShardId, shard.Filter{}, atMost(in.Limit, mostDescribed))
	if err != nil {
		return nil, err
	}
	return &kinesis.DescribeStreamOutput{StreamDescription: &kinesis.StreamDescription{
		StreamName: new(t.Name), StreamARN: new(s.core.Streams.ARN(t.Name)), StreamStatus: new(string(t.Stream.Status)),
		StreamModeDetails: modeDetails(t.Stream), Shards: shards, HasMoreShards: new(more),
		RetentionPeriodHours: new(stream.RetentionHours(t)), StreamCreationTimestamp: new(aws.TimeOf(t.CreatedAt)),
		EnhancedMonitoring: monitoring(t.Stream), EncryptionType: encryptionType(t.Stream), KeyId: keyID(t.Stream),
	}}, nil
}

func (s *Server) describeStreamSummary(_ context.Context, _ *Call, in *kinesis.DescribeStreamSummaryInput) (*kinesis.DescribeStreamSummaryOutput, error) {
	t, err := s.core.Streams.Find(in.StreamName, in.StreamARN)
	if err != nil {
		return nil, err
	}
	out := &kinesis.StreamDescriptionSummary{
		StreamName: new(t.Name), StreamARN: new(s.core.Streams.ARN(t.Name)), StreamStatus: new(string(t.Stream.Status)),
		StreamModeDetails: modeDetails(t.Stream), RetentionPeriodHours: new(stream.RetentionHours(t)),
		StreamCreationTimestamp: new(aws.TimeOf(t.CreatedAt)), EnhancedMonitoring: monitoring(t.Stream),
		EncryptionType: encryptionType(t.Stream), KeyId: keyID(t.Stream), OpenShardCount: new(int32(0)),
		ConsumerCount: new(int32(len(t.Stream.Consumers))), MaxRecordSizeInKiB: new(t.Stream.MaxRecordBytes >> 10),
	}
	if t.Stream.Status != topic.Creating {
		out.OpenShardCount = new(t.Stream.OpenShards())
	}
	if t.Stream.Mode == topic.OnDemand {
		out.RecordDistributionStrategy = new(stream.DistributionKey)
		if t.Stream.Distribution != "" {
			out.RecordDistributionStrategy = new(t.Stream.Distribution)
		}
		out.WarmThroughput = warmThroughput(t.Stream)
	}
	return &kinesis.DescribeStreamSummaryOutput{StreamDescriptionSummary: out}, nil
}

func modeDetails(s *topic.Stream) *kinesis.StreamModeDetails {
	return &kinesis.StreamModeDetails{StreamMode: new(string(s.Mode))}
}

func monitoring(s *topic.Stream) []kinesis.EnhancedMetrics {
	return []kinesis.EnhancedMetrics{{ShardLevelMetrics: metricsList(s.ShardMetrics)}}
}

// metricsList is an empty list where there are no metrics: clients expect one.
func metricsList(metrics []string) []string {
	if metrics == nil {
		return []string{}
	}
	return metrics
}

func encryptionType(s *topic.Stream) *string {
	if s.KeyID == "" {
		return new(kinesis.EncryptionTypeNone)
	}
	return new(kinesis.EncryptionTypeKms)
}

func keyID(s *topic.Stream) *string {
	if s.KeyID == "" {
		return nil
	}
	return new(s.KeyID)
}

func warmThroughput(s *topic.Stream) *kinesis.WarmThroughputObject {
	if s.WarmMiBps == 0 {
		return nil
	}
	return &kinesis.WarmThroughputObject{TargetMiBps: new(s.WarmMiBps), CurrentMiBps: new(s.WarmMiBps)}
}

// mostStreams is how many streams ListStreams lists at most.
const mostStreams = 100

func (s *Server) listStreams(_ context.Context, _ *Call, in *kinesis.ListStreamsInput) (*kinesis.ListStreamsOutput, error) {
	after := value(in.ExclusiveStartStreamName)
	if in.NextToken != nil {
		if in.ExclusiveStartStreamName != nil {
			return nil, stream.Errorf(stream.InvalidArgument, "NextToken and ExclusiveStartStreamName cannot be provided together.")
		}
		token, err := s.openToken("ListStreams", *in.NextToken)
		if err != nil {
			return nil, err
		}
		after = token.After
	}
	found, more := s.core.Streams.After(after, atMost(in.Limit, mostStreams))
	out := &kinesis.ListStreamsOutput{StreamNames: []string{}, StreamSummaries: []kinesis.StreamSummary{}, HasMoreStreams: new(more)}
	for _, t := range found {
		out.StreamNames = append(out.StreamNames, t.Name)
		out.StreamSummaries = append(out.StreamSummaries, kinesis.StreamSummary{
			StreamName: new(t.Name), StreamARN: new(s.core.Streams.ARN(t.Name)), StreamStatus: new(string(t.Stream.Status)),
			StreamModeDetails: modeDetails(t.Stream), StreamCreationTimestamp: new(aws.TimeOf(t.CreatedAt)),
		})
	}
	if more {
		out.NextToken = s.newToken(nextToken{Action: "ListStreams", After: found[len(found)-1].Name})
	}
	return out, nil
}
