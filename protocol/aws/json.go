package aws

import (
	"encoding/base64"
	"fmt"
	"io"
	"math"
	"strconv"
	"unicode/utf8"

	// segmentio/asm: base64 several times as fast as the standard library's; jx
	// brings it along.
	fast "github.com/segmentio/asm/base64"

	// go-faster/jx: a fast pull parser and writer without reflection, made for
	// generated code like that of aws/kinesis.
	"github.com/go-faster/jx"
)

type jsonCodec struct{}

func (jsonCodec) ContentType() string { return ContentTypeJSON }

func (jsonCodec) Decode(body []byte, in Input) *Error {
	d := &jsonDecoder{d: jx.DecodeBytes(body)}
	if d.d.Next() != jx.Object {
		return errSyntax
	}
	in.Decode(d)
	if d.err == nil && d.d.Skip() != io.EOF {
		d.err = errSyntax // something follows the value
	}
	if d.err != nil {
		return asError(d.err)
	}
	return nil
}

func (jsonCodec) Append(dst []byte, out Output) []byte {
	var e jsonEncoder
	e.SetBytes(grown(dst, out))
	out.Encode(&e)
	return e.Bytes()
}

// jsonDecoder is the Decoder of JSON bodies.
type jsonDecoder struct {
	d      *jx.Decoder
	open   []jsonLevel
	err    error
	values values

	decoded []byte // a step of a blob on its way into the body
}

// jsonLevel is an object or array that has begun.
type jsonLevel struct {
	object jx.ObjIter
	array  jx.ArrIter
}

var jsonKinds = [...]kind{
	jx.String: kindString, jx.Number: kindNumber, jx.Bool: kindBool,
	jx.Array: kindList, jx.Object: kindObject,
}

// begin reports whether the next value is one of type t, or an error of that: a
// null is passed over.
func (d *jsonDecoder) begin(t jx.Type, want string) bool {
	if d.err != nil {
		return false
	}
	switch got := d.d.Next(); got {
	case t:
		return true
	case jx.Null:
		d.err = d.d.Null()
	case jx.Invalid:
		d.err = errSyntax
	default:
		d.err = mismatch(jsonKinds[got], want)
	}
	return false
}

func (d *jsonDecoder) Null() bool {
	if d.err != nil || d.d.Next() != jx.Null {
		return false
	}
	d.err = d.d.Null()
	return true
}

func (d *jsonDecoder) push() *jsonLevel {
	if len(d.open) == maxDepth {
		d.err = errSyntax
		return nil
	}
	d.open = append(d.open, jsonLevel{})
	return &d.open[len(d.open)-1]
}

func (d *jsonDecoder) Object() bool {
	if !d.begin(jx.Object, wantMap) {
		return false
	}
	if l := d.push(); l != nil {
		l.object, d.err = d.d.ObjIter()
	}
	return d.err == nil
}

func (d *jsonDecoder) Field() ([]byte, bool) {
	if d.err != nil {
		return nil, false
	}
	l := &d.open[len(d.open)-1].object
	if l.Next() {
		key := l.Key()
		if !d.values.entry() || !utf8.Valid(key) {
			d.err = errSyntax
			return nil, false
		}
		return key, true
	}
	d.err = l.Err()
	d.open = d.open[:len(d.open)-1]
	return nil, false
}

func (d *jsonDecoder) List() bool {
	if !d.begin(jx.Array, wantList) {
		return false
	}
	if l := d.push(); l != nil {
		l.array, d.err = d.d.ArrIter()
	}
	return d.err == nil
}

func (d *jsonDecoder) Elem() bool {
	if d.err != nil {
		return false
	}
	l := &d.open[len(d.open)-1].array
	if l.Next() {
		if !d.values.entry() {
			d.err = errSyntax
		}
		return d.err == nil
	}
	d.err = l.Err()
	d.open = d.open[:len(d.open)-1]
	return false
}

func (d *jsonDecoder) text(want string) ([]byte, bool) {
	if !d.begin(jx.String, want) {
		return nil, false
	}
	var b []byte
	b, d.err = d.d.StrBytes()
	return b, d.err == nil
}

func (d *jsonDecoder) String() *string {
	b, ok := d.text(wantString)
	if !ok {
		return nil
	}
	if !utf8.Valid(b) {
		d.err = errSyntax
		return nil
	}
	return d.values.string(b)
}

// number reads a number as a float, and as a whole number where it is one. A
// fraction is cut off, as AWS does.
func (d *jsonDecoder) number(want string) (whole int64, real float64, ok bool) {
	if !d.begin(jx.Number, want) {
		return 0, 0, false
	}
	n, err := d.d.Num()
	if err != nil {
		d.err = err
		return 0, 0, false
	}
	if whole, err = strconv.ParseInt(string(n), 10, 64); err == nil {
		return whole, float64(whole), true
	}
	// Beyond the range of a float it is infinite, which is good enough here.
	real, _ = strconv.ParseFloat(string(n), 64)
	return truncate(real), real, true
}

// truncate returns the whole part of f, as near as an int64 comes to it.
func truncate(f float64) int64 {
	switch {
	case f != f:
		return 0
	case f >= math.MaxInt64:
		return math.MaxInt64
	case f <= math.MinInt64:
		return math.MinInt64
	}
	return int64(f)
}

