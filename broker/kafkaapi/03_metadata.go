package kafkaapi

import (
	"fmt"
	"math"
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/streamweir/streamweir/broker/topic"
	"github.com/streamweir/streamweir/storage"
)

// Metadata, versions 0 to 13, by name and (12+) by topic id. A topic that is
// not there is created at once, where both the request and
// auto.create.topics.enable allow it.

// What a client may do is not restricted yet: these are all operations that
// there are on a resource, as bits (KIP-430).
const (
	topicOperations   = 1<<3 | 1<<4 | 1<<5 | 1<<6 | 1<<7 | 1<<8 | 1<<10 | 1<<11
	clusterOperations = 1<<5 | 1<<7 | 1<<8 | 1<<9 | 1<<10 | 1<<11 | 1<<12
	unknownOperations = math.MinInt32
)

func (s *Server) metadata(k *call) {
	req := k.req.(*kmsg.MetadataRequest)
	resp := req.ResponseKind().(*kmsg.MetadataResponse)
	b := kmsg.NewMetadataResponseBroker()
	b.NodeID, b.Host, b.Port = s.core.NodeID(), k.c.listener.host, k.c.listener.port
	resp.Brokers = append(resp.Brokers, b)
	resp.ClusterID = kmsg.StringPtr(s.core.Topics.ClusterID())
	resp.ControllerID = s.core.NodeID()
	resp.AuthorizedOperations = unknownOperations
	if req.IncludeClusterAuthorizedOperations {
		resp.AuthorizedOperations = clusterOperations
	}
	if req.Topics == nil || k.version == 0 && len(req.Topics) == 0 {
		for _, t := range s.core.Topics.Topics() {
			resp.Topics = append(resp.Topics, s.describe(t, req))
		}
		k.reply(resp)
		return
	}
	if namesIDsTooEarly(req) {
		for i := range req.Topics {
			resp.Topics = append(resp.Topics, unknownTopic(&req.Topics[i], req, kerr.InvalidRequest))
		}
		k.reply(resp)
		return
	}
	seen := map[string]bool{}
	for i := range req.Topics {
		want := &req.Topics[i]
		asked := string(want.TopicID[:])
		if want.Topic != nil {
			asked = *want.Topic
		}
		if seen[asked] {
			continue
		}
		seen[asked] = true
		rt := s.lookUp(want, req)
		id := string(rt.TopicID[:])
		if rt.Topic != nil {
			id = *rt.Topic
		}
		if id == asked || !seen[id] {
			seen[id] = true
			resp.Topics = append(resp.Topics, rt)
		}
	}
	k.reply(resp)
}

// metadataByID is the first version in which topics may be named by id; 10 and 11
// have the field, and refuse a request with an id in it.
const metadataByID = 12

func namesIDsTooEarly(req *kmsg.MetadataRequest) bool {
	return req.Version < metadataByID && slices.ContainsFunc(req.Topics, func(t kmsg.MetadataRequestTopic) bool {
		return t.Topic == nil || t.TopicID != [16]byte{}
	})
}

// lookUp finds or creates one topic that is asked for.
func (s *Server) lookUp(want *kmsg.MetadataRequestTopic, req *kmsg.MetadataRequest) kmsg.MetadataResponseTopic {
	var t *topic.Topic
	var err error
	switch {
	case want.TopicID != [16]byte{} && req.Version >= metadataByID:
		if t = s.core.Topics.TopicByID(storage.TopicID(want.TopicID)); t == nil {
			err = kerr.UnknownTopicID
		}
	case want.Topic == nil:
		err = fmt.Errorf("%w: a topic has neither name nor id", kerr.InvalidRequest)
	default:
		t, err = s.findOrCreate(*want.Topic, req.AllowAutoTopicCreation || req.Version < 4)
	}
	if err == nil {
		return s.describe(t, req)
	}
	return unknownTopic(want, req, err)
}

func unknownTopic(want *kmsg.MetadataRequestTopic, req *kmsg.MetadataRequest, err error) kmsg.MetadataResponseTopic {
	rt := kmsg.NewMetadataResponseTopic()
	rt.Topic, rt.TopicID, rt.ErrorCode = want.Topic, want.TopicID, errorCode(err)
	rt.AuthorizedOperations = unknownOperations
	if rt.Topic == nil && req.Version < metadataByID {
		rt.Topic = kmsg.StringPtr("")
	}
	return rt
}

func (s *Server) findOrCreate(name string, create bool) (*topic.Topic, error) {
	if t := s.core.Topics.Topic(name); t != nil {
		return t, nil
	}
	if err := topic.CheckName(name); err != nil {
		return nil, err
	}
	if !create || !s.core.Config().AutoCreateTopicsEnable {
		return nil, kerr.UnknownTopicOrPartition
	}
	return s.core.Topics.Ensure(name)
}

func (s *Server) describe(t *topic.Topic, req *kmsg.MetadataRequest) kmsg.MetadataResponseTopic {
	rt := kmsg.NewMetadataResponseTopic()
	rt.Topic, rt.TopicID, rt.IsInternal = &t.Name, t.ID, t.Internal
	rt.AuthorizedOperations = unknownOperations
	if req.IncludeTopicAuthorizedOperations {
		rt.AuthorizedOperations = topicOperations
	}
	replicas := []int32{s.core.NodeID()}
	rt.Partitions = make([]kmsg.MetadataResponseTopicPartition, t.Partitions)
	for i := range rt.Partitions {
		p := kmsg.NewMetadataResponseTopicPartition()
		p.Partition, p.Leader, p.LeaderEpoch = int32(i), s.core.NodeID(), s.core.Partitions.Epoch()
		p.Replicas, p.ISR = replicas, replicas
		rt.Partitions[i] = p
	}
	return rt
}
