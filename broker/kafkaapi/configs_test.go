package kafkaapi

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/streamweir/streamweir/protocol/kafka"
)

const (
	ofTopic  = kmsg.ConfigResourceTypeTopic
	ofBroker = kmsg.ConfigResourceTypeBroker
)

func describeReq(resources ...kmsg.DescribeConfigsRequestResource) *kmsg.DescribeConfigsRequest {
	req := kmsg.NewPtrDescribeConfigsRequest()
	req.Resources, req.IncludeSynonyms, req.IncludeDocumentation = resources, true, true
	return req
}

func resource(kind kmsg.ConfigResourceType, name string, configs ...string) kmsg.DescribeConfigsRequestResource {
	return kmsg.DescribeConfigsRequestResource{ResourceType: kind, ResourceName: name, ConfigNames: configs}
}

func change(name string, op int8, value string) kmsg.IncrementalAlterConfigsRequestResourceConfig {
	c := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
	c.Name, c.Op = name, kmsg.IncrementalAlterConfigOp(op)
	if value != "null" {
		c.Value = &value
	}
	return c
}

func incrementalReq(validateOnly bool, kind kmsg.ConfigResourceType, name string, changes ...kmsg.IncrementalAlterConfigsRequestResourceConfig) *kmsg.IncrementalAlterConfigsRequest {
	req := kmsg.NewPtrIncrementalAlterConfigsRequest()
	req.ValidateOnly = validateOnly
	rr := kmsg.NewIncrementalAlterConfigsRequestResource()
	rr.ResourceType, rr.ResourceName, rr.Configs = kind, name, changes
	req.Resources = append(req.Resources, rr)
	return req
}

func TestDescribeConfigs(t *testing.T) {
	versions(t, kafka.DescribeConfigs, func(t *testing.T, v int16) {
		a := newAdmin(t, "log.retention.ms=100")
		a.create("x", 1, "retention.ms", "5")
		empty := resource(ofTopic, "x")
		empty.ConfigNames = []string{}
		resp := a.ask(v, describeReq(resource(ofTopic, "x"), empty, resource(ofTopic, "x", "retention.ms", "none", "retention.ms"), resource(ofTopic, "none"),
			resource(ofTopic, "a b"), resource(ofTopic, ""), resource(ofBroker, "1", "log.retention.ms", "ssl.key.password", "node.id"),
			resource(ofBroker, "2"), resource(ofBroker, "x"), resource(ofBroker, ""), resource(99, "x"), resource(0, "x"))).(*kmsg.DescribeConfigsResponse)
		var got []string
		for _, r := range resp.Resources {
			got = append(got, fmt.Sprintf("%d %s %s %d", r.ResourceType, r.ResourceName, name(r.ErrorCode), len(r.Configs)))
			if r.ErrorMessage == nil || (*r.ErrorMessage == "") != (r.ErrorCode == 0) {
				t.Errorf("%s: message %v", r.ResourceName, r.ErrorMessage)
			}
		}
		wantLines(t, got, "2 x ok 34", "2 x ok 34", "2 x ok 1", "2 none UNKNOWN_TOPIC_OR_PARTITION 0", "2 a b INVALID_TOPIC_EXCEPTION 0",
			"2  INVALID_TOPIC_EXCEPTION 0", "4 1 ok 3", "4 2 INVALID_REQUEST 0", "4 x INVALID_REQUEST 0", "4  ok 0", "99 x INVALID_REQUEST 0", "0 x INVALID_REQUEST 0")
		c := resp.Resources[2].Configs[0]
		if c.Name != "retention.ms" || *c.Value != "5" || c.ReadOnly || c.IsSensitive || c.Source != kmsg.ConfigSourceDynamicTopicConfig ||
			len(c.ConfigSynonyms) != 3 || *c.ConfigSynonyms[1].Value != "100" || c.ConfigSynonyms[1].Source != kmsg.ConfigSourceStaticBrokerConfig {
			t.Errorf("%+v", c)
		}
		if v >= 3 && (c.ConfigType != kmsg.ConfigTypeLong || c.Documentation == nil || *c.Documentation == "") {
			t.Errorf("%+v", c)
		}
		for _, c := range resp.Resources[6].Configs {
			if (c.Name == "ssl.key.password") != c.IsSensitive || c.IsSensitive && c.Value != nil || (c.Name == "log.retention.ms") == c.ReadOnly {
				t.Errorf("%+v", c)
			}
		}
		req := describeReq(resource(ofTopic, "x", "retention.ms"))
		req.IncludeSynonyms, req.IncludeDocumentation = false, false
		c = a.ask(v, req).(*kmsg.DescribeConfigsResponse).Resources[0].Configs[0]
		if len(c.ConfigSynonyms) != 0 || c.Documentation != nil || c.Source != kmsg.ConfigSourceDynamicTopicConfig {
			t.Errorf("%+v", c)
		}
		if r := a.ask(v, describeReq()).(*kmsg.DescribeConfigsResponse).Resources; len(r) != 0 {
			t.Errorf("%+v", r)
		}
	})
}

