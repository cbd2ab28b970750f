package kafkaapi

import (
	"fmt"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/streamweir/streamweir/protocol/kafka"
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

// Apache Kafka never asks for more replicas than a partition has (KIP-966).
func TestProduceNeedsNoMoreReplicasThanThereAre(t *testing.T) {
	b := startGroupBroker(t, "min.insync.replicas=2")
	batch, err := kafka.BuildBatch(nil, kafka.BatchOptions{}, kafka.Record{Timestamp: 1_700_000_000_000, Value: []byte("v")})
	if err != nil {
		t.Fatal(err)
	}
	for _, acks := range []int16{-1, 1} {
		req := produceRequest("t", batch)
		req.Acks = acks
		want(t, fmt.Sprintf("acks=%d", acks), produced(ask[*kmsg.ProduceResponse](b.dial(t), req, nil)), nil)
	}
}
