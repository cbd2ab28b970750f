package kafka

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"

	"github.com/klauspost/compress/s2"
	"github.com/pierrec/lz4/v4"
)

// A producedCase is a records field of a Produce request, for which
// observedCodes has the answer of Apache Kafka.
type producedCase struct {
	name    string
	topic   string // see topicRules
	version int16  // of Produce; 0 is 9
	records func(now int64) []byte
}

const anHour = int64(3_600_000)

// topicRules are the configs with which the topics of the cases were made, as
// rules. Kafka's default for message.timestamp.after.max.ms is an hour.
func topicRules(topic string, now int64) Rules {
	r := Rules{MaxMessageBytes: 1048588, BeforeMaxMs: math.MaxInt64, AfterMaxMs: anHour, Now: now}
	switch topic {
	case "compacted": // cleanup.policy=compact
		r.Compacted = true
	case "append": // message.timestamp.type=LogAppendTime
		r.TimestampType = LogAppendTime
	case "small": // max.message.bytes=2000
		r.MaxMessageBytes = 2000
	case "recent": // message.timestamp.before.max.ms=3600000
		r.BeforeMaxMs = anHour
	case "tolz4": // compression.type=lz4
		r.Target = Target{Recompress: true, Codec: CodecLZ4}
	case "tonone": // compression.type=uncompressed
		r.Target = Target{Recompress: true}
	case "smallnone": // compression.type=uncompressed, max.message.bytes=2000
		r.Target = Target{Recompress: true}
		r.MaxMessageBytes = 2000
	}
	return r
}

// buildFor makes a batch of n records that ends at the time now.
func buildFor(now int64, n int, o BatchOptions) Batch {
	records := testRecords(n, 100)
	for i := range records {
		records[i].Timestamp = now - int64(n-1-i)
	}
	b, err := BuildBatch(nil, o, records...)
	if err != nil {
		panic(err)
	}
	return b
}

// edited is a case's batch with its header changed and the CRC made right.
func edited(n int, o BatchOptions, f func(b Batch)) func(int64) []byte {
	return func(now int64) []byte {
		b := buildFor(now, n, o)
		f(b)
		b.UpdateCRC()
		return b
	}
}

// raw is a case's batch with other record bytes.
func raw(numRecords int32, codec Codec, payload func() []byte) func(int64) []byte {
	return func(now int64) []byte {
		b := withPayload(buildFor(now, 1, BatchOptions{}), codec, payload())
		putInt32(b, posNumRecords, numRecords)
		putInt32(b, posLastOffsetDelta, numRecords-1)
		b.UpdateCRC()
		return b
	}
}

// rawRecord writes a record from its fields: an int is a varint, a string is
// itself. The size field is right.
func rawRecord(fields ...any) []byte {
	body := rawFields(fields...)
	return append(appendVarint(nil, int32(len(body))), body...)
}

func rawFields(fields ...any) []byte {
	var body []byte
	for _, f := range fields {
		switch f := f.(type) {
		case int:
			body = appendVarlong(body, int64(f))
		case string:
			body = append(body, f...)
		}
	}
	return body
}

func putInt32(b []byte, at int, v int32) { binary.BigEndian.PutUint32(b[at:], uint32(v)) }
func putInt64(b []byte, at int, v int64) { binary.BigEndian.PutUint64(b[at:], uint64(v)) }

func compressWith(codec Codec, payload []byte) []byte {
	z, k, err := newCompressor(codec, 0)
	if err != nil {
		panic(err)
	}
	defer freeCompressor(k, z)
	z.begin(nil)
	if _, err := z.Write(payload); err != nil {
		panic(err)
	}
	out, err := z.end()
	if err != nil {
		panic(err)
	}
	return out
}

