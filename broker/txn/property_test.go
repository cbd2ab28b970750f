package txn

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"pgregory.net/rapid"
)

// TestRandomEvents lets a few producers, which fence each other, send their
// requests in any order to a shard whose log and partitions are slow, fail, and
// crash between any two actions: a prefix of the appends under way is in the log
// then, and any of the markers under way are in their partitions. What consumers
// of the partitions see is compared with what the producers were told.
func TestRandomEvents(t *testing.T) {
	for i := range 20 { // of a hundred each, by default
		t.Run(fmt.Sprint(i), func(t *testing.T) { rapid.Check(t, randomEvents) })
	}
}

func randomEvents(t *rapid.T) {
	w := newWorld(t)
	t.Repeat(map[string]func(*rapid.T){
		"init":        w.inits,
		"produce":     w.produces,
		"produce 2":   w.produces,
		"end":         w.ends,
		"log":         w.appendEnds,
		"marker":      w.markerEnds,
		"flow":        w.flows,
		"time":        w.timePasses,
		"crash":       w.crashes,
		"":            w.check,
		"goes on":     w.flows,
		"end, please": w.ends,
	})
	w.settle()
}

// world is a shard with everything around it, and what must be true.
type world struct {
	t       failer
	cfg     Config
	sum     total
	epoch   int32
	shard   *shard
	now     time.Time
	ids     int64
	timers  timerHeap
	queue   []*entry
	log     []record
	markers []*sending

	logs    map[TopicPartition]*partitionLog
	clients []*client
	owner   map[string]*client // who was told last that it has the id
	txns    []*attempt
}

// A client is a producer process, which believes what it was told.
type client struct {
	name     string
	id       string
	version  int16
	producer expected // as it was told; not given before the first answer
	broken   bool     // it has to initialize before anything else
	fresh    bool     // and does that as a new process does, not by KIP-360
	waits    int      // answers that it waits for
	txn      *attempt // nil when it has begun none
	added    map[TopicPartition]bool
	term     int // counts crashes: answers of before never come
}

// An attempt is a transaction as a client sees it.
type attempt struct {
	number     int
	by         *client
	records    map[TopicPartition]int
	asked      bool // to be committed or aborted; it is sure of one or the other
	commit     bool // the one that was asked for
	commitSaid bool // the client was told that it is committed
	abortSaid  bool
}

// partitionLog is a partition as the log side promises it.
type partitionLog struct {
	entries   []logEntry
	producers map[int64]*logProducer
}

type logEntry struct {
	producerID int64
	attempt    *attempt // nil for a marker
	commit     bool
}

type logProducer struct {
	epoch       int16
	open        bool
	coordinator int32
}

// failer is a test, random or not.
type failer interface {
	Fatalf(format string, args ...any)
}

func newWorld(t failer) *world {
	w := &world{
		t: t, cfg: DefaultConfig(), epoch: 1, now: stageStart, ids: 100,
		logs: map[TopicPartition]*partitionLog{}, owner: map[string]*client{},
	}
	w.cfg.Expiration, w.cfg.ExpirationCheck = 10*time.Minute, time.Minute
	for _, tp := range []TopicPartition{{"t", 0}, {"t", 1}, {"__consumer_offsets", 3}} {
		w.logs[tp] = &partitionLog{producers: map[int64]*logProducer{}}
	}
	for _, c := range []struct {
		id      string
		version int16
	}{{"a", 2}, {"a", 2}, {"a", 0}, {"b", 2}, {"b", 0}} {
		w.clients = append(w.clients, &client{
			name: fmt.Sprint(c.id, len(w.clients)), id: c.id, version: c.version,
			producer: expected{noProducerID, noProducerEpoch}, broken: true, fresh: true,
		})
	}
	// One id is close to the end of its epochs.
	m := created(50, 60_000, w.now.UnixMilli())
	m.epoch = math.MaxInt16 - 4
	w.log = append(w.log, record{transactionKey("b"), m.value()})
	w.load()
	return w
}

func (w *world) load() {
	w.sum = total{}
	w.shard = newShard(&w.cfg, w.epoch, &w.sum)
	for i, r := range w.log {
		if known, err := w.shard.replay(r); err != nil || !known {
			w.t.Fatalf("replay of record %d: %v", i, err)
		}
	}
	w.run(w.shard.loaded)
}

func (w *world) run(event func(st *step)) {
	st := &step{now: w.now, spare: w.ids}
	event(st)
	if st.spare == noProducerID {
		w.ids++
	}
	for _, a := range st.actions {
		switch a.kind {
		case actReply:
			a.reply()
		case actAppend:
			w.queue = append(w.queue, a.entry)
		case actMarker:
			w.markers = append(w.markers, a.marker)
		case actSet:
			w.timers.Set(a.timer, a.at)
		case actCancel:
			w.timers.Cancel(a.timer)
		}
	}
}

