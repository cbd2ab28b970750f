package txn

import (
	"flag"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/streamweir/streamweir/broker/coordinator"
	"github.com/streamweir/streamweir/broker/coordinator/coordinatortest"
)

var update = flag.Bool("update", false, "write what the shard does into the transcripts")

// TestTranscripts plays the files under testdata to a shard: see testdata/README.
func TestTranscripts(t *testing.T) {
	coordinatortest.Transcripts(t, *update, func(t *testing.T) (*strings.Builder, func(string)) {
		s := newStage(t)
		return &s.out, s.event
	})
}

// A stage is a shard with a clock, a log, partitions and ears.
type stage struct {
	t     *testing.T
	out   strings.Builder
	cfg   Config
	sum   total
	epoch int32
	shard *shard
	now   time.Time
	ids   int64 // producer ids given out
	noIDs bool

	timers      timerHeap
	log         []record
	holdLog     bool
	queue       []*entry
	holdMarkers bool
	markers     []*sending
}

var stageStart = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func newStage(t *testing.T) *stage {
	s := &stage{t: t, cfg: DefaultConfig(), now: stageStart, epoch: 1, ids: 100}
	s.shard = newShard(&s.cfg, s.epoch, &s.sum)
	return s
}

func (s *stage) say(format string, args ...any) { fmt.Fprintf(&s.out, "  "+format+"\n", args...) }

// run plays one event and notes the actions.
func (s *stage) run(event func(st *step)) {
	st := &step{now: s.now, spare: s.ids}
	if s.noIDs {
		st.spare = noProducerID
	}
	spare := st.spare
	event(st)
	if st.spare != spare {
		s.ids++
	}
	for _, a := range st.actions {
		switch a.kind {
		case actReply:
			a.reply()
		case actAppend:
			s.say("append to %s: %s", a.entry.id, a.entry.effect)
			s.queue = append(s.queue, a.entry)
		case actMarker:
			s.say("marker %s", showMarker(a.marker))
			s.markers = append(s.markers, a.marker)
		case actSet:
			s.timers.Set(a.timer, a.at)
			s.say("timer %s in %s", timerName(a.timer), a.at.Sub(s.now))
		case actCancel:
			if a.timer.IsSet() {
				s.say("no timer %s", timerName(a.timer))
			}
			s.timers.Cancel(a.timer)
		case actNote:
			s.say("note: %s", a.note.text)
		}
	}
	switch {
	case len(s.queue) > 0 && !s.holdLog:
		s.appendEnds(nil)
	case len(s.markers) > 0 && !s.holdMarkers:
		s.markerEnds(s.markers[0], nil)
	}
}

func timerName(t *timer) string {
	name := t.kind.String()
	if t.txn != nil {
		name += " " + t.txn.id
	}
	return name
}

func showMarker(m *sending) string {
	what := "abort"
	if m.Commit {
		what = "commit"
	}
	return fmt.Sprintf("%s %d/%d to %s:%d, version %d, coordinator epoch %d",
		what, m.ProducerID, m.ProducerEpoch, m.Topic, m.Partition, m.TransactionVersion, m.CoordinatorEpoch)
}

func (s *stage) appendEnds(err error) {
	if len(s.queue) == 0 {
		s.t.Fatal("no append is under way")
	}
	e := s.queue[0]
	s.queue = s.queue[1:]
	if err == nil {
		s.log = append(s.log, e.records...)
	}
	s.run(func(st *step) { s.shard.appended(st, e, coordinator.ClientError(err)) })
}

func (s *stage) markerEnds(m *sending, err *kerr.Error) {
	for i := range s.markers {
		if s.markers[i] == m {
			s.markers = append(s.markers[:i:i], s.markers[i+1:]...)
			break
		}
	}
	s.run(func(st *step) { s.shard.markerEnded(st, m, err) })
}

// args are the words of an event: its name, its subject, and key=value pairs.
type args struct {
	t     *testing.T
	words []string
	kv    map[string]string
}

func (s *stage) parseArgs(line string) args {
	a := args{t: s.t, kv: map[string]string{}}
	for _, f := range strings.Fields(line) {
		if k, v, ok := strings.Cut(f, "="); ok {
			a.kv[k] = v
			continue
		}
		if f == `""` {
			f = ""
		}
		a.words = append(a.words, f)
	}
	return a
}

func (a args) num(key string, otherwise int64) int64 {
	v, ok := a.kv[key]
	if !ok {
		return otherwise
	}
	return atoi(a.t, v)
}

