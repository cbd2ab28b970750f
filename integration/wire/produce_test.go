package wire

import (
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/streamweir/streamweir/integration/harness"
)

// Places in a record batch.
const (
	atLength     = 8
	atMagic      = 16
	atAttributes = 21
	atLastDelta  = 23
	atMaxTime    = 35
	atNumRecords = 57

	attrLogAppendTime = 0x08
	attrControl       = 0x20
)

// set changes one byte of a finished batch and mends the CRC.
func set(at int, value byte) func([]byte) []byte {
	return func(b []byte) []byte {
		b[at] = value
		return harness.Reseal(b)
	}
}

// What Apache Kafka's own validation of a batch refuses is refused with its
// error, and the partition serves on. Where Apache Kafka answers with
// UNKNOWN_SERVER_ERROR or never, any error that names the cause will do.
func TestBatchesThatAreRefused(t *testing.T) {
	e := newEnv(t, 1)
	one := harness.Values("value")
	three := harness.Values("a", "b", "c")
	hour := time.Hour.Milliseconds()
	corrupt, invalid := []*kerr.Error{kerr.CorruptMessage}, []*kerr.Error{kerr.InvalidRecord}
	timestamp, tooLarge := []*kerr.Error{kerr.InvalidTimestamp}, []*kerr.Error{kerr.MessageTooLarge}
	unclear := []*kerr.Error{kerr.CorruptMessage, kerr.InvalidRecord}
	codec := []*kerr.Error{kerr.UnsupportedCompressionType}
	if harness.AgainstKafka() {
		unclear = append(unclear, kerr.UnknownServerError)
		codec = unclear
	}
	for _, c := range []struct {
		name  string
		batch harness.Batch
		want  []*kerr.Error
	}{
		{"a flipped bit in the value", harness.Batch{Records: one, Break: func(b []byte) []byte {
			b[len(b)-3] ^= 1
			return b
		}}, corrupt},
		{"a wrong CRC", harness.Batch{Records: one, Break: func(b []byte) []byte { b[17] ^= 1; return b }}, corrupt},
		{"fewer records than it says", harness.Batch{Records: three, Break: set(atNumRecords+3, 4)}, invalid},
		{"more records than it says", harness.Batch{Records: three, Break: set(atNumRecords+3, 2)}, invalid},
		{"offsets that do not match its records", harness.Batch{Records: three, Break: set(atLastDelta+3, 9)}, invalid},
		{"a control batch", harness.Batch{Records: one, Attributes: attrControl}, invalid},
		{"a timestamp two hours ahead", harness.Batch{Records: one, Timestamp: time.Now().UnixMilli() + 2*hour}, timestamp},
		{"a record two hours ahead", harness.Batch{Records: []harness.Rec{{Value: []byte("v")}, {Value: []byte("v"), DeltaTime: 2 * hour}}}, timestamp},
		{"an unknown codec", harness.Batch{Records: one, Break: set(atAttributes+1, 6)}, codec},
		{"a codec that the payload is not in (gzip)", harness.Batch{Records: three, Break: set(atAttributes+1, harness.CodecGzip)}, unclear},
		{"a codec that the payload is not in (zstd)", harness.Batch{Records: three, Break: set(atAttributes+1, harness.CodecZstd)}, unclear},
		{"garbage where records should be", harness.Batch{Records: three, Break: func(b []byte) []byte {
			for i := harness.BatchHeader; i < len(b); i++ {
				b[i] = 0xff
			}
			return harness.Reseal(b)
		}}, unclear},
		{"a batch of message format 1", harness.Batch{Records: one, Break: set(atMagic, 1)}, invalid},
		{"a batch of an unknown format", harness.Batch{Records: one, Break: set(atMagic, 3)}, corrupt},
		{"two batches", harness.Batch{Records: one, Break: func(b []byte) []byte { return append(b, b...) }}, invalid},
		{"half a batch", harness.Batch{Records: three, Break: func(b []byte) []byte { return b[:len(b)-5] }}, invalid},
		{"no records at all", harness.Batch{}, invalid},
		{"no batch", harness.Batch{Break: func([]byte) []byte { return []byte{} }}, invalid},
		{"nothing", harness.Batch{Break: func([]byte) []byte { return nil }}, unclear},
		{"a length below the header's", harness.Batch{Records: one, Break: set(atLength+3, 9)}, corrupt},
		{"a message above the limit", harness.Batch{Records: harness.Values(strings.Repeat("x", 10485760))}, tooLarge},
	} {
		t.Run(c.name, func(t *testing.T) {
			if harness.AgainstKafka() && (c.name == "nothing" || c.name == "a length below the header's") {
				t.Skip("Apache Kafka never answers this")
			}
			e := e.with(t)
			e.redial()
			e.refused(c.batch, c.want...)
		})
	}
	if at := e.produce(0, harness.Batch{Records: one}); at != 0 {
		t.Errorf("the next good batch stands at %d: something refused was stored", at)
	}
}

