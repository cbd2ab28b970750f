package wire

import (
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/streamweir/streamweir/integration/harness"
)

// groupAPIs are the keys of classic consumer groups.
func groupAPIs() []api {
	return []api{
		{key: 8, min: 2, max: 10, ask: askOffsetCommit},
		{key: 9, min: 1, max: 10, ask: askOffsetFetch},
		{key: 10, min: 0, max: 6, ask: askFindCoordinator},
		{key: 11, min: 0, max: 9, ask: askJoinGroup},
		{key: 12, min: 0, max: 4, ask: askHeartbeat},
		{key: 13, min: 0, max: 5, ask: askLeaveGroup},
		{key: 14, min: 0, max: 5, ask: askSyncGroup},
		{key: 15, min: 0, max: 6, ask: askDescribeGroups},
		{key: 16, min: 0, max: 5, ask: askListGroups},
		{key: 42, min: 0, max: 2, ask: askDeleteGroups},
		{key: 47, min: 0, max: 0, ask: askOffsetDelete},
	}
}

// membership is a group with one member, which leads it.
type membership struct {
	group      string
	member     string
	generation int32
}

const (
	protocolType = "consumer"
	protocolName = "range"
)

// memberMeta is what a consumer subscribed to topic says when it joins.
func memberMeta(topic string) []byte {
	m := kmsg.NewConsumerMemberMetadata()
	m.Version, m.Topics = 1, []string{topic}
	return m.AppendTo(nil)
}

func assignment(topic string) []byte {
	a := kmsg.NewConsumerMemberAssignment()
	a.Topics = []kmsg.ConsumerMemberAssignmentTopic{{Topic: topic, Partitions: []int32{0, 1}}}
	return a.AppendTo(nil)
}

func joinReq(v int16, group, member, topic string) *kmsg.JoinGroupRequest {
	req := harness.At(kmsg.NewPtrJoinGroupRequest(), v)
	req.Group, req.MemberID = group, member
	req.SessionTimeoutMillis, req.RebalanceTimeoutMillis = 30_000, 30_000
	req.ProtocolType = protocolType
	p := kmsg.NewJoinGroupRequestProtocol()
	p.Name, p.Metadata = protocolName, memberMeta(topic)
	req.Protocols = append(req.Protocols, p)
	return req
}

// findGroup waits until the group's coordinator is there, which a broker may
// have to make first.
func (e *env) findGroup(group string) {
	e.t.Helper()
	harness.Eventually(e.t, harness.Long, "a coordinator", func() error {
		req := harness.At(kmsg.NewPtrFindCoordinatorRequest(), 3)
		req.CoordinatorKey = group
		r := harness.Ask[*kmsg.FindCoordinatorResponse](e.t, e.c, req)
		if r.ErrorCode != 0 {
			return kerr.ErrorForCode(r.ErrorCode)
		}
		return nil
	})
}

// join makes a group with one member that has joined but not synced.
func (e *env) join() membership {
	e.t.Helper()
	m := membership{group: harness.Name(e.t, "g")}
	e.findGroup(m.group)
	for {
		r := harness.Ask[*kmsg.JoinGroupResponse](e.t, e.c, joinReq(6, m.group, m.member, e.topic))
		switch kerr.ErrorForCode(r.ErrorCode) {
		case nil:
			m.member, m.generation = r.MemberID, r.Generation
			return m
		case kerr.MemberIDRequired:
			m.member = r.MemberID
		case kerr.CoordinatorLoadInProgress, kerr.NotCoordinator, kerr.CoordinatorNotAvailable:
			e.findGroup(m.group)
		default:
			e.t.Fatalf("join: %v", kerr.ErrorForCode(r.ErrorCode))
		}
	}
}

func syncReq(v int16, m membership, topic string) *kmsg.SyncGroupRequest {
	req := harness.At(kmsg.NewPtrSyncGroupRequest(), v)
	req.Group, req.MemberID, req.Generation = m.group, m.member, m.generation
	req.ProtocolType, req.Protocol = ptr(protocolType), ptr(protocolName)
	a := kmsg.NewSyncGroupRequestGroupAssignment()
	a.MemberID, a.MemberAssignment = m.member, assignment(topic)
	req.GroupAssignment = append(req.GroupAssignment, a)
	return req
}

