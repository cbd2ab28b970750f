// Package javatools drives the built binary with the Java clients and command
// line tools of Apache Kafka 4.3.1.
package javatools

import (
	"fmt"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/streamweir/streamweir/integration/harness"
)

func TestMain(m *testing.M) { harness.Main(m) }

// toolTakes is how long a tool may take: a JVM starts slowly on a busy machine.
const toolTakes = 3 * time.Minute

var fetchOnce = sync.OnceValue(func() error {
	script, err := harness.KafkaScript()
	if err != nil {
		return err
	}
	if out, err := exec.Command(script, "fetch").CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return nil
})

// tool makes a command of one of Apache Kafka's main classes.
func tool(t testing.TB, class string, args ...string) *exec.Cmd {
	t.Helper()
	harness.NeedTool(t, "java")
	if err := fetchOnce(); err != nil {
		t.Skipf("Apache Kafka's jars are not here: %v", err)
	}
	script, err := harness.KafkaScript()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(script, append([]string{"class", class}, args...)...)
	// A short life on a small machine: no second compiler, no large heap.
	cmd.Env = append(cmd.Environ(), "KAFKA_HEAP=256m", "JAVA_OPTIONS=-XX:TieredStopAtLevel=1 -XX:+UseSerialGC")
	return cmd
}

const (
	topics          = "org.apache.kafka.tools.TopicCommand"
	configs         = "kafka.admin.ConfigCommand"
	groups          = "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand"
	offsets         = "org.apache.kafka.tools.GetOffsetShell"
	logDirs         = "org.apache.kafka.tools.LogDirsCommand"
	apiVersions     = "org.apache.kafka.tools.BrokerApiVersionsCommand"
	deleteRecords   = "org.apache.kafka.tools.DeleteRecordsCommand"
	consoleProducer = "org.apache.kafka.tools.ConsoleProducer"
	consoleConsumer = "org.apache.kafka.tools.consumer.ConsoleConsumer"
	producerPerf    = "org.apache.kafka.tools.ProducerPerformance"
	consumerPerf    = "org.apache.kafka.tools.ConsumerPerformance"
)

// run runs a tool that has to succeed against the server.
func run(t testing.TB, s *harness.Server, class string, args ...string) string {
	t.Helper()
	return harness.MustRun(t, toolTakes, tool(t, class, append([]string{"--bootstrap-server", s.Addr()}, args...)...))
}

// wants checks that each of the texts is in a tool's output; runs of spaces
// count as one.
func wants(t testing.TB, out string, texts ...string) {
	t.Helper()
	flat := strings.Join(strings.Fields(out), " ")
	for _, text := range texts {
		if !strings.Contains(flat, text) {
			t.Errorf("no %q in\n%s", text, out)
		}
	}
}

// fill puts n records into each partition of a topic.
func fill(t testing.TB, s *harness.Server, topic string, partitions, n int) {
	t.Helper()
	cl := harness.Client(t, s, kgo.DefaultProduceTopic(topic), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	var rs []*kgo.Record
	for p := range partitions {
		for i := range n {
			rs = append(rs, &kgo.Record{Partition: int32(p), Value: fmt.Appendf(nil, "value %d", i)})
		}
	}
	if err := cl.ProduceSync(harness.Context(t, harness.Long), rs...).FirstErr(); err != nil {
		t.Fatal(err)
	}
}
