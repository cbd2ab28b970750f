package wire

import (
	"fmt"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/streamweir/streamweir/integration/harness"
)

// topicConfigs are Apache Kafka's topic configs that tools read.
var topicConfigs = []string{
	"cleanup.policy", "compression.type", "delete.retention.ms", "file.delete.delay.ms", "flush.messages", "flush.ms",
	"index.interval.bytes", "max.compaction.lag.ms", "max.message.bytes", "message.timestamp.after.max.ms",
	"message.timestamp.before.max.ms", "message.timestamp.type", "min.cleanable.dirty.ratio", "min.compaction.lag.ms",
	"min.insync.replicas", "preallocate", "retention.bytes", "retention.ms", "segment.bytes", "segment.index.bytes",
	"segment.jitter.ms", "segment.ms", "unclean.leader.election.enable",
}

func (e *env) describe(kind kmsg.ConfigResourceType, name string, names ...string) kmsg.DescribeConfigsResponseResource {
	e.t.Helper()
	req := harness.At(kmsg.NewPtrDescribeConfigsRequest(), 4)
	req.IncludeSynonyms, req.IncludeDocumentation = true, true
	rr := kmsg.NewDescribeConfigsRequestResource()
	rr.ResourceType, rr.ResourceName, rr.ConfigNames = kind, name, names
	req.Resources = append(req.Resources, rr)
	r := harness.Ask[*kmsg.DescribeConfigsResponse](e.t, e.c, req)
	if len(r.Resources) != 1 {
		e.t.Fatalf("%d resources", len(r.Resources))
	}
	return r.Resources[0]
}

// DescribeConfigs of a topic lists every config with its type, its source, its
// synonyms and its documentation.
func TestDescribeTopicConfigs(t *testing.T) {
	e := newEnv(t, 1, "retention.ms=1234567")
	rr := e.describe(kmsg.ConfigResourceTypeTopic, e.topic)
	if rr.ErrorCode != 0 {
		t.Fatal(kerr.ErrorForCode(rr.ErrorCode))
	}
	got := map[string]kmsg.DescribeConfigsResponseResourceConfig{}
	for _, c := range rr.Configs {
		got[c.Name] = c
		if c.ConfigType < 1 || c.ConfigType > 9 {
			t.Errorf("%s: type %d", c.Name, c.ConfigType)
		}
		if len(str(c.Documentation)) < 20 {
			t.Errorf("%s: documentation %q", c.Name, str(c.Documentation))
		}
		if c.ReadOnly || c.IsSensitive || c.Value == nil {
			t.Errorf("%s: read only %v, sensitive %v, value %v", c.Name, c.ReadOnly, c.IsSensitive, c.Value)
		}
		if len(c.ConfigSynonyms) == 0 && c.Source != kmsg.ConfigSourceDefaultConfig {
			t.Errorf("%s: no synonyms", c.Name)
		}
	}
	for _, name := range topicConfigs {
		if _, ok := got[name]; !ok {
			t.Errorf("%s is not listed", name)
		}
	}
	c := got["retention.ms"]
	if str(c.Value) != "1234567" || c.Source != kmsg.ConfigSourceDynamicTopicConfig {
		t.Errorf("retention.ms: %s from %v", str(c.Value), c.Source)
	}
	if len(c.ConfigSynonyms) == 0 || c.ConfigSynonyms[0].Name != "retention.ms" || c.ConfigSynonyms[0].Source != kmsg.ConfigSourceDynamicTopicConfig {
		t.Errorf("retention.ms: synonyms %+v", c.ConfigSynonyms)
	}
	if c := got["max.message.bytes"]; str(c.Value) != "10485760" {
		t.Errorf("max.message.bytes: %s", str(c.Value))
	}
	if rr := e.describe(kmsg.ConfigResourceTypeTopic, e.topic, "segment.bytes", "no.such.config"); len(rr.Configs) != 1 || rr.Configs[0].Name != "segment.bytes" {
		t.Errorf("asked for one known and one unknown config: %+v", rr.Configs)
	}
	if rr := e.describe(kmsg.ConfigResourceTypeTopic, harness.Name(t, "none")); rr.ErrorCode != kerr.UnknownTopicOrPartition.Code {
		t.Errorf("an unknown topic: %v", kerr.ErrorForCode(rr.ErrorCode))
	}
}

