// Package input divides the lines, JSON objects or whole files that a command
// is given into records.
package input

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/streamweir/streamweir/cmd/streamweir/internal/format"
	"github.com/streamweir/streamweir/cmd/streamweir/internal/output"
)

// Format is how the input is divided into records.
type Format string

// The formats.
const (
	Lines Format = "text" // one record per delimiter
	JSON  Format = "json" // one JSON object per line
	Whole Format = "file" // one record per file
)

// blockSize is how much is read at a time. Records are slices of a block, so a
// block lives until the last of its records is acknowledged.
const blockSize = 256 << 10

// envelopeRatio is how much longer than its record a line of JSON may be:
// base64 adds a third, and \u escapes make six bytes of one.
const envelopeRatio = 6

// Parsing says how a line becomes a record.
type Parsing struct {
	Format        Format
	Delimiter     []byte             // between records; Lines only
	KeyDelimiter  []byte             // between key and value; empty: no keys in the input
	Key           []byte             // of every record that brings none; nil: null
	Headers       []kgo.RecordHeader // of every record, before its own
	EmptyIsNull   bool               // an empty key or value is sent as null
	Partition     int32              // AnyPartition, or the one to send everything to
	KeepPartition bool               // take the partition from the JSON line
	Partitions    int                // how many the topic has
	// MaxRecordBytes is how much is read of a record before it is too large,
	// and TooLarge words that; Check looks at each complete record.
	MaxRecordBytes int
	TooLarge       func() error
	Check          func(*kgo.Record) error
}

// File is something to read records from.
type File struct {
	Name string // "" for standard input
	Size int64  // in bytes; negative if it is not known
	Open func() (io.ReadCloser, error)
	// Source is what Open reads from, where that is open already.
	Source io.Reader
}

// TotalSize is that of all files, negative where one is not known.
func TotalSize(files []File) int64 {
	var total int64
	for _, f := range files {
		if f.Size < 0 {
			return -1
		}
		total += f.Size
	}
	return total
}

// AnyPartition leaves the choice to the partitioner.
const AnyPartition = -1

// Origin says where in the input a record stood.
type Origin struct {
	Input string // name of the file, "" for standard input
	Line  int64  // 0: the whole file
}

func (o Origin) String() string {
	switch {
	case o.Input == "" && o.Line == 0:
		return "standard input"
	case o.Input == "":
		return fmt.Sprintf("line %d", o.Line)
	case o.Line == 0:
		return o.Input
	}
	return fmt.Sprintf("%s:%d", o.Input, o.Line)
}

// RecordError says why a record was not sent or not acknowledged.
type RecordError struct {
	Origin Origin
	Err    error
}

func (e *RecordError) Error() string { return fmt.Sprintf("%s: %v", e.Origin, e.Err) }
func (e *RecordError) Unwrap() error { return e.Err }

// Sink takes what is read. Where a function returns a bool, false stops the reading.
type Sink struct {
	// Record takes a record and where it stood.
	Record func(r kgo.Record, at Origin) bool
	// Failed takes what cannot become a record.
	Failed func(*RecordError) bool
	// Consumed takes the number of bytes read.
	Consumed func(int)
}

// Read divides one file into records. The error is one of reading.
func Read(f File, parsing *Parsing, sink Sink) error {
	in, err := f.Open()
	if err != nil {
		return err
	}
	rd := &reader{in: in, name: f.Name, parse: parsing, sink: sink, blockBytes: blockSize}
	err = rd.run()
	if closeErr := in.Close(); err == nil {
		err = closeErr
	}
	return err
}

// reader divides one input into records.
type reader struct {
	in    io.Reader
	name  string
	parse *Parsing
	sink  Sink
	// blockBytes is blockSize; tests take less.
	blockBytes int
}

var errStopped = errors.New("stopped")

// run reads until the end of the input. An error is one of reading.
func (r *reader) run() error {
	var err error
	if r.parse.Format == Whole {
		err = r.whole()
	} else {
		err = r.lines()
	}
	if errors.Is(err, errStopped) {
		return nil
	}
	if err != nil {
		name := r.name
		if name == "" {
			name = "standard input"
		}
		return fmt.Errorf("read %s: %w", name, err)
	}
	return nil
}

// whole makes one record of the input.
func (r *reader) whole() error {
	limit := r.parse.MaxRecordBytes
	value, err := io.ReadAll(io.LimitReader(r.in, int64(limit)+1))
	r.sink.Consumed(len(value))
	if err != nil {
		return err
	}
	at := Origin{Input: r.name}
	if len(value) > limit {
		r.sink.Failed(&RecordError{Origin: at, Err: r.parse.TooLarge()})
		return nil
	}
	rec := r.record(nil, value)
	if err := r.parse.Check(&rec); err != nil {
		r.sink.Failed(&RecordError{Origin: at, Err: err})
		return nil
	}
	if !r.sink.Record(rec, at) {
		return errStopped
	}
	return nil
}

// lines cuts the input at the delimiter. It hands on what is complete after
// every read, so that a slow pipe is not held back, and never keeps more than
// one line that is not complete.
func (r *reader) lines() error {
	limit := r.parse.MaxRecordBytes
	if r.parse.Format == JSON {
		limit *= envelopeRatio
	}
	limit += len(r.parse.KeyDelimiter)
	c := &cutter{r: r, limit: limit, block: make([]byte, r.blockBytes)}
	return c.run()
}

