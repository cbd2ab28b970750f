package group

import (
	"bytes"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// State is the state of a classic group.
type State uint8

// The states, in Kafka's words.
const (
	Empty               State = iota // no members; offsets may be there
	PreparingRebalance               // waits until its members have joined
	CompletingRebalance              // waits for the leader's assignment
	Stable                           // every member can have its assignment
	Dead                             // there is no such group
)

// String is the name that clients know the state by.
func (s State) String() string {
	return [...]string{"Empty", "PreparingRebalance", "CompletingRebalance", "Stable", "Dead"}[s]
}

const (
	consumerProtocol = "consumer" // protocol type of the consumer clients
	classicType      = "classic"  // group type in ListGroups
	noTimestamp      = -1
)

// Client says who sent a request.
type Client struct {
	ID   string // client.id
	Host string // as DescribeGroups shows it: "/127.0.0.1"
}

// A protocol is a way of assigning partitions that a member knows, with what
// the member has to say for it (for consumers: its subscription).
type protocol struct {
	name     string
	metadata []byte
}

type parkedJoin struct {
	version int16
	reply   func(*kmsg.JoinGroupResponse)
}

type parkedSync struct {
	version int16
	reply   func(*kmsg.SyncGroupResponse)
}

type member struct {
	id               string
	instance         *string // group.instance.id; nil for a dynamic member
	clientID         string
	clientHost       string
	sessionTimeout   time.Duration
	rebalanceTimeout time.Duration
	protocols        []protocol // in the member's order of preference
	assignment       []byte

	isNew       bool // has not had a JoinGroup answer yet, so sends no heartbeats
	pendingSync bool // has not asked for the assignment of this generation
	join        *parkedJoin
	sync        *parkedSync
	session     timer
}

func (m *member) metadata(name string) []byte {
	for _, p := range m.protocols {
		if p.name == name {
			return p.metadata
		}
	}
	return nil
}

// matches says whether a member that joins again has nothing new to say.
func (m *member) matches(ps []protocol) bool {
	return slices.EqualFunc(m.protocols, ps, func(a, b protocol) bool {
		return a.name == b.name && bytes.Equal(a.metadata, b.metadata)
	})
}

// excused says whether the member's silence is not its fault: it waits for us.
func (m *member) excused() bool { return !m.isNew && (m.join != nil || m.sync != nil) }

// A classicGroup is a group whose members compute the assignment themselves:
// the coordinator picks a leader, hands it all subscriptions, and hands its
// answer out.
type classicGroup struct {
	shard *shard
	id    string

	state, previous State
	since           int64 // ms; when the state was entered, noTimestamp if unknown
	protocolType    string
	protocol        string // chosen for this generation; "" while there is none
	generation      int32
	leader          string

	members map[string]*member
	order   []*member         // as they joined
	static  map[string]string // instance id -> member id
	pending map[string]*timer // member ids handed out, not yet used (KIP-394)

	supported    map[string]int // protocol name -> members that know it
	awaitingJoin int            // members whose JoinGroup is parked
	pendingSyncs int            // members with pendingSync set

	// subscribed is the set of topics of this generation; nil if unknown.
	subscribed map[string]struct{}

	// The first rebalance of an empty group is put off for as long as new
	// members keep coming, within the rebalance timeout.
	initial          bool
	newMemberAdded   bool
	delay, remaining time.Duration

	joinTimer, syncTimer timer

	// storing is the generation whose assignment is on its way to the log;
	// 0 for none (generations begin at 1).
	storing int32
	// persisted says whether the log has a record of this group.
	persisted bool
	// committed says that the log has, or had, offsets of this group. When the last
	// of them is gone the group stays, as in Apache Kafka, until it is deleted or
	// expires; and it goes with a tombstone, for the records of old offsets would
	// bring it back at the next load.
	committed bool
}

func (s *shard) newGroup(now time.Time, id string) *classicGroup {
	g := &classicGroup{shard: s, id: id, previous: Dead, since: now.UnixMilli()}
	g.joinTimer = timer{kind: timerJoin, group: g}
	g.syncTimer = timer{kind: timerSync, group: g}
	return g
}

// to moves the group to another state. The shard counts groups by state.
func (g *classicGroup) to(now time.Time, s State) {
	g.shard.stats.Groups[g.state]--
	g.shard.stats.Groups[s]++
	g.previous, g.state, g.since = g.state, s, now.UnixMilli()
}

func (g *classicGroup) canRebalance() bool {
	return g.state == Stable || g.state == CompletingRebalance || g.state == Empty
}

// blank says that the group is only a name: nothing of it is worth keeping.
func (g *classicGroup) blank() bool {
	return g.idle() && g.generation == 0 && !g.persisted && !g.committed && g.shard.inflight[g.id] == nil
}

// idle says that nobody is in the group or about to join it.
func (g *classicGroup) idle() bool { return g.state == Empty && len(g.pending) == 0 }

// addMember takes m in. Its protocols must be ones that the group supports.
func (g *classicGroup) addMember(m *member) {
	if g.members == nil {
		g.members = make(map[string]*member, 1)
		g.supported = make(map[string]int, len(m.protocols))
	}
	if m.instance != nil {
		if g.static == nil {
			g.static = make(map[string]string, 1)
		}
		g.static[*m.instance] = m.id
	}
	if g.leader == "" {
		g.leader = m.id
	}
	m.session = timer{kind: timerSession, group: g, member: m.id}
	g.members[m.id] = m
	g.order = append(g.order, m)
	g.countProtocols(m, 1)
	if m.join != nil {
		g.awaitingJoin++
	}
	if m.pendingSync {
		g.pendingSyncs++
	}
	g.shard.stats.Members++
}

// removeMember forgets a member and its timer. Its parked requests must have
// been answered before. Where the leader goes, the oldest member leads.
func (g *classicGroup) removeMember(st *step, m *member) {
	g.answerParked(st, m, kerr.UnknownMemberID)
	st.cancel(&m.session)
	delete(g.members, m.id)
	i := slices.Index(g.order, m)
	g.order = slices.Delete(g.order, i, i+1)
	g.countProtocols(m, -1)
	if m.instance != nil && g.static[*m.instance] == m.id {
		delete(g.static, *m.instance)
	}
	g.setPendingSync(m, false)
	if g.leader == m.id {
		g.leader = ""
		if len(g.order) > 0 {
			g.leader = g.order[0].id
		}
	}
	g.shard.stats.Members--
}

func (g *classicGroup) countProtocols(m *member, by int) {
	for _, p := range m.protocols {
		if g.supported[p.name] += by; g.supported[p.name] == 0 {
			delete(g.supported, p.name)
		}
	}
}

func (g *classicGroup) setPendingSync(m *member, pending bool) {
	if m.pendingSync == pending {
		return
	}
	m.pendingSync = pending
	if pending {
		g.pendingSyncs++
	} else {
		g.pendingSyncs--
	}
}

// renameMember gives a static member another id, as when a new process of the
// same group.instance.id has joined: the old one is fenced (KIP-345).
func (g *classicGroup) renameMember(st *step, old *member, id string) *member {
	g.answerParked(st, old, kerr.FencedInstanceID)
	st.cancel(&old.session)
	m := *old
	m.id, m.isNew = id, false
	m.session = timer{kind: timerSession, group: g, member: id}
	delete(g.members, old.id)
	g.members[id] = &m
	g.order[slices.Index(g.order, old)] = &m
	if g.leader == old.id {
		g.leader = id
	}
	g.static[*m.instance] = id
	return &m
}

// update takes over what a member said as it joined again.
func (g *classicGroup) update(st *step, m *member, j *joining) {
	g.setProtocols(m, j.protocols)
	m.sessionTimeout, m.rebalanceTimeout = j.session, j.rebalance
	g.park(st, m, j.parked)
}

func (g *classicGroup) setProtocols(m *member, ps []protocol) {
	g.countProtocols(m, -1)
	m.protocols = ps
	g.countProtocols(m, 1)
}

// park keeps a JoinGroup until its rebalance is over. One that was parked
// before is an attempt that the client has given up: it is answered with what
// makes a client try again, should anybody still read it.
func (g *classicGroup) park(st *step, m *member, p *parkedJoin) {
	if m.join != nil {
		g.answerJoin(st, m, &kmsg.JoinGroupResponse{ErrorCode: kerr.RebalanceInProgress.Code, Generation: -1, MemberID: m.id})
	}
	m.join = p
	g.awaitingJoin++
}

// answerJoin answers m's parked JoinGroup and says whether there was one.
func (g *classicGroup) answerJoin(st *step, m *member, resp *kmsg.JoinGroupResponse) bool {
	if m.join == nil {
		return false
	}
	p := m.join
	m.join = nil
	g.awaitingJoin--
	sendJoin(st, p, resp)
	return true
}

// answerSync answers m's parked SyncGroup and says whether there was one.
func (g *classicGroup) answerSync(st *step, m *member, resp *kmsg.SyncGroupResponse) bool {
	if m.sync == nil {
		return false
	}
	p := m.sync
	m.sync = nil
	sendSync(st, p, resp)
	return true
}

// answerParked ends whatever m waits for with an error.
func (g *classicGroup) answerParked(st *step, m *member, err *kerr.Error) {
	id := ""
	if err == kerr.FencedInstanceID {
		id = m.id
	}
	g.answerJoin(st, m, &kmsg.JoinGroupResponse{ErrorCode: err.Code, Generation: -1, MemberID: id})
	g.answerSync(st, m, &kmsg.SyncGroupResponse{ErrorCode: err.Code})
}

// validate checks that a request comes from a member of the group, and not
// from a process whose static membership another one has taken over.
func (g *classicGroup) validate(memberID string, instance *string) *kerr.Error {
	if instance != nil {
		current, ok := g.static[*instance]
		if !ok {
			return kerr.UnknownMemberID
		}
		if current != memberID {
			return kerr.FencedInstanceID
		}
	}
	if g.members[memberID] == nil {
		return kerr.UnknownMemberID
	}
	return nil
}

// supports says whether a member with these protocols can be in the group: one
// of them must be known to all members.
func (g *classicGroup) supports(protocolType string, ps []protocol) bool {
	if g.state == Empty {
		return protocolType != "" && len(ps) > 0
	}
	if protocolType != g.protocolType {
		return false
	}
	return slices.ContainsFunc(ps, func(p protocol) bool { return g.supported[p.name] == len(g.members) })
}

// selectProtocol lets each member vote for the first of its protocols that all
// members know. Of equal counts, the one voted for first wins.
func (g *classicGroup) selectProtocol() string {
	votes := make(map[string]int, 1)
	best := ""
	for _, m := range g.order {
		for _, p := range m.protocols {
			if g.supported[p.name] == len(g.members) {
				votes[p.name]++
				break
			}
		}
	}
	for _, m := range g.order {
		for _, p := range m.protocols {
			if votes[p.name] > votes[best] {
				best = p.name
			}
		}
	}
	return best
}

// allJoined says whether nobody is missing for the next generation.
func (g *classicGroup) allJoined() bool {
	return len(g.members) == g.awaitingJoin && len(g.pending) == 0
}

func (g *classicGroup) rebalanceTimeout() time.Duration {
	var longest time.Duration
	for _, m := range g.order {
		longest = max(longest, m.rebalanceTimeout)
	}
	return longest
}

// learnSubscriptions notes the topics that the members of this generation have
// subscribed to. They are unknown for other protocol types than the consumers'.
func (g *classicGroup) learnSubscriptions() {
	g.subscribed = nil
	if g.protocolType != consumerProtocol || g.protocol == "" && len(g.members) > 0 {
		return
	}
	topics := make(map[string]struct{})
	for _, m := range g.order {
		if !subscribedTopics(m.metadata(g.protocol), topics) {
			return
		}
	}
	g.subscribed = topics
}

// isSubscribed says whether the group may still need its offsets of topic.
func (g *classicGroup) isSubscribed(topic string) bool {
	if g.subscribed == nil {
		return g.protocolType == consumerProtocol
	}
	_, ok := g.subscribed[topic]
	return ok
}

// cloneProtocols copies what a request says, and passes over a second protocol
// of the same name.
func cloneProtocols(in []kmsg.JoinGroupRequestProtocol) []protocol {
	out := make([]protocol, 0, len(in))
	for _, p := range in {
		if slices.ContainsFunc(out, func(o protocol) bool { return o.name == p.Name }) {
			continue
		}
		out = append(out, protocol{name: strings.Clone(p.Name), metadata: bytes.Clone(p.Metadata)})
	}
	return out
}

func cloneInstance(s *string) *string {
	if s == nil {
		return nil
	}
	c := strings.Clone(*s)
	return &c
}
