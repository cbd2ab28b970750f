package kafka

import (
	"bytes"
	"errors"
	"math"
	"math/rand/v2"
	"reflect"
	"runtime"
	"testing"
)

// Each fuzz test also runs the inputs under testdata/fuzz, which fuzzing found
// and which are kept.

func FuzzNextBatch(f *testing.F) {
	good := mustBuild(f, BatchOptions{Codec: CodecZstd}, testRecords(3, 30)...)
	f.Add([]byte(good))
	f.Add(append(bytes.Clone(good), good...))
	f.Add([]byte(good[:70]))
	f.Add(make([]byte, 61))
	f.Fuzz(func(t *testing.T, b []byte) {
		total := 0
		for rest := b; ; {
			batch, next, err := NextBatch(rest)
			if err != nil {
				var refused *RefusedError
				if !errors.As(err, &refused) || batch != nil || !bytes.Equal(next, rest) {
					t.Fatalf("error %v with a batch of %d bytes", err, len(batch))
				}
				return
			}
			if batch == nil {
				if total != len(b) {
					t.Fatalf("the batches have %d bytes of %d", total, len(b))
				}
				return
			}
			if len(batch) < BatchHeaderSize || batch.Magic() != MagicV2 || len(batch)+len(next) != len(rest) {
				t.Fatalf("a batch of %d bytes, then %d of %d", len(batch), len(next), len(rest))
			}
			_, _, _ = batch.LastSequence(), batch.LastOffset(), batch.CRCValid()
			total += len(batch)
			rest = next
		}
	})
}

// fuzzLimit is the decompressed size that the fuzz tests allow.
const fuzzLimit = 4 << 20

// FuzzReadRecords puts fuzzed bytes behind a good header: as they are, as if
// compressed, and compressed. The two ways to go through records must agree.
func FuzzReadRecords(f *testing.F) {
	for _, codec := range allCodecs {
		f.Add(byte(codec), false, int32(6), []byte(mustBuild(f, BatchOptions{Codec: codec}, testRecords(6, 40)...).Payload()))
		f.Add(byte(codec), true, int32(1), rawRecord("\x00", 0, 0, 1, "k", 1, "v", 1, 1, "h", -1))
	}
	f.Add(byte(CodecZstd), false, int32(1), []byte{0x28, 0xb5, 0x2f, 0xfd, 0x00, 16 << 3, 1, 0, 0})
	f.Add(byte(CodecZstd), false, int32(1), []byte{0x28, 0xb5, 0x2f, 0xfd, 0xa0, 0, 0, 0, 6, 1, 0, 0})
	header := mustBuild(f, BatchOptions{BaseOffset: 40}, testRecords(1, 1)...)[:BatchHeaderSize]
	f.Fuzz(func(t *testing.T, attributes byte, compress bool, count int32, payload []byte) {
		codec := Codec(attributes & attrCodec)
		if compress && codec.Valid() {
			payload = compressWith(codec, payload)
		}
		b := Batch(append(bytes.Clone(header), payload...))
		b[posAttributes+1] = attributes
		putInt32(b, posNumRecords, count)
		reseal(b)

		read, readErr := readBounded(t, b)
		scanned := 0
		scanErr := b.eachTime(fuzzLimit, func(int64, int64) bool { scanned++; return true })
		if count >= 0 && (read > int(count) || scanned > int(count)) {
			t.Fatalf("read %d and scanned %d records of %d", read, scanned, count)
		}
		// Only reading looks for bytes behind the last record.
		if readErr == nil && (scanErr != nil || read != scanned) || scanErr != nil && readErr == nil {
			t.Fatalf("read %d records (%v), scanned %d (%v)", read, readErr, scanned, scanErr)
		}
		if readErr != nil && scanErr == nil && read != scanned {
			t.Fatalf("read %d records (%v), scanned %d", read, readErr, scanned)
		}
	})
}

// readBounded reads all records, and checks that it took no more memory than it
// may.
func readBounded(t *testing.T, b Batch) (n int, err error) {
	r := ReadRecords(b, fuzzLimit)
	defer r.Close()
	for r.Next() {
		_ = r.Record().Clone()
		n++
	}
	if r.win.src != nil && len(r.win.buf) > 2*fuzzLimit {
		t.Fatalf("the window grew to %d bytes", len(r.win.buf))
	}
	return n, r.Err()
}

