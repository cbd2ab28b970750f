package format

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"unicode/utf8"
)

// object cuts one flat JSON object into its fields without decoding them. It
// exists because encoding/json costs five times as much per line, and a file
// of records has many lines. What it accepts is checked: the caller has seen
// that the line is valid JSON.
type object struct {
	rest []byte
}

var errNotObject = errors.New("it must be a JSON object")

// openObject starts on a valid JSON text.
func openObject(text []byte) (object, error) {
	text = trimSpace(text)
	if len(text) == 0 || text[0] != '{' {
		return object{}, errNotObject
	}
	return object{rest: trimSpace(text[1:])}, nil
}

// next returns the next field; ok is false after the last.
func (o *object) next() (name, value []byte, ok bool) {
	if len(o.rest) == 0 || o.rest[0] == '}' {
		return nil, nil, false
	}
	if o.rest[0] == ',' {
		o.rest = trimSpace(o.rest[1:])
	}
	n := valueLength(o.rest)
	name = o.rest[:n]
	o.rest = trimSpace(o.rest[n:])
	o.rest = trimSpace(o.rest[1:]) // the colon
	n = valueLength(o.rest)
	value = o.rest[:n]
	o.rest = trimSpace(o.rest[n:])
	return name, value, true
}

// elements calls each for the elements of a valid JSON array.
func elements(array []byte, each func([]byte) error) error {
	rest := trimSpace(array[1:])
	for len(rest) > 0 && rest[0] != ']' {
		if rest[0] == ',' {
			rest = trimSpace(rest[1:])
		}
		n := valueLength(rest)
		if err := each(rest[:n]); err != nil {
			return err
		}
		rest = trimSpace(rest[n:])
	}
	return nil
}

func trimSpace(b []byte) []byte {
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\t' || b[0] == '\n' || b[0] == '\r') {
		b = b[1:]
	}
	return b
}

// valueLength is the length of the JSON value at the start of valid JSON.
func valueLength(b []byte) int {
	switch b[0] {
	case '"':
		return stringLength(b)
	case '{', '[':
		depth := 0
		for i := 0; i < len(b); i++ {
			switch b[i] {
			case '"':
				i += stringLength(b[i:]) - 1
			case '{', '[':
				depth++
			case '}', ']':
				if depth--; depth == 0 {
					return i + 1
				}
			}
		}
		return len(b)
	}
	for i, c := range b {
		if c == ',' || c == '}' || c == ']' || c <= ' ' {
			return i
		}
	}
	return len(b)
}

func stringLength(b []byte) int {
	for i := 1; i < len(b); i++ {
		j := bytes.IndexByte(b[i:], '"')
		if j < 0 {
			return len(b)
		}
		i += j
		slashes := 0
		for b[i-1-slashes] == '\\' {
			slashes++
		}
		if slashes%2 == 0 {
			return i + 1
		}
	}
	return len(b)
}

// text decodes a JSON string. The result is a part of raw where nothing is
// escaped.
func text(raw []byte) ([]byte, error) {
	inner := raw[1 : len(raw)-1]
	if bytes.IndexByte(inner, '\\') < 0 {
		return inner[:len(inner):len(inner)], nil
	}
	// encoding/json replaces half a surrogate pair by U+FFFD without a word.
	if hasLoneSurrogate(inner) {
		return nil, errors.New("a \\u escape is half of a surrogate pair, which no UTF-8 text can hold")
	}
	var s string
	if err := json.Unmarshal(raw, &s); err != nil {
		return nil, err
	}
	return []byte(s), nil
}

// checkLine says why a line is not one JSON value.
func checkLine(line []byte) error {
	if !utf8.Valid(line) {
		return errors.New("it is not valid UTF-8")
	}
	if json.Valid(line) {
		return nil
	}
	var any json.RawMessage
	err := json.Unmarshal(line, &any)
	var syntax *json.SyntaxError
	if !errors.As(err, &syntax) {
		return fmt.Errorf("it is not valid JSON: %w", err)
	}
	switch {
	case len(trimSpace(line)) == 0, syntax.Offset >= int64(len(bytes.TrimRight(line, " \t\r\n"))) && syntax.Error() == "unexpected end of JSON input":
		return errors.New("the JSON object is not complete; write one object per line")
	case json.Valid(line[:syntax.Offset-1]):
		return errors.New("something follows the JSON object; write one object per line")
	}
	return fmt.Errorf("it is not valid JSON at byte %d: %w", syntax.Offset, err)
}