// What follows the batch is never stored, whether the batch is taken or not.
func TestBytesAfterTheBatch(t *testing.T) {
	e := newEnv(t, 1)
	p := e.try(0, harness.Batch{Records: harness.Values("v"), Break: func(b []byte) []byte { return append(b, 1, 2, 3) }})
	e.produce(0, harness.Batch{Records: harness.Values("w")})
	got := e.fetch(e.fetchReq(fetchV, 0, 0))
	bs, rest, err := harness.Batches(got.RecordBatches)
	want := 2
	if p.ErrorCode != 0 {
		want = 1
	}
	if err != nil || rest != 0 || len(bs) != want {
		t.Errorf("%d batches and %d bytes left, %v; want %d batches", len(bs), rest, err, want)
	}
}

// The timestamp type is the topic's to say: a client's log append time is
// stored as create time, or refused.
func TestLogAppendTimeFromAClient(t *testing.T) {
	e := newEnv(t, 1)
	p := e.try(0, harness.Batch{Records: harness.Values("v"), Attributes: attrLogAppendTime})
	if p.ErrorCode == kerr.InvalidTimestamp.Code {
		return
	}
	if p.ErrorCode != 0 {
		t.Fatalf("produce: %v", kerr.ErrorForCode(p.ErrorCode))
	}
	if b := e.batches(e.fetch(e.fetchReq(fetchV, 0, 0)))[0]; b.Attributes&attrLogAppendTime != 0 {
		t.Errorf("stored with attributes %x on a topic with create time", b.Attributes)
	}
}

// A refused record is named by its place in the batch.
func TestKeylessRecordOnACompactedTopic(t *testing.T) {
	e := newEnv(t, 1, "cleanup.policy=compact")
	p := e.try(0, harness.Batch{Records: []harness.Rec{
		{Key: []byte("k"), Value: []byte("v")}, {Value: []byte("no key")},
	}})
	if p.ErrorCode != kerr.InvalidRecord.Code || len(p.ErrorRecords) != 1 || p.ErrorRecords[0].RelativeOffset != 1 {
		t.Errorf("got %v, records %+v; want INVALID_RECORD for record 1", kerr.ErrorForCode(p.ErrorCode), p.ErrorRecords)
	}
	e.produce(0, harness.Batch{Records: []harness.Rec{{Key: []byte("k")}}})
}

// The limit of max.message.bytes is the size of the batch, to the byte.
func TestMessageLimitToTheByte(t *testing.T) {
	const limit = 2000
	e := newEnv(t, 1, "max.message.bytes=2000")
	size := func(n int) harness.Batch {
		b := harness.Batch{Records: harness.Values("")}
		for len(b.Encode()) < n {
			b.Records[0].Value = append(b.Records[0].Value, 'x')
		}
		return b
	}
	e.produce(0, size(limit))
	e.refused(size(limit+1), kerr.MessageTooLarge)
}

