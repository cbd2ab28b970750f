package records

import (
	"context"
	"fmt"
	"strings"
	"testing"
)

// benchRecords are records of 100 bytes for all shards.
func benchRecords(n int) []Entry {
	entries := make([]Entry, n)
	for i := range entries {
		entries[i] = entry(fmt.Sprint("partition key ", i), strings.Repeat("x", 100))
	}
	return entries
}

// BenchmarkPutRecords is the way of one request through the core, without a disk.
func BenchmarkPutRecords(b *testing.B) {
	for _, n := range []int{1, 10, 500} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			t := newBench(b)
			s := t.stream("s", 4)
			entries, out := benchRecords(n), make([]Outcome, n)
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if err := t.PutRecords(context.Background(), s, entries, out); err != nil {
					b.Fatal(err)
				}
				if i%100 == 99 { // the store in memory must not grow
					for index := range int32(4) {
						if _, err := t.parts.Get(s.ID, index).DeleteBefore(-1); err != nil {
							b.Fatal(err)
						}
					}
				}
			}
			b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "records/s")
		})
	}
}

// BenchmarkGetRecords reads records that are in the cache, 10,000 at a time.
func BenchmarkGetRecords(b *testing.B) {
	t := newBench(b)
	t.cache = 64 << 20
	t.restart()
	s := t.stream("s", 1)
	for range 20 {
		t.put(s, benchRecords(500)...)
	}
	it, err := t.OpenIterator(t.iterator(s, 0, Position{Type: TrimHorizon}))
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		got, err := t.Get(context.Background(), it, MaxGetRecords)
		if err != nil || len(got.List) != MaxGetRecords {
			b.Fatalf("%d records, %v", len(got.List), err)
		}
		got.Release()
	}
	b.ReportMetric(MaxGetRecords*float64(b.N)/b.Elapsed().Seconds(), "records/s")
}

// BenchmarkSubscription is one record from its put to the event that brings it.
func BenchmarkSubscription(b *testing.B) {
	t := newBench(b)
	c := consumer("c")
	s := t.register(t.stream("s", 1), c)
	sub, err := t.Subscribe(t.shard(s, 0), c, Position{Type: Latest})
	if err != nil {
		b.Fatal(err)
	}
	defer sub.Close()
	entries, out := benchRecords(1), make([]Outcome, 1)
	b.ReportAllocs()
	for b.Loop() {
		if err := t.PutRecords(context.Background(), s, entries, out); err != nil {
			b.Fatal(err)
		}
		if e, err := sub.Next(context.Background()); err != nil || len(e.List) != 1 {
			b.Fatal(err)
		}
	}
}
