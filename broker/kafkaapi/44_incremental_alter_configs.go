package kafkaapi

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/streamweir/streamweir/broker/topic"
)

// IncrementalAlterConfigs, versions 0 to 1: configs are set, deleted, or, where
// they are lists, added to and taken from; others stay. Of topics, of this
// broker by its id, and of the defaults of all brokers by the empty name.

func (s *Server) incrementalAlterConfigs(k *call) {
	req := k.req.(*kmsg.IncrementalAlterConfigsRequest)
	resp := req.ResponseKind().(*kmsg.IncrementalAlterConfigsResponse)
	changes := make([]alteration, len(req.Resources))
	for i, r := range req.Resources {
		changes[i] = alteration{kind: r.ResourceType, name: r.ResourceName}
		for _, c := range r.Configs {
			changes[i].ops = append(changes[i].ops, topic.ConfigOp{Name: c.Name, Op: topic.Op(c.Op), Value: c.Value})
		}
	}
	for i, err := range s.alter(k, changes, req.ValidateOnly) {
		rr := kmsg.NewIncrementalAlterConfigsResponseResource()
		rr.ResourceType, rr.ResourceName = changes[i].kind, changes[i].name
		rr.ErrorCode, rr.ErrorMessage = errorCode(err), errorMessage(err)
		resp.Resources = append(resp.Resources, rr)
	}
	k.reply(resp)
}
