package format

import (
	"fmt"
	"strings"
)

// Unescape resolves the escapes that a shell leaves alone: \n \r \t \0 \\ and
// \xNN. Delimiters and format strings share them.
func Unescape(s string) (string, error) {
	if !strings.Contains(s, `\`) {
		return s, nil
	}
	var b strings.Builder
	for i := 0; i < len(s); {
		if s[i] != '\\' {
			b.WriteByte(s[i])
			i++
			continue
		}
		c, n, err := escape(s[i:])
		if err != nil {
			return "", fmt.Errorf("%q: %w", s, err)
		}
		b.WriteByte(c)
		i += n
	}
	return b.String(), nil
}

// escape reads the escape at the start of s, which begins with a backslash,
// and returns its byte and its length.
func escape(s string) (c byte, length int, err error) {
	if len(s) < 2 {
		return 0, 0, fmt.Errorf(`a backslash stands at the end; write \\ for a backslash`)
	}
	switch s[1] {
	case 'n':
		return '\n', 2, nil
	case 'r':
		return '\r', 2, nil
	case 't':
		return '\t', 2, nil
	case '0':
		return 0, 2, nil
	case '\\':
		return '\\', 2, nil
	case 'x':
		value, digits := 0, 0
		for digits < 2 && 2+digits < len(s) {
			d := hexDigit(s[2+digits])
			if d < 0 {
				break
			}
			value = value<<4 | d
			digits++
		}
		if digits == 0 {
			return 0, 0, fmt.Errorf(`\x needs one or two hexadecimal digits after it`)
		}
		return byte(value), 2 + digits, nil
	}
	return 0, 0, fmt.Errorf(`\%c is not known; there are \n \r \t \0 \\ and \xNN`, s[1])
}

func hexDigit(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c >= 'a' && c <= 'f':
		return int(c-'a') + 10
	case c >= 'A' && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}