func TestDescribeConfigsIsBounded(t *testing.T) {
	a := newAdmin(t)
	all := len(a.ask(4, describeReq(resource(ofBroker, "1"))).(*kmsg.DescribeConfigsResponse).Resources[0].Configs)
	versions(t, kafka.DescribeConfigs, func(t *testing.T, v int16) {
		req := describeReq(slices.Repeat([]kmsg.DescribeConfigsRequestResource{resource(ofBroker, "1")}, 10)...)
		resp := kmsg.NewPtrDescribeConfigsResponse()
		resp.Version = v
		one := len((&describedConfigs{resp, a.s, describeReq(resource(ofBroker, "1")), maxDescribedBytes}).AppendTo(nil))
		if err := resp.ReadFrom((&describedConfigs{resp, a.s, req, 3*one + 1}).AppendTo(nil)); err != nil {
			t.Fatal(err)
		}
		for i, r := range resp.Resources {
			if want := i < 4; (len(r.Configs) == all) != want || (r.ErrorCode == 0) != want {
				t.Errorf("answer %d: %s, %d configs", i, name(r.ErrorCode), len(r.Configs))
			}
		}
		if len(resp.Resources) != 10 {
			t.Errorf("%d answers", len(resp.Resources))
		}
	})
}

// What is encoded resource by resource is what kmsg would make of all of them.
func TestDescribedConfigsAreEncodedAsOne(t *testing.T) {
	a := newAdmin(t)
	a.create("x", 1)
	versions(t, kafka.DescribeConfigs, func(t *testing.T, v int16) {
		for n := range 3 {
			req := describeReq([]kmsg.DescribeConfigsRequestResource{resource(ofTopic, "x"), resource(ofTopic, "none"), resource(ofBroker, "1")}[:n]...)
			d := &describedConfigs{kmsg.NewPtrDescribeConfigsResponse(), a.s, req, maxDescribedBytes}
			d.SetVersion(v)
			whole := *d.DescribeConfigsResponse
			for i := range req.Resources {
				whole.Resources = append(whole.Resources, d.resource(&req.Resources[i], true))
			}
			if got, want := d.AppendTo([]byte("head")), whole.AppendTo([]byte("head")); !bytes.Equal(got, want) {
				t.Errorf("%d resources: %d bytes, want %d: %q, want %q", n, len(got), len(want), got, want)
			}
		}
	})
}

