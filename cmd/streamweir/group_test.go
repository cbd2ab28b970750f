package main

import (
	"encoding/base64"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kfake"
)

func base64Of(b []byte) string { return base64.StdEncoding.EncodeToString(b) }

func sortLines(s string) string {
	lines := strings.Split(s, "\n")
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// seedGroup makes topic t with ten records in each of two partitions, of which
// group g has read four.
func seedGroup(t *testing.T) *fake {
	t.Helper()
	f := startFake(t, kfake.SeedTopics(2, "t"))
	for _, p := range []string{"0", "1"} {
		var in strings.Builder
		for i := range 10 {
			in.WriteString(`{"value":"v","timestamp":170000000000` + string(rune('0'+i)) + "}\n")
		}
		f.ok(in.String(), "produce", "t", "-p", p, "-q", "-i", "json")
	}
	f.ok("t,0,4\nt,1,4\n", "group", "offsets", "import", "g", "--execute")
	return f
}

func TestGroupReadsOnWhereItStopped(t *testing.T) {
	f := startFake(t, kfake.SeedTopics(1, "t"))
	f.ok("a\nb\nc\nd\n", "produce", "t", "-q")
	for _, want := range []string{"a\nb\n", "c\n"} {
		if got := f.ok("", "consume", "t", "-g", "g", "-n", string(rune('0'+strings.Count(want, "\n")))); got != want {
			t.Errorf("the group reads %q, want %q", got, want)
		}
	}
	if got := f.ok("", "consume", "t", "-g", "g", "-e"); got != "d\n" {
		t.Errorf("the rest is %q, want d", got)
	}
	if got := f.ok("", "consume", "t", "-g", "g", "-e"); got != "" {
		t.Errorf("read again: %q", got)
	}
	if got := f.ok("", "consume", "t", "-g", "late", "-e", "-O", "-1"); got != "d\n" {
		t.Errorf("a new group from -1 reads %q, want d", got)
	}
}

func TestGroupListAndDescribe(t *testing.T) {
	f := seedGroup(t)
	golden(t, "group-list", f.ok("", "group", "list"))
	golden(t, "group-list-json", f.ok("", "group", "list", "-o", "json"))
	golden(t, "group-list-name", f.ok("", "group", "list", "-o", "name"))
	golden(t, "group-describe", f.ok("", "group", "describe", "g"))
	golden(t, "group-describe-json", f.ok("", "group", "describe", "g", "-o", "json"))
	f.fails(exitFailed, `group "none": no such group`, "group", "describe", "none")
}

// TestLagOfNothingIsNull: JSON said 0 where no lag is known.
func TestLagOfNothingIsNull(t *testing.T) {
	f := startFake(t, kfake.SeedTopics(1, "t"))
	startMember(t, f, "idle")
	r := f.ok("", "group", "describe", "idle", "-o", "json")
	if !strings.Contains(r, `"lag": null,`) || strings.Contains(r, `"lag": 0`) {
		t.Errorf("got %s", r)
	}
}

func TestGroupResetPlans(t *testing.T) {
	f := seedGroup(t)
	for name, line := range map[string][]string{
		"earliest":   {"--to-earliest", "--all-topics"},
		"latest":     {"--to-latest", "-t", "t:1"},
		"current":    {"--to-current", "--all-topics"},
		"offset":     {"--to-offset", "99", "-t", "t"},
		"shift":      {"--shift-by", "-3", "-t", "t:0"},
		"shift-far":  {"--shift-by", "-100", "-t", "t"},
		"time":       {"--to-time", "1700000000007", "-t", "t"},
		"time-after": {"--to-time", "now", "-t", "t"},
	} {
		got := f.ok("", append([]string{"group", "reset", "g"}, line...)...)
		golden(t, "reset-"+name, got)
	}
	golden(t, "reset-json", f.ok("", "group", "reset", "g", "--to-latest", "--all-topics", "-o", "json"))
	if got := f.ok("", "group", "offsets", "export", "g"); got != "t,0,4\nt,1,4\n" {
		t.Errorf("dry runs moved the group to %q", got)
	}
	f.ok("", "group", "reset", "g", "--shift-by", "2", "-t", "t:1", "--execute")
	if got := f.ok("", "group", "offsets", "export", "g"); got != "t,0,4\nt,1,6\n" {
		t.Errorf("after the reset the group is at %q", got)
	}
	f.fails(exitFailed, "has no committed offsets", "group", "reset", "new", "--to-latest", "--all-topics")
	// A group that does not exist yet is made by its first offsets.
	f.ok("", "group", "reset", "new", "--to-latest", "-t", "t", "--execute")
	if got := f.ok("", "consume", "t", "-g", "new", "-e"); got != "" {
		t.Errorf("a new group at the end reads %q", got)
	}
}

func TestActiveGroupIsNotReset(t *testing.T) {
	f := seedGroup(t)
	startMember(t, f, "g")
	f.fails(exitFailed, `group "g" is active (Stable, 1 member: streamweir at 127.0.0.1`, "group", "reset", "g", "--to-earliest", "--all-topics", "--execute")
	r := f.call("", "group", "reset", "g", "--to-earliest", "--all-topics")
	if r.status != exitOK || !strings.Contains(r.err, "it could not be done now") {
		t.Errorf("a dry run of an active group: status %d, %q", r.status, r.err)
	}
	f.fails(exitFailed, "active members", "group", "delete", "g", "--yes")
	golden(t, "group-describe-active", f.ok("", "group", "describe", "g"))
}

func TestGroupOffsetsFiles(t *testing.T) {
	f := seedGroup(t)
	saved := f.ok("", "group", "offsets", "export", "g", "-o", "json")
	golden(t, "offsets-export-json", saved)
	path := filepath.Join(t.TempDir(), "saved.json")
	if err := os.WriteFile(path, []byte(saved), 0o600); err != nil {
		t.Fatal(err)
	}
	f.ok("", "group", "offsets", "import", "copy", path, "--execute")
	if got := f.ok("", "group", "offsets", "export", "copy"); got != "t,0,4\nt,1,4\n" {
		t.Errorf("the copy is at %q", got)
	}
	f.fails(exitUsage, "add --yes", "group", "offsets", "delete", "copy", "-t", "t:0")
	f.ok("", "group", "offsets", "delete", "copy", "-t", "t:0", "--yes")
	if got := f.ok("", "group", "offsets", "export", "copy"); got != "t,1,4\n" {
		t.Errorf("after deleting an offset the copy is at %q", got)
	}
	r := f.call("t,0\n", "group", "offsets", "import", "copy")
	if r.status != exitFailed || !strings.Contains(r.err, "line 1: it has 2 fields") {
		t.Errorf("a bad file: status %d, %q", r.status, r.err)
	}
	f.ok("", "group", "delete", "copy", "--yes")
	r = f.call("", "group", "delete", "copy", "--yes")
	if r.status != exitFailed || !strings.Contains(r.err, "GROUP_ID_NOT_FOUND") {
		t.Errorf("deleting twice: status %d, %q", r.status, r.err)
	}
}
