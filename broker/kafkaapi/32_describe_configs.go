package kafkaapi

import (
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/streamweir/streamweir/broker/topic"
)

// DescribeConfigs, versions 1 to 4, of topics, of this broker by its id, and of
// the defaults of all brokers by the empty name. No names, or an empty list of
// them, asks for all configs; a name that there is not is passed over.

// maxDescribedConfigs bounds the entries of one response, each of which is some
// hundred bytes in memory, while a small request can ask for the same ones again and
// again. It is enough for all configs of 3,800 topics.
const maxDescribedConfigs = 1 << 17

func (s *Server) describeConfigs(k *call) {
	req := k.req.(*kmsg.DescribeConfigsRequest)
	resp := req.ResponseKind().(*kmsg.DescribeConfigsResponse)
	s.describeUpTo(maxDescribedConfigs, req, resp)
	k.reply(resp)
}

// describeUpTo answers for one resource after the other, until there are limit
// configs in the response.
func (s *Server) describeUpTo(limit int, req *kmsg.DescribeConfigsRequest, resp *kmsg.DescribeConfigsResponse) {
	left := limit
	for i := range req.Resources {
		want := &req.Resources[i]
		rr := kmsg.NewDescribeConfigsResponseResource()
		rr.ResourceType, rr.ResourceName = want.ResourceType, want.ResourceName
		rr.ErrorMessage = kmsg.StringPtr("") // not null, as Apache Kafka has it
		var entries []topic.Entry
		var err error = topic.Refuse(kerr.InvalidRequest, "the request asks for more than %d configs", limit)
		if left > 0 {
			entries, err = s.configsOf(want)
			left -= max(len(entries), 1)
		}
		if err != nil {
			rr.ErrorCode, rr.ErrorMessage = errorCode(err), errorMessage(err)
		}
		for j := range entries {
			rr.Configs = append(rr.Configs, describedConfig(&entries[j], req))
		}
		resp.Resources = append(resp.Resources, rr)
	}
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
