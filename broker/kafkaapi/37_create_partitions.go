package kafkaapi

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/streamweir/streamweir/broker/topic"
)

// CreatePartitions, versions 0 to 3. The partitions are there, durably, when
// the response is sent. A name that stands in the request several times gets
// one answer, an error.

func (s *Server) createPartitions(k *call) {
	req := k.req.(*kmsg.CreatePartitionsRequest)
	resp := req.ResponseKind().(*kmsg.CreatePartitionsResponse)
	topics := make([]topic.MorePartitions, len(req.Topics))
	for i, t := range req.Topics {
		topics[i] = topic.MorePartitions{Name: t.Topic, Count: t.Count}
		if t.Assignment != nil {
			topics[i].Assignments = make([][]int32, len(t.Assignment))
		}
		for j, a := range t.Assignment {
			topics[i].Assignments[j] = a.Replicas
		}
	}
	errs, failed := s.core.Topics.CreatePartitions(topics, req.ValidateOnly)
	if failed != nil {
		s.logFailure(k, "partitions could not be created", failed)
	}
	answered := map[string]bool{}
	for i := range topics {
		if answered[topics[i].Name] {
			continue
		}
		answered[topics[i].Name] = true
		err := errs[i]
		if err == nil {
			err = failed
		}
		rt := kmsg.NewCreatePartitionsResponseTopic()
		rt.Topic, rt.ErrorCode, rt.ErrorMessage = topics[i].Name, errorCode(err), errorMessage(err)
		resp.Topics = append(resp.Topics, rt)
	}
	k.reply(resp)
}
