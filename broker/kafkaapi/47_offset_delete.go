package kafkaapi

import (
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// OffsetDelete, version 0. Offsets of topics that the group is subscribed to
// stay.

func (s *Server) offsetDelete(k *call) {
	req := k.req.(*kmsg.OffsetDeleteRequest)
	refused := s.splitOffsetDelete(req)
	s.core.Groups.OffsetDelete(req, func(resp *kmsg.OffsetDeleteResponse) {
		if resp.ErrorCode == 0 {
			resp.Topics = mergeOffsetDelete(resp.Topics, refused)
		}
		k.reply(resp)
	})
}

// splitOffsetDelete takes what does not exist out of the request, and returns
// the answers for that.
func (s *Server) splitOffsetDelete(req *kmsg.OffsetDeleteRequest) (refused []kmsg.OffsetDeleteResponseTopic) {
	known := req.Topics[:0]
	for _, t := range req.Topics {
		out := kmsg.NewOffsetDeleteResponseTopic()
		out.Topic = t.Topic
		exists := int32(0)
		if found := s.core.Topics.Topic(t.Topic); found != nil {
			exists = found.Partitions
		}
		partitions := t.Partitions
		t.Partitions = partitions[:0]
		for _, p := range partitions {
			if p.Partition >= 0 && p.Partition < exists {
				t.Partitions = append(t.Partitions, p)
				continue
			}
			rp := kmsg.NewOffsetDeleteResponseTopicPartition()
			rp.Partition, rp.ErrorCode = p.Partition, kerr.UnknownTopicOrPartition.Code
			out.Partitions = append(out.Partitions, rp)
		}
		if len(t.Partitions) > 0 {
			known = append(known, t)
		}
		if len(out.Partitions) > 0 {
			refused = append(refused, out)
		}
	}
	req.Topics = known
	return refused
}

func mergeOffsetDelete(topics, more []kmsg.OffsetDeleteResponseTopic) []kmsg.OffsetDeleteResponseTopic {
next:
	for _, m := range more {
		for i := range topics {
			if t := &topics[i]; t.Topic == m.Topic {
				t.Partitions = append(t.Partitions, m.Partitions...)
				continue next
			}
		}
		topics = append(topics, m)
	}
	return topics
}
