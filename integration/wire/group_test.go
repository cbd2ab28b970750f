package wire

import (
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/streamweir/streamweir/integration/harness"
)

func (e *env) heartbeat(m membership, instance *string) error {
	e.t.Helper()
	req := harness.At(kmsg.NewPtrHeartbeatRequest(), 4)
	req.Group, req.MemberID, req.Generation, req.InstanceID = m.group, m.member, m.generation, instance
	return kerr.ErrorForCode(harness.Ask[*kmsg.HeartbeatResponse](e.t, e.c, req).ErrorCode)
}

func (e *env) tryCommit(m membership, offset int64) error {
	e.t.Helper()
	r := harness.Ask[*kmsg.OffsetCommitResponse](e.t, e.c, e.commitReq(8, m, 0, offset))
	return kerr.ErrorForCode(r.Topics[0].Partitions[0].ErrorCode)
}

// committed is the group's offset for partition 0, once it can be told.
func (e *env) committed(group string) (offset int64) {
	e.t.Helper()
	harness.Eventually(e.t, harness.Long, "the committed offset", func() error {
		r := harness.Ask[*kmsg.OffsetFetchResponse](e.t, e.c, offsetFetchReq(8, membership{group: group}, e, 0))
		if r.Groups[0].ErrorCode != 0 {
			return kerr.ErrorForCode(r.Groups[0].ErrorCode)
		}
		offset = r.Groups[0].Topics[0].Partitions[0].Offset
		return nil
	})
	return offset
}

// Those who are not members, or were in another generation, are told so.
func TestGroupFencing(t *testing.T) {
	e := newEnv(t, 2)
	m := e.stable()
	stranger, late := m, m
	stranger.member, late.generation = "stranger", m.generation-1
	for _, c := range []struct {
		name string
		got  error
		want *kerr.Error
	}{
		{"heartbeat of a stranger", e.heartbeat(stranger, nil), kerr.UnknownMemberID},
		{"heartbeat of another generation", e.heartbeat(late, nil), kerr.IllegalGeneration},
		{"commit of a stranger", e.tryCommit(stranger, 5), kerr.UnknownMemberID},
		{"commit of another generation", e.tryCommit(late, 5), kerr.IllegalGeneration},
		{"commit of nobody while the group has members", e.tryCommit(membership{group: m.group, generation: -1}, 5), kerr.UnknownMemberID},
		{"heartbeat in a group that is not", e.heartbeat(membership{group: "none", member: "x"}, nil), kerr.UnknownMemberID},
	} {
		if c.got != c.want {
			t.Errorf("%s: %v, want %v", c.name, c.got, c.want)
		}
	}
	if err := e.heartbeat(m, nil); err != nil {
		t.Errorf("the member itself: %v", err)
	}
	// Without members, whoever knows the group's name may commit.
	e.leave(m)
	if err := e.tryCommit(membership{group: m.group, generation: -1}, 9); err != nil || e.committed(m.group) != 9 {
		t.Errorf("commit to an empty group: %v, committed %d", err, e.committed(m.group))
	}
}

