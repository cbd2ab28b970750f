package kafkaapi

import (
	"bytes"
	"encoding/binary"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/streamweir/streamweir/broker/config"
	"github.com/streamweir/streamweir/protocol/kafka"
)

// sendAside writes while the test goes on, as far as the server reads.
func (c *client) sendAside(raw []byte) {
	var wg sync.WaitGroup
	wg.Go(func() { _, _ = c.conn.Write(raw) }) // it may be cut off
	c.t.Cleanup(func() { c.conn.Close(); wg.Wait() })
}

// Who makes room is told by how long a request would still take, not by how much
// of it has come: one that stops in front of its end holds the most.
func TestSlowestRequestsMakeRoom(t *testing.T) {
	const mb = 1 << 20
	now := time.Unix(1000, 0)
	// Each looks at the request again and again, as those do who wait for memory.
	for name, tc := range map[string]struct {
		size int
		come func(a *arrival, look func(seconds float64))
		want bool // it is closed
	}{
		"fast": {size: 100 * mb, come: func(a *arrival, look func(float64)) {
			for range 12 {
				a.arrived(8 * mb)
				look(0.25)
			}
		}},
		"stopped before its end": {size: 100 * mb, want: true, come: func(a *arrival, look func(float64)) {
			a.arrived(100*mb - 1)
			look(1)
			look(1) // the window in which most of it came
			look(1)
			look(1)
		}},
		"only just stopped": {size: 100 * mb, come: func(a *arrival, look func(float64)) {
			a.arrived(100*mb - 1)
			look(1)
			look(1)
			look(1)
		}},
		"in drops, shortly before its end": {size: mb, want: true, come: func(a *arrival, look func(float64)) {
			a.arrived(mb - 1000)
			for range 10 {
				look(0.5)
				a.arrived(1)
			}
		}},
		"large, and not fast enough": {size: 100 * mb, want: true, come: func(a *arrival, look func(float64)) {
			for range 10 {
				a.arrived(mb)
				look(0.5)
			}
		}},
		"of that rate, but not large": {size: 12 * mb, come: func(a *arrival, look func(float64)) {
			for range 10 {
				a.arrived(mb)
				look(0.5)
			}
		}},
		"small, stopped": {size: 100, want: true, come: func(_ *arrival, look func(float64)) { look(2) }},
		"the server makes it wait": {size: mb, come: func(a *arrival, look func(float64)) {
			a.arrived(pieceBytes)
			a.pause()
			look(30)
			look(30)
			a.resume()
			look(1)
		}},
		"slow, and the server makes it wait": {size: 10 * mb, want: true, come: func(a *arrival, look func(float64)) {
			now = now.Add(10 * time.Second)
			a.arrived(pieceBytes)
			a.pause()
			look(0)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			in := newIntake(mb, newMetrics())
			in.now = func() time.Time { return now }
			closed := false
			tc.come(in.begin(&conn{}, tc.size, mb), func(seconds float64) {
				now = now.Add(time.Duration(seconds * float64(time.Second)))
				closed = len(in.choose(mb)) > 0 || closed
			})
			if closed != tc.want {
				t.Errorf("closed: %v", closed)
			}
		})
	}
}

// No more are closed than it takes, the slowest first, and those that are on
// their way out count.
func TestNoMoreMakeRoomThanItTakes(t *testing.T) {
	in := newIntake(1000, newMetrics())
	now := time.Unix(1000, 0)
	in.now = func() time.Time { return now }
	conns := []*conn{{}, {}, {}}
	var arrivals []*arrival
	for i, c := range conns {
		a := in.begin(c, 5000, 500)
		a.arrived(i) // the first is the slowest
		arrivals = append(arrivals, a)
	}
	now = now.Add(2 * time.Second)
	for i, step := range []struct {
		wanted int64
		want   []*conn
	}{{500, conns[:1]}, {500, nil}, {501, conns[1:2]}, {1000, nil}, {0, nil}, {5000, conns[2:]}, {5000, nil}} {
		if got := in.choose(step.wanted); !slices.Equal(got, step.want) {
			t.Errorf("step %d: %d are closed, or others than the slowest; want %d", i, len(got), len(step.want))
		}
	}
	for _, a := range arrivals {
		in.end(a)
	}
	if len(in.arriving) > 0 {
		t.Error("requests are noted that have ended")
	}
}

// Clients that send most of a large request and stop kept everybody else's
// larger requests waiting, for as long as they liked.
func TestStalledUploadsMakeRoomForOthers(t *testing.T) {
	b := startGroupBrokerWith(t, func(s *Server) {
		s.usual.haste = haste{patience: 50 * time.Millisecond, window: 100 * time.Millisecond, slow: 200 * time.Millisecond}
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

// While there is memory for everybody, a slow client is left alone.
func TestSlowUploadsAreLeftAloneWhileThereIsMemory(t *testing.T) {
	b := startGroupBrokerWith(t, func(s *Server) {
		s.usual.haste = haste{patience: time.Millisecond, window: time.Millisecond, slow: time.Millisecond}
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
