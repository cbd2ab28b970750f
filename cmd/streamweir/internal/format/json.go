package format

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/twmb/franz-go/pkg/kgo"
)

// base64Encoding marks a field whose bytes are not UTF-8 text and are written
// in standard base64.
const base64Encoding = "base64"

const noTimestamp = -1

// AppendJSON adds the record to dst as one JSON object and a newline. Bytes
// that are valid UTF-8 become a string; others become base64, and the field
// key_encoding, value_encoding or (in a header) encoding says so.
func AppendJSON(dst []byte, r *kgo.Record) []byte {
	dst = append(dst, `{"topic":`...)
	dst = appendString(dst, []byte(r.Topic))
	dst = append(dst, `,"partition":`...)
	dst = strconv.AppendInt(dst, int64(r.Partition), 10)
	dst = append(dst, `,"offset":`...)
	dst = strconv.AppendInt(dst, r.Offset, 10)
	dst = append(dst, `,"timestamp":`...)
	dst = strconv.AppendInt(dst, r.Timestamp.UnixMilli(), 10)
	switch r.Attrs.TimestampType() {
	case 0:
		dst = append(dst, `,"timestamp_type":"create"`...)
	case 1:
		dst = append(dst, `,"timestamp_type":"append"`...)
	}
	dst = appendField(dst, `,"key":`, `,"key_encoding":"base64"`, r.Key)
	dst = appendField(dst, `,"value":`, `,"value_encoding":"base64"`, r.Value)
	dst = append(dst, `,"headers":[`...)
	for i, h := range r.Headers {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendHeader(dst, h)
	}
	return append(dst, ']', '}', '\n')
}

// appendHeader writes a header. Its key is a string in the protocol, yet
// nothing stops a producer from putting other bytes there, so key_encoding may
// appear in a header too.
func appendHeader(dst []byte, h kgo.RecordHeader) []byte {
	dst = appendField(dst, `{"key":`, `,"key_encoding":"base64"`, nonNil([]byte(h.Key)))
	dst = appendField(dst, `,"value":`, `,"encoding":"base64"`, h.Value)
	return append(dst, '}')
}

func appendField(dst []byte, name, marker string, b []byte) []byte {
	dst = append(dst, name...)
	switch {
	case b == nil:
		return append(dst, "null"...)
	case utf8.Valid(b):
		return appendString(dst, b)
	}
	dst = append(dst, '"')
	dst = base64.StdEncoding.AppendEncode(dst, b)
	dst = append(dst, '"')
	return append(dst, marker...)
}

const hexDigits = "0123456789abcdef"

// appendString writes valid UTF-8 as a JSON string. Everything but control
// characters, quotes and backslashes stays as it is, which encoding/json does
// not do and a reader of logs prefers.
func appendString(dst, s []byte) []byte {
	dst = append(dst, '"')
	start := 0
	for i, c := range s {
		if c >= 0x20 && c != '"' && c != '\\' && c != 0x7f {
			continue
		}
		dst = append(dst, s[start:i]...)
		start = i + 1
		switch c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\n':
			dst = append(dst, '\\', 'n')
		case '\r':
			dst = append(dst, '\\', 'r')
		case '\t':
			dst = append(dst, '\\', 't')
		default:
			dst = append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		}
	}
	dst = append(dst, s[start:]...)
	return append(dst, '"')
}

// jsonRecord is the shape of one line. Pointers tell what is absent.
type jsonRecord struct {
	Topic         *string         `json:"topic"`
	Partition     *int32          `json:"partition"`
	Offset        *int64          `json:"offset"`
	Timestamp     *int64          `json:"timestamp"`
	TimestampType *string         `json:"timestamp_type"`
	Key           json.RawMessage `json:"key"`
	KeyEncoding   string          `json:"key_encoding"`
	Value         json.RawMessage `json:"value"`
	ValueEncoding string          `json:"value_encoding"`
	Headers       []jsonHeader    `json:"headers"`
}

type jsonHeader struct {
	Key         json.RawMessage `json:"key"`
	KeyEncoding string          `json:"key_encoding"`
	Value       json.RawMessage `json:"value"`
	Encoding    string          `json:"encoding"`
}

// JSONRecord is what one line says. HasPartition tells a written partition 0
// from an absent one. A line without a timestamp leaves Record.Timestamp zero.
type JSONRecord struct {
	Record       kgo.Record
	HasPartition bool
}

