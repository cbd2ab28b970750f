package kafkaapi

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kbin"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/zap"

	"github.com/streamweir/streamweir/broker"
	"github.com/streamweir/streamweir/broker/config"
	"github.com/streamweir/streamweir/protocol/kafka"
	"github.com/streamweir/streamweir/storage/memstore"
)

// groupBroker is a whole broker over a store in memory, and its address.
type groupBroker struct {
	core *broker.Core
	addr string
	stop func(context.Context)
}

// serve runs a server on a store in memory, on a free port, until the test ends.
func serve(tb testing.TB, set ...string) (*broker.Core, *Server) {
	tb.Helper()
	return serveWith(tb, func(*Server) {}, set...)
}

// serveWith is serve of a server that prepare has changed.
func serveWith(tb testing.TB, prepare func(*Server), set ...string) (*broker.Core, *Server) {
	tb.Helper()
	cfg, _, err := config.Load(config.Source{Set: append([]string{"listeners=PLAINTEXT://127.0.0.1:0"}, set...)})
	if err != nil {
		tb.Fatal(err)
	}
	store := memstore.New(memstore.Options{})
	core, err := broker.Open(store, cfg, zap.NewNop())
	if err != nil {
		tb.Fatal(err)
	}
	s, err := New(core, zap.NewNop())
	if err != nil {
		tb.Fatal(err)
	}
	prepare(s)
	if err := s.Listen(); err != nil {
		tb.Fatal(err)
	}
	s.Serve()
	tb.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		s.Shutdown(ctx)
		core.Close()
		store.Close()
		s.answers.settled(tb)
	})
	return core, s
}

func startGroupBroker(t *testing.T, set ...string) *groupBroker {
	t.Helper()
	return startGroupBrokerWith(t, func(*Server) {}, set...)
}

func startGroupBrokerWith(t *testing.T, prepare func(*Server), set ...string) *groupBroker {
	t.Helper()
	core, s := serveWith(t, prepare, append([]string{"group.initial.rebalance.delay.ms=0"}, set...)...)
	b := &groupBroker{core: core, addr: s.Addrs()[0], stop: s.Shutdown}
	for _, name := range []string{"t", "u"} {
		if _, err := core.Topics.Ensure(name); err != nil {
			t.Fatal(err)
		}
	}
	// Clients ask for the coordinator first; that creates its topic.
	find := kmsg.NewPtrFindCoordinatorRequest()
	find.Version, find.CoordinatorKeys = 4, []string{"g"}
	ask[*kmsg.FindCoordinatorResponse](b.dial(t), find, nil)
	return b
}

// client is one connection that sends requests in exactly the version they say.
type client struct {
	t    *testing.T
	conn net.Conn
	next int32
}

