// Package format writes records as text or JSON lines and reads the JSON lines
// back.
//
// A template is a format string in the manner of kcat:
//
//	%t topic            %p partition          %o offset
//	%k key              %K length of the key in bytes, -1 for null
//	%s value            %S length of the value in bytes, -1 for null
//	%R length of the value as four bytes, big-endian
//	%h headers, as name=value separated by commas
//	%T timestamp in milliseconds since 1970, UTC
//	%D timestamp as RFC 3339 in UTC
//	%% a percent sign
//	\n \r \t \0 \\ \xNN bytes
package format

import (
	"encoding/binary"
	"fmt"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/twmb/franz-go/pkg/kgo"
)

// nullText stands for a null key or value where the user asked to see nulls.
const nullText = "NULL"

// timestampLayout has the precision of a record's timestamp.
const timestampLayout = "2006-01-02T15:04:05.000Z"

// Template writes records. It is immutable, and safe for concurrent use.
type Template struct {
	parts []part
}

type part struct {
	verb    byte // 0: only the literal
	literal string
}

// TemplateOptions changes how verbs are written.
type TemplateOptions struct {
	ShowNull bool // write NULL for a null key or value instead of nothing
}

const verbs = "tpokKsSRhTD"

// Parse compiles a format string.
func Parse(layout string) (*Template, error) {
	t := &Template{}
	var literal []byte
	for i := 0; i < len(layout); {
		switch c := layout[i]; c {
		case '\\':
			b, n, err := escape(layout[i:])
			if err != nil {
				return nil, fmt.Errorf("format %q, byte %d: %w", layout, i+1, err)
			}
			literal = append(literal, b)
			i += n
		case '%':
			if i+1 == len(layout) {
				return nil, fmt.Errorf("format %q ends with a percent sign; write %%%% for a percent sign", layout)
			}
			verb := layout[i+1]
			if verb == '%' {
				literal = append(literal, '%')
				i += 2
				continue
			}
			if !isVerb(verb) {
				r, _ := utf8.DecodeRuneInString(layout[i+1:])
				return nil, fmt.Errorf("format %q, byte %d: %%%c is not known; there are %%t %%p %%o %%k %%K %%s %%S %%R %%h %%T %%D and %%%%", layout, i+1, r)
			}
			t.parts = append(t.parts, part{verb: verb, literal: string(literal)})
			literal = literal[:0]
			i += 2
		default:
			literal = append(literal, c)
			i++
		}
	}
	if len(literal) > 0 {
		t.parts = append(t.parts, part{literal: string(literal)})
	}
	return t, nil
}

func isVerb(c byte) bool {
	for i := range len(verbs) {
		if verbs[i] == c {
			return true
		}
	}
	return false
}

// Literal returns text as a format string that prints it unchanged.
func Literal(text string) string {
	var b []byte
	for i := range len(text) {
		switch c := text[i]; c {
		case '%':
			b = append(b, "%%"...)
		case '\\':
			b = append(b, `\\`...)
		default:
			b = append(b, c)
		}
	}
	return string(b)
}

// Fields are what a record has to be written.
type Fields struct {
	Topic     string
	Partition []byte
	Offset    []byte
	Key       []byte // nil: null
	Value     []byte // nil: null
	Headers   []kgo.RecordHeader
	Timestamp time.Time
}

// Append adds the record to dst.
func (t *Template) Append(dst []byte, r *kgo.Record, opts TemplateOptions) []byte {
	var numbers [2][20]byte // no allocation for each record
	return t.AppendFields(dst, &Fields{
		Topic:     r.Topic,
		Partition: strconv.AppendInt(numbers[0][:0], int64(r.Partition), 10),
		Offset:    strconv.AppendInt(numbers[1][:0], r.Offset, 10),
		Key:       r.Key, Value: r.Value, Headers: r.Headers, Timestamp: r.Timestamp,
	}, opts)
}

// AppendFields adds a record of any kind to dst.
func (t *Template) AppendFields(dst []byte, f *Fields, opts TemplateOptions) []byte {
	for _, p := range t.parts {
		dst = append(dst, p.literal...)
		switch p.verb {
		case 't':
			dst = append(dst, f.Topic...)
		case 'p':
			dst = append(dst, f.Partition...)
		case 'o':
			dst = append(dst, f.Offset...)
		case 'k':
			dst = appendBytes(dst, f.Key, opts)
		case 'K':
			dst = strconv.AppendInt(dst, int64(length(f.Key)), 10)
		case 's':
			dst = appendBytes(dst, f.Value, opts)
		case 'S':
			dst = strconv.AppendInt(dst, int64(length(f.Value)), 10)
		case 'R':
			dst = binary.BigEndian.AppendUint32(dst, uint32(length(f.Value)))
		case 'h':
			dst = appendHeaders(dst, f.Headers, opts)
		case 'T':
			dst = strconv.AppendInt(dst, f.Timestamp.UnixMilli(), 10)
		case 'D':
			dst = f.Timestamp.UTC().AppendFormat(dst, timestampLayout)
		}
	}
	return dst
}

// length is that of b, or -1 where b is null: Kafka tells null from empty.
func length(b []byte) int32 {
	if b == nil {
		return -1
	}
	return int32(len(b))
}

func appendBytes(dst, b []byte, opts TemplateOptions) []byte {
	if b == nil && opts.ShowNull {
		return append(dst, nullText...)
	}
	return append(dst, b...)
}

func appendHeaders(dst []byte, headers []kgo.RecordHeader, opts TemplateOptions) []byte {
	for i, h := range headers {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, h.Key...)
		dst = append(dst, '=')
		dst = appendBytes(dst, h.Value, opts)
	}
	return dst
}
