package when

import (
	"testing"
	"time"
)

func TestParse(t *testing.T) {
	zone := time.FixedZone("here", 2*3600)
	now := time.Date(2026, 3, 4, 12, 0, 0, 0, zone)
	for text, want := range map[string]time.Time{
		"now":                       now,
		"-90m":                      now.Add(-90 * time.Minute),
		"-1w2d":                     now.Add(-9 * 24 * time.Hour),
		"-P1DT2H":                   now.Add(-26 * time.Hour),
		"0":                         time.Unix(0, 0),
		"1700000000":                time.Unix(1700000000, 0),
		"1700000000123":             time.UnixMilli(1700000000123),
		"2026-01-02":                time.Date(2026, 1, 2, 0, 0, 0, 0, zone),
		"2026-01-02 03:04":          time.Date(2026, 1, 2, 3, 4, 0, 0, zone),
		"2026-01-02T03:04:05.250":   time.Date(2026, 1, 2, 3, 4, 5, 250e6, zone),
		"2026-01-02T03:04:05Z":      time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
		"2026-01-02T03:04:05+01:00": time.Date(2026, 1, 2, 2, 4, 5, 0, time.UTC),
		"09:30":                     time.Date(2026, 3, 4, 9, 30, 0, 0, zone),
	} {
		got, err := Parse(text, now)
		if err != nil || !got.Equal(want) {
			t.Errorf("Parse(%q) = %v, %v; want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "-", "yesterday", "-5", "2026-13-01", "99999999999999999999", "1.5", "--1h"} {
		if got, err := Parse(text, now); err == nil {
			t.Errorf("Parse(%q) = %v; want an error", text, got)
		}
	}
}

func TestParseDuration(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"90m":       90 * time.Minute,
		"1w":        7 * 24 * time.Hour,
		"7d12h":     180 * time.Hour,
		"1.5h":      90 * time.Minute,
		"PT90M":     90 * time.Minute,
		"P1DT0.5S":  24*time.Hour + 500*time.Millisecond,
		"P2W":       14 * 24 * time.Hour,
		"0s":        0,
		"106751d":   106751 * 24 * time.Hour,
		"PT1H2M3S":  time.Hour + 2*time.Minute + 3*time.Second,
		" 5s ":      5 * time.Second,
		"1d1ms":     24*time.Hour + time.Millisecond,
		"P0D":       0,
		"1w1d1h1m ": 8*24*time.Hour + time.Hour + time.Minute,
	} {
		got, err := ParseDuration(text)
		if err != nil || got != want {
			t.Errorf("ParseDuration(%q) = %v, %v; want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "-1h", "5", "P", "PT", "P1H", "1h1d", "99999999d", "106752d", "d", "+3h"} {
		if got, err := ParseDuration(text); err == nil {
			t.Errorf("ParseDuration(%q) = %v; want an error", text, got)
		}
	}
}
