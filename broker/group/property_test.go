package group

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
	"pgregory.net/rapid"

	"github.com/streamweir/streamweir/broker/coordinator"
	"github.com/streamweir/streamweir/protocol/kafka"
)

// TestRandomEvents throws random events at a shard: requests of a few clients,
// right and wrong ones, time, appends that succeed and fail, restarts from any
// point that the log has acknowledged. What must hold is checked throughout.
func TestRandomEvents(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t)
		t.Repeat(map[string]func(*rapid.T){
			"join":          w.joins,
			"sync":          w.syncs,
			"heartbeat":     w.heartbeats,
			"leave":         w.leaves,
			"commit":        w.commits,
			"delete":        w.deletes,
			"deleteOffsets": w.deletesOffsets,
			"append ends":   w.appendEnds,
			"time":          w.timePasses,
			"settle":        w.settles,
			"restart":       w.restarts,
			"":              w.check,
		})
		w.end()
	})
}

type place struct {
	group, topic string
	partition    int32
}

// world is a shard with everything around it, and what we know must be true.
type world struct {
	t      *rapid.T
	cfg    Config
	shard  *shard
	now    time.Time
	ids    int
	timers timerHeap
	queue  []*entry

	log     []record
	offsets map[place]int64 // acknowledged
	history []moment        // one per acknowledged append

	known    map[string][]string // group -> member ids and generations that clients have heard of
	heard    map[string]int32    // member id -> generation of its last JoinGroup answer
	leaders  map[string]string   // group/generation -> leader
	given    map[string]string   // group/generation/member -> assignment sent by the leader
	last     map[string]*classicGroup
	expected int // requests sent
	answered int
	nextWhat int
}

type moment struct {
	length  int
	offsets map[place]int64
}

func newWorld(t *rapid.T) *world {
	w := &world{
		t: t, cfg: DefaultConfig(), now: stageStart, offsets: map[place]int64{}, known: map[string][]string{},
		heard: map[string]int32{}, leaders: map[string]string{}, given: map[string]string{}, last: map[string]*classicGroup{},
	}
	w.cfg.MaxGroupSize = 4
	w.cfg.InitialRebalanceDelay = time.Second
	w.cfg.OffsetsRetention = 1000 * time.Hour
	w.history = []moment{{}}
	w.shard = w.newShard()
	return w
}

func (w *world) newShard() *shard {
	return newShard(&w.cfg, func() string { w.ids++; return fmt.Sprint(w.ids) }, new(atomic.Int64))
}

func (w *world) run(event func(st *step)) {
	st := &step{now: w.now}
	event(st)
	for _, a := range st.actions {
		switch a.kind {
		case actReply:
			a.reply()
		case actAppend:
			w.queue = append(w.queue, a.entry)
		case actSet:
			w.timers.Set(a.timer, a.at)
		case actCancel:
			w.timers.Cancel(a.timer)
		}
	}
}

// once counts a request, and fails if it is answered twice.
func (w *world) once() func() {
	w.expected++
	done, incarnation := false, w.shard
	return func() {
		if done {
			w.t.Fatal("a request was answered twice")
		}
		done = true
		if incarnation == w.shard {
			w.answered++
		}
	}
}

func pick[T any](t *rapid.T, label string, from ...T) T {
	return rapid.SampledFrom(from).Draw(t, label)
}

func (w *world) group(t *rapid.T) string { return pick(t, "group", "g", "h") }

func (w *world) member(t *rapid.T, group string) string {
	return pick(t, "member", append(slices.Clone(w.known[group]), "", "nobody")...)
}

func (w *world) instance(t *rapid.T) *string {
	i := pick(t, "instance", "", "", "i1", "i2")
	if i == "" {
		return nil
	}
	return &i
}

func (w *world) generation(t *rapid.T, group string) int32 {
	var now int32
	if g := w.shard.groups[group]; g != nil {
		now = g.generation
	}
	return pick(t, "generation", now, now, now, now-1, now+1, -1)
}

func (w *world) joins(t *rapid.T) {
	req := &kmsg.JoinGroupRequest{
		Version: pick[int16](t, "version", 0, 3, 4, 9), Group: w.group(t), SessionTimeoutMillis: pick[int32](t, "session", 6000, 30000),
		RebalanceTimeoutMillis: pick[int32](t, "rebalance", 5000, 60000), ProtocolType: "consumer",
		Protocols: protocols(pick(t, "protocols", "range(t)", "range(t),sticky(t)", "sticky(u),range(u)", "sticky(t)")),
	}
	req.MemberID = w.member(t, req.Group)
	req.InstanceID = w.instance(t)
	answer := w.once()
	w.run(func(st *step) {
		w.shard.join(st, Client{ID: "c"}, req, func(r *kmsg.JoinGroupResponse) {
			answer()
			w.joined(req.Group, r)
		})
	})
}

