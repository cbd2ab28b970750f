package wire

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/streamweir/streamweir/integration/harness"
)

// waitLong is a fetch's max wait that no test waits for.
const waitLong = 25 * time.Second

// A fetch that waits is woken by the append, not by a poll or its max wait.
func TestFetchWakesOnAppend(t *testing.T) {
	e := newEnv(t, 1)
	writer := e.with(t)
	writer.redial()
	var took []time.Duration
	for i := range int64(40) {
		req := e.fetchReq(fetchV, 0, i)
		req.MinBytes, req.MaxWaitMillis = 1, int32(waitLong.Milliseconds())
		id, err := e.c.Send(req)
		if err != nil {
			t.Fatal(err)
		}
		writer.listOffset(offsetsV, 0, -1) // a round trip: the fetch is most likely waiting by now
		writer.produce(0, harness.Batch{Records: harness.Values("v")})
		acked := time.Now()
		e.c.SetDeadline(acked.Add(waitLong))
		resp, err := e.c.Recv(id, req)
		if err != nil {
			t.Fatal(err)
		}
		took = append(took, time.Since(acked))
		p := resp.(*kmsg.FetchResponse).Topics[0].Partitions[0]
		if bs := e.batches(p); len(bs) != 1 || bs[0].FirstOffset != i {
			t.Fatalf("fetch at %d brought %d batches", i, len(bs))
		}
	}
	slices.Sort(took)
	if median := took[len(took)/2]; median > 50*time.Millisecond {
		t.Errorf("half of the fetches came more than %v after the acknowledgement", median)
	}
	if worst := took[len(took)-1]; worst > 5*time.Second {
		t.Errorf("one fetch came %v after the acknowledgement", worst)
	}
}

// A fetch waits until min_bytes are there, over all its partitions.
func TestFetchWaitsForMinBytes(t *testing.T) {
	e := newEnv(t, 2)
	writer := e.with(t)
	writer.redial()
	req := e.fetchReq(fetchV, 0, 0)
	req.Topics[0].Partitions = append(req.Topics[0].Partitions, fetchPartition(1, 0))
	req.MinBytes, req.MaxWaitMillis = 3000, int32(waitLong.Milliseconds())
	id, err := e.c.Send(req)
	if err != nil {
		t.Fatal(err)
	}
	kilobyte := harness.Batch{Records: harness.Values(strings.Repeat("x", 1000))}
	for _, p := range []int32{0, 1, 0} {
		writer.produce(p, kilobyte)
	}
	e.c.SetDeadline(time.Now().Add(waitLong - 5*time.Second))
	resp, err := e.c.Recv(id, req)
	if err != nil {
		t.Fatalf("with 3 KB there: %v", err)
	}
	total := 0
	for _, p := range resp.(*kmsg.FetchResponse).Topics[0].Partitions {
		total += len(p.RecordBatches)
	}
	if total < 3000 {
		t.Errorf("woken with %d bytes, min_bytes is 3000", total)
	}
}

// A fetch that gets nothing ends after its max wait, not before.
func TestFetchEndsAfterMaxWait(t *testing.T) {
	e := newEnv(t, 1)
	const wait = 400 * time.Millisecond
	req := e.fetchReq(fetchV, 0, 0)
	req.MinBytes, req.MaxWaitMillis = 1, int32(wait.Milliseconds())
	began := time.Now()
	if p := e.fetch(req); len(p.RecordBatches) != 0 || p.ErrorCode != 0 {
		t.Errorf("an empty partition gave %d bytes, %v", len(p.RecordBatches), kerr.ErrorForCode(p.ErrorCode))
	}
	if took := time.Since(began); took < wait-20*time.Millisecond || took > wait+10*time.Second {
		t.Errorf("took %v, max wait is %v", took, wait)
	}
	// An error does not wait.
	req = e.fetchReq(fetchV, 0, 99)
	req.MinBytes, req.MaxWaitMillis = 1, int32(waitLong.Milliseconds())
	began = time.Now()
	if p := e.fetch(req); p.ErrorCode != kerr.OffsetOutOfRange.Code {
		t.Errorf("offset 99: %v", kerr.ErrorForCode(p.ErrorCode))
	}
	if took := time.Since(began); took > waitLong/2 {
		t.Errorf("an error took %v", took)
	}
}

