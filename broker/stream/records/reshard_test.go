package records

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/streamweir/streamweir/broker/shard"
	"github.com/streamweir/streamweir/broker/stream"
	"github.com/streamweir/streamweir/broker/topic"
)

func (b *bench) kinesisStream(name string, shards int32) *topic.Topic {
	b.Helper()
	if err := b.streams.Create(stream.New{Name: name, Shards: &shards}); err != nil {
		b.Fatal(err)
	}
	return b.topics.Topic(name)
}

// lineage reads all shards of a stream, parents before children, each to its end,
// and returns the values of each partition key in order.
func (b *bench) lineage(t *topic.Topic) map[string][]string {
	b.Helper()
	t = b.topics.Topic(t.Name)
	out := map[string][]string{}
	for i := range t.Stream.Lineage.Len() {
		it := b.iterator(t, i, Position{Type: TrimHorizon})
		for it != "" {
			got := b.get(it, MaxGetRecords)
			for _, r := range got.List {
				out[r.PartitionKey] = append(out[r.PartitionKey], string(r.Data))
			}
			if got.Next == "" && len(got.Children) == 0 || got.Next != "" && len(got.Children) > 0 {
				b.Fatalf("shard %d ends with next %q and children %v", i, got.Next, got.Children)
			}
			it = got.Next
			if b.shard(t, i).IsOpen() && got.Behind == 0 {
				break
			}
		}
	}
	return out
}

// Writers go on through splits and merges; a key's records stay in order.
func TestPutsFollowReshards(t *testing.T) {
	b := newBench(t)
	s := b.kinesisStream("s", 2)
	const writers, each = 8, 5
	var stop atomic.Bool
	var rounds [writers]int
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for r := 0; !stop.Load() || r < 50; r++ {
				var entries []Entry
				for k := range each {
					entries = append(entries, entry(fmt.Sprint(w, ".", k), strconv.Itoa(r)))
				}
				out := make([]Outcome, each)
				now, err := b.streams.Stream("s")
				if err == nil {
					err = b.PutRecords(context.Background(), now, entries, out)
				}
				for i := range out {
					if err == nil {
						err = out[i].Err
					}
				}
				if err != nil {
					t.Error(err)
					return
				}
				rounds[w]++
			}
		})
	}
	c := consumer("c")
	b.register(s, c)
	for i := range 40 {
		now := b.topics.Topic("s")
		open := now.Stream.Lineage.Open()
		var err error
		if i%2 == 0 {
			first := open[i%len(open)]
			at := shard.HashKey{Hi: first.Range.Start.Hi/2 + first.Range.End.Hi/2, Lo: 12345}
			err = b.streams.SplitShard(now, first.ID(), at.String())
		} else {
			err = b.streams.MergeShards(now, open[0].ID(), open[1].ID())
		}
		if err != nil {
			t.Error(err)
		}
	}
	stop.Store(true)
	wg.Wait()
	got := b.lineage(s)
	for w := range writers {
		for k := range each {
			key := fmt.Sprint(w, ".", k)
			if len(got[key]) != rounds[w] {
				t.Fatalf("%d records of %s, want %d", len(got[key]), key, rounds[w])
			}
			for r, v := range got[key] {
				if v != strconv.Itoa(r) {
					t.Fatalf("record %d of %s is %s", r, key, v)
				}
			}
		}
	}
}

// A subscription to each shard, begun as its shard appears, sees every record once.
func TestSubscriptionsFollowReshards(t *testing.T) {
	b := newBench(t)
	s := b.kinesisStream("s", 1)
	c := consumer("c")
	s = b.register(s, c)
	seen := make(chan string, 1000)
	var follow func(index int32)
	var wg sync.WaitGroup
	follow = func(index int32) {
		wg.Go(func() {
			l := b.listen(b.shard(s, index), c, Position{Type: TrimHorizon})
			for {
				h := l.hear()
				if h.err != nil {
					t.Errorf("shard %d: %v", index, h.err)
					return
				}
				for _, v := range h.values {
					seen <- v
				}
				for _, child := range h.children {
					follow(child)
				}
				if len(h.children) > 0 {
					return
				}
				if len(h.values) > 0 && h.values[len(h.values)-1] == "end" {
					return
				}
			}
		})
	}
	follow(0)
	want := map[string]bool{}
	for i := range 20 {
		now := b.topics.Topic("s")
		open := now.Stream.Lineage.Open()
		last := open[len(open)-1]
		at := shard.HashKey{Hi: last.Range.Start.Hi/2 + last.Range.End.Hi/2 + 1}
		v := fmt.Sprint("v", i)
		want[v] = true
		if o := b.put(now, Entry{PartitionKey: "k", Data: []byte(v), Hash: shard.MaxHashKey}); o[0].Err != nil {
			t.Fatal(o[0].Err)
		}
		if i%4 == 3 {
			if err := b.streams.SplitShard(now, last.ID(), at.String()); err != nil {
				t.Fatal(err)
			}
		}
	}
	now := b.topics.Topic("s")
	for _, sh := range now.Stream.Lineage.Open() {
		b.put(now, Entry{PartitionKey: "k", Data: []byte("end"), Hash: sh.Range.Start})
	}
	wg.Wait()
	close(seen)
	for v := range seen {
		if v != "end" && !want[v] {
			t.Errorf("%s was seen twice", v)
		}
		delete(want, v)
	}
	if len(want) > 0 {
		t.Errorf("never seen: %v", want)
	}
}

func TestAShardVanishesWithItsRecords(t *testing.T) {
	b := newBench(t)
	s := b.kinesisStream("s", 1)
	b.puts(s, "v")
	it := b.iterator(s, 0, Position{Type: TrimHorizon})
	if err := b.streams.SplitShard(s, "shardId-000000000000", "1000"); err != nil {
		t.Fatal(err)
	}
	b.get(it, 1)
	b.clock.Advance(topic.MinRetention + 1e6)
	_, err := b.Shard(b.topics.Topic("s"), "shardId-000000000000")
	if got := refusal(t, err); got != "ResourceNotFoundException: Shard shardId-000000000000 in stream s under account 000000000000 does not exist" {
		t.Error(got)
	}
}