// What a request with one change is answered with by Apache Kafka 4.3.1, but
// where a comment says otherwise.
func TestIncrementalAlterConfigs(t *testing.T) {
	versions(t, kafka.IncrementalAlterConfigs, func(t *testing.T, v int16) {
		type cs = []kmsg.IncrementalAlterConfigsRequestResourceConfig
		for _, tc := range []struct {
			kind    kmsg.ConfigResourceType
			name    string
			changes cs
			want    string
		}{
			{ofTopic, "x", nil, "ok"},
			{ofTopic, "x", cs{change("retention.ms", 0, "5")}, "ok"},
			{ofTopic, "none", cs{change("retention.ms", 0, "5")}, "UNKNOWN_TOPIC_OR_PARTITION"},
			{ofTopic, "none", nil, "UNKNOWN_TOPIC_OR_PARTITION"},
			{ofTopic, "a b", cs{change("retention.ms", 0, "5")}, "INVALID_TOPIC_EXCEPTION"},
			{ofTopic, "", cs{change("retention.ms", 0, "5")}, "INVALID_REQUEST"},
			{ofTopic, "x", cs{change("no.such", 0, "5")}, "INVALID_CONFIG"},
			{ofTopic, "x", cs{change("no.such", 1, "null")}, "ok"},
			{ofTopic, "x", cs{change("no.such", 2, "x")}, "INVALID_CONFIG"},
			{ofTopic, "x", cs{change("retention.ms", 2, "5")}, "INVALID_CONFIG"},
			{ofTopic, "x", cs{change("cleanup.policy", 2, "compact")}, "ok"},
			{ofTopic, "x", cs{change("cleanup.policy", 2, "shred")}, "INVALID_CONFIG"},
			{ofTopic, "x", cs{change("cleanup.policy", 3, "compact,delete")}, "ok"},
			{ofTopic, "x", cs{change("retention.ms", 0, "5"), change("retention.ms", 1, "null")}, "INVALID_REQUEST"},
			{ofTopic, "x", cs{change("retention.ms", 0, "null")}, "INVALID_REQUEST"},
			{ofTopic, "x", cs{change("retention.ms", 9, "5")}, "INVALID_REQUEST"}, // Kafka fails inside
			{ofTopic, "x", cs{change("retention.ms", 0, "x")}, "INVALID_CONFIG"},
			{99, "x", nil, "INVALID_REQUEST"},
			{0, "x", nil, "INVALID_REQUEST"},
			{ofBroker, "2", cs{change("log.retention.ms", 0, "5")}, "INVALID_REQUEST"},
			{ofBroker, "x", cs{change("log.retention.ms", 0, "5")}, "INVALID_REQUEST"},
			{ofBroker, "1", cs{change("no.such", 0, "5")}, "INVALID_CONFIG"}, // Kafka keeps it for plug-ins
			{ofBroker, "1", cs{change("num.partitions", 0, "5")}, "INVALID_REQUEST"},
			{ofBroker, "", cs{change("listeners", 0, "PLAINTEXT://:1")}, "INVALID_REQUEST"},
			{ofBroker, "", cs{change("log.retention.ms", 0, "x")}, "INVALID_REQUEST"},
			{ofBroker, "", cs{change("log.retention.ms", 0, "0")}, "INVALID_REQUEST"},
			{ofBroker, "", cs{change("log.retention.ms", 2, "5")}, "INVALID_CONFIG"},
			{ofBroker, "", cs{change("log.retention.ms", 9, "5")}, "INVALID_REQUEST"},
			{ofBroker, "", cs{change("log.cleanup.policy", 2, "compact")}, "ok"},
			{ofBroker, "1", cs{change("ssl.keystore.location", 0, "x")}, "INVALID_REQUEST"},
			{ofBroker, "1", cs{change("num.io.threads", 0, "9")}, "ok"},
			{ofBroker, "01", cs{change("num.io.threads", 1, "null")}, "ok"},
		} {
			a := newAdmin(t)
			a.create("x", 1)
			for _, validateOnly := range []bool{true, false} {
				r := a.ask(v, incrementalReq(validateOnly, tc.kind, tc.name, tc.changes...)).(*kmsg.IncrementalAlterConfigsResponse).Resources[0]
				if name(r.ErrorCode) != tc.want || (r.ErrorMessage == nil) != (tc.want == "ok") || r.ResourceType != tc.kind || r.ResourceName != tc.name {
					t.Errorf("%d %s %v: %s %v, want %s", tc.kind, tc.name, tc.changes, name(r.ErrorCode), r.ErrorMessage, tc.want)
				}
				if validateOnly && len(a.s.core.Topics.Topic("x").Configs) != 0 {
					t.Error("validating changed the topic")
				}
			}
		}
	})
}

