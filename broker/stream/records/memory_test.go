package records

import (
	"bytes"
	"context"
	"errors"
	"runtime"
	"strings"
	"testing"

	"github.com/streamweir/streamweir/broker/topic"
	"github.com/streamweir/streamweir/protocol/kafka"
)

// smallBench has memory for little more than one record of 1 MB at a time.
func smallBench(t *testing.T) (b *bench, s *topic.Topic) {
	b = newBench(t)
	b.memory = 4 << 20
	b.restart()
	s = b.stream("s", 1)
	b.puts(s, strings.Repeat("x", 1_000_000))
	return b, s
}

// Answers that are not released yet never take more than the budget together:
// the next is told to try again.
func TestAnswersBeyondTheMemoryAreRefused(t *testing.T) {
	b, s := smallBench(t)
	it, err := b.OpenIterator(b.iterator(s, 0, Position{Type: TrimHorizon}))
	if err != nil {
		t.Fatal(err)
	}
	held := b.get(b.iterator(s, 0, Position{Type: TrimHorizon}), 10)
	failed := make(chan error)
	go func() {
		_, err := b.Get(context.Background(), it, 10)
		failed <- err
	}()
	b.waiting(1)
	if used := b.Memory(); used > b.memory {
		t.Errorf("%d bytes are taken, more than %d", used, b.memory)
	}
	b.clock.Advance(roomTime)
	const want = "ProvisionedThroughputExceededException: Rate exceeded for shard shardId-000000000000 in stream s under account 000000000000: the memory for answers is in use."
	if got := refusal(t, <-failed); got != want {
		t.Error(got)
	}
	held.Release()
	if used := b.Memory(); used != 0 {
		t.Errorf("%d bytes are accounted for after all was released", used)
	}
}

// An answer that waits for memory gets it when another lets go of its own, or
// gives up with its client.
func TestAnswersWaitForMemory(t *testing.T) {
	b, s := smallBench(t)
	at := b.iterator(s, 0, Position{Type: TrimHorizon})
	it, err := b.OpenIterator(at)
	if err != nil {
		t.Fatal(err)
	}
	held := b.get(at, 10)
	ctx, gone := context.WithCancel(context.Background())
	type answer struct {
		got *Got
		err error
	}
	read := func(ctx context.Context) <-chan answer {
		done := make(chan answer, 1)
		go func() {
			got, err := b.Get(ctx, it, 10)
			done <- answer{got, err}
		}()
		return done
	}
	first := read(ctx)
	b.waiting(1)
	gone()
	if a := <-first; !errors.Is(a.err, context.Canceled) {
		t.Errorf("of a client that is gone: %v", a.err)
	}
	b.waiting(0)
	second := read(context.Background())
	b.waiting(1)
	held.Release()
	a := <-second
	if a.err != nil || len(a.got.List) != 1 {
		t.Fatalf("%v", a.err)
	}
	a.got.Release()
	if used := b.Memory(); used != 0 {
		t.Errorf("%d bytes are accounted for after all was released", used)
	}
}

// A subscription that waits for memory says that it is alive, and goes on once
// there is some.
func TestSubscriptionsWaitForMemory(t *testing.T) {
	b, s := smallBench(t)
	c := consumer("c")
	s = b.register(s, c)
	held := b.get(b.iterator(s, 0, Position{Type: TrimHorizon}), 10)
	l := b.listen(b.shard(s, 0), c, Position{Type: TrimHorizon})
	b.waiting(1)
	if used := b.Memory(); used > b.memory {
		t.Errorf("%d bytes are taken, more than %d", used, b.memory)
	}
	b.clock.Advance(keepAlive)
	if h := l.hear(); h.err != nil || len(h.values) != 0 || h.next != 0 {
		t.Fatalf("%d records, next %d, %v", len(h.values), h.next, h.err)
	}
	b.waiting(1)
	held.Release()
	if h := l.hear(); h.err != nil || len(h.values) != 1 || h.next != 1 {
		t.Fatalf("%d records, next %d, %v", len(h.values), h.next, h.err)
	}
	l.hangUp()
	if used := b.Memory(); used != 0 {
		t.Errorf("%d bytes are accounted for after all was released", used)
	}
}

