// Package output prints what a client command found: a table for a person, or
// JSON with stable field names for a program. It also knows what a terminal
// is, asks for confirmation on one, and writes sizes the way people read them.
package output

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"golang.org/x/term"
)

// Format is one of the values of --output.
type Format string

// The formats. Not every command has every one of them.
const (
	Table Format = "table"
	JSON  Format = "json"
	Name  Format = "name" // one name per line, for a shell loop
	Text  Format = "text" // records as they are
)

// Choice is a flag that takes one of a few formats. It implements pflag.Value.
type Choice struct {
	Value   Format
	Allowed []Format
}

// NewChoice returns a flag whose default is the first format.
func NewChoice(allowed ...Format) *Choice {
	return &Choice{Value: allowed[0], Allowed: allowed}
}

// Set takes the value typed by the user.
func (c *Choice) Set(s string) error {
	if !slices.Contains(c.Allowed, Format(s)) {
		return fmt.Errorf("it must be one of %s", strings.Join(c.Names(), ", "))
	}
	c.Value = Format(s)
	return nil
}

// Names lists the allowed values.
func (c *Choice) Names() []string {
	names := make([]string, len(c.Allowed))
	for i, f := range c.Allowed {
		names[i] = string(f)
	}
	return names
}

// String returns the chosen value.
func (c *Choice) String() string { return string(c.Value) }

// Type is what help prints after the flag.
func (c *Choice) Type() string { return strings.Join(c.Names(), "|") }

// WriteJSON prints v indented, with a newline after it.
func WriteJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

// WriteEach prints a list as JSON, or one after the other with a line between them.
func WriteEach[T any](w io.Writer, format Format, list []T, print func(io.Writer, T) error) error {
	if format == JSON {
		return WriteJSON(w, list)
	}
	for i, v := range list {
		if i > 0 {
			if _, err := fmt.Fprintln(w); err != nil {
				return err
			}
		}
		if err := print(w, v); err != nil {
			return err
		}
	}
	return nil
}

// IsTerminal says whether v, a reader or a writer, is a terminal.
func IsTerminal(v any) bool {
	f, ok := v.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// Colours says whether what is written to v may have colours and the like: only
// on a terminal, and not where NO_COLOR is set (https://no-color.org).
func Colours(v any) bool { return IsTerminal(v) && os.Getenv("NO_COLOR") == "" }

// Width returns the number of columns of the terminal w, or fallback.
func Width(w any, fallback int) int {
	f, ok := w.(*os.File)
	if !ok {
		return fallback
	}
	width, _, err := term.GetSize(int(f.Fd()))
	if err != nil || width <= 0 {
		return fallback
	}
	return width
}
