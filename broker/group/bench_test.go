package group

import (
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/streamweir/streamweir/protocol/kafka"
)

// nullLog is durable at once and keeps nothing: what is left is our own cost.
type nullLog struct{ end [50]atomic.Int64 }

func (l *nullLog) Append(p int32, batch []byte, _ uint64, done func(int64, error)) {
	n := int64(kafka.Batch(batch).NumRecords())
	done(l.end[p].Add(n)-n, nil)
}

func (l *nullLog) Read(p int32, _ int64, _ func(kafka.Batch) error) (int64, error) {
	return l.end[p].Load(), nil
}

// BenchmarkOffsetCommit commits ten partitions at a time, for groups in all 50
// partitions of __consumer_offsets.
func BenchmarkOffsetCommit(b *testing.B) {
	c := testCoordinator(b, &nullLog{}, nil, gather)
	const groups = 200
	var next atomic.Int64
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		g := fmt.Sprintf("group-%d", next.Add(1)%groups)
		req := commitRequest(g, "topic", 0, 0)
		ps := make([]kmsg.OffsetCommitRequestTopicPartition, 10)
		for i := range ps {
			ps[i].Partition, ps[i].LeaderEpoch = int32(i), 3
		}
		req.Topics[0].Partitions = ps
		var wg sync.WaitGroup
		for n := int64(0); pb.Next(); n++ {
			for i := range ps {
				ps[i].Offset = n
			}
			wg.Add(1)
			c.OffsetCommit(req, func(r *kmsg.OffsetCommitResponse) { wg.Done() })
			wg.Wait()
		}
	})
}

// BenchmarkOffsetFetch reads ten partitions at a time.
func BenchmarkOffsetFetch(b *testing.B) {
	c := testCoordinator(b, &nullLog{}, nil, gather)
	req := &kmsg.OffsetFetchRequestGroup{Group: "g", Topics: []kmsg.OffsetFetchRequestGroupTopic{{Topic: "topic"}}}
	for i := range int32(10) {
		commitNow(b, c, commitRequest("g", "topic", i, 1))
		req.Topics[0].Partitions = append(req.Topics[0].Partitions, i)
	}
	b.ReportAllocs()
	for b.Loop() {
		c.OffsetFetch(req, false, func(*kmsg.OffsetFetchResponseGroup) {})
	}
}

// BenchmarkHeartbeat is what an idle group costs.
func BenchmarkHeartbeat(b *testing.B) {
	c := testCoordinator(b, &nullLog{}, nil, gather)
	ids := stableGroup(b, c, "g", 100)
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		i++
		if r := c.Heartbeat(&kmsg.HeartbeatRequest{Group: "g", MemberID: ids[i%len(ids)], Generation: 1}); r.ErrorCode != 0 {
			b.Fatal(errName(r.ErrorCode))
		}
	}
}

// stableGroup makes a group of n members in generation 1 and returns their ids,
// the leader's first.
func stableGroup(tb testing.TB, c *Coordinator, id string, n int) []string {
	tb.Helper()
	answers := make(chan *kmsg.JoinGroupResponse, n)
	for range n {
		req := joinRequest(id, "", nil)
		req.Version = 3
		c.JoinGroup(Client{ID: "client", Host: "/127.0.0.1"}, req, func(r *kmsg.JoinGroupResponse) { answers <- r })
	}
	return syncAll(tb, c, id, answers, n)
}

// syncAll takes n answers to JoinGroup and lets all sync.
func syncAll(tb testing.TB, c *Coordinator, id string, answers chan *kmsg.JoinGroupResponse, n int) []string {
	tb.Helper()
	ids := make([]string, 1, n)
	generation := int32(0)
	var assignments []kmsg.SyncGroupRequestGroupAssignment
	for range n {
		r := <-answers
		if r.ErrorCode != 0 {
			tb.Fatalf("join: %s", errName(r.ErrorCode))
		}
		generation = r.Generation
		if r.LeaderID != r.MemberID {
			ids = append(ids, r.MemberID)
			continue
		}
		ids[0] = r.MemberID
		for _, m := range r.Members {
			assignments = append(assignments, kmsg.SyncGroupRequestGroupAssignment{MemberID: m.MemberID, MemberAssignment: []byte("assignment of some size")})
		}
	}
	done := make(chan int16, n)
	for i := n - 1; i >= 0; i-- {
		req := &kmsg.SyncGroupRequest{Version: 5, Group: id, Generation: generation, MemberID: ids[i]}
		if i == 0 {
			req.GroupAssignment = assignments
		}
		c.SyncGroup(req, func(r *kmsg.SyncGroupResponse) { done <- r.ErrorCode })
	}
	for range n {
		if code := <-done; code != 0 {
			tb.Fatalf("sync: %s", errName(code))
		}
	}
	return ids
}

