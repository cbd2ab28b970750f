package kafkaapi

import (
	"github.com/twmb/franz-go/pkg/kbin"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/streamweir/streamweir/broker/topic"
)

// DescribeConfigs, versions 1 to 4, of topics, of this broker by its id, and of
// the defaults of all brokers by the empty name. No names, or an empty list of
// them, asks for all configs; a name that there is not is passed over.

// maxDescribedBytes bounds one response: a small request can ask for the same configs
// again and again. It is enough for all topics that max.topics allows by default, without
// synonyms and documentation.
const maxDescribedBytes = 64 << 20

func (s *Server) describeConfigs(k *call) {
	req := k.req.(*kmsg.DescribeConfigsRequest)
	resp := req.ResponseKind().(*kmsg.DescribeConfigsResponse)
	k.reply(&describedConfigs{resp, s, req, maxDescribedBytes})
}

// describedConfigs is the response whose resources are described one by one while it is
// encoded: all at once, they would take several times its length.
type describedConfigs struct {
	*kmsg.DescribeConfigsResponse
	s    *Server
	req  *kmsg.DescribeConfigsRequest
	most int
}

// AppendTo implements kmsg.Response: the encoding of kmsg, of which each resource is cut
// out of a response of its own.
func (d *describedConfigs) AppendTo(dst []byte) []byte {
	empty := d.DescribeConfigsResponse.AppendTo(nil)
	const before = 4 // throttle_time_ms
	count, after := 4, 0
	if d.IsFlexible() {
		count, after = 1, 1 // no resources, no tagged fields
	}
	began := len(dst)
	dst = append(dst, empty[:before]...)
	if d.IsFlexible() {
		dst = kbin.AppendCompactArrayLen(dst, len(d.req.Resources))
	} else {
		dst = kbin.AppendArrayLen(dst, len(d.req.Resources))
	}
	one := *d.DescribeConfigsResponse
	var encoded []byte
	for i := range d.req.Resources {
		one.Resources = append(one.Resources[:0], d.resource(&d.req.Resources[i], len(dst)-began < d.most))
		encoded = one.AppendTo(encoded[:0])
		dst = append(dst, encoded[before+count:len(encoded)-after]...)
	}
	return append(dst, empty[before+count:]...)
}

// resource describes one resource, or says that there is no room for it.
func (d *describedConfigs) resource(want *kmsg.DescribeConfigsRequestResource, room bool) kmsg.DescribeConfigsResponseResource {
	rr := kmsg.NewDescribeConfigsResponseResource()
	rr.ResourceType, rr.ResourceName = want.ResourceType, want.ResourceName
	rr.ErrorMessage = kmsg.StringPtr("") // not null, as Apache Kafka has it
	var entries []topic.Entry
	var err error = topic.Refuse(kerr.InvalidRequest, "the request asks for configs of more than %d bytes", d.most)
	if room {
		entries, err = d.s.configsOf(want)
	}
	if err != nil {
		rr.ErrorCode, rr.ErrorMessage = errorCode(err), errorMessage(err)
	}
	for j := range entries {
		rr.Configs = append(rr.Configs, describedConfig(&entries[j], d.req))
	}
	return rr
}

func (s *Server) configsOf(want *kmsg.DescribeConfigsRequestResource) ([]topic.Entry, error) {
	switch want.ResourceType {
	case kmsg.ConfigResourceTypeTopic:
		t, err := s.core.Topics.Describable(want.ResourceName)
		if err != nil {
			return nil, err
		}
		return s.core.Topics.DescribeTopic(t, want.ConfigNames), nil
	case kmsg.ConfigResourceTypeBroker:
		return s.core.Topics.DescribeBroker(want.ResourceName, want.ConfigNames)
	}
	return nil, otherResource(want.ResourceType)
}

// otherResource is the error for what has no configs here.
func otherResource(t kmsg.ConfigResourceType) error {
	return topic.Refuse(kerr.InvalidRequest, "resources of type %d have no configs on this server", t)
}

func describedConfig(e *topic.Entry, req *kmsg.DescribeConfigsRequest) kmsg.DescribeConfigsResponseResourceConfig {
	rc := kmsg.NewDescribeConfigsResponseResourceConfig()
	rc.Name, rc.Value, rc.ReadOnly, rc.IsSensitive = e.Name, e.Value, e.ReadOnly, e.Key.Sensitive()
	rc.Source = kmsg.ConfigSource(e.Source)
	rc.ConfigType = kmsg.ConfigType(e.Key.Type)
	if req.IncludeDocumentation {
		rc.Documentation = kmsg.StringPtr(e.Key.Documentation())
	}
	if req.IncludeSynonyms {
		for _, s := range e.Synonyms {
			rs := kmsg.NewDescribeConfigsResponseResourceConfigConfigSynonym()
			rs.Name, rs.Value, rs.Source = s.Name, s.Value, kmsg.ConfigSource(s.Source)
			rc.ConfigSynonyms = append(rc.ConfigSynonyms, rs)
		}
	}
	return rc
}
