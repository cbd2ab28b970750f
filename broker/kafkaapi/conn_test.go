package kafkaapi

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/streamweir/streamweir/protocol/kafka"
)

// produceOf is a Produce request with one record of size bytes.
func produceOf(t *testing.T, topic string, size int) *kmsg.ProduceRequest {
	t.Helper()
	batch, err := kafka.BuildBatch(nil, kafka.BatchOptions{}, kafka.Record{Timestamp: 1_700_000_000_000, Value: bytes.Repeat([]byte("x"), size)})
	if err != nil {
		t.Fatal(err)
	}
	return produceRequest(topic, batch)
}

// produceRequest is a Produce request for partition 0.
func produceRequest(topic string, batch []byte) *kmsg.ProduceRequest {
	req := kmsg.NewPtrProduceRequest()
	req.Version, req.Acks, req.TimeoutMillis = 9, -1, 10_000
	p := kmsg.NewProduceRequestTopicPartition()
	p.Records = batch
	rt := kmsg.NewProduceRequestTopic()
	rt.Topic, rt.Partitions = topic, []kmsg.ProduceRequestTopicPartition{p}
	req.Topics = append(req.Topics, rt)
	return req
}

// Requests that together are larger than the memory for them, all of them begun
// and none complete, must not wait for each other for ever.
func TestHalfSentRequestsDoNotWaitForEachOther(t *testing.T) {
	const size = 1_500_000
	b := startGroupBroker(t, "socket.request.max.bytes=2000000", "queued.max.request.bytes=2000000", "message.max.bytes=1900000")
	var wg sync.WaitGroup
	half := make(chan struct{})
	var begun sync.WaitGroup
	for range 6 {
		c := b.dial(t)
		req := produceOf(t, "t", size)
		raw := kmsg.NewRequestFormatter().AppendRequest(nil, req, 1)
		wg.Add(1)
		begun.Add(1)
		go func() {
			defer wg.Done()
			_, err := c.conn.Write(raw[:len(raw)/2])
			begun.Done()
			<-half
			if err == nil {
				_, err = c.conn.Write(raw[len(raw)/2:])
			}
			if err != nil {
				t.Errorf("send: %v", err)
				return
			}
			resp := c.receive(req).(*kmsg.ProduceResponse)
			if code := resp.Topics[0].Partitions[0].ErrorCode; code != 0 {
				t.Errorf("produce: %v", kerr.ErrorForCode(code))
			}
		}()
	}
	// The half of a request may not fit into the sockets' buffers: then its
	// writer is stopped by the budget, which is what this is about.
	go begun.Wait()
	close(half)
	wg.Wait()
}

// While large requests wait for memory, small ones of others are served.
func TestSmallRequestsPassLargeOnesThatWait(t *testing.T) {
	b := startGroupBroker(t, "socket.request.max.bytes=2000000", "queued.max.request.bytes=2000000", "message.max.bytes=1900000")
	for range 12 {
		c := b.dial(t)
		var head [4]byte
		binary.BigEndian.PutUint32(head[:], 1_900_000)
		if _, err := c.conn.Write(append(head[:], make([]byte, 100_000)...)); err != nil {
			t.Fatal(err)
		}
	}
	c := b.dial(t)
	for range 20 {
		if resp := ask[*kmsg.MetadataResponse](c, kmsg.NewPtrMetadataRequest(), nil); len(resp.Brokers) != 1 {
			t.Fatalf("%+v", resp)
		}
	}
}

// More requests than may be worked on at a time are answered all the same, in
// their order.
func TestManyPipelinedRequestsAreAnsweredInOrder(t *testing.T) {
	b := startGroupBroker(t, "connection.max.in.flight.requests=3")
	c := b.dial(t)
	reqs := []*kmsg.ProduceRequest{}
	for i := range 50 {
		req := produceOf(t, "t", 10+i)
		reqs = append(reqs, req)
		c.send(req)
	}
	for i, req := range reqs {
		p := c.receive(req).(*kmsg.ProduceResponse).Topics[0].Partitions[0]
		if p.ErrorCode != 0 || p.BaseOffset != int64(i) {
			t.Fatalf("answer %d: %+v", i, p)
		}
	}
}

