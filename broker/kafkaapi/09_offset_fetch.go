package kafkaapi

import (
	"slices"
	"sync/atomic"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/streamweir/streamweir/storage"
)

// OffsetFetch, versions 1 to 10: one group up to version 7, many from 8 on,
// topics by id from 10 on. No topics at all (null) asks for all of them.
// Version 1 has errors at the partitions only.

const (
	fetchesMany    = 8
	fetchesByID    = 10
	fetchTopErrors = 2 // first version with an error for the whole answer
)

// offsetFetch is an OffsetFetch request whose groups are being asked.
type offsetFetch struct {
	k      *call
	groups []kmsg.OffsetFetchResponseGroup
	left   atomic.Int32
	answer func([]kmsg.OffsetFetchResponseGroup)
}

func (s *Server) offsetFetch(k *call) {
	req := k.req.(*kmsg.OffsetFetchRequest)
	groups := unique(req.Groups, func(g kmsg.OffsetFetchRequestGroup) string { return g.Group })
	answer := func(out []kmsg.OffsetFetchResponseGroup) {
		resp := req.ResponseKind().(*kmsg.OffsetFetchResponse)
		resp.Groups = out
		k.reply(resp)
	}
	if req.Version < fetchesMany {
		g := oneGroup(req)
		groups = []kmsg.OffsetFetchRequestGroup{g}
		answer = func(out []kmsg.OffsetFetchResponseGroup) { k.reply(oneAnswer(req, &g, &out[0])) }
	}
	op := &offsetFetch{k: k, groups: make([]kmsg.OffsetFetchResponseGroup, len(groups)), answer: answer}
	op.left.Store(int32(len(groups)) + 1)
	for i := range groups {
		s.fetchGroup(op, &groups[i], req.RequireStable, &op.groups[i])
	}
	op.one()
}

// one counts a group as done; the last one answers.
func (op *offsetFetch) one() {
	if op.left.Add(-1) == 0 {
		op.answer(op.groups)
	}
}

func (s *Server) fetchGroup(op *offsetFetch, g *kmsg.OffsetFetchRequestGroup, requireStable bool, out *kmsg.OffsetFetchResponseGroup) {
	byID := op.k.version >= fetchesByID
	onePerPartition(g)
	var unknown []kmsg.OffsetFetchResponseGroupTopic
	if byID && g.Topics != nil {
		unknown = s.nameTopics(g)
	}
	all := g.Topics == nil
	s.core.Groups.OffsetFetch(g, requireStable, func(resp *kmsg.OffsetFetchResponseGroup) {
		*out = *resp
		if byID && all {
			out.Topics = s.identifyTopics(out.Topics)
		}
		if out.ErrorCode == 0 {
			out.Topics = append(out.Topics, unknown...)
		}
		op.one()
	})
}

// onePerPartition takes out partitions that are asked for again: each has up to 4 KB
// of metadata in the answer.
func onePerPartition(g *kmsg.OffsetFetchRequestGroup) {
	type place struct {
		topic string
		id    [16]byte
		index int32
	}
	seen := map[place]bool{}
	for i := range g.Topics {
		t := &g.Topics[i]
		t.Partitions = slices.DeleteFunc(t.Partitions, func(index int32) bool {
			at := place{t.Topic, t.TopicID, index}
			again := seen[at]
			seen[at] = true
			return again
		})
	}
}

// nameTopics gives each topic of the request its name, takes out those that do
// not exist, and returns the answers for them.
func (s *Server) nameTopics(g *kmsg.OffsetFetchRequestGroup) (unknown []kmsg.OffsetFetchResponseGroupTopic) {
	known := g.Topics[:0]
	for _, t := range g.Topics {
		if found := s.core.Topics.TopicByID(storage.TopicID(t.TopicID)); found != nil {
			t.Topic = found.Name
			known = append(known, t)
			continue
		}
		out := kmsg.NewOffsetFetchResponseGroupTopic()
		out.TopicID = t.TopicID
		for _, p := range t.Partitions {
			rp := kmsg.NewOffsetFetchResponseGroupTopicPartition()
			rp.Partition, rp.Offset, rp.LeaderEpoch, rp.Metadata = p, -1, -1, kmsg.StringPtr("")
			rp.ErrorCode = kerr.UnknownTopicID.Code
			out.Partitions = append(out.Partitions, rp)
		}
		unknown = append(unknown, out)
	}
	g.Topics = known
	return unknown
}

// identifyTopics gives each topic of an answer the id that it has now. A topic
// without one cannot be told of in an answer by id.
func (s *Server) identifyTopics(topics []kmsg.OffsetFetchResponseGroupTopic) []kmsg.OffsetFetchResponseGroupTopic {
	known := topics[:0]
	for _, t := range topics {
		if found := s.core.Topics.Topic(t.Topic); found != nil {
			t.TopicID = found.ID
			known = append(known, t)
		}
	}
	return known
}

// oneGroup is a request below version 8 in the later form.
func oneGroup(req *kmsg.OffsetFetchRequest) kmsg.OffsetFetchRequestGroup {
	g := kmsg.NewOffsetFetchRequestGroup()
	g.Group = req.Group
	if req.Topics == nil && req.Version >= fetchTopErrors {
		return g // all topics
	}
	g.Topics = make([]kmsg.OffsetFetchRequestGroupTopic, len(req.Topics))
	for i, t := range req.Topics {
		g.Topics[i].Topic, g.Topics[i].Partitions = t.Topic, t.Partitions
	}
	return g
}

// oneAnswer is an answer in the form below version 8.
func oneAnswer(req *kmsg.OffsetFetchRequest, g *kmsg.OffsetFetchRequestGroup, out *kmsg.OffsetFetchResponseGroup) *kmsg.OffsetFetchResponse {
	resp := req.ResponseKind().(*kmsg.OffsetFetchResponse)
	resp.ErrorCode = out.ErrorCode
	if out.ErrorCode != 0 && req.Version < fetchTopErrors {
		for _, t := range g.Topics {
			rt := kmsg.NewOffsetFetchResponseTopic()
			rt.Topic = t.Topic
			for _, p := range t.Partitions {
				rp := kmsg.NewOffsetFetchResponseTopicPartition()
				rp.Partition, rp.Offset, rp.Metadata, rp.ErrorCode = p, -1, kmsg.StringPtr(""), out.ErrorCode
				rt.Partitions = append(rt.Partitions, rp)
			}
			resp.Topics = append(resp.Topics, rt)
		}
		return resp
	}
	for _, t := range out.Topics {
		rt := kmsg.NewOffsetFetchResponseTopic()
		rt.Topic = t.Topic
		for _, p := range t.Partitions {
			rp := kmsg.NewOffsetFetchResponseTopicPartition()
			rp.Partition, rp.Offset, rp.LeaderEpoch, rp.Metadata, rp.ErrorCode = p.Partition, p.Offset, p.LeaderEpoch, p.Metadata, p.ErrorCode
			rt.Partitions = append(rt.Partitions, rp)
		}
		resp.Topics = append(resp.Topics, rt)
	}
	return resp
}
