package javatools

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/streamweir/streamweir/integration/harness"
)

// Topics are created, listed, described, widened and deleted.
func TestTopicCommand(t *testing.T) {
	s := harness.Shared(t)
	name := harness.Name(t, "made")
	run(t, s, topics, "--create", "--topic", name, "--partitions", "2", "--replication-factor", "1", "--config", "retention.ms=3600000")
	wants(t, run(t, s, topics, "--list"), name)
	out := run(t, s, topics, "--describe", "--topic", name)
	wants(t, out, "Topic: "+name+" TopicId: ", "PartitionCount: 2 ReplicationFactor: 1", "retention.ms=3600000",
		"Partition: 1 Leader: 1 Replicas: 1 Isr: 1")
	if strings.Contains(out, "WARN") || strings.Contains(out, "UnsupportedVersion") {
		t.Errorf("warnings:\n%s", out)
	}
	run(t, s, topics, "--alter", "--topic", name, "--partitions", "5")
	wants(t, run(t, s, topics, "--describe", "--topic", name), "PartitionCount: 5")
	code, out := harness.Run(t, toolTakes, tool(t, topics, "--bootstrap-server", s.Addr(), "--create", "--topic", name))
	if code == 0 || !strings.Contains(out, "already exists") {
		t.Errorf("created twice: exit code %d:\n%s", code, out)
	}
	run(t, s, topics, "--delete", "--topic", name)
	harness.Eventually(t, toolTakes, "the topic is gone", func() error {
		if strings.Contains(run(t, s, topics, "--list"), name) {
			return fmt.Errorf("%s is still listed", name)
		}
		return nil
	})
}

// Configs of topics and of the broker are described and changed.
func TestConfigCommand(t *testing.T) {
	s := harness.Shared(t)
	topic := harness.Topic(t, s, 1)
	topicArgs := []string{"--entity-type", "topics", "--entity-name", topic}
	run(t, s, configs, append(topicArgs, "--alter", "--add-config", "retention.ms=7200000,cleanup.policy=[delete,compact]")...)
	wants(t, run(t, s, configs, append(topicArgs, "--describe")...),
		"retention.ms=7200000 sensitive=false synonyms={DYNAMIC_TOPIC_CONFIG:retention.ms=7200000", "cleanup.policy=delete,compact")
	run(t, s, configs, append(topicArgs, "--alter", "--delete-config", "retention.ms")...)
	out := run(t, s, configs, append(topicArgs, "--describe", "--all")...)
	wants(t, out, "retention.ms=604800000", "segment.bytes=", "max.message.bytes=10485760")
	code, out := harness.Run(t, toolTakes, tool(t, configs, append([]string{"--bootstrap-server", s.Addr()},
		append(topicArgs, "--alter", "--add-config", "retention.ms=soon")...)...))
	if code == 0 || !strings.Contains(out, "retention.ms") {
		t.Errorf("an invalid value: exit code %d:\n%s", code, out)
	}
	wants(t, run(t, s, configs, "--entity-type", "brokers", "--entity-name", "1", "--describe", "--all"),
		"message.max.bytes=10485760", "auto.create.topics.enable=true")
}