// stable makes a group with one member that has its assignment.
func (e *env) stable() membership {
	e.t.Helper()
	m := e.join()
	r := harness.Ask[*kmsg.SyncGroupResponse](e.t, e.c, syncReq(3, m, e.topic))
	if r.ErrorCode != 0 {
		e.t.Fatalf("sync: %v", kerr.ErrorForCode(r.ErrorCode))
	}
	return m
}

func (e *env) commitReq(v int16, m membership, partition int32, offset int64) *kmsg.OffsetCommitRequest {
	req := harness.At(kmsg.NewPtrOffsetCommitRequest(), v)
	req.Group, req.MemberID, req.Generation = m.group, m.member, m.generation
	req.RetentionTimeMillis = -1
	rt := kmsg.NewOffsetCommitRequestTopic()
	rt.Topic, rt.TopicID = e.topic, e.id
	rp := kmsg.NewOffsetCommitRequestTopicPartition()
	rp.Partition, rp.Offset, rp.Metadata, rp.LeaderEpoch = partition, offset, ptr("meta"), -1
	rt.Partitions = append(rt.Partitions, rp)
	req.Topics = append(req.Topics, rt)
	return req
}

func (e *env) commit(m membership, partition int32, offset int64) {
	e.t.Helper()
	r := harness.Ask[*kmsg.OffsetCommitResponse](e.t, e.c, e.commitReq(8, m, partition, offset))
	if code := r.Topics[0].Partitions[0].ErrorCode; code != 0 {
		e.t.Fatalf("commit: %v", kerr.ErrorForCode(code))
	}
}

func askOffsetCommit(e *env, v int16) (kmsg.Request, func(kmsg.Response) error) {
	m := e.stable()
	return e.commitReq(v, m, 0, 42), as(func(r *kmsg.OffsetCommitResponse) error {
		if len(r.Topics) != 1 || len(r.Topics[0].Partitions) != 1 {
			return errors.New("not one partition")
		}
		err := fault("commit", r.Topics[0].Partitions[0].ErrorCode)
		if v >= 10 {
			err = check(err, equal("topic id", r.Topics[0].TopicID, e.id))
		} else {
			err = check(err, equal("topic", r.Topics[0].Topic, e.topic))
		}
		f, ask := e.c.RoundTrip(offsetFetchReq(8, m, e, 0))
		if ask != nil {
			return ask
		}
		g := f.(*kmsg.OffsetFetchResponse).Groups[0]
		return check(err, equal("committed", g.Topics[0].Partitions[0].Offset, 42))
	})
}

func offsetFetchReq(v int16, m membership, e *env, partitions ...int32) *kmsg.OffsetFetchRequest {
	req := harness.At(kmsg.NewPtrOffsetFetchRequest(), v)
	if v >= 8 {
		g := kmsg.NewOffsetFetchRequestGroup()
		g.Group, g.MemberEpoch = m.group, -1
		gt := kmsg.NewOffsetFetchRequestGroupTopic()
		gt.Topic, gt.TopicID, gt.Partitions = e.topic, e.id, partitions
		g.Topics = append(g.Topics, gt)
		req.Groups = append(req.Groups, g)
		return req
	}
	req.Group = m.group
	rt := kmsg.NewOffsetFetchRequestTopic()
	rt.Topic, rt.Partitions = e.topic, partitions
	req.Topics = append(req.Topics, rt)
	return req
}

func askOffsetFetch(e *env, v int16) (kmsg.Request, func(kmsg.Response) error) {
	m := e.stable()
	e.commit(m, 0, 7)
	return offsetFetchReq(v, m, e, 0, 1), as(func(r *kmsg.OffsetFetchResponse) error {
		offsets, metas := map[int32]int64{}, map[int32]string{}
		if v >= 8 {
			if len(r.Groups) != 1 || len(r.Groups[0].Topics) != 1 {
				return errors.New("not one group and topic")
			}
			g := r.Groups[0]
			if err := check(fault("group", g.ErrorCode), equal("group", g.Group, m.group)); err != nil {
				return err
			}
			for _, p := range g.Topics[0].Partitions {
				offsets[p.Partition], metas[p.Partition] = p.Offset, str(p.Metadata)
			}
		} else {
			if len(r.Topics) != 1 {
				return errors.New("not one topic")
			}
			if err := fault("fetch", r.ErrorCode); err != nil {
				return err
			}
			for _, p := range r.Topics[0].Partitions {
				offsets[p.Partition], metas[p.Partition] = p.Offset, str(p.Metadata)
			}
		}
		return check(equal("partitions", len(offsets), 2), equal("committed", offsets[0], 7),
			equal("metadata", metas[0], "meta"), equal("not committed", offsets[1], -1))
	})
}

