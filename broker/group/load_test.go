package group

import (
	"fmt"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/streamweir/streamweir/protocol/kafka"
)

// loading makes a coordinator of one partition that is being loaded, and what
// lets the load go on.
func loading(t *testing.T, log *fakeLog) (c *Coordinator, loaded <-chan struct{}, goOn func()) {
	t.Helper()
	cfg := DefaultConfig()
	cfg.Partitions = 1
	c, err := New(Options{Config: cfg, Log: log, Clock: newFakeClock()})
	must2(t, err)
	reading := make(chan struct{})
	log.mu.Lock()
	log.reading = reading
	log.mu.Unlock()
	loaded = c.Load(0)
	shutDownAtEnd(t, c)
	return c, loaded, func() {
		log.mu.Lock()
		log.reading = nil
		log.mu.Unlock()
		close(reading)
	}
}

func logWithCommits(t *testing.T, reqs ...*kmsg.OffsetCommitRequest) *fakeLog {
	log := newFakeLog()
	c := testCoordinator(t, log, newFakeClock(), func(c *Config) { c.Partitions = 1 })
	for _, req := range reqs {
		if code := commitNow(t, c, req); code != 0 {
			t.Fatal(errName(code))
		}
	}
	return log
}

func TestUnloadWhileLoading(t *testing.T) {
	log := logWithCommits(t, commitRequest("g", "t", 0, 5))
	c, loaded, goOn := loading(t, log)
	c.Unload(0)
	goOn()
	<-loaded
	if _, code := fetchNow(t, c, "g", "t", 0); code != kerr.NotCoordinator.Code {
		t.Errorf("fetch: %s, want NOT_COORDINATOR", errName(code))
	}
	if n := c.total.Load(); n != 0 {
		t.Errorf("%d groups are counted", n)
	}
}

// Only the last of several loads counts, whichever ends first.
func TestLoadAgainWhileLoading(t *testing.T) {
	log := logWithCommits(t, commitRequest("g", "t", 0, 5))
	c, first, goOn := loading(t, log)
	second := c.Load(0)
	goOn()
	<-first
	<-second
	if got, code := fetchNow(t, c, "g", "t", 0); got != 5 {
		t.Errorf("fetched %d, %s", got, errName(code))
	}
	if n, st := c.total.Load(), c.Stats(); n != 1 || st.Groups[Empty] != 1 {
		t.Errorf("%d groups are counted, %+v", n, st)
	}
}

func TestTopicDeletedWhileLoading(t *testing.T) {
	gone := commitRequest("g", "gone", 0, 5)
	gone.Topics[0].TopicID = [16]byte{1}
	log := logWithCommits(t, gone, commitRequest("g", "t", 0, 6))
	c, loaded, goOn := loading(t, log)
	c.TopicsDeleted(DeletedTopic{Name: "gone", ID: [16]byte{1}})
	goOn()
	<-loaded
	if got, _ := fetchNow(t, c, "g", "gone", 0); got != -1 {
		t.Errorf("the deleted topic still has offset %d", got)
	}
	if got, _ := fetchNow(t, c, "g", "t", 0); got != 6 {
		t.Errorf("the other topic has offset %d", got)
	}
}

// TestOffsetsOfTopicsThatAreGone: a broker that was killed right after it had
// deleted a topic kept the topic's offsets for ever, and a new topic of that
// name got them.
func TestOffsetsOfTopicsThatAreGone(t *testing.T) {
	old := commitRequest("g", "remade", 0, 5)
	old.Topics[0].TopicID = [16]byte{1}
	remade := commitRequest("h", "remade", 0, 6)
	remade.Topics[0].TopicID = [16]byte{2}
	log := logWithCommits(t, old, remade, commitRequest("g", "gone", 0, 7), commitRequest("g", "t", 0, 8))
	exists := func(topic string, id [16]byte) bool {
		return topic == "t" || topic == "remade" && (id == [16]byte{} || id == [16]byte{2})
	}
	for range 2 { // the second time from what the first has written
		cfg := DefaultConfig()
		cfg.Partitions = 1
		c, err := New(Options{Config: cfg, Log: log, Exists: exists})
		if err != nil {
			t.Fatal(err)
		}
		<-c.Load(0)
		for _, want := range []struct {
			group, topic string
			offset       int64
		}{{"g", "remade", -1}, {"h", "remade", 6}, {"g", "gone", -1}, {"g", "t", 8}} {
			if got, _ := fetchNow(t, c, want.group, want.topic, 0); got != want.offset {
				t.Errorf("group %s has offset %d in %s, want %d", want.group, got, want.topic, want.offset)
			}
		}
		must2(t, c.Shutdown(t.Context()))
		exists = func(string, [16]byte) bool { return true }
	}
}

