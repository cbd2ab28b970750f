package main

import (
	"bytes"
	"fmt"
	"io"
	"math/rand"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func TestProduceAndConsume(t *testing.T) {
	f := startFake(t, kfake.SeedTopics(1, "t"))
	produce := func(in string, flags ...string) {
		f.ok(in, append([]string{"produce", "t", "-q"}, flags...)...)
	}
	produce("plain\n\nlast without newline")
	produce("k1:v1\nno key\n:empty key\nk2:\n", "-K", ":")
	produce("k3=v3||=||k4=", "-K", "=", "-D", "||", "-Z")
	produce("tab\x00sep\x00", "-D", `\0`, "-k", "all", "-H", "a=1", "-H", "b=x=y", "-z", "zstd")
	const layout = `%o|%k|%K|%s|%S|%h\n`
	golden(t, "consume-format", f.ok("", "consume", "t", "-e", "-f", layout))
	golden(t, "consume-null", f.ok("", "consume", "t", "-e", "-Z", "-K", ","))
	if got := f.ok("", "consume", "t", "-e", "-n", "2", "-D", ";"); got != "plain;;" {
		t.Errorf("two records with a delimiter are %q", got)
	}
	for want, flags := range map[string][]string{
		"11 \n":        {"-O", "-1"},
		"0 1 \n":       {"--to", "2"},
		"3 4 \n":       {"-O", "3", "--to", "5"},
		"9 10 11 \n":   {"-O", "9", "-p", "0"},
		"\n":           {"-O", "end"},
		"0 1 2 \n":     {"--to", "-9", "-O", "@0"},
		"4 \n":         {"-O", "4", "-n", "1"},
		"10 11 \n":     {"-O", "10", "--to", "99"},
		"0 1 2 3 4 \n": {"-O", "beginning", "-n", "5", "--isolation-level", "read_uncommitted"},
	} {
		line := append([]string{"consume", "t", "-e", "-f", `%o `}, flags...)
		if got := f.ok("", line...) + "\n"; got != want {
			t.Errorf("%q prints %q, want %q", flags, got, want)
		}
	}
}

func TestConsumeNotesOffsetsOutsideTheLog(t *testing.T) {
	f := startFake(t, kfake.SeedTopics(1, "t"))
	f.ok("a\nb\n", "produce", "t", "-q")
	f.ok("", "topic", "trim", "t", "--before", "1", "--yes")
	r := f.call("", "consume", "t", "-e", "-O", "0")
	if r.out != "b\n" || r.err != "streamweir: t/0 begins at offset 1, not at 0\n" {
		t.Errorf("output %q, note %q", r.out, r.err)
	}
	r = f.call("", "consume", "t", "-e", "-O", "9", "-q")
	if r.out != "" || r.err != "" {
		t.Errorf("beyond the end, quietly: output %q, note %q", r.out, r.err)
	}
}

func TestConsumeFollows(t *testing.T) {
	f := startFake(t, kfake.SeedTopics(1, "t"))
	done := make(chan result, 1)
	go func() { done <- f.call("", "consume", "t", "-O", "end", "-n", "3") }()
	// Whatever is written before the follower is there it does not see, so
	// go on writing until it has had enough.
	for i := 0; ; i++ {
		f.ok(fmt.Sprintln(i), "produce", "t", "-q")
		select {
		case r := <-done:
			if r.status != exitOK || strings.Count(r.out, "\n") != 3 {
				t.Fatalf("status %d, output %q, %s", r.status, r.out, r.err)
			}
			return
		default:
		}
	}
}

func TestConsumeSeveralTopicsByPattern(t *testing.T) {
	f := startFake(t, kfake.SeedTopics(1, "log.a", "log.b", "xlog.c"))
	for _, name := range []string{"log.a", "log.b", "xlog.c"} {
		f.ok(name+"\n", "produce", name, "-q")
	}
	got := f.ok("", "consume", `log\..*`, "--regex", "-e")
	if len(got) != len("log.a\nlog.b\n") || !strings.Contains(got, "log.a\n") || !strings.Contains(got, "log.b\n") {
		t.Errorf("the pattern reads %q", got)
	}
	f.fails(exitFailed, `no topic matches "none"`, "consume", "none", "-r", "-e")
	f.fails(exitFailed, `topic "none": no such topic`, "consume", "none")
}

func TestConsumeOutputRoundTrips(t *testing.T) {
	f := startFake(t, kfake.SeedTopics(3, "from", "to"))
	rng := rand.New(rand.NewSource(1))
	var in strings.Builder
	for i := range 500 {
		b := make([]byte, rng.Intn(200))
		rng.Read(b)
		fmt.Fprintf(&in, "{\"key\":\"k%d\",\"value\":%q,\"value_encoding\":\"base64\",\"timestamp\":%d,\"headers\":[{\"key\":\"h\",\"value\":null}]}\n",
			i%7, base64Of(b), 1700000000000+i)
	}
	f.ok(in.String(), "produce", "from", "-i", "json", "-q")
	saved := f.ok("", "consume", "from", "-e", "-o", "json")
	f.ok(saved, "produce", "to", "-i", "json", "--keep-partition", "-q")
	again := f.ok("", "consume", "to", "-e", "-o", "json")
	if want := strings.ReplaceAll(saved, `"topic":"from"`, `"topic":"to"`); sortLines(again) != sortLines(want) {
		t.Error("what was consumed, produced and consumed again differs")
	}
	if n := strings.Count(again, "\n"); n != 500 {
		t.Errorf("%d records, want 500", n)
	}
}

func TestProduceWholeFiles(t *testing.T) {
	f := startFake(t, kfake.SeedTopics(1, "t"))
	f.ok("", "topic", "config", "t", "--set", "max.message.bytes=10485760")
	dir := t.TempDir()
	big := bytes.Repeat([]byte{0, '\n', 0xff}, 10_000_000/3)
	small := filepath.Join(dir, "small")
	large := filepath.Join(dir, "large")
	for name, content := range map[string][]byte{small: []byte("s\n"), large: big} {
		if err := os.WriteFile(name, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	f.ok("", "produce", "t", "--whole-file", "-f", small, "-f", large, "-q")
	if got := f.ok("", "consume", "t", "-e", "-D", ""); got != "s\n"+string(big) {
		t.Errorf("%d bytes came back, want %d", len(got), len(big)+2)
	}
	f.fails(exitFailed, "no such file", "produce", "t", "-f", filepath.Join(dir, "none"))
	f.fails(exitFailed, "is a directory", "produce", "t", "-f", dir)
}

func TestProduceSaysWhichLineFailed(t *testing.T) {
	f := startFake(t, kfake.SeedTopics(1, "t"))
	f.ok("", "topic", "config", "t", "--set", "max.message.bytes=1000")
	in := "ok\n" + strings.Repeat("x", 2000) + "\nafter\n"
	r := f.call(in, "produce", "t", "-o", "json")
	if r.status != exitFailed || !strings.Contains(r.err, "line 2: the record has 2000 bytes; the topic takes at most 1000") {
		t.Errorf("status %d: %s", r.status, r.err)
	}
	if !strings.Contains(r.out, `"acknowledged": 1,`) || !strings.Contains(r.out, `"failed": 1,`) {
		t.Errorf("summary %s", r.out)
	}
	r = f.call(in, "produce", "t", "--keep-going")
	if r.status != exitFailed || !strings.HasPrefix(lastLine(r.err), "2 records acknowledged") {
		t.Errorf("with --keep-going: status %d, %q", r.status, r.err)
	}
	r = f.call(`{"value":"v"}`+"\n\n"+`{"vlaue":"v"}`+"\n", "produce", "t", "-i", "json")
	if r.status != exitFailed || !strings.Contains(r.err, `line 3: `) || !strings.Contains(r.err, `"vlaue"`) {
		t.Errorf("a misspelt field: status %d, %q", r.status, r.err)
	}
}

func TestProduceSaysWhatTheBrokerRefused(t *testing.T) {
	f := startFake(t, kfake.SeedTopics(1, "t"))
	f.ControlKey(int16(kmsg.Produce), func(req kmsg.Request) (kmsg.Response, error, bool) {
		f.KeepControl()
		resp := req.ResponseKind().(*kmsg.ProduceResponse)
		for _, rt := range req.(*kmsg.ProduceRequest).Topics {
			t := kmsg.NewProduceResponseTopic()
			t.Topic, t.TopicID = rt.Topic, rt.TopicID
			p := kmsg.NewProduceResponseTopicPartition()
			p.ErrorCode = kerr.InvalidTimestamp.Code
			t.Partitions = append(t.Partitions, p)
			resp.Topics = append(resp.Topics, t)
		}
		return resp, nil, true
	})
	r := f.call("a\n", "produce", "t")
	if r.status != exitFailed || !strings.Contains(r.err, "line 1: the record's timestamp is outside what the topic allows") || !strings.Contains(r.err, "(INVALID_TIMESTAMP)") {
		t.Errorf("status %d: %s", r.status, r.err)
	}
}

func TestProduceToMissingTopicOrPartition(t *testing.T) {
	f := startFake(t, kfake.SeedTopics(2, "t"))
	f.fails(exitFailed, "create it with `streamweir topic create none`", "produce", "none")
	f.fails(exitFailed, `topic "t" has no partition 5: it has 2 partitions`, "produce", "t", "-p", "5")
	r := f.call(`{"value":"v","partition":9}`, "produce", "t", "-i", "json", "--keep-partition")
	if r.status != exitFailed || !strings.Contains(r.err, "line 1: the topic has no partition 9") {
		t.Errorf("status %d: %s", r.status, r.err)
	}
}

// TestProduceInterrupted interrupts a command that waits for more input.
func TestProduceInterrupted(t *testing.T) {
	f := startFake(t, kfake.SeedTopics(1, "t"))
	in, feed := io.Pipe()
	defer feed.Close()
	done := make(chan result, 1)
	go func() { done <- f.callReader(in, "produce", "t") }()
	if _, err := io.WriteString(feed, "one\ntwo\nunfinished"); err != nil {
		t.Fatal(err)
	}
	// Both lines are sent without the input having ended.
	f.ok("", "consume", "t", "-n", "2")
	self, err := os.FindProcess(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if err := self.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	r := <-done
	if r.status != exitInterrupted || !strings.HasPrefix(r.err, "2 records acknowledged") || !strings.Contains(r.err, "interrupted") {
		t.Errorf("status %d: %q", r.status, r.err)
	}
}

func TestProduceIsIdempotentUnderRetries(t *testing.T) {
	f := startFake(t, kfake.SeedTopics(1, "t"))
	var n int
	f.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
		if n++; n <= 3 {
			f.KeepControl()
			return nil, io.ErrUnexpectedEOF, true // the connection breaks
		}
		return nil, nil, false
	})
	var in strings.Builder
	for i := range 5000 {
		fmt.Fprintf(&in, "%d\n", i)
	}
	f.ok(in.String(), "produce", "t", "-q")
	if got := f.ok("", "consume", "t", "-e"); got != in.String() {
		t.Errorf("%d lines came back in another way than 5000 went in", strings.Count(got, "\n"))
	}
}

func TestConsumeEndsAtBrokenPipe(t *testing.T) {
	f := startFake(t, kfake.SeedTopics(1, "t"))
	f.ok(strings.Repeat("some line\n", 20000), "produce", "t", "-q")
	out, in := io.Pipe()
	status := make(chan int, 1)
	go func() {
		status <- run(t.Context(), []string{"consume", "t", "-b", f.addr}, strings.NewReader(""), in, io.Discard)
	}()
	if _, err := io.ReadFull(out, make([]byte, 10)); err != nil {
		t.Fatal(err)
	}
	out.Close()
	select {
	case s := <-status:
		if s != exitOK {
			t.Errorf("status %d", s)
		}
	case <-time.After(time.Minute):
		t.Fatal("it goes on although nobody reads")
	}
}

func TestProduceGivesUpOnASilentBroker(t *testing.T) {
	f := startFake(t, kfake.SeedTopics(1, "t"))
	f.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
		f.KeepControl()
		return nil, io.ErrUnexpectedEOF, true
	})
	r := f.call("a\nb\n", "produce", "t", "--delivery-timeout", "1s")
	if r.status != exitFailed || !strings.Contains(r.err, "nothing was acknowledged for 1s") || !strings.Contains(r.err, "2 without an answer") {
		t.Errorf("status %d: %s", r.status, r.err)
	}
}

// TestOldTimestampsAreNotTimedOut: the client's record timeout counts from the
// timestamp of the record, so copying last year's records failed at once.
func TestOldTimestampsAreNotTimedOut(t *testing.T) {
	f := startFake(t, kfake.SeedTopics(1, "t"))
	f.ok(`{"value":"v","timestamp":1000}`, "produce", "t", "-i", "json", "-q")
	if got := f.ok("", "consume", "t", "-e", "-f", "%T"); got != "1000" {
		t.Errorf("the timestamp is %s, want 1000", got)
	}
}

func lastLine(s string) string {
	lines := strings.Split(strings.TrimSuffix(s, "\n"), "\n")
	return lines[len(lines)-1]
}
