package group

import (
	"bytes"
	"encoding/binary"
	"flag"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/streamweir/streamweir/broker/coordinator"
	"github.com/streamweir/streamweir/broker/coordinator/coordinatortest"
	"github.com/streamweir/streamweir/protocol/kafka"
)

var update = flag.Bool("update", false, "write what the shard does into the transcripts")

// TestTranscripts plays the files under testdata to a shard: see testdata/README.
func TestTranscripts(t *testing.T) {
	coordinatortest.Transcripts(t, *update, func(t *testing.T) (*strings.Builder, func(string)) {
		s := newStage(t)
		return &s.out, s.event
	})
}

// A stage is a shard with a clock, a log and ears.
type stage struct {
	t     *testing.T
	out   strings.Builder
	cfg   Config
	shard *shard
	now   time.Time
	ids   int

	timers timerHeap
	log    []logged
	hold   bool
	queue  []*entry
}

// logged is a record of the log, or the end of a transaction.
type logged struct {
	record
	producer int64 // kafka.NoProducerID outside of transactions
	end      string
}

var stageStart = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func newStage(t *testing.T) *stage {
	s := &stage{t: t, cfg: DefaultConfig(), now: stageStart}
	s.shard = newShard(&s.cfg, s.newID, new(atomic.Int64))
	return s
}

func (s *stage) newID() string { s.ids++; return strconv.Itoa(s.ids) }

func (s *stage) say(format string, args ...any) { fmt.Fprintf(&s.out, "  "+format+"\n", args...) }

// run plays one event and notes the actions.
func (s *stage) run(event func(st *step)) {
	st := &step{now: s.now}
	event(st)
	for _, a := range st.actions {
		switch a.kind {
		case actReply:
			a.reply()
		case actAppend:
			s.say("append to %s: %s", a.entry.group, a.entry.effect)
			s.queue = append(s.queue, a.entry)
		case actSet:
			s.timers.Set(a.timer, a.at)
			s.say("timer %s in %s", timerName(a.timer), a.at.Sub(s.now))
		case actCancel:
			if a.timer.IsSet() {
				s.say("no timer %s", timerName(a.timer))
			}
			s.timers.Cancel(a.timer)
		}
	}
	if !s.hold && len(s.queue) > 0 {
		s.appendEnds(nil)
	}
}

func timerName(t *timer) string {
	name := t.kind.String()
	if t.member != "" {
		name += " " + t.member
	}
	return name
}

func (s *stage) appendEnds(err error) {
	if len(s.queue) == 0 {
		s.t.Fatal("no append is under way")
	}
	e := s.queue[0]
	s.queue = s.queue[1:]
	base := int64(len(s.log))
	if err == nil {
		for _, r := range e.records {
			l := logged{record: r, producer: kafka.NoProducerID}
			if e.producer != nil {
				l.producer = e.producer.ID
			}
			s.log = append(s.log, l)
		}
	}
	s.run(func(st *step) { s.shard.appended(st, e, base, coordinator.ClientError(err)) })
}

// args are the words of an event: its name, its subject, and key=value pairs.
type args struct {
	words []string
	kv    map[string]string
}

func parseArgs(line string) args {
	a := args{kv: map[string]string{}}
	for _, f := range strings.Fields(line) {
		if k, v, ok := strings.Cut(f, "="); ok && !strings.Contains(k, ":") {
			a.kv[k] = v
			continue
		}
		a.words = append(a.words, f)
	}
	return a
}

func (a args) str(key, otherwise string) string {
	if v, ok := a.kv[key]; ok {
		return v
	}
	return otherwise
}

func (a args) optional(key string) *string {
	if v, ok := a.kv[key]; ok {
		return &v
	}
	return nil
}

func (a args) num(key string, otherwise int64) int64 {
	v, ok := a.kv[key]
	if !ok {
		return otherwise
	}
	n, err := strconv.ParseInt(v, 10, 64)
	if err != nil {
		panic(err)
	}
	return n
}

func (a args) ms(key string, otherwise time.Duration) int32 {
	d := otherwise
	if v, ok := a.kv[key]; ok {
		var err error
		if d, err = time.ParseDuration(v); err != nil {
			panic(err)
		}
	}
	return int32(d.Milliseconds())
}

func (s *stage) event(line string) {
	a := parseArgs(line)
	switch a.words[0] {
	case "config":
		s.configure(a)
	case "join":
		s.joinEvent(a)
	case "sync":
		s.syncEvent(a)
	case "heartbeat":
		s.heartbeatEvent(a)
	case "leave":
		s.leaveEvent(a)
	case "commit":
		s.commitEvent(a)
	case "txn-commit":
		s.txnCommitEvent(a)
	case "marker":
		s.markerEvent(a)
	case "fetch":
		s.fetchEvent(a)
	case "delete":
		id := a.words[1]
		s.run(func(st *step) {
			s.shard.deleteGroup(st, id, func(st *step, err *kerr.Error) {
				st.reply(func() { s.say("delete %s: %s", id, errName(code(err))) })
			})
		})
	case "delete-offsets":
		s.deleteOffsetsEvent(a)
	case "topic-deleted":
		s.run(func(st *step) {
			s.shard.topicsDeleted(st, []DeletedTopic{{Name: a.words[1], ID: topicID(a.str("id", ""))}})
		})
	case "describe":
		s.describe(a.words[1], int16(a.num("v", 6)))
	case "list":
		s.list(a)
	case "log":
		s.logEvent(a)
	case "durable":
		s.appendEnds(nil)
	case "refused":
		s.appendEnds(coordinatortest.ErrorNamed(s.t, a.words[1]))
	case "advance":
		s.advance(a.words[1])
	case "restart":
		s.restart()
	case "resign":
		s.run(s.shard.resign)
	default:
		s.t.Fatalf("no such event: %s", line)
	}
}