func producedCases() []producedCase {
	none, zstd := BatchOptions{}, BatchOptions{Codec: CodecZstd}
	idempotent := BatchOptions{Producer: &Producer{ID: 4000, Epoch: 0, Sequence: 0}}
	whole := func(o BatchOptions) func(int64) []byte {
		return func(now int64) []byte { return buildFor(now, 3, o) }
	}
	odd := func(codec Codec) func(int64) []byte {
		return func(now int64) []byte {
			records := oddRecords()
			for i := range records {
				records[i].Timestamp = now - int64(i)
				records[i].Key = records[i].Key[:min(len(records[i].Key), 100_000)]
				records[i].Value = records[i].Value[:min(len(records[i].Value), 100_000)]
			}
			b, err := BuildBatch(nil, BatchOptions{Codec: codec}, records...)
			if err != nil {
				panic(err)
			}
			return b
		}
	}
	cases := []producedCase{
		{name: "good uncompressed", topic: "plain", records: whole(none)},
		{name: "good gzip", topic: "plain", records: whole(BatchOptions{Codec: CodecGzip})},
		{name: "good snappy", topic: "plain", records: whole(BatchOptions{Codec: CodecSnappy})},
		{name: "good lz4", topic: "plain", records: whole(BatchOptions{Codec: CodecLZ4})},
		{name: "good zstd", topic: "plain", records: whole(zstd)},
		{name: "good bare snappy", topic: "plain", records: raw(1, CodecSnappy, func() []byte {
			return s2.EncodeSnappy(nil, rawRecord("\x00", 0, 0, -1, 1, "v", 0))
		})},
		{name: "good on a LogAppendTime topic", topic: "append", records: whole(zstd)},
		{name: "good, recompressed", topic: "tolz4", records: whole(zstd)},
		{name: "good zstd, decompressed", topic: "tonone", records: whole(zstd)},
		{name: "good gzip, decompressed", topic: "tonone", records: whole(BatchOptions{Codec: CodecGzip})},
		{name: "good snappy, decompressed", topic: "tonone", records: whole(BatchOptions{Codec: CodecSnappy})},
		{name: "good lz4, decompressed", topic: "tonone", records: whole(BatchOptions{Codec: CodecLZ4})},
		{name: "odd gzip, decompressed", topic: "tonone", records: odd(CodecGzip)},
		{name: "odd snappy, decompressed", topic: "tonone", records: odd(CodecSnappy)},
		{name: "odd lz4, decompressed", topic: "tonone", records: odd(CodecLZ4)},
		{name: "odd zstd, decompressed", topic: "tonone", records: odd(CodecZstd)},
		{name: "zstd in version 6", topic: "plain", version: 6, records: whole(zstd)},
		{name: "zstd in version 7", topic: "plain", version: 7, records: whole(zstd)},
	}
	cases = append(cases, framingCases()...)
	cases = append(cases, headerCases(none, idempotent)...)
	cases = append(cases, timeAndKeyCases()...)
	return append(cases, recordCases()...)
}

