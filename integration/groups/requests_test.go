package groups

import (
	"fmt"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/streamweir/streamweir/integration/harness"
)

// request makes the request that a line asks for.
func (k *talk) request(a args) kmsg.Request {
	v := int16(a.num("v", -1))
	at := func(newest int16) int16 {
		if v < 0 {
			return newest
		}
		return v
	}
	switch a.verb {
	case "join":
		return k.join(a, at(9))
	case "sync":
		req := harness.At(kmsg.NewPtrSyncGroupRequest(), at(5))
		req.Group, req.MemberID, req.InstanceID = a.group, k.member(a.kv["member"]), a.optional("instance")
		req.Generation, req.ProtocolType, req.Protocol = int32(a.num("gen", 1)), a.optional("type"), a.optional("protocol")
		if _, ok := a.kv["type"]; !ok && a.kv["protocol"] != "none" {
			req.ProtocolType, req.Protocol = str("consumer"), str("range")
		}
		for part := range strings.SplitSeq(a.kv["assign"], ",") {
			if id, what, ok := strings.Cut(part, ":"); ok {
				req.GroupAssignment = append(req.GroupAssignment, kmsg.SyncGroupRequestGroupAssignment{MemberID: k.member(id), MemberAssignment: []byte(what)})
			}
		}
		return req
	case "heartbeat":
		req := harness.At(kmsg.NewPtrHeartbeatRequest(), at(4))
		req.Group, req.MemberID, req.InstanceID, req.Generation = a.group, k.member(a.kv["member"]), a.optional("instance"), int32(a.num("gen", 1))
		return req
	case "leave":
		return k.leave(a, at(5))
	case "commit":
		return k.commit(a, at(9))
	case "fetch":
		return k.fetch(a, at(9))
	case "describe":
		req := harness.At(kmsg.NewPtrDescribeGroupsRequest(), at(6))
		req.Groups = []string{a.group}
		return req
	case "delete":
		req := harness.At(kmsg.NewPtrDeleteGroupsRequest(), at(2))
		req.Groups = []string{a.group}
		return req
	case "delete-offsets":
		req := harness.At(kmsg.NewPtrOffsetDeleteRequest(), 0)
		req.Group = a.group
		for _, w := range a.rest {
			topic, partition := k.place(w)
			req.Topics = append(req.Topics, kmsg.OffsetDeleteRequestTopic{Topic: topic, Partitions: []kmsg.OffsetDeleteRequestTopicPartition{{Partition: partition}}})
		}
		return req
	}
	k.t.Fatalf("no such request: %s", a.verb)
	return nil
}

func str(s string) *string { return &s }

func (k *talk) join(a args, v int16) kmsg.Request {
	req := harness.At(kmsg.NewPtrJoinGroupRequest(), v)
	req.Group, req.MemberID, req.InstanceID = a.group, k.member(a.kv["member"]), a.optional("instance")
	req.SessionTimeoutMillis, req.RebalanceTimeoutMillis = int32(a.num("session", 60_000)), int32(a.num("rebalance", 60_000))
	req.ProtocolType = "consumer"
	if t, ok := a.kv["type"]; ok {
		req.ProtocolType = t
	}
	names := "range"
	if p, ok := a.kv["protocols"]; ok {
		names = p
	}
	for name := range strings.SplitSeq(names, ",") {
		name, data, _ := strings.Cut(name, ":")
		m := kmsg.NewConsumerMemberMetadata()
		m.Version, m.Topics, m.UserData = 1, []string{k.topics["t"]}, []byte(data)
		if name != "" {
			req.Protocols = append(req.Protocols, kmsg.JoinGroupRequestProtocol{Name: name, Metadata: m.AppendTo(nil)})
		}
	}
	return req
}

func (k *talk) leave(a args, v int16) kmsg.Request {
	req := harness.At(kmsg.NewPtrLeaveGroupRequest(), v)
	req.Group, req.MemberID = a.group, k.member(a.kv["member"])
	if v < 3 {
		return req
	}
	for text := range strings.SplitSeq(a.kv["member"], ",") {
		id, instance, ok := strings.Cut(text, "@")
		m := kmsg.LeaveGroupRequestMember{MemberID: k.member(id)}
		if ok {
			m.InstanceID = &instance
		}
		req.Members = append(req.Members, m)
	}
	return req
}

