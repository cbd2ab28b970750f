package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/errgroup"

	"github.com/streamweir/streamweir/integration/bench/comparison"
)

const (
	latencyRecord  = 1024 // bytes of the one record of a request
	endToEndRate   = 1000 // records a second
	endToEndTopics = 12   // partitions of the end-to-end topic
	endToEndDrain  = 5 * time.Second
)

// oneAtATime sends a record, waits for its acknowledgement, and only then sends
// the next one: what a caller who must know waits for.
func oneAtATime(ctx context.Context, c *config, b *comparison.Server) ([]comparison.Metric, error) {
	ctx, cancel := context.WithTimeout(ctx, c.Warmup+c.Measure+requestTimeout)
	defer cancel()
	const topic = "one-at-a-time"
	conn, err := dial(ctx, b.Addr)
	if err != nil {
		return nil, err
	}
	defer conn.close()
	if err := conn.createTopic(topic, 1); err != nil {
		return nil, err
	}
	frame := encodeProduce(topic, partitionBatch{0, makeBatch(1, latencyRecord, 1)})
	var latencies []time.Duration
	began := time.Now()
	for n := int32(0); ; n++ {
		sent := time.Now()
		if sent.Sub(began) > c.Warmup+c.Measure {
			break
		}
		if err := conn.send(frame, n); err != nil {
			return nil, fmt.Errorf("one record at a time: %w", err)
		}
		if err := conn.receiveProduce(produceVersion, n, 1); err != nil {
			return nil, fmt.Errorf("one record at a time: %w", err)
		}
		if sent.Sub(began) > c.Warmup {
			latencies = append(latencies, time.Since(sent))
		}
	}
	return percentiles("1 KB record, one at a time", latencies)
}

// endToEnd produces at a steady rate with franz-go and consumes with another
// client of it: from the call of Produce to the record in the consumer's hands.
func endToEnd(ctx context.Context, c *config, b *comparison.Server) ([]comparison.Metric, error) {
	ctx, cancel := context.WithTimeout(ctx, c.Warmup+c.Measure+requestTimeout)
	defer cancel()
	const topic = "end-to-end"
	conn, err := dial(ctx, b.Addr)
	if err != nil {
		return nil, err
	}
	err = conn.createTopic(topic, endToEndTopics)
	conn.close()
	if err != nil {
		return nil, err
	}

	// Linger and batching would be the client's latency, not the broker's.
	producer, err := kgo.NewClient(kgo.SeedBrokers(b.Addr), kgo.DefaultProduceTopic(topic),
		kgo.ProducerLinger(0), kgo.DisableIdempotentWrite(), kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.ProducerBatchCompression(kgo.NoCompression()), kgo.RecordPartitioner(kgo.RoundRobinPartitioner()))
	if err != nil {
		return nil, err
	}
	defer producer.Close()
	consumer, err := kgo.NewClient(kgo.SeedBrokers(b.Addr), kgo.ConsumeTopics(topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		return nil, err
	}
	defer consumer.Close()

	began := time.Now()
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		return sendSteadily(ctx, producer, began.Add(c.Warmup+c.Measure))
	})
	var latencies []time.Duration
	group.Go(func() error {
		var err error
		latencies, err = receiveAll(ctx, consumer, began.Add(c.Warmup), began.Add(c.Warmup+c.Measure+endToEndDrain))
		return err
	})
	if err := group.Wait(); err != nil {
		return nil, fmt.Errorf("end to end: %w", err)
	}
	return percentiles(fmt.Sprintf("end to end at %d/s", endToEndRate), latencies)
}

// The keys of end-to-end records. The last record says in its value how many came
// before it; each other one when it was sent.
var (
	timeKey = []byte("sent")
	lastKey = []byte("last")
)

func endToEndRecord(key []byte, number uint64) *kgo.Record {
	value := make([]byte, latencyRecord)
	binary.BigEndian.PutUint64(value, number)
	return &kgo.Record{Key: key, Value: value}
}

// sendSteadily produces a record each millisecond until the deadline, and then
// the last one. Where the ticker was late it catches up.
func sendSteadily(ctx context.Context, producer *kgo.Client, until time.Time) error {
	var failed atomic.Pointer[error]
	done := func(_ *kgo.Record, err error) {
		if err != nil {
			failed.CompareAndSwap(nil, &err)
		}
	}
	var sent uint64
	began := time.Now()
	ticker := time.NewTicker(time.Second / endToEndRate)
	defer ticker.Stop()
	for now := began; now.Before(until); now = time.Now() {
		for due := uint64(now.Sub(began).Seconds() * endToEndRate); sent < due; sent++ {
			producer.Produce(ctx, endToEndRecord(timeKey, uint64(time.Now().UnixNano())), done)
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-ticker.C:
		}
	}
	producer.Produce(ctx, endToEndRecord(lastKey, sent), done)
	if err := producer.Flush(ctx); err != nil {
		return err
	}
	if err := failed.Load(); err != nil {
		return fmt.Errorf("produce: %w", *err)
	}
	return nil
}

// receiveAll consumes until every produced record has come, and returns the
// latencies of those sent after the warm-up.
func receiveAll(ctx context.Context, consumer *kgo.Client, warm, deadline time.Time) ([]time.Duration, error) {
	ctx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	var latencies []time.Duration
	received, total := 0, -1
	for received != total {
		fetches := consumer.PollFetches(ctx)
		now := time.Now()
		if err := fetches.Err0(); err != nil {
			return nil, fmt.Errorf("consume: %w after %d records of %d (-1: unknown)", err, received, total)
		}
		var failed error
		fetches.EachError(func(topic string, partition int32, err error) {
			failed = fmt.Errorf("consume %s-%d: %w", topic, partition, err)
		})
		if failed != nil {
			return nil, failed
		}
		fetches.EachRecord(func(r *kgo.Record) {
			number := binary.BigEndian.Uint64(r.Value)
			if bytes.Equal(r.Key, lastKey) {
				total = int(number)
				return
			}
			received++
			if at := time.Unix(0, int64(number)); at.After(warm) {
				latencies = append(latencies, now.Sub(at))
			}
		})
	}
	return latencies, nil
}