// A second member makes the first join again: both meet in the next
// generation, and only the leader sees who is there.
func TestGroupRebalance(t *testing.T) {
	e := newEnv(t, 2)
	first := e.stable()
	second := e.with(t)
	second.redial()
	r := harness.Ask[*kmsg.JoinGroupResponse](t, second.c, joinReq(6, first.group, "", e.topic))
	if kerr.ErrorForCode(r.ErrorCode) != kerr.MemberIDRequired {
		t.Fatalf("join of the second: %v", kerr.ErrorForCode(r.ErrorCode))
	}
	join := joinReq(6, first.group, r.MemberID, e.topic)
	id, err := second.c.Send(join)
	if err != nil {
		t.Fatal(err)
	}
	harness.Eventually(t, harness.Long, "the first hears of the rebalance", func() error {
		return equal("heartbeat", e.heartbeat(first, nil), error(kerr.RebalanceInProgress))
	})
	again := harness.Ask[*kmsg.JoinGroupResponse](t, e.c, joinReq(6, first.group, first.member, e.topic))
	second.c.SetDeadline(time.Now().Add(harness.Long))
	resp, err := second.c.Recv(id, join)
	if err != nil {
		t.Fatal(err)
	}
	other := resp.(*kmsg.JoinGroupResponse)
	if err := check(fault("first", again.ErrorCode), fault("second", other.ErrorCode),
		equal("generation of the first", again.Generation, first.generation+1),
		equal("generation of the second", other.Generation, again.Generation),
		equal("leader", other.LeaderID, again.LeaderID), equal("leader", again.LeaderID, first.member),
		equal("members that the leader sees", len(again.Members), 2), equal("members that the other sees", len(other.Members), 0),
	); err != nil {
		t.Fatal(err)
	}
	// The follower's sync waits for the leader's.
	follower := membership{group: first.group, member: other.MemberID, generation: other.Generation}
	wait := syncReq(3, follower, e.topic)
	wait.GroupAssignment = nil
	if id, err = second.c.Send(wait); err != nil {
		t.Fatal(err)
	}
	leader := syncReq(3, membership{group: first.group, member: first.member, generation: again.Generation}, e.topic)
	leader.GroupAssignment[0].MemberAssignment = []byte("for the leader")
	a := kmsg.NewSyncGroupRequestGroupAssignment()
	a.MemberID, a.MemberAssignment = follower.member, []byte("for the follower")
	leader.GroupAssignment = append(leader.GroupAssignment, a)
	mine := harness.Ask[*kmsg.SyncGroupResponse](t, e.c, leader)
	if resp, err = second.c.Recv(id, wait); err != nil {
		t.Fatal(err)
	}
	theirs := resp.(*kmsg.SyncGroupResponse)
	if err := check(fault("leader's sync", mine.ErrorCode), fault("follower's sync", theirs.ErrorCode),
		equal("leader's assignment", string(mine.MemberAssignment), "for the leader"),
		equal("follower's assignment", string(theirs.MemberAssignment), "for the follower")); err != nil {
		t.Error(err)
	}
}

// A member that says nothing for its session timeout is out.
func TestGroupSessionTimeout(t *testing.T) {
	e := newEnv(t, 2)
	group := harness.Name(t, "g")
	e.findGroup(group)
	req := joinReq(3, group, "", e.topic) // before v4 one request is enough
	req.SessionTimeoutMillis = 6000       // the least that brokers take
	r := harness.Ask[*kmsg.JoinGroupResponse](t, e.c, req)
	if r.ErrorCode != 0 {
		t.Fatal(kerr.ErrorForCode(r.ErrorCode))
	}
	m := membership{group: group, member: r.MemberID, generation: r.Generation}
	if r := harness.Ask[*kmsg.SyncGroupResponse](t, e.c, syncReq(3, m, e.topic)); r.ErrorCode != 0 {
		t.Fatal(kerr.ErrorForCode(r.ErrorCode))
	}
	harness.Eventually(t, harness.Long, "the silent member is out", func() error {
		return equal("state", e.groupState(group), "Empty")
	})
	if err := e.heartbeat(m, nil); err != kerr.UnknownMemberID {
		t.Errorf("heartbeat after that: %v", err)
	}
	req.SessionTimeoutMillis = 1
	if r := harness.Ask[*kmsg.JoinGroupResponse](t, e.c, req); r.ErrorCode != kerr.InvalidSessionTimeout.Code {
		t.Errorf("a session timeout of 1 ms: %v", kerr.ErrorForCode(r.ErrorCode))
	}
}

func (e *env) groupState(group string) string {
	e.t.Helper()
	req := harness.At(kmsg.NewPtrDescribeGroupsRequest(), 5)
	req.Groups = []string{group}
	return harness.Ask[*kmsg.DescribeGroupsResponse](e.t, e.c, req).Groups[0].State
}