func atoi(t *testing.T, text string) int64 {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func (a args) duration(key string, otherwise time.Duration) time.Duration {
	v, ok := a.kv[key]
	if !ok {
		return otherwise
	}
	d, err := time.ParseDuration(v)
	if err != nil {
		a.t.Fatal(err)
	}
	return d
}

// who reads a producer: "ID 100/3".
func (a args) who() producer {
	id, epoch, _ := strings.Cut(a.words[2], "/")
	return producer{id: a.words[1], producerID: atoi(a.t, id), epoch: int16(atoi(a.t, epoch))}
}

func (a args) partitions(words []string) []TopicPartition {
	tps := make([]TopicPartition, len(words))
	for i, w := range words {
		topic, p, _ := strings.Cut(w, ":")
		tps[i] = TopicPartition{topic, int32(atoi(a.t, p))}
	}
	return tps
}

func (s *stage) event(line string) {
	a := s.parseArgs(line)
	switch a.words[0] {
	case "config":
		s.configure(a)
	case "init":
		s.initEvent(a)
	case "add":
		r := &addition{producer: a.who(), partitions: a.partitions(a.words[3:]), version: int16(a.num("v", 2))}
		r.reply = func(err *kerr.Error) { s.say("add: %s", errName(err)) }
		s.run(func(st *step) { s.shard.addPartitions(st, r) })
	case "verify":
		tps := a.partitions(a.words[3:])
		for i, err := range s.shard.verify(a.who(), tps) {
			s.say("verify %s:%d: %s", tps[i].Topic, tps[i].Partition, errName(err))
		}
	case "commit", "abort":
		s.endEvent(a)
	case "describe":
		s.describeEvent(a.words[1])
	case "list":
		s.listEvent(a)
	case "log":
		s.logEvent(a)
	case "durable":
		s.appendEnds(nil)
	case "refused":
		s.appendEnds(coordinatortest.ErrorNamed(s.t, a.words[1]))
	case "markers":
		s.markersEvent(a)
	case "written", "unwritten":
		s.writtenEvent(a)
	case "advance":
		s.advance(a.words[1])
	case "crash":
		s.crash(a)
	case "resign":
		s.run(s.shard.resign)
	case "ids":
		s.noIDs = a.words[1] == "none"
	case "set-epoch":
		s.setEpoch(a)
	default:
		s.t.Fatalf("no such event: %s", line)
	}
}

func (s *stage) configure(a args) {
	for k, v := range a.kv {
		switch k {
		case "transaction.max.timeout":
			s.cfg.MaxTimeoutMs = int32(a.duration(k, 0).Milliseconds())
		case "transactional.id.expiration":
			s.cfg.Expiration = a.duration(k, 0)
		case "max.transactional.ids":
			s.cfg.MaxIDs = int(a.num(k, 0))
		case "max.transaction.partitions":
			s.cfg.MaxPartitions = int(a.num(k, 0))
		case "max.record.bytes":
			s.cfg.MaxRecordBytes = a.num(k, 0)
		case "max.bytes":
			s.cfg.MaxBytes = a.num(k, 0)
		case "timeouts.check":
			s.cfg.TimeoutsCheck = a.duration(k, 0)
		case "add.wait":
			s.cfg.AddWait = a.duration(k, 0)
		default:
			s.t.Fatalf("no such setting: %s=%s", k, v)
		}
	}
}

func (s *stage) initEvent(a args) {
	r := &initialization{
		id: a.words[1], timeoutMs: int32(a.duration("timeout", time.Minute).Milliseconds()),
		expected: expected{noProducerID, noProducerEpoch},
	}
	if len(a.words) > 2 {
		p := a.who()
		r.expected = expected{p.producerID, p.epoch}
	}
	r.reply = func(producerID int64, epoch int16, err *kerr.Error) {
		if err != nil {
			s.say("init: %s", errName(err))
			return
		}
		s.say("init: OK %d/%d", producerID, epoch)
	}
	if err := r.check(&s.cfg); err != nil {
		r.refuse(err)
		return
	}
	s.run(func(st *step) { s.shard.initialize(st, r) })
}

func (s *stage) endEvent(a args) {
	what := a.words[0]
	r := &endRequest{producer: a.who(), commit: what == "commit", version: int16(a.num("v", 2))}
	r.reply = func(producerID int64, epoch int16, err *kerr.Error) {
		switch {
		case err != nil:
			s.say("%s: %s", what, errName(err))
		case producerID == noProducerID:
			s.say("%s: OK", what)
		default:
			s.say("%s: OK, go on as %d/%d", what, producerID, epoch)
		}
	}
	s.run(func(st *step) { s.shard.endTxn(st, r) })
}

func (s *stage) describeEvent(id string) {
	d := s.shard.describe(id)
	if d.ErrorCode != 0 {
		s.say("%s: %s", id, kerr.ErrorForCode(d.ErrorCode).(*kerr.Error).Message)
		return
	}
	text := fmt.Sprintf("%s: %s %d/%d, timeout %s", id, d.State, d.ProducerID, d.ProducerEpoch, time.Duration(d.TimeoutMillis)*time.Millisecond)
	if d.StartTimestamp != noTimestamp {
		text += ", since " + time.UnixMilli(d.StartTimestamp).Sub(stageStart).String()
	}
	for _, t := range d.Topics {
		for _, p := range t.Partitions {
			text += fmt.Sprintf(" %s:%d", t.Topic, p)
		}
	}
	s.say("%s", text)
}

func (s *stage) listEvent(a args) {
	req := kmsg.NewPtrListTransactionsRequest()
	req.Version = 2
	if v := a.kv["states"]; v != "" {
		req.StateFilters = strings.Split(v, ",")
	}
	if v, ok := a.kv["producer"]; ok {
		req.ProducerIDFilters = []int64{atoi(s.t, v)}
	}
	if _, ok := a.kv["longer"]; ok {
		req.DurationFilterMillis = a.duration("longer", 0).Milliseconds()
	}
	if v, ok := a.kv["pattern"]; ok {
		req.TransactionalIDPattern = &v
	}
	f, unknown, err := newFilter(req)
	if err != nil {
		s.say("list: %s", errName(err))
		return
	}
	if len(unknown) > 0 {
		s.say("unknown states %v", unknown)
	}
	for _, ts := range s.shard.list(s.now.UnixMilli(), &f) {
		s.say("%s: %s, producer %d", ts.TransactionalID, ts.TransactionState, ts.ProducerID)
	}
}

func (s *stage) logEvent(a args) {
	switch a.words[1] {
	case "hold":
		s.holdLog = true
	case "flow":
		s.holdLog = false
	case "show":
		for i, r := range s.log {
			s.say("%d %s", i, showRecord(s.t, r))
		}
	}
}

func showRecord(t *testing.T, r record) string {
	var k kmsg.TxnMetadataKey
	must(t, k.ReadFrom(r.key))
	text := fmt.Sprintf("key v%d %s", k.Version, k.TransactionalID)
	if r.value == nil {
		return text + " tombstone"
	}
	v := kmsg.NewTxnMetadataValue()
	must(t, v.ReadFrom(r.value))
	text += fmt.Sprintf(", value v%d %s %d/%d previous %d next %d/%d timeout %s client version %d, updated %s", v.Version, State(v.State),
		v.ProducerID, v.ProducerEpoch, v.PreviousProducerID, v.NextProducerID, v.NextProducerEpoch, time.Duration(v.TimeoutMillis)*time.Millisecond,
		v.ClientTransactionVersion, time.UnixMilli(v.LastUpdateTimestamp).Sub(stageStart))
	if v.StartTimestamp != noTimestamp {
		text += ", started " + time.UnixMilli(v.StartTimestamp).Sub(stageStart).String()
	}
	if v.Topics == nil {
		text += ", null"
	}
	for _, topic := range v.Topics {
		text += fmt.Sprintf(", %s%v", topic.Topic, topic.Partitions)
	}
	return text
}

func (s *stage) markersEvent(a args) {
	switch a.words[1] {
	case "hold":
		s.holdMarkers = true
	case "flow":
		s.holdMarkers = false
		if len(s.markers) > 0 {
			s.markerEnds(s.markers[0], nil)
		}
	}
}

// writtenEvent reads "written t:0" or "unwritten t:0 ERROR".
func (s *stage) writtenEvent(a args) {
	tp := a.partitions(a.words[1:2])[0]
	var err *kerr.Error
	if a.words[0] == "unwritten" {
		err = coordinatortest.ErrorNamed(s.t, a.words[2])
	}
	for _, m := range s.markers {
		if m.TopicPartition == tp {
			s.markerEnds(m, err)
			return
		}
	}
	s.t.Fatalf("no marker for %v is under way", tp)
}

// setEpoch puts a producer near the end of its epochs: 32,000 transactions would
// make a long play.
func (s *stage) setEpoch(a args) {
	t := s.shard.txns[a.words[1]]
	t.epoch = int16(a.num("epoch", 0))
	s.log = append(s.log, record{transactionKey(t.id), t.value()})
}

func (s *stage) advance(by string) {
	d, err := time.ParseDuration(by)
	if err != nil {
		s.t.Fatal(err)
	}
	end := s.now.Add(d)
	for {
		next, ok := s.timers.Next()
		if !ok || next.After(end) {
			break
		}
		s.now = next
		t := s.timers.Due(s.now)
		s.say("%s: timer %s runs out", s.now.Sub(stageStart), timerName(t))
		s.run(func(st *step) { s.shard.fire(st, t) })
	}
	s.now = end
}

// crash loses everything that is not in the log. With written=N, the first N of
// the appends that were under way are in it.
func (s *stage) crash(a args) {
	for _, e := range s.queue[:a.num("written", 0)] {
		s.log = append(s.log, e.records...)
	}
	s.queue, s.timers, s.markers = nil, nil, nil
	s.epoch++
	s.sum = total{}
	s.shard = newShard(&s.cfg, s.epoch, &s.sum)
	for i, r := range s.log {
		if known, err := s.shard.replay(r); err != nil || !known {
			s.t.Fatalf("replay of record %d: known %v, %v", i, known, err)
		}
	}
	s.run(s.shard.loaded)
}

func errName(err *kerr.Error) string {
	if err == nil {
		return "OK"
	}
	return err.Message
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