// framingCases break what NextBatch and ProducedBatch look at.
func framingCases() []producedCase {
	cut := func(n int) func(int64) []byte {
		return func(now int64) []byte { return buildFor(now, 3, BatchOptions{})[:n] }
	}
	length := func(n int32) func(int64) []byte {
		return func(now int64) []byte {
			b := buildFor(now, 3, BatchOptions{})
			putInt32(b, posLength, n)
			return b
		}
	}
	magic := func(m byte) func(int64) []byte {
		return edited(3, BatchOptions{}, func(b Batch) { b[posMagic] = m })
	}
	behind := func(tail func(now int64) []byte) func(int64) []byte {
		return func(now int64) []byte { return append(buildFor(now, 3, BatchOptions{}), tail(now)...) }
	}
	return []producedCase{
		{name: "no bytes", topic: "plain", records: func(int64) []byte { return []byte{} }},
		{name: "one byte", topic: "plain", records: cut(1)},
		{name: "16 bytes", topic: "plain", records: cut(16)},
		{name: "60 bytes", topic: "plain", records: cut(60)},
		{name: "100 bytes", topic: "plain", records: cut(100)},
		{name: "length -1", topic: "plain", records: length(-1)},
		{name: "length 0", topic: "plain", records: length(0)},
		{name: "length 13", topic: "plain", records: length(13)},
		{name: "length 14", topic: "plain", records: length(14)},
		{name: "length 48", topic: "plain", records: length(48)},
		{name: "length 49", topic: "plain", records: length(49)},
		{name: "longest length", topic: "plain", records: length(math.MaxInt32)},
		{name: "magic 0", topic: "plain", records: magic(0)},
		{name: "magic 1", topic: "plain", records: magic(1)},
		{name: "magic 3", topic: "plain", records: magic(3)},
		{name: "magic -1", topic: "plain", records: magic(0xff)},
		{name: "two batches", topic: "plain", records: behind(func(now int64) []byte { return buildFor(now, 1, BatchOptions{}) })},
		{name: "part of a second batch", topic: "plain", records: behind(func(now int64) []byte { return buildFor(now, 1, BatchOptions{})[:50] })},
		{name: "a few bytes behind", topic: "plain", records: behind(func(int64) []byte { return []byte{1, 2, 3} })},
		{name: "bad length behind", topic: "plain", records: behind(func(int64) []byte { return make([]byte, 30) })},
		{name: "old format behind", topic: "plain", records: behind(func(now int64) []byte { return magic(1)(now) })},
		{name: "unknown magic behind", topic: "plain", records: behind(func(now int64) []byte { return magic(9)(now) })},
	}
}

// headerCases break what checkHeader looks at.
func headerCases(none, idempotent BatchOptions) []producedCase {
	attribute := func(bits byte, o BatchOptions) func(int64) []byte {
		return edited(3, o, func(b Batch) { b[posAttributes+1] |= bits })
	}
	counts := func(count, lastDelta int32) func(int64) []byte {
		return edited(3, none, func(b Batch) {
			putInt32(b, posNumRecords, count)
			putInt32(b, posLastOffsetDelta, lastDelta)
		})
	}
	return []producedCase{
		{name: "wrong CRC", topic: "plain", records: func(now int64) []byte { b := buildFor(now, 3, none); b[posCRC]++; return b }},
		{name: "changed record", topic: "plain", records: func(now int64) []byte { b := buildFor(now, 3, none); b[90]++; return b }},
		{name: "base offset 7", topic: "plain", records: func(now int64) []byte { b := buildFor(now, 3, none); b.SetBaseOffset(7); return b }},
		{name: "base offset -1", topic: "plain", records: func(now int64) []byte { b := buildFor(now, 3, none); b.SetBaseOffset(-1); return b }},
		{name: "too large", topic: "small", records: func(now int64) []byte { return buildFor(now, 30, none) }},
		{name: "too large when decompressed", topic: "smallnone", records: func(now int64) []byte { return buildFor(now, 30, BatchOptions{Codec: CodecGzip}) }},
		{name: "too large and wrong CRC", topic: "small", records: func(now int64) []byte { b := buildFor(now, 30, none); b[posCRC]++; return b }},
		{name: "codec 5", topic: "plain", records: attribute(5, none)},
		{name: "codec 5 in version 6", topic: "plain", version: 6, records: attribute(5, none)},
		{name: "codec 7", topic: "plain", records: attribute(7, none)},
		{name: "no records", topic: "plain", records: counts(0, -1)},
		{name: "no records, last delta 0", topic: "plain", records: counts(0, 0)},
		{name: "count -1", topic: "plain", records: counts(-1, -2)},
		{name: "last delta too large", topic: "plain", records: counts(3, 5)},
		{name: "last delta too small", topic: "plain", records: counts(3, 1)},
		{name: "last delta negative", topic: "plain", records: counts(3, -5)},
		{name: "one record more than there are", topic: "plain", records: counts(4, 3)},
		{name: "one record less than there are", topic: "plain", records: counts(2, 1)},
		{name: "most records", topic: "plain", records: counts(math.MaxInt32, math.MaxInt32-1)},
		{name: "control batch", topic: "plain", records: attribute(attrControl, idempotent)},
		{name: "delete horizon flag", topic: "plain", records: attribute(attrDeleteHorizon, none)},
		{name: "unused attribute 7", topic: "plain", records: attribute(0x80, none)},
		{name: "unused attribute 15", topic: "plain", records: edited(3, none, func(b Batch) { b[posAttributes] = 0x80 })},
		{name: "producer without sequence", topic: "plain", records: edited(3, idempotent, func(b Batch) { putInt32(b, posBaseSequence, -1) })},
		{name: "producer with sequence -2", topic: "plain", records: edited(3, idempotent, func(b Batch) { putInt32(b, posBaseSequence, -2) })},
		{name: "producer id -2", topic: "plain", records: edited(3, none, func(b Batch) { putInt64(b, posProducerID, -2) })},
		{name: "sequence without producer", topic: "plain", records: edited(3, none, func(b Batch) { putInt32(b, posBaseSequence, 5) })},
		{name: "transactional without producer", topic: "plain", records: attribute(attrTransactional, none)},
		{name: "leader epoch 9", topic: "plain", records: func(now int64) []byte { b := buildFor(now, 3, none); b.SetLeaderEpoch(9); return b }},
		{name: "wrong max timestamp", topic: "plain", records: edited(3, none, func(b Batch) { putInt64(b, posMaxTimestamp, 5) })},
	}
}