// A static member that comes back takes its old place without a rebalance, and
// fences who held it (KIP-345).
func TestGroupStaticMember(t *testing.T) {
	e := newEnv(t, 2)
	group, instance := harness.Name(t, "g"), ptr("instance-1")
	e.findGroup(group)
	join := func(member string) *kmsg.JoinGroupResponse {
		req := joinReq(6, group, member, e.topic)
		req.InstanceID = instance
		return harness.Ask[*kmsg.JoinGroupResponse](t, e.c, req)
	}
	r := join("")
	if r.ErrorCode != 0 {
		t.Fatalf("join: %v (a static member needs no second request)", kerr.ErrorForCode(r.ErrorCode))
	}
	old := membership{group: group, member: r.MemberID, generation: r.Generation}
	sync := syncReq(3, old, e.topic)
	sync.InstanceID = instance
	if r := harness.Ask[*kmsg.SyncGroupResponse](t, e.c, sync); r.ErrorCode != 0 {
		t.Fatal(kerr.ErrorForCode(r.ErrorCode))
	}
	back := join("")
	if back.ErrorCode != 0 || back.Generation != old.generation || back.MemberID == old.member {
		t.Errorf("back: %v, generation %d after %d, member %q after %q", kerr.ErrorForCode(back.ErrorCode), back.Generation, old.generation, back.MemberID, old.member)
	}
	if err := e.heartbeat(old, instance); err != kerr.FencedInstanceID {
		t.Errorf("heartbeat of who held the place: %v, want FENCED_INSTANCE_ID", err)
	}
	current := membership{group: group, member: back.MemberID, generation: back.Generation}
	sync = syncReq(3, current, e.topic)
	sync.InstanceID, sync.GroupAssignment = instance, nil
	if r := harness.Ask[*kmsg.SyncGroupResponse](t, e.c, sync); r.ErrorCode != 0 || string(r.MemberAssignment) != string(assignment(e.topic)) {
		t.Errorf("its assignment: %v, %q", kerr.ErrorForCode(r.ErrorCode), r.MemberAssignment)
	}
	if err := e.heartbeat(current, instance); err != nil {
		t.Errorf("heartbeat of who holds it now: %v", err)
	}
}

// What joins may not do.
func TestGroupJoinRefusals(t *testing.T) {
	e := newEnv(t, 2)
	m := e.stable()
	other := joinReq(3, m.group, "", e.topic)
	other.Protocols[0].Name = "unheard-of"
	connect := joinReq(3, m.group, "", e.topic)
	connect.ProtocolType = "connect"
	for name, c := range map[string]struct {
		req  *kmsg.JoinGroupRequest
		want *kerr.Error
	}{
		"a protocol that no member shares": {other, kerr.InconsistentGroupProtocol},
		"another protocol type":            {connect, kerr.InconsistentGroupProtocol},
		"a member id that nobody gave":     {joinReq(3, m.group, "made-up", e.topic), kerr.UnknownMemberID},
		"no group":                         {joinReq(3, "", "", e.topic), kerr.InvalidGroupID},
	} {
		if r := harness.Ask[*kmsg.JoinGroupResponse](t, e.c, c.req); r.ErrorCode != c.want.Code {
			t.Errorf("%s: %v, want %v", name, kerr.ErrorForCode(r.ErrorCode), c.want)
		}
	}
	if err := e.heartbeat(m, nil); err != nil {
		t.Errorf("the member after that: %v", err)
	}
}

// Groups with members are not deleted, nor offsets of what they read; those
// without are.
func TestGroupDeletion(t *testing.T) {
	e := newEnv(t, 2)
	m := e.stable()
	e.commit(m, 0, 5)
	del := func(group string) error {
		req := harness.At(kmsg.NewPtrDeleteGroupsRequest(), 2)
		req.Groups = []string{group}
		return kerr.ErrorForCode(harness.Ask[*kmsg.DeleteGroupsResponse](t, e.c, req).Groups[0].ErrorCode)
	}
	if err := del(m.group); err != kerr.NonEmptyGroup {
		t.Errorf("delete with a member: %v", err)
	}
	req := harness.At(kmsg.NewPtrOffsetDeleteRequest(), 0)
	req.Group = m.group
	rt := kmsg.NewOffsetDeleteRequestTopic()
	rt.Topic, rt.Partitions = e.topic, []kmsg.OffsetDeleteRequestTopicPartition{{Partition: 0}}
	req.Topics = append(req.Topics, rt)
	if r := harness.Ask[*kmsg.OffsetDeleteResponse](t, e.c, req); r.Topics[0].Partitions[0].ErrorCode != kerr.GroupSubscribedToTopic.Code {
		t.Errorf("delete an offset in use: %v", kerr.ErrorForCode(r.Topics[0].Partitions[0].ErrorCode))
	}
	e.leave(m)
	if err := del(m.group); err != nil {
		t.Errorf("delete without members: %v", err)
	}
	if err := del(m.group); err != kerr.GroupIDNotFound {
		t.Errorf("delete twice: %v", err)
	}
	if at := e.committed(m.group); at != -1 {
		t.Errorf("the deleted group has committed %d", at)
	}
	if state := e.groupState(m.group); state != "Dead" {
		t.Errorf("the deleted group is %s", state)
	}
}