func (s *stage) configure(a args) {
	for k, v := range a.kv {
		switch k {
		case "group.max.size":
			s.cfg.MaxGroupSize = int(a.num(k, 0))
		case "group.initial.rebalance.delay":
			s.cfg.InitialRebalanceDelay = millis(a.ms(k, 0))
		case "offsets.retention":
			s.cfg.OffsetsRetention = millis(a.ms(k, 0))
		case "offsets.retention.check.interval":
			s.cfg.OffsetsRetentionCheck = millis(a.ms(k, 0))
		case "max.groups":
			s.cfg.MaxGroups = int(a.num(k, 0))
		case "max.pending.ids":
			s.cfg.MaxPendingIDs = int(a.num(k, 0))
		case "max.member.bytes":
			s.cfg.MaxMemberBytes = int(a.num(k, 0))
		case "max.group.bytes":
			s.cfg.MaxGroupBytes = int(a.num(k, 0))
		case "max.offsets":
			s.cfg.MaxOffsetsPerGroup = int(a.num(k, 0))
		case "offset.metadata.max.bytes":
			s.cfg.OffsetMetadataMaxBytes = int(a.num(k, 0))
		default:
			s.t.Fatalf("no such setting: %s=%s", k, v)
		}
	}
}

func (s *stage) logEvent(a args) {
	switch a.words[1] {
	case "hold":
		s.hold = true
	case "flow":
		s.hold = false
	case "show":
		for i, r := range s.log {
			switch {
			case r.end != "":
				s.say("%d %s of producer %d", i, r.end, r.producer)
			case r.producer != kafka.NoProducerID:
				s.say("%d in a transaction of producer %d: %s", i, r.producer, showRecord(s.t, r.record))
			default:
				s.say("%d %s", i, showRecord(s.t, r.record))
			}
		}
	}
}

func (s *stage) advance(by string) {
	d, err := time.ParseDuration(by)
	if err != nil {
		s.t.Fatal(err)
	}
	end := s.now.Add(d)
	for len(s.timers) > 0 {
		next, _ := s.timers.Next()
		if next.After(end) {
			break
		}
		s.now = next
		t := s.timers.Due(s.now)
		if t == nil {
			continue
		}
		s.say("%s: timer %s runs out", s.now.Sub(stageStart), timerName(t))
		s.run(func(st *step) { s.shard.fire(st, t) })
	}
	s.now = end
}

// restart loses everything that is not in the log.
func (s *stage) restart() {
	s.queue, s.timers = nil, nil
	s.shard = newShard(&s.cfg, s.newID, new(atomic.Int64))
	s.run(func(st *step) {
		for i, r := range s.log {
			if r.end != "" {
				s.shard.complete(st, r.producer, int64(i), r.end == "commit")
			} else if _, err := s.shard.replay(st, int64(i), r.producer, r.record); err != nil {
				s.t.Fatalf("replay of record %d: %v", i, err)
			}
		}
		st.actions = slices.DeleteFunc(st.actions, func(a action) bool { return a.timer != &s.shard.expiry })
		s.shard.loaded(st)
	})
}

var protocolPattern = regexp.MustCompile(`([\w.-]+)\(([^)]*)\)`)

// protocols reads "range(a;b),sticky(a)": names with the topics subscribed to.
func protocols(text string) []kmsg.JoinGroupRequestProtocol {
	var ps []kmsg.JoinGroupRequestProtocol
	for _, m := range protocolPattern.FindAllStringSubmatch(text, -1) {
		ps = append(ps, kmsg.JoinGroupRequestProtocol{Name: m[1], Metadata: subscription(strings.Split(m[2], ";")...)})
	}
	return ps
}

func subscription(topics ...string) []byte {
	b := binary.BigEndian.AppendUint32([]byte{0, 1}, uint32(len(topics)))
	for _, t := range topics {
		b = append(binary.BigEndian.AppendUint16(b, uint16(len(t))), t...)
	}
	return append(b, 0xff, 0xff, 0xff, 0xff)
}

func showSubscription(b []byte) string {
	topics := map[string]struct{}{}
	if !subscribedTopics(b, topics) {
		return "?"
	}
	var names []string
	for t := range topics {
		names = append(names, t)
	}
	slices.Sort(names)
	return strings.Join(names, ";")
}

func topicID(text string) [16]byte {
	var id [16]byte
	copy(id[:], text)
	return id
}

func showID(id [16]byte) string {
	if id == [16]byte{} {
		return ""
	}
	return "#" + string(bytes.TrimRight(id[:], "\x00"))
}

func errName(code int16) string {
	if code == 0 {
		return "OK"
	}
	if err, ok := kerr.ErrorForCode(code).(*kerr.Error); ok && err != nil {
		return err.Message
	}
	return fmt.Sprintf("error %d", code)
}