// incarnation forgets what was said of generations when a group has been
// deleted and made again: it begins with generation 1 once more.
func (w *world) incarnation(id string) {
	if g := w.shard.groups[id]; g != w.last[id] {
		w.last[id] = g
		of := func(key, _ string) bool { return strings.HasPrefix(key, id+"/") }
		maps.DeleteFunc(w.leaders, of)
		maps.DeleteFunc(w.given, of)
	}
}

func (w *world) joined(group string, r *kmsg.JoinGroupResponse) {
	w.incarnation(group)
	if r.MemberID != "" && (r.ErrorCode == 0 || r.ErrorCode == kerr.MemberIDRequired.Code) && !slices.Contains(w.known[group], r.MemberID) {
		w.known[group] = append(w.known[group], r.MemberID)
	}
	if r.ErrorCode != 0 {
		return
	}
	if before, ok := w.heard[r.MemberID]; ok && r.Generation < before {
		w.t.Fatalf("member %s was in generation %d and is told of %d", r.MemberID, before, r.Generation)
	}
	w.heard[r.MemberID] = r.Generation
	if len(r.Members) > 0 && !r.SkipAssignment {
		key := fmt.Sprint(group, "/", r.Generation)
		if other, ok := w.leaders[key]; ok && other != r.MemberID {
			w.t.Fatalf("both %s and %s lead generation %d of %s", other, r.MemberID, r.Generation, group)
		}
		w.leaders[key] = r.MemberID
	}
	if r.Members == nil && r.LeaderID == r.MemberID {
		w.t.Fatalf("leader %s of %s was not told of the members", r.MemberID, group)
	}
}

func (w *world) syncs(t *rapid.T) {
	req := &kmsg.SyncGroupRequest{Version: 5, Group: w.group(t)}
	req.MemberID = w.member(t, req.Group)
	req.Generation = w.generation(t, req.Group)
	if g := w.shard.groups[req.Group]; g != nil && pick(t, "leads", true, false) {
		req = w.leaderSync(g)
	}
	w.sendSync(req)
}

func (w *world) leaderSync(g *classicGroup) *kmsg.SyncGroupRequest {
	req := &kmsg.SyncGroupRequest{Version: 5, Group: g.id, Generation: g.generation, MemberID: g.leader}
	for _, m := range g.order {
		w.nextWhat++
		req.GroupAssignment = append(req.GroupAssignment, kmsg.SyncGroupRequestGroupAssignment{
			MemberID: m.id, MemberAssignment: fmt.Append(nil, g.id, "/", g.generation, "/", m.id, "/", w.nextWhat),
		})
	}
	return req
}

func (w *world) sendSync(req *kmsg.SyncGroupRequest) {
	answer := w.once()
	w.run(func(st *step) {
		w.shard.sync(st, req, func(r *kmsg.SyncGroupResponse) {
			answer()
			w.synced(req, r)
		})
	})
}

// synced: an assignment goes only to whom the leader of that generation gave it.
func (w *world) synced(req *kmsg.SyncGroupRequest, r *kmsg.SyncGroupResponse) {
	w.incarnation(req.Group)
	if r.ErrorCode != 0 || len(r.MemberAssignment) == 0 {
		return
	}
	got := string(r.MemberAssignment)
	parts := strings.Split(got, "/")
	if parts[0] != req.Group || parts[1] != fmt.Sprint(req.Generation) {
		w.t.Fatalf("%s of generation %d of %s got %q", req.MemberID, req.Generation, req.Group, got)
	}
	// A static member may have taken over from another id; then both are the
	// same instance and only one of them can ask.
	if m := w.shard.groups[req.Group].members[req.MemberID]; parts[2] != req.MemberID && m.instance == nil {
		w.t.Fatalf("%s of %s got %q", req.MemberID, req.Group, got)
	}
	key := fmt.Sprint(req.Group, "/", req.Generation, "/", req.MemberID)
	if before, ok := w.given[key]; ok && before != got {
		w.t.Fatalf("%s got %q and then %q", key, before, got)
	}
	w.given[key] = got
}

func (w *world) heartbeats(t *rapid.T) {
	req := &kmsg.HeartbeatRequest{Group: w.group(t)}
	req.MemberID, req.Generation = w.member(t, req.Group), w.generation(t, req.Group)
	w.run(func(st *step) { w.shard.heartbeat(st, req) })
}

func (w *world) leaves(t *rapid.T) {
	req := &kmsg.LeaveGroupRequest{Version: 5, Group: w.group(t)}
	req.Members = []kmsg.LeaveGroupRequestMember{{MemberID: w.member(t, req.Group), InstanceID: w.instance(t)}}
	answer := w.once()
	w.run(func(st *step) { w.shard.leave(st, req, func(*kmsg.LeaveGroupResponse) { answer() }) })
}

