package kafka

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func sameBytes(a, b []byte) bool { return (a == nil) == (b == nil) && bytes.Equal(a, b) }

func wantSameRecords(t *testing.T, got, want []Record, base int64) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("read %d records, want %d", len(got), len(want))
	}
	for i := range want {
		g, w := got[i], want[i]
		same := g.Offset == base+int64(i) && g.Timestamp == w.Timestamp && sameBytes(g.Key, w.Key) && sameBytes(g.Value, w.Value) &&
			slices.EqualFunc(g.Headers, w.Headers, func(a, b Header) bool { return sameBytes(a.Key, b.Key) && sameBytes(a.Value, b.Value) })
		if !same {
			t.Fatalf("record %d came back different:\n got %.200v\nwant %.200v", i, g, w)
		}
	}
}

func TestBuildAndReadInEveryCodec(t *testing.T) {
	levels := map[Codec][]int{
		CodecNone: {0}, CodecSnappy: {0}, CodecGzip: {0, -1, 1, 9},
		CodecLZ4: {0, 1, 9, 17}, CodecZstd: {0, -131072, 1, 3, 22},
	}
	sets := map[string][]Record{
		"odd": oddRecords(), "one": testRecords(1, 1), "many": testRecords(1000, 200), "tiny": testRecords(2000, 0),
	}
	for _, codec := range allCodecs {
		for _, level := range levels[codec] {
			for name, want := range sets {
				t.Run(fmt.Sprintf("%v/%d/%s", codec, level, name), func(t *testing.T) {
					prefix := []byte("before")
					out, err := BuildBatch(prefix, BatchOptions{BaseOffset: 500, Codec: codec, Level: level}, want...)
					if err != nil {
						t.Fatal(err)
					}
					if !bytes.HasPrefix(out, prefix) {
						t.Fatal("what was in dst is gone")
					}
					b, rest, err := NextBatch(out[len(prefix):])
					if err != nil || len(rest) > 0 || !b.CRCValid() || b.Codec() != codec {
						t.Fatalf("batch is not well formed: %v, %d bytes left, codec %v", err, len(rest), b.Codec())
					}
					got, err := readAll(b)
					if err != nil {
						t.Fatal(err)
					}
					wantSameRecords(t, got, want, 500)
				})
			}
		}
	}
}

func TestFranzGoReadsOurBatches(t *testing.T) {
	for _, codec := range allCodecs {
		t.Run(codec.String(), func(t *testing.T) {
			want := oddRecords()
			b := mustBuild(t, BatchOptions{BaseOffset: 70, Codec: codec}, want...)
			rp := kmsg.NewFetchResponseTopicPartition()
			rp.RecordBatches = b
			fp, _ := kgo.ProcessFetchPartition(kgo.ProcessFetchPartitionOpts{Offset: 70}, &rp, kgo.DefaultDecompressor(), nil)
			if fp.Err != nil {
				t.Fatal(fp.Err)
			}
			var got []Record
			for _, r := range fp.Records {
				rec := Record{Offset: r.Offset, Timestamp: r.Timestamp.UnixMilli(), Key: r.Key, Value: r.Value}
				for _, h := range r.Headers {
					rec.Headers = append(rec.Headers, Header{Key: []byte(h.Key), Value: h.Value})
				}
				got = append(got, rec)
			}
			for i := range want { // franz-go's header keys are strings, never nil
				for j := range want[i].Headers {
					if want[i].Headers[j].Key == nil {
						want[i].Headers[j].Key = []byte{}
					}
				}
			}
			wantSameRecords(t, got, want, 70)
		})
	}
}

