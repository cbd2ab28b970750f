package config

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Type is how the text of a setting is read. The numbers are those that
// Kafka's DescribeConfigs puts on the wire.
type Type int8

// The types of settings, by Kafka's names for them.
const (
	Boolean  Type = 1
	String   Type = 2
	Int      Type = 3 // 32 bits
	Short    Type = 4 // 16 bits
	Long     Type = 5 // 64 bits
	Double   Type = 6
	List     Type = 7 // comma-separated
	Class    Type = 8
	Password Type = 9
)

func (t Type) String() string {
	switch t {
	case Boolean:
		return "boolean"
	case String:
		return "string"
	case Int:
		return "int"
	case Short:
		return "short"
	case Long:
		return "long"
	case Double:
		return "double"
	case List:
		return "list"
	case Class:
		return "class"
	case Password:
		return "password"
	}
	return "unknown"
}

// Update says when a setting may change.
type Update int8

// The ways to change a setting.
const (
	// Restart settings are read once, at the start.
	Restart Update = iota
	// PerBroker settings change at run time, for one broker by its id.
	PerBroker
	// ClusterWide settings change at run time, for one broker or for all.
	ClusterWide
)

func (u Update) String() string {
	switch u {
	case PerBroker:
		return "at run time, per broker"
	case ClusterWide:
		return "at run time"
	}
	return "at start"
}

// Effect says what a setting does here.
type Effect int8

// What a setting does here.
const (
	// Works settings do what their text says.
	Works Effect = iota
	// Planned settings are checked, kept and shown, and will work later.
	Planned
	// NoEffect settings are checked, kept and shown, so that files and tools
	// made for Apache Kafka work, but nothing here reads them.
	NoEffect
	// Refused settings exist in Apache Kafka and are shown with its default,
	// but setting them would promise what this server does not do (access
	// control, for one), so it is an error.
	Refused
)

func (e Effect) note() string {
	switch e {
	case Planned:
		return "Accepted and kept, but not in effect yet."
	case NoEffect:
		return "Accepted for compatibility; it has no effect here."
	case Refused:
		return "Shown for compatibility only; setting it is an error here."
	}
	return ""
}

// Check limits the values of a setting.
type Check struct {
	Text string            // the valid values, for people
	ok   func(v any) error // gets bool, int64, float64, string or []string
}

// Key defines one setting.
type Key struct {
	Name    string
	Type    Type
	Default string // as text; without meaning where Null
	Null    bool   // has no value until it is given one
	Unit    string // ms, bytes, minutes ...; empty for none
	Check   Check
	Update  Update
	Effect  Effect
	Ours    bool // Apache Kafka has no setting of this name
	Doc     string
}

// Sensitive says whether the value must never be shown.
func (k *Key) Sensitive() bool { return k.Type == Password }

// Documentation is the text for people: what the setting does, and what of it
// does not work here.
func (k *Key) Documentation() string {
	if n := k.Effect.note(); n != "" {
		return strings.TrimSpace(k.Doc + " " + n)
	}
	return k.Doc
}

// MaxValueBytes is the longest value of a setting, as in Apache Kafka: it is
// what the older versions of its protocol can carry.
const MaxValueBytes = 32767

// ValueError says why a text is no value of a setting.
type ValueError struct {
	Key   *Key
	Value string
	Why   string
}

func (e *ValueError) Error() string {
	v := strconv.Quote(e.Value)
	if e.Key.Sensitive() {
		v = "(hidden)"
	}
	return fmt.Sprintf("invalid value %s for %s: %s", v, e.Key.Name, e.Why)
}

// Parse reads text as a value of the setting: a bool, int64, float64, string or
// []string. Its errors are *ValueError.
func (k *Key) Parse(text string) (any, error) {
	if len(text) > MaxValueBytes {
		return nil, &ValueError{k, text[:20] + "...", fmt.Sprintf("must have at most %d bytes", MaxValueBytes)}
	}
	v, err := k.Type.parse(strings.TrimSpace(text))
	if err == nil && k.Check.ok != nil {
		err = k.Check.ok(v)
	}
	if err != nil {
		return nil, &ValueError{k, text, err.Error()}
	}
	return v, nil
}

func (t Type) parse(s string) (any, error) {
	switch t {
	case Boolean:
		switch {
		case strings.EqualFold(s, "true"):
			return true, nil
		case strings.EqualFold(s, "false"):
			return false, nil
		}
		return nil, fmt.Errorf("must be true or false")
	case Short:
		return whole(s, 16)
	case Int:
		return whole(s, 32)
	case Long:
		return whole(s, 64)
	case Double:
		f, err := strconv.ParseFloat(s, 64)
		if err != nil || math.IsNaN(f) || math.IsInf(f, 0) {
			return nil, fmt.Errorf("must be a number")
		}
		return f, nil
	case List:
		if s == "" {
			return []string{}, nil
		}
		var parts []string
		seen := map[string]bool{} // as in Kafka, an entry counts once
		for part := range strings.SplitSeq(s, ",") {
			if part = strings.TrimSpace(part); !seen[part] {
				seen[part] = true
				parts = append(parts, part)
			}
		}
		return parts, nil
	}
	return s, nil
}