func timeAndKeyCases() []producedCase {
	at := func(o BatchOptions, times ...func(now int64) int64) func(int64) []byte {
		return func(now int64) []byte {
			var records []Record
			for _, f := range times {
				records = append(records, Record{Timestamp: f(now), Key: []byte("k"), Value: []byte("v")})
			}
			b, err := BuildBatch(nil, o, records...)
			if err != nil {
				panic(err)
			}
			return b
		}
	}
	now := func(n int64) int64 { return n }
	later := func(ms int64) func(int64) int64 { return func(n int64) int64 { return n + ms } }
	fixed := func(ms int64) func(int64) int64 { return func(int64) int64 { return ms } }
	keyless := func(o BatchOptions) func(int64) []byte {
		return func(now int64) []byte {
			b, err := BuildBatch(nil, o, Record{Timestamp: now, Key: []byte("k")}, Record{Timestamp: now, Value: []byte("v")}, Record{Timestamp: now})
			if err != nil {
				panic(err)
			}
			return b
		}
	}
	appendTime := func(ms func(int64) int64) func(int64) []byte {
		return func(n int64) []byte { b := buildFor(n, 3, BatchOptions{}); b.SetLogAppendTime(ms(n)); return b }
	}
	gz := BatchOptions{Codec: CodecGzip}
	return []producedCase{
		{name: "two hours ahead", topic: "plain", records: at(BatchOptions{}, now, later(2*anHour))},
		{name: "two hours ahead in gzip", topic: "plain", records: at(gz, now, later(2*anHour))},
		{name: "half an hour ahead", topic: "plain", records: at(gz, later(anHour/2))},
		{name: "two hours ago", topic: "recent", records: at(BatchOptions{}, now, later(-2*anHour), now)},
		{name: "half an hour ago", topic: "recent", records: at(BatchOptions{}, later(-anHour/2))},
		{name: "long ago", topic: "plain", records: at(BatchOptions{}, fixed(0))},
		{name: "no timestamp", topic: "recent", records: at(gz, fixed(NoTimestamp))},
		{name: "timestamp -5", topic: "plain", records: at(BatchOptions{}, fixed(-5))},
		{name: "timestamp -5 in gzip", topic: "plain", records: at(gz, fixed(-5))},
		{name: "timestamp -5, recompressed", topic: "tolz4", records: at(gz, fixed(-5))},
		{name: "smallest timestamp", topic: "plain", records: at(BatchOptions{}, fixed(math.MinInt64))},
		{name: "largest timestamp", topic: "plain", records: at(BatchOptions{}, fixed(math.MaxInt64))},
		{name: "two hours ahead on a LogAppendTime topic", topic: "append", records: at(BatchOptions{}, later(2*anHour))},
		{name: "LogAppendTime batch", topic: "plain", records: appendTime(now)},
		{name: "LogAppendTime batch without time", topic: "plain", records: appendTime(fixed(-1))},
		{name: "LogAppendTime batch on a LogAppendTime topic", topic: "append", records: appendTime(now)},
		{name: "keyless on a compacted topic", topic: "compacted", records: keyless(BatchOptions{})},
		{name: "keyless on a compacted topic in gzip", topic: "compacted", records: keyless(gz)},
		{name: "empty key on a compacted topic", topic: "compacted", records: raw(1, CodecNone, func() []byte { return rawRecord("\x00", 0, 0, 0, 1, "v", 0) })},
		{name: "keyless on a plain topic", topic: "plain", records: keyless(BatchOptions{})},
	}
}