// A record that Kafka has compressed, and that Kinesis cannot have, is refused by
// name without being decompressed into memory; readers can go on behind it.
func TestARecordLargerThanAnAnswerIsRefused(t *testing.T) {
	for codec := kafka.CodecNone; codec <= kafka.CodecZstd; codec++ {
		t.Run(codec.String(), func(t *testing.T) {
			b := newBench(t)
			s := b.topic("s", 1, "max.message.bytes", "50000000")
			const bomb = 40 << 20
			b.produce(s, 0, batch{codec: codec, records: []kafka.Record{
				{Value: []byte("before")}, {Key: []byte("k"), Value: make([]byte, bomb)}, {Value: []byte("after")},
			}})
			got := b.get(b.iterator(s, 0, Position{Type: TrimHorizon}), 10)
			if v := values(got.List); len(v) != 1 || v[0] != "before" {
				t.Fatalf("%d records", len(v))
			}
			it, err := b.OpenIterator(got.Next)
			if err != nil {
				t.Fatal(err)
			}
			got.Release()
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, err = b.Get(context.Background(), it, 10)
			runtime.ReadMemStats(&after)
			large := b.shard(s, 0).Sequence(1)
			if got := refusal(t, err); !strings.HasPrefix(got, "InvalidArgumentException: The record with sequence number "+large+" (offset 1) on shard shardId-000000000000 in stream s ") {
				t.Error(got)
			}
			if took := after.TotalAlloc - before.TotalAlloc; codec != kafka.CodecNone && took > bomb/2 {
				t.Errorf("it took %d bytes to refuse", took)
			}
			if used := b.Memory(); used != 0 {
				t.Errorf("%d bytes are accounted for", used)
			}
			if got := b.all(s, 0, Position{Type: AfterSequenceNumber, Sequence: large}); len(got) != 1 || got[0] != "after" {
				t.Errorf("behind it are %d records", len(got))
			}
		})
	}
}

// The largest record that there can be is shown, one byte more is not.
func TestTheLargestRecordThatIsShown(t *testing.T) {
	b := newBench(t)
	s := b.topic("s", 1, "max.message.bytes", "50000000")
	value := bytes.Repeat([]byte{'v'}, MaxGetBytes)
	b.produce(s, 0, batch{records: []kafka.Record{{Value: value}}})
	b.produce(s, 0, batch{records: []kafka.Record{{Key: []byte("k"), Value: value}}})
	got := b.get(b.iterator(s, 0, Position{Type: TrimHorizon}), 10)
	if len(got.List) != 1 || len(got.List[0].Data) != MaxGetBytes {
		t.Fatalf("%d records", len(got.List))
	}
	it, err := b.OpenIterator(got.Next)
	if err != nil {
		t.Fatal(err)
	}
	_, err = b.Get(context.Background(), it, 10)
	if got := refusal(t, err); !strings.Contains(got, "has 10485761 bytes") {
		t.Error(got)
	}
}

// An answer that has less than it could, because of others, has those cut off that
// nobody takes; so the next one has all.
func TestUnreadAnswersDoNotKeepOthersShort(t *testing.T) {
	b, s := smallBench(t)
	b.puts(s, "a", "b")
	held := b.get(b.iterator(s, 0, Position{Type: TrimHorizon}), 1) // more than half of the memory
	held.Encoded(3 << 20)
	b.Outgoing.Haste.Silence = 0
	cut := 0
	sending := b.Outgoing.Begin(3<<20, func() { cut++ })
	small := Position{Type: AfterSequenceNumber, Sequence: b.shard(s, 0).Sequence(0)}
	few := b.get(b.iterator(s, 0, small), 10)
	if len(few.List) != 1 || cut != 1 {
		t.Errorf("%d records, %d answers are cut off", len(few.List), cut)
	}
	few.Release()
	sending.End()
	held.Release()
	all := b.get(b.iterator(s, 0, small), 10)
	defer all.Release()
	if len(all.List) != 2 {
		t.Errorf("%d records", len(all.List))
	}
}
