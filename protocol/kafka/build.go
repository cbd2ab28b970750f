package kafka

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"sync"
)

// Producer is the identity of an idempotent producer, and the sequence number
// of a batch's first record.
type Producer struct {
	ID       int64
	Epoch    int16
	Sequence int32
}

// BatchOptions says how BuildBatch makes a batch. The zero value is an
// uncompressed batch at offset 0 with the records' own timestamps and no
// producer.
type BatchOptions struct {
	BaseOffset    int64
	LeaderEpoch   int32
	Codec         Codec
	Level         int       // 0 is the codec's default
	Producer      *Producer // nil for none
	Transactional bool
	Control       bool
	// LogAppendTime, where TimestampType is LogAppendTime, is the time of every
	// record, in ms.
	TimestampType TimestampType
	LogAppendTime int64
}

var errNoRecords = errors.New("a batch needs at least one record")

// BuildBatch appends one batch that holds the records to dst. Record i gets
// the offset BaseOffset+i; the records' own Offset is not looked at.
//
// It fails for no records, for an unknown codec or level, and for a batch of
// 2 GB or more.
func BuildBatch(dst []byte, o BatchOptions, records ...Record) ([]byte, error) {
	if len(records) == 0 {
		return dst, errNoRecords
	}
	bw, err := beginBatch(dst, o, records[0].Timestamp)
	if err != nil {
		return dst, fmt.Errorf("build record batch: %w", err)
	}
	for i := range records {
		if err := bw.add(&records[i]); err != nil {
			bw.abandon()
			return dst, fmt.Errorf("build record batch: record %d: %w", i, err)
		}
	}
	out, err := bw.finish()
	if err != nil {
		return dst, fmt.Errorf("build record batch: %w", err)
	}
	return out, nil
}

// flushSize is how many record bytes are gathered before they go into the
// compressor.
const flushSize = 32 << 10

// maxPooledScratch is the largest gathering buffer that is kept.
const maxPooledScratch = 1 << 20

// batchWriter makes a batch record by record, so that a batch can be written
// anew while another is read.
type batchWriter struct {
	opts    BatchOptions
	start   int
	out     []byte // where records are not compressed, they go here at once
	z       compressor
	key     compressorKey
	scratch *[]byte
	first   int64
	max     int64
	count   int32
	size    int64 // bytes of the records, before compression
}

var scratches = sync.Pool{New: func() any { b := make([]byte, 0, 2*flushSize); return &b }}

func beginBatch(dst []byte, o BatchOptions, firstTimestamp int64) (*batchWriter, error) {
	if !o.Codec.Valid() {
		return nil, fmt.Errorf("unknown codec %d", uint8(o.Codec))
	}
	bw := &batchWriter{opts: o, start: len(dst), first: firstTimestamp, max: NoTimestamp}
	var header [BatchHeaderSize]byte
	dst = append(dst, header[:]...)
	if o.Codec == CodecNone {
		bw.out = dst
		return bw, nil
	}
	z, key, err := newCompressor(o.Codec, o.Level)
	if err != nil {
		return nil, err
	}
	z.begin(dst)
	bw.z, bw.key = z, key
	bw.scratch = scratches.Get().(*[]byte)
	return bw, nil
}

func (bw *batchWriter) add(r *Record) error { return bw.addAt(r, bw.count) }

// addAt adds a record whose offset is delta above the batch's first.
func (bw *batchWriter) addAt(r *Record, offsetDelta int32) error {
	if bw.count == math.MaxInt32 {
		return errors.New("a batch holds at most 2147483647 records")
	}
	delta := r.Timestamp - bw.first
	size, err := recordSize(r, offsetDelta, delta)
	if err != nil {
		return err
	}
	bw.size += int64(size)
	if bw.z == nil && int64(len(bw.out)-bw.start)+int64(size) > math.MaxInt32-maxVarintLen32 {
		return errors.New("a batch must stay below 2 GB")
	}
	bw.max = max(bw.max, r.Timestamp)
	if bw.z == nil {
		bw.out = appendRecord(bw.out, r, size, offsetDelta, delta)
	} else {
		*bw.scratch = appendRecord(*bw.scratch, r, size, offsetDelta, delta)
		if len(*bw.scratch) >= flushSize {
			if err := bw.flush(); err != nil {
				return err
			}
		}
	}
	bw.count++
	return nil
}

func (bw *batchWriter) flush() error {
	_, err := bw.z.Write(*bw.scratch)
	*bw.scratch = (*bw.scratch)[:0]
	if err != nil {
		return fmt.Errorf("compress records with %v: %w", bw.opts.Codec, err)
	}
	return nil
}

