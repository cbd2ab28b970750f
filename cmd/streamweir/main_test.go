package main

import (
	"bytes"
	"context"
	"flag"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
)

var update = flag.Bool("update", false, "write the golden files anew")

// fake is a cluster in memory and the address to reach it at.
type fake struct {
	*kfake.Cluster
	t    *testing.T
	addr string
}

func startFake(t *testing.T, opts ...kfake.Opt) *fake {
	t.Helper()
	opts = append([]kfake.Opt{kfake.NumBrokers(1), kfake.ClusterID("test")}, opts...)
	c, err := kfake.NewCluster(opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return &fake{Cluster: c, t: t, addr: c.ListenAddrs()[0]}
}

// result is what one command line did.
type result struct {
	status   int
	out, err string
}

// call runs a command line against the fake cluster.
func (f *fake) call(in string, line ...string) result {
	f.t.Helper()
	return f.callReader(strings.NewReader(in), line...)
}

func (f *fake) callReader(in io.Reader, line ...string) result {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var out, errs bytes.Buffer
	status := run(ctx, append(line, "--bootstrap-server", f.addr), in, &out, &errs)
	if ctx.Err() != nil {
		f.t.Fatalf("%q did not end: %s", line, errs.String())
	}
	return result{status: status, out: out.String(), err: errs.String()}
}

// ok runs a command line that must succeed and returns its output.
func (f *fake) ok(in string, line ...string) string {
	f.t.Helper()
	r := f.call(in, line...)
	if r.status != exitOK {
		f.t.Fatalf("%q: status %d: %s", line, r.status, r.err)
	}
	return r.out
}

// fails runs a command line that must fail with a status and say something.
func (f *fake) fails(status int, says string, line ...string) {
	f.t.Helper()
	r := f.call("", line...)
	if r.status != status || !strings.Contains(r.err, says) {
		f.t.Errorf("%q: status %d, %q; want status %d and %q", line, r.status, r.err, status, says)
	}
}

// What differs from run to run: ids, and the bytes of a batch, in which times
// are written with as many bytes as they need.
var (
	topicID  = regexp.MustCompile(`[A-Za-z0-9_-]{22}\b`)
	hostPort = regexp.MustCompile(`127\.0\.0\.1:\d{5}`)
	diskSize = regexp.MustCompile(`\b[1-9]\d+ B\b`)
	diskJSON = regexp.MustCompile(`"size_bytes": [1-9]\d*`)
	memberID = regexp.MustCompile(`streamweir-[0-9A-Za-z_-]{20,}`)
)

// golden compares with a file in testdata.
func golden(t *testing.T, name, got string) {
	t.Helper()
	got = hostPort.ReplaceAllString(got, "127.0.0.1:#####")
	got = memberID.ReplaceAllString(got, "<member id>")
	got = topicID.ReplaceAllString(got, "<topic id------------>")
	got = diskSize.ReplaceAllString(got, "## B")
	got = diskJSON.ReplaceAllString(got, `"size_bytes": 9`)
	path := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs.\ngot:\n%s\nwant:\n%s", path, got, want)
	}
}

func TestUnreachableBroker(t *testing.T) {
	var out, errs bytes.Buffer
	// Port 1 on loopback: nothing listens there.
	status := run(context.Background(), []string{"topic", "list", "-b", "127.0.0.1:1"}, strings.NewReader(""), &out, &errs)
	const want = "streamweir: cannot reach a broker at 127.0.0.1:1: connection refused; is `streamweir serve` running?\n"
	if status != exitUnreachable || errs.String() != want {
		t.Errorf("status %d, %q; want %d, %q", status, errs.String(), exitUnreachable, want)
	}
}

// TestNoBrokerThere: an answer of something else ended with status 1.
func TestNoBrokerThere(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	defer server.Close()
	f := &fake{t: t, addr: server.Listener.Addr().String()}
	f.fails(exitUnreachable, "cannot reach a broker at "+f.addr+": ", "topic", "list")
	f.fails(exitUnreachable, "is your broker port correct?", "topic", "list")
}