// place reads "t:0".
func (k *talk) place(text string) (topic string, partition int32) {
	name, p, _ := strings.Cut(text, ":")
	if _, err := fmt.Sscan(p, &partition); err != nil {
		k.t.Fatalf("%s: %v", text, err)
	}
	if real, ok := k.topics[name]; ok {
		return real, partition
	}
	return name, partition
}

func (k *talk) commit(a args, v int16) kmsg.Request {
	req := harness.At(kmsg.NewPtrOffsetCommitRequest(), v)
	req.Group, req.MemberID, req.InstanceID = a.group, k.member(a.kv["member"]), a.optional("instance")
	req.Generation, req.RetentionTimeMillis = int32(a.num("gen", -1)), a.num("retention", -1)
	for _, w := range a.rest {
		where, what, _ := strings.Cut(w, "=")
		topic, partition := k.place(where)
		p := kmsg.NewOffsetCommitRequestTopicPartition()
		offset, metadata, _ := strings.Cut(what, "/")
		if n, isLong := strings.CutPrefix(metadata, "*"); isLong {
			var size int
			fmt.Sscan(n, &size)
			metadata = strings.Repeat("m", size)
		}
		fmt.Sscan(offset, &p.Offset)
		p.Partition, p.LeaderEpoch, p.Metadata = partition, int32(a.num("epoch", -1)), &metadata
		if metadata == "null" {
			p.Metadata = nil
		}
		name, _, _ := strings.Cut(where, ":")
		id, ok := k.ids[name]
		if !ok {
			id = [16]byte{0xbb}
		}
		req.Topics = append(req.Topics, kmsg.OffsetCommitRequestTopic{Topic: topic, TopicID: id, Partitions: []kmsg.OffsetCommitRequestTopicPartition{p}})
	}
	return req
}

func (k *talk) fetch(a args, v int16) kmsg.Request {
	req := harness.At(kmsg.NewPtrOffsetFetchRequest(), v)
	req.Group, req.RequireStable = a.group, a.kv["stable"] == "yes"
	g := kmsg.NewOffsetFetchRequestGroup()
	g.Group = a.group
	for _, w := range a.rest {
		topic, partition := k.place(w)
		name, _, _ := strings.Cut(w, ":")
		id, ok := k.ids[name]
		if !ok {
			id = [16]byte{0xbb}
		}
		req.Topics = append(req.Topics, kmsg.OffsetFetchRequestTopic{Topic: topic, Partitions: []int32{partition}})
		g.Topics = append(g.Topics, kmsg.OffsetFetchRequestGroupTopic{Topic: topic, TopicID: id, Partitions: []int32{partition}})
	}
	req.Groups = []kmsg.OffsetFetchRequestGroup{g}
	return req
}

// firstCode is the first error of an answer.
func firstCode(resp kmsg.Response) int16 {
	switch r := resp.(type) {
	case *kmsg.JoinGroupResponse:
		return r.ErrorCode
	case *kmsg.SyncGroupResponse:
		return r.ErrorCode
	case *kmsg.HeartbeatResponse:
		return r.ErrorCode
	case *kmsg.LeaveGroupResponse:
		return r.ErrorCode
	case *kmsg.OffsetCommitResponse:
		return r.Topics[0].Partitions[0].ErrorCode
	case *kmsg.OffsetFetchResponse:
		if len(r.Groups) > 0 {
			return r.Groups[0].ErrorCode
		}
		return r.ErrorCode
	case *kmsg.DescribeGroupsResponse:
		return r.Groups[0].ErrorCode
	case *kmsg.DeleteGroupsResponse:
		return r.Groups[0].ErrorCode
	case *kmsg.OffsetDeleteResponse:
		return r.ErrorCode
	}
	return 0
}