// ParseJSON reads one line in the shape that AppendJSON writes. The key may be
// left out (null); the value may not, since a forgotten value would delete data
// in a compacted topic. A key or value that is neither a string nor null stands
// for its own JSON text. Unknown fields are errors.
func ParseJSON(line []byte) (JSONRecord, error) {
	if !utf8.Valid(line) {
		return JSONRecord{}, errors.New("it is not valid UTF-8")
	}
	dec := json.NewDecoder(bytes.NewReader(line))
	dec.DisallowUnknownFields()
	var in jsonRecord
	if err := dec.Decode(&in); err != nil {
		return JSONRecord{}, explainJSON(err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return JSONRecord{}, errors.New("something follows the JSON object; write one object per line")
	}
	return in.record()
}

func (in *jsonRecord) record() (JSONRecord, error) {
	var out JSONRecord
	var err error
	if in.Value == nil {
		return out, errors.New(`the field "value" is missing; write "value":null for a record without one`)
	}
	if out.Record.Key, err = fieldBytes("key", in.Key, in.KeyEncoding); err != nil {
		return out, err
	}
	if out.Record.Value, err = fieldBytes("value", in.Value, in.ValueEncoding); err != nil {
		return out, err
	}
	if in.Topic != nil {
		out.Record.Topic = *in.Topic
	}
	if in.Partition != nil {
		if *in.Partition < 0 {
			return out, fmt.Errorf("partition %d is negative", *in.Partition)
		}
		out.Record.Partition, out.HasPartition = *in.Partition, true
	}
	// -1 is Kafka's way to write that a record has no timestamp.
	if in.Timestamp != nil && *in.Timestamp != noTimestamp {
		if *in.Timestamp < 0 {
			return out, fmt.Errorf("timestamp %d is negative", *in.Timestamp)
		}
		out.Record.Timestamp = time.UnixMilli(*in.Timestamp)
	}
	for i, h := range in.Headers {
		header, err := h.header()
		if err != nil {
			return out, fmt.Errorf("header %d: %w", i+1, err)
		}
		out.Record.Headers = append(out.Record.Headers, header)
	}
	return out, nil
}

func (h *jsonHeader) header() (kgo.RecordHeader, error) {
	key, err := fieldBytes("key", h.Key, h.KeyEncoding)
	if err != nil {
		return kgo.RecordHeader{}, err
	}
	if key == nil {
		return kgo.RecordHeader{}, errors.New(`the field "key" is missing`)
	}
	value, err := fieldBytes("value", h.Value, h.Encoding)
	return kgo.RecordHeader{Key: string(key), Value: value}, err
}

func fieldBytes(name string, raw json.RawMessage, encoding string) ([]byte, error) {
	if encoding != "" && encoding != base64Encoding {
		return nil, fmt.Errorf("%s: the encoding %q is not known; there is only %q", name, encoding, base64Encoding)
	}
	if len(raw) == 0 || string(raw) == "null" {
		return nil, nil
	}
	if raw[0] != '"' {
		if encoding != "" {
			return nil, fmt.Errorf("%s: base64 must be a string", name)
		}
		return bytes.Clone(raw), nil
	}
	if encoding == base64Encoding {
		var b []byte
		if err := json.Unmarshal(raw, &b); err != nil {
			return nil, fmt.Errorf("%s: not standard base64: %w", name, err)
		}
		return nonNil(b), nil
	}
	// encoding/json replaces half a surrogate pair by U+FFFD without a word.
	if hasLoneSurrogate(raw) {
		return nil, fmt.Errorf("%s: a \\u escape is half of a surrogate pair, which no UTF-8 text can hold", name)
	}
	var s string
	if err := json.Unmarshal(raw, &s); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return []byte(s), nil
}

// nonNil keeps an empty field apart from a null one.
func nonNil(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

// hasLoneSurrogate looks for a \uD800-\uDFFF escape that is not one of a pair
// in a valid JSON string.
func hasLoneSurrogate(raw []byte) bool {
	for i := 0; i+1 < len(raw); i++ {
		if raw[i] != '\\' {
			continue
		}
		unit := escapedUnit(raw[i:])
		switch {
		case unit < 0: // a short escape
			i++
		case unit >= 0xdc00 && unit <= 0xdfff:
			return true
		case unit >= 0xd800 && unit <= 0xdbff:
			low := escapedUnit(raw[i+6:])
			if low < 0xdc00 || low > 0xdfff {
				return true
			}
			i += 11
		default:
			i += 5
		}
	}
	return false
}

// escapedUnit returns the UTF-16 unit of the \uNNNN escape at the start of b,
// or -1 where there is none.
func escapedUnit(b []byte) int {
	if len(b) < 6 || b[0] != '\\' || b[1] != 'u' {
		return -1
	}
	unit := 0
	for _, c := range b[2:6] {
		d := hexDigit(c)
		if d < 0 {
			return -1
		}
		unit = unit<<4 | d
	}
	return unit
}

func explainJSON(err error) error {
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	switch {
	case errors.As(err, &syntax):
		return fmt.Errorf("it is not valid JSON at byte %d: %w", syntax.Offset, err)
	case errors.As(err, &kind) && kind.Field == "":
		return fmt.Errorf("it must be a JSON object, not a %s", kind.Value)
	case errors.As(err, &kind):
		return fmt.Errorf("the field %q cannot be a %s", kind.Field, kind.Value)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return errors.New("the JSON object is not complete; write one object per line")
	}
	return fmt.Errorf("it does not have the shape of a record: %w", err)
}
