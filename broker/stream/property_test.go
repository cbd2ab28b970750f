package stream

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/streamweir/streamweir/broker/partition"
	"github.com/streamweir/streamweir/broker/shard"
	"github.com/streamweir/streamweir/broker/topic"
)

// place is where a record was acknowledged.
type place struct {
	shard  int32
	offset int64
}

// Whatever is done to a stream, and wherever the broker dies or its disk is full in
// between: what was acknowledged is in the shard that it went to, and belongs to it;
// shards are closed if and only if their partitions are sealed and they have
// children; and in the end everything that was begun is done.
func TestNothingIsLostInReshards(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		s := newStage(t, map[string]string{"kinesis.limits": "off"})
		if rapid.Bool().Draw(rt, "made by Kafka") {
			_, errs, err := s.topics.Create([]topic.NewTopic{{Name: "s", Partitions: 3, ReplicationFactor: 1}}, false)
			if err = errors.Join(append(errs, err)...); err != nil {
				rt.Fatal(err)
			}
		} else if err := s.m.Create(New{Name: "s", Shards: new(rapid.Int32Range(1, 4).Draw(rt, "shards"))}); err != nil {
			rt.Fatal(err)
		}
		acked := map[place]bool{}
		for range rapid.IntRange(1, 30).Draw(rt, "steps") {
			s.step(rt, acked)
		}
		s.restart(rt)
		s.clock.Advance(time.Minute)
		now, err := s.m.Stream("s")
		if err != nil {
			rt.Fatal(err)
		}
		if now.Stream.Status != topic.Active || now.Stream.Pending != nil {
			rt.Fatalf("the stream is %s in the end, with %+v to be done", now.Stream.Status, now.Stream.Pending)
		}
		s.checkStream(rt, acked)
	})
}

func (s *stage) restart(rt *rapid.T) {
	if err := s.crash(); err != nil {
		rt.Fatal(err)
	}
	s.clock.Advance(0)
}

func (s *stage) step(rt *rapid.T, acked map[place]bool) {
	now, err := s.m.Stream("s")
	if err != nil {
		rt.Fatal(err)
	}
	open := now.Stream.Lineage.Open()
	i := rapid.IntRange(0, len(open)-1).Draw(rt, "shard")
	switch rapid.IntRange(0, 8).Draw(rt, "what") {
	case 0:
		_ = s.m.SplitShard(now, open[i].ID(), middle(open[i].Range).String())
	case 1:
		if i+1 < len(open) {
			_ = s.m.MergeShards(now, open[i].ID(), open[i+1].ID())
		}
	case 2:
		_, _ = s.m.UpdateShardCount(now, rapid.Int32Range(1, 6).Draw(rt, "target"))
	case 3:
		s.clock.Advance(time.Duration(rapid.IntRange(0, 2000).Draw(rt, "ms")) * time.Millisecond)
	case 4:
		s.restart(rt)
		s.checkStream(rt, acked)
	case 5:
		s.meta.left, s.meta.after = rapid.IntRange(0, 2).Draw(rt, "changes until the crash"), rapid.Bool().Draw(rt, "after")
	case 6:
		s.meta.full = true
	case 7:
		_, _ = s.topics.CreatePartitions([]topic.MorePartitions{{Name: "s", Count: now.Partitions + 1}}, false)
	default:
		key := rapid.StringN(1, 4, -1).Draw(rt, "key")
		index, offset, err := s.put("s", key)
		if err == nil {
			at := place{index, offset}
			if acked[at] {
				rt.Fatalf("two records were acknowledged at %+v", at)
			}
			acked[at] = true
		} else if sealed := new(partition.SealedError); !errors.As(err, &sealed) {
			rt.Fatal(err)
		}
	}
}