func askFindCoordinator(e *env, v int16) (kmsg.Request, func(kmsg.Response) error) {
	group := harness.Name(e.t, "g")
	e.findGroup(group)
	req := kmsg.NewPtrFindCoordinatorRequest()
	req.CoordinatorKey, req.CoordinatorKeys = group, []string{group, group + "-2"}
	return req, as(func(r *kmsg.FindCoordinatorResponse) error {
		if v < 4 {
			return check(fault("find", r.ErrorCode), equal("coordinator", fmt.Sprintf("%s:%d", r.Host, r.Port), e.s.Addr()))
		}
		err := equal("coordinators", len(r.Coordinators), 2)
		for _, c := range r.Coordinators {
			err = check(err, fault("find", c.ErrorCode), equal("coordinator", fmt.Sprintf("%s:%d", c.Host, c.Port), e.s.Addr()))
		}
		return err
	})
}

func askJoinGroup(e *env, v int16) (kmsg.Request, func(kmsg.Response) error) {
	group := harness.Name(e.t, "g")
	e.findGroup(group)
	return joinReq(v, group, "", e.topic), as(func(r *kmsg.JoinGroupResponse) error {
		if v >= 4 {
			// KIP-394: the first answer only gives the member its id.
			if err := equal("first answer", kerr.ErrorForCode(r.ErrorCode), error(kerr.MemberIDRequired)); err != nil {
				return err
			}
			again, err := e.c.RoundTrip(joinReq(v, group, r.MemberID, e.topic))
			if err != nil {
				return err
			}
			r = again.(*kmsg.JoinGroupResponse)
		}
		err := check(fault("join", r.ErrorCode), equal("generation", r.Generation, 1), equal("protocol", str(r.Protocol), protocolName),
			equal("leader", r.LeaderID, r.MemberID), equal("members", len(r.Members), 1))
		if err == nil {
			err = check(equal("member", r.Members[0].MemberID, r.MemberID),
				equal("metadata", string(r.Members[0].ProtocolMetadata), string(memberMeta(e.topic))))
		}
		if v >= 7 {
			err = check(err, equal("protocol type", str(r.ProtocolType), protocolType))
		}
		return err
	})
}

func askSyncGroup(e *env, v int16) (kmsg.Request, func(kmsg.Response) error) {
	return syncReq(v, e.join(), e.topic), as(func(r *kmsg.SyncGroupResponse) error {
		err := check(fault("sync", r.ErrorCode), equal("assignment", string(r.MemberAssignment), string(assignment(e.topic))))
		if v >= 5 {
			err = check(err, equal("protocol type", str(r.ProtocolType), protocolType), equal("protocol", str(r.Protocol), protocolName))
		}
		return err
	})
}

func askHeartbeat(e *env, v int16) (kmsg.Request, func(kmsg.Response) error) {
	m := e.stable()
	req := kmsg.NewPtrHeartbeatRequest()
	req.Group, req.MemberID, req.Generation = m.group, m.member, m.generation
	return req, as(func(r *kmsg.HeartbeatResponse) error { return fault("heartbeat", r.ErrorCode) })
}

func askLeaveGroup(e *env, v int16) (kmsg.Request, func(kmsg.Response) error) {
	m := e.stable()
	req := kmsg.NewPtrLeaveGroupRequest()
	req.Group, req.MemberID = m.group, m.member
	lm := kmsg.NewLeaveGroupRequestMember()
	lm.MemberID = m.member
	req.Members = append(req.Members, lm)
	return req, as(func(r *kmsg.LeaveGroupResponse) error {
		err := fault("leave", r.ErrorCode)
		if v >= 3 {
			err = check(err, equal("members", len(r.Members), 1))
			for _, lm := range r.Members {
				err = check(err, fault("member", lm.ErrorCode), equal("member", lm.MemberID, m.member))
			}
		}
		return err
	})
}

