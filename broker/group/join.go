package group

import (
	"strings"
	"time"
	"unicode/utf8"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Versions of JoinGroup from which on its rules change.
const (
	joinNeedsMemberID  = 4 // a new dynamic member gets an id first and joins with it (KIP-394)
	joinNullProtocol   = 7 // "no protocol" is null, before it is ""
	joinSkipAssignment = 9 // a static leader can be told not to assign (KIP-814)
)

// maxIDPrefix bounds what of a client id or an instance id goes into a member
// id, which must fit a string of the protocol.
const maxIDPrefix = 255

// joining is a JoinGroup request as it is kept.
type joining struct {
	client             Client
	version            int16
	memberID           string
	instance           *string
	protocolType       string
	protocols          []protocol
	session, rebalance time.Duration
	parked             *parkedJoin
}

func newJoining(c Client, req *kmsg.JoinGroupRequest, reply func(*kmsg.JoinGroupResponse)) *joining {
	j := &joining{
		client:       Client{ID: strings.Clone(c.ID), Host: strings.Clone(c.Host)},
		version:      req.Version,
		memberID:     strings.Clone(req.MemberID),
		instance:     cloneInstance(req.InstanceID),
		protocolType: strings.Clone(req.ProtocolType),
		protocols:    cloneProtocols(req.Protocols),
		session:      millis(req.SessionTimeoutMillis),
		rebalance:    millis(req.RebalanceTimeoutMillis),
		parked:       &parkedJoin{version: req.Version, reply: reply},
	}
	if req.Version == 0 || j.rebalance < 0 {
		j.rebalance = j.session
	}
	return j
}

func (j *joining) refuse(st *step, err *kerr.Error, memberID string) {
	sendJoin(st, j.parked, &kmsg.JoinGroupResponse{ErrorCode: err.Code, Generation: -1, MemberID: memberID})
}

func sendJoin(st *step, p *parkedJoin, resp *kmsg.JoinGroupResponse) {
	resp.Version = p.version
	switch {
	case p.version < joinNullProtocol && resp.Protocol == nil:
		resp.Protocol = new(string)
	case p.version >= joinNullProtocol && resp.Protocol != nil && *resp.Protocol == "":
		resp.Protocol = nil
	}
	st.reply(func() { p.reply(resp) })
}

func millis(ms int32) time.Duration { return time.Duration(ms) * time.Millisecond }

// joinSize is what a JoinGroup would make us keep.
func joinSize(c Client, req *kmsg.JoinGroupRequest) int {
	n := len(c.ID) + len(c.Host) + len(req.MemberID) + len(req.ProtocolType)
	if req.InstanceID != nil {
		n += len(*req.InstanceID)
	}
	for _, p := range req.Protocols {
		n += len(p.Name) + len(p.Metadata)
	}
	return n
}

// join serves JoinGroup.
func (s *shard) join(st *step, c Client, req *kmsg.JoinGroupRequest, reply func(*kmsg.JoinGroupResponse)) {
	refuse := func(err *kerr.Error) {
		j := &joining{parked: &parkedJoin{version: req.Version, reply: reply}}
		j.refuse(st, err, strings.Clone(req.MemberID))
	}
	session := millis(req.SessionTimeoutMillis)
	switch {
	case req.Group == "":
		refuse(kerr.InvalidGroupID)
		return
	case session < s.cfg.MinSessionTimeout || session > s.cfg.MaxSessionTimeout:
		refuse(kerr.InvalidSessionTimeout)
		return
	case joinSize(c, req) > s.cfg.MaxMemberBytes:
		refuse(kerr.PolicyViolation)
		return
	}
	g := s.groups[req.Group]
	if g == nil {
		if req.MemberID != "" {
			refuse(kerr.UnknownMemberID)
			return
		}
		if s.full() {
			refuse(kerr.PolicyViolation)
			return
		}
		g = s.addGroup(st, s.newGroup(st.now, strings.Clone(req.Group)))
	}
	if size := joinSize(c, req); size > largeJoin && g.metadataBytes(req.MemberID)+size > s.cfg.MaxGroupBytes {
		// Its members could not be written down, nor told to their leader.
		refuse(kerr.PolicyViolation)
		return
	}
	g.join(st, newJoining(c, req, reply))
	s.dropIfBlank(st, g)
}

// largeJoin is the size from which a member's metadata is added up with that of
// the others in its group before it is kept.
const largeJoin = 4 << 10

// metadataBytes is what the members of the group keep of metadata, without the
// one of that id.
func (g *classicGroup) metadataBytes(but string) int {
	n := 0
	for _, m := range g.members {
		if m.id == but {
			continue
		}
		for _, p := range m.protocols {
			n += len(p.name) + len(p.metadata)
		}
	}
	return n
}

func (g *classicGroup) join(st *step, j *joining) {
	switch {
	case !g.hasRoom(j.memberID):
		if m := g.members[j.memberID]; m != nil {
			g.removeMember(st, m)
			defer g.maybeCompleteJoin(st)
		}
		g.dropPending(st, j.memberID)
		j.refuse(st, kerr.GroupMaxSizeReached, "")
	case !g.supports(j.protocolType, j.protocols):
		j.refuse(st, kerr.InconsistentGroupProtocol, j.memberID)
	case j.memberID == "" && j.instance != nil:
		g.joinNewStatic(st, j)
	case j.memberID == "":
		g.joinNewDynamic(st, j)
	case g.pending[j.memberID] != nil && j.instance == nil:
		g.dropPending(st, j.memberID)
		g.admit(st, j, j.memberID)
	default:
		g.joinAgain(st, j)
	}
}

// hasRoom says whether group.max.size lets the member in. While a rebalance is
// prepared, those who have joined count, so that the last ones to come are
// turned away when the limit was lowered.
func (g *classicGroup) hasRoom(memberID string) bool {
	limit := g.shard.cfg.MaxGroupSize
	if memberID == "" && len(g.pending) >= g.shard.cfg.MaxPendingIDs {
		return false
	}
	m := g.members[memberID]
	switch g.state {
	case PreparingRebalance:
		return m != nil && m.join != nil || g.awaitingJoin < limit
	case CompletingRebalance, Stable:
		return m != nil || len(g.members) < limit
	default:
		return true
	}
}

// newMemberID makes an id from the client id or the instance id.
func (g *classicGroup) newMemberID(prefix string) string {
	if len(prefix) > maxIDPrefix {
		n := maxIDPrefix
		for n > 0 && !utf8.RuneStart(prefix[n]) {
			n--
		}
		prefix = prefix[:n]
	}
	return prefix + "-" + g.shard.newID()
}

func (g *classicGroup) joinNewDynamic(st *step, j *joining) {
	id := g.newMemberID(j.client.ID)
	if j.version < joinNeedsMemberID {
		g.admit(st, j, id)
		return
	}
	if g.pending == nil {
		g.pending = make(map[string]*timer, 1)
	}
	t := &timer{kind: timerSession, group: g, member: id}
	g.pending[id] = t
	st.set(t, j.session)
	j.refuse(st, kerr.MemberIDRequired, id)
}

func (g *classicGroup) dropPending(st *step, id string) {
	if t := g.pending[id]; t != nil {
		st.cancel(t)
		delete(g.pending, id)
	}
}

func (g *classicGroup) joinNewStatic(st *step, j *joining) {
	id := g.newMemberID(*j.instance)
	if oldID, ok := g.static[*j.instance]; ok {
		g.replaceStatic(st, j, g.members[oldID], id)
		return
	}
	g.admit(st, j, id)
}

// admit adds a new member and rebalances.
func (g *classicGroup) admit(st *step, j *joining, id string) {
	m := &member{
		id: id, instance: j.instance, clientID: j.client.ID, clientHost: j.client.Host,
		sessionTimeout: j.session, rebalanceTimeout: j.rebalance, protocols: j.protocols,
		isNew: true, join: j.parked,
	}
	if g.state == PreparingRebalance && g.previous == Empty {
		g.newMemberAdded = true
	}
	if len(g.members) == 0 {
		g.protocolType = j.protocolType
	}
	g.addMember(m)
	st.set(&m.session, g.shard.cfg.NewMemberJoinTimeout)
	g.rebalanceOrComplete(st, "a member joined")
}

// joinAgain serves a member that is in the group already: it follows a
// rebalance, has something new to say, or did not get the last answer.
func (g *classicGroup) joinAgain(st *step, j *joining) {
	if err := g.validate(j.memberID, j.instance); err != nil {
		j.refuse(st, err, j.memberID)
		return
	}
	m := g.members[j.memberID]
	leads := g.leader == m.id
	switch {
	case g.state == CompletingRebalance && m.matches(j.protocols):
		// The answer was lost: the same one again.
		sendJoin(st, j.parked, g.joined(m, leads))
	case g.state == Stable && !leads && m.matches(j.protocols):
		sendJoin(st, j.parked, g.joined(m, false))
	default:
		// A leader that joins a stable group again wants to assign anew:
		// topics may have changed in a way that no subscription shows.
		g.update(st, m, j)
		why := "a member joined again with other metadata"
		if leads {
			why = "the leader joined again"
		}
		g.rebalanceOrComplete(st, why)
	}
}

// joined is the answer that tells m of the current generation; the leader also
// gets everybody's metadata.
func (g *classicGroup) joined(m *member, leads bool) *kmsg.JoinGroupResponse {
	name, kind := g.protocol, g.protocolType
	resp := &kmsg.JoinGroupResponse{
		Generation: g.generation, MemberID: m.id, LeaderID: g.leader,
		Protocol: &name, ProtocolType: &kind,
	}
	if leads {
		resp.Members = make([]kmsg.JoinGroupResponseMember, 0, len(g.order))
		for _, m := range g.order {
			resp.Members = append(resp.Members, kmsg.JoinGroupResponseMember{
				MemberID: m.id, InstanceID: m.instance, ProtocolMetadata: m.metadata(g.protocol),
			})
		}
	}
	return resp
}

// replaceStatic lets a new process take over a static membership (KIP-345). In
// a stable group that costs no rebalance as long as the protocol stays.
func (g *classicGroup) replaceStatic(st *step, j *joining, old *member, id string) {
	was := *old
	leader := g.leader
	m := g.renameMember(st, old, id)
	g.update(st, m, j)
	st.set(&m.session, m.sessionTimeout)
	switch g.state {
	case Stable:
		if g.selectProtocol() != g.protocol {
			g.rebalanceOrComplete(st, "a static member came back with another protocol")
			return
		}
		g.store(st, &takeover{group: g, member: m, was: was, leader: leader, generation: g.generation}, (*member).currentAssignment)
	case CompletingRebalance:
		// The leader may be assigning to the old id: it has to do so again.
		g.prepareRebalance(st, "a static member came back")
	default:
		g.maybeCompleteJoin(st)
	}
}

func (m *member) currentAssignment() []byte { return m.assignment }

// takeover is a static membership that went to a new member id without a
// rebalance; the new process gets its answer when that is durable.
type takeover struct {
	group      *classicGroup
	member     *member
	was        member // as it was before
	leader     string // before, as answers below version 9 name it
	generation int32
}

func (e *takeover) String() string { return "static member " + e.member.id }

// current says whether nothing has happened to the member since. If something
// has, its parked JoinGroup counts for the rebalance that was begun.
func (e *takeover) current() bool {
	g := e.group
	return g.state == Stable && g.generation == e.generation && g.members[e.member.id] == e.member
}

func (e *takeover) durable(s *shard, st *step, _ int64) {
	g, m := e.group, e.member
	g.persisted = true
	if !e.current() || m.join == nil {
		return
	}
	// The session may have run out while the member had to wait for this.
	st.set(&m.session, m.sessionTimeout)
	leads := g.leader == m.id
	if m.join.version < joinSkipAssignment {
		// Older clients would assign, and the assignment would not be used:
		// they are told of the old leader, and so that they follow.
		resp := g.joined(m, false)
		resp.LeaderID = e.leader
		g.answerJoin(st, m, resp)
		return
	}
	resp := g.joined(m, leads)
	resp.SkipAssignment = leads
	g.answerJoin(st, m, resp)
}

func (e *takeover) failed(s *shard, st *step, err *kerr.Error) {
	g, m := e.group, e.member
	if !e.current() {
		return
	}
	resp := g.joined(m, false)
	resp.ErrorCode, resp.MemberID, resp.LeaderID = err.Code, "", e.leader
	g.answerJoin(st, m, resp)
	g.setProtocols(m, e.was.protocols)
	m.sessionTimeout, m.rebalanceTimeout = e.was.sessionTimeout, e.was.rebalanceTimeout
	old := g.renameMember(st, m, e.was.id)
	st.set(&old.session, old.sessionTimeout)
}
