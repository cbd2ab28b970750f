package wire

import (
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/streamweir/streamweir/integration/harness"
)

// deleteRecords moves a partition's log start.
func (e *env) deleteRecords(partition int32, before int64) (low int64, err error) {
	e.t.Helper()
	req := harness.At(kmsg.NewPtrDeleteRecordsRequest(), 2)
	req.TimeoutMillis = 30_000
	rt := kmsg.NewDeleteRecordsRequestTopic()
	rt.Topic = e.topic
	rp := kmsg.NewDeleteRecordsRequestTopicPartition()
	rp.Partition, rp.Offset = partition, before
	rt.Partitions = append(rt.Partitions, rp)
	req.Topics = append(req.Topics, rt)
	r := harness.Ask[*kmsg.DeleteRecordsResponse](e.t, e.c, req)
	p := r.Topics[0].Partitions[0]
	return p.LowWatermark, kerr.ErrorForCode(p.ErrorCode)
}

// wantOffset checks one answer of ListOffsets.
func (e *env) wantOffset(what string, version int16, timestamp, offset, at int64) {
	e.t.Helper()
	p := e.listOffset(version, 0, timestamp)
	if p.ErrorCode != 0 || p.Offset != offset || p.Timestamp != at {
		e.t.Errorf("%s: offset %d at %d (%v), want %d at %d", what, p.Offset, p.Timestamp, kerr.ErrorForCode(p.ErrorCode), offset, at)
	}
}

// The special timestamps of ListOffsets.
func TestListOffsetsSpecialTimestamps(t *testing.T) {
	e := newEnv(t, 1)
	const v = 11
	e.wantOffset("the latest of nothing", v, -1, 0, -1)
	e.wantOffset("the earliest of nothing", v, -2, 0, -1)
	e.wantOffset("the largest timestamp of nothing", v, -3, -1, -1)
	base := time.Now().Add(-time.Hour).UnixMilli()
	e.produce(0, harness.Batch{Records: harness.Values("a", "b"), Timestamp: base})
	// The largest timestamp is in the middle, and twice.
	e.produce(0, harness.Batch{Timestamp: base, Records: []harness.Rec{
		{Value: []byte("c")}, {Value: []byte("d"), DeltaTime: 5000}, {Value: []byte("e"), DeltaTime: 5000}, {Value: []byte("f"), DeltaTime: 10},
	}})
	e.produce(0, harness.Batch{Records: harness.Values("g"), Timestamp: base + 100})
	e.wantOffset("latest (-1)", v, -1, 7, -1)
	e.wantOffset("earliest (-2)", v, -2, 0, -1)
	e.wantOffset("largest timestamp (-3)", v, -3, 3, base+5000)
	e.wantOffset("earliest local (-4)", v, -4, 0, -1)
	e.wantOffset("latest tiered (-5)", v, -5, -1, -1)
	e.wantOffset("largest timestamp in v7", 7, -3, 3, base+5000)
	if _, err := e.deleteRecords(0, 4); err != nil {
		t.Fatal(err)
	}
	e.wantOffset("earliest after a deletion", v, -2, 4, -1)
	e.wantOffset("earliest local after a deletion", v, -4, 4, -1)
	e.wantOffset("latest after a deletion", v, -1, 7, -1)
}