// answer wraps what a client does with an answer: it comes once, and not after a
// crash. stale says that the client was fenced before it asked: it must not
// succeed.
func (w *world) answer(c *client, what string, then func(err *kerr.Error)) func(err *kerr.Error) {
	c.waits++
	if w.shard.get(c.id) == nil {
		delete(w.owner, c.id) // it has expired, and whoever had it is forgotten
	}
	owner := w.owner[c.id]
	term, stale, answered := c.term, owner != nil && owner != c, false
	return func(err *kerr.Error) {
		if answered {
			w.t.Fatalf("%s of %s was answered twice", what, c.name)
		}
		answered = true
		if term != c.term {
			return // the connection is gone
		}
		c.waits--
		if stale && err == nil && what != "take over" {
			w.t.Fatalf("%s of %s succeeded, though another producer has its id", what, c.name)
		}
		then(err)
	}
}

// fail is what a client makes of an error.
func (c *client) fail(err *kerr.Error) {
	switch err {
	case kerr.ConcurrentTransactions, kerr.CoordinatorNotAvailable, kerr.NotCoordinator, kerr.UnknownServerError:
		return // it tries again
	}
	c.broken = true
}

func pick[T any](t *rapid.T, label string, from ...T) T {
	return rapid.SampledFrom(from).Draw(t, label)
}

// idle picks a client that waits for no answer.
func (w *world) idle(t *rapid.T, ready func(c *client) bool) *client {
	var cs []*client
	for _, c := range w.clients {
		if c.waits == 0 && ready(c) {
			cs = append(cs, c)
		}
	}
	if len(cs) == 0 {
		t.Skip()
	}
	return pick(t, "client", cs...)
}

func (w *world) inits(t *rapid.T) {
	c := w.idle(t, func(*client) bool { return true })
	w.init(c, pick[int32](t, "timeout", 15_000, 60_000), !c.fresh && pick(t, "KIP-360", true, false))
}

func (w *world) init(c *client, timeoutMs int32, goesOn bool) {
	r := &initialization{id: c.id, timeoutMs: timeoutMs, expected: expected{noProducerID, noProducerEpoch}}
	if goesOn {
		r.expected = c.producer
	}
	var got expected
	what := "take over"
	if r.expected.given() {
		what = "go on"
	}
	said := w.answer(c, what, func(err *kerr.Error) {
		if err != nil {
			if err == kerr.ProducerFenced || err == kerr.InvalidProducerIDMapping {
				c.fresh = true
			}
			c.fail(err)
			return
		}
		c.producer, c.broken, c.fresh, c.txn, c.added = got, false, false, nil, nil
		w.owner[c.id] = c
	})
	// Whatever it had begun is over for it, and it must not have been committed.
	c.broken = true
	r.reply = func(producerID int64, epoch int16, err *kerr.Error) {
		got = expected{producerID, epoch}
		said(err)
	}
	w.run(func(st *step) { w.shard.initialize(st, r) })
}

// produces sends one batch: by version 2 it adds its partition, by version 0 the
// client does so before, and the partition only asks.
func (w *world) produces(t *rapid.T) {
	c := w.idle(t, func(c *client) bool { return !c.broken && (c.txn == nil || !c.txn.asked) })
	tp := pick(t, "partition", slices.SortedFunc(maps.Keys(w.logs), func(a, b TopicPartition) int {
		return len(a.Topic) - len(b.Topic) + int(a.Partition) - int(b.Partition)
	})...)
	w.produce(c, tp)
}

func (w *world) produce(c *client, tp TopicPartition) {
	if c.txn == nil {
		c.txn = &attempt{number: len(w.txns) + 1, by: c, records: map[TopicPartition]int{}}
		w.txns = append(w.txns, c.txn)
		c.added = map[TopicPartition]bool{}
	}
	p := producer{c.id, c.producer.producerID, c.producer.epoch}
	if c.version == 0 && c.added[tp] {
		said := w.answer(c, "produce", func(err *kerr.Error) { w.produced(c, tp, p, err) })
		said(w.shard.verify(p, []TopicPartition{tp})[0])
		return
	}
	r := &addition{producer: p, partitions: []TopicPartition{tp}, version: c.version}
	if c.version == 0 {
		r.reply = w.answer(c, "add", func(err *kerr.Error) {
			if err != nil {
				c.fail(err)
				return
			}
			c.added[tp] = true
		})
	} else {
		r.reply = w.answer(c, "produce", func(err *kerr.Error) { w.produced(c, tp, p, err) })
	}
	w.run(func(st *step) { w.shard.addPartitions(st, r) })
}