func (b *groupBroker) dial(t *testing.T) *client {
	t.Helper()
	conn, err := (&net.Dialer{Timeout: 5 * time.Second}).DialContext(t.Context(), "tcp", b.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return &client{t: t, conn: conn}
}

func (c *client) send(req kmsg.Request) {
	c.t.Helper()
	c.next++
	f := kmsg.NewRequestFormatter(kmsg.FormatterClientID("test"))
	if _, err := c.conn.Write(f.AppendRequest(nil, req, c.next)); err != nil {
		c.t.Fatal(err)
	}
}

// receive reads the answer to the request that was sent last.
func (c *client) receive(req kmsg.Request) kmsg.Response {
	c.t.Helper()
	c.conn.SetReadDeadline(time.Now().Add(20 * time.Second))
	var size [4]byte
	if _, err := io.ReadFull(c.conn, size[:]); err != nil {
		c.t.Fatalf("answer to %T version %d: %v", req, req.GetVersion(), err)
	}
	body := make([]byte, binary.BigEndian.Uint32(size[:]))
	if _, err := io.ReadFull(c.conn, body); err != nil {
		c.t.Fatal(err)
	}
	r := kbin.Reader{Src: body}
	r.Int32()
	if req.IsFlexible() {
		kmsg.SkipTags(&r)
	}
	resp := req.ResponseKind()
	if err := resp.ReadFrom(r.Src); err != nil {
		c.t.Fatalf("decode the answer to %T version %d: %v", req, req.GetVersion(), err)
	}
	return resp
}

// ask sends req until its answer is not that the coordinator has just begun.
func ask[R kmsg.Response](c *client, req kmsg.Request, code func(R) int16) R {
	c.t.Helper()
	for {
		c.send(req)
		resp := c.receive(req).(R)
		if code == nil {
			return resp
		}
		// TxnOffsetCommit says that a coordinator that loads is not available.
		if got := code(resp); got != kerr.CoordinatorLoadInProgress.Code && got != kerr.CoordinatorNotAvailable.Code {
			return resp
		}
	}
}

// versionsAre calls f for each version of an API, which must be those from lo to hi.
func versionsAre(t *testing.T, key kafka.Key, lo, hi int16, f func(t *testing.T, v int16)) {
	if got, _ := kafka.ServedVersions(key); got.Min != lo || got.Max != hi {
		t.Errorf("%v is served in versions %d to %d, want %d to %d", key, got.Min, got.Max, lo, hi)
	}
	for v := lo; v <= hi; v++ {
		t.Run(fmt.Sprintf("%v v%d", key, v), func(t *testing.T) { f(t, v) })
	}
}

func joinOnce(v int16, group, member string) *kmsg.JoinGroupRequest {
	req := kmsg.NewPtrJoinGroupRequest()
	req.Version, req.Group, req.MemberID = v, group, member
	req.SessionTimeoutMillis, req.RebalanceTimeoutMillis, req.ProtocolType = 30_000, 30_000, "consumer"
	p := kmsg.NewJoinGroupRequestProtocol()
	p.Name, p.Metadata = "range", []byte{0, 0, 0, 0, 0, 1, 0, 1, 't', 0, 0, 0, 0}
	req.Protocols = append(req.Protocols, p)
	return req
}

// joinGroup joins as the only member and returns the answer.
func joinGroup(c *client, v int16, group string) *kmsg.JoinGroupResponse {
	code := func(r *kmsg.JoinGroupResponse) int16 { return r.ErrorCode }
	resp := ask(c, joinOnce(v, group, ""), code)
	if resp.ErrorCode == kerr.MemberIDRequired.Code {
		resp = ask(c, joinOnce(v, group, resp.MemberID), code)
	}
	return resp
}

func syncGroup(c *client, v int16, group string, j *kmsg.JoinGroupResponse) *kmsg.SyncGroupResponse {
	req := kmsg.NewPtrSyncGroupRequest()
	req.Version, req.Group, req.MemberID, req.Generation = v, group, j.MemberID, j.Generation
	req.ProtocolType, req.Protocol = kmsg.StringPtr("consumer"), kmsg.StringPtr("range")
	a := kmsg.NewSyncGroupRequestGroupAssignment()
	a.MemberID, a.MemberAssignment = j.MemberID, []byte("assigned")
	req.GroupAssignment = append(req.GroupAssignment, a)
	return ask(c, req, func(r *kmsg.SyncGroupResponse) int16 { return r.ErrorCode })
}

func want(t *testing.T, what string, got int16, err *kerr.Error) {
	t.Helper()
	code := int16(0)
	if err != nil {
		code = err.Code
	}
	if got != code {
		t.Errorf("%s: code %d, want %d", what, got, code)
	}
}

func TestJoinSyncHeartbeatAndLeaveInEveryVersion(t *testing.T) {
	b := startGroupBroker(t)
	c := b.dial(t)
	versionsAre(t, kafka.JoinGroup, 0, 9, func(t *testing.T, v int16) {
		group := fmt.Sprintf("join-%d", v)
		if first := ask(c, joinOnce(v, group, ""), func(r *kmsg.JoinGroupResponse) int16 { return r.ErrorCode }); v >= 4 {
			want(t, "first join", first.ErrorCode, kerr.MemberIDRequired)
			if first.MemberID == "" || first.Generation != -1 {
				t.Errorf("answer %+v", first)
			}
			first = ask(c, joinOnce(v, group, first.MemberID), func(r *kmsg.JoinGroupResponse) int16 { return r.ErrorCode })
			want(t, "second join", first.ErrorCode, nil)
		} else {
			want(t, "join", first.ErrorCode, nil)
			if first.Generation != 1 || first.LeaderID != first.MemberID || len(first.Members) != 1 || *first.Protocol != "range" {
				t.Errorf("answer %+v", first)
			}
		}
		bad := joinOnce(v, group, "")
		bad.SessionTimeoutMillis = 1
		r := ask(c, bad, func(r *kmsg.JoinGroupResponse) int16 { return r.ErrorCode })
		want(t, "session of 1 ms", r.ErrorCode, kerr.InvalidSessionTimeout)
		if (r.Protocol == nil) != (v >= 7) {
			t.Errorf("protocol of an error is %v", r.Protocol)
		}
	})
	j := joinGroup(c, 9, "g")
	versionsAre(t, kafka.SyncGroup, 0, 5, func(t *testing.T, v int16) {
		s := syncGroup(c, v, "g", j)
		want(t, "sync", s.ErrorCode, nil)
		if string(s.MemberAssignment) != "assigned" || v >= 5 && *s.Protocol != "range" {
			t.Errorf("answer %+v", s)
		}
		want(t, "sync of a stranger", syncGroup(c, v, "g", &kmsg.JoinGroupResponse{MemberID: "stranger", Generation: 1}).ErrorCode, kerr.UnknownMemberID)
	})
	t.Run("SyncGroup v5 has to name the protocol", func(t *testing.T) {
		req := kmsg.NewPtrSyncGroupRequest()
		req.Version, req.Group, req.MemberID, req.Generation = 5, "g", j.MemberID, j.Generation
		want(t, "sync", ask[*kmsg.SyncGroupResponse](c, req, nil).ErrorCode, kerr.InconsistentGroupProtocol)
	})
	versionsAre(t, kafka.Heartbeat, 0, 4, func(t *testing.T, v int16) {
		req := kmsg.NewPtrHeartbeatRequest()
		req.Version, req.Group, req.MemberID, req.Generation = v, "g", j.MemberID, j.Generation
		want(t, "heartbeat", ask[*kmsg.HeartbeatResponse](c, req, nil).ErrorCode, nil)
		req.Generation++
		want(t, "heartbeat of the future", ask[*kmsg.HeartbeatResponse](c, req, nil).ErrorCode, kerr.IllegalGeneration)
	})
	versionsAre(t, kafka.LeaveGroup, 0, 5, func(t *testing.T, v int16) {
		group := fmt.Sprintf("leave-%d", v)
		j := joinGroup(c, 3, group)
		leave := func(member string) int16 {
			req := kmsg.NewPtrLeaveGroupRequest()
			req.Version, req.Group, req.MemberID = v, group, member
			m := kmsg.NewLeaveGroupRequestMember()
			m.MemberID = member
			req.Members = append(req.Members, m)
			resp := ask[*kmsg.LeaveGroupResponse](c, req, nil)
			if v < 3 {
				return resp.ErrorCode
			}
			want(t, "leave as a whole", resp.ErrorCode, nil)
			return resp.Members[0].ErrorCode
		}
		want(t, "leave of a stranger", leave("stranger"), kerr.UnknownMemberID)
		want(t, "leave", leave(j.MemberID), nil)
	})
}

func commitOnce(b *groupBroker, v int16, group, topic string, partition int32, offset int64) *kmsg.OffsetCommitRequest {
	req := kmsg.NewPtrOffsetCommitRequest()
	req.Version, req.Group = v, group
	rt := kmsg.NewOffsetCommitRequestTopic()
	rt.Topic = topic
	if found := b.core.Topics.Topic(topic); found != nil {
		rt.TopicID = found.ID
	} else {
		rt.TopicID = [16]byte{1, 2, 3}
	}
	p := kmsg.NewOffsetCommitRequestTopicPartition()
	p.Partition, p.Offset, p.LeaderEpoch, p.Metadata = partition, offset, 5, kmsg.StringPtr("note")
	rt.Partitions = append(rt.Partitions, p)
	req.Topics = append(req.Topics, rt)
	return req
}

func firstCommit(r *kmsg.OffsetCommitResponse) int16 { return r.Topics[0].Partitions[0].ErrorCode }

// fetchOffsets asks for partition 0 of topics, or for all, and returns what came
// by topic, with the code of the whole.
func fetchOffsets(c *client, b *groupBroker, v int16, group string, topics ...string) (offsets map[string]kmsg.OffsetFetchResponseGroupTopicPartition, code int16) {
	req := kmsg.NewPtrOffsetFetchRequest()
	req.Version, req.Group = v, group
	g := kmsg.NewOffsetFetchRequestGroup()
	g.Group = group
	for _, name := range topics {
		rt := kmsg.OffsetFetchRequestTopic{Topic: name, Partitions: []int32{0}}
		req.Topics = append(req.Topics, rt)
		gt := kmsg.OffsetFetchRequestGroupTopic{Topic: name, Partitions: []int32{0}, TopicID: [16]byte{9}}
		if found := b.core.Topics.Topic(name); found != nil {
			gt.TopicID = found.ID
		}
		g.Topics = append(g.Topics, gt)
	}
	req.Groups = append(req.Groups, g)
	resp := ask(c, req, func(r *kmsg.OffsetFetchResponse) int16 { return r.ErrorCode })
	offsets = map[string]kmsg.OffsetFetchResponseGroupTopicPartition{}
	if v >= 8 {
		for _, rt := range resp.Groups[0].Topics {
			name := rt.Topic
			if found := b.core.Topics.TopicByID(rt.TopicID); v >= 10 && found != nil {
				name = found.Name
			}
			offsets[name] = rt.Partitions[0]
		}
		return offsets, resp.Groups[0].ErrorCode
	}
	for _, rt := range resp.Topics {
		p := rt.Partitions[0]
		offsets[rt.Topic] = kmsg.OffsetFetchResponseGroupTopicPartition{Partition: p.Partition, Offset: p.Offset, LeaderEpoch: p.LeaderEpoch, Metadata: p.Metadata, ErrorCode: p.ErrorCode}
	}
	return offsets, resp.ErrorCode
}

func TestOffsetsInEveryVersion(t *testing.T) {
	b := startGroupBroker(t)
	c := b.dial(t)
	versionsAre(t, kafka.OffsetCommit, 2, 10, func(t *testing.T, v int16) {
		group := fmt.Sprintf("commit-%d", v)
		r := ask(c, commitOnce(b, v, group, "t", 0, int64(v)), firstCommit)
		want(t, "commit", firstCommit(r), nil)
		if v < 10 && r.Topics[0].Topic != "t" || v >= 10 && r.Topics[0].TopicID != b.core.Topics.Topic("t").ID {
			t.Errorf("answer %+v", r)
		}
		want(t, "partition that is not there", firstCommit(ask(c, commitOnce(b, v, group, "t", 99, 1), firstCommit)), kerr.UnknownTopicOrPartition)
		unknown := kerr.UnknownTopicOrPartition
		if v >= 10 {
			unknown = kerr.UnknownTopicID
		}
		want(t, "topic that is not there", firstCommit(ask(c, commitOnce(b, v, group, "nosuch", 0, 1), firstCommit)), unknown)
		mixed := commitOnce(b, v, group, "nosuch", 0, 1)
		mixed.Topics = append(mixed.Topics, commitOnce(b, v, group, "u", 0, 1).Topics...)
		p := kmsg.NewOffsetCommitRequestTopicPartition()
		p.Partition = 7
		mixed.Topics[1].Partitions = append(mixed.Topics[1].Partitions, p)
		r = ask(c, mixed, firstCommit)
		if len(r.Topics) != 2 || len(r.Topics[0].Partitions)+len(r.Topics[1].Partitions) != 3 {
			t.Errorf("answer %+v", r)
		}
		foreign := commitOnce(b, v, group, "t", 0, 1)
		foreign.Generation, foreign.MemberID = 4, "stranger"
		want(t, "commit of a stranger", firstCommit(ask(c, foreign, firstCommit)), kerr.UnknownMemberID)
	})
	fetch := func(v int16, group string, topics ...string) (map[string]kmsg.OffsetFetchResponseGroupTopicPartition, int16) {
		return fetchOffsets(c, b, v, group, topics...)
	}
	versionsAre(t, kafka.OffsetFetch, 1, 10, func(t *testing.T, v int16) {
		got, code := fetch(v, "commit-7", "t", "nosuch")
		want(t, "fetch", code, nil)
		if p := got["t"]; p.Offset != 7 || *p.Metadata != "note" || v >= 5 && p.LeaderEpoch != 5 || p.ErrorCode != 0 {
			t.Errorf("t: %+v", p)
		}
		missing := got["nosuch"]
		if v >= 10 {
			missing = got[""]
			want(t, "fetch of a topic that is not there", missing.ErrorCode, kerr.UnknownTopicID)
		}
		if missing.Offset != -1 {
			t.Errorf("nosuch: %+v", missing)
		}
		if v >= 2 {
			all, code := fetch(v, "commit-7")
			want(t, "fetch of all", code, nil)
			if len(all) != 2 || all["t"].Offset != 7 || all["u"].Offset != 1 {
				t.Errorf("all: %+v", all)
			}
		}
		none, code := fetch(v, "nosuch", "t")
		want(t, "fetch of an unknown group", code, nil)
		if none["t"].Offset != -1 {
			t.Errorf("unknown group: %+v", none)
		}
	})
	versionsAre(t, kafka.OffsetDelete, 0, 0, func(t *testing.T, v int16) {
		req := kmsg.NewPtrOffsetDeleteRequest()
		req.Group = "commit-7"
		for _, name := range []string{"t", "nosuch"} {
			req.Topics = append(req.Topics, kmsg.OffsetDeleteRequestTopic{Topic: name, Partitions: []kmsg.OffsetDeleteRequestTopicPartition{{Partition: 0}, {Partition: 9}}})
		}
		resp := ask[*kmsg.OffsetDeleteResponse](c, req, nil)
		got := map[string]int16{}
		for _, rt := range resp.Topics {
			for _, p := range rt.Partitions {
				got[fmt.Sprint(rt.Topic, p.Partition)] = p.ErrorCode
			}
		}
		unknown := kerr.UnknownTopicOrPartition.Code
		if resp.ErrorCode != 0 || got["t0"] != 0 || got["t9"] != unknown || got["nosuch0"] != unknown || len(resp.Topics) != 2 {
			t.Errorf("answer %+v", resp)
		}
		if left, _ := fetch(9, "commit-7", "t"); left["t"].Offset != -1 {
			t.Errorf("after the deletion: %+v", left)
		}
		req.Group = "nosuch"
		want(t, "unknown group", ask[*kmsg.OffsetDeleteResponse](c, req, nil).ErrorCode, kerr.GroupIDNotFound)
	})
}

func TestGroupAdminInEveryVersion(t *testing.T) {
	b := startGroupBroker(t)
	c := b.dial(t)
	versionsAre(t, kafka.FindCoordinator, 0, 6, func(t *testing.T, v int16) {
		find := func(kind int8) kmsg.FindCoordinatorResponseCoordinator {
			req := kmsg.NewPtrFindCoordinatorRequest()
			req.Version, req.CoordinatorKey, req.CoordinatorKeys, req.CoordinatorType = v, "g", []string{"g"}, kind
			r := ask[*kmsg.FindCoordinatorResponse](c, req, nil)
			if v >= 4 {
				return r.Coordinators[0]
			}
			return kmsg.FindCoordinatorResponseCoordinator{Key: "g", NodeID: r.NodeID, Host: r.Host, Port: r.Port, ErrorCode: r.ErrorCode}
		}
		got := find(0)
		want(t, "find", got.ErrorCode, nil)
		if got.NodeID != b.core.NodeID() || got.Host != "127.0.0.1" || fmt.Sprintf("127.0.0.1:%d", got.Port) != b.addr || got.Key != "g" {
			t.Errorf("answer %+v", got)
		}
		if v >= 1 {
			if got := find(9); got.ErrorCode != kerr.InvalidRequest.Code || got.NodeID != -1 {
				t.Errorf("type 9: %+v", got)
			}
		}
	})
	syncGroup(c, 5, "stable", joinGroup(c, 9, "stable"))
	want(t, "commit", firstCommit(ask(c, commitOnce(b, 9, "simple", "t", 0, 1), firstCommit)), nil)
	versionsAre(t, kafka.DescribeGroups, 0, 6, func(t *testing.T, v int16) {
		req := kmsg.NewPtrDescribeGroupsRequest()
		req.Version, req.Groups, req.IncludeAuthorizedOperations = v, []string{"stable", "simple", "nosuch"}, v >= 3
		r := ask(c, req, func(r *kmsg.DescribeGroupsResponse) int16 { return r.Groups[0].ErrorCode })
		g := r.Groups[0]
		if g.State != "Stable" || g.Protocol != "range" || g.ProtocolType != "consumer" || len(g.Members) != 1 ||
			g.Members[0].ClientID != "test" || g.Members[0].ClientHost != "/127.0.0.1" || string(g.Members[0].MemberAssignment) != "assigned" {
			t.Errorf("stable: %+v", g)
		}
		if v >= 3 && g.AuthorizedOperations != groupOperations {
			t.Errorf("operations: %b", g.AuthorizedOperations)
		}
		if g := r.Groups[1]; g.State != "Empty" || g.ErrorCode != 0 {
			t.Errorf("simple: %+v", g)
		}
		notFound := int16(0)
		if v >= 6 {
			notFound = kerr.GroupIDNotFound.Code
		}
		if g := r.Groups[2]; g.State != "Dead" || g.ErrorCode != notFound || (g.ErrorMessage != nil) != (v >= 6) {
			t.Errorf("nosuch: %+v", g)
		}
	})
	versionsAre(t, kafka.ListGroups, 0, 5, func(t *testing.T, v int16) {
		list := func(states, types []string) map[string]kmsg.ListGroupsResponseGroup {
			req := kmsg.NewPtrListGroupsRequest()
			req.Version, req.StatesFilter, req.TypesFilter = v, states, types
			r := ask(c, req, func(r *kmsg.ListGroupsResponse) int16 { return r.ErrorCode })
			want(t, "list", r.ErrorCode, nil)
			out := map[string]kmsg.ListGroupsResponseGroup{}
			for _, g := range r.Groups {
				out[g.Group] = g
			}
			return out
		}
		all := list(nil, nil)
		if len(all) != 2 || all["stable"].ProtocolType != "consumer" || all["simple"].ProtocolType != "" ||
			v >= 4 && all["stable"].GroupState != "Stable" || v >= 5 && all["simple"].GroupType != "classic" {
			t.Errorf("all: %+v", all)
		}
		if empty := list([]string{" eMPTY", "Dead"}, nil); v >= 4 && (len(empty) != 1 || empty["simple"].Group == "") {
			t.Errorf("empty: %+v", empty)
		}
		if none := list(nil, []string{"Consumer"}); v >= 5 && len(none) != 0 {
			t.Errorf("consumer groups: %+v", none)
		}
		if classic := list(nil, []string{"Classic"}); len(classic) != 2 {
			t.Errorf("classic groups: %+v", classic)
		}
	})
	versionsAre(t, kafka.DeleteGroups, 0, 2, func(t *testing.T, v int16) {
		group := fmt.Sprintf("delete-%d", v)
		want(t, "commit", firstCommit(ask(c, commitOnce(b, 9, group, "t", 0, 1), firstCommit)), nil)
		req := kmsg.NewPtrDeleteGroupsRequest()
		req.Version, req.Groups = v, []string{group, "stable", "nosuch", group}
		r := ask[*kmsg.DeleteGroupsResponse](c, req, nil)
		if len(r.Groups) != 3 || r.Groups[0].ErrorCode != 0 || r.Groups[1].ErrorCode != kerr.NonEmptyGroup.Code || r.Groups[2].ErrorCode != kerr.GroupIDNotFound.Code {
			t.Errorf("answer %+v", r)
		}
	})
}

// A JoinGroup whose connection ends before it waits is answered once, and whoever hurries
// it afterwards, as the end of the connection does, finds nothing more to do.
func TestParkedAtTheEndOfAConnection(t *testing.T) {
	s := newAdmin(t).s
	c := silent(t, s)
	c.close()
	k := &call{c: c, key: kafka.JoinGroup}
	early := 0
	if s.parked(k, func() kmsg.Response {
		early++
		return kmsg.NewPtrJoinGroupResponse()
	}) != nil {
		t.Error("it waits")
	}
	if !k.done || early != 1 {
		t.Errorf("answered: %v, %d times", k.done, early)
	}
	k.hurry()
}

// A JoinGroup that waits is answered when the server stops, and does not keep
// the server from stopping.
func TestShutdownAnswersParkedJoin(t *testing.T) {
	b := startGroupBroker(t, "group.initial.rebalance.delay.ms=600000")
	c := b.dial(t)
	first := ask(c, joinOnce(9, "g", ""), func(r *kmsg.JoinGroupResponse) int16 { return r.ErrorCode })
	join := joinOnce(9, "g", first.MemberID)
	c.send(join)
	// The next request of the connection is answered after this one, so it
	// cannot tell that the join is parked; another connection can.
	other := b.dial(t)
	for {
		req := kmsg.NewPtrDescribeGroupsRequest()
		req.Version, req.Groups = 6, []string{"g"}
		if r := ask[*kmsg.DescribeGroupsResponse](other, req, nil); len(r.Groups[0].Members) == 1 {
			break
		}
	}
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		b.stop(ctx)
	}()
	r := c.receive(join).(*kmsg.JoinGroupResponse)
	want(t, "parked join", r.ErrorCode, kerr.NotCoordinator)
	<-stopped
}