// A group that only commits outlives its last offset, so that it can still be
// looked at and deleted.
func TestGroupOutlivesItsOffsets(t *testing.T) {
	e := newEnv(t, 1)
	m := membership{group: harness.Name(t, "g"), generation: -1}
	e.findGroup(m.group)
	harness.Eventually(t, harness.Long, "a coordinator", func() error {
		r := harness.Ask[*kmsg.OffsetCommitResponse](t, e.c, e.commitReq(8, m, 0, 5))
		return fault("commit", r.Topics[0].Partitions[0].ErrorCode)
	})
	req := harness.At(kmsg.NewPtrOffsetDeleteRequest(), 0)
	req.Group = m.group
	rt := kmsg.NewOffsetDeleteRequestTopic()
	rt.Topic, rt.Partitions = e.topic, []kmsg.OffsetDeleteRequestTopicPartition{{Partition: 0}}
	req.Topics = append(req.Topics, rt)
	for range 2 {
		r := harness.Ask[*kmsg.OffsetDeleteResponse](t, e.c, req)
		if err := check(fault("delete offsets", r.ErrorCode), fault("delete an offset", r.Topics[0].Partitions[0].ErrorCode)); err != nil {
			t.Fatal(err)
		}
		if state := e.groupState(m.group); state != "Empty" {
			t.Errorf("the group is %s", state)
		}
	}
	del := harness.At(kmsg.NewPtrDeleteGroupsRequest(), 2)
	del.Groups = []string{m.group}
	if err := fault("delete the group", harness.Ask[*kmsg.DeleteGroupsResponse](t, e.c, del).Groups[0].ErrorCode); err != nil {
		t.Error(err)
	}
	if state := e.groupState(m.group); state != "Dead" {
		t.Errorf("the deleted group is %s", state)
	}
}

// Commits that cannot be: too much metadata, and partitions that are not.
func TestOffsetCommitRefusals(t *testing.T) {
	e := newEnv(t, 2)
	m := e.stable()
	for _, metadata := range []string{strings.Repeat("x", 5000), strings.Repeat("\U0001f600", 2049)} {
		big := e.commitReq(8, m, 0, 5)
		big.Topics[0].Partitions[0].Metadata = &metadata
		if r := harness.Ask[*kmsg.OffsetCommitResponse](t, e.c, big); r.Topics[0].Partitions[0].ErrorCode != kerr.OffsetMetadataTooLarge.Code {
			t.Errorf("%d bytes of metadata: %v", len(metadata), kerr.ErrorForCode(r.Topics[0].Partitions[0].ErrorCode))
		}
	}
	for _, partition := range []int32{2, -1} {
		r := harness.Ask[*kmsg.OffsetCommitResponse](t, e.c, e.commitReq(8, m, partition, 5))
		if r.Topics[0].Partitions[0].ErrorCode != kerr.UnknownTopicOrPartition.Code {
			t.Errorf("partition %d: %v", partition, kerr.ErrorForCode(r.Topics[0].Partitions[0].ErrorCode))
		}
	}
	unknown := e.commitReq(10, m, 0, 5)
	unknown.Topics[0].TopicID = [16]byte{3}
	if r := harness.Ask[*kmsg.OffsetCommitResponse](t, e.c, unknown); r.Topics[0].Partitions[0].ErrorCode != kerr.UnknownTopicID.Code {
		t.Errorf("an unknown topic id: %v", kerr.ErrorForCode(r.Topics[0].Partitions[0].ErrorCode))
	}
	if at := e.committed(m.group); at != -1 {
		t.Errorf("committed %d", at)
	}
}

// Committed offsets and the members of a group outlive restarts and kills.
func TestGroupsOutliveTheProcess(t *testing.T) {
	s := harness.Start(t)
	e := newEnvOn(t, s, 2)
	m := e.stable()
	for i, again := range []func(){
		func() { s.Restart(t) },
		func() { s.Kill(t); s.StartAgain(t) },
	} {
		want := int64(100 + i)
		e.commit(m, 0, want)
		again()
		e.redial()
		e.findGroup(m.group)
		if at := e.committed(m.group); at != want {
			t.Errorf("restart %d: committed %d, want %d", i, at, want)
		}
		// The member was not asked to join again: its session goes on.
		harness.Eventually(t, harness.Long, "the member's heartbeat is taken", func() error { return e.heartbeat(m, nil) })
	}
}