func whole(s string, bits int) (any, error) {
	n, err := strconv.ParseInt(s, 10, bits)
	if err != nil {
		lim := int64(math.MaxInt64) >> (64 - bits)
		return nil, fmt.Errorf("must be a whole number between %d and %d", -lim-1, lim)
	}
	return n, nil
}

// format is the text of a parsed value, as Kafka prints it.
func format(v any) string {
	switch v := v.(type) {
	case bool:
		return strconv.FormatBool(v)
	case int32:
		return strconv.FormatInt(int64(v), 10)
	case int64:
		return strconv.FormatInt(v, 10)
	case float64:
		return formatDouble(v)
	case []string:
		return strings.Join(v, ",")
	case string:
		return v
	}
	panic(fmt.Sprintf("config: no text for a %T", v))
}

// formatDouble prints a number as Java does: always with a point, and with an
// exponent where it is very large or very small.
func formatDouble(v float64) string {
	if abs := math.Abs(v); abs != 0 && (abs >= 1e7 || abs < 1e-3) {
		digits, exp, _ := strings.Cut(strconv.FormatFloat(v, 'E', -1, 64), "E")
		if !strings.Contains(digits, ".") {
			digits += ".0"
		}
		n, _ := strconv.Atoi(exp) // FormatFloat wrote it
		return digits + "E" + strconv.Itoa(n)
	}
	s := strconv.FormatFloat(v, 'f', -1, 64)
	if !strings.Contains(s, ".") {
		s += ".0"
	}
	return s
}

// Canonical is the text of a value after parsing: trimmed, and in Kafka's form.
func (k *Key) Canonical(text string) (string, error) {
	v, err := k.Parse(text)
	if err != nil {
		return "", err
	}
	return format(v), nil
}

// AtLeast accepts whole numbers from min up.
func AtLeast(min int64) Check {
	return Check{fmt.Sprintf("at least %d", min), func(v any) error {
		if v.(int64) < min {
			return fmt.Errorf("must be at least %d", min)
		}
		return nil
	}}
}

// Between accepts whole numbers from min to max.
func Between(min, max int64) Check {
	return Check{fmt.Sprintf("%d to %d", min, max), func(v any) error {
		if n := v.(int64); n < min || n > max {
			return fmt.Errorf("must be between %d and %d", min, max)
		}
		return nil
	}}
}

// Ratio accepts numbers from min to max.
func Ratio(min, max float64) Check {
	return Check{fmt.Sprintf("%v to %v", min, max), func(v any) error {
		if f := v.(float64); f < min || f > max {
			return fmt.Errorf("must be between %v and %v", min, max)
		}
		return nil
	}}
}

// OneOf accepts these texts and no other.
func OneOf(texts ...string) Check {
	list := strings.Join(texts, ", ")
	return Check{list, func(v any) error {
		for _, t := range texts {
			if v.(string) == t {
				return nil
			}
		}
		return fmt.Errorf("must be one of %s", list)
	}}
}

// OneOfFold is OneOf, with upper and lower case taken for the same.
func OneOfFold(texts ...string) Check {
	list := strings.Join(texts, ", ")
	return Check{list + " (in any case)", func(v any) error {
		for _, t := range texts {
			if strings.EqualFold(v.(string), t) {
				return nil
			}
		}
		return fmt.Errorf("must be one of %s", list)
	}}
}

// SomeOf accepts lists of these texts.
func SomeOf(texts ...string) Check {
	list := strings.Join(texts, ", ")
	return Check{"any of " + list, func(v any) error {
		for _, got := range v.([]string) {
			if OneOf(texts...).ok(got) != nil {
				return fmt.Errorf("each entry must be one of %s", list)
			}
		}
		return nil
	}}
}

// NonEmpty refuses an empty text or list.
func NonEmpty() Check {
	return Check{"not empty", func(v any) error {
		if format(v) == "" {
			return fmt.Errorf("must not be empty")
		}
		return nil
	}}
}

// GzipLevel accepts 1 to 9, or -1 for the codec's own default.
func GzipLevel() Check {
	return Check{"1 to 9, or -1 for the default", func(v any) error {
		if n := v.(int64); n != -1 && (n < 1 || n > 9) {
			return fmt.Errorf("must be between 1 and 9, or -1 for the default")
		}
		return nil
	}}
}

// CheckFunc accepts what ok accepts: it gets the parsed value, and its error
// completes "invalid value X for NAME: ...".
func CheckFunc(text string, ok func(v any) error) Check { return Check{text, ok} }
