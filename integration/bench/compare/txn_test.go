package main

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// A transaction of several requests arrives as a whole or not at all, and the
// reader counts all of its bytes with either isolation level.
func TestTransactionsAreCommittedAndAborted(t *testing.T) {
	b, _ := fake(t)
	const partitions, records = 2, 8
	producers, err := startProducers(t.Context(), b.Addr, "t", 1, partitions)
	if err != nil {
		t.Fatal(err)
	}
	p := producers[0]
	defer p.conn.close()
	frames := make([]*txnFrame, 3)
	for n := range frames {
		frames[n] = newTxnFrame("t", p.id, partitionBatch{0, makeBatch(records, 4096, uint64(2*n))}, partitionBatch{1, makeBatch(records, 4096, uint64(2*n+1))})
	}
	for _, commit := range []bool{true, false, true} {
		if err := p.transact(t.Context(), frames, commit); err != nil {
			t.Fatal(err)
		}
	}
	want := 2 * len(frames) * partitions * records
	cl, err := kgo.NewClient(kgo.SeedBrokers(b.Addr), kgo.ConsumeTopics("t"), kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	got := 0
	for got < want {
		fetches := cl.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			t.Fatalf("after %d of %d records: %v", got, want, err)
		}
		got += fetches.NumRecords()
	}
	if got != want {
		t.Errorf("%d records are committed, want %d", got, want)
	}
	l := load{topic: "t", partitions: partitions, connections: 1}
	for isolation, wantAborted := range []int64{0, partitions} {
		read, aborted, err := catchUp(t.Context(), b, l, reading{isolation: int8(isolation)})
		if err != nil {
			t.Fatal(err)
		}
		// Nine batches of about 4 KB and three markers in each partition.
		if aborted != wantAborted || read.Count < 9*partitions*4000 || read.Count > 9*partitions*4300 {
			t.Errorf("isolation level %d: %d bytes, %d aborted transactions", isolation, read.Count, aborted)
		}
	}
}

// A broker that has not finished the last transaction is asked again; another
// error ends the run.
func TestTransactionsWaitForTheOneBefore(t *testing.T) {
	b, cluster := fake(t)
	producers, err := startProducers(t.Context(), b.Addr, "t", 1, 1)
	if err != nil {
		t.Fatal(err)
	}
	p := producers[0]
	defer p.conn.close()
	frames := []*txnFrame{newTxnFrame("t", p.id, partitionBatch{0, makeBatch(1, 1024, 1)})}
	var code atomic.Int32
	code.Store(int32(kerr.ConcurrentTransactions.Code))
	asked := 0
	cluster.ControlKey(int16(kmsg.Produce), func(req kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		asked++
		if asked > 3 && code.Load() == int32(kerr.ConcurrentTransactions.Code) {
			return nil, nil, false
		}
		resp := req.ResponseKind().(*kmsg.ProduceResponse)
		partition := kmsg.NewProduceResponseTopicPartition()
		partition.ErrorCode = int16(code.Load())
		resp.Topics = []kmsg.ProduceResponseTopic{{Topic: "t", Partitions: []kmsg.ProduceResponseTopicPartition{partition}}}
		return resp, nil, true
	})
	if err := p.transact(t.Context(), frames, true); err != nil {
		t.Fatal(err)
	}
	code.Store(int32(kerr.InvalidProducerEpoch.Code))
	if err := p.transact(t.Context(), frames, true); !errors.Is(err, kerr.InvalidProducerEpoch) {
		t.Errorf("a fenced producer's transaction: %v", err)
	}
}