func TestAlterConfigsOfManyResources(t *testing.T) {
	a := newAdmin(t)
	a.create("x", 1)
	a.create("y", 1)
	req := incrementalReq(false, ofTopic, "x", change("retention.ms", 0, "5"))
	for _, r := range []*kmsg.IncrementalAlterConfigsRequest{
		incrementalReq(false, 99, "x"),
		incrementalReq(false, ofTopic, "y", change("retention.ms", 0, "5")),
		incrementalReq(false, ofTopic, "y", change("retention.ms", 0, "6")),
		incrementalReq(false, ofBroker, "", change("log.retention.bytes", 0, "7")),
	} {
		req.Resources = append(req.Resources, r.Resources...)
	}
	var got []string
	for _, r := range a.ask(1, req).(*kmsg.IncrementalAlterConfigsResponse).Resources {
		got = append(got, fmt.Sprintf("%d %s %s", r.ResourceType, r.ResourceName, name(r.ErrorCode)))
	}
	wantLines(t, got, "2 x ok", "99 x INVALID_REQUEST", "2 y INVALID_REQUEST", "2 y INVALID_REQUEST", "4  ok")
	x, y := a.s.core.Topics.Topic("x").Settings, a.s.core.Topics.Topic("y").Settings
	if x.RetentionMs != 5 || x.RetentionBytes != 7 || y.RetentionMs != 604800000 || y.RetentionBytes != 7 {
		t.Errorf("%+v %+v", x, y)
	}
}

func TestAlterConfigs(t *testing.T) {
	versions(t, kafka.AlterConfigs, func(t *testing.T, v int16) {
		a := newAdmin(t)
		a.create("x", 1, "retention.bytes", "9")
		alter := func(validateOnly bool, kind kmsg.ConfigResourceType, res string, configs ...string) string {
			req := kmsg.NewPtrAlterConfigsRequest()
			req.ValidateOnly = validateOnly
			rr := kmsg.NewAlterConfigsRequestResource()
			rr.ResourceType, rr.ResourceName = kind, res
			for i := 0; i < len(configs); i += 2 {
				c := kmsg.AlterConfigsRequestResourceConfig{Name: configs[i], Value: &configs[i+1]}
				if *c.Value == "null" {
					c.Value = nil
				}
				rr.Configs = append(rr.Configs, c)
			}
			req.Resources = append(req.Resources, rr)
			return name(a.ask(v, req).(*kmsg.AlterConfigsResponse).Resources[0].ErrorCode)
		}
		settings := func() string {
			s := a.s.core.Topics.Topic("x").Settings
			return fmt.Sprint(s.RetentionMs, " ", s.RetentionBytes)
		}
		wantLines(t, []string{
			alter(false, ofTopic, "x", "retention.ms", "null"), alter(false, ofTopic, "x", "retention.ms", "1", "retention.ms", "2"),
			alter(false, ofTopic, "none", "retention.ms", "1"), alter(false, ofTopic, "x", "no.such", "1"),
			alter(false, ofBroker, "", "log.retention.ms", "x"), alter(false, 8, "1", "root", "INFO"), alter(false, 77, "1"),
			alter(true, ofTopic, "x", "retention.ms", "1"), settings(),
			alter(false, ofTopic, "x", "retention.ms", "1"), settings(),
			alter(false, ofTopic, "x"), settings(),
			alter(false, ofBroker, "1", "log.retention.bytes", "3"), settings(),
			alter(false, ofBroker, "1"), settings(),
		},
			"INVALID_REQUEST", "INVALID_REQUEST",
			"UNKNOWN_TOPIC_OR_PARTITION", "INVALID_CONFIG",
			"INVALID_REQUEST", "INVALID_REQUEST", "INVALID_REQUEST",
			"ok", "604800000 9",
			"ok", "1 -1",
			"ok", "604800000 -1",
			"ok", "604800000 3",
			"ok", "604800000 -1")
	})
}