// What does not exist ends no wait for what does, in a session neither; where
// there is nothing else to wait for, or a read fails, the answer comes at once.
func TestFetchWaitsBesideWhatDoesNotExist(t *testing.T) {
	const wait = 400 * time.Millisecond
	for _, v := range []int16{4, 12, 13, 18} {
		t.Run(fmt.Sprintf("v%d", v), func(t *testing.T) {
			e := newEnv(t, 1)
			// ask adds other topics and offsets, and says how long the answer took.
			ask := func(what string, want *kerr.Error, waits bool, change func(*kmsg.FetchRequest)) *kmsg.FetchResponse {
				t.Helper()
				req := e.fetchReq(v, 0, 0)
				req.MinBytes, req.MaxWaitMillis = 1, int32(wait.Milliseconds())
				if !waits {
					req.MaxWaitMillis = int32(waitLong.Milliseconds())
				}
				change(req)
				began := time.Now()
				r := harness.Ask[*kmsg.FetchResponse](t, e.c, req)
				took := time.Since(began)
				if waits && took < wait-20*time.Millisecond || !waits && took > waitLong/2 {
					t.Errorf("%s took %v", what, took)
				}
				var codes []error
				for _, rt := range r.Topics {
					for _, p := range rt.Partitions {
						if p.ErrorCode != 0 {
							codes = append(codes, kerr.ErrorForCode(p.ErrorCode))
						}
					}
				}
				if len(codes) != 1 || codes[0] != want {
					t.Errorf("%s: errors %v, want %v", what, codes, want)
				}
				return r
			}
			unknownTopic := kerr.UnknownTopicOrPartition
			if v >= 13 {
				unknownTopic = kerr.UnknownTopicID
			}
			none := kmsg.NewFetchRequestTopic()
			none.Topic, none.TopicID, none.Partitions = harness.Name(t, "none"), [16]byte{9, 9, 9}, fetchPartitions(0)
			beside := func(req *kmsg.FetchRequest) { req.Topics = append(req.Topics, none) }

			ask("an unknown partition beside a known one", kerr.UnknownTopicOrPartition, true, func(req *kmsg.FetchRequest) {
				req.Topics[0].Partitions = append(req.Topics[0].Partitions, fetchPartition(7, 0))
			})
			ask("an unknown topic beside a known one", unknownTopic, true, beside)
			ask("an unknown topic alone", unknownTopic, false, func(req *kmsg.FetchRequest) {
				req.Topics = []kmsg.FetchRequestTopic{none}
			})
			ask("a wrong offset", kerr.OffsetOutOfRange, false, func(req *kmsg.FetchRequest) {
				req.Topics[0].Partitions[0].FetchOffset = 99
			})
			if v < 7 {
				return
			}
			r := ask("the first of a session", unknownTopic, true, func(req *kmsg.FetchRequest) {
				beside(req)
				req.SessionEpoch = 0
			})
			ask("the next of a session", unknownTopic, true, func(req *kmsg.FetchRequest) {
				req.Topics, req.SessionID, req.SessionEpoch = nil, r.SessionID, 1
			})
		})
	}
}

// A fetch from the middle of a batch brings the whole batch; the client skips.
func TestFetchInTheMiddleOfABatch(t *testing.T) {
	e := newEnv(t, 1)
	e.produce(0, harness.Batch{Records: harness.Values("a", "b", "c", "d")})
	e.produce(0, harness.Batch{Records: harness.Values("e")})
	for offset, want := range []int64{0, 0, 0, 0, 4} {
		bs := e.batches(e.fetch(e.fetchReq(fetchV, 0, int64(offset))))
		if len(bs) == 0 || bs[0].FirstOffset != want {
			t.Errorf("from %d: %d batches, the first not at %d", offset, len(bs), want)
		}
	}
	if p := e.fetch(e.fetchReq(fetchV, 0, 5)); p.ErrorCode != 0 || len(p.RecordBatches) != 0 {
		t.Errorf("from the end: %v, %d bytes", kerr.ErrorForCode(p.ErrorCode), len(p.RecordBatches))
	}
	for _, offset := range []int64{6, -5} {
		if p := e.fetch(e.fetchReq(fetchV, 0, offset)); p.ErrorCode != kerr.OffsetOutOfRange.Code {
			t.Errorf("from %d: %v, want OFFSET_OUT_OF_RANGE", offset, kerr.ErrorForCode(p.ErrorCode))
		}
	}
}

// The limits of a fetch hold at every level, except that the first batch
// always comes whole.
func TestFetchLimits(t *testing.T) {
	e := newEnv(t, 3)
	const size, batches = 10_000, 10
	for p := range int32(3) {
		for range batches {
			e.produce(p, harness.Batch{Records: harness.Values(strings.Repeat("x", size))})
		}
	}
	// got says how many whole batches each partition brought.
	got := func(maxBytes, partitionMax int32) [3]int {
		t.Helper()
		req := e.fetchReq(fetchV, 0, 0)
		req.Topics[0].Partitions = append(req.Topics[0].Partitions, fetchPartition(1, 0), fetchPartition(2, 0))
		for i := range req.Topics[0].Partitions {
			req.Topics[0].Partitions[i].PartitionMaxBytes = partitionMax
		}
		req.MaxBytes = maxBytes
		r := harness.Ask[*kmsg.FetchResponse](t, e.c, req)
		var n [3]int
		for _, p := range r.Topics[0].Partitions {
			n[p.Partition] = len(e.batches(p))
		}
		return n
	}
	for _, c := range []struct {
		name                   string
		maxBytes, partitionMax int32
		want                   [3]int
	}{
		{"nothing but the first batch", 1, 1 << 20, [3]int{1, 0, 0}},
		{"a partition limit below a batch", 1 << 20, 1, [3]int{1, 0, 0}},
		{"zero is a limit too", 0, 1 << 20, [3]int{1, 0, 0}},
		{"a partition limit of three batches", 1 << 20, 3 * (size + 200), [3]int{3, 3, 3}},
		{"a limit of four batches in all", 4 * (size + 200), 1 << 20, [3]int{4, 0, 0}},
		{"both", 5 * (size + 200), 2 * (size + 200), [3]int{2, 2, 1}},
		{"neither", 1 << 20, 1 << 20, [3]int{batches, batches, batches}},
	} {
		if n := got(c.maxBytes, c.partitionMax); n != c.want {
			t.Errorf("%s: %v batches, want %v", c.name, n, c.want)
		}
	}
}