func TestWrongUsage(t *testing.T) {
	f := &fake{t: t, addr: "127.0.0.1:1"} // none of these gets so far
	for _, c := range []struct {
		says string
		line []string
	}{
		{`unknown command "frobnicate"`, []string{"topic", "frobnicate"}},
		{"one TOPIC is missing", []string{"produce"}},
		{"unknown flag: --frobnicate", []string{"consume", "t", "--frobnicate"}},
		{"it must be one of text, json", []string{"consume", "t", "-o", "beginning"}},
		{"--offset", []string{"consume", "t", "--offset", "soon"}},
		{"%q is not known", []string{"consume", "t", "-f", "%q"}},
		{"--partition and --to do not go with --group", []string{"consume", "t", "-g", "g", "-p", "1"}},
		{"say where to", []string{"group", "reset", "g", "--all-topics"}},
		{"--to-latest and --shift-by exclude each other", []string{"group", "reset", "g", "--all-topics", "--to-latest", "--shift-by", "1"}},
		{"say which topics", []string{"group", "reset", "g", "--to-latest"}},
		{"codec \"brotli\" is not known", []string{"produce", "t", "-z", "brotli"}},
		{"acks \"2\" is not known", []string{"produce", "t", "--acks", "2"}},
		{"--delimiter must not be empty", []string{"produce", "t", "-D", ""}},
		{"--keep-partition needs --input json", []string{"produce", "t", "--keep-partition"}},
		{"nothing is to be altered", []string{"topic", "alter", "t"}},
		{"--before POSITION", []string{"topic", "trim", "t"}},
		{"is not a range", []string{"topic", "offsets", "t:3-1"}},
		{"is not of the form KEY=VALUE", []string{"topic", "create", "t", "-c", "bad"}},
		{"is given twice", []string{"topic", "create", "t", "-c", "a=1", "-c", "a=2"}},
		{"--replication-factor must be above zero", []string{"topic", "create", "t", "-r", "-5"}},
		{"is not of the form KEY=VALUE", []string{"topic", "alter", "t", "--set", "bad"}},
		{"cannot be unset", []string{"topic", "config", "t", "--unset", "a=b"}},
		{"cannot be unset", []string{"topic", "config", "t", "--unset", "a", "--set", "a=1"}},
		{"--partitions must be above zero", []string{"topic", "alter", "t", "-p", "-1"}},
		{"--timeout must be above zero", []string{"topic", "list", "--timeout", "0s"}},
		{"topic pattern", []string{"consume", "[", "--regex"}},
		{`TOPIC is expected, not ""`, []string{"topic", "describe", ""}},
		{`TOPIC is expected, not "a", ""`, []string{"consume", "a", ""}},
		{"--group must not be empty", []string{"consume", "t", "-g", ""}},
		{"--to must not be empty", []string{"consume", "t", "--to", ""}},
		{"--partition must not be empty", []string{"consume", "t", "-p", ""}},
		{"--count must be above zero, not 0", []string{"consume", "t", "-n", "0"}},
		{"--count must be above zero, not -1", []string{"consume", "t", "-n", "-1"}},
		{"--key must not be empty", []string{"produce", "t", "-k", ""}},
		{"--at must not be empty", []string{"topic", "offsets", "t", "--at", ""}},
		{"names no topic", []string{"group", "reset", "g", "--to-latest", "--topic", ""}},
		{"--partitions must be above zero", []string{"topic", "alter", "t", "-p", "0", "--set", "a=1"}},
		{"either --topic TOPIC or --all-topics", []string{"group", "reset", "g", "--to-latest", "--all-topics", "--topic", "t"}},
	} {
		f.fails(exitUsage, c.says, c.line...)
	}
}