// Requests to places that do not exist are refused, partition by partition.
func TestProduceToNowhere(t *testing.T) {
	e := newEnv(t, 1)
	batch := harness.Batch{Records: harness.Values("v")}.Encode()
	ask := func(req *kmsg.ProduceRequest) kmsg.ProduceResponseTopicPartition {
		return e.produced(harness.Ask[*kmsg.ProduceResponse](t, e.c, req))
	}
	code := func(what string, got int16, want *kerr.Error) {
		t.Helper()
		if got != want.Code {
			t.Errorf("%s: %v, want %v", what, kerr.ErrorForCode(got), want)
		}
	}
	code("an unknown partition", ask(e.produceReq(9, 7, batch)).ErrorCode, kerr.UnknownTopicOrPartition)
	code("a negative partition", ask(e.produceReq(9, -1, batch)).ErrorCode, kerr.UnknownTopicOrPartition)
	req := e.produceReq(9, 0, batch)
	req.Topics[0].Topic = harness.Name(t, "none")
	code("an unknown topic", ask(req).ErrorCode, kerr.UnknownTopicOrPartition)
	req = e.produceReq(13, 0, batch)
	req.Topics[0].TopicID = [16]byte{1, 2, 3}
	code("an unknown topic id", ask(req).ErrorCode, kerr.UnknownTopicID)
	req = e.produceReq(9, 0, batch)
	req.Acks = 2
	code("acks of 2", ask(req).ErrorCode, kerr.InvalidRequiredAcks)

	// The good part of a request succeeds beside the bad one.
	req = e.produceReq(9, 0, batch)
	bad := kmsg.NewProduceRequestTopicPartition()
	bad.Partition, bad.Records = 5, batch
	req.Topics[0].Partitions = append(req.Topics[0].Partitions, bad)
	r := harness.Ask[*kmsg.ProduceResponse](t, e.c, req)
	for _, p := range r.Topics[0].Partitions {
		if (p.Partition == 0) != (p.ErrorCode == 0) {
			t.Errorf("partition %d: %v", p.Partition, kerr.ErrorForCode(p.ErrorCode))
		}
	}
	if end := e.listOffset(offsetsV, 0, -1).Offset; end != 1 {
		t.Errorf("the topic ends at %d, want 1", end)
	}
}

// Acks 0 gets no response, and acks 1 gets one.
func TestAcks(t *testing.T) {
	e := newEnv(t, 1)
	batch := harness.Batch{Records: harness.Values("v")}.Encode()
	none := e.produceReq(produceV, 0, batch)
	none.Acks = 0
	if _, err := e.c.Send(none); err != nil {
		t.Fatal(err)
	}
	one := e.produceReq(produceV, 0, batch)
	one.Acks = 1
	p := e.produced(harness.Ask[*kmsg.ProduceResponse](t, e.c, one))
	if p.ErrorCode != 0 || p.BaseOffset != 1 {
		t.Errorf("acks 1 after acks 0: %v at %d, want offset 1", kerr.ErrorForCode(p.ErrorCode), p.BaseOffset)
	}
}

// A zstd batch needs a produce of version 7, as older consumers cannot read it.
func TestZstdNeedsProduceV7(t *testing.T) {
	e := newEnv(t, 1)
	batch := harness.Batch{Records: harness.Values("v"), Codec: harness.CodecZstd}.Encode()
	p := e.produced(harness.Ask[*kmsg.ProduceResponse](t, e.c, e.produceReq(6, 0, batch)))
	if p.ErrorCode != kerr.UnsupportedCompressionType.Code {
		t.Errorf("v6: %v, want UNSUPPORTED_COMPRESSION_TYPE", kerr.ErrorForCode(p.ErrorCode))
	}
	p = e.produced(harness.Ask[*kmsg.ProduceResponse](t, e.c, e.produceReq(7, 0, batch)))
	if p.ErrorCode != 0 {
		t.Errorf("v7: %v", kerr.ErrorForCode(p.ErrorCode))
	}
}