// recordCases break single records and their compression.
func recordCases() []producedCase {
	good := rawRecord("\x00", 0, 0, 1, "k", 1, "v", 0)
	at := func(offset int) []byte { return rawRecord("\x00", 0, offset, 1, "k", 1, "v", 0) }
	shapes := []struct {
		name  string
		n     int32
		bytes []byte
	}{
		{"no record bytes", 1, nil},
		{"record of size 0", 1, []byte{0}},
		{"record of negative size", 1, []byte{1}},
		{"record size too large", 1, append(appendVarint(nil, 1000), good[1:]...)},
		{"record size 2147483647", 1, append(appendVarint(nil, math.MaxInt32), good[1:]...)},
		{"record size one too large", 2, append(append([]byte{good[0] + 2}, good[1:]...), append([]byte{0}, at(1)...)...)},
		{"record size one too small", 1, append([]byte{good[0] - 2}, good[1:]...)},
		{"record size of six bytes", 1, append([]byte{0x80, 0x80, 0x80, 0x80, 0x80, 1}, good[1:]...)},
		{"key beyond the end", 1, rawRecord("\x00", 0, 0, 1000, "k", 1, "v", 0)},
		{"key size -2", 1, rawRecord("\x00", 0, 0, -2, 1, "v", 0)},
		{"value beyond the end", 1, rawRecord("\x00", 0, 0, 1, "k", 1000, "v", 0)},
		{"value size -7", 1, rawRecord("\x00", 0, 0, 1, "k", -7, 0)},
		{"header count -1", 1, rawRecord("\x00", 0, 0, 1, "k", 1, "v", -1)},
		{"header count too large", 1, rawRecord("\x00", 0, 0, 1, "k", 1, "v", 1000)},
		{"header key null", 1, rawRecord("\x00", 0, 0, 1, "k", 1, "v", 1, -1, 1, "h")},
		{"header value null", 1, rawRecord("\x00", 0, 0, 1, "k", 1, "v", 1, 1, "h", -1)},
		{"header value beyond the end", 1, rawRecord("\x00", 0, 0, 1, "k", 1, "v", 1, 1, "h", 50)},
		{"timestamp of eleven bytes", 1, rawRecord("\x00", "\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01", 0, 1, "k", 1, "v", 0)},
		{"record attributes 255", 1, rawRecord("\xff", 0, 0, 1, "k", 1, "v", 0)},
		{"bytes behind the records", 1, append(bytes.Clone(good), 0)},
		{"first offset delta 1", 1, at(1)},
		{"offset deltas 0, 2", 2, append(at(0), at(2)...)},
		{"offset deltas 1, 0", 2, append(at(1), at(0)...)},
		{"offset deltas 0, 0", 2, append(at(0), at(0)...)},
		{"offset delta -1", 1, at(-1)},
	}
	var cases []producedCase
	for _, s := range shapes {
		for _, codec := range []Codec{CodecNone, CodecGzip} {
			cases = append(cases, producedCase{name: s.name + ", " + codec.String(), topic: "plain",
				records: raw(s.n, codec, func() []byte { return compressWith(codec, s.bytes) })})
		}
		cases = append(cases, producedCase{name: s.name + ", recompressed", topic: "tolz4",
			records: raw(s.n, CodecGzip, func() []byte { return compressWith(CodecGzip, s.bytes) })})
	}
	for _, codec := range []Codec{CodecGzip, CodecSnappy, CodecLZ4, CodecZstd} {
		whole := compressWith(codec, good)
		for name, p := range map[string][]byte{
			"empty": {}, "not compressed": good, "cut": whole[:len(whole)-5], "zeros": make([]byte, 64), "cut header": whole[:3],
		} {
			cases = append(cases, producedCase{name: codec.String() + " payload " + name, topic: "plain", records: raw(1, codec, func() []byte { return p })})
		}
	}
	dependent := compressWith(CodecLZ4, good)
	dependent[4] &^= lz4BlockIndependent
	checksummed := lz4FrameOf(good, lz4.ChecksumOption(true))
	checksummed[len(checksummed)-1]++
	return append(cases,
		producedCase{name: "lz4 dependent blocks", topic: "plain", records: raw(1, CodecLZ4, func() []byte { return fixLZ4HeaderChecksum(dependent) })},
		producedCase{name: "lz4 wrong content checksum", topic: "plain", records: raw(1, CodecLZ4, func() []byte { return checksummed })},
		producedCase{name: "lz4 bytes behind the frame", topic: "plain", records: raw(1, CodecLZ4, func() []byte { return append(compressWith(CodecLZ4, good), 1, 2, 3) })},
		producedCase{name: "gzip bytes behind the stream", topic: "plain", records: raw(1, CodecGzip, func() []byte { return append(compressWith(CodecGzip, good), 1, 2, 3) })},
		producedCase{name: "snappy with an S2 repeat", topic: "plain", records: raw(1, CodecSnappy, func() []byte { return s2.Encode(nil, rawRecord("\x00", 0, 0, 1, "k", 4000, string(s2Loving()), 0)) })},
	)
}