func TestShutdownWhileLoading(t *testing.T) {
	log := logWithCommits(t, commitRequest("g", "t", 0, 5))
	c, loaded, goOn := loading(t, log)
	ended := make(chan error)
	go func() { ended <- c.Shutdown(t.Context()) }()
	for !c.stopping.Load() {
		c.Stats()
	}
	goOn()
	<-loaded
	must2(t, <-ended)
	<-c.Load(0) // too late: does nothing
}

// An append of a shard that was unloaded meanwhile fails: that concerns nobody
// any more, and must not touch the timers of the shard that came after it.
func TestAppendFailsAfterUnload(t *testing.T) {
	log := newFakeLog()
	clock := newFakeClock()
	c := testCoordinator(t, log, clock, func(c *Config) { c.Partitions = 1 })
	joined := make(chan *kmsg.JoinGroupResponse, 2)
	for _, instance := range []string{"leads", "never syncs"} {
		c.JoinGroup(Client{}, joinRequest("g", "", &instance), func(r *kmsg.JoinGroupResponse) { joined <- r })
	}
	clock.Advance(0)
	j := <-joined
	log.setHold(true)
	synced := make(chan int16, 1)
	c.SyncGroup(&kmsg.SyncGroupRequest{Version: 5, Group: "g", MemberID: j.MemberID, Generation: 1},
		func(r *kmsg.SyncGroupResponse) { synced <- r.ErrorCode })
	c.Unload(0)
	<-c.Load(0)
	log.setFail(kerr.NotLeaderForPartition)
	log.release()
	if code := <-synced; code != kerr.NotCoordinator.Code {
		t.Errorf("sync: %s, want NOT_COORDINATOR", errName(code))
	}
	log.setFail(nil)
	log.setHold(false)
	if n := c.total.Load(); n != 0 {
		t.Errorf("%d groups are counted", n)
	}
	clock.Advance(0)
}

// A record of a kind that this release does not know stays where it is, and
// does not keep the others from being read; a broken one fails the load.
func TestLoadOfStrangeRecords(t *testing.T) {
	log := logWithCommits(t, commitRequest("g", "t", 0, 5))
	put := func(r kafka.Record, o kafka.BatchOptions) {
		b, err := kafka.BuildBatch(nil, o, r)
		must2(t, err)
		log.mu.Lock()
		defer log.mu.Unlock()
		_, err = log.put(0, b)
		must2(t, err)
	}
	put(kafka.Record{Key: []byte{0, 9, 1, 2, 3}, Value: []byte("of a later release")}, kafka.BatchOptions{})
	put(kafka.Record{Key: []byte("marker"), Value: []byte("x")}, kafka.BatchOptions{Control: true, Producer: &kafka.Producer{ID: 1}, Transactional: true})
	key := offsetRecordKey(nil, "g", "t", 0)
	v := kmsg.OffsetCommitValue{Version: offsetValueVersion, Offset: 99}
	put(kafka.Record{Key: key, Value: v.AppendTo(nil)}, kafka.BatchOptions{Producer: &kafka.Producer{ID: 1}, Transactional: true})
	c := testCoordinator(t, log, newFakeClock(), func(c *Config) { c.Partitions = 1 })
	if got, code := fetchNow(t, c, "g", "t", 0); got != 5 {
		t.Errorf("fetched %d, %s", got, errName(code))
	}
	put(kafka.Record{Key: key, Value: []byte{0, 4, 0}}, kafka.BatchOptions{})
	c = testCoordinator(t, log, newFakeClock(), func(c *Config) { c.Partitions = 1 })
	if err := c.Failed()[0]; err == nil {
		t.Error("a broken record was passed over")
	} else if want := fmt.Sprintf("load __consumer_offsets-0: offset %d", 4); len(err.Error()) < len(want) || err.Error()[:len(want)] != want {
		t.Errorf("Failed says %q", err)
	}
}

