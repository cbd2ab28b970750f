package kafka

import (
	"bytes"
	"errors"
	"io"
	"sync"

	"github.com/twmb/franz-go/pkg/kerr"
)

// A Header is a name and a value that travel with a record.
type Header struct {
	Key   []byte
	Value []byte // nil for null
}

// A Record is one record of a batch.
type Record struct {
	// Offset is the record's place in the log. BuildBatch gives its own.
	Offset int64
	// Timestamp is in milliseconds since 1970; NoTimestamp for none.
	Timestamp int64
	Key       []byte // nil for null
	Value     []byte // nil for null
	Headers   []Header
}

// Clone copies a record that is only valid until the next one is read.
func (r *Record) Clone() Record {
	c := *r
	c.Key, c.Value, c.Headers = bytes.Clone(r.Key), bytes.Clone(r.Value), nil
	if len(r.Headers) > 0 {
		c.Headers = make([]Header, len(r.Headers))
		for i, h := range r.Headers {
			c.Headers[i] = Header{bytes.Clone(h.Key), bytes.Clone(h.Value)}
		}
	}
	return c
}

// maxKeptHeaders is the largest header slice that a pooled reader keeps.
const maxKeptHeaders = 1024

// RecordReader reads the records of one batch, one after the other:
//
//	r := kafka.ReadRecords(batch, 0)
//	defer r.Close()
//	for r.Next() {
//		rec := r.Record()
//		...
//	}
//	if err := r.Err(); err != nil { ... }
//
// Compressed records are decompressed as a stream: memory holds a window of
// 128 KB, or one record where that is larger.
type RecordReader struct {
	win     window
	rec     Record
	headers []Header

	baseOffset int64
	firstTime  int64
	appendTime int64
	fixedTime  bool // every record has appendTime
	left       int32
	index      int32
	largest    int // record that is read; 0 for any
	passed     int // size of the record that was passed over
	err        error
}

var recordReaders = sync.Pool{New: func() any { return new(RecordReader) }}

// ReadRecords begins to read b. limit bounds the decompressed size of the
// batch; 0 is DefaultDecompressedLimit. The reader comes from a pool: call
// Close, and use neither the reader nor what it returned after that.
func ReadRecords(b Batch, limit int64) *RecordReader {
	r := recordReaders.Get().(*RecordReader)
	*r = RecordReader{
		headers:    r.headers[:0],
		baseOffset: b.BaseOffset(),
		firstTime:  b.FirstTimestamp(),
		appendTime: b.MaxTimestamp(),
		fixedTime:  b.TimestampType() == LogAppendTime,
		left:       b.NumRecords(),
	}
	if r.left < 0 {
		r.err = refuse(kerr.InvalidRecord, "record batch declares %d records", r.left)
		return r
	}
	if r.left == 0 {
		r.win.err = io.EOF
		return r
	}
	if err := r.win.open(b, limit); err != nil {
		r.err = decompressionError(b.Codec(), err)
	}
	return r
}

// Next reads the next record, and says whether there was one.
func (r *RecordReader) Next() bool {
	if r.err != nil {
		return false
	}
	if r.left == 0 {
		return r.end()
	}
	size, ok := r.win.varint()
	if r.passed = 0; ok && r.largest > 0 && int(size) > r.largest {
		return r.pass(int(size))
	}
	if !ok || size < 0 || !r.win.need(int(size)) {
		return r.fail("it ends early")
	}
	body := r.win.buf[r.win.r : r.win.r+int(size)]
	r.win.r += int(size)
	if !r.parse(body) {
		return r.fail("its fields do not fit its size")
	}
	r.left--
	r.index++
	return true
}

// PassOver makes Next keep no record in memory that is larger than n bytes: such a
// one has an offset and timestamp alone.
func (r *RecordReader) PassOver(n int) { r.largest = n }

// Passed is the size of the record that Next read where it is one that PassOver
// speaks of, and 0 of any other.
func (r *RecordReader) Passed() int { return r.passed }

// pass reads past a record of size bytes.
func (r *RecordReader) pass(size int) bool {
	end := r.win.pos() + int64(size)
	ok := r.win.skip(1) // attributes
	timestamp, timeOK := r.win.varlong()
	offset, offsetOK := r.win.varint()
	rest := end - r.win.pos()
	if !ok || !timeOK || !offsetOK || rest < 0 || !r.win.skip(int(rest)) {
		return r.fail("it ends early")
	}
	timestamp += r.firstTime
	if r.fixedTime {
		timestamp = r.appendTime
	}
	r.rec = Record{Offset: r.baseOffset + int64(offset), Timestamp: timestamp}
	r.passed = size
	r.left--
	r.index++
	return true
}

// end looks whether anything follows the last record: a batch with more bytes
// than the records it declares is malformed as a whole.
func (r *RecordReader) end() bool {
	if r.win.need(1) {
		return r.fail("bytes follow the last record")
	}
	if r.win.failure() != nil {
		return r.fail("")
	}
	return false
}

func (r *RecordReader) fail(why string) bool {
	if err := r.win.failure(); err != nil {
		r.err = decompressionError(r.win.codec, err)
	} else {
		r.err = refuse(kerr.InvalidRecord, "record %d of the batch is malformed: %s", r.index, why)
	}
	return false
}

func (r *RecordReader) parse(body []byte) bool {
	c := cursor{b: body}
	c.byte() // attributes, which no record uses
	timestamp := r.firstTime + c.varlong()
	if r.fixedTime {
		timestamp = r.appendTime
	}
	offset := r.baseOffset + int64(c.varint())
	key := c.take(c.varint())
	value := c.take(c.varint())
	n := c.varint()
	if c.bad || n < 0 || int(n) > len(body)-c.i {
		return false
	}
	headers := r.headers[:0]
	for range n {
		size := c.varint()
		if size < 0 {
			return false
		}
		headers = append(headers, Header{Key: c.take(size), Value: c.take(c.varint())})
		if c.bad {
			return false
		}
	}
	r.headers = headers
	r.rec = Record{Offset: offset, Timestamp: timestamp, Key: key, Value: value, Headers: headers}
	return !c.bad && c.i == len(body)
}

// Record is the record that Next read. It, and the slices in it, are valid
// until the next call of Next or Close; see Record.Clone.
func (r *RecordReader) Record() *Record { return &r.rec }

// Err is why Next stopped before the last record, or nil: a *RefusedError.
func (r *RecordReader) Err() error { return r.err }

// Close gives the reader back.
func (r *RecordReader) Close() {
	r.win.close()
	if cap(r.headers) > maxKeptHeaders {
		r.headers = nil
	}
	clear(r.headers[:cap(r.headers)])
	r.rec = Record{}
	recordReaders.Put(r)
}

// decompressionError gives a failure of a codec its Kafka code. Apache Kafka
// answers most of these with UNKNOWN_SERVER_ERROR, because its exception escapes;
// INVALID_RECORD says whose fault it is, and is no more retried than that.
func decompressionError(c Codec, err error) error {
	switch {
	case errors.Is(err, errDecompressedSize):
		return refuse(kerr.MessageTooLarge, "%v", err)
	case errors.Is(err, errUnknownCodec):
		return refuse(kerr.UnsupportedCompressionType, "record batch names an unknown compression (%d)", uint8(c))
	}
	return refuse(kerr.InvalidRecord, "decompress %v records: %v", c, err)
}
