package aws

import (
	"encoding/binary"
	"math"
	"unicode/utf8"
)

// The CBOR of AWS (application/x-amz-cbor-1.1) is RFC 8949's with two rules of its
// own: structures are maps with text keys, and a timestamp is a whole number of
// milliseconds, with tag 1 where AWS's SDK for Java writes it. That SDK writes
// maps and lists without a length and cuts long texts into chunks.
//
// No library reads CBOR value by value, which is what generated code needs to do
// without reflection; a fuzz test holds this decoder to fxamacker/cbor's view of
// what is well-formed.

type cborCodec struct{}

func (cborCodec) ContentType() string { return ContentTypeCBOR }

func (cborCodec) Decode(body []byte, in Input) *Error {
	d := &cborDecoder{b: body}
	if k, ok := d.peek(); !ok || k != kindObject {
		return errSyntax
	}
	in.Decode(d)
	if d.err == nil && len(d.b) > 0 {
		d.err = errSyntax // something follows the value
	}
	if d.err != nil {
		return asError(d.err)
	}
	return nil
}

func (cborCodec) Append(dst []byte, out Output) []byte {
	e := cborEncoder{grown(dst, out)}
	out.Encode(&e)
	return e.b
}

// Major types.
const (
	cborUint = iota
	cborNegative
	cborBytes
	cborText
	cborArray
	cborMap
	cborTag
	cborOther
)

// Initial bytes and values of their low bits.
const (
	cborFalse      = 20
	cborTrue       = 21
	cborNull       = 22
	cborUndefined  = 23
	cborIndefinite = 31
	cborBreak      = 0xff
	cborTime       = 1 // the tag of a time
)

// cborDecoder is the Decoder of CBOR bodies.
type cborDecoder struct {
	b      []byte // what is left
	open   []cborLevel
	err    error
	values values
}

// cborLevel is a map or array that has begun: the entries that are left of it, or
// that it goes on until a break.
type cborLevel struct {
	left    uint64
	endless bool
}

// head is the beginning of a value: its major type, the low bits of its first byte
// and its argument.
type head struct {
	major, low byte
	arg        uint64
}

// next reads a head, which is not a break.
func (d *cborDecoder) next() (h head, ok bool) {
	if d.err != nil {
		return h, false
	}
	if len(d.b) == 0 {
		return h, d.bad()
	}
	h.major, h.low = d.b[0]>>5, d.b[0]&31
	size := 0
	switch {
	case h.low < 24:
		h.arg = uint64(h.low)
	case h.low < 28:
		size = 1 << (h.low - 24)
	case h.low != cborIndefinite || h.major < cborBytes || h.major > cborMap:
		return h, d.bad()
	}
	if len(d.b) < 1+size {
		return h, d.bad()
	}
	for _, c := range d.b[1 : 1+size] {
		h.arg = h.arg<<8 | uint64(c)
	}
	d.b = d.b[1+size:]
	if h.major == cborOther && h.low == 24 && h.arg < 32 {
		return h, d.bad() // simple values below 32 have no second byte
	}
	return h, true
}

func (d *cborDecoder) bad() bool {
	d.err = errSyntax
	return false
}

// peek passes over tags and says what stands next.
func (d *cborDecoder) peek() (kind, bool) {
	for tags := 0; ; tags++ {
		if d.err != nil || len(d.b) == 0 || tags > maxDepth {
			return 0, d.bad()
		}
		major, low := d.b[0]>>5, d.b[0]&31
		switch major {
		case cborTag:
			if _, ok := d.next(); !ok {
				return 0, false
			}
			continue
		case cborUint, cborNegative:
			return kindNumber, true
		case cborBytes:
			return kindBytes, true
		case cborText:
			return kindString, true
		case cborArray:
			return kindList, true
		case cborMap:
			return kindObject, true
		}
		switch low {
		case cborFalse, cborTrue:
			return kindBool, true
		case cborNull, cborUndefined:
			return kindNull, true
		case 25, 26, 27:
			return kindNumber, true
		}
		return 0, d.bad()
	}
}

