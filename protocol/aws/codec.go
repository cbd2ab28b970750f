package aws

import (
	"errors"
	"slices"
	"strings"
)

// Input is the request of an action.
type Input interface {
	Decode(Decoder)
	Validate(*Validator)
}

// Output is the response of an action, or another value that is sent.
type Output interface {
	Encode(Encoder)
}

// Sized is an Output that knows about how many bytes it takes in JSON, so that a
// large one is not copied as its buffer grows.
type Sized interface {
	Output
	Size() int
}

// grown makes room for out behind dst, if it says how much it takes.
func grown(dst []byte, out Output) []byte {
	if s, ok := out.(Sized); ok {
		return slices.Grow(dst, s.Size())
	}
	return dst
}

// Codec is one encoding of bodies.
type Codec interface {
	// ContentType is the media type of bodies.
	ContentType() string
	// Decode reads a whole body into in. Blobs of in lie in body, which Decode
	// may change for that; everything else is copied. An error is what AWS answers.
	Decode(body []byte, in Input) *Error
	// Append appends the body of out to dst.
	Append(dst []byte, out Output) []byte
}

// The codecs.
var (
	JSON Codec = jsonCodec{}
	CBOR Codec = cborCodec{}
)

// Media types of bodies.
const (
	ContentTypeJSON = "application/x-amz-json-1.1"
	ContentTypeCBOR = "application/x-amz-cbor-1.1"
)

// CodecOf returns the codec of a Content-Type header, or nil.
func CodecOf(contentType string) Codec {
	media, _, _ := strings.Cut(contentType, ";")
	switch strings.ToLower(strings.TrimSpace(media)) {
	case ContentTypeJSON:
		return JSON
	case ContentTypeCBOR:
		return CBOR
	}
	return nil
}

// Decoder reads a body value by value. Its readers return nil for null, and after
// an error everything does; the codec reports that error at the end.
type Decoder interface {
	// Null passes over a null and reports that there was one.
	Null() bool
	// Object begins a structure or map: it is false for null. Field moves to its
	// next member and returns its name, which holds until the next call; it is
	// false at the end.
	Object() bool
	Field() ([]byte, bool)
	// List begins a list: it is false for null. Elem moves to its next element.
	List() bool
	Elem() bool

	String() *string
	Int32() *int32
	Int64() *int64
	Bool() *bool
	Time() *Time
	// Blob is not nil for a blob of no bytes. It lies in the body.
	Blob() []byte
	// Skip passes over a value of any kind.
	Skip()
}

// Encoder writes a body value by value.
type Encoder interface {
	BeginObject()
	// Field begins a member of a structure.
	Field(name string)
	EndObject()
	BeginList(n int)
	Elem()
	EndList()
	// BeginMap begins a map of n entries; Key begins each, EndObject ends it.
	BeginMap(n int)
	Key(key string)

	String(string)
	Int(int64)
	Bool(bool)
	Time(Time)
	Blob([]byte)
}

// maxDepth is how deep values may be nested in a body. AWS's deepest input has
// five levels; members that are skipped count as well.
const maxDepth = 100

// maxEntries is how many elements of lists and members of structures are read from
// one body: thousands of times what any request has, and so few that short ones
// ("{},{},{}") do not take much more memory than the body.
const maxEntries = 1 << 17

// errSyntax is a body that is not of its encoding at all. AWS says no more of it.
var errSyntax = &Error{Type: Serialization}

// kind is what stands in a body.
type kind int

const (
	kindNull kind = iota
	kindBool
	kindNumber
	kindString
	kindBytes
	kindList
	kindObject
)

// mismatch is the error for a value that is not of the kind that its member wants,
// in the words of AWS's own deserializer, which speaks of its Java classes.
func mismatch(got kind, want string) *Error {
	var text string
	scalar := want != "list" && want != "map"
	switch {
	case got == kindList:
		text = "Start of list found where not expected"
	case got == kindObject:
		text = "Start of structure or map found where not expected."
	case !scalar:
		text = "Expected " + want + " or null"
	default:
		text = javaClass[got] + " can not be converted to " + want
	}
	return &Error{Type: Serialization, Message: text}
}

var javaClass = [...]string{
	kindBool:   "class java.lang.Boolean",
	kindNumber: "class com.amazon.coral.value.json.numbers.TruncatingBigNumber",
	kindString: "class java.lang.String",
	kindBytes:  "class java.nio.HeapByteBuffer",
}

// What a member wants, as mismatch names it.
const (
	wantString  = "an String"
	wantInteger = "an Integer"
	wantLong    = "an Long"
	wantBoolean = "an Boolean"
	wantTime    = "milliseconds since epoch"
	wantBlob    = "a Blob"
	wantList    = "list"
	wantMap     = "map"
)

// asError makes an error of a decoder one that AWS answers.
func asError(err error) *Error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return errSyntax
}

// values keeps the small values of one body together, so that a request of many
// records does not cost an allocation for each.
type values struct {
	text    strings.Builder
	ptrs    []string
	entries int // so far
}

// entry counts an element or member; it is false for one too many.
func (v *values) entry() bool {
	v.entries++
	return v.entries <= maxEntries
}

const (
	smallText = 512  // a chunk of texts to begin with
	largeText = 4096 // and later; longer texts stand alone
)

// Text returns what s points to, and nothing for nil.
func Text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// string copies b.
func (v *values) string(b []byte) *string {
	var s string
	switch {
	case len(b) == 0:
	case len(b) > largeText/4:
		s = string(b)
	default:
		if v.text.Cap()-v.text.Len() < len(b) {
			size := smallText
			if v.text.Cap() > 0 {
				size = largeText
			}
			v.text = strings.Builder{}
			v.text.Grow(size)
		}
		from := v.text.Len()
		v.text.Write(b)
		s = v.text.String()[from:]
	}
	if len(v.ptrs) == cap(v.ptrs) {
		v.ptrs = make([]string, 0, min(256, max(8, 4*cap(v.ptrs))))
	}
	v.ptrs = append(v.ptrs, s)
	return &v.ptrs[len(v.ptrs)-1]
}