// show writes an answer down, in an order that does not depend on the broker.
func (k *talk) show(resp kmsg.Response) string {
	switch r := resp.(type) {
	case *kmsg.JoinGroupResponse:
		return k.showJoin(r)
	case *kmsg.SyncGroupResponse:
		return fmt.Sprintf("%s type %s protocol %s assignment %q", errName(r.ErrorCode), quoted(r.ProtocolType), quoted(r.Protocol), r.MemberAssignment)
	case *kmsg.HeartbeatResponse:
		return errName(r.ErrorCode)
	case *kmsg.LeaveGroupResponse:
		text := errName(r.ErrorCode)
		for _, m := range r.Members {
			text += fmt.Sprintf(", %s@%s %s", k.name(m.MemberID), quoted(m.InstanceID), errName(m.ErrorCode))
		}
		return text
	case *kmsg.OffsetCommitResponse:
		var parts []string
		for _, t := range r.Topics {
			for _, p := range t.Partitions {
				parts = append(parts, fmt.Sprintf("%s:%d %s", k.topic(t.Topic, t.TopicID), p.Partition, errName(p.ErrorCode)))
			}
		}
		slices.Sort(parts)
		return strings.Join(parts, ", ")
	case *kmsg.OffsetFetchResponse:
		return k.showFetch(r)
	case *kmsg.DescribeGroupsResponse:
		return k.showGroup(&r.Groups[0])
	case *kmsg.DeleteGroupsResponse:
		return errName(r.Groups[0].ErrorCode)
	case *kmsg.OffsetDeleteResponse:
		var parts []string
		for _, t := range r.Topics {
			for _, p := range t.Partitions {
				parts = append(parts, fmt.Sprintf("%s:%d %s", k.topic(t.Topic, [16]byte{}), p.Partition, errName(p.ErrorCode)))
			}
		}
		slices.Sort(parts)
		return strings.Join(append([]string{errName(r.ErrorCode)}, parts...), ", ")
	}
	return fmt.Sprintf("%+v", resp)
}

func (k *talk) topic(name string, id [16]byte) string {
	for short, real := range k.topics {
		if real == name {
			return short
		}
	}
	if name == "" {
		return "#" + idName(id, k.ids)
	}
	return name
}

func (k *talk) showJoin(r *kmsg.JoinGroupResponse) string {
	text := fmt.Sprintf("%s generation %d type %s protocol %s member %s leader %s", errName(r.ErrorCode), r.Generation,
		quoted(r.ProtocolType), quoted(r.Protocol), k.name(r.MemberID), k.name(r.LeaderID))
	if r.SkipAssignment {
		text += " skip assignment"
	}
	var members []string
	for _, m := range r.Members {
		members = append(members, fmt.Sprintf("%s@%s", k.name(m.MemberID), quoted(m.InstanceID)))
	}
	slices.Sort(members)
	return strings.Join(append([]string{text}, members...), ", ")
}

func (k *talk) showFetch(r *kmsg.OffsetFetchResponse) string {
	var parts []string
	show := func(topic string, partition int32, offset int64, epoch int32, metadata *string, code int16) {
		parts = append(parts, fmt.Sprintf("%s:%d=%d epoch %d %s %s", topic, partition, offset, epoch, quoted(metadata), errName(code)))
	}
	code := r.ErrorCode
	for _, t := range r.Topics {
		for _, p := range t.Partitions {
			show(k.topic(t.Topic, [16]byte{}), p.Partition, p.Offset, p.LeaderEpoch, p.Metadata, p.ErrorCode)
		}
	}
	for _, g := range r.Groups {
		code = g.ErrorCode
		for _, t := range g.Topics {
			for _, p := range t.Partitions {
				show(k.topic(t.Topic, t.TopicID), p.Partition, p.Offset, p.LeaderEpoch, p.Metadata, p.ErrorCode)
			}
		}
	}
	slices.Sort(parts)
	return strings.Join(append([]string{errName(code)}, parts...), ", ")
}

func (k *talk) showGroup(g *kmsg.DescribeGroupsResponseGroup) string {
	text := fmt.Sprintf("%s %s type %q protocol %q", errName(g.ErrorCode), g.State, g.ProtocolType, g.Protocol)
	if g.ErrorMessage != nil {
		text += fmt.Sprintf(" %q", strings.ReplaceAll(*g.ErrorMessage, k.t.Name()+"/", ""))
	}
	var members []string
	for _, m := range g.Members {
		members = append(members, fmt.Sprintf("%s@%s client %s%s metadata %d bytes assignment %q",
			k.name(m.MemberID), quoted(m.InstanceID), m.ClientID, m.ClientHost, len(m.ProtocolMetadata), m.MemberAssignment))
	}
	slices.Sort(members)
	return strings.Join(append([]string{text}, members...), ", ")
}