func TestReadsWhatFranzGoCompresses(t *testing.T) {
	want := oddRecords()
	plain := mustBuild(t, BatchOptions{}, want...)
	for i, codec := range []kgo.CompressionCodec{kgo.GzipCompression(), kgo.SnappyCompression(), kgo.Lz4Compression(), kgo.ZstdCompression()} {
		z, err := kgo.DefaultCompressor(codec)
		if err != nil {
			t.Fatal(err)
		}
		payload, _ := z.Compress(new(bytes.Buffer), plain.Payload())
		b := withPayload(plain, Codec(i+1), payload)
		got, err := readAll(b)
		if err != nil {
			t.Fatalf("%v: %v", b.Codec(), err)
		}
		wantSameRecords(t, got, want, 0)
	}
}

// withPayload is b with other record bytes, that are compressed with codec.
func withPayload(b Batch, codec Codec, payload []byte) Batch {
	out := Batch(append(bytes.Clone(b[:BatchHeaderSize]), payload...))
	out[posAttributes+1] = out[posAttributes+1]&^attrCodec | byte(codec)
	return reseal(out)
}

func TestSnappyFramings(t *testing.T) {
	want := testRecords(2000, 100)
	plain := mustBuild(t, BatchOptions{}, want...)
	xerial := func(p []byte, block int) []byte {
		out := append(bytes.Clone(xerialMagic[:]), 0, 0, 0, 1, 0, 0, 0, 1)
		for chunk := range slices.Chunk(p, block) {
			enc := s2.EncodeSnappy(nil, chunk)
			out = append(binary.BigEndian.AppendUint32(out, uint32(len(enc))), enc...)
		}
		return out
	}
	p := plain.Payload()
	for name, payload := range map[string][]byte{
		"bare block":            s2.EncodeSnappy(nil, p),
		"blocks of 32 KB":       xerial(p, 32<<10),
		"blocks of 100 bytes":   xerial(p, 100),
		"one block":             xerial(p, len(p)),
		"two streams joined":    append(xerial(p[:5000], 1000), xerial(p[5000:], 1000)...),
		"an empty block within": append(append(xerial(p[:5000], 1000), 0, 0, 0, 1, 0), xerial(p[5000:], 1000)...),
	} {
		t.Run(name, func(t *testing.T) {
			got, err := readAll(withPayload(plain, CodecSnappy, payload))
			if err != nil {
				t.Fatal(err)
			}
			wantSameRecords(t, got, want, 0)
		})
	}
}

