package group

import (
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/zap"
)

// rebalanceOrComplete begins a rebalance, or goes on with the one under way.
// It returns the append that this caused, if any.
func (g *classicGroup) rebalanceOrComplete(st *step, why string) *entry {
	if g.canRebalance() {
		return g.prepareRebalance(st, why)
	}
	return g.maybeCompleteJoin(st)
}

// prepareRebalance asks all members to join again; why is for the log.
func (g *classicGroup) prepareRebalance(st *step, why string) *entry {
	st.note(g, "a group rebalances", zap.String("why", why), zap.Stringer("state", g.state))
	if g.state == CompletingRebalance {
		g.resetAssignments(st, kerr.RebalanceInProgress)
	}
	g.endSync(st)
	if g.state == Empty {
		g.initial, g.newMemberAdded = true, false
		g.delay = g.shard.cfg.InitialRebalanceDelay
		g.remaining = max(g.rebalanceTimeout()-g.delay, 0)
		g.to(st.now, PreparingRebalance)
		st.set(&g.joinTimer, g.delay)
		return nil
	}
	g.to(st.now, PreparingRebalance)
	if g.allJoined() {
		return g.completeJoin(st)
	}
	st.set(&g.joinTimer, g.rebalanceTimeout())
	return nil
}

// maybeCompleteJoin ends the join phase early if nobody is missing. The first
// rebalance of a group always waits for its time.
func (g *classicGroup) maybeCompleteJoin(st *step) *entry {
	if g.state != PreparingRebalance || g.previous == Empty || !g.allJoined() {
		return nil
	}
	return g.completeJoin(st)
}

// joinExpired is the join timer.
func (g *classicGroup) joinExpired(st *step) {
	if g.state != PreparingRebalance {
		return
	}
	if g.initial && g.newMemberAdded && g.remaining > 0 {
		g.newMemberAdded = false
		spent := g.delay
		g.delay = min(g.shard.cfg.InitialRebalanceDelay, g.remaining)
		g.remaining = max(g.remaining-spent, 0)
		st.set(&g.joinTimer, g.delay)
		return
	}
	g.completeJoin(st)
}

// completeJoin begins the next generation with those who are there. Dynamic
// members that have not joined are out; static ones stay until their session
// ends.
func (g *classicGroup) completeJoin(st *step) *entry {
	g.initial, g.newMemberAdded = false, false
	st.cancel(&g.joinTimer)
	for i := 0; i < len(g.order); {
		if m := g.order[i]; m.join == nil && m.instance == nil {
			st.note(g, "a member did not join again within the rebalance timeout", zap.String("member", m.id), zap.String("client", m.clientID))
			g.removeMember(st, m)
			continue
		}
		i++
	}
	if len(g.members) > 0 && !g.electLeader() {
		// Nobody is here but static members that are away: wait for them, or
		// for their sessions to end.
		st.set(&g.joinTimer, g.rebalanceTimeout())
		return nil
	}
	g.generation++
	if len(g.members) == 0 {
		g.protocol, g.leader = "", ""
		g.learnSubscriptions()
		g.to(st.now, Empty)
		st.note(g, "a group is empty")
		return g.store(st, &emptied{group: g}, (*member).currentAssignment)
	}
	g.protocol = g.selectProtocol()
	g.learnSubscriptions()
	g.to(st.now, CompletingRebalance)
	for _, m := range g.order {
		g.answerJoin(st, m, g.joined(m, g.leader == m.id))
		st.set(&m.session, m.sessionTimeout)
		m.isNew = false
		g.setPendingSync(m, true)
	}
	st.set(&g.syncTimer, g.rebalanceTimeout())
	return nil
}

// electLeader keeps the leader if it has joined, or else takes the oldest
// member that has. It says whether there is one.
func (g *classicGroup) electLeader() bool {
	if m := g.members[g.leader]; m != nil && m.join != nil {
		return true
	}
	for _, m := range g.order {
		if m.join != nil {
			g.leader = m.id
			return true
		}
	}
	return false
}

// syncExpired is the sync timer: members that have not asked for their
// assignment are out, and the rest goes on without them.
func (g *classicGroup) syncExpired(st *step) {
	if g.state != CompletingRebalance && g.state != Stable || g.pendingSyncs == 0 {
		return
	}
	for i := 0; i < len(g.order); {
		if m := g.order[i]; m.pendingSync {
			st.note(g, "a member did not ask for its assignment within the rebalance timeout", zap.String("member", m.id), zap.String("client", m.clientID))
			g.removeMember(st, m)
			continue
		}
		i++
	}
	g.prepareRebalance(st, "members did not ask for their assignment")
}

// endSync ends the wait for SyncGroups.
func (g *classicGroup) endSync(st *step) {
	for _, m := range g.order {
		g.setPendingSync(m, false)
	}
	st.cancel(&g.syncTimer)
}

// synced notes that m has asked for its assignment.
func (g *classicGroup) synced(st *step, m *member) {
	if g.setPendingSync(m, false); g.pendingSyncs == 0 {
		st.cancel(&g.syncTimer)
	}
}

// resetAssignments takes back what was assigned and lets all who wait for an
// assignment know why.
func (g *classicGroup) resetAssignments(st *step, err *kerr.Error) {
	for _, m := range g.order {
		m.assignment = nil
		if g.answerSync(st, m, &kmsg.SyncGroupResponse{ErrorCode: err.Code}) {
			st.set(&m.session, m.sessionTimeout)
		}
	}
}

// store appends the group's record with the given assignments, unless it is
// larger than the log would take.
func (g *classicGroup) store(st *step, eff effect, assignment func(*member) []byte) *entry {
	e := &entry{group: g.id, records: []record{g.record(assignment)}, effect: eff}
	if e.size() > g.shard.cfg.MaxGroupBytes {
		eff.failed(g.shard, st, kerr.UnknownServerError)
		return nil
	}
	g.shard.append(st, e)
	return e
}

// emptied is the record of a group without members.
type emptied struct{ group *classicGroup }

func (e *emptied) String() string { return "empty group" }

func (e *emptied) durable(*shard, *step, int64) { e.group.persisted = true }

// failed does nothing: until the next rebalance the log tells of a generation
// whose members have left, and after a restart they would time out.
func (e *emptied) failed(*shard, *step, *kerr.Error) {}