// Every codec, with keys, headers and nulls, comes back bit for bit.
func TestBatchComesBackAsItWasSent(t *testing.T) {
	records := []harness.Rec{
		{Key: []byte("k"), Value: []byte(strings.Repeat("value ", 100)), Headers: []kmsg.Header{{Key: "h", Value: []byte("1")}, {Key: "h"}}},
		{Value: []byte{}, DeltaTime: 5},
		{Key: []byte{}, DeltaTime: 3},
	}
	e := newEnv(t, 1)
	for codec := harness.CodecNone; codec <= harness.CodecZstd; codec++ {
		sent := harness.Batch{Records: records, Codec: codec}.Encode()
		p := e.produced(harness.Ask[*kmsg.ProduceResponse](t, e.c, e.produceReq(produceV, 0, sent)))
		if p.ErrorCode != 0 {
			t.Fatalf("codec %d: %v", codec, kerr.ErrorForCode(p.ErrorCode))
		}
		got := e.fetch(e.fetchReq(fetchV, 0, p.BaseOffset)).RecordBatches
		// The broker gives the offset and the leader epoch; the CRC covers neither.
		if string(got[16:]) != string(sent[16:]) || string(got[8:12]) != string(sent[8:12]) {
			t.Errorf("codec %d: fetched\n%x\nsent\n%x", codec, got, sent)
		}
	}
}

// With message.timestamp.type=LogAppendTime the broker stamps the batch, says
// so in the answer and the attributes, and seals it again.
func TestLogAppendTime(t *testing.T) {
	e := newEnv(t, 1, "message.timestamp.type=LogAppendTime")
	old := time.Now().Add(-time.Hour).UnixMilli()
	for codec := harness.CodecNone; codec <= harness.CodecZstd; codec++ {
		before := time.Now().UnixMilli()
		p := e.try(0, harness.Batch{Records: harness.Values("v", "w"), Timestamp: old, Codec: codec})
		after := time.Now().UnixMilli()
		if p.ErrorCode != 0 || p.LogAppendTime < before || p.LogAppendTime > after {
			t.Fatalf("codec %d: %v, log append time %d, want between %d and %d", codec, kerr.ErrorForCode(p.ErrorCode), p.LogAppendTime, before, after)
		}
		b := e.batches(e.fetch(e.fetchReq(fetchV, 0, p.BaseOffset)))[0]
		if b.Attributes&attrLogAppendTime == 0 || b.MaxTimestamp != p.LogAppendTime || int(b.Attributes&7) != codec {
			t.Errorf("codec %d: attributes %x, max timestamp %d, answered %d", codec, b.Attributes, b.MaxTimestamp, p.LogAppendTime)
		}
		if at := e.listOffset(offsetsV, 0, p.LogAppendTime); at.Offset > p.BaseOffset || at.Timestamp < before && at.Offset == p.BaseOffset {
			t.Errorf("codec %d: by time %d: offset %d at %d", codec, p.LogAppendTime, at.Offset, at.Timestamp)
		}
	}
}

// A topic's compression.type other than "producer" is what its batches are
// stored in.
func TestTopicCompression(t *testing.T) {
	e := newEnv(t, 1, "compression.type=zstd")
	for codec := harness.CodecNone; codec <= harness.CodecZstd; codec++ {
		at := e.produce(0, harness.Batch{Records: harness.Values(strings.Repeat("v", 500), "w"), Codec: codec})
		b := e.batches(e.fetch(e.fetchReq(fetchV, 0, at)))[0]
		if int(b.Attributes&7) != harness.CodecZstd || b.NumRecords != 2 {
			t.Errorf("sent with codec %d, stored with attributes %x and %d records", codec, b.Attributes, b.NumRecords)
		}
	}
}
