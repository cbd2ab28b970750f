package faults

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/streamweir/streamweir/integration/harness"
)

// Clients that flood with acks=0, and never read, cost bounded memory: they are
// read no faster than their batches are stored. Others are served beside them.
func TestFloodOfAcks0(t *testing.T) {
	s := harness.Start(t, harness.Plain(), harness.Config("queued.max.request.bytes", "67108864"),
		harness.Config("socket.request.max.bytes", "16777216"), harness.Config("storage.cache.bytes", "16777216"))
	mustServe(t, s)
	flooded := harness.Topic(t, s, 4)
	topic := harness.Topic(t, s, 1)
	before := memory(t, s)
	done := make(chan struct{})
	var sent atomic.Int64
	var wg sync.WaitGroup
	for w := range int32(4) {
		c := harness.Dial(t, s)
		frame := c.Frame(1, unacknowledged(flooded, w))
		wg.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				if err := c.SetWriteDeadline(time.Now().Add(harness.Long)); err != nil {
					t.Error(err)
					return
				}
				if n, err := c.Write(frame); err != nil {
					t.Errorf("the flood ended: %d bytes, %v", n, err)
					return
				}
				sent.Add(1)
			}
		})
	}
	ctx := harness.Context(t, 3*harness.Long)
	cl := writer(t, s, topic)
	for i := range 20 {
		if err := put(ctx, cl, fmt.Appendf(nil, "%d", i)); err != nil {
			t.Errorf("produce %d beside the flood: %v", i, err)
			break
		}
	}
	harness.Eventually(t, harness.Long, "the flood is a flood", func() error { return atLeast("batches", sent.Load(), 300) })
	if !harness.AgainstKafka() {
		grown(t, s, before, 400*megabyte)
	}
	close(done)
	wg.Wait()
	harness.Eventually(t, harness.Long, "what was sent whole is stored", func() error {
		var stored int64
		ends, err := harness.Admin(t, s).ListEndOffsets(ctx, flooded)
		ends.Each(func(o kadm.ListedOffset) { stored += o.Offset })
		return errors.Join(err, atLeast("records", stored, sent.Load()))
	})
	mustServe(t, s)
}

// Clients that ask about many partitions, one request behind the other, and read none
// of the answers, cost bounded memory: queued.max.response.bytes, and requests of
// queued.max.request.bytes. Others are served beside them.
func TestFloodOfUnreadAnswers(t *testing.T) {
	harness.OnlyStreamweir(t, "it has no limit for answers")
	s := harness.Start(t, harness.Plain(), harness.Config("queued.max.request.bytes", "67108864"),
		harness.Config("socket.request.max.bytes", "16777216"), harness.Config("queued.max.response.bytes", "33554432"),
		harness.Config("storage.cache.bytes", "16777216"))
	mustServe(t, s)
	flooded, topic := harness.Topic(t, s, 1), harness.Topic(t, s, 1)
	before := memory(t, s)
	for _, req := range aboutManyPartitions(flooded) {
		for range 40 {
			c := harness.Dial(t, s)
			frame := c.Frame(1, req)
			var flood sync.WaitGroup
			flood.Go(func() {
				for err := error(nil); err == nil; { // it is cut off, or ends with the test
					_, err = c.Write(frame)
				}
			})
			t.Cleanup(func() { c.Close(); flood.Wait() })
		}
	}
	ctx := harness.Context(t, 3*harness.Long)
	cl := writer(t, s, topic)
	produced, worst := 0, before
	for scrape(t, s)["streamweir_kafka_slow_readers_closed_total"] < 5 {
		if err := put(ctx, cl, harness.Incompressible(uint64(produced), 10_000)); err != nil {
			t.Fatalf("produce %d beside the flood: %v", produced, err)
		}
		produced++
		worst = max(worst, s.AnonymousMemory(t))
	}
	t.Logf("%d produces beside the flood; memory: %d MB before, %d MB at most", produced, before/megabyte, worst/megabyte)
	if worst-before > 450*megabyte {
		t.Errorf("memory has grown by %d MB", (worst-before)/megabyte)
	}
	mustServe(t, s)
}

// aboutManyPartitions are requests of about 1 MB whose answers grow with them.
func aboutManyPartitions(topic string) []kmsg.Request {
	list := harness.At(kmsg.NewPtrListOffsetsRequest(), 5)
	list.Topics = []kmsg.ListOffsetsRequestTopic{{Topic: topic, Partitions: numbered(60_000, func(i int32) kmsg.ListOffsetsRequestTopicPartition {
		return kmsg.ListOffsetsRequestTopicPartition{Partition: i, Timestamp: -1, CurrentLeaderEpoch: -1}
	})}}
	commit := harness.At(kmsg.NewPtrOffsetCommitRequest(), 7)
	commit.Group = "nobody"
	commit.Topics = []kmsg.OffsetCommitRequestTopic{{Topic: topic, Partitions: numbered(50_000, func(i int32) kmsg.OffsetCommitRequestTopicPartition {
		return kmsg.OffsetCommitRequestTopicPartition{Partition: i, LeaderEpoch: -1}
	})}}
	produce := harness.At(kmsg.NewPtrProduceRequest(), 9)
	produce.Acks, produce.TimeoutMillis = -1, 10_000
	produce.Topics = []kmsg.ProduceRequestTopic{{Topic: topic, Partitions: numbered(100_000, func(i int32) kmsg.ProduceRequestTopicPartition {
		return kmsg.ProduceRequestTopicPartition{Partition: i}
	})}}
	return []kmsg.Request{list, commit, produce}
}

