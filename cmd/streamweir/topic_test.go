package main

import (
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kfake"
)

func TestTopicLife(t *testing.T) {
	f := startFake(t)
	golden(t, "topic-create", f.ok("", "topic", "create", "orders", "state", "-p", "3", "-c", "retention.ms=60000"))
	f.fails(exitFailed, "(TOPIC_ALREADY_EXISTS)", "topic", "create", "orders")
	f.ok("", "topic", "create", "orders", "--if-not-exists")
	f.ok("a\nb\nc\n", "produce", "orders", "-p", "1", "-q")

	golden(t, "topic-list", f.ok("", "topic", "list"))
	golden(t, "topic-list-json", f.ok("", "topic", "list", "-o", "json"))
	golden(t, "topic-list-name", f.ok("", "topic", "list", "-o", "name"))
	golden(t, "topic-offsets", f.ok("", "topic", "offsets", "orders", "--at", "-1"))
	golden(t, "topic-offsets-json", f.ok("", "topic", "offsets", "orders:1", "-o", "json"))
	f.fails(exitFailed, `topic "orders" has no partition 7: it has 3 partitions`, "topic", "offsets", "orders:7")

	f.ok("", "topic", "alter", "orders", "--set", "retention.ms=120000")
	if got := f.ok("", "topic", "config", "orders"); !strings.Contains(got, "120000") {
		t.Errorf("the changed config is not shown:\n%s", got)
	}
	f.ok("", "topic", "config", "orders", "--unset", "retention.ms")
	if got := f.ok("", "topic", "describe", "orders"); strings.Contains(got, "120000") {
		t.Errorf("the config is still there:\n%s", got)
	}
	f.ok("", "topic", "add-partitions", "orders", "-n", "2")
	f.ok("", "topic", "alter", "state", "-p", "4")
	f.fails(exitFailed, "(INVALID_PARTITIONS)", "topic", "alter", "state", "-p", "2")
	if got := f.ok("", "topic", "list"); !strings.Contains(got, "orders           5") || !strings.Contains(got, "state            4") {
		t.Errorf("partitions were not added:\n%s", got)
	}

	f.fails(exitUsage, "add --yes", "topic", "delete", "orders")
	golden(t, "topic-delete", f.ok("", "topic", "delete", "orders", "--yes"))
	f.fails(exitFailed, "no such topic", "topic", "delete", "orders", "--yes")
	f.ok("", "topic", "delete", "orders", "--yes", "--if-exists")
	f.fails(exitFailed, `topic "orders": no such topic`, "topic", "describe", "orders")
}

func TestTopicDescribe(t *testing.T) {
	f := startFake(t)
	f.ok("", "topic", "create", "orders", "-p", "2", "-c", "retention.ms=60000")
	f.ok("a\nb\nc\n", "produce", "orders", "-p", "1", "-q")
	golden(t, "topic-describe", f.ok("", "topic", "describe", "orders"))
	golden(t, "topic-describe-json", f.ok("", "topic", "describe", "orders", "-o", "json"))
}

func TestTopicTrim(t *testing.T) {
	f := startFake(t, kfake.SeedTopics(2, "orders"))
	f.ok("a\nb\nc\nd\n", "produce", "orders", "-p", "0", "-q")
	golden(t, "topic-trim-dry", f.ok("", "topic", "trim", "orders", "--before", "3", "--dry-run"))
	if got := f.ok("", "consume", "orders", "-e"); got != "a\nb\nc\nd\n" {
		t.Errorf("a dry run left %q", got)
	}
	f.fails(exitUsage, "add --yes", "topic", "trim", "orders", "--before", "3")
	golden(t, "topic-trim-json", f.ok("", "topic", "trim", "orders", "--before", "3", "--yes", "-o", "json"))
	if got := f.ok("", "consume", "orders", "-e"); got != "d\n" {
		t.Errorf("after the trim there is %q, want d", got)
	}
	// A position outside the log is brought inside.
	f.ok("", "topic", "trim", "orders", "--before", "99", "--yes")
	if got := f.ok("", "consume", "orders", "-e"); got != "" {
		t.Errorf("after trimming everything there is %q", got)
	}
}