// A batch as large as a message may be comes whole under the smallest limits.
func TestFetchALargeBatchUnderSmallLimits(t *testing.T) {
	e := newEnv(t, 1)
	value := strings.Repeat("x", 9<<20)
	e.produce(0, harness.Batch{Records: harness.Values(value)})
	e.produce(0, harness.Batch{Records: harness.Values("next")})
	req := e.fetchReq(fetchV, 0, 0)
	req.MaxBytes, req.Topics[0].Partitions[0].PartitionMaxBytes = 1000, 1000
	p := e.fetch(req)
	if bs := e.batches(p); len(bs) != 1 || len(p.RecordBatches) < len(value) {
		t.Errorf("%d batches in %d bytes, want one of more than %d", len(bs), len(p.RecordBatches), len(value))
	}
}

// Places that do not exist are answered each with its own error.
func TestFetchFromNowhere(t *testing.T) {
	e := newEnv(t, 1)
	if p := e.fetch(e.fetchReq(fetchV, 9, 0)); p.ErrorCode != kerr.UnknownTopicOrPartition.Code {
		t.Errorf("an unknown partition: %v", kerr.ErrorForCode(p.ErrorCode))
	}
	req := e.fetchReq(fetchV, 0, 0)
	req.Topics[0].Topic = harness.Name(t, "none")
	if p := e.fetch(req); p.ErrorCode != kerr.UnknownTopicOrPartition.Code {
		t.Errorf("an unknown topic: %v", kerr.ErrorForCode(p.ErrorCode))
	}
	req = e.fetchReq(13, 0, 0)
	req.Topics[0].TopicID = [16]byte{9, 9, 9}
	if p := e.fetch(req); p.ErrorCode != kerr.UnknownTopicID.Code {
		t.Errorf("an unknown topic id: %v", kerr.ErrorForCode(p.ErrorCode))
	}
}

// A client that names a leader epoch is told when it is wrong.
func TestFetchChecksTheLeaderEpoch(t *testing.T) {
	s := harness.Start(t)
	e := newEnvOn(t, s, 1)
	e.produce(0, harness.Batch{Records: harness.Values("a")})
	s.Restart(t) // raises the epoch, so that there is a lower one
	e.redial()
	epoch := e.leaderEpoch(0)
	for _, c := range []struct {
		epoch int32
		want  error
	}{
		{epoch, nil},
		{-1, nil},
		{epoch - 1, kerr.FencedLeaderEpoch},
		{epoch + 1, kerr.UnknownLeaderEpoch},
	} {
		req := e.fetchReq(fetchV, 0, 0)
		req.Topics[0].Partitions[0].CurrentLeaderEpoch = c.epoch
		if p := e.fetch(req); kerr.ErrorForCode(p.ErrorCode) != c.want {
			t.Errorf("epoch %d where the leader's is %d: %v, want %v", c.epoch, epoch, kerr.ErrorForCode(p.ErrorCode), c.want)
		}
	}
}

// leaderEpoch is the partition's present one, once it has a leader.
func (e *env) leaderEpoch(partition int32) int32 {
	e.t.Helper()
	epoch := int32(-1)
	harness.Eventually(e.t, harness.Long, "a leader epoch", func() error {
		req := harness.At(kmsg.NewPtrMetadataRequest(), metadataV)
		rt := kmsg.NewMetadataRequestTopic()
		rt.Topic = &e.topic
		req.Topics = append(req.Topics, rt)
		r := harness.Ask[*kmsg.MetadataResponse](e.t, e.c, req)
		for _, p := range r.Topics[0].Partitions {
			if p.Partition == partition && p.ErrorCode == 0 {
				epoch = p.LeaderEpoch
				return nil
			}
		}
		return fmt.Errorf("%+v", r.Topics[0])
	})
	return epoch
}

// Read-committed fetches of a topic without transactions see everything.
func TestFetchReadCommitted(t *testing.T) {
	e := newEnv(t, 1)
	e.produce(0, harness.Batch{Records: harness.Values("a", "b")})
	req := e.fetchReq(fetchV, 0, 0)
	req.IsolationLevel = 1
	p := e.fetch(req)
	if bs := e.batches(p); len(bs) != 1 || p.LastStableOffset != 2 || len(p.AbortedTransactions) != 0 {
		t.Errorf("%d batches, last stable offset %d, aborted %v", len(bs), p.LastStableOffset, p.AbortedTransactions)
	}
}