// begin reads the head of a value of kind k; of another kind, it is an error. A
// null is passed over.
func (d *cborDecoder) begin(k kind, want string) (head, bool) {
	if d.err != nil {
		return head{}, false
	}
	got, ok := d.peek()
	if !ok {
		return head{}, false
	}
	if got != k && got != kindNull {
		d.err = mismatch(got, want)
		return head{}, false
	}
	h, ok := d.next()
	return h, ok && got == k
}

func (d *cborDecoder) enter(h head) bool {
	if len(d.open) == maxDepth {
		return d.bad()
	}
	d.open = append(d.open, cborLevel{left: h.arg, endless: h.low == cborIndefinite})
	return true
}

// more reports whether the innermost map or array has another entry, and ends it
// otherwise.
func (d *cborDecoder) more() bool {
	if d.err != nil {
		return false
	}
	l := &d.open[len(d.open)-1]
	if l.endless {
		if len(d.b) == 0 {
			return d.bad()
		}
		if d.b[0] != cborBreak {
			return true
		}
		d.b = d.b[1:]
	} else if l.left > 0 {
		l.left--
		return true
	}
	d.open = d.open[:len(d.open)-1]
	return false
}

func (d *cborDecoder) Null() bool {
	if k, ok := d.peek(); !ok || k != kindNull {
		return false
	}
	d.next()
	return true
}

func (d *cborDecoder) Object() bool {
	h, ok := d.begin(kindObject, wantMap)
	return ok && d.enter(h)
}

func (d *cborDecoder) Field() ([]byte, bool) {
	if !d.Elem() {
		return nil, false
	}
	if k, ok := d.peek(); !ok || k != kindString {
		return nil, d.bad()
	}
	h, ok := d.next()
	if !ok {
		return nil, false
	}
	name := d.text(h)
	return name, d.err == nil
}

func (d *cborDecoder) List() bool {
	h, ok := d.begin(kindList, wantList)
	return ok && d.enter(h)
}

func (d *cborDecoder) Elem() bool { return d.more() && (d.values.entry() || d.bad()) }

// take returns the next n bytes.
func (d *cborDecoder) take(n uint64) []byte {
	if n > uint64(len(d.b)) {
		d.bad()
		return nil
	}
	b := d.b[:n:n]
	d.b = d.b[n:]
	return b
}

// payload returns the bytes of a text or byte string whose head was read. Chunks
// are put together.
func (d *cborDecoder) payload(h head) []byte {
	if h.low != cborIndefinite {
		return d.take(h.arg)
	}
	whole := []byte{}
	for d.err == nil {
		if len(d.b) > 0 && d.b[0] == cborBreak {
			d.b = d.b[1:]
			return whole
		}
		chunk, ok := d.next()
		if ok && (chunk.major != h.major || chunk.low == cborIndefinite) {
			ok = d.bad()
		}
		if !ok {
			break
		}
		part := d.take(chunk.arg)
		if h.major == cborText && !utf8.Valid(part) { // each chunk is a text of its own
			d.bad()
		}
		whole = append(whole, part...)
	}
	return nil
}

func (d *cborDecoder) text(h head) []byte {
	b := d.payload(h)
	if d.err == nil && !utf8.Valid(b) {
		d.bad()
	}
	return b
}

func (d *cborDecoder) String() *string {
	h, ok := d.begin(kindString, wantString)
	if !ok {
		return nil
	}
	b := d.text(h)
	if d.err != nil {
		return nil
	}
	return d.values.string(b)
}

func (d *cborDecoder) Blob() []byte {
	h, ok := d.begin(kindBytes, wantBlob)
	if !ok {
		return nil
	}
	b := d.payload(h)
	if d.err != nil {
		return nil
	}
	return b
}

// number reads a number; a fraction is cut off.
func (d *cborDecoder) number(want string) (int64, bool) {
	h, ok := d.begin(kindNumber, want)
	if !ok {
		return 0, false
	}
	switch {
	case h.major == cborUint:
		return int64(min(h.arg, math.MaxInt64)), true
	case h.major == cborNegative:
		return -1 - int64(min(h.arg, math.MaxInt64)), true
	case h.low == 25:
		return truncate(halfFloat(uint16(h.arg))), true
	case h.low == 26:
		return truncate(float64(math.Float32frombits(uint32(h.arg)))), true
	}
	return truncate(math.Float64frombits(h.arg)), true
}

