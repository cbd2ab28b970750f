package kafka

import (
	"encoding/binary"
	"fmt"
	"math"
)

// kmsg decodes by the counts that it reads. It checks that an array has no more
// elements than there are bytes left, but an element takes up to 150 bytes of
// memory where a byte stands for it; and it counts through as many tagged
// fields as a request claims, which can be four thousand million, whether or
// not any bytes are left. So a request is first walked here: nothing is
// decoded, only lengths and counts are followed through requestSchemas.

// MaxRequestElements is how many array elements and tagged fields one request
// may have, all its arrays together. A request for every partition of a large cluster has some
// hundred thousand.
const MaxRequestElements = 1_000_000

type requestSchema struct {
	flexible int16 // the first flexible version
	fields   []schemaField
}

type schemaKind uint8

const (
	fixed schemaKind = iota // size bytes
	text                    // a string
	blob                    // bytes or records
	group                   // fields
)

type schemaField struct {
	min, max int16 // the versions that have it
	kind     schemaKind
	array    bool
	nullable bool // it can be null, from version nullFrom on
	tagged   bool // it stands among the tagged fields
	tag      uint32
	nullFrom int16
	size     uint8
	fields   []schemaField
}

// optional says that the field is a group with a byte before it that says whether it
// is there. All others are null by their length.
func (f *schemaField) optional() bool { return f.nullable && f.kind == group && !f.array }

func (f *schemaField) in(version int16) bool { return f.min <= version && version <= f.max }

// maxString is the longest string (bytes), as in Apache Kafka. Flexible versions
// could write longer ones; but strings go from requests into records of
// __consumer_offsets and __transaction_state, which have 16 bits for a length.
const maxString = math.MaxInt16

// Measured is a request's body whose lengths and counts have been checked, and how
// much there is in it: that says what it takes decoded, and often its response.
type Measured struct {
	Elements int // of all its arrays
	Tags     int // its tagged fields
	Plain    int // its bytes, those of records and other opaque bytes left out

	header RequestHeader
	body   []byte
}

// Measure checks the lengths and counts of a request's body. What it accepts
// kmsg decodes in time and memory in proportion to the body; kmsg may still
// refuse it. The error wraps ErrMalformedRequest.
func Measure(h RequestHeader, body []byte) (Measured, error) {
	k, version := h.Key, h.Version
	s, ok := requestSchemas[k]
	if !ok {
		return Measured{}, &UnsupportedError{Key: k, Version: version}
	}
	w := walker{b: body, version: version, flexible: version >= s.flexible}
	w.group(s.fields)
	switch {
	case w.tooMany:
		return Measured{}, fmt.Errorf("%w: %v version %d has more than %d array elements and tagged fields", ErrMalformedRequest, k, version, MaxRequestElements)
	case w.bad:
		return Measured{}, fmt.Errorf("%w: %v version %d: a length or count in it is more than its bytes, or null where that cannot be", ErrMalformedRequest, k, version)
	}
	return Measured{
		Elements: w.elements - w.tagged, Tags: w.tagged, Plain: len(body) - w.opaque,
		header: h, body: body,
	}, nil
}

// A walker passes over a message. Once something does not fit, bad is set, no
// bytes are left, and every further step does nothing.
type walker struct {
	b        []byte
	version  int16
	flexible bool
	bad      bool
	tooMany  bool
	elements int // and tagged fields
	tagged   int // of them
	opaque   int // bytes
}

func (w *walker) fail() {
	w.bad = true
	w.b = nil
}

func (w *walker) take(n int) []byte {
	if n < 0 || n > len(w.b) {
		w.fail()
		return nil
	}
	v := w.b[:n:n]
	w.b = w.b[n:]
	return v
}

func (w *walker) int16() int16 {
	b := w.take(2)
	if b == nil {
		return 0
	}
	return int16(binary.BigEndian.Uint16(b))
}

func (w *walker) int32() int32 {
	b := w.take(4)
	if b == nil {
		return 0
	}
	return int32(binary.BigEndian.Uint32(b))
}

