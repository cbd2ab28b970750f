package kafkaapi

import (
	"bytes"
	"encoding/binary"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/streamweir/streamweir/broker/config"
	"github.com/streamweir/streamweir/broker/memory"
	"github.com/streamweir/streamweir/protocol/kafka"
)

// sendAside writes while the test goes on, as far as the server reads.
func (c *client) sendAside(raw []byte) {
	var wg sync.WaitGroup
	wg.Go(func() { _, _ = c.conn.Write(raw) }) // it may be cut off
	c.t.Cleanup(func() { c.conn.Close(); wg.Wait() })
}

// Clients that send most of a large request and stop kept everybody else's
// larger requests waiting, for as long as they liked.
func TestStalledUploadsMakeRoomForOthers(t *testing.T) {
	b := startGroupBrokerWith(t, func(s *Server) {
		s.intakes.Usual.Haste = memory.Haste{Patience: 50 * time.Millisecond, Silence: time.Second, Window: time.Hour, Slow: time.Hour}
	}, "socket.request.max.bytes=2000000", "queued.max.request.bytes=2000000", "message.max.bytes=1900000")
	for range 8 {
		head := binary.BigEndian.AppendUint32(nil, 1_900_000)
		b.dial(t).sendAside(append(head, make([]byte, 1_800_000)...))
	}
	c := b.dial(t)
	for i := range 3 {
		req := produceOf(t, "t", 1_500_000)
		if p := ask[*kmsg.ProduceResponse](c, req, nil).Topics[0].Partitions[0]; p.ErrorCode != 0 || p.BaseOffset != int64(i) {
			t.Fatalf("%+v", p)
		}
	}
}

// Connections that announced a request and sent only its header took as much
// memory as if all of it had come, and nobody else's small requests were read.
func TestAnnouncedRequestsStopNobody(t *testing.T) {
	for name, tc := range map[string]struct {
		conns int
		haste memory.Haste
	}{
		"in memory for whole ones of half as many":  {30, memory.Haste{Patience: time.Hour, Silence: time.Hour, Window: time.Hour, Slow: time.Hour}},
		"in memory for first steps of half as many": {120, memory.Haste{Patience: 50 * time.Millisecond, Silence: 500 * time.Millisecond, Window: time.Hour, Slow: time.Hour}},
	} {
		t.Run(name, func(t *testing.T) {
			var server *Server
			b := startGroupBrokerWith(t, func(s *Server) { server, s.intakes.Small.Haste = s, tc.haste },
				"socket.request.max.bytes=2000000", "queued.max.request.bytes=2000000", "message.max.bytes=1900000")
			for range tc.conns {
				raw := kmsg.NewRequestFormatter().AppendRequest(nil, kmsg.NewPtrProduceRequest(), 1)
				binary.BigEndian.PutUint32(raw, 16<<10)
				b.dial(t).sendAside(raw)
			}
			for server.intakes.Small.Used() < min(int64(tc.conns)*(4<<10), 120_000) {
				runtime.Gosched()
			}
			if resp := ask[*kmsg.ApiVersionsResponse](b.dial(t), kmsg.NewPtrApiVersionsRequest(), nil); resp.ErrorCode != 0 {
				t.Errorf("%+v", resp)
			}
		})
	}
}

// While there is memory for everybody, a slow client is left alone.
func TestSlowUploadsAreLeftAloneWhileThereIsMemory(t *testing.T) {
	b := startGroupBrokerWith(t, func(s *Server) {
		s.intakes.Usual.Haste = memory.Haste{Patience: time.Millisecond, Silence: time.Millisecond, Window: time.Millisecond, Slow: time.Millisecond}
	})
	slow, other := b.dial(t), b.dial(t)
	req := produceOf(t, "t", 1_000_000)
	raw := kmsg.NewRequestFormatter().AppendRequest(nil, req, 1)
	for len(raw) > 0 {
		n := min(len(raw), 100_000)
		if _, err := slow.conn.Write(raw[:n]); err != nil {
			t.Fatal(err)
		}
		raw = raw[n:]
		if p := ask[*kmsg.ProduceResponse](other, produceOf(t, "u", 100_000), nil).Topics[0].Partitions[0]; p.ErrorCode != 0 {
			t.Fatalf("%+v", p)
		}
	}
	if p := slow.receive(req).(*kmsg.ProduceResponse).Topics[0].Partitions[0]; p.ErrorCode != 0 {
		t.Fatalf("%+v", p)
	}
}