// produced is the partition that has heard from the coordinator.
func (w *world) produced(c *client, tp TopicPartition, p producer, err *kerr.Error) {
	if err == nil {
		err = w.logs[tp].append(p, c.txn)
	}
	if err != nil {
		c.fail(err)
		return
	}
	c.txn.records[tp]++
}

func (l *partitionLog) producer(id int64) *logProducer {
	p := l.producers[id]
	if p == nil {
		p = &logProducer{epoch: noProducerEpoch}
		l.producers[id] = p
	}
	return p
}

func (l *partitionLog) append(from producer, a *attempt) *kerr.Error {
	p := l.producer(from.producerID)
	switch {
	case from.epoch < p.epoch:
		return kerr.InvalidProducerEpoch
	case from.epoch > p.epoch && p.open:
		return kerr.InvalidTxnState
	}
	p.epoch, p.open = from.epoch, true
	l.entries = append(l.entries, logEntry{producerID: from.producerID, attempt: a})
	return nil
}

// mark writes a marker, by the rules of a partition.
func (l *partitionLog) mark(m Marker) *kerr.Error {
	p := l.producer(m.ProducerID)
	switch {
	case m.CoordinatorEpoch < p.coordinator:
		return kerr.TransactionCoordinatorFenced
	case m.ProducerEpoch < p.epoch:
		return kerr.InvalidProducerEpoch
	case m.TransactionVersion >= 2 && m.ProducerEpoch == p.epoch && p.open:
		return kerr.InvalidProducerEpoch
	}
	p.epoch, p.coordinator, p.open = m.ProducerEpoch, m.CoordinatorEpoch, false
	l.entries = append(l.entries, logEntry{producerID: m.ProducerID, commit: m.Commit})
	return nil
}

// ends asks for the end of a transaction, and again until it is sure of it.
func (w *world) ends(t *rapid.T) {
	c := w.idle(t, func(c *client) bool { return !c.broken && c.txn != nil })
	w.end(c, c.txn.asked || pick(t, "commit", true, true, false))
}

// end asks for the end of a transaction: the one that was asked for, where one
// was.
func (w *world) end(c *client, commit bool) {
	a := c.txn
	if !a.asked {
		a.asked, a.commit = true, commit
	}
	r := &endRequest{producer: producer{c.id, c.producer.producerID, c.producer.epoch}, commit: a.commit, version: c.version}
	var got expected
	said := w.answer(c, "end", func(err *kerr.Error) {
		if err != nil {
			c.fail(err)
			return
		}
		a.commitSaid, a.abortSaid = a.commit, !a.commit
		c.txn, c.added = nil, nil
		if c.version >= clientVersion2 {
			c.producer = got
		}
	})
	r.reply = func(producerID int64, epoch int16, err *kerr.Error) {
		got = expected{producerID, epoch}
		said(err)
	}
	w.run(func(st *step) { w.shard.endTxn(st, r) })
}

func (w *world) appendEnds(t *rapid.T) {
	if len(w.queue) == 0 {
		t.Skip()
	}
	var err *kerr.Error
	if pick(t, "fails", false, false, false, true) {
		err = kerr.CoordinatorNotAvailable
	}
	w.endAppend(err)
}

func (w *world) endAppend(err *kerr.Error) {
	e := w.queue[0]
	w.queue = w.queue[1:]
	if err == nil {
		w.log = append(w.log, e.records...)
	}
	w.run(func(st *step) { w.shard.appended(st, e, err) })
}

func (w *world) markerEnds(t *rapid.T) {
	if len(w.markers) == 0 {
		t.Skip()
	}
	i := rapid.IntRange(0, len(w.markers)-1).Draw(t, "marker")
	w.endMarker(i, pick(t, "how", "written", "written", "written", "lost", "written, and the answer lost"))
}

func (w *world) endMarker(i int, how string) {
	m := w.markers[i]
	w.markers = slices.Delete(w.markers, i, i+1)
	err := kerr.RequestTimedOut
	if how != "lost" {
		if written := w.logs[m.TopicPartition].mark(m.Marker); how == "written" {
			err = written
		} else if written != nil {
			w.t.Fatalf("marker %s: %v", showMarker(m), written)
		}
		if err == kerr.InvalidProducerEpoch || err == kerr.TransactionCoordinatorFenced {
			w.t.Fatalf("marker %s: %v", showMarker(m), err)
		}
	}
	w.run(func(st *step) { w.shard.markerEnded(st, m, err) })
}

// flows lets everything under way end well: random ends alone would get to a
// second transaction too rarely.
func (w *world) flows(*rapid.T) { w.flow() }

func (w *world) flow() {
	for len(w.queue) > 0 || len(w.markers) > 0 {
		if len(w.queue) > 0 {
			w.endAppend(nil)
		} else {
			w.endMarker(0, "written")
		}
	}
}

