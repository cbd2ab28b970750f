package faults

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/streamweir/streamweir/integration/harness"
)

// A second process on the same directory is refused and says why; the first
// one does not notice.
func TestTwoProcessesOnOneDirectory(t *testing.T) {
	harness.OnlyStreamweir(t, "how its own start fails is not ours to test")
	s := harness.Start(t)
	code, out := harness.RunOnce(t, s, harness.Long)
	if code <= 0 {
		t.Errorf("the second process ended with %d, want an exit status that says failure", code)
	}
	for _, want := range []string{s.DataDir(), "process"} {
		if !strings.Contains(out, want) {
			t.Errorf("the second process does not speak of %q:\n%s", want, out)
		}
	}
	noStackTrace(t, out)
	mustServe(t, s)
	// The lock goes with the process, however that ends.
	s.Kill(t)
	s.StartAgain(t)
	mustServe(t, s)
}

// A data directory that a newer release has written is refused, unharmed.
func TestNewerDataDirectory(t *testing.T) {
	harness.OnlyStreamweir(t, "it has another format")
	s := harness.Start(t)
	topic := harness.Topic(t, s, 1)
	if err := put(harness.Context(t, harness.Long), writer(t, s, topic), []byte("v")); err != nil {
		t.Fatal(err)
	}
	s.Stop(t)
	path := filepath.Join(s.DataDir(), "VERSION")
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	version, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		t.Fatalf("VERSION holds %q: %v", b, err)
	}
	for _, c := range []struct{ content, says string }{
		{fmt.Sprintln(version + 41), strconv.Itoa(version + 41)},
		{"garbage\n", "garbage"},
	} {
		if err := os.WriteFile(path, []byte(c.content), 0o600); err != nil {
			t.Fatal(err)
		}
		code, out := harness.RunOnce(t, s, harness.Long)
		if code <= 0 || !strings.Contains(out, c.says) || !strings.Contains(out, s.DataDir()) {
			t.Errorf("VERSION of %q: exit code %d, and no word of it and of %s:\n%s", c.content, code, s.DataDir(), out)
		}
		noStackTrace(t, out)
	}
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	s.StartAgain(t)
	if got := end(t, s, topic); got != 1 {
		t.Errorf("with its own VERSION again the topic ends at %d, want 1", got)
	}
}

// A data directory that is a file, or that cannot be made, is an error that
// names it.
func TestImpossibleDataDirectory(t *testing.T) {
	harness.OnlyStreamweir(t, "how its own start fails is not ours to test")
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte("not a directory"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{file, filepath.Join(file, "below")} {
		s := harness.Prepare(t, harness.DataDir(dir))
		code, out := harness.RunOnce(t, s, harness.Long)
		if code <= 0 || !strings.Contains(out, file) {
			t.Errorf("--data-dir %s: exit code %d:\n%s", dir, code, out)
		}
		noStackTrace(t, out)
	}
}

func noStackTrace(t testing.TB, out string) {
	t.Helper()
	if strings.Contains(out, "goroutine ") || strings.Contains(out, ".go:") {
		t.Errorf("a stack trace where a sentence should be:\n%s", out)
	}
}
