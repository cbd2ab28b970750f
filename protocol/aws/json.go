package aws

import (
	"encoding/base64"
	"fmt"
	"io"
	"math"
	"strconv"
	"unicode/utf8"

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
	e.SetBytes(dst)
	out.Encode(&e)
	return e.Bytes()
}

// jsonDecoder is the Decoder of JSON bodies.
type jsonDecoder struct {
	d      *jx.Decoder
	open   []jsonLevel
	err    error
	values values
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

func (d *jsonDecoder) text(want string) []byte {
	if !d.begin(jx.String, want) {
		return nil
	}
	b, err := d.d.StrBytes()
	if err == nil && !utf8.Valid(b) {
		err = errSyntax
	}
	if err != nil {
		d.err = err
		return nil
	}
	if b == nil {
		b = []byte{}
	}
	return b
}

func (d *jsonDecoder) String() *string {
	b := d.text(wantString)
	if b == nil {
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
	b := d.text(wantBlob)
	if b == nil {
		return nil
	}
	n, ok := decodeBase64(b)
	if !ok {
		d.err = badBase64(b, n)
		return nil
	}
	return b[:n:n]
}

func (d *jsonDecoder) Skip() {
	if d.err == nil {
		d.err = d.d.Skip()
	}
}

// base64Step is how many characters are decoded at a time.
const base64Step = 1024

// decodeBase64 decodes b in place and returns the length of what it held. If b is
// no base64, n is where it stopped instead: the text from there on is unchanged.
func decodeBase64(b []byte) (n int, ok bool) {
	if len(b)%4 != 0 {
		return 0, false
	}
	var tmp [base64Step / 4 * 3]byte
	for from := 0; from < len(b); from += base64Step {
		to := min(from+base64Step, len(b))
		m, err := base64.StdEncoding.Strict().Decode(tmp[:], b[from:to])
		// Fewer bytes mean padding, which only the end may have, or line breaks,
		// which the standard library passes over and AWS does not.
		short := (to-from)/4*3 - m
		if err != nil || short > 2 || short > 0 && (to != len(b) || b[to-1] != '=') {
			return from, false
		}
		n += copy(b[n:], tmp[:m])
	}
	return n, true
}

// badBase64 says what is wrong with b, of which the text from some index on is
// unchanged.
func badBase64(b []byte, from int) *Error {
	rest, why := b[from:], ""
	if len(b)%4 != 0 {
		why = fmt.Sprintf("Base64 encoded length is expected a multiple of 4 bytes but found: %d", len(b))
	}
	for i, c := range rest {
		if why != "" {
			break
		}
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '+' || c == '/'
		padding := c == '=' && (i == len(rest)-1 || i == len(rest)-2 && rest[i+1] == '=')
		if !letter && !padding {
			why = fmt.Sprintf("Invalid Base64 character: '%c'", rune(c))
		}
	}
	if why == "" {
		why = "Invalid last non-pad Base64 character dectected"
	}
	return &Error{Type: Serialization, Message: fmt.Sprintf("'%s' can not be converted to a Blob: %s", shorten(string(rest)), why)}
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
