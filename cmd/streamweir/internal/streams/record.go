package streams

import (
	"bufio"
	"errors"
	"io"
	"strconv"
	"sync"
	"syscall"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"github.com/streamweir/streamweir/cmd/streamweir/internal/format"
)

// Appender turns a record into output.
type Appender func(dst []byte, stream, shard string, r *types.Record) []byte

// AppendJSON writes a record as one JSON object and a newline.
func AppendJSON(dst []byte, stream, shard string, r *types.Record) []byte {
	dst = append(dst, `{"stream":`...)
	dst = format.AppendString(dst, stream)
	dst = append(dst, `,"shard":`...)
	dst = format.AppendString(dst, shard)
	dst = append(dst, `,"sequence_number":`...)
	dst = format.AppendString(dst, aws.ToString(r.SequenceNumber))
	if r.ApproximateArrivalTimestamp != nil {
		dst = append(dst, `,"timestamp":`...)
		dst = strconv.AppendInt(dst, r.ApproximateArrivalTimestamp.UnixMilli(), 10)
	}
	dst = append(dst, `,"key":`...)
	dst = format.AppendString(dst, aws.ToString(r.PartitionKey))
	dst = format.AppendValue(dst, r.Data)
	return append(dst, '}', '\n')
}

// AppendTemplate writes records by a format string.
func AppendTemplate(t *format.Template) Appender {
	return func(dst []byte, stream, shard string, r *types.Record) []byte {
		f := format.Fields{
			Topic: stream, Partition: []byte(shard), Offset: []byte(aws.ToString(r.SequenceNumber)),
			Key: []byte(aws.ToString(r.PartitionKey)), Value: r.Data, Timestamp: aws.ToTime(r.ApproximateArrivalTimestamp),
		}
		return t.AppendFields(dst, &f, format.TemplateOptions{})
	}
}

// sink writes the records of all shards to one place.
type sink struct {
	stream  string
	append  Appender
	limit   int64 // end after so many; 0: no limit
	mu      sync.Mutex
	out     *bufio.Writer
	line    []byte
	written int64
}

// errEnough ends the reading: as many records are written as were wanted, or
// nobody reads them.
var errEnough = errors.New("enough")

const writeBuffer = 256 << 10

func newSink(stream string, appender Appender, limit int64, w io.Writer) *sink {
	return &sink{stream: stream, append: appender, limit: limit, out: bufio.NewWriterSize(w, writeBuffer)}
}

// write writes records of a shard, and sees that they leave the buffer.
func (s *sink) write(shard string, records []types.Record) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range records {
		if s.limit > 0 && s.written == s.limit {
			break
		}
		s.line = s.append(s.line[:0], s.stream, shard, &records[i])
		if _, err := s.out.Write(s.line); err != nil {
			return ended(err)
		}
		s.written++
	}
	if err := s.out.Flush(); err != nil {
		return ended(err)
	}
	if s.limit > 0 && s.written == s.limit {
		return errEnough
	}
	return nil
}

// ended says whether the reader of our output has gone.
func ended(err error) error {
	if errors.Is(err, syscall.EPIPE) {
		return errEnough
	}
	return err
}
