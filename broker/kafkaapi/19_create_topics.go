package kafkaapi

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/streamweir/streamweir/broker/topic"
)

// CreateTopics, versions 2 to 7. The topics that can be created are, together;
// they are durable when the response is sent, so the request's timeout never
// runs out. A name that stands in the request several times gets one answer,
// an error, as in Apache Kafka.

func (s *Server) createTopics(k *call) {
	req := k.req.(*kmsg.CreateTopicsRequest)
	resp := req.ResponseKind().(*kmsg.CreateTopicsResponse)
	topics := make([]topic.NewTopic, len(req.Topics))
	for i := range req.Topics {
		topics[i] = newTopic(&req.Topics[i])
	}
	created, errs, failed := s.core.Topics.Create(topics, req.ValidateOnly)
	if failed != nil {
		s.logFailure(k, "topics could not be created", failed)
	}
	answered := map[string]bool{}
	for i := range topics {
		name := topics[i].Name
		if answered[name] {
			continue
		}
		answered[name] = true
		if failed != nil {
			resp.Topics = append(resp.Topics, s.createdTopic(name, nil, failed))
			continue
		}
		resp.Topics = append(resp.Topics, s.createdTopic(name, created[i], errs[i]))
	}
	k.reply(resp)
}

// newTopic translates what a request asks for.
func newTopic(t *kmsg.CreateTopicsRequestTopic) topic.NewTopic {
	n := topic.NewTopic{Name: t.Topic, Partitions: t.NumPartitions, ReplicationFactor: t.ReplicationFactor}
	for _, a := range t.ReplicaAssignment {
		n.Assignments = append(n.Assignments, topic.Assignment{Partition: a.Partition, Brokers: a.Replicas})
	}
	for _, c := range t.Configs {
		n.Configs = append(n.Configs, topic.ConfigValue{Name: c.Name, Value: c.Value})
	}
	return n
}

func (s *Server) createdTopic(name string, t *topic.Topic, err error) kmsg.CreateTopicsResponseTopic {
	rt := kmsg.NewCreateTopicsResponseTopic()
	rt.Topic, rt.ErrorCode, rt.ErrorMessage = name, errorCode(err), errorMessage(err)
	rt.NumPartitions, rt.ReplicationFactor = -1, -1
	if t == nil {
		return rt
	}
	rt.TopicID, rt.NumPartitions, rt.ReplicationFactor = t.ID, t.Partitions, 1
	for _, e := range s.core.Topics.DescribeTopic(t, nil) {
		rc := kmsg.NewCreateTopicsResponseTopicConfig()
		rc.Name, rc.Value, rc.ReadOnly = e.Name, e.Value, e.ReadOnly
		rc.Source, rc.IsSensitive = int8(e.Source), e.Key.Sensitive()
		rt.Configs = append(rt.Configs, rc)
	}
	return rt
}
