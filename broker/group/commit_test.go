package group

import (
	"strings"
	"testing"
)

// What offset.metadata.max.bytes counts are the units of Java's strings.
func TestMetadataIsCountedInUTF16(t *testing.T) {
	cfg := DefaultConfig()
	cfg.OffsetMetadataMaxBytes = 8
	for _, tc := range []struct {
		text string
		most int // of it fit
	}{{"x", 8}, {"\u00e9", 8}, {"\u20ac", 8}, {"\U0001f600", 4}} {
		for n, want := range map[int]bool{tc.most: false, tc.most + 1: true} {
			text := strings.Repeat(tc.text, n)
			if got := cfg.metadataTooLarge(&text); got != want {
				t.Errorf("%d times %q too large: %v, want %v", n, tc.text, got, want)
			}
		}
	}
	if cfg.metadataTooLarge(nil) {
		t.Error("no metadata is too large")
	}
}
