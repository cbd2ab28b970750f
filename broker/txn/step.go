package txn

import (
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"go.uber.org/zap"

	"github.com/streamweir/streamweir/broker/coordinator"
)

// A step is one event on its way through a shard: when it happened, and the
// actions that it caused, in order. The shard only writes the actions down.
type step struct {
	now     time.Time
	actions []action
	// spare is a producer id that nobody has, for the event to use; noProducerID
	// where the event came without, or has used it.
	spare int64
}

// newProducerID takes the spare producer id. An event that needs more than one
// leaves the rest of its work for later.
func (st *step) newProducerID() (int64, *kerr.Error) {
	id := st.spare
	if id == noProducerID {
		return id, kerr.CoordinatorNotAvailable
	}
	st.spare = noProducerID
	return id, nil
}

func (st *step) ms() int64 { return st.now.UnixMilli() }

type actionKind uint8

const (
	actReply  actionKind = iota // call reply, with no lock held
	actAppend                   // give entry to the log; report back with shard.appended
	actMarker                   // write marker; report back with shard.markerEnded
	actSet                      // fire timer at at, in place of any earlier setting
	actCancel                   // do not fire timer
	actNote                     // tell the operator
)

type action struct {
	kind   actionKind
	reply  func()
	entry  *entry
	marker *sending
	timer  *timer
	at     time.Time
	note   *note
}

// A note is news for the server's log.
type note struct {
	text   string
	grave  bool
	fields []zap.Field
}

func (st *step) note(t *transaction, text string, fields ...zap.Field) {
	st.tell(t, false, text, fields)
}

// alarm is a note of something that should not be.
func (st *step) alarm(t *transaction, text string, fields ...zap.Field) {
	st.tell(t, true, text, fields)
}

func (st *step) tell(t *transaction, grave bool, text string, fields []zap.Field) {
	fields = append(fields, zap.String("transactional_id", t.id), zap.Int64("producer_id", t.producerID),
		zap.Int16("epoch", t.epoch), zap.Stringer("state", t.state))
	st.actions = append(st.actions, action{kind: actNote, note: &note{text, grave, fields}})
}

func (st *step) reply(f func())  { st.actions = append(st.actions, action{kind: actReply, reply: f}) }
func (st *step) append(e *entry) { st.actions = append(st.actions, action{kind: actAppend, entry: e}) }
func (st *step) marker(m *sending) {
	st.actions = append(st.actions, action{kind: actMarker, marker: m})
}

func (st *step) set(t *timer, after time.Duration) {
	st.actions = append(st.actions, action{kind: actSet, timer: t, at: st.now.Add(after)})
}

func (st *step) cancel(t *timer) {
	st.actions = append(st.actions, action{kind: actCancel, timer: t})
}

// A record is what goes into __transaction_state. A nil value is a tombstone.
type record struct{ key, value []byte }

// An entry is a set of records that become durable together, and what follows
// from that. The entries of a shard end in the order in which they were asked
// for, each exactly once.
type entry struct {
	id      string // the transactional id, or the first of several
	records []record
	effect  effect
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
	// durable is called when the log holds the entry.
	durable(s *shard, st *step)
	// failed is called when the log refused it, with the error for clients.
	failed(s *shard, st *step, err *kerr.Error)
	// String says what was appended, for transcripts and logs.
	String() string
}

type timerKind uint8

const (
	timerTimeouts timerKind = iota // look for transactions that are over their timeout
	timerExpiry                    // look for transactional ids that nobody uses
	timerRetry                     // write markers again, or the record of the end
	timerWaiting                   // requests have waited long enough for a transaction to end
)

func (k timerKind) String() string {
	return [...]string{"timeouts", "expiry", "retry", "waiting"}[k]
}

// A timer is a handle by which a shard names a timer to the edge.
type timer struct {
	kind timerKind
	txn  *transaction // nil for those of the whole shard

	coordinator.Timer // the edge's own
}

// timerHeap is the timers of a shard, as the edge keeps them.
type timerHeap = coordinator.Timers[*timer]