// s2Loving is bytes for which the S2 format uses what snappy does not have.
func s2Loving() []byte {
	b := bytes.Repeat([]byte("0123456789abcdefghij"), 200)
	for i := 0; i < len(b); i += 97 {
		b[i] = byte(i)
	}
	return b
}

func lz4FrameOf(p []byte, opts ...lz4.Option) []byte {
	var out bytes.Buffer
	z := lz4.NewWriter(&out)
	if err := errors.Join(z.Apply(opts...), func() error { _, err := z.Write(p); return err }(), z.Close()); err != nil {
		panic(err)
	}
	return out.Bytes()
}

// fixLZ4HeaderChecksum finds the checksum byte by trying: there are 256.
func fixLZ4HeaderChecksum(frame []byte) []byte {
	for i := range 256 {
		frame[6] = byte(i)
		if ok, err := lz4.ValidFrameHeader(frame); ok && err == nil {
			return frame
		}
	}
	panic("no checksum byte fits")
}

// produce does what the broker does with the records field of a request.
func produce(records []byte, version int16, rules Rules) (Batch, Result, error) {
	b, err := ProducedBatch(records, version)
	if err != nil {
		return nil, Result{}, err
	}
	return Validate(b, rules)
}

func (c *producedCase) produceVersion() int16 {
	if c.version == 0 {
		return 9
	}
	return c.version
}
