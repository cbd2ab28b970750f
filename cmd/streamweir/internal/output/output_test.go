package output

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestGrid(t *testing.T) {
	g := NewGrid("NAME", "N", "SIZE", "NOTE")
	g.Row("a", "1", "1.5 KiB", "")
	g.Row("long\x1b[31mname", "-20", "0 B", "x y")
	g.Row("é", "", "unknown")
	var out bytes.Buffer
	if _, err := g.WriteTo(&out); err != nil {
		t.Fatal(err)
	}
	const want = "NAME               N  SIZE     NOTE\n" +
		"a                  1  1.5 KiB  -\n" +
		`long\x1b[31mname  -20  0 B      x y` + "\n" +
		"é                  -  unknown  -\n"
	if normalize(out.String()) != normalize(want) {
		t.Errorf("got\n%swant\n%s", out.String(), want)
	}
	for _, line := range strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n") {
		if strings.ContainsRune(line, 0x1b) {
			t.Errorf("an escape got through: %q", line)
		}
	}
}

// normalize makes runs of spaces one.
func normalize(s string) string {
	for strings.Contains(s, "  ") {
		s = strings.ReplaceAll(s, "  ", " ")
	}
	return s
}

func TestUnits(t *testing.T) {
	for n, want := range map[int64]string{
		0: "0 B", 1023: "1023 B", 1024: "1.00 KiB", 1536: "1.50 KiB", 10240: "10.0 KiB", 102400: "100 KiB",
		1 << 20: "1.00 MiB", 1<<63 - 1: "8.00 EiB",
	} {
		if got := Size(n); got != want {
			t.Errorf("Size(%d) = %q, want %q", n, got, want)
		}
	}
	for n, want := range map[int64]string{0: "0", 999: "999", 1000: "1,000", -1234567: "-1,234,567"} {
		if got := Count(n); got != want {
			t.Errorf("Count(%d) = %q, want %q", n, got, want)
		}
	}
	for d, want := range map[time.Duration]string{0: "0:00", 59400 * time.Millisecond: "0:59", 3723 * time.Second: "1:02:03"} {
		if got := Clock(d); got != want {
			t.Errorf("Clock(%v) = %q, want %q", d, got, want)
		}
	}
	if got := Ranges([]int32{0, 1, 2, 5, 7, 8}); got != "0-2,5,7-8" {
		t.Errorf("Ranges = %q", got)
	}
}

func TestAsk(t *testing.T) {
	for answer, want := range map[string]error{"y\n": nil, "YES\n": nil, "n\n": ErrNotConfirmed, "\n": ErrNotConfirmed, "": ErrNotConfirmed, "yep\n": ErrNotConfirmed} {
		var prompt bytes.Buffer
		if err := ask(strings.NewReader(answer), &prompt, "Sure?"); !errors.Is(err, want) {
			t.Errorf("%q: %v, want %v", answer, err, want)
		}
		if prompt.String() != "Sure? [y/N] " {
			t.Errorf("the question is %q", prompt.String())
		}
	}
}

// A pipe or file gets no colours, and a terminal none against NO_COLOR's will.
func TestColoursAreForTerminals(t *testing.T) {
	t.Setenv("NO_COLOR", "")
	if Colours(&strings.Builder{}) {
		t.Error("colours for what is no file")
	}
	f, err := os.Create(filepath.Join(t.TempDir(), "f"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if Colours(f) {
		t.Error("colours for a file")
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	if Colours(null) {
		t.Error("colours for a device that is no terminal")
	}
}
