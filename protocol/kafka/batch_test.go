package kafka

import (
	"bytes"
	"errors"
	"math"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// kmsg's RecordBatch is an independent reading of the same layout.
func TestHeaderAgreesWithKmsg(t *testing.T) {
	b := mustBuild(t, BatchOptions{
		BaseOffset: 1 << 40, LeaderEpoch: 7, Codec: CodecNone,
		Producer: &Producer{ID: 1 << 33, Epoch: 12, Sequence: 99}, Transactional: true,
	}, testRecords(10, 100)...)
	var k kmsg.RecordBatch
	if err := k.ReadFrom(b); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name      string
		got, want int64
	}{
		{"BaseOffset", b.BaseOffset(), k.FirstOffset},
		{"Length", int64(b.Length()), int64(k.Length)},
		{"PartitionLeaderEpoch", int64(b.PartitionLeaderEpoch()), int64(k.PartitionLeaderEpoch)},
		{"Magic", int64(b.Magic()), int64(k.Magic)},
		{"CRC", int64(int32(b.CRC())), int64(k.CRC)},
		{"Attributes", int64(b.Attributes()), int64(k.Attributes)},
		{"LastOffsetDelta", int64(b.LastOffsetDelta()), int64(k.LastOffsetDelta)},
		{"FirstTimestamp", b.FirstTimestamp(), k.FirstTimestamp},
		{"MaxTimestamp", b.MaxTimestamp(), k.MaxTimestamp},
		{"ProducerID", b.ProducerID(), k.ProducerID},
		{"ProducerEpoch", int64(b.ProducerEpoch()), int64(k.ProducerEpoch)},
		{"BaseSequence", int64(b.BaseSequence()), int64(k.FirstSequence)},
		{"NumRecords", int64(b.NumRecords()), int64(k.NumRecords)},
	} {
		if c.got != c.want {
			t.Errorf("%s is %d, kmsg reads %d", c.name, c.got, c.want)
		}
	}
	if !bytes.Equal(b.Payload(), k.Records) {
		t.Error("Payload differs from kmsg's")
	}
	if !b.CRCValid() || !b.IsTransactional() || b.IsControl() || b.HasDeleteHorizon() || b.TimestampType() != CreateTime {
		t.Errorf("flags are wrong: attributes %b", b.Attributes())
	}
	if b.MaxTimestamp() != testTime+6 || b.LastOffset() != 1<<40+9 || b.LastSequence() != 108 {
		t.Errorf("max timestamp %d, last offset %d, last sequence %d", b.MaxTimestamp(), b.LastOffset(), b.LastSequence())
	}
}

func TestSettersInPlace(t *testing.T) {
	b := mustBuild(t, BatchOptions{}, testRecords(3, 10)...)
	b.SetBaseOffset(math.MaxInt64 - 5)
	b.SetLeaderEpoch(41)
	if b.BaseOffset() != math.MaxInt64-5 || b.PartitionLeaderEpoch() != 41 || !b.CRCValid() {
		t.Errorf("base offset %d, leader epoch %d, CRC valid %v", b.BaseOffset(), b.PartitionLeaderEpoch(), b.CRCValid())
	}
	b.SetLogAppendTime(testTime + 1000)
	if b.TimestampType() != LogAppendTime || b.MaxTimestamp() != testTime+1000 || !b.CRCValid() {
		t.Errorf("after SetLogAppendTime: %v %d, CRC valid %v", b.TimestampType(), b.MaxTimestamp(), b.CRCValid())
	}
	records, err := readAll(b)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range records {
		if r.Timestamp != testTime+1000 {
			t.Errorf("record %d has timestamp %d; in a LogAppendTime batch all have the batch's", r.Offset, r.Timestamp)
		}
	}
	b.SetMaxTimestamp(CreateTime, testTime+2)
	if b.TimestampType() != CreateTime || b.MaxTimestamp() != testTime+2 || !b.CRCValid() {
		t.Errorf("after SetMaxTimestamp: %v %d, CRC valid %v", b.TimestampType(), b.MaxTimestamp(), b.CRCValid())
	}
}