func (w *world) commits(t *rapid.T) {
	w.nextWhat++
	req := commitRequest(w.group(t), pick(t, "topic", "t", "u"), pick[int32](t, "partition", 0, 1, 2), int64(w.nextWhat))
	req.MemberID = w.member(t, req.Group)
	req.Generation = w.generation(t, req.Group)
	answer := w.once()
	w.run(func(st *step) {
		w.shard.commit(st, req, func(r *kmsg.OffsetCommitResponse) {
			answer()
			if commitCode(r) == 0 {
				w.offsets[place{req.Group, req.Topics[0].Topic, req.Topics[0].Partitions[0].Partition}] = int64(req.Topics[0].Partitions[0].Offset)
			}
		})
	})
}

func (w *world) deletes(t *rapid.T) {
	id := w.group(t)
	answer := w.once()
	w.run(func(st *step) {
		w.shard.deleteGroup(st, id, func(st *step, err *kerr.Error) {
			st.reply(func() {
				answer()
				if err == nil {
					maps.DeleteFunc(w.offsets, func(p place, _ int64) bool { return p.group == id })
				}
			})
		})
	})
}

func (w *world) deletesOffsets(t *rapid.T) {
	req := &kmsg.OffsetDeleteRequest{Group: w.group(t), Topics: []kmsg.OffsetDeleteRequestTopic{{
		Topic: pick(t, "topic", "t", "u"), Partitions: []kmsg.OffsetDeleteRequestTopicPartition{{Partition: pick[int32](t, "partition", 0, 1, 2)}},
	}}}
	answer := w.once()
	w.run(func(st *step) {
		w.shard.deleteOffsets(st, req, func(r *kmsg.OffsetDeleteResponse) {
			answer()
			if r.ErrorCode == 0 && r.Topics[0].Partitions[0].ErrorCode == 0 {
				delete(w.offsets, place{req.Group, r.Topics[0].Topic, r.Topics[0].Partitions[0].Partition})
			}
		})
	})
}

func (w *world) appendEnds(t *rapid.T) {
	if len(w.queue) == 0 {
		t.Skip()
	}
	var err error
	if pick(t, "fails", false, false, false, true) {
		err = kerr.NotEnoughReplicas
	}
	w.endAppend(err)
}

func (w *world) endAppend(err error) {
	e := w.queue[0]
	w.queue = w.queue[1:]
	base := int64(len(w.log))
	if err == nil {
		w.log = append(w.log, e.records...)
	}
	w.run(func(st *step) { w.shard.appended(st, e, base, coordinator.ClientError(err)) })
	if err == nil {
		w.history = append(w.history, moment{len(w.log), maps.Clone(w.offsets)})
	}
}

func (w *world) timePasses(t *rapid.T) {
	w.advance(pick(t, "time", 0, time.Second, time.Second, 6*time.Second, 31*time.Second))
}

func (w *world) advance(d time.Duration) {
	end := w.now.Add(d)
	for {
		next, ok := w.timers.Next()
		if !ok || next.After(end) {
			break
		}
		w.now = next
		if tm := w.timers.Due(w.now); tm != nil {
			w.run(func(st *step) { w.shard.fire(st, tm) })
		}
	}
	w.now = end
}

// settles lets the members of a group do what well-behaved ones do, until the
// group is stable: random events alone would get there too rarely.
func (w *world) settles(t *rapid.T) {
	g := w.shard.groups[w.group(t)]
	if g == nil || len(g.members) == 0 {
		t.Skip()
	}
	for _, m := range slices.Clone(g.order) {
		if g.members[m.id] != m || m.join != nil || g.state != PreparingRebalance {
			continue
		}
		req := &kmsg.JoinGroupRequest{
			Version: 9, Group: g.id, MemberID: m.id, InstanceID: m.instance, SessionTimeoutMillis: 30000, RebalanceTimeoutMillis: 5000, ProtocolType: "consumer",
		}
		for _, p := range m.protocols {
			req.Protocols = append(req.Protocols, kmsg.JoinGroupRequestProtocol{Name: p.name, Metadata: p.metadata})
		}
		answer := w.once()
		w.run(func(st *step) {
			w.shard.join(st, Client{ID: "c"}, req, func(r *kmsg.JoinGroupResponse) { answer(); w.joined(g.id, r) })
		})
	}
	w.advance(2 * time.Second)
	if g.state == CompletingRebalance {
		w.sendSync(w.leaderSync(g))
	}
	for len(w.queue) > 0 {
		w.endAppend(nil)
	}
	if g.state == Stable {
		for _, m := range slices.Clone(g.order) {
			w.sendSync(&kmsg.SyncGroupRequest{Version: 5, Group: g.id, Generation: g.generation, MemberID: m.id})
		}
	}
}

