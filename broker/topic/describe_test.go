package topic

import (
	"bufio"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/streamweir/streamweir/broker/config"
)

// lines reads a table of testdata.
func lines(t *testing.T, name string) []string {
	t.Helper()
	f, err := os.Open("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var out []string
	for s := bufio.NewScanner(f); s.Scan(); {
		if !strings.HasPrefix(s.Text(), "#") {
			out = append(out, s.Text())
		}
	}
	return out
}

var sourceNames = map[Source]string{FromTopic: "DYNAMIC_TOPIC_CONFIG", FromDynamicBroker: "DYNAMIC_BROKER_CONFIG",
	FromDynamicDefault: "DYNAMIC_DEFAULT_BROKER_CONFIG", FromStaticBroker: "STATIC_BROKER_CONFIG", FromDefault: "DEFAULT_CONFIG"}

// print puts an entry as kafka-configs does.
func (e Entry) print() string {
	text := func(v *string) string {
		if v == nil {
			return "null"
		}
		return *v
	}
	var syn []string
	for _, s := range e.Synonyms {
		syn = append(syn, fmt.Sprintf("%s:%s=%s", sourceNames[s.Source], s.Name, text(s.Value)))
	}
	return fmt.Sprintf("%s=%s sensitive=%v synonyms={%s}", e.Name, text(e.Value), e.Key.Sensitive(), strings.Join(syn, ", "))
}

func TestTopicDescriptionIsThatOfApacheKafka(t *testing.T) {
	c := open(t, newMeta())
	topic := mustCreate(t, c, with(plain("a"), "retention.ms", "1000"))
	var got []string
	for _, e := range c.DescribeTopic(topic, nil) {
		if e.ReadOnly || e.Key.Documentation() == "" {
			t.Errorf("%s: read only %v, documentation %q", e.Name, e.ReadOnly, e.Key.Documentation())
		}
		if want := FromDefault; e.Name != "retention.ms" && e.Source != want {
			t.Errorf("%s: source %d", e.Name, e.Source)
		}
		if e.Key.Ours {
			continue
		}
		got = append(got, e.Key.Type.String()+" "+e.print())
	}
	want := lines(t, "kafka-topic-configs.txt")
	for i, line := range want {
		// The two that differ: our messages are larger, and Kafka sets its own
		// cluster-wide min.insync.replicas when a cluster is made.
		line = strings.ReplaceAll(line, "1048588", "10485760")
		want[i] = strings.Replace(line, "DYNAMIC_DEFAULT_BROKER_CONFIG:min.insync.replicas=1, ", "", 1)
	}
	if !slices.Equal(got, want) {
		for i := range max(len(got), len(want)) {
			if i >= len(got) || i >= len(want) || got[i] != want[i] {
				t.Errorf("line %d:\n got %q\nwant %q", i, at(got, i), at(want, i))
			}
		}
	}
}

func at(s []string, i int) string {
	if i < len(s) {
		return s[i]
	}
	return ""
}

// ours are the broker configs whose default or way to change differs from
// Apache Kafka's, and why.
var ours = map[string]string{
	"node.id":                          "required there",
	"broker.id":                        "shows node.id",
	"process.roles":                    "required there",
	"controller.listener.names":        "required there",
	"listeners":                        "on the loopback address only; fixed at the start",
	"listener.security.protocol.map":   "fixed at the start",
	"log.dir":                          "shows data.dir",
	"log.dirs":                         "shows data.dir",
	"message.max.bytes":                "10 MiB, as Amazon MSK users may set",
	"max.connections":                  "limited by default",
	"queued.max.request.bytes":         "limited by default",
	"offsets.topic.replication.factor": "one broker",
	"transaction.state.log.replication.factor":         "one broker",
	"transaction.state.log.min.isr":                    "one broker",
	"share.coordinator.state.topic.replication.factor": "one broker",
	"share.coordinator.state.topic.min.isr":            "one broker",
}

func TestBrokerDescriptionNamesAllOfApacheKafka(t *testing.T) {
	c := open(t, newMeta())
	entries, err := c.DescribeBroker("1", nil)
	if err != nil {
		t.Fatal(err)
	}
	byName := map[string]Entry{}
	last := ""
	for _, e := range entries {
		if e.Name <= last {
			t.Errorf("%s after %s", e.Name, last)
		}
		last = e.Name
		byName[e.Name] = e
		if e.Key.Documentation() == "" {
			t.Errorf("%s has no documentation", e.Name)
		}
		if e.Key.Sensitive() && e.Value != nil {
			t.Errorf("%s is shown", e.Name)
		}
	}
	table := lines(t, "kafka-broker-configs.txt")
	if len(table) != 340 {
		t.Fatalf("%d lines", len(table))
	}
	for _, line := range table {
		f := strings.Fields(line)
		name, kind, mode := f[0], f[1], f[len(f)-1]
		e, ok := byName[name]
		if !ok {
			t.Errorf("%s is missing", name)
			continue
		}
		delete(byName, name)
		if e.Key.Type.String() != kind {
			t.Errorf("%s is a %s, not a %s", name, kind, e.Key.Type)
		}
		if e.Key.Ours {
			t.Errorf("%s is Kafka's", name)
		}
		if ours[name] != "" {
			continue
		}
		value := "~"
		if e.Value != nil {
			value = strconv.Quote(*e.Value)
		}
		if value != f[2] {
			t.Errorf("%s: default %s, want %s", name, value, f[2])
		}
		// What is refused here cannot be changed at all.
		if want := mode == "read-only" || e.Key.Effect == config.Refused; e.ReadOnly != want {
			t.Errorf("%s: read only %v, want %v", name, e.ReadOnly, want)
		}
	}
	for name, e := range byName {
		if !e.Key.Ours {
			t.Errorf("%s is not Kafka's", name)
		}
	}
}

func TestSynonymsInTheirOrder(t *testing.T) {
	c := open(t, newMeta(), "log.retention.ms=100", "log.retention.hours=2", "log.roll.hours=3")
	topic := mustCreate(t, c, with(plain("a"), "retention.ms", "1000"))
	dynamic := func(node, value string) {
		alter(t, c, nil, ConfigChange{Resource: Resource{Broker: true, Name: node}, Ops: []ConfigOp{{"log.retention.ms", Set, &value}}})
	}
	dynamic("", "200")
	dynamic("1", "300")
	got := c.DescribeTopic(topic, []string{"retention.ms", "segment.ms", "no.such"})
	broker, err := c.DescribeBroker("1", []string{"log.retention.ms", "log.retention.hours", "log.retention.minutes"})
	if err != nil {
		t.Fatal(err)
	}
	defaults, err := c.DescribeBroker("", nil)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{
		"retention.ms=1000 sensitive=false synonyms={DYNAMIC_TOPIC_CONFIG:retention.ms=1000, DYNAMIC_BROKER_CONFIG:log.retention.ms=300, DYNAMIC_DEFAULT_BROKER_CONFIG:log.retention.ms=200, STATIC_BROKER_CONFIG:log.retention.ms=100, STATIC_BROKER_CONFIG:log.retention.hours=2, DEFAULT_CONFIG:log.retention.hours=168}",
		"segment.ms=10800000 sensitive=false synonyms={}",
		"log.retention.hours=2 sensitive=false synonyms={STATIC_BROKER_CONFIG:log.retention.hours=2, DEFAULT_CONFIG:log.retention.hours=168}",
		"log.retention.minutes=null sensitive=false synonyms={}",
		"log.retention.ms=300 sensitive=false synonyms={DYNAMIC_BROKER_CONFIG:log.retention.ms=300, DYNAMIC_DEFAULT_BROKER_CONFIG:log.retention.ms=200, STATIC_BROKER_CONFIG:log.retention.ms=100, STATIC_BROKER_CONFIG:log.retention.hours=2, DEFAULT_CONFIG:log.retention.hours=168}",
		"log.retention.ms=200 sensitive=false synonyms={DYNAMIC_DEFAULT_BROKER_CONFIG:log.retention.ms=200}",
	} {
		all := slices.Concat(got, broker, defaults)
		if i >= len(all) || all[i].print() != want {
			t.Errorf("%d:\n got %s\nwant %s", i, all[i].print(), want)
		}
	}
	if len(got)+len(broker)+len(defaults) != 6 {
		t.Errorf("%d entries", len(got)+len(broker)+len(defaults))
	}
	if all := c.DescribeTopic(topic, []string{}); len(all) != len(Defs()) {
		t.Errorf("%d entries for no names", len(all))
	}
}

func TestDescribeOddResources(t *testing.T) {
	c := open(t, newMeta())
	for name, want := range map[string]*kerr.Error{"none": kerr.UnknownTopicOrPartition, "a b": kerr.InvalidTopicException, "": kerr.InvalidTopicException} {
		_, err := c.Describable(name)
		wantCode(t, err, want)
	}
	for _, id := range []string{"2", "x", "1.0"} {
		_, err := c.DescribeBroker(id, nil)
		wantCode(t, err, kerr.InvalidRequest)
	}
}