// TestWrongUsageWithoutACluster: these ended with status 1, or with 0.
func TestWrongUsageWithoutACluster(t *testing.T) {
	for _, c := range []struct {
		says string
		line []string
	}{
		{"no bootstrap server is given", []string{"topic", "list", "-b", ""}},
		{`"http://x/" is not of the form HOST:PORT`, []string{"topic", "list", "-b", "http://x/"}},
		{`"h:port" is not of the form HOST:PORT`, []string{"topic", "list", "-b", "h:port"}},
		{`"h:99999" is not of the form HOST:PORT`, []string{"topic", "list", "-b", "h:99999"}},
		{`unknown command "tcsh"`, []string{"completion", "tcsh"}},
		{`unknown command "frob"`, []string{"help", "frob"}},
		{`unknown command "topic frob"`, []string{"help", "topic", "frob"}},
		{"unknown command \"lst\": did you mean \"list\"?\nSee `streamweir topic --help`.\n", []string{"topic", "lst"}},
		{"unknown command \"lst\": did you mean \"list\"?\nSee `streamweir stream --help`.\n", []string{"stream", "lst"}},
		{`unknown command "offset": did you mean "offsets"?`, []string{"group", "offset"}},
		{`unknown command "topc": did you mean "topic"?`, []string{"topc"}},
		{"unknown command \"foo\"\nSee `streamweir --help`.\n", []string{"foo"}},
		{"--max-record-bytes must be a number of bytes without a unit, such as 1048576, not \"2MiB\"\n", []string{"stream", "create", "s", "--max-record-bytes", "2MiB"}},
		{`--partitions must be a whole number, such as 6, not "many"`, []string{"topic", "create", "t", "-p", "many"}},
		{`--partitions must be a whole number that is not so large, not "9999999999"`, []string{"topic", "alter", "t", "-p", "9999999999"}},
		{`--timeout must be a duration with its unit, such as 500ms, 10s or 2m, not "5"`, []string{"topic", "list", "--timeout", "5"}},
		{`--quiet must be true or false, not "maybe"`, []string{"consume", "t", "--quiet=maybe"}},
		{`one GROUP is expected, not "p3", "p4"`, []string{"group", "reset", "p3", "p4"}},
		{`codec "brotli" is not known: there are none, gzip, snappy, lz4, zstd`, []string{"produce", "t", "-z", "brotli"}},
		{"KEY=VALUE", []string{"serve", "--set", "foo"}},
		{"unknown setting foo", []string{"serve", "--set", "foo=bar"}},
		{"invalid value", []string{"serve", "--set", "log.retention.ms=abc"}},
		{"read the config file", []string{"serve", "--config", filepath.Join(t.TempDir(), "none")}},
		{"not of the form NAME://HOST:PORT", []string{"serve", "--kafka-addr", "nonsense"}},
		{"admin.listener", []string{"serve", "--admin-addr", "nonsense"}},
		{"no argument is expected", []string{"serve", "extra"}},
		{`"5h" is not between 24 and 8760 hours`, []string{"stream", "create", "s", "--retention", "5h"}},
		{`"400d" is not between 24 and 8760 hours`, []string{"stream", "create", "s", "--retention", "400d"}},
		{`"36h30m" is not a number of whole hours`, []string{"stream", "create", "s", "--retention", "36h30m"}},
		{"--config must not be empty", []string{"serve", "--config", ""}},
		{"--key must not be empty", []string{"stream", "put", "s", "-k", ""}},
		{"--shard must not be empty", []string{"stream", "get", "s", "-s", "a", "-s", ""}},
		{"--count must be above zero, not 0", []string{"stream", "tail", "s", "-n", "0"}},
		{"--at must not be empty", []string{"stream", "split", "s", "a", "--at", ""}},
		{"--retention must not be empty", []string{"stream", "create", "s", "--retention", ""}},
		{"--max-record-bytes must be above zero", []string{"stream", "create", "s", "--max-record-bytes", "-1"}},
		{"is not of the form http://HOST:PORT/metrics", []string{"stream", "describe", "s", "--metrics-url", "127.0.0.1:9644"}},
	} {
		var errs bytes.Buffer
		status := run(context.Background(), c.line, strings.NewReader(""), io.Discard, &errs)
		if status != exitUsage || !strings.Contains(errs.String(), c.says) {
			t.Errorf("%q: status %d, %q; want status %d and %q", c.line, status, errs.String(), exitUsage, c.says)
		}
	}
}

func TestVersion(t *testing.T) {
	var out bytes.Buffer
	if status := run(context.Background(), []string{"version", "-o", "json"}, nil, &out, io.Discard); status != exitOK {
		t.Fatalf("status %d", status)
	}
	if !strings.Contains(out.String(), `"platform"`) {
		t.Errorf("no platform in %s", out.String())
	}
	command, flag := new(bytes.Buffer), new(bytes.Buffer)
	status := run(context.Background(), []string{"version"}, nil, command, io.Discard)
	if s := run(context.Background(), []string{"--version"}, nil, flag, io.Discard); s != exitOK || status != exitOK || flag.String() != command.String() {
		t.Errorf("--version: status %d, %q; version: status %d, %q", s, flag, status, command)
	}
}

func TestCompletion(t *testing.T) {
	f := startFake(t, kfake.SeedTopics(1, "orders", "payments"))
	f.ok("x\n", "produce", "orders", "-q")
	f.ok("", "consume", "orders", "-g", "billing", "-e", "-q")
	complete := func(line ...string) string {
		var out bytes.Buffer
		run(context.Background(), append([]string{"__complete"}, line...), nil, &out, io.Discard)
		return out.String()
	}
	for want, line := range map[string][]string{
		"orders\npayments\n:4\n":              {"topic", "describe", "-b", f.addr, ""},
		"payments\n:4\n":                      {"topic", "describe", "-b", f.addr, "orders", ""},
		"billing\n:4\n":                       {"group", "describe", "-b", f.addr, ""},
		"none\ngzip\nsnappy\nlz4\nzstd\n:4\n": {"produce", "orders", "-z", ""},
	} {
		if got := complete(line...); got != want {
			t.Errorf("%q completes to %q, want %q", line, got, want)
		}
	}
	if got := complete("consume", "t", "-b", f.addr, "-g", ""); got != "billing\n:4\n" {
		t.Errorf("-g completes to %q", got)
	}
	if got := complete("topic", "describe", "-b", "127.0.0.1:1", ""); got != ":4\n" {
		t.Errorf("without a broker it completes to %q", got)
	}
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		var out bytes.Buffer
		if status := run(context.Background(), []string{"completion", shell}, nil, &out, io.Discard); status != exitOK || out.Len() == 0 {
			t.Errorf("completion %s: status %d, %d bytes", shell, status, out.Len())
		}
	}
}
