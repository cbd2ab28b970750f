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

// writing makes c a client that has been sent a part of what it has taken memory for,
// and takes no more of it since the given time.
func writing(c *conn, size, sent int64, since time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.writes = flow{size: size, sent: sent, since: since}
}

// settled fails the test where something is still counted.
func (a *answers) settled(t testing.TB) {
	t.Helper()
	a.mu.Lock()
	debtors := len(a.debtors)
	a.mu.Unlock()
	if used := a.budget.Used(); used != 0 || debtors != 0 || len(a.making) != 0 {
		t.Errorf("%d bytes are still taken for answers, by %d connections; %d are being made", used, debtors, len(a.making))
	}
}

// What is taken for answers waits for the memory of those that are not read, whose
// connections are closed for it. Those that are read, or only wait for something else,
// are not.
func TestUnreadAnswersMakeRoom(t *testing.T) {
	s := newAdmin(t).s
	a := newAnswers(1000)
	a.hurry = time.Millisecond
	reads, stopped, works, waits := silent(t, s), silent(t, s), silent(t, s), silent(t, s)
	for c, n := range map[*conn]int64{reads: 200, stopped: 600, works: 100} {
		if !a.take(c, n) {
			t.Fatal("there is room")
		}
	}
	writing(reads, 200, 199, time.Now().Add(time.Hour)) // never silent, and nearly done
	writing(stopped, 600, 0, time.Now().Add(-a.silence))
	got := make(chan bool)
	go func() { got <- a.take(waits, 200) }()
	<-stopped.gone
	a.give(stopped, 600)
	if !<-got {
		t.Error("what waited was not taken")
	}
	for _, c := range []*conn{reads, works, waits} {
		select {
		case <-c.gone:
			t.Error("a client was closed that reads")
		default:
		}
	}
	a.give(waits, 200)
	a.give(reads, 200)
	a.give(works, 100)
	a.settled(t)
}

// A client that goes while its answer waits takes no memory, and one that goes while
// it waits to have its answer made no place.
func TestWaitsForAnswersEndWithTheClient(t *testing.T) {
	s := newAdmin(t).s
	a := newAnswers(1000)
	big, waits := silent(t, s), silent(t, s)
	if !a.take(big, 5000) { // more than there is, alone
		t.Fatal("it was alone")
	}
	got := make(chan bool)
	go func() { got <- a.take(waits, 1) }()
	waits.close()
	if <-got {
		t.Error("memory was taken for nobody")
	}
	a.give(big, 5000)
	a.settled(t)
	for range cap(a.making) {
		if !a.enter(big) {
			t.Fatal("no place")
		}
	}
	if a.enter(waits) {
		t.Error("a client that is gone got a place")
	}
}

// The rate counts once a second has passed, and only while the client is waited for.
func TestSlowReaders(t *testing.T) {
	now := time.Unix(1000, 0)
	for _, c := range []struct {
		sent        int64
		took, waits time.Duration
		want        bool
	}{
		{0, 0, 900 * time.Millisecond, false}, {0, 0, time.Second, true},
		{100, 900 * time.Millisecond, 0, false}, {100, 900 * time.Millisecond, 100 * time.Millisecond, true},
		{500, 0, 900 * time.Millisecond, false}, {500, 4 * time.Second, 900 * time.Millisecond, false},
		{500, 5500 * time.Millisecond, 500 * time.Millisecond, true}, {999, 50 * time.Second, 900 * time.Millisecond, false},
	} {
		f := flow{size: 1000, sent: c.sent, took: c.took, since: now.Add(-c.waits)}
		if slow := f.slow(now, time.Second); slow != c.want {
			t.Errorf("%d of 1000 bytes in %v and %v: slow %v", c.sent, c.took, c.waits, slow)
		}
	}
	idle := flow{size: 1000, took: time.Hour}
	if idle.slow(now, time.Second) {
		t.Error("a client is slow that is not sent anything")
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
