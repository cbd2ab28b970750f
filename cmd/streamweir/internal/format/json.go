package format

import (
	"encoding/base64"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
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

// AppendString adds text to dst as a JSON string. What is not UTF-8 in it is
// replaced, as encoding/json does.
func AppendString(dst []byte, s string) []byte {
	return appendString(dst, []byte(strings.ToValidUTF8(s, "\ufffd")))
}

// AppendValue adds the field "value" to dst, after a comma, in the way of
// AppendJSON; null is an empty value here.
func AppendValue(dst, value []byte) []byte {
	return appendField(dst, `,"value":`, `,"value_encoding":"base64"`, nonNil(value))
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

// JSONRecord is what one line says. HasPartition tells a written partition 0
// from an absent one. A line without a timestamp leaves Record.Timestamp zero.
type JSONRecord struct {
	Record       kgo.Record
	HasPartition bool
}

// field is a key or a value as it is written, with its encoding.
type field struct {
	raw      []byte
	encoding []byte
}

// ParseJSON reads one line in the shape that AppendJSON writes. The key may be
// left out (null); the value may not, since a forgotten value would delete data
// in a compacted topic. A key or value that is neither a string nor null stands
// for its own JSON text. Unknown fields are errors. The record may share the
// line's memory.
func ParseJSON(line []byte) (JSONRecord, error) {
	var out JSONRecord
	if err := checkLine(line); err != nil {
		return out, err
	}
	in, err := openObject(line)
	if err != nil {
		return out, err
	}
	var key, value field
	for {
		rawName, raw, ok := in.next()
		if !ok {
			break
		}
		name, err := text(rawName)
		if err != nil {
			return out, err
		}
		if err := out.set(name, raw, &key, &value); err != nil {
			return out, err
		}
	}
	if value.raw == nil {
		return out, errors.New(`the field "value" is missing; write "value":null for a record without one`)
	}
	if out.Record.Key, err = key.bytes("key"); err != nil {
		return out, err
	}
	out.Record.Value, err = value.bytes("value")
	return out, err
}

// set takes one field.
func (out *JSONRecord) set(name, raw []byte, key, value *field) (err error) {
	var n int64
	switch string(name) {
	case "key":
		key.raw = raw
	case "key_encoding":
		key.encoding, err = textField(name, raw)
	case "value":
		value.raw = raw
	case "value_encoding":
		value.encoding, err = textField(name, raw)
	case "topic":
		var topic []byte
		topic, err = textField(name, raw)
		out.Record.Topic = string(topic)
	case "timestamp_type", "stream", "shard", "sequence_number":
		_, err = textField(name, raw)
	case "offset":
		_, _, err = wholeField(name, raw, math.MinInt64, math.MaxInt64)
	case "partition":
		n, out.HasPartition, err = wholeField(name, raw, 0, math.MaxInt32)
		out.Record.Partition = int32(n)
	case "timestamp":
		var has bool
		// -1 is Kafka's way to write that a record has no timestamp.
		if n, has, err = wholeField(name, raw, noTimestamp, math.MaxInt64); has && n != noTimestamp {
			out.Record.Timestamp = time.UnixMilli(n)
		}
	case "headers":
		out.Record.Headers, err = parseHeaders(raw)
	default:
		err = fmt.Errorf("the field %q is not known", name)
	}
	return err
}

func isNull(raw []byte) bool { return len(raw) == 4 && raw[0] == 'n' }

// textField reads a field that must be a string or null.
func textField(name, raw []byte) ([]byte, error) {
	if isNull(raw) {
		return nil, nil
	}
	if raw[0] != '"' {
		return nil, fmt.Errorf("the field %q must be a string, not %s", name, shorten(raw))
	}
	b, err := text(raw)
	if err != nil {
		return nil, fmt.Errorf("the field %q: %w", name, err)
	}
	return b, nil
}

// wholeField reads a field that must be a whole number or null.
func wholeField(name, raw []byte, low, high int64) (n int64, has bool, err error) {
	if isNull(raw) {
		return 0, false, nil
	}
	n, err = strconv.ParseInt(string(raw), 10, 64)
	if err != nil {
		return 0, false, fmt.Errorf("the field %q must be a whole number, not %s", name, shorten(raw))
	}
	if n < low || n > high {
		return 0, false, fmt.Errorf("%s %d is outside %d to %d", name, n, low, high)
	}
	return n, true, nil
}

// shorten keeps an error message in one line.
func shorten(raw []byte) string {
	const most = 40
	if len(raw) > most {
		return string(raw[:most]) + "..."
	}
	return string(raw)
}

func parseHeaders(raw []byte) ([]kgo.RecordHeader, error) {
	if isNull(raw) {
		return nil, nil
	}
	if raw[0] != '[' {
		return nil, fmt.Errorf("the field \"headers\" must be an array, not %s", shorten(raw))
	}
	var headers []kgo.RecordHeader
	err := elements(raw, func(element []byte) error {
		h, err := parseHeader(element)
		if err != nil {
			return fmt.Errorf("header %d: %w", len(headers)+1, err)
		}
		headers = append(headers, h)
		return nil
	})
	return headers, err
}

func parseHeader(raw []byte) (kgo.RecordHeader, error) {
	in, err := openObject(raw)
	if err != nil {
		return kgo.RecordHeader{}, err
	}
	var key, value field
	for {
		rawName, raw, ok := in.next()
		if !ok {
			break
		}
		name, err := text(rawName)
		if err != nil {
			return kgo.RecordHeader{}, err
		}
		switch string(name) {
		case "key":
			key.raw = raw
		case "key_encoding":
			key.encoding, err = textField(name, raw)
		case "value":
			value.raw = raw
		case "encoding":
			value.encoding, err = textField(name, raw)
		default:
			err = fmt.Errorf("the field %q is not known", name)
		}
		if err != nil {
			return kgo.RecordHeader{}, err
		}
	}
	k, err := key.bytes("key")
	if err != nil {
		return kgo.RecordHeader{}, err
	}
	if k == nil {
		return kgo.RecordHeader{}, errors.New(`the field "key" is missing`)
	}
	v, err := value.bytes("value")
	return kgo.RecordHeader{Key: string(k), Value: v}, err
}

// bytes decodes a key or a value.
func (f field) bytes(name string) ([]byte, error) {
	if len(f.encoding) > 0 && string(f.encoding) != base64Encoding {
		return nil, fmt.Errorf("%s: the encoding %q is not known; there is only %q", name, f.encoding, base64Encoding)
	}
	if f.raw == nil || isNull(f.raw) {
		return nil, nil
	}
	if f.raw[0] != '"' {
		if len(f.encoding) > 0 {
			return nil, fmt.Errorf("%s: base64 must be a string", name)
		}
		return f.raw[:len(f.raw):len(f.raw)], nil
	}
	b, err := text(f.raw)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if len(f.encoding) == 0 {
		return nonNil(b), nil
	}
	decoded := make([]byte, 0, base64.StdEncoding.DecodedLen(len(b)))
	decoded, err = base64.StdEncoding.AppendDecode(decoded, b)
	if err != nil {
		return nil, fmt.Errorf("%s: not standard base64: %w", name, err)
	}
	return decoded, nil
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