// restarts goes back to a point of the log that was acknowledged: what was
// acknowledged until then is there, and members can go on.
func (w *world) restarts(t *rapid.T) {
	at := len(w.history) - 1 - pick(t, "lost", 0, 0, 0, 1, 2)
	m := w.history[max(at, 0)]
	w.history = w.history[:max(at, 0)+1]
	w.log, w.offsets = w.log[:m.length:m.length], maps.Clone(m.offsets)
	if w.offsets == nil {
		w.offsets = map[place]int64{}
	}
	w.queue, w.timers = nil, nil
	w.shard = w.newShard()
	w.expected, w.answered = 0, 0
	clear(w.heard)
	clear(w.leaders)
	clear(w.given)
	w.run(func(st *step) {
		for i, r := range w.log {
			if _, err := w.shard.replay(st, int64(i), kafka.NoProducerID, r); err != nil {
				w.t.Fatalf("replay: %v", err)
			}
		}
		w.shard.loaded(st)
	})
	for _, g := range w.shard.groups {
		for _, m := range g.order {
			if err := w.shard.heartbeat(&step{now: w.now}, &kmsg.HeartbeatRequest{Group: g.id, MemberID: m.id, Generation: g.generation}); err != nil && err != kerr.RebalanceInProgress {
				w.t.Fatalf("member %s of %s cannot go on after a restart: %v", m.id, g.id, err)
			}
		}
	}
}

// end lets everything that is under way end: then every request has its answer.
func (w *world) end() {
	for len(w.queue) > 0 {
		w.endAppend(nil)
	}
	w.run(w.shard.resign)
	if w.answered != w.expected {
		w.t.Fatalf("%d of %d requests were answered", w.answered, w.expected)
	}
}

func (w *world) check(t *rapid.T) {
	got := map[place]int64{}
	count := 0
	for id, g := range w.shard.groups {
		w.checkGroup(t, g)
		count += len(g.members)
		w.run(func(st *step) {
			w.shard.offsetFetch(st, &kmsg.OffsetFetchRequestGroup{Group: id}, false, func(r *kmsg.OffsetFetchResponseGroup) {
				for _, topic := range r.Topics {
					for _, p := range topic.Partitions {
						got[place{id, topic.Topic, p.Partition}] = p.Offset
					}
				}
			})
		})
	}
	if !maps.Equal(got, w.offsets) {
		t.Fatalf("fetched %v, acknowledged %v", got, w.offsets)
	}
	if st := w.shard.stats; st.Members != count || st.Offsets != len(got) || int(w.shard.total.Load()) != len(w.shard.groups) {
		t.Fatalf("stats say %+v and %d groups", st, w.shard.total.Load())
	}
	for id := range w.shard.offsets {
		if w.shard.groups[id] == nil {
			t.Fatalf("%s has offsets and is not a group", id)
		}
	}
}

func (w *world) checkGroup(t *rapid.T, g *classicGroup) {
	joins, pending, supported := 0, 0, map[string]int{}
	for _, m := range g.order {
		if g.members[m.id] != m {
			t.Fatalf("%s is in order and not a member", m.id)
		}
		if m.join != nil {
			joins++
		}
		if m.pendingSync {
			pending++
		}
		for _, p := range m.protocols {
			supported[p.name]++
		}
		if m.instance != nil && g.static[*m.instance] != m.id {
			t.Fatalf("%s is not the member of its instance %s", m.id, *m.instance)
		}
		if !m.session.IsSet() && !m.excused() {
			t.Fatalf("member %s of %s in %v would never be missed", m.id, g.id, g.state)
		}
		if m.sync != nil && g.state != CompletingRebalance {
			t.Fatalf("%s waits for an assignment in %v", m.id, g.state)
		}
	}
	switch {
	case joins != g.awaitingJoin, pending != g.pendingSyncs, len(g.order) != len(g.members), !maps.Equal(supported, g.supported):
		t.Fatalf("%s counts wrong: %+v", g.id, g)
	case (len(g.members) == 0) && (g.state == Stable || g.state == CompletingRebalance), len(g.members) > 0 && g.state == Empty:
		t.Fatalf("%s is %v with %d members", g.id, g.state, len(g.members))
	case len(g.members) > 0 && g.members[g.leader] == nil:
		t.Fatalf("%s is led by %q", g.id, g.leader)
	case g.state == PreparingRebalance && !g.joinTimer.IsSet():
		t.Fatalf("%s would prepare for ever", g.id)
	case g.state == CompletingRebalance && !g.syncTimer.IsSet() && g.storing != g.generation:
		t.Fatalf("%s would wait for its leader for ever", g.id)
	}
}
