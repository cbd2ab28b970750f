package aws

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"
)

// Constraint is what the API's model says of the values of one shape. The zero
// value allows everything.
type Constraint struct {
	// Min and Max bound a number's value, or a length: of a text in characters, of
	// a blob in bytes, of a list or map in entries.
	Min, Max       int64
	HasMin, HasMax bool
	// Pattern is the regular expression that a text must match as a whole.
	Pattern string
	Enum    []string
	// Shape is the name of a structure, with its service, as AWS prints it.
	Shape string

	once    sync.Once
	pattern *regexp.Regexp
}

// matches says whether s matches Pattern.
func (c *Constraint) matches(s string) bool {
	c.once.Do(func() { c.pattern = regexp.MustCompile(`^(?:` + c.Pattern + `)$`) })
	return c.pattern.MatchString(s)
}

// Validator gathers what is wrong with a request, in AWS's words.
type Validator struct {
	violations []string
	path       []step
}

// step is a part of the way to a member: its name and, in a list, its number.
type step struct {
	name  string
	index int
}

// mostViolations is how many AWS reports.
const mostViolations = 10

// Validate returns what AWS answers to an input that breaks its model's
// constraints, or nil.
func Validate(in Input) *Error { return Check(in.Validate) }

// Check returns what AWS answers where a check fails, or nil.
func Check(check func(v *Validator)) *Error {
	var v Validator
	check(&v)
	n := len(v.violations)
	if n == 0 {
		return nil
	}
	s := ""
	if n > 1 {
		s = "s"
	}
	return &Error{Type: Validation, Message: fmt.Sprintf("%d validation error%s detected: %s", n, s, strings.Join(v.violations, "; "))}
}

// fail notes that the value at name breaks a constraint. text returns the value.
func (v *Validator) fail(name string, text func() string, constraint string) {
	if len(v.violations) >= mostViolations {
		return
	}
	var at strings.Builder
	for _, s := range v.path {
		at.WriteString(s.name)
		at.WriteByte('.')
		if s.index > 0 {
			fmt.Fprintf(&at, "%d.member.", s.index)
		}
	}
	value := "null"
	if text != nil {
		value = "'" + shorten(text()) + "'"
	}
	v.violations = append(v.violations, "Value "+value+" at '"+at.String()+name+"' failed to satisfy constraint: "+constraint)
}

// longest is how much of a value a message repeats: as much as the list of a full
// PutRecords takes, so that only hostile values are cut.
const longest = 64 << 10

func shorten(s string) string {
	if len(s) <= longest {
		return s
	}
	return strings.ToValidUTF8(s[:longest], "") + "..."
}

// Enter and Leave stand around the members of a structure: index is its number in
// a list, from 1, and 0 outside of one.
func (v *Validator) Enter(name string, index int) { v.path = append(v.path, step{name, index}) }

// Leave ends what Enter began.
func (v *Validator) Leave() { v.path = v.path[:len(v.path)-1] }

// Required checks that a member is there.
func (v *Validator) Required(name string, there bool) {
	if !there {
		v.fail(name, nil, "Member must not be null")
	}
}

// length checks the length of a value; it is a number's value too.
func (c *Constraint) length(n int64, what string) []string {
	var broken []string
	if c.HasMin && n < c.Min {
		broken = append(broken, fmt.Sprintf("Member must have %s greater than or equal to %d", what, c.Min))
	}
	if c.HasMax && n > c.Max {
		broken = append(broken, fmt.Sprintf("Member must have %s less than or equal to %d", what, c.Max))
	}
	return broken
}

// tooLong says whether a text is so far over its limit that its pattern does not
// matter any more.
func (c *Constraint) tooLong(s string) bool { return c.HasMax && int64(len(s)) > 8*c.Max }

// String checks a text; nil is for Required to judge.
func (v *Validator) String(name string, s *string, c *Constraint) {
	if s == nil {
		return
	}
	text := func() string { return *s }
	if c.Pattern != "" && !c.tooLong(*s) && !c.matches(*s) {
		v.fail(name, text, c.patternText())
	}
	if c.HasMin || c.HasMax {
		for _, broken := range c.length(int64(utf8.RuneCountInString(*s)), "length") {
			v.fail(name, text, broken)
		}
	}
	if len(c.Enum) > 0 && !c.listed(*s) {
		v.fail(name, text, c.enumText())
	}
}

