package server

import (
	"strings"
	"testing"

	"go.uber.org/zap/zapcore"
)

// Colours went to files as well, and NO_COLOR did not stop them.
func TestLogHasColoursOnlyWhereTheyBelong(t *testing.T) {
	for _, tc := range []struct {
		format            string
		terminal, colours bool
		json, coloured    bool
	}{
		{"auto", true, true, false, true},
		{"auto", true, false, false, false}, // NO_COLOR
		{"auto", false, false, true, false},
		{"console", true, true, false, true},
		{"console", false, false, false, false},
		{"json", true, true, true, false},
	} {
		b, err := logEncoder(tc.format, tc.terminal, tc.colours).EncodeEntry(zapcore.Entry{Level: zapcore.WarnLevel, Message: "m"}, nil)
		if err != nil {
			t.Fatal(err)
		}
		line := b.String()
		if strings.HasPrefix(line, "{") != tc.json || strings.ContainsRune(line, 0x1b) != tc.coloured {
			t.Errorf("%+v: %q", tc, line)
		}
	}
}
