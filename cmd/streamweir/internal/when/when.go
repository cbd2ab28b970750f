// Package when reads the points in time and the durations that people type on
// a command line.
package when

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// secondsDigits is the longest plain number that is read as seconds since
// 1970; a longer one is milliseconds. Ten digits of seconds reach the year
// 2286, and eleven digits of milliseconds begin in 1973, so today's
// timestamps are never mistaken for the other kind.
const secondsDigits = 10

// layouts are tried in order. A time zone that is not written is the local one.
var layouts = []string{
	time.RFC3339,
	"2006-01-02T15:04Z07:00",
	"2006-01-02T15:04:05",
	"2006-01-02 15:04:05",
	"2006-01-02T15:04",
	"2006-01-02 15:04",
	"2006-01-02",
}

// clockLayouts name a time of the present day.
var clockLayouts = []string{"15:04:05", "15:04"}

// Parse reads a point in time: RFC 3339, a date with or without a time of day,
// a time of today, seconds or milliseconds since 1970, "now", or a duration
// before now such as "-90m" or "-7d".
func Parse(s string, now time.Time) (time.Time, error) {
	text := strings.TrimSpace(s)
	switch {
	case text == "":
		return time.Time{}, errors.New("a time is missing")
	case text == "now":
		return now, nil
	case strings.HasPrefix(text, "-"):
		ago, err := ParseDuration(text[1:])
		if err != nil {
			return time.Time{}, fmt.Errorf("time %q: %w", s, err)
		}
		return now.Add(-ago), nil
	case isDigits(text):
		return parseEpoch(text)
	}
	for _, layout := range layouts {
		if t, err := time.ParseInLocation(layout, text, now.Location()); err == nil {
			return t, nil
		}
	}
	for _, layout := range clockLayouts {
		if t, err := time.Parse(layout, text); err == nil {
			year, month, day := now.Date()
			return time.Date(year, month, day, t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), now.Location()), nil
		}
	}
	return time.Time{}, fmt.Errorf("time %q is not understood: write 2026-01-31T15:04:05Z, \"2026-01-31 15:04\", 15:04, milliseconds since 1970, now, or a duration ago such as -2h", s)
}

func parseEpoch(digits string) (time.Time, error) {
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil {
		return time.Time{}, fmt.Errorf("time %q is beyond what a timestamp can hold", digits)
	}
	if len(digits) <= secondsDigits {
		return time.Unix(n, 0), nil
	}
	return time.UnixMilli(n), nil
}

func isDigits(s string) bool {
	for _, c := range s {
		if c < '0' || c > '9' {
			return false
		}
	}
	return s != ""
}

var (
	dayUnits    = regexp.MustCompile(`^(?:(\d+)w)?(?:(\d+)d)?(.*)$`)
	isoDuration = regexp.MustCompile(`^P(?:(\d+)W)?(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:\.\d+)?)S)?)?$`)
)

// ParseDuration reads a positive duration: Go's notation with days and weeks
// added ("1w", "7d12h", "90m"), or ISO 8601 ("P7DT12H").
func ParseDuration(s string) (time.Duration, error) {
	text := strings.TrimSpace(s)
	var d time.Duration
	var err error
	if strings.HasPrefix(text, "P") {
		d, err = parseISO(text)
	} else {
		d, err = parseUnits(text)
	}
	if err != nil {
		return 0, fmt.Errorf("duration %q is not understood: write 90m, 36h, 7d, 1w or P7DT12H", s)
	}
	return d, nil
}

var errDuration = errors.New("bad duration")

func parseUnits(text string) (time.Duration, error) {
	parts := dayUnits.FindStringSubmatch(text)
	if parts == nil || text == "" || strings.HasPrefix(text, "-") || strings.HasPrefix(text, "+") {
		return 0, errDuration
	}
	var rest time.Duration
	if parts[3] != "" {
		var err error
		if rest, err = time.ParseDuration(parts[3]); err != nil || rest < 0 {
			return 0, errDuration
		}
	}
	return total(rest, parts[1], parts[2])
}

func parseISO(text string) (time.Duration, error) {
	parts := isoDuration.FindStringSubmatch(text)
	if parts == nil || text == "P" || strings.HasSuffix(text, "T") {
		return 0, errDuration
	}
	clock := ""
	for i, unit := range []string{"h", "m", "s"} {
		if v := parts[3+i]; v != "" {
			clock += v + unit
		}
	}
	var rest time.Duration
	if clock != "" {
		var err error
		if rest, err = time.ParseDuration(clock); err != nil {
			return 0, errDuration
		}
	}
	return total(rest, parts[1], parts[2])
}

// total adds weeks and days, each an empty string or digits, to rest.
func total(rest time.Duration, weeks, days string) (time.Duration, error) {
	sum := rest.Hours()
	for _, part := range []struct {
		digits string
		hours  float64
	}{{weeks, 7 * 24}, {days, 24}} {
		if part.digits == "" {
			continue
		}
		n, err := strconv.ParseInt(part.digits, 10, 32)
		if err != nil {
			return 0, errDuration
		}
		sum += float64(n) * part.hours
		rest += time.Duration(n) * time.Duration(part.hours) * time.Hour
	}
	if sum > time.Duration(math.MaxInt64).Hours() {
		return 0, errDuration
	}
	return rest, nil
}