func TestSequencesWrapToZero(t *testing.T) {
	for _, c := range []struct{ seq, n, want int32 }{
		{0, 0, 0}, {5, 4, 9}, {math.MaxInt32, 0, math.MaxInt32}, {math.MaxInt32, 1, 0},
		{math.MaxInt32 - 2, 4, 1}, {math.MaxInt32, math.MaxInt32, math.MaxInt32 - 1},
	} {
		if got := AddSequence(c.seq, c.n); got != c.want {
			t.Errorf("AddSequence(%d, %d) = %d, want %d", c.seq, c.n, got, c.want)
		}
	}
	b := mustBuild(t, BatchOptions{Producer: &Producer{ID: 1, Sequence: math.MaxInt32 - 1}}, testRecords(4, 1)...)
	if got := b.LastSequence(); got != 1 {
		t.Errorf("four records from 2147483646 end at %d, want 1", got)
	}
	if got := mustBuild(t, BatchOptions{}, testRecords(4, 1)...).LastSequence(); got != NoSequence {
		t.Errorf("a batch without a producer ends at sequence %d", got)
	}
}

func TestNextBatchSplits(t *testing.T) {
	var log []byte
	var sizes []int
	for i := range 5 {
		b := mustBuild(t, BatchOptions{BaseOffset: int64(i) * 10, Codec: allCodecs[i]}, testRecords(10, 50*i)...)
		log = append(log, b...)
		sizes = append(sizes, len(b))
	}
	rest := log
	for i, size := range sizes {
		var b Batch
		var err error
		b, rest, err = NextBatch(rest)
		if err != nil {
			t.Fatal(err)
		}
		if len(b) != size || cap(b) != size || b.BaseOffset() != int64(i)*10 || !b.CRCValid() {
			t.Errorf("batch %d: %d bytes (cap %d) at offset %d, want %d at %d", i, len(b), cap(b), b.BaseOffset(), size, i*10)
		}
	}
	if b, rest, err := NextBatch(rest); b != nil || len(rest) != 0 || err != nil {
		t.Errorf("at the end: %v, %v, %v", b, rest, err)
	}
}

func TestNextBatchRefuses(t *testing.T) {
	good := mustBuild(t, BatchOptions{}, testRecords(2, 20)...)
	edit := func(f func(b Batch)) []byte { b := bytes.Clone(good); f(b); return b }
	length := func(n int32) func(Batch) {
		return func(b Batch) { copy(b[posLength:], []byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}) }
	}
	for _, c := range []struct {
		name      string
		bytes     []byte
		want      *kerr.Error
		truncated bool
	}{
		{"one byte", good[:1], kerr.InvalidRecord, true},
		{"without length", good[:11], kerr.InvalidRecord, true},
		{"up to the length", good[:12], kerr.InvalidRecord, true},
		{"up to the magic", good[:17], kerr.InvalidRecord, true},
		{"without its last byte", good[:len(good)-1], kerr.InvalidRecord, true},
		{"longest length", edit(length(math.MaxInt32)), kerr.InvalidRecord, true},
		{"negative length", edit(length(-1)), kerr.CorruptMessage, false},
		{"most negative length", edit(length(math.MinInt32)), kerr.CorruptMessage, false},
		{"length 0", edit(length(0)), kerr.CorruptMessage, false},
		{"length 13", edit(length(13)), kerr.CorruptMessage, false},
		{"length 14", edit(length(14)), kerr.CorruptMessage, false},
		{"length 48", edit(length(48)), kerr.CorruptMessage, false},
		{"magic 0", edit(func(b Batch) { b[posMagic] = 0 }), kerr.InvalidRecord, false},
		{"magic 1", edit(func(b Batch) { b[posMagic] = 1 }), kerr.InvalidRecord, false},
		{"magic 3", edit(func(b Batch) { b[posMagic] = 3 }), kerr.CorruptMessage, false},
		{"magic -1", edit(func(b Batch) { b[posMagic] = 255 }), kerr.CorruptMessage, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			b, rest, err := NextBatch(c.bytes)
			wantRefused(t, err, c.want)
			if b != nil || !bytes.Equal(rest, c.bytes) {
				t.Errorf("a refused batch was returned: %v", b)
			}
			if errors.Is(err, ErrTruncated) != c.truncated {
				t.Errorf("errors.Is(%v, ErrTruncated) = %v", err, !c.truncated)
			}
		})
	}
}

func TestCRCCoversFromTheAttributes(t *testing.T) {
	good := mustBuild(t, BatchOptions{}, testRecords(2, 20)...)
	for i := range good {
		b := Batch(bytes.Clone(good))
		b[i] ^= 0x40
		if covered := i >= posCRC; b.CRCValid() == covered {
			t.Errorf("byte %d changed: CRC valid is %v", i, b.CRCValid())
		}
	}
}
