package group

import (
	"bytes"
	"maps"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// offsetFetch serves OffsetFetch for one group; a request without topics asks
// for all of them. requireStable waits for the commits that are under way, so
// that the answer holds every commit that was sent before (KIP-447).
func (s *shard) offsetFetch(st *step, req *kmsg.OffsetFetchRequestGroup, requireStable bool, reply func(*kmsg.OffsetFetchResponseGroup)) {
	if under := s.inflight[req.Group]; requireStable && len(under) > 0 {
		kept := cloneFetch(req)
		last := under[len(under)-1]
		last.then = append(last.then, s.fetchLater(kept, reply))
		return
	}
	resp := s.fetch(req, requireStable)
	st.reply(func() { reply(resp) })
}

func (s *shard) fetchLater(req *kmsg.OffsetFetchRequestGroup, reply func(*kmsg.OffsetFetchResponseGroup)) func(*step, *kerr.Error) {
	return func(st *step, _ *kerr.Error) {
		resp := s.fetch(req, true)
		st.reply(func() { reply(resp) })
	}
}

func cloneFetch(req *kmsg.OffsetFetchRequestGroup) *kmsg.OffsetFetchRequestGroup {
	out := &kmsg.OffsetFetchRequestGroup{Group: strings.Clone(req.Group), Topics: slices.Clone(req.Topics)}
	for i := range out.Topics {
		out.Topics[i].Topic = strings.Clone(out.Topics[i].Topic)
		out.Topics[i].Partitions = slices.Clone(out.Topics[i].Partitions)
	}
	return out
}

// fetch reads durable offsets. A partition without one has offset -1; so has
// one whose offset is of an earlier topic with the same name. Where stable offsets
// are asked for, one that an open transaction may replace is refused.
func (s *shard) fetch(req *kmsg.OffsetFetchRequestGroup, stable bool) *kmsg.OffsetFetchResponseGroup {
	resp := &kmsg.OffsetFetchResponseGroup{Group: strings.Clone(req.Group)}
	stored := s.offsets[req.Group]
	var unstable map[offsetKey][]int64
	if stable {
		unstable = s.unstable[req.Group]
	}
	if req.Topics == nil {
		resp.Topics = fetchAll(stored, unstable)
		return resp
	}
	resp.Topics = make([]kmsg.OffsetFetchResponseGroupTopic, len(req.Topics))
	for i := range req.Topics {
		t := &req.Topics[i]
		rt := &resp.Topics[i]
		rt.TopicID = t.TopicID
		rt.Partitions = make([]kmsg.OffsetFetchResponseGroupTopicPartition, len(t.Partitions))
		for j, p := range t.Partitions {
			c := stored.get(t.Topic, p)
			if c != nil && t.TopicID != [16]byte{} && c.topic.id != [16]byte{} && t.TopicID != c.topic.id {
				c = nil
			}
			if c != nil {
				rt.Topic = c.topic.name
			}
			rt.Partitions[j] = fetched(p, c, unstable[offsetKey{t.Topic, p}] != nil)
		}
		if rt.Topic == "" {
			rt.Topic = strings.Clone(t.Topic)
		}
	}
	return resp
}

func fetched(partition int32, c *committed, unstable bool) kmsg.OffsetFetchResponseGroupTopicPartition {
	if c == nil || unstable {
		p := kmsg.OffsetFetchResponseGroupTopicPartition{Partition: partition, Offset: -1, LeaderEpoch: -1, Metadata: &noMetadata}
		if unstable {
			p.ErrorCode = kerr.UnstableOffsetCommit.Code
		}
		return p
	}
	return kmsg.OffsetFetchResponseGroupTopicPartition{
		Partition: partition, Offset: c.offset, LeaderEpoch: c.leaderEpoch, Metadata: c.metadata(),
	}
}

// fetchAll lists every offset of a group. The topic ids stay zero: the front
// fills in those of the topics as they are now.
func fetchAll(stored *groupOffsets, unstable map[offsetKey][]int64) []kmsg.OffsetFetchResponseGroupTopic {
	if stored == nil {
		return nil
	}
	topics := make([]kmsg.OffsetFetchResponseGroupTopic, 0, len(stored.topics))
	for name, cs := range stored.topics {
		t := kmsg.OffsetFetchResponseGroupTopic{Topic: name, Partitions: make([]kmsg.OffsetFetchResponseGroupTopicPartition, len(cs))}
		for i := range cs {
			t.Partitions[i] = fetched(cs[i].partition, &cs[i], unstable[offsetKey{name, cs[i].partition}] != nil)
		}
		topics = append(topics, t)
	}
	slices.SortFunc(topics, func(a, b kmsg.OffsetFetchResponseGroupTopic) int { return strings.Compare(a.Topic, b.Topic) })
	return topics
}

// list serves ListGroups: the groups in one of the states and of one of the
// types, in lower case; no filter lets all pass.
func (s *shard) list(states, types []string) []kmsg.ListGroupsResponseGroup {
	if len(types) > 0 && !slices.Contains(types, classicType) {
		return nil
	}
	var out []kmsg.ListGroupsResponseGroup
	for _, id := range slices.Sorted(maps.Keys(s.groups)) {
		g := s.groups[id]
		if len(states) == 0 || slices.Contains(states, strings.ToLower(g.state.String())) {
			out = append(out, kmsg.ListGroupsResponseGroup{
				Group: id, ProtocolType: g.protocolType, GroupState: g.state.String(), GroupType: classicType,
			})
		}
	}
	return out
}

// From this version on, DescribeGroups of an unknown group is an error.
const describeGroupNotFound = 6

// describe serves DescribeGroups for one group.
func (s *shard) describe(id string, version int16) kmsg.DescribeGroupsResponseGroup {
	d := kmsg.NewDescribeGroupsResponseGroup()
	d.Group = strings.Clone(id)
	g := s.groups[id]
	if g == nil {
		d.State = Dead.String()
		if version >= describeGroupNotFound {
			message := "Group " + id + " not found."
			d.ErrorCode, d.ErrorMessage = kerr.GroupIDNotFound.Code, &message
		}
		return d
	}
	d.State, d.ProtocolType = g.state.String(), g.protocolType
	if g.state == Stable {
		d.Protocol = g.protocol
	}
	d.Members = make([]kmsg.DescribeGroupsResponseGroupMember, 0, len(g.order))
	for _, m := range g.order {
		dm := kmsg.DescribeGroupsResponseGroupMember{
			MemberID: m.id, InstanceID: m.instance, ClientID: m.clientID, ClientHost: m.clientHost,
			MemberAssignment: bytes.Clone(m.assignment),
		}
		if g.state == Stable {
			dm.ProtocolMetadata = m.metadata(g.protocol)
		}
		d.Members = append(d.Members, dm)
	}
	return d
}