// Offsets of transactions are read with their markers, and those of a
// transaction that is open stay pending until its marker comes.
func TestLoadOfTransactions(t *testing.T) {
	log := newFakeLog()
	commit := func(producer, offset int64) {
		v := kmsg.OffsetCommitValue{Version: offsetValueVersion, Offset: offset}
		b, err := kafka.BuildBatch(nil, kafka.BatchOptions{Producer: &kafka.Producer{ID: producer, Sequence: kafka.NoSequence}, Transactional: true},
			kafka.Record{Key: offsetRecordKey(nil, "g", "t", 0), Value: v.AppendTo(nil)})
		must2(t, err)
		_, err = log.put(0, b)
		must2(t, err)
	}
	end := func(producer int64, commit bool) {
		b, err := kafka.BuildEndMarker(nil, kafka.BatchOptions{Producer: &kafka.Producer{ID: producer}}, 1, kafka.EndMarker{Commit: commit})
		must2(t, err)
		_, err = log.put(0, b)
		must2(t, err)
	}
	load := func() *Coordinator {
		return testCoordinator(t, log, newFakeClock(), func(c *Config) { c.Partitions = 1 })
	}
	want := func(c *Coordinator, offset int64) {
		t.Helper()
		if got, code := fetchNow(t, c, "g", "t", 0); got != offset || code != 0 {
			t.Errorf("fetched %d, %s; want %d", got, errName(code), offset)
		}
	}
	commit(1, 10)
	end(1, true)
	commit(1, 20)
	end(1, false)
	commit(2, 30)
	commit(1, 40)
	c := load()
	want(c, 10)
	if err := c.CompletesTransactions(0); err != nil {
		t.Error(err)
	}
	end(2, true)
	c.CompleteTransaction(0, 2, log.ends[0]-1, true)
	want(c, 30)
	// A marker says nothing of what was committed after it.
	c.CompleteTransaction(0, 1, 4, true)
	want(c, 30)
	end(1, true)
	want(load(), 40)
	c.Unload(0)
	if err := c.CompletesTransactions(0); err == nil {
		t.Error("a partition without a coordinator completes transactions")
	}
}

// What is part of a transaction goes to the log in a batch of its own, with its
// producer and the guard of its verification, also where much is queued at once.
func TestTransactionalCommitsHaveBatchesOfTheirOwn(t *testing.T) {
	log := &guardLog{fakeLog: newFakeLog()}
	c := testCoordinator(t, log, newFakeClock(), func(c *Config) { c.Partitions = 1 })
	codes := make(chan int16, 5)
	plain := func(partition int32) {
		c.OffsetCommit(commitRequest("g", "t", partition, 6), func(r *kmsg.OffsetCommitResponse) { codes <- r.Topics[0].Partitions[0].ErrorCode })
	}
	inTxn := func(id int64, guard uint64) {
		req := &kmsg.TxnOffsetCommitRequest{Version: 5, Group: "g", ProducerID: id, ProducerEpoch: 3, Generation: -1}
		rt := kmsg.NewTxnOffsetCommitRequestTopic()
		rt.Topic, rt.Partitions = "t", []kmsg.TxnOffsetCommitRequestTopicPartition{{Partition: 0, Offset: 5, LeaderEpoch: -1}}
		req.Topics = append(req.Topics, rt)
		c.TxnOffsetCommit(req, func(string) [16]byte { return [16]byte{} }, guard, func(r *kmsg.TxnOffsetCommitResponse) {
			codes <- r.Topics[0].Partitions[0].ErrorCode
		})
	}
	// While the first is handed to the log, the others queue up behind it.
	log.first = func() {
		inTxn(77, 42)
		plain(2)
		plain(3)
		inTxn(78, 43)
	}
	plain(1)
	for range cap(codes) {
		if code := <-codes; code != 0 {
			t.Fatal(errName(code))
		}
	}
	var got []string
	for i, raw := range log.batches[0] {
		b := kafka.Batch(raw)
		got = append(got, fmt.Sprintf("%d records, producer %d/%d sequence %d in transaction %v, guard %d",
			b.NumRecords(), b.ProducerID(), b.ProducerEpoch(), b.BaseSequence(), b.IsTransactional(), log.guards[i]))
	}
	want := []string{
		"1 records, producer -1/-1 sequence -1 in transaction false, guard 0",
		"1 records, producer 77/3 sequence -1 in transaction true, guard 42",
		"2 records, producer -1/-1 sequence -1 in transaction false, guard 0",
		"1 records, producer 78/3 sequence -1 in transaction true, guard 43",
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %q\nwant %q", got, want)
	}
}

// guardLog notes the guards, and does first during the first append.
type guardLog struct {
	*fakeLog
	first  func()
	guards []uint64
}

func (l *guardLog) Append(p int32, batch []byte, guard uint64, done func(int64, error)) {
	if first := l.first; first != nil {
		l.first = nil
		first()
	}
	l.guards = append(l.guards, guard)
	l.fakeLog.Append(p, batch, guard, done)
}