func zstdFrame(t *testing.T, p []byte, opts ...zstd.EOption) []byte {
	t.Helper()
	var out bytes.Buffer
	z, err := zstd.NewWriter(&out, opts...)
	if err != nil {
		t.Fatal(err)
	}
	half := len(p) / 2
	if _, err := z.Write(p[:half]); err != nil {
		t.Fatal(err)
	}
	if err := z.Flush(); err != nil { // so that the size is not known in time for the header
		t.Fatal(err)
	}
	if _, err := z.Write(p[half:]); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func lz4Frame(t *testing.T, p []byte, opts ...lz4.Option) []byte {
	t.Helper()
	var out bytes.Buffer
	z := lz4.NewWriter(&out)
	if err := z.Apply(opts...); err != nil {
		t.Fatal(err)
	}
	if _, err := z.Write(p); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestBrokenCompressionIsRefused(t *testing.T) {
	plain := mustBuild(t, BatchOptions{}, testRecords(500, 100)...)
	p := plain.Payload()
	var gz bytes.Buffer
	w := gzip.NewWriter(&gz)
	if _, err := w.Write(p); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	payloads := map[Codec][]byte{
		CodecGzip:   gz.Bytes(),
		CodecSnappy: s2.EncodeSnappy(nil, p),
		CodecLZ4:    lz4Frame(t, p, lz4.ChecksumOption(true)),
		CodecZstd:   zstdFrame(t, p),
	}
	for codec, good := range payloads {
		if _, err := readAll(withPayload(plain, codec, good)); err != nil {
			t.Fatalf("%v: whole: %v", codec, err)
		}
		for name, payload := range map[string][]byte{
			"empty":          {},
			"one byte":       good[:1],
			"half":           good[:len(good)/2],
			"without header": good[4:],
			"zeros":          make([]byte, 100),
			"not compressed": p,
		} {
			t.Run(fmt.Sprintf("%v/%s", codec, name), func(t *testing.T) {
				_, err := readAll(withPayload(plain, codec, payload))
				var refused *RefusedError
				if !errors.As(err, &refused) {
					t.Fatalf("got %v, want a refusal", err)
				}
			})
		}
	}
}

// What Java's readers cannot read, or read in part only, must not get into a
// topic, even if our libraries can read it.
func TestOnlyWhatJavaReads(t *testing.T) {
	plain := mustBuild(t, BatchOptions{}, testRecords(500, 100)...)
	p := plain.Payload()
	frame := lz4FrameOf(p)
	flag := func(bit byte) []byte {
		f := bytes.Clone(frame)
		f[4] ^= bit
		return fixLZ4HeaderChecksum(f)
	}
	oldXerial := compressWith(CodecSnappy, p)
	oldXerial[11] = 0
	half := len(p) / 2
	for name, b := range map[string]Batch{
		"lz4 with dependent blocks": withPayload(plain, CodecLZ4, flag(lz4BlockIndependent)),
		"lz4 in two frames":         withPayload(plain, CodecLZ4, append(lz4FrameOf(p[:half]), lz4FrameOf(p[half:])...)),
		"lz4 of version 0":          withPayload(plain, CodecLZ4, func() []byte { f := bytes.Clone(frame); f[4] ^= lz4Version; return f }()),
		"lz4 with a reserved bit":   withPayload(plain, CodecLZ4, func() []byte { f := bytes.Clone(frame); f[4] ^= 2; return f }()),
		"snappy of version 0":       withPayload(plain, CodecSnappy, oldXerial),
		"S2":                        withPayload(plain, CodecSnappy, s2.EncodeBest(nil, s2Loving())),
	} {
		_, err := readAll(b)
		var refused *RefusedError
		if !errors.As(err, &refused) || refused.Kafka != kerr.InvalidRecord {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, opts := range map[string][]lz4.Option{
		"checksums":          {lz4.ChecksumOption(true), lz4.BlockChecksumOption(true)},
		"content size":       {lz4.SizeOption(uint64(len(p)))},
		"blocks of 4 MB":     {lz4.BlockSizeOption(lz4.Block4Mb)},
		"blocks of 64 KB":    {lz4.BlockSizeOption(lz4.Block64Kb), lz4.BlockChecksumOption(true)},
		"high compression":   {lz4.CompressionLevelOption(lz4.Level9)},
		"no checksum at all": {lz4.ChecksumOption(false)},
	} {
		if _, err := readAll(withPayload(plain, CodecLZ4, lz4FrameOf(p, opts...))); err != nil {
			t.Errorf("lz4 with %s: %v", name, err)
		}
	}
}

func zstdFrameWithWindow(t *testing.T, p []byte, window int) []byte {
	t.Helper()
	frame := zstdFrame(t, p, zstd.WithWindowSize(window))
	var h zstd.Header
	if err := h.Decode(frame); err != nil || h.WindowSize != uint64(window) {
		t.Fatalf("the frame has a window of %d, not %d (%v)", h.WindowSize, window, err)
	}
	return frame
}

func TestZstdWindows(t *testing.T) {
	want := testRecords(500, 100)
	plain := mustBuild(t, BatchOptions{}, want...)
	for _, window := range []int{1 << 10, 1 << 20, maxPooledZstdWindow, 2 * maxPooledZstdWindow, MaxZstdWindow} {
		b := withPayload(plain, CodecZstd, zstdFrameWithWindow(t, plain.Payload(), window))
		got, err := readAll(b)
		if err != nil {
			t.Fatalf("window of %d: %v", window, err)
		}
		wantSameRecords(t, got, want, 0)
		// Java's highest levels ask for the largest window for every batch.
		if n := allocatedBytes(func() { _, _, _ = b.OffsetOfMaxTimestamp(0) }); n > 4<<20 {
			t.Errorf("window of %d: reading 50 KB allocates %d bytes", window, n)
		}
	}
	_, err := readAll(withPayload(plain, CodecZstd, zstdFrameWithWindow(t, plain.Payload(), 2*MaxZstdWindow)))
	wantRefused(t, err, kerr.InvalidRecord)
}

// A match that reaches back further than the windows that are kept.
func TestZstdFarMatch(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	value := make([]byte, 9<<20)
	for i := range value {
		value[i] = byte(rng.Uint32())
	}
	value = append(value, value[:1<<20]...)
	plain := mustBuild(t, BatchOptions{}, Record{Timestamp: testTime, Value: value})
	frame := zstdFrame(t, plain.Payload(), zstd.WithWindowSize(64<<20), zstd.WithEncoderLevel(zstd.SpeedBestCompression))
	if len(frame) > len(value)-1<<19 {
		t.Fatalf("the frame has %d bytes: it has no far match", len(frame))
	}
	b := withPayload(plain, CodecZstd, frame)
	got, err := readAll(b)
	if err != nil || !bytes.Equal(got[0].Value, value) {
		t.Fatalf("the value came back different (%v)", err)
	}
}

func TestUnknownCodecIsRefused(t *testing.T) {
	plain := mustBuild(t, BatchOptions{}, testRecords(5, 10)...)
	for codec := Codec(5); codec < 8; codec++ {
		_, err := readAll(withPayload(plain, codec, plain.Payload()))
		wantRefused(t, err, kerr.UnsupportedCompressionType)
	}
}

// A payload of some KB that decompresses to far more than the limit is given
// up at the limit, in every codec that can do it.
func TestBombStopsAtTheLimit(t *testing.T) {
	const limit = 2 << 20
	value := make([]byte, 12<<20)
	for _, codec := range []Codec{CodecGzip, CodecSnappy, CodecLZ4, CodecZstd} {
		t.Run(codec.String(), func(t *testing.T) {
			b := mustBuild(t, BatchOptions{Codec: codec}, Record{Value: value})
			if len(b) > len(value)/15 {
				t.Fatalf("%d bytes are no bomb", len(b))
			}
			r := ReadRecords(b, limit)
			defer r.Close()
			for r.Next() {
				t.Fatal("a record came out")
			}
			wantRefused(t, r.Err(), kerr.MessageTooLarge)
			if len(r.win.buf) > 2*limit+windowSize {
				t.Errorf("the window grew to %d bytes with a limit of %d", len(r.win.buf), limit)
			}
		})
	}
}

func TestHugeClaimsCostNothing(t *testing.T) {
	plain := mustBuild(t, BatchOptions{}, testRecords(5, 10)...)
	snappyClaim := append(binary.AppendUvarint(nil, 1<<31-1), "abc"...)
	recordClaim := appendVarint(nil, math.MaxInt32)
	for name, b := range map[string]Batch{
		"snappy block claims 2 GB": withPayload(plain, CodecSnappy, snappyClaim),
		"record claims 2 GB":       withPayload(plain, CodecNone, recordClaim),
		"record in zstd does":      withPayload(plain, CodecZstd, zstdFrame(t, recordClaim)),
		"record in lz4 does":       withPayload(plain, CodecLZ4, lz4Frame(t, recordClaim)),
		"zstd window of 64 MB":     withPayload(plain, CodecZstd, []byte{0x28, 0xb5, 0x2f, 0xfd, 0x00, 16 << 3, 1, 0, 0}),
		"zstd content of 100 MB":   withPayload(plain, CodecZstd, []byte{0x28, 0xb5, 0x2f, 0xfd, 0xa0, 0, 0, 0, 6, 1, 0, 0}),
		"zstd window of 256 MB":    withPayload(plain, CodecZstd, []byte{0x28, 0xb5, 0x2f, 0xfd, 0x00, 18 << 3, 1, 0, 0}),
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := readAll(b); err == nil {
				t.Error("it was read")
			}
			if got := allocatedBytes(func() { _, _ = readAll(b) }); got > 8<<20 {
				t.Errorf("reading it allocates %d bytes", got)
			}
		})
	}
}

func TestMalformedRecords(t *testing.T) {
	plain := mustBuild(t, BatchOptions{}, Record{Timestamp: testTime, Value: []byte("x")})
	rec := func(fields ...any) []byte {
		var body []byte
		for _, f := range fields {
			switch f := f.(type) {
			case int:
				body = appendVarlong(body, int64(f))
			case string:
				body = append(body, f...)
			}
		}
		return append(appendVarint(nil, int32(len(body))), body...)
	}
	for name, payload := range map[string][]byte{
		"nothing":                   {},
		"size 0":                    {0},
		"negative size":             {1},
		"size ends early":           {0x80},
		"size of 6 bytes":           {0x80, 0x80, 0x80, 0x80, 0x80, 0x01},
		"no fields":                 rec("\x00"),
		"key beyond the end":        rec("\x00", 0, 0, 100, "k"),
		"value beyond the end":      rec("\x00", 0, 0, -1, 100, "v", 0),
		"no header count":           rec("\x00", 0, 0, -1, 1, "v"),
		"negative header count":     rec("\x00", 0, 0, -1, 1, "v", -1),
		"more headers than bytes":   rec("\x00", 0, 0, -1, 1, "v", 1000),
		"header with a null key":    rec("\x00", 0, 0, -1, 1, "v", 1, -1, -1),
		"header value beyond end":   rec("\x00", 0, 0, -1, 1, "v", 1, 1, "h", 100),
		"bytes after the fields":    rec("\x00", 0, 0, -1, 1, "v", 0, "more"),
		"bytes after the record":    append(rec("\x00", 0, 0, -1, 1, "v", 0), 0),
		"timestamp of eleven bytes": rec("\x00", "\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01", 0, -1, 1, "v", 0),
	} {
		for _, codec := range allCodecs {
			t.Run(fmt.Sprintf("%s/%v", name, codec), func(t *testing.T) {
				z, k, err := newCompressor(codec, 0)
				if err != nil {
					t.Fatal(err)
				}
				defer freeCompressor(k, z)
				z.begin(nil)
				if _, err := z.Write(payload); err != nil {
					t.Fatal(err)
				}
				compressed, err := z.end()
				if err != nil {
					t.Fatal(err)
				}
				_, err = readAll(withPayload(plain, codec, compressed))
				wantRefused(t, err, kerr.InvalidRecord)
			})
		}
	}
}

func TestBuildBatchRefuses(t *testing.T) {
	one := testRecords(1, 10)
	for name, o := range map[string]BatchOptions{
		"codec 5":      {Codec: 5},
		"gzip level":   {Codec: CodecGzip, Level: 10},
		"lz4 level":    {Codec: CodecLZ4, Level: 18},
		"zstd level":   {Codec: CodecZstd, Level: 23},
		"lz4 negative": {Codec: CodecLZ4, Level: -1},
	} {
		if _, err := BuildBatch(nil, o, one...); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if _, err := BuildBatch(nil, BatchOptions{}); err == nil {
		t.Error("a batch without records: no error")
	}
}

func TestControlAndTransactionalFlags(t *testing.T) {
	b := mustBuild(t, BatchOptions{Control: true, Transactional: true, Producer: &Producer{ID: 9, Epoch: 1, Sequence: NoSequence},
		TimestampType: LogAppendTime, LogAppendTime: 77}, Record{Key: []byte{0, 0, 0, 1}, Value: []byte{0, 0, 0, 0, 0, 0}})
	if !b.IsControl() || !b.IsTransactional() || b.TimestampType() != LogAppendTime || b.MaxTimestamp() != 77 || b.ProducerID() != 9 {
		t.Errorf("attributes %b, max timestamp %d, producer %d", b.Attributes(), b.MaxTimestamp(), b.ProducerID())
	}
}
