package javatools

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/streamweir/streamweir/integration/harness"
)

const (
	verifiableProducer = "org.apache.kafka.tools.VerifiableProducer"
	verifiableConsumer = "org.apache.kafka.tools.VerifiableConsumer"
	messageCopier      = "org.apache.kafka.tools.TransactionalMessageCopier"

	copied = 2000 // messages, over two partitions
)

// Apache Kafka's own test of exactly once: what VerifiableProducer wrote is
// copied in transactions, some of them aborted, while a copier and the broker
// are killed. Each message arrives once and in order.
func TestTransactionalMessageCopier(t *testing.T) {
	s := harness.Start(t)
	input, output := harness.Topic(t, s, 2), harness.Topic(t, s, 2)
	sent := verifiablyProduce(t, s, input)

	copiers := []*harness.Command{startCopier(t, s, input, output, 0), startCopier(t, s, input, output, 1)}
	for i, c := range copiers {
		harness.Eventually(t, toolTakes, fmt.Sprintf("copier %d is at work", i), func() error {
			if strings.Count(c.Stdout(), "ProcessLoop") < 4 {
				return fmt.Errorf("its output: %s", c.Output())
			}
			return nil
		})
	}
	copiers[0].Signal(t, syscall.SIGKILL)
	copiers[0].Wait(t, toolTakes)
	s.Kill(t)
	s.StartAgain(t)
	copiers[0] = startCopier(t, s, input, output, 0)
	for i, c := range copiers {
		if code := c.Wait(t, toolTakes); code != 0 || !strings.Contains(c.Stdout(), `"stage":"ShutdownComplete"`) || !strings.Contains(c.Stdout(), `"remaining":0`) {
			t.Errorf("copier %d: exit code %d", i, code)
		}
	}
	readCopy(t, s, output, sent)
	verifiablyConsume(t, s, output)
}

// verifiablyProduce returns the values that were acknowledged in each partition.
func verifiablyProduce(t testing.TB, s *harness.Server, topic string) [][]string {
	t.Helper()
	out := run(t, s, verifiableProducer, "--topic", topic, "--max-messages", fmt.Sprint(copied), "--repeating-keys", "100")
	sent := make([][]string, 2)
	for line := range strings.Lines(out) {
		var e struct {
			Name, Value string
			Partition   int
			Sent, Acked int
			Exception   string
		}
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			continue // not one of its events
		}
		switch e.Name {
		case "producer_send_success":
			sent[e.Partition] = append(sent[e.Partition], e.Value)
		case "producer_send_error":
			t.Errorf("not sent: %s", line)
		case "tool_data":
			if e.Sent != copied || e.Acked != copied {
				t.Errorf("sent and acknowledged: %s", line)
			}
		}
	}
	if n := len(sent[0]) + len(sent[1]); n != copied || len(sent[0]) == 0 || len(sent[1]) == 0 {
		t.Fatalf("VerifiableProducer told of %d messages to partition 0 and %d to partition 1, want %d together:\n%.2000s", len(sent[0]), len(sent[1]), copied, out)
	}
	return sent
}

func startCopier(t testing.TB, s *harness.Server, input, output string, partition int) *harness.Command {
	t.Helper()
	return harness.Background(t, tool(t, messageCopier, "--broker-list", s.Addr(), "--input-topic", input, "--output-topic", output,
		"--input-partition", fmt.Sprint(partition), "--consumer-group", fmt.Sprintf("%s-copiers", input),
		"--transactional-id", fmt.Sprintf("%s-copier-%d", input, partition), "--transaction-size", "50",
		"--transaction-timeout", "20000", "--enable-random-aborts", "--use-group-metadata"), nil)
}

// readCopy wants each partition to hold what was sent, once and in order.
func readCopy(t testing.TB, s *harness.Server, topic string, want [][]string) {
	t.Helper()
	cl := harness.Client(t, s, kgo.ConsumeTopics(topic), kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	ctx := harness.Context(t, harness.Long)
	got := make([]int, len(want))
	for n := 0; n < copied; {
		fs := cl.PollFetches(ctx)
		if err := fs.Err(); err != nil {
			t.Fatalf("after %d of %d messages: %v", n, copied, err)
		}
		fs.EachRecord(func(r *kgo.Record) {
			if i := got[r.Partition]; i >= len(want[r.Partition]) || string(r.Value) != want[r.Partition][i] {
				t.Fatalf("message %d of partition %d is %q", i, r.Partition, r.Value)
			}
			got[r.Partition]++
			n++
		})
	}
}

// verifiablyConsume reads the topic in a group and checks the consumer's books.
func verifiablyConsume(t testing.TB, s *harness.Server, topic string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "consumer.properties")
	if err := os.WriteFile(file, []byte("isolation.level=read_committed\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	group := harness.Name(t, "g")
	out := run(t, s, verifiableConsumer, "--topic", topic, "--group-id", group, "--max-messages", fmt.Sprint(copied), "--command-config", file)
	read, committed := 0, 0
	for line := range strings.Lines(out) {
		var e struct {
			Name    string
			Count   int
			Success *bool
		}
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			continue
		}
		switch e.Name {
		case "records_consumed":
			read += e.Count
		case "offsets_committed":
			committed++
			if e.Success == nil || !*e.Success {
				t.Errorf("a commit failed: %s", line)
			}
		}
	}
	if read != copied || committed == 0 || !strings.Contains(out, `"name":"shutdown_complete"`) {
		t.Errorf("VerifiableConsumer read %d messages, want %d, in %d commits:\n%.4000s", read, copied, committed, out)
	}
}
