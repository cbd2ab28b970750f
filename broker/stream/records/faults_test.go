package records

import (
	"context"
	"errors"
	"io/fs"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/streamweir/streamweir/broker/shard"
	"github.com/streamweir/streamweir/broker/stream"
	"github.com/streamweir/streamweir/storage"
)

func TestARecordThatCannotBeStoredFailsAlone(t *testing.T) {
	b := newBench(t)
	s := b.stream("s", 2)
	b.store.FailWhen(func(a *storage.Append) error {
		if a.Partition.Index == 1 {
			return storage.ErrNoSpace
		}
		return nil
	})
	low, high := entry("low", "low"), entry("high", "high")
	low.Hash, high.Hash = shard.HashKey{}, shard.MaxHashKey
	out := b.put(s, high, low)
	if !errors.Is(out[0].Err, ErrInternal) || out[1].Err != nil {
		t.Fatalf("%v and %v", out[0].Err, out[1].Err)
	}
	b.store.FailWhen(nil)
	if out := b.put(s, high); out[0].Err != nil || out[0].Offset != 0 {
		t.Errorf("the next record is at %d, %v", out[0].Offset, out[0].Err)
	}
}

func TestAPutIsAnsweredWhenItIsDurable(t *testing.T) {
	b := newBench(t)
	s := b.stream("s", 1)
	b.store.Hold()
	const writers = 20
	done := make(chan error, writers)
	var wg sync.WaitGroup
	for range writers {
		wg.Go(func() {
			_, err := b.PutRecord(context.Background(), s, entry("k", "v"))
			done <- err
		})
	}
	if got := b.all(s, 0, Position{Type: TrimHorizon}); len(got) != 0 || len(done) != 0 {
		t.Errorf("%d records are seen and %d puts answered before anything is durable", len(got), len(done))
	}
	b.store.Release()
	wg.Wait()
	for range writers {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	if got := b.all(s, 0, Position{Type: TrimHorizon}); len(got) != writers {
		t.Errorf("%d records", len(got))
	}
}

func TestACorruptBatchIsTold(t *testing.T) {
	b := newBench(t)
	b.cache = 0
	b.restart()
	s := b.stream("s", 1)
	for _, v := range []string{"0", "bad", "2"} {
		b.puts(s, v)
		b.clock.Advance(time.Second)
	}
	if !b.store.Corrupt(storage.Partition{Topic: s.ID}, 1) {
		t.Fatal("there is no such batch")
	}
	got := b.get(b.iterator(s, 0, Position{Type: TrimHorizon}), 10)
	if !slices.Equal(values(got.List), []string{"0"}) || got.Next == "" {
		t.Fatalf("before it: %v", values(got.List))
	}
	it, err := b.OpenIterator(got.Next)
	if err != nil {
		t.Fatal(err)
	}
	_, err = b.Get(t.Context(), it, 10)
	var refused *stream.Error
	if err == nil || errors.As(err, &refused) {
		t.Errorf("at it: %v", err)
	}
	later := startTime.Add(2 * time.Second).UnixMilli()
	if got := b.all(s, 0, Position{Type: AtTimestamp, Timestamp: &later}); !slices.Equal(got, []string{"2"}) {
		t.Errorf("behind it: %v", got)
	}
}

// metaFails is a metadata store that cannot be read or written.
type metaFails struct{ storage.Meta }

func (metaFails) Get(string) ([]byte, bool, error) { return nil, false, fs.ErrInvalid }

func TestTheKeyOfIteratorsMustBeKept(t *testing.T) {
	if _, err := iteratorKey(metaFails{}); !errors.Is(err, fs.ErrInvalid) {
		t.Error(err)
	}
	if _, err := newSealer([]byte("short")); err == nil {
		t.Error("a key of five bytes was taken")
	}
}

// Nothing opens but what was sealed, to the letter.
func FuzzOpenIterator(f *testing.F) {
	s, err := newSealer(make([]byte, 32))
	if err != nil {
		f.Fatal(err)
	}
	good := s.seal(iterator{at: 1, shard: 2, offset: 3, name: "s"})
	f.Add(good)
	f.Add(good[:40] + "\r\n" + good[40:])
	f.Add("")
	f.Add("AAAAAAAAAAE=")
	f.Fuzz(func(t *testing.T, text string) {
		if it, err := s.open(text); err == nil && text != good {
			t.Fatalf("%q was opened as %+v", text, it)
		}
	})
}
