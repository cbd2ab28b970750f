package kafkaapi

import "github.com/twmb/franz-go/pkg/kmsg"

// OffsetForLeaderEpoch, versions 2 to 4 (KIP-101, KIP-320). The leader epoch of
// all partitions rises at every start of the broker.

func (s *Server) offsetForLeaderEpoch(k *call) {
	req := k.req.(*kmsg.OffsetForLeaderEpochRequest)
	resp := req.ResponseKind().(*kmsg.OffsetForLeaderEpochResponse)
	for _, t := range req.Topics {
		rt := kmsg.NewOffsetForLeaderEpochResponseTopic()
		rt.Topic = t.Topic
		for _, p := range t.Partitions {
			rp := kmsg.NewOffsetForLeaderEpochResponseTopicPartition()
			rp.Partition, rp.LeaderEpoch, rp.EndOffset = p.Partition, -1, -1
			part, err := s.partitionFor(t.Topic, p.Partition)
			if err == nil {
				err = part.CheckEpoch(p.CurrentLeaderEpoch)
			}
			if rp.ErrorCode = errorCode(err); err == nil {
				rp.LeaderEpoch, rp.EndOffset = part.EndOffset(p.LeaderEpoch)
			}
			rt.Partitions = append(rt.Partitions, rp)
		}
		resp.Topics = append(resp.Topics, rt)
	}
	k.reply(resp)
}