// halfFloat is the value of an IEEE 754 half-precision number.
func halfFloat(bits uint16) float64 {
	exp, frac := int(bits>>10&31), float64(bits&1023)
	var v float64
	switch {
	case exp == 0:
		v = math.Ldexp(frac, -24)
	case exp < 31:
		v = math.Ldexp(frac+1024, exp-25)
	case frac == 0:
		v = math.Inf(1)
	default:
		v = math.NaN()
	}
	if bits>>15 == 1 {
		return -v
	}
	return v
}

func (d *cborDecoder) Int32() *int32 {
	n, ok := d.number(wantInteger)
	if !ok {
		return nil
	}
	v := clamp(n)
	return &v
}

func (d *cborDecoder) Int64() *int64 {
	n, ok := d.number(wantLong)
	if !ok {
		return nil
	}
	return &n
}

func (d *cborDecoder) Bool() *bool {
	h, ok := d.begin(kindBool, wantBoolean)
	if !ok {
		return nil
	}
	v := h.low == cborTrue
	return &v
}

func (d *cborDecoder) Time() *Time {
	n, ok := d.number(wantTime)
	if !ok {
		return nil
	}
	t := Time(n)
	return &t
}

func (d *cborDecoder) Skip() {
	h, ok := d.next()
	for tags := 0; ok && h.major == cborTag; tags++ {
		if tags > maxDepth {
			d.bad()
		}
		h, ok = d.next()
	}
	if !ok {
		return
	}
	switch h.major {
	case cborBytes:
		d.payload(h)
	case cborText:
		d.text(h)
	case cborArray:
		if d.enter(h) {
			for d.more() {
				d.Skip()
			}
		}
	case cborMap:
		if d.enter(h) {
			for d.more() {
				d.Skip()
				d.Skip()
			}
		}
	}
}

// cborEncoder is the Encoder of CBOR bodies.
type cborEncoder struct{ b []byte }

func (e *cborEncoder) head(major byte, arg uint64) {
	major <<= 5
	switch {
	case arg < 24:
		e.b = append(e.b, major|byte(arg))
	case arg <= math.MaxUint8:
		e.b = append(e.b, major|24, byte(arg))
	case arg <= math.MaxUint16:
		e.b = binary.BigEndian.AppendUint16(append(e.b, major|25), uint16(arg))
	case arg <= math.MaxUint32:
		e.b = binary.BigEndian.AppendUint32(append(e.b, major|26), uint32(arg))
	default:
		e.b = binary.BigEndian.AppendUint64(append(e.b, major|27), arg)
	}
}

// A structure has no length: which members it has is only known at its end.
func (e *cborEncoder) BeginObject()      { e.b = append(e.b, cborMap<<5|cborIndefinite) }
func (e *cborEncoder) EndObject()        { e.b = append(e.b, cborBreak) }
func (e *cborEncoder) Field(name string) { e.String(name) }
func (e *cborEncoder) BeginList(n int)   { e.head(cborArray, uint64(n)) }
func (e *cborEncoder) Elem()             {}
func (e *cborEncoder) EndList()          {}
func (e *cborEncoder) BeginMap(int)      { e.BeginObject() }
func (e *cborEncoder) Key(key string)    { e.String(key) }

func (e *cborEncoder) String(s string) {
	e.head(cborText, uint64(len(s)))
	e.b = append(e.b, s...)
}

func (e *cborEncoder) Blob(b []byte) {
	e.head(cborBytes, uint64(len(b)))
	e.b = append(e.b, b...)
}

func (e *cborEncoder) Int(n int64) {
	if n < 0 {
		e.head(cborNegative, uint64(-1-n))
		return
	}
	e.head(cborUint, uint64(n))
}

func (e *cborEncoder) Bool(v bool) {
	if v {
		e.head(cborOther, cborTrue)
		return
	}
	e.head(cborOther, cborFalse)
}

func (e *cborEncoder) Time(t Time) {
	e.head(cborTag, cborTime)
	e.Int(int64(t))
}
