package harness

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"time"

	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
	"github.com/twmb/franz-go/pkg/kbin"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// The codecs of a record batch, as in the low bits of its attributes.
const (
	CodecNone = iota
	CodecGzip
	CodecSnappy
	CodecLZ4
	CodecZstd
)

// BatchHeader is the size of a record batch without its records.
const BatchHeader = 61

const crcStart = 21 // the attributes: what the CRC covers begins there

// Rec is one record of a batch.
type Rec struct {
	Key, Value []byte // nil is null
	Headers    []kmsg.Header
	DeltaTime  int64 // after the batch's first timestamp, in milliseconds
}

// Values makes records of values, without keys.
func Values(values ...string) []Rec {
	rs := make([]Rec, len(values))
	for i, v := range values {
		rs[i].Value = []byte(v)
	}
	return rs
}

// Batch says what a record batch is to hold. The zero value of a field is what
// a plain producer sends.
type Batch struct {
	Records       []Rec
	Codec         int
	Attributes    int16 // besides the codec
	Timestamp     int64 // of the first record; 0 is now
	Idempotent    bool
	ProducerID    int64
	ProducerEpoch int16
	Sequence      int32
	// Break, where set, changes the finished batch; Reseal mends its CRC.
	Break func([]byte) []byte
}

// Encode makes the bytes of the batch.
func (b Batch) Encode() []byte {
	if b.Timestamp == 0 {
		b.Timestamp = time.Now().UnixMilli()
	}
	kb := kmsg.NewRecordBatch()
	kb.PartitionLeaderEpoch = -1
	kb.Magic = 2
	kb.Attributes = b.Attributes | int16(b.Codec)
	kb.LastOffsetDelta = int32(len(b.Records) - 1)
	kb.FirstTimestamp, kb.MaxTimestamp = b.Timestamp, b.Timestamp
	kb.ProducerID, kb.ProducerEpoch, kb.FirstSequence = -1, -1, -1
	if b.Idempotent {
		kb.ProducerID, kb.ProducerEpoch, kb.FirstSequence = b.ProducerID, b.ProducerEpoch, b.Sequence
	}
	kb.NumRecords = int32(len(b.Records))
	var records []byte
	for i, r := range b.Records {
		kb.MaxTimestamp = max(kb.MaxTimestamp, b.Timestamp+r.DeltaTime)
		records = appendRecord(records, i, r)
	}
	kb.Records = compress(b.Codec, records)
	kb.Length = int32(BatchHeader - 12 + len(kb.Records))
	out := Reseal(kb.AppendTo(nil))
	if b.Break != nil {
		out = b.Break(out)
	}
	return out
}

func appendRecord(dst []byte, i int, r Rec) []byte {
	var body []byte
	body = append(body, 0) // attributes
	body = kbin.AppendVarlong(body, r.DeltaTime)
	body = kbin.AppendVarint(body, int32(i))
	body = kbin.AppendVarintBytes(body, r.Key)
	body = kbin.AppendVarintBytes(body, r.Value)
	body = kbin.AppendVarint(body, int32(len(r.Headers)))
	for _, h := range r.Headers {
		body = kbin.AppendVarintString(body, h.Key)
		body = kbin.AppendVarintBytes(body, h.Value)
	}
	dst = kbin.AppendVarint(dst, int32(len(body)))
	return append(dst, body...)
}

// Reseal sets the CRC of a batch to what it should be.
func Reseal(b []byte) []byte {
	crc := crc32.Checksum(b[crcStart:], crc32.MakeTable(crc32.Castagnoli))
	binary.BigEndian.PutUint32(b[crcStart-4:], crc)
	return b
}

func compress(codec int, b []byte) []byte {
	var buf bytes.Buffer
	switch codec {
	case CodecNone:
		return b
	case CodecGzip:
		w := gzip.NewWriter(&buf)
		w.Write(b)
		w.Close()
	case CodecSnappy:
		return s2.EncodeSnappy(nil, b)
	case CodecLZ4:
		w := lz4.NewWriter(&buf)
		w.Write(b)
		w.Close()
	case CodecZstd:
		w, err := zstd.NewWriter(&buf)
		if err != nil {
			panic(err)
		}
		w.Write(b)
		w.Close()
	}
	return buf.Bytes()
}

// Batches takes a fetched partition's records apart. rest is what is left of a
// last batch that a limit of the fetch has cut, which clients drop.
func Batches(b []byte) (batches []kmsg.RecordBatch, rest int, err error) {
	for len(b) >= BatchHeader {
		n := int(int32(binary.BigEndian.Uint32(b[8:]))) + 12
		if n < BatchHeader {
			return batches, 0, fmt.Errorf("batch %d says that it takes %d bytes", len(batches), n)
		}
		if n > len(b) {
			break
		}
		var kb kmsg.RecordBatch
		if err := kb.ReadFrom(b[:n]); err != nil {
			return batches, 0, fmt.Errorf("batch %d: %w", len(batches), err)
		}
		if want := int32(crc32.Checksum(b[crcStart:n], crc32.MakeTable(crc32.Castagnoli))); kb.CRC != want {
			return batches, 0, fmt.Errorf("batch %d at %d: CRC %x, want %x", len(batches), kb.FirstOffset, kb.CRC, want)
		}
		batches = append(batches, kb)
		b = b[n:]
	}
	return batches, len(b), nil
}
