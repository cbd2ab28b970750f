package group

import (
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/zap"
)

// heartbeat serves Heartbeat.
func (s *shard) heartbeat(st *step, req *kmsg.HeartbeatRequest) *kerr.Error {
	g := s.groups[req.Group]
	switch {
	case req.Group == "":
		return kerr.InvalidGroupID
	case g == nil:
		return kerr.UnknownMemberID
	}
	if err := g.validate(req.MemberID, req.InstanceID); err != nil {
		return err
	}
	if req.Generation != g.generation {
		return kerr.IllegalGeneration
	}
	m := g.members[req.MemberID]
	st.set(&m.session, m.sessionTimeout)
	if g.state == PreparingRebalance {
		return kerr.RebalanceInProgress
	}
	return nil
}

// sessionExpired is the timer of a member, or of an id that was handed out.
func (g *classicGroup) sessionExpired(st *step, id string) {
	if g.pending[id] != nil {
		g.dropPending(st, id)
		g.maybeCompleteJoinNow(st)
		g.shard.dropIfBlank(st, g)
		return
	}
	m := g.members[id]
	if m == nil || m.excused() {
		return
	}
	st.note(g, "a member was silent for longer than its session timeout", zap.String("member", m.id), zap.String("client", m.clientID),
		zap.Duration("session_timeout", m.sessionTimeout))
	g.removeMember(st, m)
	g.afterRemoval(st)
}

// afterRemoval goes on after a member went away by itself.
func (g *classicGroup) afterRemoval(st *step) {
	if g.state == Stable || g.state == CompletingRebalance {
		g.prepareRebalance(st, "a member was silent")
		return
	}
	g.maybeCompleteJoinNow(st)
}

// maybeCompleteJoinNow ends the join phase if those who are missing turned out
// to be gone, even that of a group's first rebalance.
func (g *classicGroup) maybeCompleteJoinNow(st *step) {
	if g.state == PreparingRebalance && g.allJoined() {
		g.completeJoin(st)
	}
}

// leave serves LeaveGroup, in the form of version 3 and later.
func (s *shard) leave(st *step, req *kmsg.LeaveGroupRequest, reply func(*kmsg.LeaveGroupResponse)) {
	answer := func(st *step, err *kerr.Error, members []kmsg.LeaveGroupResponseMember) {
		resp := leaveResponse(req.Version, err, members)
		st.reply(func() { reply(resp) })
	}
	if req.Group == "" {
		answer(st, kerr.InvalidGroupID, nil)
		return
	}
	who := leaving(req)
	members := make([]kmsg.LeaveGroupResponseMember, 0, len(who))
	g := s.groups[req.Group]
	left := false
	for _, w := range who {
		err := kerr.UnknownMemberID
		if g != nil {
			err = g.removeLeaving(st, w.MemberID, w.InstanceID)
		}
		left = left || err == nil
		members = append(members, kmsg.LeaveGroupResponseMember{
			MemberID: strings.Clone(w.MemberID), InstanceID: cloneInstance(w.InstanceID), ErrorCode: code(err),
		})
	}
	var e *entry
	if left {
		if g.state == Stable || g.state == CompletingRebalance {
			e = g.prepareRebalance(st, "members left")
		} else {
			e = g.maybeCompleteJoin(st)
		}
		s.dropIfBlank(st, g)
	}
	if e == nil {
		answer(st, nil, members)
		return
	}
	e.then = append(e.then, func(st *step, err *kerr.Error) { answer(st, err, members) })
}

// leaving lists who wants to leave: one member before version 3.
func leaving(req *kmsg.LeaveGroupRequest) []kmsg.LeaveGroupRequestMember {
	if req.Version >= 3 {
		return req.Members
	}
	return []kmsg.LeaveGroupRequestMember{{MemberID: req.MemberID}}
}

func leaveResponse(version int16, err *kerr.Error, members []kmsg.LeaveGroupResponseMember) *kmsg.LeaveGroupResponse {
	resp := &kmsg.LeaveGroupResponse{Version: version, ErrorCode: code(err)}
	switch {
	case err != nil:
	case version >= 3:
		resp.Members = members
	case len(members) == 1:
		resp.ErrorCode = members[0].ErrorCode
	}
	return resp
}

// removeLeaving takes one member out. An administrator removes a static member
// by its instance id alone.
func (g *classicGroup) removeLeaving(st *step, id string, instance *string) *kerr.Error {
	if id == "" {
		if instance == nil {
			return kerr.UnknownMemberID
		}
		current, ok := g.static[*instance]
		if !ok {
			return kerr.UnknownMemberID
		}
		g.removeMember(st, g.members[current])
		return nil
	}
	if g.pending[id] != nil {
		g.dropPending(st, id)
		return nil
	}
	if err := g.validate(id, instance); err != nil {
		return err
	}
	g.removeMember(st, g.members[id])
	return nil
}

// code is the protocol's number of an error; 0 for none.
func code(err *kerr.Error) int16 {
	if err == nil {
		return 0
	}
	return err.Code
}
