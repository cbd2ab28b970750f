package kafkaapi

import (
	"fmt"
	"math"
	"net"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/streamweir/streamweir/broker/memory"
	"github.com/streamweir/streamweir/protocol/kafka"
)

const responseLimit = 1 << 20 // of the servers below

// impatient is a server with little memory for answers, which finds out soon who does not
// read.
func impatient(t *testing.T, prepare func(*Server), set ...string) (*groupBroker, *Server) {
	t.Helper()
	var s *Server
	b := startGroupBrokerWith(t, func(started *Server) {
		s = started
		s.answers.hurry, s.answers.silence = 2*time.Millisecond, 50*time.Millisecond
		prepare(s)
	}, append([]string{"queued.max.response.bytes=1048576"}, set...)...)
	return b, s
}

func noChange(*Server) {}

func listOffsetsOf(partitions int) kmsg.Request {
	req := kmsg.NewPtrListOffsetsRequest()
	req.Version = 5
	rt := kmsg.NewListOffsetsRequestTopic()
	rt.Topic = "t"
	for i := range partitions {
		rp := kmsg.NewListOffsetsRequestTopicPartition()
		rp.Partition, rp.Timestamp = int32(i), -1
		rt.Partitions = append(rt.Partitions, rp)
	}
	req.Topics = append(req.Topics, rt)
	return req
}

func commitOf(partitions int) kmsg.Request {
	req := kmsg.NewPtrOffsetCommitRequest()
	req.Version, req.Group = 7, "g"
	rt := kmsg.NewOffsetCommitRequestTopic()
	rt.Topic = "t"
	for i := range partitions {
		rp := kmsg.NewOffsetCommitRequestTopicPartition()
		rp.Partition = int32(i)
		rt.Partitions = append(rt.Partitions, rp)
	}
	req.Topics = append(req.Topics, rt)
	return req
}

// emptyProduce has partitions without records.
func emptyProduce(partitions int) *kmsg.ProduceRequest {
	req := produceRequest("t", nil)
	for i := 1; i < partitions; i++ {
		rp := kmsg.NewProduceRequestTopicPartition()
		rp.Partition = int32(i)
		req.Topics[0].Partitions = append(req.Topics[0].Partitions, rp)
	}
	return req
}

func fetchOf(partitions int) *kmsg.FetchRequest {
	req := fullFetch(make([]int32, partitions)...)
	req.SessionEpoch, req.MaxWaitMillis, req.MinBytes = epochNone, 1, 1
	return req
}

// flood sends a request again and again until it is cut off, and reads nothing.
func (c *client) flood(raw []byte) {
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			if _, err := c.conn.Write(raw); err != nil {
				return
			}
		}
	})
	c.t.Cleanup(func() { c.conn.Close(); wg.Wait() })
}

// Clients that sent requests about many partitions, one behind the other, and read
// none of the answers, took memory without a limit.
func TestUnreadAnswersOfLargeRequests(t *testing.T) {
	for name, req := range map[string]kmsg.Request{
		"ListOffsets": listOffsetsOf(3000), "OffsetCommit": commitOf(3000), "Produce": emptyProduce(3000), "Fetch": fetchOf(1000),
	} {
		t.Run(name, func(t *testing.T) {
			b, s := impatient(t, noChange)
			raw := kmsg.NewRequestFormatter().AppendRequest(nil, req, 1)
			for range 6 {
				c := b.dial(t)
				if err := c.conn.(*net.TCPConn).SetReadBuffer(4096); err != nil {
					t.Fatal(err)
				}
				c.flood(raw)
			}
			honest := b.dial(t)
			for testutil.ToFloat64(s.metrics.slowReaders) < 3 {
				for _, c := range s.all() { // or the system takes megabytes for each
					_ = c.nc.(*net.TCPConn).SetWriteBuffer(4096) // it may be closed
				}
				if p := ask[*kmsg.ProduceResponse](honest, produceOf(t, "u", 20_000), nil).Topics[0].Partitions[0]; p.ErrorCode != 0 {
					t.Fatalf("%+v", p)
				}
				if used := s.answers.budget.Used(); used > responseLimit {
					t.Fatalf("%d bytes are taken for answers", used)
				}
			}
			// Its own large requests have their turn, too.
			if resp := ask[*kmsg.ListOffsetsResponse](honest, listOffsetsOf(2000), nil); len(resp.Topics[0].Partitions) != 2000 {
				t.Errorf("%d partitions", len(resp.Topics[0].Partitions))
			}
		})
	}
}

