package group

import (
	"slices"
	"sync/atomic"

	"github.com/twmb/franz-go/pkg/kerr"
)

// A shard is the state of one partition of __consumer_offsets, as a pure state
// machine: see the package's documentation. Its methods are called one at a
// time, with the time and the actions so far in a step.
type shard struct {
	cfg    *Config
	newID  func() string // makes the part of member ids that is unlike any other
	groups map[string]*classicGroup
	// offsets holds what is durable, by group. Every group in it is in groups
	// too.
	offsets map[string]*groupOffsets
	// txns holds the offsets of open transactions, by producer id: durable too,
	// but they move into offsets only when their transaction commits. unstable
	// says which producers have such for an offset of a group, and pendingOf how
	// many there are in a group; every group in them is in groups.
	txns      map[int64]*openTxn
	unstable  map[string]map[offsetKey][]int64
	pendingOf map[string]int
	topics    map[topicKey]*topicRef
	// inflight lists, by group, the appends that have not ended, in order.
	inflight map[string][]*entry
	expiry   timer
	armed    bool // expiry is set
	stats    Stats
	// total counts the groups of all shards of the coordinator.
	total *atomic.Int64
}

func newShard(cfg *Config, newID func() string, total *atomic.Int64) *shard {
	return &shard{
		cfg: cfg, newID: newID, total: total,
		groups:    make(map[string]*classicGroup),
		offsets:   make(map[string]*groupOffsets),
		txns:      make(map[int64]*openTxn),
		unstable:  make(map[string]map[offsetKey][]int64),
		pendingOf: make(map[string]int),
		topics:    make(map[topicKey]*topicRef),
		inflight:  make(map[string][]*entry),
		expiry:    timer{kind: timerExpiry},
	}
}

// full says whether the coordinator takes no further group.
func (s *shard) full() bool { return s.total.Load() >= int64(s.cfg.MaxGroups) }

// addGroup makes g known, in place of one with the same id.
func (s *shard) addGroup(st *step, g *classicGroup) *classicGroup {
	if old := s.groups[g.id]; old != nil {
		s.removeGroup(st, old)
	}
	s.groups[g.id] = g
	s.stats.Groups[g.state]++
	s.total.Add(1)
	if !s.armed {
		s.armed = true
		st.set(&s.expiry, s.cfg.OffsetsRetentionCheck)
	}
	return g
}

// removeGroup forgets a group, whoever is in it.
func (s *shard) removeGroup(st *step, g *classicGroup) {
	for id := range g.pending {
		g.dropPending(st, id)
	}
	for len(g.order) > 0 {
		g.removeMember(st, g.order[0])
	}
	st.cancel(&g.joinTimer)
	st.cancel(&g.syncTimer)
	delete(s.groups, g.id)
	s.stats.Groups[g.state]--
	s.total.Add(-1)
}

func (s *shard) dropIfBlank(st *step, g *classicGroup) {
	if s.groups[g.id] == g && g.blank() {
		s.removeGroup(st, g)
	}
}

// append gives e to the log.
func (s *shard) append(st *step, e *entry) {
	s.inflight[e.group] = append(s.inflight[e.group], e)
	st.append(e)
}

// appended is the event that an append has ended: err is nil, or what clients
// get to see; base is the offset of the entry's first record.
func (s *shard) appended(st *step, e *entry, base int64, err *kerr.Error) {
	if rest := slices.DeleteFunc(s.inflight[e.group], func(o *entry) bool { return o == e }); len(rest) > 0 {
		s.inflight[e.group] = rest
	} else {
		delete(s.inflight, e.group)
	}
	if err == nil {
		s.stats.Appends++
		e.effect.durable(s, st, base)
	} else {
		s.stats.FailedAppends++
		e.effect.failed(s, st, err)
	}
	for _, then := range e.then {
		then(st, err)
	}
	if g := s.groups[e.group]; g != nil {
		s.dropIfBlank(st, g)
	}
}

// fire is the event that a timer has run out.
func (s *shard) fire(st *step, t *timer) {
	if t.kind == timerExpiry {
		s.armed = false
		s.expire(st)
		if len(s.groups) > 0 {
			s.armed = true
			st.set(&s.expiry, s.cfg.OffsetsRetentionCheck)
		}
		return
	}
	g := t.group
	if s.groups[g.id] != g {
		return
	}
	switch t.kind {
	case timerSession:
		g.sessionExpired(st, t.member)
	case timerJoin:
		g.joinExpired(st)
	case timerSync:
		g.syncExpired(st)
	}
}

// resign ends every wait, because this coordinator serves the shard no more.
// Clients look for the coordinator again.
func (s *shard) resign(st *step) {
	for _, g := range s.groups {
		for _, m := range g.order {
			if m.sync != nil && g.storing == g.generation {
				continue // its assignment is on its way to the log: let it arrive
			}
			g.answerParked(st, m, kerr.NotCoordinator)
		}
	}
}