// A search by time finds the first record at or after it, in whatever codec,
// and nothing below the log start.
func TestListOffsetsByTime(t *testing.T) {
	for codec := harness.CodecNone; codec <= harness.CodecZstd; codec++ {
		t.Run(fmt.Sprintf("codec %d", codec), func(t *testing.T) {
			e := newEnv(t, 1)
			base := time.Now().Add(-time.Hour).UnixMilli()
			for i := range int64(3) { // offsets 0 to 2 at 0, 10, 20 s, 3 to 5 at 100, 110, 120 s ...
				e.produce(0, harness.Batch{Codec: codec, Timestamp: base + i*100_000, Records: []harness.Rec{
					{Value: []byte("a")}, {Value: []byte("b"), DeltaTime: 10_000}, {Value: []byte("c"), DeltaTime: 20_000},
				}})
			}
			const v = 7
			e.wantOffset("before all", v, base-1, 0, base)
			e.wantOffset("the first", v, base, 0, base)
			e.wantOffset("between two records of a batch", v, base+10_001, 2, base+20_000)
			e.wantOffset("the middle of a batch", v, base+110_000, 4, base+110_000)
			e.wantOffset("between two batches", v, base+20_001, 3, base+100_000)
			e.wantOffset("the last", v, base+220_000, 8, base+220_000)
			e.wantOffset("after all", v, base+220_001, -1, -1)
			e.wantOffset("zero", v, 0, 0, base)
			if _, err := e.deleteRecords(0, 4); err != nil {
				t.Fatal(err)
			}
			p := e.listOffset(v, 0, base)
			if p.ErrorCode != 0 || p.Offset < 4 {
				t.Errorf("below the log start 4: offset %d, %v", p.Offset, kerr.ErrorForCode(p.ErrorCode))
			}
		})
	}
}

// Timestamps that rise and fall: the first record at or after the time wins,
// wherever it stands.
func TestListOffsetsByTimeOutOfOrder(t *testing.T) {
	e := newEnv(t, 1)
	base := time.Now().Add(-time.Hour).UnixMilli()
	for _, at := range []int64{1000, 5000, 2000, 500, 6000} {
		e.produce(0, harness.Batch{Records: harness.Values("v"), Timestamp: base + at})
	}
	e.wantOffset("1500", 7, base+1500, 1, base+5000)
	e.wantOffset("5000", 7, base+5000, 1, base+5000)
	e.wantOffset("5001", 7, base+5001, 4, base+6000)
}

func TestListOffsetsErrors(t *testing.T) {
	e := newEnv(t, 1)
	if p := e.listOffset(offsetsV, 7, -1); p.ErrorCode != kerr.UnknownTopicOrPartition.Code {
		t.Errorf("an unknown partition: %v", kerr.ErrorForCode(p.ErrorCode))
	}
	for version, timestamp := range map[int16]int64{6: -3, 7: -4, 8: -5} {
		if p := e.listOffset(version, 0, timestamp); p.ErrorCode != kerr.UnsupportedVersion.Code {
			t.Errorf("timestamp %d in v%d: %v, want UNSUPPORTED_VERSION", timestamp, version, kerr.ErrorForCode(p.ErrorCode))
		}
	}
}

// DeleteRecords moves the log start and nothing else.
func TestDeleteRecords(t *testing.T) {
	e := newEnv(t, 1)
	for range 5 {
		e.produce(0, harness.Batch{Records: harness.Values("a", "b")})
	}
	for _, c := range []struct {
		before, low int64
		err         error
	}{
		{3, 3, nil},
		{2, 3, nil}, // it never goes back
		{11, -1, kerr.OffsetOutOfRange},
		{-2, -1, kerr.OffsetOutOfRange},
		{-1, 10, nil}, // the high watermark
	} {
		if low, err := e.deleteRecords(0, c.before); low != c.low || err != c.err {
			t.Errorf("before %d: low watermark %d, %v; want %d, %v", c.before, low, err, c.low, c.err)
		}
		if c.before == 3 {
			// The batch that holds the new start stays whole.
			if bs := e.batches(e.fetch(e.fetchReq(fetchV, 0, 3))); len(bs) != 4 || bs[0].FirstOffset != 2 {
				t.Errorf("from the new start: %d batches", len(bs))
			}
			if p := e.fetch(e.fetchReq(fetchV, 0, 2)); p.ErrorCode != kerr.OffsetOutOfRange.Code {
				t.Errorf("below the new start: %v", kerr.ErrorForCode(p.ErrorCode))
			}
		}
	}
	if at := e.produce(0, harness.Batch{Records: harness.Values("next")}); at != 10 {
		t.Errorf("the next record stands at %d, want 10", at)
	}
	e.wantOffset("earliest", 7, -2, 10, -1)
	if _, err := e.deleteRecords(4, 0); err != kerr.UnknownTopicOrPartition {
		t.Errorf("an unknown partition: %v", err)
	}
}

