package group

import (
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"go.uber.org/zap"

	"github.com/streamweir/streamweir/broker/coordinator"
	"github.com/streamweir/streamweir/protocol/kafka"
)

// A step is one event on its way through a shard: when it happened, and the
// actions that it caused, in order. The shard only writes the actions down.
type step struct {
	now     time.Time
	actions []action
}

type actionKind uint8

const (
	actReply  actionKind = iota // call reply, with no lock held
	actAppend                   // give entry to the log; report back with shard.appended
	actSet                      // fire timer at at, in place of any earlier setting
	actCancel                   // do not fire timer
	actNote                     // tell the operator
)

type action struct {
	kind  actionKind
	reply func()
	entry *entry
	timer *timer
	at    time.Time
	note  *note
}

// A note is news of a group for the server's log.
type note struct {
	text   string
	fields []zap.Field
}

func (st *step) note(g *classicGroup, text string, fields ...zap.Field) {
	fields = append(fields, zap.String("group", g.id), zap.Int32("generation", g.generation), zap.Int("members", len(g.members)))
	st.actions = append(st.actions, action{kind: actNote, note: &note{text, fields}})
}

func (st *step) reply(f func())  { st.actions = append(st.actions, action{kind: actReply, reply: f}) }
func (st *step) append(e *entry) { st.actions = append(st.actions, action{kind: actAppend, entry: e}) }

func (st *step) set(t *timer, after time.Duration) {
	st.actions = append(st.actions, action{kind: actSet, timer: t, at: st.now.Add(after)})
}

func (st *step) cancel(t *timer) {
	st.actions = append(st.actions, action{kind: actCancel, timer: t})
}

// A record is what goes into __consumer_offsets. A nil value is a tombstone.
type record struct{ key, value []byte }

// An entry is a set of records that become durable together, and what follows
// from that. The entries of a shard end in the order in which they were asked
// for, each exactly once.
type entry struct {
	group   string
	records []record
	effect  effect
	// producer is the one whose transaction the records are part of, or nil; guard
	// is then what the log needs to know that the transaction is verified.
	producer *kafka.Producer
	guard    uint64
	// then is called after the effect: answers that only had to wait.
	then []func(st *step, err *kerr.Error)
}

func (e *entry) size() int {
	n := 0
	for _, r := range e.records {
		n += len(r.key) + len(r.value)
	}
	return n
}

// An effect is what an append means to the shard once it has ended.
type effect interface {
	// durable is called when the log holds the entry; base is the offset of
	// its first record.
	durable(s *shard, st *step, base int64)
	// failed is called when the log refused it, with the error for clients.
	failed(s *shard, st *step, err *kerr.Error)
	// String says what was appended, for transcripts and logs.
	String() string
}

type timerKind uint8

const (
	timerSession timerKind = iota // a member, or an id handed out, is silent for too long
	timerJoin                     // the time to join the next generation is over
	timerSync                     // the time to ask for the assignment is over
	timerExpiry                   // look for offsets and groups that nobody uses
)

func (k timerKind) String() string {
	return [...]string{"session", "join", "sync", "expiry"}[k]
}

// A timer is a handle by which a shard names a timer to the edge.
type timer struct {
	kind   timerKind
	group  *classicGroup
	member string // for timerSession

	coordinator.Timer // the edge's own
}

// timerHeap is the timers of a shard, as the edge keeps them.
type timerHeap = coordinator.Timers[*timer]