func askDescribeGroups(e *env, v int16) (kmsg.Request, func(kmsg.Response) error) {
	m := e.stable()
	req := kmsg.NewPtrDescribeGroupsRequest()
	req.Groups = []string{m.group}
	return req, as(func(r *kmsg.DescribeGroupsResponse) error {
		if len(r.Groups) != 1 || len(r.Groups[0].Members) != 1 {
			return errors.New("not one group with one member")
		}
		g := r.Groups[0]
		gm := g.Members[0]
		return check(fault("describe", g.ErrorCode), equal("group", g.Group, m.group), equal("state", g.State, "Stable"),
			equal("type", g.ProtocolType, protocolType), equal("protocol", g.Protocol, protocolName),
			equal("member", gm.MemberID, m.member), equal("client", gm.ClientID, harness.ClientID),
			equal("host", gm.ClientHost, "/127.0.0.1"),
			equal("assignment", string(gm.MemberAssignment), string(assignment(e.topic))))
	})
}

func askListGroups(e *env, v int16) (kmsg.Request, func(kmsg.Response) error) {
	m := e.stable()
	req := kmsg.NewPtrListGroupsRequest()
	if v >= 4 {
		req.StatesFilter = []string{"Stable"}
	}
	if v >= 5 {
		req.TypesFilter = []string{"classic"}
	}
	return req, as(func(r *kmsg.ListGroupsResponse) error {
		for _, g := range r.Groups {
			if g.Group != m.group {
				continue
			}
			err := check(fault("list", r.ErrorCode), equal("type", g.ProtocolType, protocolType))
			if v >= 4 {
				err = check(err, equal("state", g.GroupState, "Stable"))
			}
			if v >= 5 {
				err = check(err, equal("group type", g.GroupType, "classic"))
			}
			return err
		}
		return fmt.Errorf("no group %s", m.group)
	})
}

// leave empties the group of m.
func (e *env) leave(m membership) {
	e.t.Helper()
	req := harness.At(kmsg.NewPtrLeaveGroupRequest(), 1)
	req.Group, req.MemberID = m.group, m.member
	if r := harness.Ask[*kmsg.LeaveGroupResponse](e.t, e.c, req); r.ErrorCode != 0 {
		e.t.Fatalf("leave: %v", kerr.ErrorForCode(r.ErrorCode))
	}
}

func askDeleteGroups(e *env, v int16) (kmsg.Request, func(kmsg.Response) error) {
	m := e.stable()
	e.commit(m, 0, 3)
	e.leave(m)
	req := kmsg.NewPtrDeleteGroupsRequest()
	req.Groups = []string{m.group}
	return req, as(func(r *kmsg.DeleteGroupsResponse) error {
		if len(r.Groups) != 1 {
			return errors.New("not one group")
		}
		return check(fault("delete", r.Groups[0].ErrorCode), equal("group", r.Groups[0].Group, m.group))
	})
}

func askOffsetDelete(e *env, v int16) (kmsg.Request, func(kmsg.Response) error) {
	m := e.stable()
	e.commit(m, 0, 3)
	e.commit(m, 1, 4)
	e.leave(m)
	req := kmsg.NewPtrOffsetDeleteRequest()
	req.Group = m.group
	rt := kmsg.NewOffsetDeleteRequestTopic()
	rt.Topic = e.topic
	rp := kmsg.NewOffsetDeleteRequestTopicPartition()
	rp.Partition = 1
	rt.Partitions = append(rt.Partitions, rp)
	req.Topics = append(req.Topics, rt)
	return req, as(func(r *kmsg.OffsetDeleteResponse) error {
		if len(r.Topics) != 1 || len(r.Topics[0].Partitions) != 1 {
			return errors.New("not one partition")
		}
		err := check(fault("delete", r.ErrorCode), fault("partition", r.Topics[0].Partitions[0].ErrorCode))
		f, ask := e.c.RoundTrip(offsetFetchReq(8, m, e, 0, 1))
		if ask != nil {
			return ask
		}
		for _, p := range f.(*kmsg.OffsetFetchResponse).Groups[0].Topics[0].Partitions {
			want := map[int32]int64{0: 3, 1: -1}[p.Partition]
			err = check(err, equal(fmt.Sprintf("partition %d", p.Partition), p.Offset, want))
		}
		return err
	})
}