// Groups are listed, described with their lag, reset and deleted.
func TestConsumerGroupCommand(t *testing.T) {
	s := harness.Shared(t)
	const partitions, each = 2, 50
	topic := harness.Topic(t, s, partitions)
	fill(t, s, topic, partitions, each)
	group := harness.Name(t, "g")
	cl := harness.Client(t, s, kgo.ConsumerGroup(group), kgo.ConsumeTopics(topic), kgo.DisableAutoCommit(),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	ctx := harness.Context(t, toolTakes)
	for read := 0; read < partitions*each; {
		fs := cl.PollFetches(ctx)
		if err := fs.Err(); err != nil {
			t.Fatal(err)
		}
		read += fs.NumRecords()
	}
	if err := cl.CommitUncommittedOffsets(ctx); err != nil {
		t.Fatal(err)
	}
	fill(t, s, topic, 1, 7) // partition 0 is 7 behind
	wants(t, run(t, s, groups, "--list"), group)
	lines := fmt.Sprintf("%s %s 0 50 57 7 ", group, topic)
	wants(t, run(t, s, groups, "--describe", "--group", group), lines, fmt.Sprintf("%s %s 1 50 50 0 ", group, topic))
	wants(t, run(t, s, groups, "--describe", "--group", group, "--state"), "Stable 1")
	wants(t, run(t, s, groups, "--describe", "--group", group, "--members", "--verbose"), topic+":0,1")

	reset := []string{"--reset-offsets", "--group", group, "--topic", topic}
	code, out := harness.Run(t, toolTakes, tool(t, groups, append([]string{"--bootstrap-server", s.Addr()}, append(reset, "--to-earliest", "--execute")...)...))
	if !strings.Contains(out, "inactive") {
		t.Errorf("reset of an active group: exit code %d:\n%s", code, out)
	}
	cl.Close()
	wants(t, run(t, s, groups, append(reset, "--to-earliest", "--dry-run")...), topic+" 0 0")
	wants(t, run(t, s, groups, "--describe", "--group", group), lines)
	run(t, s, groups, append(reset, "--shift-by", "-10", "--execute")...)
	wants(t, run(t, s, groups, "--describe", "--group", group), fmt.Sprintf("%s %s 0 40 57 17 ", group, topic))
	run(t, s, groups, "--delete-offsets", "--group", group, "--topic", topic+":1")
	if out := run(t, s, groups, "--describe", "--group", group); strings.Contains(strings.Join(strings.Fields(out), " "), topic+" 1 40") {
		t.Errorf("the deleted offset is still there:\n%s", out)
	}
	wants(t, run(t, s, groups, "--delete", "--group", group), "successful")
	if strings.Contains(run(t, s, groups, "--list"), group) {
		t.Error("the deleted group is still listed")
	}
}

// Offsets are told by place and by time.
func TestGetOffsetShell(t *testing.T) {
	s := harness.Shared(t)
	topic := harness.Topic(t, s, 2)
	fill(t, s, topic, 2, 30)
	fill(t, s, topic, 1, 5)
	for _, c := range []struct{ time, want string }{
		{"latest", topic + ":0:35 " + topic + ":1:30"},
		{"earliest", topic + ":0:0 " + topic + ":1:0"},
		{"1000", topic + ":0:0 " + topic + ":1:0"},
		{"earliest-local", topic + ":0:0 " + topic + ":1:0"},
	} {
		wants(t, run(t, s, offsets, "--topic", topic, "--time", c.time), c.want)
	}
	out := run(t, s, offsets, "--topic", topic, "--time", "max-timestamp")
	if !regexp.MustCompile(regexp.QuoteMeta(topic) + `:0:\d+`).MatchString(out) {
		t.Errorf("max-timestamp:\n%s", out)
	}
}

// The size of a topic is what tools show.
func TestLogDirsCommand(t *testing.T) {
	s := harness.Shared(t)
	topic := harness.Topic(t, s, 1)
	fill(t, s, topic, 1, 1000)
	out := run(t, s, logDirs, "--describe", "--topic-list", topic)
	line := regexp.MustCompile(`(?m)^\{.*\}$`).FindString(out)
	var got struct {
		Brokers []struct {
			LogDirs []struct {
				Error      *string
				Partitions []struct {
					Partition string
					Size      int64
				}
			}
		}
	}
	if err := json.Unmarshal([]byte(line), &got); err != nil {
		t.Fatalf("%v:\n%s", err, out)
	}
	if len(got.Brokers) != 1 || len(got.Brokers[0].LogDirs) != 1 || len(got.Brokers[0].LogDirs[0].Partitions) != 1 {
		t.Fatalf("not one broker, directory and partition: %s", line)
	}
	d := got.Brokers[0].LogDirs[0]
	if d.Error != nil || d.Partitions[0].Size < 5000 || d.Partitions[0].Partition != topic+"-0" {
		t.Errorf("%s", line)
	}
}

// BrokerApiVersionsCommand finds the broker and can use every key it has.
func TestBrokerApiVersionsCommand(t *testing.T) {
	s := harness.Shared(t)
	out := run(t, s, apiVersions)
	wants(t, out, s.Addr()+" (id: 1 rack: null", "Produce(0): 0 to 13 [usable: 13]", "Fetch(1): 4 to 18 [usable: 18]",
		"ApiVersions(18): 0 to 4 [usable: 4]", "JoinGroup(11): 0 to 9 [usable: 9]")
	for _, key := range []string{"Metadata(3)", "ListOffsets(2)", "OffsetCommit(8)", "CreateTopics(19)", "OffsetDelete(47)", "DescribeCluster(60)"} {
		if regexp.MustCompile(regexp.QuoteMeta(key) + `: (UNSUPPORTED|.*usable: NONE)`).MatchString(out) {
			t.Errorf("%s is of no use to the Java client:\n%s", key, out)
		}
	}
}

// Records are deleted up to an offset of a file.
func TestDeleteRecordsCommand(t *testing.T) {
	s := harness.Shared(t)
	topic := harness.Topic(t, s, 1)
	fill(t, s, topic, 1, 30)
	file := filepath.Join(t.TempDir(), "offsets.json")
	content := fmt.Sprintf(`{"partitions": [{"topic": %q, "partition": 0, "offset": 12}], "version": 1}`, topic)
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	wants(t, run(t, s, deleteRecords, "--offset-json-file", file), "partition: "+topic+"-0 low_watermark: 12")
	wants(t, run(t, s, offsets, "--topic", topic, "--time", "earliest"), topic+":0:12")
}