// A fetch of many partitions that waits for data holds memory; when others need that,
// it is answered with what there is, and its client goes on.
func TestWaitingFetchesGiveWay(t *testing.T) {
	b, s := impatient(t, noChange)
	waits, other := b.dial(t), b.dial(t)
	fetch := fetchOf(1500) // more than all the memory
	fetch.MaxWaitMillis = math.MaxInt32
	waits.send(fetch)
	for s.answers.budget.Used() == 0 {
		runtime.Gosched()
	}
	for range 3 {
		if resp := ask[*kmsg.ListOffsetsResponse](other, listOffsetsOf(1000), nil); len(resp.Topics[0].Partitions) != 1000 {
			t.Fatalf("%d partitions", len(resp.Topics[0].Partitions))
		}
	}
	if resp := waits.receive(fetch).(*kmsg.FetchResponse); resp.ErrorCode != 0 || len(resp.Topics) != 1 || len(resp.Topics[0].Partitions) != 1500 {
		t.Fatalf("%+v", resp)
	}
	ask[*kmsg.ProduceResponse](waits, produceOf(t, "t", 10), nil)
	if n := testutil.ToFloat64(s.metrics.slowReaders); n != 0 {
		t.Errorf("%v connections were closed", n)
	}
}

// What a call has taken it keeps while it is worked on, though its client is gone.
func TestAnswersOfClientsThatAreGone(t *testing.T) {
	begun := make(chan func(error), 1)
	b, s := impatient(t, func(s *Server) {
		s.verify = func(_ string, _ int64, _ int16, _ string, _ int32, _ bool, done func(error)) { begun <- done }
	})
	batch, err := kafka.BuildBatch(nil, kafka.BatchOptions{Producer: &kafka.Producer{ID: 1}, Transactional: true},
		kafka.Record{Timestamp: 1_700_000_000_000, Value: []byte("x")})
	if err != nil {
		t.Fatal(err)
	}
	req := emptyProduce(1000)
	req.TransactionID = kmsg.StringPtr("a")
	req.Topics[0].Partitions[0].Records = batch
	c := b.dial(t)
	c.send(req)
	done := <-begun
	conns := func() int {
		s.mu.Lock()
		defer s.mu.Unlock()
		return len(s.conns)
	}
	before := conns()
	c.conn.Close()
	for conns() == before {
		runtime.Gosched()
	}
	if s.answers.budget.Used() == 0 {
		t.Error("its memory was given to others")
	}
	done(nil)
	for s.answers.budget.Used() > 0 {
		runtime.Gosched()
	}
}

// Each way in which a call can end gives back what it has taken, once.
func TestEveryEndOfACallSettlesIt(t *testing.T) {
	b, _ := impatient(t, noChange, "connection.max.in.flight.requests=5")
	var wg sync.WaitGroup
	f := kmsg.NewRequestFormatter()
	for i := range 12 {
		wg.Go(func() {
			for j := range 15 {
				c := b.dial(t)
				var raw []byte
				for n, req := range []kmsg.Request{
					emptyProduce(200 * (i%3 + 1)), listOffsetsOf(500), fetchOf(300), kmsg.NewPtrMetadataRequest(), commitOf(400), emptyProduce(2),
				} {
					raw = f.AppendRequest(raw, req, int32(n))
				}
				if _, err := c.conn.Write(raw); err != nil {
					t.Error(err)
				}
				if n := (i*15 + j) * 400; n%3 > 0 {
					_, _ = c.conn.Read(make([]byte, n))
				}
				if i%4 > 0 || j < 10 {
					c.conn.Close() // the others end with the server
				}
			}
		})
	}
	wg.Wait()
}

func TestHandlersThatPanicSettleTheirCalls(t *testing.T) {
	s := newAdmin(t).s
	c := silent(t, s)
	k := &call{c: c, key: maxKey - 1, need: 1 << 20} // of which there is no handler
	if !s.answers.admit(k, &kafka.Measured{}) || s.answers.budget.Used() != 1<<20 || !c.push(k) {
		t.Fatal("not admitted")
	}
	func() {
		defer c.recovered()
		c.handle(k)
	}()
	s.answers.settled(t)
	c.abandon()
	s.answers.settled(t)
	if c.unsent != 0 {
		t.Errorf("%d bytes are unsent", c.unsent)
	}
}