// finish writes the header and returns the slice with the batch at its end.
func (bw *batchWriter) finish() ([]byte, error) {
	out := bw.out
	if bw.z != nil {
		err := bw.flush()
		var endErr error
		out, endErr = bw.z.end()
		bw.release()
		if err = errors.Join(err, endErr); err != nil {
			return nil, err
		}
	}
	if len(out)-bw.start > math.MaxInt32 {
		return nil, errors.New("a batch must stay below 2 GB")
	}
	b := Batch(out[bw.start:])
	bw.writeHeader(b)
	return out, nil
}

// written is the size that the batch has reached; a compressor may hold more.
func (bw *batchWriter) written() int {
	if bw.z != nil {
		return bw.z.size() - bw.start
	}
	return len(bw.out) - bw.start
}

// abandon gives up what finish would have given back.
func (bw *batchWriter) abandon() {
	if bw.z != nil {
		_, _ = bw.z.end() // the output is of no interest any more
		bw.release()
	}
}

func (bw *batchWriter) release() {
	freeCompressor(bw.key, bw.z)
	if cap(*bw.scratch) <= maxPooledScratch {
		*bw.scratch = (*bw.scratch)[:0]
		scratches.Put(bw.scratch)
	}
	bw.z, bw.scratch = nil, nil
}

func (bw *batchWriter) writeHeader(b Batch) {
	o := bw.opts
	attributes := uint16(o.Codec)
	maxTimestamp := bw.max
	if o.TimestampType == LogAppendTime {
		attributes |= attrLogAppendTime
		maxTimestamp = o.LogAppendTime
	}
	if o.Transactional {
		attributes |= attrTransactional
	}
	if o.Control {
		attributes |= attrControl
	}
	producer := Producer{NoProducerID, NoProducerEpoch, NoSequence}
	if o.Producer != nil {
		producer = *o.Producer
	}
	be := binary.BigEndian
	be.PutUint64(b[posBaseOffset:], uint64(o.BaseOffset))
	be.PutUint32(b[posLength:], uint32(len(b)-batchPrefixSize))
	be.PutUint32(b[posLeaderEpoch:], uint32(o.LeaderEpoch))
	b[posMagic] = MagicV2
	be.PutUint16(b[posAttributes:], attributes)
	be.PutUint32(b[posLastOffsetDelta:], uint32(bw.count-1))
	be.PutUint64(b[posFirstTimestamp:], uint64(bw.first))
	be.PutUint64(b[posMaxTimestamp:], uint64(maxTimestamp))
	be.PutUint64(b[posProducerID:], uint64(producer.ID))
	be.PutUint16(b[posProducerEpoch:], uint16(producer.Epoch))
	be.PutUint32(b[posBaseSequence:], uint32(producer.Sequence))
	be.PutUint32(b[posNumRecords:], uint32(bw.count))
	b.UpdateCRC()
}

// recordSize is the size of a record's body: what its length field says.
func recordSize(r *Record, offsetDelta int32, timestampDelta int64) (int32, error) {
	n := int64(1 + varlongLen(timestampDelta) + varintLen(offsetDelta))
	n += bytesSize(r.Key) + bytesSize(r.Value)
	n += int64(varintLen(int32(min(len(r.Headers), math.MaxInt32))))
	for i := range r.Headers {
		h := &r.Headers[i]
		n += int64(varintLen(int32(min(len(h.Key), math.MaxInt32)))+len(h.Key)) + bytesSize(h.Value)
	}
	if n > math.MaxInt32 {
		return 0, fmt.Errorf("a record of %d bytes is too large; it must stay below 2 GB", n)
	}
	return int32(n), nil
}

func bytesSize(b []byte) int64 {
	if b == nil {
		return 1
	}
	return int64(varintLen(int32(min(len(b), math.MaxInt32))) + len(b))
}

func appendRecord(dst []byte, r *Record, size, offsetDelta int32, timestampDelta int64) []byte {
	dst = appendVarint(dst, size)
	dst = append(dst, 0) // attributes
	dst = appendVarlong(dst, timestampDelta)
	dst = appendVarint(dst, offsetDelta)
	dst = appendBytes(dst, r.Key)
	dst = appendBytes(dst, r.Value)
	dst = appendVarint(dst, int32(len(r.Headers)))
	for i := range r.Headers {
		h := &r.Headers[i]
		dst = appendVarint(dst, int32(len(h.Key)))
		dst = append(dst, h.Key...)
		dst = appendBytes(dst, h.Value)
	}
	return dst
}

func appendBytes(dst, b []byte) []byte {
	if b == nil {
		return append(dst, 1) // -1: null
	}
	dst = appendVarint(dst, int32(len(b)))
	return append(dst, b...)
}