func (w *world) timePasses(t *rapid.T) {
	w.advance(pick(t, "time", 50*time.Millisecond, time.Second, time.Second, 16*time.Second, 61*time.Second, 11*time.Minute))
}

func (w *world) advance(d time.Duration) {
	end := w.now.Add(d)
	for {
		next, ok := w.timers.Next()
		if !ok || next.After(end) {
			break
		}
		w.now = next
		tm := w.timers.Due(w.now)
		w.run(func(st *step) { w.shard.fire(st, tm) })
	}
	w.now = end
}

func (w *world) crashes(t *rapid.T) {
	appends := rapid.IntRange(0, len(w.queue)).Draw(t, "appends")
	w.crash(appends, func() bool { return pick(t, "marker", true, false) })
}

// crash loses everything but the log: the first of the appends under way are in
// it, and those markers that written says are in their partitions.
func (w *world) crash(appends int, written func() bool) {
	for _, e := range w.queue[:appends] {
		w.log = append(w.log, e.records...)
	}
	for _, m := range w.markers {
		if written() {
			if err := w.logs[m.TopicPartition].mark(m.Marker); err != nil {
				w.t.Fatalf("marker %s: %v", showMarker(m), err)
			}
		}
	}
	w.queue, w.markers, w.timers = nil, nil, nil
	for _, c := range w.clients {
		c.waits, c.term = 0, c.term+1
	}
	w.epoch++
	w.load()
}

// check holds what the shard has against what its log has.
func (w *world) check(t *rapid.T) {
	other := newShard(&w.cfg, w.epoch, new(total))
	for _, r := range w.log {
		if _, err := other.replay(r); err != nil {
			t.Fatal(err)
		}
	}
	held := 0
	for id, t2 := range w.shard.txns {
		if w.shard.get(id) == nil {
			continue
		}
		held++
		durable := other.txns[id]
		if durable == nil {
			t.Fatalf("%s is not in the log", id)
		}
		a, b := t2.metadata, durable.metadata
		a.lastEpoch, b.lastEpoch = 0, 0
		if fmt.Sprint(a) != fmt.Sprint(b) {
			t.Fatalf("%s is\n%+v\nand the log has\n%+v", id, a, b)
		}
	}
	if held != len(other.txns) {
		t.Fatalf("%d ids are held, and %d are in the log", held, len(other.txns))
	}
	if ids := w.sum.ids.Load(); ids != int64(len(w.shard.txns)) {
		t.Fatalf("%d ids are counted, and %d are there", ids, len(w.shard.txns))
	}
	n := int64(0)
	for _, t2 := range w.shard.txns {
		n += t2.bytes
	}
	if got := w.sum.bytes.Load(); got != n {
		t.Fatalf("%d bytes are counted, and there are %d", got, n)
	}
}

// settle lets everything come to its end, and looks at what consumers see.
func (w *world) settle() {
	for range 20 {
		w.flow()
		w.advance(30 * time.Second)
	}
	w.flow()
	for id, t := range w.shard.txns {
		if t.busy() || !t.state.resting() {
			w.t.Fatalf("%s never came out of %s", id, t.state)
		}
	}
	for _, c := range w.clients {
		if c.waits > 0 {
			w.t.Fatalf("%s still waits for an answer", c.name)
		}
	}
	visible := map[*attempt]map[TopicPartition]int{}
	for tp, l := range w.logs {
		l.read(w.t, tp, visible)
	}
	for _, a := range w.txns {
		all := maps.Equal(visible[a], a.records)
		none := len(visible[a]) == 0
		switch {
		case !all && !none:
			w.t.Fatalf("transaction %d of %s is half visible: it has %v, and %v are seen", a.number, a.by.name, a.records, visible[a])
		case a.commitSaid && !all:
			w.t.Fatalf("transaction %d of %s is committed and not visible", a.number, a.by.name)
		case (a.abortSaid || !a.asked || !a.commit) && !none:
			w.t.Fatalf("transaction %d of %s was never to be committed, and is visible", a.number, a.by.name)
		}
	}
}

// read is a consumer of committed records.
func (l *partitionLog) read(t failer, tp TopicPartition, visible map[*attempt]map[TopicPartition]int) {
	open := map[int64][]*attempt{}
	for _, e := range l.entries {
		if e.attempt != nil {
			open[e.producerID] = append(open[e.producerID], e.attempt)
			continue
		}
		if e.commit {
			for _, a := range open[e.producerID] {
				if visible[a] == nil {
					visible[a] = map[TopicPartition]int{}
				}
				visible[a][tp]++
			}
		}
		delete(open, e.producerID)
	}
	for id, as := range open {
		t.Fatalf("%v is stuck: producer %d has %d records of an open transaction", tp, id, len(as))
	}
}