func (c *Constraint) listed(s string) bool { return slices.Contains(c.Enum, s) }

func (c *Constraint) patternText() string {
	return "Member must satisfy regular expression pattern: " + c.Pattern
}

func (c *Constraint) enumText() string {
	return "Member must satisfy enum value set: [" + strings.Join(c.Enum, ", ") + "]"
}

// Int32 checks a number.
func (v *Validator) Int32(name string, n *int32, c *Constraint) {
	if n != nil {
		v.number(name, int64(*n), c)
	}
}

// Int64 checks a number.
func (v *Validator) Int64(name string, n *int64, c *Constraint) {
	if n != nil {
		v.number(name, *n, c)
	}
}

func (v *Validator) number(name string, n int64, c *Constraint) {
	for _, broken := range c.length(n, "value") {
		v.fail(name, func() string { return strconv.FormatInt(n, 10) }, broken)
	}
}

// Blob checks a blob.
func (v *Validator) Blob(name string, b []byte, c *Constraint) {
	if b == nil {
		return
	}
	for _, broken := range c.length(int64(len(b)), "length") {
		v.fail(name, func() string { return fmt.Sprintf("java.nio.HeapByteBuffer[pos=0 lim=%d cap=%d]", len(b), len(b)) }, broken)
	}
}

// Strings checks a list of texts, whose elements c constrains.
func (v *Validator) Strings(name string, list []string, l, c *Constraint) {
	if list == nil {
		return
	}
	text := func() string { return join(len(list), "[", "]", func(i int) string { return list[i] }) }
	for _, broken := range l.length(int64(len(list)), "length") {
		v.fail(name, text, broken)
	}
	for _, s := range list {
		if !c.accepts(s) {
			v.fail(name, text, "Member must satisfy constraint: "+c.all())
			return
		}
	}
}

// Map checks a map of texts, whose keys k and values c constrain.
func (v *Validator) Map(name string, m map[string]string, l, k, c *Constraint) {
	if m == nil {
		return
	}
	text := func() string {
		keys := slices.Sorted(maps.Keys(m))
		return join(len(keys), "{", "}", func(i int) string { return keys[i] + "=" + m[keys[i]] })
	}
	for _, broken := range l.length(int64(len(m)), "length") {
		v.fail(name, text, broken)
	}
	badKey, badValue := false, false
	for key, value := range m {
		badKey, badValue = badKey || !k.accepts(key), badValue || !c.accepts(value)
	}
	if badKey {
		v.fail(name, text, "Map keys must satisfy constraint: "+k.all())
	}
	if badValue {
		v.fail(name, text, "Map value must satisfy constraint: "+c.all())
	}
}

// Structures checks a list of n structures.
func (v *Validator) Structures(name string, n int, l, c *Constraint) {
	for _, broken := range l.length(int64(n), "length") {
		v.fail(name, func() string {
			return join(n, "[", "]", func(i int) string { return fmt.Sprintf("%s@%08x", c.Shape, i) })
		}, broken)
	}
}

// accepts says whether s breaks none of the constraints.
func (c *Constraint) accepts(s string) bool {
	if (c.HasMin || c.HasMax) && len(c.length(int64(utf8.RuneCountInString(s)), "length")) > 0 {
		return false
	}
	return (c.Pattern == "" || c.matches(s)) && (len(c.Enum) == 0 || c.listed(s))
}

// all lists the constraints of what is in a list or map.
func (c *Constraint) all() string {
	var all []string
	if c.HasMax {
		all = append(all, fmt.Sprintf("Member must have length less than or equal to %d", c.Max))
	}
	if c.HasMin {
		all = append(all, fmt.Sprintf("Member must have length greater than or equal to %d", c.Min))
	}
	if c.Pattern != "" {
		all = append(all, c.patternText())
	}
	if len(c.Enum) > 0 {
		all = append(all, c.enumText())
	}
	return "[" + strings.Join(all, ", ") + "]"
}

// join prints a list or map as Java does, until it is longer than messages are.
func join(n int, before, after string, at func(i int) string) string {
	var b strings.Builder
	b.WriteString(before)
	for i := range n {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(at(i))
		if b.Len() > longest {
			break
		}
	}
	b.WriteString(after)
	return b.String()
}
