package kafkaapi

import (
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/streamweir/streamweir/broker/topic"
)

// DeleteRecords, versions 0 to 2. What is deleted is gone for readers when the
// response is sent; the space on disk follows. Only topics whose cleanup.policy
// holds delete allow it, and streams of Kinesis only with kinesis.data.deletion.enable.

func (s *Server) deleteRecords(k *call) {
	req := k.req.(*kmsg.DeleteRecordsRequest)
	resp := req.ResponseKind().(*kmsg.DeleteRecordsResponse)
	for _, t := range req.Topics {
		rt := kmsg.NewDeleteRecordsResponseTopic()
		rt.Topic = t.Topic
		for _, p := range t.Partitions {
			rp := kmsg.NewDeleteRecordsResponseTopicPartition()
			rp.Partition = p.Partition
			low, err := s.deleteBefore(t.Topic, p.Partition, p.Offset)
			rp.LowWatermark, rp.ErrorCode = low, errorCode(err)
			rt.Partitions = append(rt.Partitions, rp)
		}
		resp.Topics = append(resp.Topics, rt)
	}
	k.reply(resp)
}

func (s *Server) deleteBefore(name string, index int32, offset int64) (int64, error) {
	p, err := s.partitionFor(name, index)
	if err != nil {
		return -1, err
	}
	switch t := p.Topic(); {
	case t.Internal:
		return -1, fmt.Errorf("%w: %s belongs to the broker", kerr.InvalidTopicException, name)
	case !t.Settings.CleanupDelete:
		return -1, fmt.Errorf("%w: the cleanup.policy of %s does not hold delete", kerr.PolicyViolation, name)
	case t.KeepsData():
		return -1, topic.RefuseDeletion(t)
	}
	return p.DeleteBefore(offset)
}
