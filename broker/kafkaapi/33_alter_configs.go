package kafkaapi

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/streamweir/streamweir/broker/topic"
)

// AlterConfigs, versions 0 to 2: the configs of a resource become those of the
// request; what it does not name goes back to the default. Of topics, of this
// broker by its id, and of the defaults of all brokers by the empty name.

func (s *Server) alterConfigs(k *call) {
	req := k.req.(*kmsg.AlterConfigsRequest)
	resp := req.ResponseKind().(*kmsg.AlterConfigsResponse)
	changes := make([]alteration, len(req.Resources))
	for i, r := range req.Resources {
		changes[i] = alteration{kind: r.ResourceType, name: r.ResourceName, replace: true}
		for _, c := range r.Configs {
			changes[i].ops = append(changes[i].ops, topic.ConfigOp{Name: c.Name, Op: topic.Set, Value: c.Value})
		}
	}
	for i, err := range s.alter(k, changes, req.ValidateOnly) {
		rr := kmsg.NewAlterConfigsResponseResource()
		rr.ResourceType, rr.ResourceName = changes[i].kind, changes[i].name
		rr.ErrorCode, rr.ErrorMessage = errorCode(err), errorMessage(err)
		resp.Resources = append(resp.Resources, rr)
	}
	k.reply(resp)
}

// alteration is a change of configs, of a resource of any type.
type alteration struct {
	kind    kmsg.ConfigResourceType
	name    string
	replace bool
	ops     []topic.ConfigOp
}

// alter makes the changes that can be made and returns, for each, nil or why
// it is not made.
func (s *Server) alter(k *call, changes []alteration, validateOnly bool) []error {
	errs := make([]error, len(changes))
	var known []topic.ConfigChange
	var at []int // their places in changes
	for i, ch := range changes {
		switch ch.kind {
		case kmsg.ConfigResourceTypeTopic, kmsg.ConfigResourceTypeBroker:
			known = append(known, topic.ConfigChange{
				Resource: topic.Resource{Broker: ch.kind == kmsg.ConfigResourceTypeBroker, Name: ch.name},
				Replace:  ch.replace, Ops: ch.ops,
			})
			at = append(at, i)
		default:
			errs[i] = otherResource(ch.kind)
		}
	}
	results, failed := s.core.Topics.AlterConfigs(known, validateOnly)
	if failed != nil {
		s.logFailure(k, "configs could not be changed", failed)
	}
	for j, i := range at {
		if errs[i] = results[j]; errs[i] == nil {
			errs[i] = failed
		}
	}
	return errs
}
