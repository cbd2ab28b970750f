package records

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/streamweir/streamweir/broker/topic"
	"github.com/streamweir/streamweir/protocol/kafka"
)

// listener reads a subscription in a goroutine of its own.
type listener struct {
	*Subscription
	t      testing.TB
	events chan heard
	stop   context.CancelFunc
	ended  chan struct{}
}

// heard is an event as it was at its time, or the error that ended them.
type heard struct {
	values   []string
	next     int64
	behind   int64
	children []int32
	err      error
}

func (b *bench) listen(sh Shard, c *topic.Consumer, at Position) *listener {
	b.Helper()
	s, err := b.Subscribe(sh, c, at)
	if err != nil {
		b.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	l := &listener{s, b, make(chan heard), stop, make(chan struct{})}
	go func() {
		defer close(l.ended)
		defer s.Close()
		for {
			e, err := s.Next(ctx)
			h := heard{err: err}
			if err == nil {
				h.values, h.next, h.behind = values(e.List), e.Next, e.Behind
				for _, c := range e.Children {
					h.children = append(h.children, c.Index)
				}
			}
			select {
			case l.events <- h:
			case <-ctx.Done():
				return
			}
			if err != nil {
				return
			}
		}
	}()
	b.Cleanup(l.hangUp)
	return l
}

// hangUp ends a subscription as a client does that goes away.
func (l *listener) hangUp() {
	l.stop()
	<-l.ended
}

func (l *listener) hear() heard {
	l.t.Helper()
	select {
	case h := <-l.events:
		return h
	case <-time.After(10 * time.Second):
		l.t.Fatal("nothing came")
		return heard{}
	}
}

// begins hears the first event of a subscription for which there is nothing yet: it
// says where to go on.
func (l *listener) begins() *listener {
	l.t.Helper()
	if h := l.hear(); h.err != nil || len(h.values) != 0 || h.children != nil {
		l.t.Fatalf("it begins with %+v", h)
	}
	return l
}

// hears waits for events until all of want have come.
func (l *listener) hears(want ...string) {
	l.t.Helper()
	var got []string
	for len(got) < len(want) {
		h := l.hear()
		if h.err != nil {
			l.t.Fatalf("after %v: %v", got, h.err)
		}
		got = append(got, h.values...)
	}
	if !slices.Equal(got, want) {
		l.t.Fatalf("heard %v, want %v", got, want)
	}
}

func (l *listener) ends(want string) {
	l.t.Helper()
	for {
		h := l.hear()
		if h.err == nil {
			continue
		}
		if want == "EOF" && errors.Is(h.err, io.EOF) {
			return
		}
		if got := refusal(l.t, h.err); got != want {
			l.t.Fatalf("it ended with %s, want %s", got, want)
		}
		return
	}
}

// waiting waits until the subscription waits, with its timer on the clock.
func (b *bench) waiting(n int) {
	for b.clock.Calls() != n {
		runtime.Gosched()
	}
}

// consumer is one as the stream has it.
func consumer(name string) *topic.Consumer {
	return &topic.Consumer{Name: name, CreatedAt: startTime.UnixMilli(), Status: topic.Active}
}

// register makes these the consumers of a stream.
func (b *bench) register(t *topic.Topic, consumers ...*topic.Consumer) *topic.Topic {
	b.Helper()
	return b.change(t, func(s *topic.Stream) {
		s.Consumers = nil
		for _, c := range consumers {
			s.Consumers = append(s.Consumers, *c)
		}
	})
}

func TestSubscriptionsPushWhatIsAppended(t *testing.T) {
	b := newBench(t)
	c := consumer("c")
	s := b.register(b.stream("s", 1), c)
	b.puts(s, "0", "1")
	l := b.listen(b.shard(s, 0), c, Position{Type: TrimHorizon})
	l.hears("0", "1")
	for i := range 20 {
		b.puts(s, fmt.Sprint("v", i))
		l.hears(fmt.Sprint("v", i))
	}
}

func TestSubscriptionsSeeCommittedRecordsOnly(t *testing.T) {
	b := newBench(t)
	c := consumer("c")
	s := b.register(b.topic("s", 1), c)
	l := b.listen(b.shard(s, 0), c, Position{Type: Latest})
	b.produce(s, 0, batch{producer: 7, txn: true, records: []kafka.Record{{Value: []byte("committed")}}})
	b.produce(s, 0, batch{producer: 8, txn: true, records: []kafka.Record{{Value: []byte("aborted")}}})
	b.puts(s, "plain")
	b.endTxn(s, 0, 8, false)
	b.endTxn(s, 0, 7, true)
	l.hears("committed", "plain")
}

func TestAnIdleSubscriptionIsKeptAliveAndEndsAfterFiveMinutes(t *testing.T) {
	b := newBench(t)
	c := consumer("c")
	s := b.register(b.stream("s", 1), c)
	b.puts(s, "v")
	l := b.listen(b.shard(s, 0), c, Position{Type: Latest})
	if h := l.hear(); h.err != nil || len(h.values) != 0 || h.next != 1 || h.behind != 0 {
		t.Fatalf("it begins with %+v", h)
	}
	for range 59 {
		b.waiting(1)
		b.clock.Advance(5 * time.Second)
		if h := l.hear(); h.err != nil || len(h.values) != 0 || h.next != 1 || h.behind != 0 || h.children != nil {
			t.Fatalf("kept alive by %+v", h)
		}
	}
	b.waiting(1)
	b.clock.Advance(5 * time.Second)
	l.ends("EOF")
	l.hangUp()
	if b.Subscriptions() != 0 || len(b.sessions.claims) != 0 {
		t.Errorf("%d subscriptions are left, and %v", b.Subscriptions(), b.sessions.claims)
	}
}

const inUse = "ResourceInUseException: Another active subscription exists for this consumer: 000000000000:s:shardId-000000000000:c"

func TestASubscriptionIsTakenOverAfterFiveSeconds(t *testing.T) {
	b := newBench(t)
	b.limits = true
	c := consumer("c")
	s := b.register(b.stream("s", 2), c, consumer("other"))
	first := b.listen(b.shard(s, 0), c, Position{Type: Latest}).begins()
	b.listen(b.shard(s, 1), c, Position{Type: Latest}).begins()
	b.listen(b.shard(s, 0), consumer("other"), Position{Type: Latest}).begins()
	b.waiting(3)
	b.clock.Advance(4999 * time.Millisecond)
	if _, err := b.Subscribe(b.shard(s, 0), c, Position{Type: Latest}); refusal(t, err) != inUse {
		t.Fatal(err)
	}
	b.clock.Advance(time.Millisecond)
	second := b.listen(b.shard(s, 0), c, Position{Type: Latest})
	first.ends(inUse)
	b.puts(s, "v")
	var got []string
	for _, o := range b.put(s, entryFor(s, 0, "w")) {
		if o.Err != nil {
			t.Fatal(o.Err)
		}
	}
	for !slices.Contains(got, "w") {
		got = append(got, second.hear().values...)
	}
	first.hangUp()
	// The end of the first is not the end of the second.
	if _, err := b.Subscribe(b.shard(s, 0), c, Position{Type: Latest}); refusal(t, err) != inUse {
		t.Fatal(err)
	}
}

// entryFor is an entry that goes to this shard.
func entryFor(t *topic.Topic, index int32, data string) Entry {
	e := entry("k", data)
	e.Hash = t.Stream.Lineage.Shard(index).Range.Start
	return e
}

func TestASubscriptionThatHasEndedKeepsOthersAwayForItsFiveSeconds(t *testing.T) {
	for _, limits := range []bool{true, false} {
		b := newBench(t)
		b.limits = limits
		c := consumer("c")
		s := b.register(b.stream("s", 1), c)
		b.listen(b.shard(s, 0), c, Position{Type: Latest}).hangUp()
		sub, err := b.Subscribe(b.shard(s, 0), c, Position{Type: Latest})
		if limits == (err == nil) {
			t.Errorf("with limits %t: %v", limits, err)
		}
		if err == nil {
			sub.Close()
		}
	}
}

func TestASubscriptionEndsWithItsConsumerAndItsStream(t *testing.T) {
	b := newBench(t)
	c, d := consumer("c"), consumer("d")
	s := b.register(b.stream("s", 1), c, d)
	l, m := b.listen(b.shard(s, 0), c, Position{Type: Latest}), b.listen(b.shard(s, 0), d, Position{Type: Latest})
	b.register(s, d)
	l.ends("ResourceNotFoundException: Consumer c, account 000000000000 not found.")
	if _, _, err := b.topics.Delete(ids(s)); err != nil {
		t.Fatal(err)
	}
	m.ends("ResourceNotFoundException: Stream s under account 000000000000 not found.")
	l.hangUp()
	m.hangUp()
	if b.Subscriptions() != 0 || b.quotas.Streams() != 0 {
		t.Errorf("%d subscriptions and the quotas of %d streams are left", b.Subscriptions(), b.quotas.Streams())
	}
}

func TestAConsumerThatIsNotActiveYetIsRefused(t *testing.T) {
	b := newBench(t)
	c := consumer("c")
	c.Status = topic.Creating
	s := b.register(b.stream("s", 1), c)
	_, err := b.Subscribe(b.shard(s, 0), c, Position{Type: Latest})
	if got := refusal(t, err); got != "ResourceInUseException: Consumer c with creation timestamp 1700000000 under stream: s , account 000000000000 is not in ACTIVE status." {
		t.Error(got)
	}
}

func TestSubscriptionsHaveTheirOwnThroughput(t *testing.T) {
	b := newBench(t)
	c := consumer("c")
	s := b.register(b.stream("s", 1), c)
	for range 4 {
		b.puts(s, strings.Repeat("x", 1<<20-1))
	}
	b.limits = true
	l := b.listen(b.shard(s, 0), c, Position{Type: TrimHorizon})
	l.hear()
	l.hear() // two MiB are there at once
	for range 2 {
		b.waiting(1)
		select {
		case h := <-l.events:
			t.Fatalf("faster than it may: %d records", len(h.values))
		default:
		}
		b.clock.Advance(time.Millisecond)
		if h := l.hear(); len(h.values) != 1 {
			t.Fatalf("%d records", len(h.values))
		}
		b.waiting(1)
		b.clock.Advance(499 * time.Millisecond)
	}
}

func TestEventsAreBound(t *testing.T) {
	b := newBench(t)
	c := consumer("c")
	s := b.register(b.large(b.stream("s", 1)), c)
	var entries []Entry
	for range 5 {
		entries = append(entries, entry("k", strings.Repeat("x", 400<<10)))
	}
	entries = append(entries, entry("k", strings.Repeat("x", 3<<20)), entry("k", "small"))
	b.put(s, entries...)
	l := b.listen(b.shard(s, 0), c, Position{Type: TrimHorizon})
	for i, want := range []int{2, 2, 1, 1, 1} {
		if h := l.hear(); len(h.values) != want {
			t.Errorf("event %d has %d records, want %d", i, len(h.values), want)
		}
	}
}

func TestClosingEndsSubscriptions(t *testing.T) {
	b := newBench(t)
	c := consumer("c")
	s := b.register(b.stream("s", 1), c)
	l := b.listen(b.shard(s, 0), c, Position{Type: Latest})
	b.Manager.Close()
	l.ends("EOF")
	if _, err := b.Subscribe(b.shard(s, 0), c, Position{Type: Latest}); err == nil {
		t.Error("a subscription began after the end")
	}
}

// A subscription that begins in the debt of the one before says where it is.
func TestAThrottledSubscriptionKeepsItsPlace(t *testing.T) {
	b := newBench(t)
	c := consumer("c")
	s := b.register(b.stream("s", 1), c)
	b.puts(s, "0", "1", "2")
	b.limits = true
	b.quotas.Stream(s.ID, s.Name).Consumer("c").Sent(0, 1, 100<<20, 0, false)
	l := b.listen(b.shard(s, 0), c, Position{Type: AfterSequenceNumber, Sequence: b.shard(s, 0).Sequence(0)})
	b.waiting(1)
	b.clock.Advance(keepAlive)
	if h := l.hear(); h.err != nil || len(h.values) != 0 || h.next != 1 {
		t.Errorf("in debt it hears %+v", h)
	}
}
