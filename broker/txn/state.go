package txn

import (
	"math"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
)

// State is where a transaction stands. The numbers are those in the log.
type State int8

// The states, as Apache Kafka has them. Dead is what an expired id is about to
// become; PrepareEpochFence exists only as a name in requests: here the fence
// and the abort that follows are one step.
const (
	Empty State = iota
	Ongoing
	PrepareCommit
	PrepareAbort
	CompleteCommit
	CompleteAbort
	Dead
	PrepareEpochFence
)

// states is how many there are.
const states = 8

func (s State) String() string {
	return [states]string{
		"Empty", "Ongoing", "PrepareCommit", "PrepareAbort", "CompleteCommit", "CompleteAbort", "Dead", "PrepareEpochFence",
	}[s]
}

// stateNamed finds a state by its name; ok is false where there is none such.
func stateNamed(name string) (state State, ok bool) {
	for s := range State(states) {
		if s.String() == name {
			return s, true
		}
	}
	return 0, false
}

// preparing says that the decision is made and not every partition knows it.
func (s State) preparing() bool { return s == PrepareCommit || s == PrepareAbort }

// resting says that no transaction is open.
func (s State) resting() bool { return s == Empty || s == CompleteCommit || s == CompleteAbort }

// follows says whether a transaction may go from one state to the next.
func (s State) follows(before State) bool {
	switch s {
	case Empty:
		return before.resting()
	case Ongoing:
		return before.resting() || before == Ongoing
	case PrepareCommit:
		return before == Ongoing
	case PrepareAbort:
		return before == Ongoing || before.resting() // KIP-890: of an empty one too
	case CompleteCommit:
		return before == PrepareCommit
	case CompleteAbort:
		return before == PrepareAbort
	default:
		return false
	}
}

const (
	noProducerID    = -1
	noProducerEpoch = -1
	noTimestamp     = -1
)

// Transaction versions (KIP-890): what a client's request shows it to know.
const (
	clientVersion0 int16 = 0 // markers carry the epoch of the records
	clientVersion2 int16 = 2 // every end of a transaction raises the epoch
)

// Version is the transaction version that is announced to clients.
const Version = clientVersion2

// exhausted says that the epoch must not be raised for a client any more: the
// last one is kept for fencing.
func exhausted(epoch int16) bool { return epoch >= math.MaxInt16-1 }

// metadata is what the log holds of a transactional id, but for lastEpoch,
// which a restart forgets as in Apache Kafka.
type metadata struct {
	producerID, prevProducerID, nextProducerID int64
	epoch, lastEpoch                           int16
	timeoutMs                                  int32
	state                                      State
	partitions                                 partitions
	started, updated                           int64 // ms; started is noTimestamp without a transaction
	version                                    int16 // of the client, when the state was reached
}

// to begins the metadata of the next state.
func (m *metadata) to(state State, now int64) metadata {
	next := *m
	next.state, next.prevProducerID, next.updated = state, m.producerID, now
	return next
}

// created is a transactional id that the log does not know yet.
func created(producerID int64, timeoutMs int32, now int64) metadata {
	return metadata{
		producerID: producerID, prevProducerID: noProducerID, nextProducerID: noProducerID,
		epoch: noProducerEpoch, lastEpoch: noProducerEpoch, timeoutMs: timeoutMs, started: noTimestamp, updated: now,
	}
}

// initialized is the id in the hands of a producer that begins anew.
func (m *metadata) initialized(timeoutMs int32, now int64) metadata {
	next := m.to(Empty, now)
	next.timeoutMs, next.partitions, next.started = timeoutMs, nil, noTimestamp
	return next
}

// expected is what a producer says of itself when it goes on after an error
// (KIP-360); one that begins anew has noProducerID.
type expected struct {
	producerID int64
	epoch      int16
}

func (e expected) given() bool { return e.producerID != noProducerID }

// admits says whether the sender may still be the producer of this id: it has
// the current producer id, or had the one before and used up its epochs.
func (m *metadata) admits(e expected) bool {
	return !e.given() || m.epoch == noProducerEpoch || e.producerID == m.producerID ||
		e.producerID == m.prevProducerID && exhausted(e.epoch)
}

// rotates says whether the next producer needs a new producer id.
func (m *metadata) rotates(e expected) bool {
	return exhausted(m.epoch) && (!e.given() || e.epoch == m.epoch)
}

// rotated gives the id a new producer id.
func (m *metadata) rotated(producerID int64, e expected, timeoutMs int32, now int64) metadata {
	next := m.initialized(timeoutMs, now)
	next.producerID, next.epoch, next.lastEpoch = producerID, 0, noProducerEpoch
	if e.given() {
		next.lastEpoch = m.epoch
	}
	return next
}

// raised gives the id its next epoch, or the present one to a producer that
// repeats its request.
func (m *metadata) raised(e expected, timeoutMs int32, now int64) (metadata, *kerr.Error) {
	next := m.initialized(timeoutMs, now)
	switch {
	case !e.given():
		next.epoch, next.lastEpoch = m.epoch+1, noProducerEpoch
	case m.epoch == noProducerEpoch || e.epoch == m.epoch:
		next.epoch, next.lastEpoch = m.epoch+1, m.epoch
	case e.epoch == m.lastEpoch:
		// The answer to its last request was lost. No other producer has come
		// since: that would have forgotten the last epoch.
	default:
		return next, kerr.ProducerFenced
	}
	return next, nil
}

// adding is the transaction with more partitions.
func (m *metadata) adding(ps partitions, version int16, now int64) metadata {
	next := m.to(Ongoing, now)
	if m.state.resting() {
		next.started = now
	}
	next.partitions, next.version = ps, version
	return next
}

// prepared is the transaction decided. Where the version raises the epoch and
// that uses up the epochs, nextProducerID is the producer id to go on with.
func (m *metadata) prepared(state State, version int16, nextProducerID, now int64) metadata {
	next := m.to(state, now)
	if version >= clientVersion2 {
		next.lastEpoch = m.epoch
		if m.epoch < math.MaxInt16 {
			next.epoch = m.epoch + 1
		}
	}
	if m.state.resting() {
		next.partitions, next.started = nil, now // nothing was added, and it is aborted all the same
	}
	next.nextProducerID, next.version = nextProducerID, version
	return next
}

// completed is the transaction when every partition has its marker.
func (m *metadata) completed(now int64) metadata {
	state := CompleteAbort
	if m.state == PrepareCommit {
		state = CompleteCommit
	}
	next := m.to(state, now)
	next.producerID, next.epoch = m.successor()
	next.nextProducerID, next.partitions = noProducerID, nil
	return next
}

// successor is what a producer goes on with after the decision in m.
func (m *metadata) successor() (producerID int64, epoch int16) {
	if m.version >= clientVersion2 && m.nextProducerID != noProducerID {
		return m.nextProducerID, 0
	}
	return m.producerID, m.epoch
}

// size is the memory that an id takes, near enough for a limit.
func size(id string, m *metadata) int64 {
	n := int64(transactionBytes + len(id))
	for i := range m.partitions {
		n += int64(topicBytes + len(m.partitions[i].topic) + 4*len(m.partitions[i].indexes))
	}
	return n
}

// About what the structures themselves take.
const (
	transactionBytes = 400
	topicBytes       = 48
)

// clone copies a string that a request may take away again.
func clone(s string) string { return strings.Clone(s) }
