package group

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/streamweir/streamweir/broker/coordinator"
	"github.com/streamweir/streamweir/broker/coordinator/coordinatortest"
	"github.com/streamweir/streamweir/protocol/kafka"
	"github.com/streamweir/streamweir/storage"
)

func commitRequest(group, topic string, partition int32, offset int64) *kmsg.OffsetCommitRequest {
	return &kmsg.OffsetCommitRequest{
		Version: 9, Group: group, Generation: -1, RetentionTimeMillis: -1,
		Topics: []kmsg.OffsetCommitRequestTopic{{
			Topic: topic, Partitions: []kmsg.OffsetCommitRequestTopicPartition{{Partition: partition, Offset: offset, LeaderEpoch: -1}},
		}},
	}
}

func commitCode(resp *kmsg.OffsetCommitResponse) int16 { return resp.Topics[0].Partitions[0].ErrorCode }

func commitNow(t testing.TB, c *Coordinator, req *kmsg.OffsetCommitRequest) int16 {
	t.Helper()
	return commitCode(coordinatortest.Await(t, func(reply func(*kmsg.OffsetCommitResponse)) { c.OffsetCommit(req, reply) }))
}

func fetchNow(t testing.TB, c *Coordinator, group, topic string, partition int32) (int64, int16) {
	t.Helper()
	req := &kmsg.OffsetFetchRequestGroup{Group: group, Topics: []kmsg.OffsetFetchRequestGroupTopic{{Topic: topic, Partitions: []int32{partition}}}}
	resp := coordinatortest.Await(t, func(reply func(*kmsg.OffsetFetchResponseGroup)) { c.OffsetFetch(req, false, reply) })
	if resp.ErrorCode != 0 {
		return 0, resp.ErrorCode
	}
	return resp.Topics[0].Partitions[0].Offset, resp.Topics[0].Partitions[0].ErrorCode
}

func joinRequest(group, member string, instance *string) *kmsg.JoinGroupRequest {
	return &kmsg.JoinGroupRequest{
		Version: 9, Group: group, MemberID: member, InstanceID: instance, SessionTimeoutMillis: 10_000, RebalanceTimeoutMillis: 60_000,
		ProtocolType: "consumer", Protocols: protocols("range(t)"),
	}
}

func TestCommitIsAnsweredWhenDurableAndReadOnlyThen(t *testing.T) {
	log := newFakeLog()
	c := testCoordinator(t, log, newFakeClock(), nil)
	log.setHold(true)
	answered := make(chan int16, 1)
	c.OffsetCommit(commitRequest("g", "t", 0, 5), func(r *kmsg.OffsetCommitResponse) { answered <- commitCode(r) })
	if got, _ := fetchNow(t, c, "g", "t", 0); got != -1 {
		t.Errorf("an offset that is not durable was read: %d", got)
	}
	stable := make(chan int64, 1)
	req := &kmsg.OffsetFetchRequestGroup{Group: "g", Topics: []kmsg.OffsetFetchRequestGroupTopic{{Topic: "t", Partitions: []int32{0}}}}
	c.OffsetFetch(req, true, func(r *kmsg.OffsetFetchResponseGroup) { stable <- r.Topics[0].Partitions[0].Offset })
	select {
	case code := <-answered:
		t.Fatalf("answered %d before the commit was durable", code)
	case o := <-stable:
		t.Fatalf("a stable fetch read %d before the commit was durable", o)
	default:
	}
	log.release()
	if code := <-answered; code != 0 {
		t.Errorf("commit: %s", errName(code))
	}
	if o := <-stable; o != 5 {
		t.Errorf("the stable fetch read %d, want 5", o)
	}
	if got, _ := fetchNow(t, c, "g", "t", 0); got != 5 {
		t.Errorf("fetched %d, want 5", got)
	}
}

