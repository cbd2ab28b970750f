package kafkaapi

import (
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// OffsetCommit, versions 2 to 10; from version 10 on topics are named by id.
// The answer comes when the offsets are durable. Offsets of topics and
// partitions that do not exist are refused, as in Apache Kafka 4.

// commitsByID is the first version with topic ids.
const commitsByID = 10

func (s *Server) offsetCommit(k *call) {
	req := k.req.(*kmsg.OffsetCommitRequest)
	refused := s.splitCommit(req)
	if len(req.Topics) == 0 {
		resp := req.ResponseKind().(*kmsg.OffsetCommitResponse)
		resp.Topics = refused
		k.reply(resp)
		return
	}
	s.core.Groups.OffsetCommit(req, func(resp *kmsg.OffsetCommitResponse) {
		resp.Topics = mergeCommit(resp.Topics, refused)
		k.reply(resp)
	})
}

// splitCommit gives each topic of the request its name and id, takes out what
// does not exist, and returns the answers for that.
func (s *Server) splitCommit(req *kmsg.OffsetCommitRequest) (refused []kmsg.OffsetCommitResponseTopic) {
	known := req.Topics[:0]
	for _, t := range req.Topics {
		out := kmsg.NewOffsetCommitResponseTopic()
		out.Topic, out.TopicID = t.Topic, t.TopicID
		partitions := t.Partitions
		found, err := s.topicFor(req.Version >= commitsByID, t.Topic, t.TopicID)
		exists := int32(0)
		if err == nil {
			t.Topic, t.TopicID, exists = found.Name, found.ID, found.Partitions
			err = kerr.UnknownTopicOrPartition
		}
		t.Partitions = partitions[:0]
		for _, p := range partitions {
			if p.Partition >= 0 && p.Partition < exists {
				t.Partitions = append(t.Partitions, p)
				continue
			}
			out.Partitions = append(out.Partitions, kmsg.OffsetCommitResponseTopicPartition{Partition: p.Partition, ErrorCode: errorCode(err)})
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

// mergeCommit puts answers for the same topic together: clients read them into
// a map by topic.
func mergeCommit(topics, more []kmsg.OffsetCommitResponseTopic) []kmsg.OffsetCommitResponseTopic {
next:
	for _, m := range more {
		for i := range topics {
			// One of both, name or id, is what the client gave.
			if t := &topics[i]; t.Topic == m.Topic || m.Topic == "" && t.TopicID == m.TopicID {
				t.Partitions = append(t.Partitions, m.Partitions...)
				continue next
			}
		}
		topics = append(topics, m)
	}
	return topics
}