func numbered[T any](n int32, of func(i int32) T) []T {
	all := make([]T, n)
	for i := range n {
		all[i] = of(i)
	}
	return all
}

// unacknowledged is a request whose answer nobody waits for.
func unacknowledged(topic string, partition int32) *kmsg.ProduceRequest {
	req := harness.At(kmsg.NewPtrProduceRequest(), 7)
	req.Acks, req.TimeoutMillis = 0, 10_000
	rt := kmsg.NewProduceRequestTopic()
	rt.Topic = topic
	rp := kmsg.NewProduceRequestTopicPartition()
	rp.Partition = partition
	rp.Records = harness.Batch{Records: []harness.Rec{{Value: harness.Incompressible(uint64(partition), megabyte)}}}.Encode()
	rt.Partitions = append(rt.Partitions, rp)
	req.Topics = append(req.Topics, rt)
	return req
}

// An acks=0 batch that is refused closes its connection, in the middle of a
// flood too, and takes nobody else along.
func TestFloodOfRefusedAcks0(t *testing.T) {
	s := harness.Start(t)
	before := memory(t, s)
	for i := range 50 {
		c := harness.Dial(t, s)
		frame := c.Frame(1, unacknowledged("nobody-made-this", int32(i)))
		for {
			if err := c.SetWriteDeadline(time.Now().Add(harness.Long)); err != nil {
				t.Fatal(err)
			}
			_, err := c.Write(frame)
			var late net.Error
			if errors.As(err, &late) && late.Timeout() {
				t.Fatal("the connection is still open")
			}
			if err != nil {
				break
			}
		}
	}
	mustServe(t, s)
	grown(t, s, before, 400*megabyte)
}

// Kills while members join, leave and commit: no acknowledged record is lost,
// no acknowledged commit goes back, and the group is whole again by itself.
func TestKillsDuringRebalances(t *testing.T) {
	s := harness.Start(t)
	const partitions, group = 6, "killed"
	topic := harness.Topic(t, s, partitions)
	ctx, cancel := context.WithCancel(harness.Context(t, 4*harness.Long))
	defer cancel()
	ledger := harness.NewLedger(topic, partitions)
	producer := harness.Client(t, s, harness.LedgerProducer(ledger)...)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	seen := make(chan struct{}, 1)
	member := func(ctx context.Context) {
		cl := harness.Client(t, s, kgo.ConsumeTopics(topic), kgo.ConsumerGroup(group), kgo.DisableAutoCommit(),
			kgo.SessionTimeout(10*time.Second), kgo.RebalanceTimeout(10*time.Second), kgo.HeartbeatInterval(200*time.Millisecond),
			kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
		defer cl.Close()
		for ctx.Err() == nil {
			fetches := cl.PollRecords(ctx, 100)
			if fetches.NumRecords() == 0 {
				continue
			}
			_ = cl.CommitRecords(ctx, fetches.Records()...) // what it was worth shows below
			select {
			case seen <- struct{}{}:
			default:
			}
		}
	}
	for range 2 {
		wg.Go(func() { member(ctx) })
	}
	committed := map[int32]int64{}
	for round := range 4 {
		if err := ledger.Produce(ctx, producer, 500); err != nil {
			t.Fatal(err)
		}
		// One more joins, which begins a rebalance; the kill comes somewhere in it.
		third, leave := context.WithCancel(ctx)
		joined := make(chan struct{})
		wg.Go(func() { close(joined); member(third) })
		<-joined
		if round%2 == 1 {
			<-seen
		}
		for p, o := range offsetsOf(ctx, t, s, group, topic) {
			committed[p] = max(committed[p], o)
		}
		s.Kill(t)
		leave() // it leaves while nobody hears it
		s.StartAgain(t)
		for p, o := range offsetsOf(ctx, t, s, group, topic) {
			if o < committed[p] {
				t.Errorf("round %d: partition %d went back from %d to %d", round, p, committed[p], o)
			}
		}
	}
	if err := ledger.Produce(ctx, producer, 500); err != nil {
		t.Fatal(err)
	}
	harness.Eventually(t, 2*harness.Long, "the group has read everything", func() error {
		ends, err := harness.Admin(t, s).ListEndOffsets(ctx, topic)
		if err != nil {
			return err
		}
		at := offsetsOf(ctx, t, s, group, topic)
		var behind int64
		ends.Each(func(o kadm.ListedOffset) { behind += o.Offset - at[o.Partition] })
		if behind > 0 {
			return fmt.Errorf("%d records behind", behind)
		}
		return nil
	})
	ledger.ReadAll(t, s)
	ledger.Check(t, false)
}

// offsetsOf are the committed offsets of a group in a topic.
func offsetsOf(ctx context.Context, t *testing.T, s *harness.Server, group, topic string) map[int32]int64 {
	t.Helper()
	at := map[int32]int64{}
	harness.Eventually(t, harness.Long, "the group's offsets can be asked for", func() error {
		offsets, err := harness.Admin(t, s).FetchOffsets(ctx, group)
		if err != nil {
			return err
		}
		offsets.Each(func(o kadm.OffsetResponse) {
			if o.Topic == topic && o.Err == nil {
				at[o.Partition] = o.At
			}
			err = errors.Join(err, o.Err)
		})
		return err
	})
	return at
}