func fullFetch(parts ...int32) *kmsg.FetchRequest {
	req := kmsg.NewPtrFetchRequest()
	req.Version, req.SessionEpoch = 12, epochFull
	rt := kmsg.NewFetchRequestTopic()
	rt.Topic = "t"
	for _, p := range parts {
		rp := kmsg.NewFetchRequestTopicPartition()
		rp.Partition = p
		rt.Partitions = append(rt.Partitions, rp)
	}
	req.Topics = append(req.Topics, rt)
	return req
}

func TestSessionsTakeTheSlotOfTheOneUnusedForLongest(t *testing.T) {
	ss := newSessions(2)
	now := ss.now()
	ss.now = func() time.Time { return now }
	var open []*session
	for i := range 2 {
		s, _, err := ss.open(fullFetch(int32(i)))
		if err != nil || s == nil {
			t.Fatalf("session %d: %v %v", i, s, err)
		}
		open = append(open, s)
		now = now.Add(sessionIdle / 4)
	}
	if s, parts, err := ss.open(fullFetch(9)); s != nil || len(parts) != 1 || err != nil {
		t.Fatalf("without a free slot: %v %v %v", s, parts, err)
	}
	now = now.Add(sessionIdle * 3 / 4)
	s, _, _ := ss.open(fullFetch(9))
	if s == nil || ss.byID[open[0].id] != nil || ss.byID[open[1].id] == nil {
		t.Fatalf("the slot of the oldest was not taken: %v", ss.byID)
	}
	if ss.partitions != 2 || ss.used.Len() != 2 {
		t.Fatalf("%d partitions in %d sessions", ss.partitions, ss.used.Len())
	}
	later := fullFetch(3)
	later.SessionID, later.SessionEpoch = s.id, 1
	if _, parts, err := ss.open(later); err != nil || fmt.Sprint(len(parts)) != "2" {
		t.Fatalf("an added partition: %v %v", parts, err)
	}
	end := kmsg.NewPtrFetchRequest()
	end.Version, end.SessionID, end.SessionEpoch = 12, s.id, epochNone
	if _, _, err := ss.open(end); err != nil || len(ss.byID) != 1 || ss.partitions != 1 {
		t.Fatalf("after its end: %v, %d sessions, %d partitions", err, len(ss.byID), ss.partitions)
	}
}

// A client may go at any moment, also while its answers are being sent and
// others still wait; nothing but its connection ends with it.
func TestClientsThatLeaveInTheMiddle(t *testing.T) {
	b := startGroupBroker(t)
	var wg sync.WaitGroup
	for range 8 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for i := range 40 {
				c := b.dial(t)
				for range 3 + i%5 {
					c.send(kmsg.NewPtrApiVersionsRequest())
					c.send(produceOf(t, "t", 1000))
				}
				c.conn.Close()
			}
		}()
	}
	wg.Wait()
	if resp := ask[*kmsg.MetadataResponse](b.dial(t), kmsg.NewPtrMetadataRequest(), nil); len(resp.Brokers) != 1 {
		t.Fatalf("%+v", resp)
	}
}

func TestOtherProtocolsAreNamed(t *testing.T) {
	for first, want := range map[string]string{"POST": "HTTP", "GET ": "HTTP", "\x16\x03\x01\x02": "TLS", "\x7f\xff\xff\xff": ""} {
		got := otherProtocol(int32(binary.BigEndian.Uint32([]byte(first))))
		if (got == "") != (want == "") || !strings.Contains(got, want) {
			t.Errorf("%q: %q", first, got)
		}
	}
}
