// Package coordinatortest is what the tests of the coordinators have in common: a
// clock that is moved by hand, and the playing of transcripts.
package coordinatortest

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
)

// Transcripts plays the events of each file under testdata to a shard, and
// compares what the shard does with what the file says. A file is read like a
// play: a line at the margin is an event, the indented lines below it are the
// actions that it causes, in order. See the README under testdata.
//
// begin sets a new stage for each file: event plays the event of a line, and
// writes the actions to out. With update, they are written into the files.
func Transcripts(t *testing.T, update bool, begin func(t *testing.T) (out *strings.Builder, event func(line string))) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no transcripts: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			out, event := begin(t)
			play(string(want), out, event)
			got := out.String()
			if update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if diff := firstDifference(string(want), got); diff != "" {
				t.Errorf("%s: %s", file, diff)
			}
		})
	}
}

func play(script string, out *strings.Builder, event func(line string)) {
	for line := range strings.Lines(script) {
		line = strings.TrimRight(line, "\n")
		if strings.HasPrefix(line, "  ") {
			continue // what happened the last time
		}
		out.WriteString(line + "\n")
		if line != "" && !strings.HasPrefix(line, "#") {
			event(line)
		}
	}
}

func firstDifference(want, got string) string {
	w, g := strings.Split(want, "\n"), strings.Split(got, "\n")
	for i := range max(len(w), len(g)) {
		var a, b string
		if i < len(w) {
			a = w[i]
		}
		if i < len(g) {
			b = g[i]
		}
		if a != b {
			return fmt.Sprintf("line %d:\n want %q\n  got %q", i+1, a, b)
		}
	}
	return ""
}

// ErrorNamed is the protocol's error of that name, as transcripts write it.
func ErrorNamed(t *testing.T, name string) *kerr.Error {
	t.Helper()
	for code := int16(-1); code < 200; code++ {
		if err, ok := kerr.ErrorForCode(code).(*kerr.Error); ok && err != nil && err.Message == name {
			return err
		}
	}
	t.Fatalf("no such error: %s", name)
	return nil
}

// Await calls f with a reply function and returns what it was called with.
func Await[T any](t testing.TB, f func(reply func(T))) T {
	t.Helper()
	answers := make(chan T, 2)
	f(func(v T) { answers <- v })
	select {
	case v := <-answers:
		return v
	case <-time.After(20 * time.Second):
		t.Fatal("no answer")
		panic("unreachable")
	}
}