func TestFailedAppendsAnswerAsApacheKafkaDoes(t *testing.T) {
	for _, c := range []struct {
		err  error
		want *kerr.Error
	}{
		{kerr.NotEnoughReplicas, kerr.CoordinatorNotAvailable},
		{kerr.UnknownTopicOrPartition, kerr.CoordinatorNotAvailable},
		{kerr.RequestTimedOut, kerr.CoordinatorNotAvailable},
		{kerr.NotLeaderForPartition, kerr.NotCoordinator},
		{kerr.KafkaStorageError, kerr.NotCoordinator},
		{kerr.MessageTooLarge, kerr.UnknownServerError},
		{kerr.RecordListTooLarge, kerr.UnknownServerError},
		{kerr.InvalidFetchSize, kerr.UnknownServerError},
		{kerr.PolicyViolation, kerr.PolicyViolation},
		{fmt.Errorf("append: %w", storage.ErrNoSpace), kerr.CoordinatorNotAvailable},
		{storage.ErrTerm, kerr.CoordinatorNotAvailable},
		{storage.ErrFailed, kerr.NotCoordinator},
		{storage.ErrClosed, kerr.NotCoordinator},
		{errors.New("who knows"), kerr.UnknownServerError},
	} {
		log := newFakeLog()
		co := testCoordinator(t, log, newFakeClock(), nil)
		log.setFail(c.err)
		if got := commitNow(t, co, commitRequest("g", "t", 0, 5)); got != c.want.Code {
			t.Errorf("%v: answered %s, want %s", c.err, errName(got), c.want.Message)
		}
		log.setFail(nil)
		if got, _ := fetchNow(t, co, "g", "t", 0); got != -1 {
			t.Errorf("%v: the offset was kept: %d", c.err, got)
		}
		if groups := co.ListGroups(&kmsg.ListGroupsRequest{}).Groups; len(groups) != 0 {
			t.Errorf("%v: left %v behind", c.err, groups)
		}
	}
}

func TestRequestsWhileLoading(t *testing.T) {
	log := newFakeLog()
	first := testCoordinator(t, log, newFakeClock(), nil)
	commitNow(t, first, commitRequest("g", "t", 0, 5))
	cfg := DefaultConfig()
	c, err := New(Options{Config: cfg, Log: log, Clock: newFakeClock()})
	must2(t, err)
	if got := commitNow(t, c, commitRequest("g", "t", 0, 6)); got != kerr.NotCoordinator.Code {
		t.Errorf("before Load: %s, want NOT_COORDINATOR", errName(got))
	}
	log.mu.Lock()
	log.reading = make(chan struct{})
	log.mu.Unlock()
	loaded := c.Load(allPartitions(cfg.Partitions)...)
	if got := commitNow(t, c, commitRequest("g", "t", 0, 6)); got != kerr.CoordinatorLoadInProgress.Code {
		t.Errorf("commit: %s, want COORDINATOR_LOAD_IN_PROGRESS", errName(got))
	}
	if _, got := fetchNow(t, c, "g", "t", 0); got != kerr.CoordinatorLoadInProgress.Code {
		t.Errorf("fetch: %s, want COORDINATOR_LOAD_IN_PROGRESS", errName(got))
	}
	if got := c.ListGroups(&kmsg.ListGroupsRequest{}).ErrorCode; got != kerr.CoordinatorLoadInProgress.Code {
		t.Errorf("list: %s, want COORDINATOR_LOAD_IN_PROGRESS", errName(got))
	}
	if got := c.Heartbeat(&kmsg.HeartbeatRequest{Group: "g", MemberID: "m", Generation: 3}).ErrorCode; got != 0 {
		t.Errorf("heartbeat: %s, want no error", errName(got))
	}
	join := coordinatortest.Await(t, func(reply func(*kmsg.JoinGroupResponse)) { c.JoinGroup(Client{}, joinRequest("g", "", nil), reply) })
	if join.ErrorCode != kerr.CoordinatorLoadInProgress.Code {
		t.Errorf("join: %s, want COORDINATOR_LOAD_IN_PROGRESS", errName(join.ErrorCode))
	}
	close(log.reading)
	<-loaded
	if got, _ := fetchNow(t, c, "g", "t", 0); got != 5 {
		t.Errorf("after the load, fetched %d, want 5", got)
	}
	must2(t, c.Shutdown(t.Context()))
}