// FuzzValidate takes the fuzzed bytes for the records field of a Produce
// request. What is accepted must be a batch that all readers can read.
func FuzzValidate(f *testing.F) {
	topics := []string{"plain", "compacted", "append", "small", "recent", "tolz4", "tonone", "smallnone"}
	for i, c := range producedCases() {
		if b := c.records(testTime); len(b) < 1000 {
			f.Add(byte(i), i%2 == 0, b)
			f.Add(byte(i)|64, true, b)
		}
	}
	f.Fuzz(func(t *testing.T, pick byte, seal bool, records []byte) {
		records = bytes.Clone(records)
		if seal && len(records) >= BatchHeaderSize {
			// Without this, hardly any input would come past the CRC.
			if codec := Batch(records).Codec(); pick&64 != 0 && codec.Valid() {
				records = append(records[:BatchHeaderSize:BatchHeaderSize], compressWith(codec, records[BatchHeaderSize:])...)
			}
			putInt64(records, posBaseOffset, 0)
			records[posMagic] = MagicV2
			reseal(records)
		}
		rules := topicRules(topics[int(pick)%len(topics)], testTime)
		rules.DecompressedLimit = fuzzLimit
		if pick >= 128 {
			rules.BeforeMaxMs, rules.AfterMaxMs = math.MaxInt64, math.MaxInt64
		}
		b, res, err := produce(records, 9, rules)
		if err != nil {
			var refused *RefusedError
			if !errors.As(err, &refused) || refused.Kafka == nil || len(refused.Records) > MaxRecordErrors {
				t.Fatalf("the error is no proper refusal: %v", err)
			}
			return
		}
		if len(b) > rules.MaxMessageBytes {
			t.Fatalf("accepted %d bytes where %d are allowed", len(b), rules.MaxMessageBytes)
		}
		wantAccepted(t, b, res, rules)
	})
}

func FuzzParseHeader(f *testing.F) {
	everyRequest(func(k Key, v int16) {
		f.Add(append([]byte{0, byte(k), 0, byte(v), 0, 0, 0, 1, 0, 1, 'c', 0}, newRequest(k, v).AppendTo(nil)...))
	})
	f.Fuzz(func(t *testing.T, b []byte) {
		h, body, err := ParseHeader(b)
		var unsupported *UnsupportedError
		if err != nil {
			if !errors.Is(err, ErrMalformedRequest) && !errors.As(err, &unsupported) {
				t.Fatalf("the error is of no known kind: %v", err)
			}
			return
		}
		if len(h.ClientID)+len(body) > len(b) || !bytes.HasSuffix(b, body) {
			t.Fatalf("the parts are larger than the whole: %+v", h)
		}
	})
}

// maxBytesPerByte is how much memory a byte of a request may cost. The largest
// is DescribeConfigs' array of resources.
const maxBytesPerByte = 100

// FuzzDecodeRequest decodes fuzzed bodies of every request at every version.
// Time and memory must stay in proportion to the body.
func FuzzDecodeRequest(f *testing.F) {
	rng := rand.New(rand.NewPCG(1, 2))
	everyRequest(func(k Key, v int16) {
		req := newRequest(k, v)
		fill(rng, reflect.ValueOf(req).Elem())
		f.Add(int16(k), v, req.AppendTo(nil))
	})
	f.Fuzz(func(t *testing.T, key, version int16, body []byte) {
		r, ok := served[Key(key)]
		if !ok || !r.Has(version) {
			return
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		req, err := DecodeRequest(RequestHeader{Key: Key(key), Version: version}, body)
		runtime.ReadMemStats(&after)
		if got, limit := after.TotalAlloc-before.TotalAlloc, uint64(64<<10+maxBytesPerByte*len(body)); got > limit {
			t.Fatalf("%v version %d: decoding %d bytes allocates %d", Key(key), version, len(body), got)
		}
		if err != nil {
			if !errors.Is(err, ErrMalformedRequest) {
				t.Fatalf("the error is of no known kind: %v", err)
			}
			return
		}
		again, err := DecodeRequest(RequestHeader{Key: Key(key), Version: version}, req.AppendTo(nil))
		if err != nil || !bytes.Equal(again.AppendTo(nil), req.AppendTo(nil)) {
			t.Fatalf("%v version %d: encoded and decoded it is another (%v)", Key(key), version, err)
		}
	})
}
