package main

import (
	"errors"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
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

// TestTrimOutsideTheLogSaysSo: an offset after the end emptied a topic without a word.
func TestTrimOutsideTheLogSaysSo(t *testing.T) {
	f := startFake(t, kfake.SeedTopics(2, "orders"))
	f.ok("a\nb\nc\nd\n", "produce", "orders", "-p", "0", "-q")
	golden(t, "topic-trim-after", f.ok("", "topic", "trim", "orders", "--before", "99", "--dry-run"))
	golden(t, "topic-trim-time-after", f.ok("", "topic", "trim", "orders:0", "--before", "@now", "--dry-run"))
	if r := f.call("", "topic", "trim", "orders:0", "--before", "99"); !strings.Contains(r.err, "99 is after the end of the log") {
		t.Errorf("the plan before the question does not say it: %q", r.err)
	}
	golden(t, "topic-trim-after-json", f.ok("", "topic", "trim", "orders:0", "--before", "99", "--yes", "-o", "json"))
	if got := f.ok("", "topic", "trim", "orders:0", "--before", "2", "--dry-run"); !strings.Contains(got, "2 is before the start of the log") {
		t.Errorf("got %q", got)
	}
}

// TestOneWrongNameHidesNoOther: nothing was shown of the topics and groups that are there.
func TestOneWrongNameHidesNoOther(t *testing.T) {
	f := startFake(t, kfake.SeedTopics(2, "p1"))
	f.ok("p1,0,0\n", "group", "offsets", "import", "rr", "--execute")
	for _, c := range []struct{ shows, says, line string }{
		{"Topic:        p1\n", `topic "nope": no such topic or partition (UNKNOWN_TOPIC_OR_PARTITION)`, "topic describe nope p1"},
		{`"name": "p1"`, `topic "nope": no such topic`, "topic describe nope p1 -o json"},
		{"retention.ms", `configs of topic "nope": no such topic`, "topic config nope p1"},
		{`"topic": "p1"`, `configs of topic "nope": no such topic`, "topic config nope p1 -o json"},
		{"p1             1      0", `topic "nope": no such topic`, "topic offsets nope p1"},
		{`"partition": 1`, `topic "p1" has no partition 7: it has 2 partitions`, "topic offsets p1:1,7 -o json"},
		{"[]\n", `topic "nope": no such topic`, "topic offsets nope -o json"},
		{"Group:       rr\n", `group "nope": no such group`, "group describe nope rr"},
		{`"group": "rr"`, `group "nope": no such group`, "group describe nope rr -o json"},
	} {
		r := f.call("", strings.Fields(c.line)...)
		if r.status != exitFailed || !strings.Contains(r.out, c.shows) || strings.Count(r.err, "\n") != 1 || !strings.Contains(r.err, c.says) {
			t.Errorf("%s: status %d, %q\n%s", c.line, r.status, r.err, r.out)
		}
	}
	// What changes something is still done in full or not at all.
	f.fails(exitFailed, `topic "nope": no such topic`, "topic", "trim", "nope", "p1", "--before", "end", "--yes")
}

// TestAlterChecksBothBeforeEither: a shrinking that was refused had set the
// retention before, of which it said nothing.
func TestAlterChecksBothBeforeEither(t *testing.T) {
	f := startFake(t, kfake.SeedTopics(4, "orders"), kfake.SeedTopics(1, "small"))
	retention := func(topic string) bool {
		return strings.Contains(f.ok("", "topic", "describe", topic), "1234")
	}
	f.fails(exitFailed, `topic "orders": this number of partitions is not allowed (INVALID_PARTITIONS); nothing was changed`,
		"topic", "alter", "orders", "--set", "retention.ms=1234", "--partitions", "2")
	if retention("orders") {
		t.Error("the retention was set although the partitions were refused")
	}
	// Of several topics, each is changed in full or not at all.
	r := f.call("", "topic", "alter", "orders", "none", "small", "--set", "retention.ms=1234", "--partitions", "2", "-o", "json")
	if r.status != exitFailed || retention("orders") || !retention("small") {
		t.Errorf("status %d, %s%s", r.status, r.out, r.err)
	}
	golden(t, "topic-alter-refused-json", r.out)
	if got := f.ok("", "topic", "describe", "small"); !strings.Contains(got, "Partitions:   2") {
		t.Errorf("the partitions of small were not added:\n%s", got)
	}
}

// TestAlterTellsWhatWasDoneHalf: what the check found good may be refused after all.
func TestAlterTellsWhatWasDoneHalf(t *testing.T) {
	f := startFake(t, kfake.SeedTopics(4, "orders"))
	f.ControlKey(int16(kmsg.CreatePartitions), func(kreq kmsg.Request) (kmsg.Response, error, bool) {
		f.KeepControl()
		req := kreq.(*kmsg.CreatePartitionsRequest)
		if req.ValidateOnly {
			return nil, nil, false
		}
		resp := req.ResponseKind().(*kmsg.CreatePartitionsResponse)
		st := kmsg.NewCreatePartitionsResponseTopic()
		st.Topic, st.ErrorCode = "orders", kerr.KafkaStorageError.Code
		resp.Topics = append(resp.Topics, st)
		return resp, nil, true
	})
	r := f.call("", "topic", "alter", "orders", "--set", "retention.ms=1234", "--partitions", "6", "-o", "json")
	const want = `topic "orders": the configs (retention.ms) were changed, but the number of partitions was not: `
	if r.status != exitFailed || !strings.Contains(r.err, want) {
		t.Errorf("status %d, %q; want %q", r.status, r.err, want)
	}
	golden(t, "topic-alter-half-json", r.out)
}

// TestAlterTellsWhatIsNotKnown: nor does anybody know where the answer never came.
func TestAlterTellsWhatIsNotKnown(t *testing.T) {
	f := startFake(t, kfake.SeedTopics(4, "orders"))
	f.ControlKey(int16(kmsg.CreatePartitions), func(kreq kmsg.Request) (kmsg.Response, error, bool) {
		f.KeepControl()
		return nil, errors.New("the connection is lost"), !kreq.(*kmsg.CreatePartitionsRequest).ValidateOnly
	})
	r := f.call("", "topic", "alter", "orders", "--set", "retention.ms=1234", "--partitions", "6", "-o", "json", "--timeout", "1s")
	const want = `topic "orders": the configs (retention.ms) were changed; whether the number of partitions was is not known: `
	if r.status != exitFailed || !strings.Contains(r.err, want) || !strings.Contains(r.out, `"changed"`) || strings.Contains(r.out, `"unchanged"`) {
		t.Errorf("status %d, %q, %s", r.status, r.err, r.out)
	}
}

// TestAddPartitionsSaysHowMany: it only said that the topic was altered.
func TestAddPartitionsSaysHowMany(t *testing.T) {
	f := startFake(t, kfake.SeedTopics(4, "orders"))
	if got, want := f.ok("", "topic", "add-partitions", "orders", "--count", "6"), "altered topic \"orders\" (10 partitions)\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := f.ok("", "topic", "alter", "orders", "--partitions", "11", "-o", "json"); !strings.Contains(got, `"partitions": 11`) {
		t.Errorf("got %s", got)
	}
	if got, want := f.ok("", "topic", "add-partitions", "orders", "--count", "1", "--dry-run"), "would alter topic \"orders\" (12 partitions)\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
