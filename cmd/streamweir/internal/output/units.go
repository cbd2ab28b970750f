package output

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

var sizeUnits = []string{"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"}

func isSizeUnit(s string) bool {
	for _, unit := range sizeUnits {
		if s == unit {
			return true
		}
	}
	return false
}

// Size writes a number of bytes with a binary unit and three digits.
func Size(n int64) string {
	if n < 1024 {
		return strconv.FormatInt(n, 10) + " B"
	}
	v, unit := float64(n), 0
	for v >= 1024 && unit < len(sizeUnits)-1 {
		v /= 1024
		unit++
	}
	digits := 0
	switch {
	case v < 9.995:
		digits = 2
	case v < 99.95:
		digits = 1
	}
	return strconv.FormatFloat(v, 'f', digits, 64) + " " + sizeUnits[unit]
}

// Count writes a number with its thousands apart, for sentences. Table cells
// keep plain digits, which can be pasted into a command.
func Count(n int64) string {
	digits := strconv.FormatInt(n, 10)
	sign := ""
	if n < 0 {
		sign, digits = "-", digits[1:]
	}
	var parts []string
	for len(digits) > 3 {
		parts = append([]string{digits[len(digits)-3:]}, parts...)
		digits = digits[:len(digits)-3]
	}
	return sign + strings.Join(append([]string{digits}, parts...), ",")
}

// Plural writes a count and its noun: "1 record", "2,000 records".
func Plural(n int64, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return Count(n) + " " + noun + "s"
}

// Quoted writes names in quotes, with commas between them.
func Quoted(names []string) string {
	quoted := make([]string, len(names))
	for i, name := range names {
		quoted[i] = strconv.Quote(name)
	}
	return strings.Join(quoted, ", ")
}

// Clock writes a duration as a stop watch does: "0:42", "1:02:03".
func Clock(d time.Duration) string {
	s := int64(d.Round(time.Second) / time.Second)
	if s >= 3600 {
		return fmt.Sprintf("%d:%02d:%02d", s/3600, s/60%60, s%60)
	}
	return fmt.Sprintf("%d:%02d", s/60, s%60)
}

// timestampLayout is RFC 3339 with milliseconds, the precision of a record's
// timestamp.
const timestampLayout = "2006-01-02T15:04:05.000Z07:00"

// Timestamp writes a point in time in UTC with milliseconds.
func Timestamp(t time.Time) string { return t.UTC().Format(timestampLayout) }

// Int writes a plain number.
func Int[N ~int | ~int32 | ~int64](n N) string { return strconv.FormatInt(int64(n), 10) }

// Offset writes an offset or a lag, of which a negative value means that there is none.
func Offset(n *int64) string {
	if n == nil {
		return ""
	}
	return strconv.FormatInt(*n, 10)
}

// Ranges writes sorted partition numbers shortly: "0-3,5".
func Ranges(ps []int32) string {
	var b strings.Builder
	for i := 0; i < len(ps); {
		j := i
		for j+1 < len(ps) && ps[j+1] == ps[j]+1 {
			j++
		}
		if b.Len() > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, "%d", ps[i])
		if j > i {
			fmt.Fprintf(&b, "-%d", ps[j])
		}
		i = j + 1
	}
	return b.String()
}