func (w *walker) uvarint() uint32 {
	v, n := uvarint32(w.b)
	if n <= 0 {
		w.fail()
		return 0
	}
	w.b = w.b[n:]
	return v
}

// length reads the length of a string, of bytes or of an array; -1 for null.
func (w *walker) length(short bool) int {
	switch {
	case w.flexible:
		return int(int32(w.uvarint())) - 1
	case short:
		return int(w.int16())
	}
	return int(w.int32())
}

func (w *walker) group(fields []schemaField) {
	for i := range fields {
		f := &fields[i]
		if !f.tagged && f.in(w.version) {
			w.field(f)
		}
	}
	if !w.flexible || w.bad {
		return
	}
	for range w.tagCount() {
		tag := w.uvarint()
		value := w.take(int(w.uvarint()))
		if w.bad {
			return
		}
		for i := range fields {
			f := &fields[i]
			if f.tagged && f.tag == tag && f.in(w.version) {
				w.inside(value, f)
			}
		}
	}
}

// inside walks over the value of a tagged field, which has a size of its own.
func (w *walker) inside(value []byte, f *schemaField) {
	rest := w.b
	w.b = value
	w.field(f)
	w.b = rest
	if w.bad {
		w.fail()
	}
}

func (w *walker) field(f *schemaField) {
	if !f.array {
		w.value(f)
		return
	}
	n := w.length(false)
	if n <= 0 || w.bad {
		w.null(n, f.nullable, f)
		return
	}
	if n > len(w.b)/f.leastSize(w.version, w.flexible) {
		w.fail()
		return
	}
	if !w.count(n) {
		return
	}
	for range n {
		if w.value(f); w.bad {
			return
		}
	}
}

// null refuses a length n that says null where the schema does not. kmsg would read
// an array like that as empty, and go on; Apache Kafka ends the connection.
func (w *walker) null(n int, nullable bool, f *schemaField) {
	if n < 0 && (!nullable || w.version < f.nullFrom) {
		w.fail()
	}
}

func (w *walker) value(f *schemaField) {
	switch f.kind {
	case fixed:
		w.take(int(f.size))
	case group:
		if f.optional() {
			if present := w.take(1); w.bad || int8(present[0]) == -1 {
				return
			}
		}
		w.group(f.fields)
	default:
		n := w.length(f.kind == text)
		if f.kind == text && n > maxString {
			w.fail()
		}
		if f.kind == blob && n > 0 {
			w.opaque += n
		}
		if n > 0 {
			w.take(n)
		} else {
			w.null(n, f.nullable && !f.array, f) // the elements of an array are never null
		}
	}
}

// leastSize is the fewest bytes that an element can have; never 0.
func (f *schemaField) leastSize(version int16, flexible bool) int {
	switch f.kind {
	case fixed:
		return int(f.size)
	case group:
		n := 0
		for i := range f.fields {
			e := &f.fields[i]
			switch {
			case e.tagged || !e.in(version):
			case e.optional():
				n++
			case e.array && flexible:
				n++
			case e.array:
				n += 4
			default:
				n += e.leastSize(version, flexible)
			}
		}
		if flexible {
			n++ // the count of tagged fields
		}
		return max(n, 1)
	}
	switch {
	case flexible:
		return 1
	case f.kind == text:
		return 2
	}
	return 4
}

// tagCount reads how many tagged fields follow; each takes two bytes or more.
func (w *walker) tagCount() uint32 {
	n := w.uvarint()
	if uint64(n) > uint64(len(w.b)/2) {
		w.fail()
		return 0
	}
	if !w.count(int(n)) { // kmsg puts the unknown ones into a map
		return 0
	}
	w.tagged += int(n)
	return n
}

// count adds to the elements of the request, and says whether they are not too
// many.
func (w *walker) count(n int) bool {
	if w.elements += n; w.elements > MaxRequestElements {
		w.tooMany = true
		w.fail()
		return false
	}
	return true
}

// tags passes over tagged fields of which none is known.
func (w *walker) tags() {
	for range w.tagCount() {
		w.uvarint()
		if w.take(int(w.uvarint())); w.bad {
			return
		}
	}
}