// What waits behind a request that takes long has not been read, and takes no
// memory from others.
func TestRequestsThatWaitForRoomTakeNoMemory(t *testing.T) {
	begun := make(chan func(error), 8)
	b := startGroupBrokerWith(t, func(s *Server) {
		s.verify = func(_ string, _ int64, _ int16, _ string, _ int32, _ bool, done func(error)) { begun <- done }
	}, "socket.request.max.bytes=2000000", "queued.max.request.bytes=2000000", "message.max.bytes=1900000", "connection.max.in.flight.requests=1")
	for id := range int64(4) {
		batch, err := kafka.BuildBatch(nil, kafka.BatchOptions{Producer: &kafka.Producer{ID: id}, Transactional: true},
			kafka.Record{Timestamp: 1_700_000_000_000, Value: []byte("x")})
		if err != nil {
			t.Fatal(err)
		}
		waits := produceRequest("t", batch)
		waits.TransactionID = kmsg.StringPtr("a")
		c := b.dial(t)
		c.send(waits)
		done := <-begun
		t.Cleanup(func() { done(nil) })
		behind := kmsg.NewRequestFormatter().AppendRequest(nil, produceOf(t, "t", 1_600_000), 2)
		c.sendAside(behind)
	}
	c := b.dial(t)
	for range 3 {
		if p := ask[*kmsg.ProduceResponse](c, produceOf(t, "u", 1_000_000), nil).Topics[0].Partitions[0]; p.ErrorCode != 0 {
			t.Fatalf("%+v", p)
		}
	}
}

// One connection's requests take their share of memory and no more, however many
// it sends at a time.
func TestRoomOfAConnection(t *testing.T) {
	c := &conn{s: &Server{cfg: &config.Config{ConnectionMaxInFlight: 3, ConnectionMaxInFlightBytes: 1000}}}
	for _, tc := range []struct {
		under []kafka.Key
		held  int64
		key   kafka.Key
		want  bool
	}{
		{nil, 0, kafka.Produce, true},
		{[]kafka.Key{kafka.Produce}, 999, kafka.Produce, true},
		{[]kafka.Key{kafka.Produce}, 1000, kafka.Produce, false},
		{[]kafka.Key{kafka.Produce, kafka.Fetch, kafka.Produce}, 3, kafka.Produce, false},
		{[]kafka.Key{kafka.Produce}, 3, kafka.DescribeConfigs, false},
		{[]kafka.Key{kafka.DescribeConfigs}, 3, kafka.Produce, false},
		{[]kafka.Key{kafka.Produce}, 3, -1, false},
		{[]kafka.Key{kafka.Produce}, 3, 20_000, false},
	} {
		c.calls, c.held = nil, tc.held
		for _, k := range tc.under {
			c.calls = append(c.calls, &call{key: k})
		}
		if got := c.fits(tc.key); got != tc.want {
			t.Errorf("%+v: %v", tc, got)
		}
	}
}

// A share that is smaller than two requests stops no client: each of its
// requests has its turn.
func TestPipelinedRequestsLargerThanTheShare(t *testing.T) {
	b := startGroupBroker(t, "connection.max.in.flight.bytes=1")
	c := b.dial(t)
	var reqs []*kmsg.ProduceRequest
	var raw bytes.Buffer
	for i := range 30 {
		req := produceOf(t, "t", 100_000)
		reqs = append(reqs, req)
		raw.Write(kmsg.NewRequestFormatter().AppendRequest(nil, req, int32(i)))
	}
	c.sendAside(raw.Bytes())
	for i, req := range reqs {
		if p := c.receive(req).(*kmsg.ProduceResponse).Topics[0].Partitions[0]; p.ErrorCode != 0 || p.BaseOffset != int64(i) {
			t.Fatalf("answer %d: %+v", i, p)
		}
	}
}