// BenchmarkRebalance100 lets the 100 members of a group join and sync again.
func BenchmarkRebalance100(b *testing.B) {
	c := testCoordinator(b, &nullLog{}, nil, gather)
	const n = 100
	ids := stableGroup(b, c, "g", n)
	b.ReportAllocs()
	for b.Loop() {
		answers := make(chan *kmsg.JoinGroupResponse, n)
		for _, m := range ids { // the leader first: that begins the rebalance
			c.JoinGroup(Client{}, joinRequest("g", m, nil), func(r *kmsg.JoinGroupResponse) { answers <- r })
		}
		ids = syncAll(b, c, "g", answers, n)
	}
}

// BenchmarkLoad replays a log of 100,000 offsets of 100 groups.
func BenchmarkLoad(b *testing.B) {
	log, _ := hundredThousandOffsets(b)
	b.ReportAllocs()
	for b.Loop() {
		c, err := New(Options{Config: DefaultConfig(), Log: log})
		must2(b, err)
		<-c.Load(allPartitions(50)...)
		if n := c.Stats().Offsets; n != 100_000 {
			b.Fatalf("%d offsets", n)
		}
		must2(b, c.Shutdown(b.Context()))
	}
}

func hundredThousandOffsets(tb testing.TB) (*fakeLog, *Coordinator) {
	log := newFakeLog()
	c := testCoordinator(tb, log, newFakeClock(), nil)
	for g := range 100 {
		req := commitRequest(fmt.Sprintf("group-%d", g), "topic", 0, 0)
		req.Topics[0].Partitions = make([]kmsg.OffsetCommitRequestTopicPartition, 1000)
		for i := range req.Topics[0].Partitions {
			req.Topics[0].Partitions[i].Partition = int32(i)
		}
		commitNow(tb, c, req)
	}
	return log, c
}

// TestOffsetsAreCompact holds the promise that an offset takes about 48 bytes.
func TestOffsetsAreCompact(t *testing.T) {
	log, _ := hundredThousandOffsets(t)
	var before, after runtime.MemStats
	c, err := New(Options{Config: DefaultConfig(), Log: log, Clock: newFakeClock()})
	must2(t, err)
	runtime.GC()
	runtime.ReadMemStats(&before)
	<-c.Load(allPartitions(50)...)
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&after)
	per := float64(int64(after.HeapAlloc)-int64(before.HeapAlloc)) / 100_000
	t.Logf("%.0f bytes per offset", per)
	if per > 100 {
		t.Errorf("%.0f bytes per offset, want about 48 and no more than 100", per)
	}
	must2(t, c.Shutdown(t.Context()))
	runtime.KeepAlive(c)
}

// TestIdleCoordinatorSetsNoTimer: nothing to do costs nothing.
func TestIdleCoordinatorSetsNoTimer(t *testing.T) {
	clock := newFakeClock()
	c := testCoordinator(t, newFakeLog(), clock, nil)
	commitNow(t, c, commitRequest("g", "t", 0, 1))
	clock.Advance(8 * 24 * time.Hour)
	if n := clock.Calls(); n != 0 {
		t.Errorf("%d timers are set, with no group left", n)
	}
	if st := c.Stats(); st.Groups[Empty] != 0 || st.Offsets != 0 || st.ExpiredOffsets != 1 {
		t.Errorf("%+v", st)
	}
}

// gather lets all members of a benchmark's group come before its first
// generation begins.
func gather(c *Config) { c.InitialRebalanceDelay = 100 * time.Millisecond }