func must2(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestFailedLoadIsReportedAndServesNobody(t *testing.T) {
	log := newFakeLog()
	log.readErr = &storage.CorruptError{Base: 7, Err: errors.New("bad CRC")}
	c := testCoordinator(t, log, newFakeClock(), func(c *Config) { c.Partitions = 1 })
	var corrupt *storage.CorruptError
	if err := c.Failed()[0]; !errors.As(err, &corrupt) {
		t.Errorf("Failed says %v, want the corruption", err)
	}
	if got := commitNow(t, c, commitRequest("g", "t", 0, 6)); got != kerr.NotCoordinator.Code {
		t.Errorf("commit: %s, want NOT_COORDINATOR", errName(got))
	}
	log.mu.Lock()
	log.readErr = nil
	log.mu.Unlock()
	<-c.Load(0)
	if got := commitNow(t, c, commitRequest("g", "t", 0, 6)); got != 0 || len(c.Failed()) != 0 {
		t.Errorf("after another load: %s, failed %v", errName(got), c.Failed())
	}
}

func TestUnloadAnswersThoseWhoWait(t *testing.T) {
	log := newFakeLog()
	clock := newFakeClock()
	c := testCoordinator(t, log, clock, func(c *Config) { c.InitialRebalanceDelay = time.Second })
	instance := "i"
	waiting := make(chan *kmsg.JoinGroupResponse, 1)
	c.JoinGroup(Client{ID: "a"}, joinRequest("g", "", &instance), func(r *kmsg.JoinGroupResponse) { waiting <- r })
	commitNow(t, c, commitRequest("other", "t", 0, 1))
	log.setHold(true)
	committed := make(chan int16, 1)
	c.OffsetCommit(commitRequest("h", "t", 0, 5), func(r *kmsg.OffsetCommitResponse) { committed <- commitCode(r) })
	c.Unload(c.PartitionFor("g"))
	c.Unload(c.PartitionFor("h"))
	if r := <-waiting; r.ErrorCode != kerr.NotCoordinator.Code {
		t.Errorf("join: %s, want NOT_COORDINATOR", errName(r.ErrorCode))
	}
	log.release()
	if code := <-committed; code != 0 {
		t.Errorf("a commit that became durable was answered %s", errName(code))
	}
	clock.Advance(time.Hour) // timers of what was unloaded do nothing
	if got := c.total.Load(); got != 1 {
		t.Errorf("%d groups are counted, want 1", got)
	}
	log.setHold(false)
	<-c.Load(c.PartitionFor("h"))
	if got, _ := fetchNow(t, c, "h", "t", 0); got != 5 {
		t.Errorf("fetched %d after loading again, want 5", got)
	}
}

func TestShutdownLetsAppendsEndAndSendsJoinersAway(t *testing.T) {
	log := newFakeLog()
	c := testCoordinator(t, log, newFakeClock(), func(c *Config) { c.InitialRebalanceDelay = time.Second })
	instance := "i"
	joined := make(chan int16, 1)
	c.JoinGroup(Client{ID: "a"}, joinRequest("g", "", &instance), func(r *kmsg.JoinGroupResponse) { joined <- r.ErrorCode })
	log.setHold(true)
	committed := make(chan int16, 1)
	c.OffsetCommit(commitRequest("h", "t", 0, 5), func(r *kmsg.OffsetCommitResponse) { committed <- commitCode(r) })
	ended := make(chan error, 1)
	go func() { ended <- c.Shutdown(t.Context()) }()
	if code := <-joined; code != kerr.NotCoordinator.Code {
		t.Errorf("join: %s, want NOT_COORDINATOR", errName(code))
	}
	if got := commitNow(t, c, commitRequest("h", "t", 0, 6)); got != kerr.CoordinatorNotAvailable.Code {
		t.Errorf("commit after Shutdown: %s, want COORDINATOR_NOT_AVAILABLE", errName(got))
	}
	select {
	case <-ended:
		t.Error("Shutdown returned while an append was under way")
	default:
	}
	log.release()
	if code := <-committed; code != 0 {
		t.Errorf("commit: %s", errName(code))
	}
	must2(t, <-ended)
}

func TestShutdownGivesUpWithItsContext(t *testing.T) {
	log := newFakeLog()
	c := testCoordinator(t, log, newFakeClock(), nil)
	log.setHold(true)
	c.OffsetCommit(commitRequest("h", "t", 0, 5), func(*kmsg.OffsetCommitResponse) {})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := c.Shutdown(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Shutdown returned %v", err)
	}
	log.release()
}

// Entries that wait while another goroutine hands the queue to the log go into
// one batch, and each gets its own offsets.
func TestQueuedEntriesShareABatch(t *testing.T) {
	log := newFakeLog()
	c := testCoordinator(t, log, newFakeClock(), func(c *Config) { c.Partitions = 1 })
	s := &c.seats[0]
	s.mu.Lock()
	s.flushing = true // as if another goroutine were at it
	s.mu.Unlock()
	var wg sync.WaitGroup
	for i := range 10 {
		wg.Add(1)
		c.OffsetCommit(commitRequest(fmt.Sprintf("g%d", i), "t", 0, int64(i)), func(r *kmsg.OffsetCommitResponse) {
			if code := commitCode(r); code != 0 {
				t.Error(errName(code))
			}
			wg.Done()
		})
	}
	c.flush(s)
	wg.Wait()
	if n := len(log.batches[0]); n != 1 {
		t.Errorf("%d batches, want 1", n)
	}
	if n := kafka.Batch(log.batches[0][0]).NumRecords(); n != 10 {
		t.Errorf("%d records, want 10", n)
	}
	for i := range 10 {
		g := fmt.Sprintf("g%d", i)
		if c := s.shard.offsets[g].get("t", 0); c == nil || c.at != int64(i) || c.offset != int64(i) {
			t.Errorf("%s has %+v", g, c)
		}
	}
}

func TestTimersFireThroughTheAlarm(t *testing.T) {
	log := newFakeLog()
	clock := newFakeClock()
	c := testCoordinator(t, log, clock, func(c *Config) { c.InitialRebalanceDelay = 3 * time.Second })
	const groups = 60
	answers := make(chan *kmsg.JoinGroupResponse, groups)
	instance := "i"
	for i := range groups {
		c.JoinGroup(Client{ID: "a"}, joinRequest(fmt.Sprintf("g%d", i), "", &instance), func(r *kmsg.JoinGroupResponse) { answers <- r })
	}
	clock.Advance(2999 * time.Millisecond)
	if len(answers) != 0 {
		t.Fatal("answered before the initial delay was over")
	}
	clock.Advance(time.Millisecond)
	for range groups {
		if r := <-answers; r.ErrorCode != 0 || r.Generation != 1 {
			t.Errorf("join: %s, generation %d", errName(r.ErrorCode), r.Generation)
		}
	}
	// Nobody sends heartbeats: all sessions end and the groups are empty.
	clock.Advance(11 * time.Second)
	if st := c.Stats(); st.Groups[Empty] != groups || st.Members != 0 {
		t.Errorf("%+v", st)
	}
}

func TestDeleteGroupsAnswersEachOnce(t *testing.T) {
	log := newFakeLog()
	c := testCoordinator(t, log, newFakeClock(), nil)
	for _, g := range []string{"a", "b"} {
		commitNow(t, c, commitRequest(g, "t", 0, 1))
	}
	c.Unload(c.PartitionFor("elsewhere"))
	resp := coordinatortest.Await(t, func(reply func(*kmsg.DeleteGroupsResponse)) {
		c.DeleteGroups(&kmsg.DeleteGroupsRequest{Version: 2, Groups: []string{"a", "b", "a", "none", "elsewhere"}}, reply)
	})
	got := ""
	for _, g := range resp.Groups {
		got += g.Group + " " + errName(g.ErrorCode) + "; "
	}
	if want := "a OK; b OK; none GROUP_ID_NOT_FOUND; elsewhere NOT_COORDINATOR; "; got != want {
		t.Errorf("answered %q, want %q", got, want)
	}
	empty := coordinatortest.Await(t, func(reply func(*kmsg.DeleteGroupsResponse)) { c.DeleteGroups(&kmsg.DeleteGroupsRequest{}, reply) })
	if len(empty.Groups) != 0 {
		t.Errorf("answered %v to no groups", empty.Groups)
	}
}

// Many clients at once, so that the race detector has something to look at.
func TestManyClients(t *testing.T) {
	log := newFakeLog()
	c := testCoordinator(t, log, coordinator.SystemClock{}, nil)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			g := fmt.Sprintf("g%d", i%3)
			for n := range 200 {
				commitNow(t, c, commitRequest(g, "t", int32(i), int64(n)))
				if got, _ := fetchNow(t, c, g, "t", int32(i)); got != int64(n) {
					t.Errorf("%s fetched %d, want %d", g, got, n)
				}
				c.Heartbeat(&kmsg.HeartbeatRequest{Group: g, MemberID: "x"})
				c.Stats()
			}
		})
	}
	wg.Go(func() {
		for range 50 {
			c.ListGroups(&kmsg.ListGroupsRequest{})
			c.TopicsDeleted(DeletedTopic{Name: "none"})
			c.DescribeGroups(&kmsg.DescribeGroupsRequest{Groups: []string{"g0", "g1"}})
		}
	})
	wg.Wait()
}