// cutter holds the state of cutting: block[start:end] is not yet a line, and
// block[start:scanned] holds no delimiter.
type cutter struct {
	r                   *reader
	limit               int
	block               []byte
	start, scanned, end int
	line                int64
	skipping            bool // the rest of a line that is too long
}

func (c *cutter) run() error {
	for {
		if err := c.makeRoom(); err != nil {
			return err
		}
		n, err := c.r.in.Read(c.block[c.end:])
		c.end += n
		c.r.sink.Consumed(n)
		if cutErr := c.cut(); cutErr != nil {
			return cutErr
		}
		if errors.Is(err, io.EOF) {
			return c.finish()
		}
		if err != nil {
			return err
		}
	}
}

// makeRoom moves the unfinished line to a fresh block when this one is full:
// the old one belongs to the records cut from it.
func (c *cutter) makeRoom() error {
	if c.end < len(c.block) {
		return nil
	}
	rest := c.end - c.start
	if rest > c.limit+len(c.r.parse.Delimiter) || c.skipping {
		return c.skip()
	}
	size := c.r.blockBytes
	for size < 2*rest {
		size *= 2
	}
	fresh := make([]byte, size)
	copy(fresh, c.block[c.start:c.end])
	c.scanned -= c.start
	c.block, c.start, c.end = fresh, 0, rest
	return nil
}

// skip drops what has been read of a line that is too long.
func (c *cutter) skip() error {
	if !c.skipping {
		c.skipping = true
		at := Origin{Input: c.r.name, Line: c.line + 1}
		if !c.r.sink.Failed(&RecordError{Origin: at, Err: c.r.parse.TooLarge()}) {
			return errStopped
		}
	}
	// What may be the beginning of a delimiter stays. Records may have been
	// cut from this block, so it is not written again.
	keep := min(len(c.r.parse.Delimiter)-1, c.end-c.start)
	fresh := make([]byte, c.r.blockBytes)
	copy(fresh, c.block[c.end-keep:c.end])
	c.block, c.start, c.scanned, c.end = fresh, 0, 0, keep
	return nil
}

// cut hands on every complete line.
func (c *cutter) cut() error {
	delimiter := c.r.parse.Delimiter
	for {
		i := bytes.Index(c.block[c.scanned:c.end], delimiter)
		if i < 0 {
			c.scanned = max(c.start, c.end-len(delimiter)+1)
			return nil
		}
		line := c.block[c.start : c.scanned+i : c.scanned+i]
		c.start = c.scanned + i + len(delimiter)
		c.scanned = c.start
		if err := c.take(line); err != nil {
			return err
		}
	}
}

// finish takes a last line that has no delimiter after it.
func (c *cutter) finish() error {
	if c.start == c.end || c.skipping {
		return nil
	}
	return c.take(c.block[c.start:c.end:c.end])
}

func (c *cutter) take(line []byte) error {
	c.line++
	if c.skipping {
		c.skipping = false
		return nil
	}
	at := Origin{Input: c.r.name, Line: c.line}
	rec, skip, err := c.r.parseLine(line)
	if err == nil && !skip {
		err = c.r.parse.Check(&rec)
	}
	switch {
	case err != nil && !c.r.sink.Failed(&RecordError{Origin: at, Err: err}):
		return errStopped
	case err == nil && !skip && !c.r.sink.Record(rec, at):
		return errStopped
	}
	return nil
}

// parseLine makes a record of a line. An empty line between JSON objects is skipped.
func (r *reader) parseLine(line []byte) (rec kgo.Record, skip bool, err error) {
	if r.parse.Format != JSON {
		key, value, has := []byte(nil), line, false
		if len(r.parse.KeyDelimiter) > 0 {
			if key, value, has = bytes.Cut(line, r.parse.KeyDelimiter); !has {
				key, value = nil, line
			}
		}
		return r.record(key, value), false, nil
	}
	if len(bytes.TrimSpace(line)) == 0 {
		return rec, true, nil
	}
	parsed, err := format.ParseJSON(line)
	if err != nil {
		return rec, false, err
	}
	rec = parsed.Record
	rec.Topic = ""
	switch {
	case r.parse.Partition != AnyPartition:
		rec.Partition = r.parse.Partition
	case r.parse.KeepPartition && !parsed.HasPartition:
		return rec, false, errors.New(`the field "partition" is missing, which --keep-partition needs`)
	case r.parse.KeepPartition && int(rec.Partition) >= r.parse.Partitions:
		return rec, false, fmt.Errorf("the topic has no partition %d: it has %s", rec.Partition, output.Plural(int64(r.parse.Partitions), "partition"))
	}
	if rec.Key == nil {
		rec.Key = r.parse.Key
	}
	if len(r.parse.Headers) > 0 {
		rec.Headers = append(r.parse.Headers[:len(r.parse.Headers):len(r.parse.Headers)], rec.Headers...)
	}
	return rec, false, nil
}

// record applies the options to a key (nil: none in the input) and a value.
func (r *reader) record(key, value []byte) kgo.Record {
	if key == nil {
		key = r.parse.Key
	}
	if r.parse.EmptyIsNull {
		if len(key) == 0 {
			key = nil
		}
		if len(value) == 0 {
			value = nil
		}
	}
	rec := kgo.Record{Key: key, Value: value, Headers: r.parse.Headers}
	if r.parse.Partition != AnyPartition {
		rec.Partition = r.parse.Partition
	}
	return rec
}