// Where an answer turns out larger than its request said, that is counted without a
// wait, and what its connection sends next has to wait.
func TestAnswersThatGrow(t *testing.T) {
	s := newAdmin(t).s
	a := newAnswers(1000)
	s.answers = a
	c := silent(t, s)
	k := &call{c: c, need: 500}
	if !a.admit(k, &kafka.Measured{}) || !c.push(k) || a.budget.Used() != 0 {
		t.Fatal("not admitted as a small one")
	}
	a.grew(k, 100)
	if a.budget.Used() != 0 || c.unsent != 600 {
		t.Errorf("%d bytes are taken, %d unsent", a.budget.Used(), c.unsent)
	}
	a.grew(k, smallAnswers)
	if a.budget.Used() != smallAnswers+600 || c.answersFit(1) {
		t.Errorf("%d bytes are taken", a.budget.Used())
	}
	k.finish()
	if !a.encoded(k, 900) || a.budget.Used() != 900 {
		t.Errorf("%d bytes are taken of 900", a.budget.Used())
	}
	if !a.encoded(k, 950) || a.budget.Used() != 950 {
		t.Errorf("%d bytes are taken of 950", a.budget.Used())
	}
	behind := &call{c: c, need: 10}
	if !a.take(c, 50) { // as the one behind it
		t.Fatal("there is room")
	}
	behind.owes = 50
	if !c.push(behind) || !a.encoded(k, 5000) || a.budget.Used() != 5050 || !a.budget.Over() {
		t.Errorf("%d bytes are taken of 5050", a.budget.Used())
	}
	c.sent()
	behind.finish()
	c.sent()
	a.settled(t)
}

// Calls that had taken memory and waited for a place, and calls that had places and
// waited for memory, waited for each other for ever.
func TestPlacesAreNotWaitedForWithMemory(t *testing.T) {
	b, s := impatient(t, noChange)
	commit := commitOf(1).(*kmsg.OffsetCommitRequest)
	one := commit.Topics[0]
	commit.Topics = nil
	for i := range many + 1 {
		one.Topic = fmt.Sprint("t", i)
		if _, err := b.core.Topics.Ensure(one.Topic); err != nil {
			t.Fatal(err)
		}
		commit.Topics = append(commit.Topics, one)
	}
	ask(b.dial(t), commit, func(r *kmsg.OffsetCommitResponse) int16 { return r.Topics[0].Partitions[0].ErrorCode })
	all := kmsg.NewPtrOffsetFetchRequest()
	all.Version = 8
	for _, name := range []string{"g", strings.Repeat("x", 30_000)} { // so long that it needs memory
		g := kmsg.NewOffsetFetchRequestGroup()
		g.Group = name
		all.Groups = append(all.Groups, g)
	}
	places, waits := silent(t, s), b.dial(t)
	for range mostMaking {
		s.answers.enter(places)
	}
	waits.send(all)
	for !s.answered(kafka.OffsetFetch) {
		runtime.Gosched()
	}
	if !s.answers.take(places, responseLimit) { // all there is
		t.Fatal("the client is gone")
	}
	s.answers.give(places, responseLimit)
	for range mostMaking {
		s.answers.leave()
	}
	if r := waits.receive(all).(*kmsg.OffsetFetchResponse); len(r.Groups[0].Topics) != many+1 {
		t.Errorf("%d topics", len(r.Groups[0].Topics))
	}
}

// TestFetchesDoNotWaitForPlaces: what waits for a place to make its answer holds its
// request, which is nobody else's memory.
func TestFetchesDoNotWaitForPlaces(t *testing.T) {
	b, s := impatient(t, func(s *Server) {
		// One of a kind at a time.
		s.aside, s.asideForPlaces = memory.NewIntake(1, math.MaxInt32, func() {}), memory.NewIntake(1, math.MaxInt32, func() {})
	})
	places, describes, fetches := silent(t, s), b.dial(t), b.dial(t)
	for range mostMaking {
		s.answers.enter(places)
	}
	all := kmsg.NewPtrDescribeConfigsRequest()
	all.Version = 4
	for i := range many + 1 {
		r := kmsg.NewDescribeConfigsRequestResource()
		r.ResourceType, r.ResourceName = kmsg.ConfigResourceTypeTopic, fmt.Sprintf("%s%d", strings.Repeat("t", 100), i)
		all.Resources = append(all.Resources, r)
	}
	describes.send(all)
	for s.asideForPlaces.Used() < asideFrom {
		runtime.Gosched()
	}
	// The topics do not exist, which is an answer too.
	if r := ask[*kmsg.FetchResponse](fetches, fetchOf(asideFrom/16), nil); len(r.Topics) != 1 {
		t.Errorf("%+v", r)
	}
	for range mostMaking {
		s.answers.leave()
	}
	if r := describes.receive(all).(*kmsg.DescribeConfigsResponse); len(r.Resources) != many+1 {
		t.Errorf("%d resources", len(r.Resources))
	}
}

// answered says whether some connection has an answer of this kind to send.
func (s *Server) answered(key kafka.Key) bool {
	return slices.ContainsFunc(s.all(), func(c *conn) bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return len(c.calls) > 0 && c.calls[0].key == key && c.calls[0].done
	})
}