// DescribeConfigs of the broker shows its settings by Kafka's names.
func TestDescribeBrokerConfigs(t *testing.T) {
	e := newEnv(t, 1)
	m := harness.Ask[*kmsg.MetadataResponse](t, e.c, harness.At(kmsg.NewPtrMetadataRequest(), metadataV))
	node := fmt.Sprint(m.Brokers[0].NodeID)
	rr := e.describe(kmsg.ConfigResourceTypeBroker, node)
	if rr.ErrorCode != 0 {
		t.Fatal(kerr.ErrorForCode(rr.ErrorCode))
	}
	got := map[string]string{}
	for _, c := range rr.Configs {
		got[c.Name] = str(c.Value)
	}
	for name, want := range map[string]string{
		"message.max.bytes": "10485760", "auto.create.topics.enable": "true", "num.partitions": "1",
		"log.retention.bytes": "-1", "offsets.retention.minutes": "10080", "group.initial.rebalance.delay.ms": "0",
	} {
		if got[name] != want {
			t.Errorf("%s is %q, want %q", name, got[name], want)
		}
	}
	if rr := e.describe(kmsg.ConfigResourceTypeBroker, "4711"); rr.ErrorCode == 0 {
		t.Error("an unknown broker has configs")
	}
}

// alter sends IncrementalAlterConfigs for a topic and returns the error.
func (e *env) alter(validateOnly bool, topic string, op kmsg.IncrementalAlterConfigOp, name string, value *string) error {
	e.t.Helper()
	req := harness.At(kmsg.NewPtrIncrementalAlterConfigsRequest(), 1)
	req.ValidateOnly = validateOnly
	rr := kmsg.NewIncrementalAlterConfigsRequestResource()
	rr.ResourceType, rr.ResourceName = kmsg.ConfigResourceTypeTopic, topic
	rc := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
	rc.Name, rc.Op, rc.Value = name, op, value
	rr.Configs = append(rr.Configs, rc)
	req.Resources = append(req.Resources, rr)
	r := harness.Ask[*kmsg.IncrementalAlterConfigsResponse](e.t, e.c, req)
	return kerr.ErrorForCode(r.Resources[0].ErrorCode)
}

// becomes waits for a config's value.
func (e *env) becomes(name, want string) {
	e.t.Helper()
	harness.Eventually(e.t, harness.Long, name+" becomes "+want, func() error {
		return equal(name, str(e.configValue(e.topic, name).Value), want)
	})
}

const (
	opSet      = kmsg.IncrementalAlterConfigOpSet
	opDelete   = kmsg.IncrementalAlterConfigOpDelete
	opAppend   = kmsg.IncrementalAlterConfigOpAppend
	opSubtract = kmsg.IncrementalAlterConfigOpSubtract
)

