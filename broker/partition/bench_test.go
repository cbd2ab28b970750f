package partition

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/streamweir/streamweir/broker/config"
	"github.com/streamweir/streamweir/broker/memory"
	"github.com/streamweir/streamweir/broker/topic"
	"github.com/streamweir/streamweir/protocol/kafka"
	"github.com/streamweir/streamweir/storage/memstore"
)

func benchPartition(b *testing.B) *Partition {
	b.Helper()
	store := memstore.New(memstore.Options{})
	b.Cleanup(func() { store.Close() })
	cat, err := topic.Open(store.Meta(), config.Default(), topic.Options{})
	if err != nil {
		b.Fatal(err)
	}
	t, err := cat.Ensure("t")
	if err != nil {
		b.Fatal(err)
	}
	m := NewManager(Options{Store: store, Log: zap.NewNop(), CacheBytes: 64 << 20, ProducerExpiration: func() time.Duration { return time.Hour }})
	m.Open(t)
	return m.Get(t.ID, 0)
}

func benchBatch(b *testing.B, records int) []byte {
	b.Helper()
	var rs []kafka.Record
	for range records {
		rs = append(rs, kafka.Record{Timestamp: 1, Value: []byte(strings.Repeat("x", 1000))})
	}
	raw, err := kafka.BuildBatch(nil, kafka.BatchOptions{}, rs...)
	if err != nil {
		b.Fatal(err)
	}
	return raw
}

// appendOne appends raw and waits; every so often it lets the log go, so that
// the store in memory does not grow.
func appendOne(b *testing.B, p *Partition, raw []byte, i int) {
	buf := memory.NewBuffer(len(raw))
	copy(buf.B, raw)
	done := make(chan Result, 1)
	p.Append(Request{Batch: buf.B, Buffer: buf, Done: func(r Result) { done <- r }})
	buf.Release()
	if r := <-done; r.Err != nil {
		b.Fatal(r.Err)
	}
	if i%1000 == 999 {
		if _, err := p.DeleteBefore(-1); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkAppend is the way of one batch through the partition, with its
// validation, without a disk.
func BenchmarkAppend(b *testing.B) {
	for _, records := range []int{1, 8, 64} {
		b.Run(fmt.Sprintf("%dx1KB", records), func(b *testing.B) {
			p, raw := benchPartition(b), benchBatch(b, records)
			b.SetBytes(int64(len(raw)))
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				appendOne(b, p, raw, i)
			}
		})
	}
}

// BenchmarkFetch plans and reads 1 MB at a time, from memory and from the store.
func BenchmarkFetch(b *testing.B) {
	for _, from := range []string{"memory", "store"} {
		for _, records := range []int{1, 64} {
			b.Run(fmt.Sprintf("%s/%dx1KB", from, records), func(b *testing.B) {
				p, raw := benchPartition(b), benchBatch(b, records)
				if from == "store" {
					p.m.cache.limit = 0
				}
				for i := range (2 << 20) / len(raw) {
					appendOne(b, p, raw, i%999)
				}
				b.ReportAllocs()
				for b.Loop() {
					plan, err := p.Plan(0, -1, 1<<20, true)
					if err != nil {
						b.Fatal(err)
					}
					r := NewReader(plan)
					for r.Left() > 0 {
						if _, err := r.Next(256 << 10); err != nil {
							b.Fatal(err)
						}
					}
					r.Close()
					b.SetBytes(int64(plan.Bytes))
				}
			})
		}
	}
}

// BenchmarkPlan compares planning a read-committed fetch with a plain one, of
// 1 MB in 64 KB batches: without transactions, and with an aborted one beside
// every batch, of which all but the newest are in the store.
func BenchmarkPlan(b *testing.B) {
	for _, history := range []string{"plain", "aborted"} {
		p, raw := benchPartition(b), benchBatch(b, 64)
		p.m.chunkTxns = 64
		for i := range 700 {
			appendOne(b, p, raw, 0)
			if history == "aborted" {
				abortOne(b, p, int64(i%7))
			}
		}
		for name, plan := range map[string]func(*Partition, int64, int32, int, bool) (Plan, error){
			"uncommitted": (*Partition).Plan, "committed": (*Partition).PlanCommitted,
		} {
			b.Run(history+"/"+name, func(b *testing.B) {
				b.ReportAllocs()
				var offset int64
				for b.Loop() {
					got, err := plan(p, offset, -1, 1<<20, true)
					if err != nil {
						b.Fatal(err)
					}
					if offset = got.Next; got.Bytes == 0 {
						offset = 0
					}
				}
			})
		}
	}
}

func abortOne(b *testing.B, p *Partition, id int64) {
	raw, err := kafka.BuildBatch(nil, kafka.BatchOptions{Producer: &kafka.Producer{ID: id, Sequence: kafka.NoSequence}, Transactional: true}, kafka.Record{Value: []byte("x")})
	if err != nil {
		b.Fatal(err)
	}
	done := make(chan Result, 1)
	p.Append(Request{Batch: raw, Internal: true, Verified: true, Done: func(r Result) { done <- r }})
	if r := <-done; r.Err != nil {
		b.Fatal(r.Err)
	}
	ended := make(chan error, 1)
	p.WriteMarker(Marker{ProducerID: id, Done: func(err error) { ended <- err }})
	if err := <-ended; err != nil {
		b.Fatal(err)
	}
}
