package kafkaapi

import (
	"net"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// silent is a connection of which nobody reads.
func silent(t *testing.T, s *Server) *conn {
	t.Helper()
	ours, theirs := net.Pipe()
	t.Cleanup(func() { theirs.Close() })
	c := newConn(s, pipe{ours}, nil, "")
	t.Cleanup(c.close)
	return c
}

// pipe is a net.Pipe with an address that can be logged.
type pipe struct{ net.Conn }

func (pipe) RemoteAddr() net.Addr { return &net.TCPAddr{} }

// held is a large answer that is being sent.
func held(t *testing.T, a *answers, c *conn, size int) *sending {
	t.Helper()
	s := a.hold(c, size)
	if s == nil {
		t.Fatal("the client is gone")
	}
	return s
}

// An answer waits for the memory of those that are not read, whose connections are
// closed for it. Those that are read fast enough are not.
func TestUnreadAnswersMakeRoom(t *testing.T) {
	s := newAdmin(t).s
	a := newAnswers(1000)
	a.hurry = time.Millisecond
	reads, stopped := silent(t, s), silent(t, s)
	fast, slow := held(t, a, reads, 300), held(t, a, stopped, 600)
	fast.sent, fast.last = 299, time.Now().Add(time.Hour) // it never falls silent, and is nearly done
	slow.last = time.Now().Add(-a.silence)
	waits := silent(t, s)
	got := make(chan *sending)
	go func() { got <- a.hold(waits, 200) }()
	<-stopped.gone
	slow.end()
	if h := <-got; h == nil {
		t.Error("the answer that waited was not sent")
	} else {
		h.end()
	}
	select {
	case <-reads.gone:
		t.Error("a client was closed that reads")
	default:
	}
	fast.end()
	if used := a.budget.Used(); used != 0 {
		t.Errorf("%d bytes are still taken", used)
	}
}

// A client that goes while its answer waits takes no memory, and one that goes while
// it waits to have its answer made no place.
func TestWaitsForAnswersEndWithTheClient(t *testing.T) {
	s := newAdmin(t).s
	a := newAnswers(1000)
	big, waits := silent(t, s), silent(t, s)
	h := held(t, a, big, 5000) // more than there is, alone
	got := make(chan *sending)
	go func() { got <- a.hold(waits, 1) }()
	waits.close()
	if s := <-got; s != nil {
		t.Error("an answer was to be sent to nobody")
	}
	h.end()
	if used := a.budget.Used(); used != 0 {
		t.Errorf("%d bytes are still taken", used)
	}
	for range cap(a.making) {
		if !a.enter(big) {
			t.Fatal("no place")
		}
	}
	if a.enter(waits) {
		t.Error("a client that is gone got a place")
	}
}

// The rate counts once a second has passed.
func TestSlowReaders(t *testing.T) {
	began := time.Unix(1000, 0)
	for _, c := range []struct {
		sent  int64
		after time.Duration
		want  bool
	}{{0, 900 * time.Millisecond, false}, {100, time.Second, true}, {500, time.Second, false}, {500, 6 * time.Second, true}, {999, 50 * time.Second, false}} {
		s := &sending{size: 1000, sent: c.sent, began: began}
		if slow := s.left(began.Add(c.after)) > slowSend; slow != c.want {
			t.Errorf("%d of 1000 bytes in %v: slow %v", c.sent, c.after, slow)
		}
	}
}

// Whatever large answers are asked for side by side, each place is given back.
func TestPlacesForAnswersAreGivenBack(t *testing.T) {
	b := startGroupBroker(t)
	c := b.dial(t)
	for range 50 {
		req := kmsg.NewPtrMetadataRequest()
		req.Version = 12
		c.send(req)
		c.receive(req)
		b.dial(t).send(req) // and goes
	}
}

func TestUnique(t *testing.T) {
	if got := unique([]string{"a", "b", "a", "a", "c", "b"}, itself); !slices.Equal(got, []string{"a", "b", "c"}) {
		t.Errorf("%q", got)
	}
	g := kmsg.NewOffsetFetchRequestGroup()
	g.Topics = []kmsg.OffsetFetchRequestGroupTopic{{Topic: "a", Partitions: []int32{1, 2, 1}}, {Topic: "b", Partitions: []int32{1}}, {Topic: "a", Partitions: []int32{3, 2}}}
	onePerPartition(&g)
	if !slices.Equal(g.Topics[0].Partitions, []int32{1, 2}) || !slices.Equal(g.Topics[1].Partitions, []int32{1}) || !slices.Equal(g.Topics[2].Partitions, []int32{3}) {
		t.Errorf("%+v", g.Topics)
	}
}

func TestOffsetFetchesOfManyPartitionsGrow(t *testing.T) {
	few, lots := kmsg.NewPtrOffsetFetchResponse(), kmsg.NewPtrOffsetFetchResponse()
	few.Topics = []kmsg.OffsetFetchResponseTopic{{Partitions: make([]kmsg.OffsetFetchResponseTopicPartition, many)}}
	for range 2 {
		g := kmsg.NewOffsetFetchResponseGroup()
		g.Topics = []kmsg.OffsetFetchResponseGroupTopic{{Partitions: make([]kmsg.OffsetFetchResponseGroupTopicPartition, many/2+1)}}
		lots.Groups = append(lots.Groups, g)
	}
	if growsWhenEncoded(few) || !growsWhenEncoded(lots) || growsWhenEncoded(nil) || growsWhenEncoded(kmsg.NewPtrMetadataResponse()) {
		t.Error("small answers are called large, or a large one small")
	}
}

// A large OffsetFetch takes its place when it is encoded, and gives it back.
func TestLargeOffsetFetchesGiveTheirPlacesBack(t *testing.T) {
	b := startGroupBroker(t)
	c := b.dial(t)
	for range 3 * mostMaking {
		req := kmsg.NewPtrOffsetFetchRequest()
		req.Version, req.Group = 7, "g"
		rt := kmsg.NewOffsetFetchRequestTopic()
		rt.Topic = "t"
		for i := range int32(2 * many) {
			rt.Partitions = append(rt.Partitions, i)
		}
		req.Topics = append(req.Topics, rt)
		c.send(req)
		if resp := c.receive(req).(*kmsg.OffsetFetchResponse); len(resp.Topics) != 1 || len(resp.Topics[0].Partitions) != 2*many {
			t.Fatalf("%d topics", len(resp.Topics))
		}
	}
}