// Set, delete, append, subtract and validate-only.
func TestIncrementalAlterConfigs(t *testing.T) {
	e := newEnv(t, 1)
	do := func(op kmsg.IncrementalAlterConfigOp, name string, value *string) {
		t.Helper()
		if err := e.alter(false, e.topic, op, name, value); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	if err := e.alter(true, e.topic, opSet, "retention.ms", ptr("1000")); err != nil {
		t.Errorf("validate only: %v", err)
	}
	do(opSet, "segment.bytes", ptr("2097152"))
	e.becomes("segment.bytes", "2097152")
	e.becomes("retention.ms", "604800000")
	do(opSet, "retention.ms", ptr("1000000"))
	e.becomes("retention.ms", "1000000")
	do(opDelete, "retention.ms", nil)
	e.becomes("retention.ms", "604800000")
	do(opAppend, "cleanup.policy", ptr("compact"))
	e.becomes("cleanup.policy", "delete,compact")
	do(opSubtract, "cleanup.policy", ptr("delete"))
	e.becomes("cleanup.policy", "compact")
	if err := e.alter(false, e.topic, opAppend, "retention.ms", ptr("1")); err != kerr.InvalidConfig && err != kerr.InvalidRequest {
		t.Errorf("append to what is no list: %v", err)
	}
	if err := e.alter(false, harness.Name(t, "none"), opSet, "retention.ms", ptr("1")); err != kerr.UnknownTopicOrPartition {
		t.Errorf("an unknown topic: %v", err)
	}
}

// An invalid value is refused with INVALID_CONFIG and changes nothing, by both
// APIs.
func TestInvalidConfigs(t *testing.T) {
	e := newEnv(t, 1)
	for _, c := range []struct{ name, value string }{
		{"retention.ms", "soon"},
		{"retention.ms", "-2"},
		{"retention.bytes", "1.5"},
		{"segment.bytes", "0"},
		{"segment.bytes", "99999999999"},
		{"cleanup.policy", "burn"},
		{"compression.type", "rar"},
		{"message.timestamp.type", "Whenever"},
		{"max.message.bytes", "-1"},
		{"min.insync.replicas", "0"},
		{"min.cleanable.dirty.ratio", "1.5"},
		{"unclean.leader.election.enable", "perhaps"},
		{"no.such.config", "1"},
	} {
		t.Run(c.name+"="+c.value, func(t *testing.T) {
			e := e.with(t)
			if err := e.alter(false, e.topic, opSet, c.name, &c.value); err != kerr.InvalidConfig {
				t.Errorf("IncrementalAlterConfigs: %v", err)
			}
			req := harness.At(kmsg.NewPtrAlterConfigsRequest(), 2)
			rr := kmsg.NewAlterConfigsRequestResource()
			rr.ResourceType, rr.ResourceName = kmsg.ConfigResourceTypeTopic, e.topic
			rc := kmsg.NewAlterConfigsRequestResourceConfig()
			rc.Name, rc.Value = c.name, &c.value
			rr.Configs = append(rr.Configs, rc)
			req.Resources = append(req.Resources, rr)
			r := harness.Ask[*kmsg.AlterConfigsResponse](t, e.c, req)
			if err := kerr.ErrorForCode(r.Resources[0].ErrorCode); err != kerr.InvalidConfig {
				t.Errorf("AlterConfigs: %v", err)
			}
			if msg := str(r.Resources[0].ErrorMessage); !strings.Contains(msg, c.name) {
				t.Errorf("the message does not name the config: %q", msg)
			}
		})
	}
	for _, c := range e.describe(kmsg.ConfigResourceTypeTopic, e.topic).Configs {
		if c.Source == kmsg.ConfigSourceDynamicTopicConfig {
			t.Errorf("%s was set to %s", c.Name, str(c.Value))
		}
	}
}

// A changed config takes effect without a restart, and outlives one.
func TestChangedConfigTakesEffect(t *testing.T) {
	s := harness.Start(t)
	e := newEnvOn(t, s, 1)
	large := harness.Batch{Records: harness.Values(strings.Repeat("x", 5000))}
	e.produce(0, large)
	if err := e.alter(false, e.topic, opSet, "max.message.bytes", ptr("4000")); err != nil {
		t.Fatal(err)
	}
	harness.Eventually(t, harness.Long, "the new limit holds", func() error {
		return equal("produce", kerr.ErrorForCode(e.try(0, large).ErrorCode), error(kerr.MessageTooLarge))
	})
	s.Restart(t)
	e.redial()
	e.leaderEpoch(0)
	e.refused(large, kerr.MessageTooLarge)
}
