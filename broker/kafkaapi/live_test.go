package kafkaapi

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func (a *admin) set(kind kmsg.ConfigResourceType, resource, config, value string) {
	a.t.Helper()
	r := a.ask(1, incrementalReq(false, kind, resource, change(config, 0, value))).(*kmsg.IncrementalAlterConfigsResponse).Resources[0]
	if r.ErrorCode != 0 {
		a.t.Fatalf("set %s: %s %s", config, name(r.ErrorCode), *r.ErrorMessage)
	}
}

func TestConnectionLimitsChangeAtRunTime(t *testing.T) {
	a := newAdmin(t, "max.connections.per.ip.overrides=127.0.0.2:5")
	limits := func(one, two int) {
		t.Helper()
		a.s.mu.Lock()
		defer a.s.mu.Unlock()
		if a.s.perIPLimit("127.0.0.1") != one || a.s.perIPLimit("127.0.0.2") != two {
			t.Errorf("limits %d and %d, want %d and %d", a.s.perIPLimit("127.0.0.1"), a.s.perIPLimit("127.0.0.2"), one, two)
		}
	}
	limits(2147483647, 5)
	a.set(ofBroker, "", "max.connections.per.ip", "9")
	limits(9, 5)
	a.set(ofBroker, "1", "max.connections.per.ip.overrides", "127.0.0.1:3")
	limits(3, 9)
}

func TestProduceNeedsItsReplicas(t *testing.T) {
	a := newAdmin(t)
	a.create("x", 1)
	produce := func(acks int16) string {
		req := kmsg.NewPtrProduceRequest()
		req.Acks = acks
		rp := kmsg.NewProduceRequestTopicPartition()
		rp.Records = []byte("no batch")
		req.Topics = append(req.Topics, kmsg.ProduceRequestTopic{Topic: "x", Partitions: []kmsg.ProduceRequestTopicPartition{rp}})
		return name(a.ask(9, req).(*kmsg.ProduceResponse).Topics[0].Partitions[0].ErrorCode)
	}
	short := kerr.NotEnoughReplicas.Message
	if got := produce(-1); got == short {
		t.Error("one replica is not enough for one")
	}
	a.set(ofTopic, "x", "min.insync.replicas", "2")
	if got := produce(-1); got != short {
		t.Errorf("acks=all: %s", got)
	}
	if got := produce(1); got == short {
		t.Error("acks=1 asks for no other replicas")
	}
}