// checkStream checks a stream of a broker that has just started.
func (s *stage) checkStream(rt *rapid.T, acked map[place]bool) {
	t, err := s.m.Stream("s")
	if err != nil {
		rt.Fatal(err)
	}
	l := t.Stream.Lineage
	if _, err := shard.New(l.Shards()); err != nil {
		rt.Fatal(err)
	}
	for i := range t.Partitions {
		sh, p := l.Shard(i), s.partitions.Get(t.ID, i)
		if sh.IsOpen() == p.Sealed() {
			rt.Fatalf("shard %d is open: %t, and its partition is sealed: %t", i, sh.IsOpen(), p.Sealed())
		}
		if high := p.Offsets().High; !sh.IsOpen() && high != sh.End {
			rt.Fatalf("shard %d ends at %d, and its partition at %d", i, sh.End, high)
		}
	}
	for at := range acked {
		sh, p := l.Shard(at.shard), s.partitions.Get(t.ID, at.shard)
		if p.Offsets().High <= at.offset || !sh.IsOpen() && sh.End <= at.offset {
			rt.Fatalf("the record at %+v is lost: the shard is %+v, and its log ends at %d", at, sh, p.Offsets().High)
		}
	}
}

// Records are appended from many sides while shards are split and merged: each is
// acknowledged below the end of its shard, or refused in a way that leads to the
// shard's children.
func TestAppendsWhileShardsClose(t *testing.T) {
	s := newStage(t, map[string]string{"kinesis.limits": "off", "kinesis.transition.ms": "0"})
	if err := s.m.Create(New{Name: "s", Shards: new(int32(2))}); err != nil {
		t.Fatal(err)
	}
	const writers, each = 8, 200
	var wg sync.WaitGroup
	places := make([][]place, writers)
	errs := make(chan error, writers)
	for w := range writers {
		wg.Go(func() {
			for n := range each {
				at, err := s.putAlways(t, fmt.Sprintf("%d-%d", w, n))
				if err != nil {
					errs <- err
					return
				}
				places[w] = append(places[w], at)
			}
		})
	}
	for n := range 40 {
		now, err := s.m.Stream("s")
		if err != nil {
			t.Fatal(err)
		}
		open := now.Stream.Lineage.Open()
		if n%2 == 0 {
			err = s.m.SplitShard(now, open[n%len(open)].ID(), middle(open[n%len(open)].Range).String())
		} else {
			err = s.m.MergeShards(now, open[0].ID(), open[1].ID())
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	wg.Wait()
	close(errs)
	for err := range errs {
		t.Fatal(err)
	}
	now, err := s.m.Stream("s")
	if err != nil {
		t.Fatal(err)
	}
	seen := map[place]bool{}
	for _, ps := range places {
		for _, at := range ps {
			sh := now.Stream.Lineage.Shard(at.shard)
			if seen[at] || !sh.IsOpen() && at.offset >= sh.End {
				t.Errorf("a record was acknowledged at %+v of shard %+v; before: %t", at, sh, seen[at])
			}
			seen[at] = true
		}
	}
	if len(seen) != writers*each {
		t.Errorf("%d records of %d", len(seen), writers*each)
	}
}

// putAlways puts a record as the data plane does: it follows the reshards.
func (s *stage) putAlways(t *testing.T, key string) (place, error) {
	for {
		now, err := s.m.Stream("s")
		if err != nil {
			return place{}, err
		}
		index, offset, err := s.put("s", key)
		if err == nil {
			return place{index, offset}, nil
		}
		if sealed := new(partition.SealedError); !errors.As(err, &sealed) {
			return place{}, err
		}
		if err := s.m.AwaitShards(t.Context(), now); err != nil {
			return place{}, err
		}
	}
}

// What a full disk puts off is done when there is space again, and counted.
func TestAReshardWaitsForSpace(t *testing.T) {
	s := newStage(t, nil)
	if err := s.m.Create(New{Name: "s", Shards: new(int32(1))}); err != nil {
		t.Fatal(err)
	}
	s.clock.Advance(time.Second)
	now, err := s.m.Stream("s")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.m.SplitShard(now, "0", "100"); err != nil {
		t.Fatal(err)
	}
	s.meta.full = true
	s.clock.Advance(500 * time.Millisecond)
	if _, _, err := s.put("s", "a"); err != nil {
		t.Errorf("the shard stays closed: %v", err)
	}
	if got, want := s.m.Stats(), (Stats{Streams: 1, Changing: 1, OpenShards: 1, Retries: 1}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	s.clock.Advance(retryAfter)
	if got, want := s.m.Stats(), (Stats{Streams: 1, OpenShards: 2, Retries: 1, Reshards: 1}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}