// epochEnd asks where a leader epoch ended.
func (e *env) epochEnd(current, epoch int32) (int32, int64, error) {
	e.t.Helper()
	req := harness.At(kmsg.NewPtrOffsetForLeaderEpochRequest(), 4)
	req.ReplicaID = -1
	rt := kmsg.NewOffsetForLeaderEpochRequestTopic()
	rt.Topic = e.topic
	rp := kmsg.NewOffsetForLeaderEpochRequestTopicPartition()
	rp.CurrentLeaderEpoch, rp.LeaderEpoch = current, epoch
	rt.Partitions = append(rt.Partitions, rp)
	req.Topics = append(req.Topics, rt)
	r := harness.Ask[*kmsg.OffsetForLeaderEpochResponse](e.t, e.c, req)
	p := r.Topics[0].Partitions[0]
	return p.LeaderEpoch, p.EndOffset, kerr.ErrorForCode(p.ErrorCode)
}

// The leader epoch rises at every start, its history is kept, and batches
// carry the epoch under which they were written.
func TestLeaderEpochsOverRestarts(t *testing.T) {
	s := harness.Start(t)
	e := newEnvOn(t, s, 1)
	var epochs []int32
	ends := []int64{}
	end := int64(0)
	for i, restart := range []func(){nil, func() { s.Restart(t) }, func() { s.Kill(t); s.StartAgain(t) }} {
		if restart != nil {
			restart()
			e.redial()
		}
		epoch := e.leaderEpoch(0)
		if i > 0 && epoch <= epochs[i-1] {
			t.Errorf("start %d: leader epoch %d after %d", i, epoch, epochs[i-1])
		}
		epochs = append(epochs, epoch)
		for range i + 1 {
			end = e.produce(0, harness.Batch{Records: harness.Values("v")}) + 1
		}
		ends = append(ends, end)
		b := e.batches(e.fetch(e.fetchReq(fetchV, 0, end-1)))
		if got := b[len(b)-1].PartitionLeaderEpoch; got != epoch {
			t.Errorf("start %d: the batch says epoch %d, the leader's is %d", i, got, epoch)
		}
		if got := e.listOffset(offsetsV, 0, -1).LeaderEpoch; got != epoch {
			t.Errorf("start %d: ListOffsets says epoch %d, the leader's is %d", i, got, epoch)
		}
	}
	current := epochs[2]
	for i, epoch := range epochs {
		if got, end, err := e.epochEnd(current, epoch); err != nil || got != epoch || end != ends[i] {
			t.Errorf("epoch %d: ended as %d at %d (%v), want %d", epoch, got, end, err, ends[i])
		}
	}
	if got, end, err := e.epochEnd(-1, current+5); err != nil || got != -1 || end != -1 {
		t.Errorf("an epoch to come: %d at %d, %v; want -1 at -1", got, end, err)
	}
	if _, _, err := e.epochEnd(current-1, epochs[0]); err != kerr.FencedLeaderEpoch {
		t.Errorf("asked by a client with an old epoch: %v, want FENCED_LEADER_EPOCH", err)
	}
	if _, _, err := e.epochEnd(current+1, epochs[0]); err != kerr.UnknownLeaderEpoch {
		t.Errorf("asked by a client with an epoch to come: %v, want UNKNOWN_LEADER_EPOCH", err)
	}
	// The first offset of an epoch tells its place in ListOffsets too.
	if p := e.listOffset(offsetsV, 0, -2); p.LeaderEpoch != epochs[0] {
		t.Errorf("the earliest offset has epoch %d, want %d", p.LeaderEpoch, epochs[0])
	}
}
