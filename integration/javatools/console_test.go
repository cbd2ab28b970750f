package javatools

import (
	"fmt"
	"regexp"
	"sort"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/streamweir/streamweir/integration/harness"
)

// The console producer's records come out of the console consumer, in a group.
func TestConsoleProducerAndConsumer(t *testing.T) {
	s := harness.Shared(t)
	const n = 500
	topic := harness.Topic(t, s, 3)
	var in strings.Builder
	var want []string
	for i := range n {
		fmt.Fprintf(&in, "key%d:value %d äöü\n", i%17, i)
		want = append(want, fmt.Sprintf("key%d value %d äöü", i%17, i))
	}
	cmd := tool(t, consoleProducer, "--bootstrap-server", s.Addr(), "--topic", topic,
		"--reader-property", "parse.key=true", "--reader-property", "key.separator=:", "--compression-codec", "zstd")
	c := harness.Background(t, cmd, strings.NewReader(in.String()))
	if code := c.Wait(t, toolTakes); code != 0 {
		t.Fatalf("console producer: exit code %d", code)
	}
	group := harness.Name(t, "g")
	read := func(extra ...string) []string {
		cmd := tool(t, consoleConsumer, append([]string{"--bootstrap-server", s.Addr(), "--topic", topic, "--group", group,
			"--formatter-property", "print.key=true", "--formatter-property", "key.separator= ", "--timeout-ms", "20000"}, extra...)...)
		c := harness.Background(t, cmd, nil)
		c.Wait(t, toolTakes)
		return strings.Split(strings.TrimSuffix(c.Stdout(), "\n"), "\n")
	}
	got := read("--from-beginning", "--max-messages", fmt.Sprint(n))
	sort.Strings(got)
	sort.Strings(want)
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("console consumer: %d lines, want %d, or others than were sent", len(got), len(want))
	}
	// The group goes on where it was: only the next record comes.
	fill(t, s, topic, 1, 1)
	if got := read("--max-messages", "1"); len(got) != 1 || got[0] != "null value 0" {
		t.Errorf("the group's next read brought %q", got)
	}
}

// Each codec of the Java producer is taken, stored, and read by others.
func TestJavaProducerWithEveryCodec(t *testing.T) {
	s := harness.Shared(t)
	const n = 2000
	for i, codec := range []string{"none", "gzip", "snappy", "lz4", "zstd"} {
		t.Run(codec, func(t *testing.T) {
			topic := harness.Topic(t, s, 1)
			out := harness.MustRun(t, toolTakes, tool(t, producerPerf, "--topic", topic, "--num-records", fmt.Sprint(n), "--record-size", "200",
				"--throughput", "-1", "--bootstrap-server", s.Addr(), "--command-property", "compression.type="+codec))
			wants(t, out, fmt.Sprintf("%d records sent", n))
			cl := harness.Client(t, s, kgo.ConsumeTopics(topic))
			ctx := harness.Context(t, harness.Long)
			for read := 0; read < n; {
				fs := cl.PollFetches(ctx)
				if err := fs.Err(); err != nil {
					t.Fatalf("after %d records: %v", read, err)
				}
				fs.EachRecord(func(r *kgo.Record) {
					read++
					if len(r.Value) != 200 || int(r.Attrs.CompressionType()) != i {
						t.Fatalf("record at %d: %d bytes in codec %d, want 200 in %d", r.Offset, len(r.Value), r.Attrs.CompressionType(), i)
					}
				})
			}
		})
	}
}

// ProducerPerformance and ConsumerPerformance move what they say.
func TestPerformanceTools(t *testing.T) {
	s := harness.Shared(t)
	n := harness.Scale(300_000)
	topic := harness.Topic(t, s, 6)
	out := harness.MustRun(t, toolTakes, tool(t, producerPerf, "--topic", topic, "--num-records", fmt.Sprint(n), "--record-size", "300",
		"--throughput", "-1", "--bootstrap-server", s.Addr(), "--command-property", "acks=all"))
	wants(t, out, fmt.Sprintf("%d records sent", n))
	out = run(t, s, consumerPerf, "--topic", topic, "--num-records", fmt.Sprint(n), "--timeout", "60000")
	lines := strings.Split(strings.TrimSpace(out), "\n")
	fields := regexp.MustCompile(`, *`).Split(lines[len(lines)-1], -1)
	if len(fields) < 5 || fields[4] != fmt.Sprint(n) {
		t.Errorf("ConsumerPerformance did not read %d records:\n%s", n, out)
	}
}
