package main

import (
	"context"
	"fmt"
	"time"

	"github.com/streamweir/streamweir/integration/bench/comparison"
)

func scenarios(c *config) []comparison.Scenario {
	// with gives a scenario what the flags say; few want the time of the start.
	with := func(run func(context.Context, *config, *comparison.Server) ([]comparison.Metric, error)) func(context.Context, *comparison.Server, time.Duration) ([]comparison.Metric, error) {
		return func(ctx context.Context, b *comparison.Server, _ time.Duration) ([]comparison.Metric, error) {
			return run(ctx, c, b)
		}
	}
	return []comparison.Scenario{
		{Name: "start", What: "start to the first acknowledged record, then idle memory and CPU", Run: c.start},
		{Name: "large", What: "64 KB batches to 12 partitions over 4 connections, then a catch-up fetch of them",
			Run: with(stream(load{topic: "large", partitions: 12, connections: 4, batchBytes: 64 << 10, batchCount: 64}, "64 KB batches, 12 partitions"))},
		{Name: "small", What: "8 KB batches to 100 partitions over 16 connections, then a catch-up fetch of them",
			Run: with(stream(load{topic: "small", partitions: 100, connections: 16, batchBytes: 8 << 10, batchCount: 8}, "8 KB batches, 100 partitions"))},
		{Name: "latency", What: "one 1 KB record at a time over one connection", Run: with(oneAtATime)},
		{Name: "e2e", What: fmt.Sprintf("producer to consumer with franz-go at %d records a second", endToEndRate), Run: with(endToEnd)},
		{Name: "txn", What: "small transactions one after the other, of one producer and of several", Run: with(transactions)},
		{Name: "read-committed", What: "a log of transactions, some aborted, read with both isolation levels", Run: with(readCommitted)},
	}
}

// stream is a produce load and the catch-up fetch of what it has written.
func stream(l load, title string) func(context.Context, *config, *comparison.Server) ([]comparison.Metric, error) {
	return func(ctx context.Context, c *config, b *comparison.Server) ([]comparison.Metric, error) {
		conn, err := dial(ctx, b.Addr)
		if err != nil {
			return nil, err
		}
		err = conn.createTopic(l.topic, int32(l.partitions))
		conn.close()
		if err != nil {
			return nil, err
		}
		written, err := produce(ctx, c, b, l)
		if err != nil {
			return nil, err
		}
		if err := comparison.Settle(b.Dir); err != nil {
			return nil, err
		}
		read, _, err := catchUp(ctx, b, l, reading{within: c.Measure / 2})
		if err != nil {
			return nil, err
		}
		all := append(byteMetrics(written, title), byteMetrics(read, title+", catch-up fetch")...)
		memory, err := b.MemoryMetric(title+", catch-up fetch", "anonymous memory after it MB")
		return append(all, memory...), err
	}
}

// start reports how long the broker took to its first acknowledgement, and what
// it holds and spends when nobody wants anything of it.
func (c *config) start(ctx context.Context, b *comparison.Server, took time.Duration) ([]comparison.Metric, error) {
	idle, err := c.IdleMetrics(ctx, b)
	return append([]comparison.Metric{comparison.StartMetric(took)}, idle...), err
}