// clamp brings n into the range of an int32.
func clamp(n int64) int32 { return int32(min(max(n, math.MinInt32), math.MaxInt32)) }

func (d *jsonDecoder) Int32() *int32 {
	n, _, ok := d.number(wantInteger)
	if !ok {
		return nil
	}
	v := clamp(n)
	return &v
}

func (d *jsonDecoder) Int64() *int64 {
	n, _, ok := d.number(wantLong)
	if !ok {
		return nil
	}
	return &n
}

func (d *jsonDecoder) Bool() *bool {
	if !d.begin(jx.Bool, wantBoolean) {
		return nil
	}
	v, err := d.d.Bool()
	if err != nil {
		d.err = err
		return nil
	}
	return &v
}

func (d *jsonDecoder) Time() *Time {
	_, seconds, ok := d.number(wantTime)
	if !ok {
		return nil
	}
	t := Time(truncate(math.Round(seconds * 1000)))
	return &t
}

func (d *jsonDecoder) Blob() []byte {
	b, ok := d.text(wantBlob)
	switch {
	case !ok:
		return nil
	case len(b) == 0:
		return []byte{}
	}
	n, from := d.decodeBase64(b)
	if from < len(b) {
		d.err = badBase64(b, n, from)
		return nil
	}
	return b[:n:n]
}

func (d *jsonDecoder) Skip() {
	if d.err == nil {
		d.err = d.d.Skip()
	}
}

// base64Step is how many characters are decoded at a time: what fits the first
// cache, since they go through a buffer of their own.
const base64Step = 4096

// decodeBase64 decodes b in place: n bytes, up to the character at from. All is
// well if that is the end; the rest of the text is unchanged.
func (d *jsonDecoder) decodeBase64(b []byte) (n, from int) {
	if len(b)%4 != 0 {
		return 0, 0
	}
	if d.decoded == nil {
		d.decoded = make([]byte, base64Step/4*3)
	}
	// The last four characters may be padded, and need the strict decoder.
	last := max(0, len(b)-4)
	for from < len(b) {
		to, decode := min(from+base64Step, last), fast.StdEncoding.Decode
		if from == last {
			to, decode = len(b), strict.Decode
		}
		m, err := decode(d.decoded, b[from:to])
		// Fewer bytes mean padding, which only the end may have, or line breaks,
		// which decoders pass over and AWS does not.
		short := (to-from)/4*3 - m
		if err != nil || short > 2 || short > 0 && (to != len(b) || b[to-1] != '=') {
			break
		}
		n += copy(b[n:], d.decoded[:m])
		from = to
	}
	return n, from
}

var strict = base64.StdEncoding.Strict()

// badBase64 says what is wrong with b, of which decodeBase64 took n bytes and the
// characters before from.
func badBase64(b []byte, n, from int) *Error {
	text := base64.StdEncoding.EncodeToString(b[:n]) + string(b[from:])
	if !utf8.ValidString(text) {
		return errSyntax
	}
	why := ""
	if len(b)%4 != 0 {
		why = fmt.Sprintf("Base64 encoded length is expected a multiple of 4 bytes but found: %d", len(b))
	}
	for i, c := range text {
		if why != "" {
			break
		}
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '+' || c == '/'
		padding := c == '=' && (i == len(text)-1 || i == len(text)-2 && text[i+1] == '=')
		if !letter && !padding {
			why = fmt.Sprintf("Invalid Base64 character: '%c'", c)
		}
	}
	if why == "" {
		why = "Invalid last non-pad Base64 character dectected"
	}
	return &Error{Type: Serialization, Message: fmt.Sprintf("'%s' can not be converted to a Blob: %s", shorten(text), why)}
}

// jsonEncoder is the Encoder of JSON bodies.
type jsonEncoder struct{ jx.Encoder }

func (e *jsonEncoder) BeginObject()      { e.ObjStart() }
func (e *jsonEncoder) Field(name string) { e.FieldStart(name) }
func (e *jsonEncoder) EndObject()        { e.ObjEnd() }
func (e *jsonEncoder) BeginList(int)     { e.ArrStart() }
func (e *jsonEncoder) Elem()             {}
func (e *jsonEncoder) EndList()          { e.ArrEnd() }
func (e *jsonEncoder) BeginMap(int)      { e.ObjStart() }
func (e *jsonEncoder) Key(key string)    { e.FieldStart(key) }
func (e *jsonEncoder) String(s string)   { e.Str(s) }
func (e *jsonEncoder) Int(n int64)       { e.Int64(n) }
func (e *jsonEncoder) Bool(v bool)       { e.Encoder.Bool(v) }

func (e *jsonEncoder) Blob(b []byte) {
	if b == nil { // for which jx would write null
		b = []byte{}
	}
	e.Base64(b)
}

func (e *jsonEncoder) Time(t Time) {
	var buf [24]byte
	b := strconv.AppendInt(buf[:0], int64(t)/1000, 10)
	ms := int64(t) % 1000
	if ms < 0 {
		if ms = -ms; int64(t) > -1000 {
			b = append(buf[:0], '-', '0')
		}
	}
	e.Raw(append(b, '.', byte('0'+ms/100), byte('0'+ms/10%10), byte('0'+ms%10)))
}
