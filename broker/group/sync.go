package group

import (
	"bytes"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/zap"
)

func sendSync(st *step, p *parkedSync, resp *kmsg.SyncGroupResponse) {
	resp.Version = p.version
	st.reply(func() { p.reply(resp) })
}

// sync serves SyncGroup.
func (s *shard) sync(st *step, req *kmsg.SyncGroupRequest, reply func(*kmsg.SyncGroupResponse)) {
	p := &parkedSync{version: req.Version, reply: reply}
	g := s.groups[req.Group]
	var err *kerr.Error
	switch {
	case req.Group == "":
		err = kerr.InvalidGroupID
	case g == nil || g.state == Empty:
		err = kerr.UnknownMemberID
	default:
		err = g.validateSync(req)
	}
	if err != nil {
		sendSync(st, p, &kmsg.SyncGroupResponse{ErrorCode: err.Code})
		return
	}
	g.sync(st, req, p)
}

func (g *classicGroup) validateSync(req *kmsg.SyncGroupRequest) *kerr.Error {
	if err := g.validate(req.MemberID, req.InstanceID); err != nil {
		return err
	}
	switch {
	case req.Generation != g.generation:
		return kerr.IllegalGeneration
	case differs(req.ProtocolType, g.protocolType), differs(req.Protocol, g.protocol):
		return kerr.InconsistentGroupProtocol
	case g.state == PreparingRebalance:
		return kerr.RebalanceInProgress
	}
	return nil
}

// differs says whether both sides name a protocol and do not agree.
func differs(theirs *string, ours string) bool { return theirs != nil && ours != "" && *theirs != ours }

func (g *classicGroup) sync(st *step, req *kmsg.SyncGroupRequest, p *parkedSync) {
	m := g.members[req.MemberID]
	g.synced(st, m)
	if g.state == Stable {
		sendSync(st, p, g.assigned(m))
		return
	}
	// An attempt that is still parked is one that the client has given up.
	g.answerSync(st, m, &kmsg.SyncGroupResponse{ErrorCode: kerr.RebalanceInProgress.Code})
	m.sync = p
	if g.leader != m.id || g.storing == g.generation {
		return
	}
	given := make(map[string][]byte, len(req.GroupAssignment))
	for _, a := range req.GroupAssignment {
		if m := g.members[a.MemberID]; m != nil {
			given[m.id] = bytes.Clone(a.MemberAssignment)
		}
	}
	g.storing = g.generation
	g.store(st, &stabilized{group: g, generation: g.generation, given: given},
		func(m *member) []byte { return given[m.id] })
}

// assigned is the answer that gives m its assignment.
func (g *classicGroup) assigned(m *member) *kmsg.SyncGroupResponse {
	name, kind := g.protocol, g.protocolType
	return &kmsg.SyncGroupResponse{ProtocolType: &kind, Protocol: &name, MemberAssignment: m.assignment}
}

// stabilized is the assignment of a generation.
type stabilized struct {
	group      *classicGroup
	generation int32
	given      map[string][]byte
}

func (e *stabilized) String() string { return fmt.Sprintf("assignment of generation %d", e.generation) }

// current says whether the group still waits for this: a member may have come
// or gone in the meantime.
func (e *stabilized) current() bool {
	return e.group.state == CompletingRebalance && e.group.generation == e.generation
}

func (e *stabilized) durable(s *shard, st *step, _ int64) {
	g := e.group
	g.persisted = true
	if g.storing == e.generation {
		g.storing = 0
	}
	if !e.current() {
		return
	}
	for _, m := range g.order {
		m.assignment = e.given[m.id]
	}
	g.to(st.now, Stable)
	s.stats.Rebalances++
	st.note(g, "a group is stable", zap.String("protocol", g.protocol), zap.String("leader", g.leader))
	for _, m := range g.order {
		if g.answerSync(st, m, g.assigned(m)) {
			st.set(&m.session, m.sessionTimeout)
		}
	}
}

func (e *stabilized) failed(s *shard, st *step, err *kerr.Error) {
	g := e.group
	if g.storing == e.generation {
		g.storing = 0
	}
	if !e.current() {
		return
	}
	g.resetAssignments(st, err)
	g.prepareRebalance(st, "its assignment could not be stored: "+err.Message)
}
