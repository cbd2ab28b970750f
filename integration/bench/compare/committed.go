package main

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/streamweir/streamweir/integration/bench/comparison"
)

// What a log of transactions is made of.
const (
	txnLogTitle   = "a log of transactions"
	txnLogBatch   = 16 << 10
	txnLogRecords = 16 // in a batch
	txnLogFrames  = 4  // batches of a transaction in each of its partitions
	abortedOnceIn = 10 // transactions
	readTurns     = 2  // readings with each isolation level
)

// readCommitted writes a log in transactions, some of them aborted, and reads
// it with both isolation levels in turn.
func readCommitted(ctx context.Context, c *config, b *comparison.Server) ([]comparison.Metric, error) {
	l := load{topic: "committed", partitions: 12, connections: 4, batchBytes: txnLogBatch, batchCount: txnLogRecords}
	if err := writeTransactions(ctx, c, b, l); err != nil {
		return nil, fmt.Errorf("write %s: %w", txnLogTitle, err)
	}
	if err := comparison.Settle(b.Dir); err != nil {
		return nil, err
	}
	var sums [2]comparison.Interval
	for turn := range 2 * readTurns {
		isolation := turn % len(sums)
		read, aborted, err := catchUp(ctx, b, l, reading{isolation: int8(isolation), within: c.Measure / readTurns / 2})
		if err != nil {
			return nil, err
		}
		if got := aborted > 0; got != (isolation == committedOnly) {
			return nil, fmt.Errorf("with isolation level %d, fetches named %d aborted transactions", isolation, aborted)
		}
		sums[isolation] = sums[isolation].Plus(read)
	}
	all := append(byteMetrics(sums[0], txnLogTitle+", read_uncommitted"), byteMetrics(sums[committedOnly], txnLogTitle+", read_committed")...)
	return append(all, comparison.Figure(txnLogTitle, "read_committed/read_uncommitted", sums[committedOnly].PerSecond()/sums[0].PerSecond(), 2, comparison.ForReading)), nil
}

// writeTransactions fills the topic for the measured time, or until there are
// maxBytes.
func writeTransactions(ctx context.Context, c *config, b *comparison.Server, l load) error {
	ctx, cancel := context.WithTimeout(ctx, c.Measure+2*requestTimeout)
	defer cancel()
	producers, err := startProducers(ctx, b.Addr, l.topic, l.connections, l.partitions/l.connections)
	if err != nil {
		return err
	}
	until := time.Now().Add(c.Measure)
	var written atomic.Int64
	group, ctx := errgroup.WithContext(ctx)
	for _, p := range producers {
		defer p.conn.close()
		frames := make([]*txnFrame, txnLogFrames)
		size := int64(0)
		for n := range frames {
			var batches []partitionBatch
			for _, partition := range p.mine {
				batch := makeBatch(l.batchCount, l.batchBytes-batchOverhead, uint64(n*l.partitions)+uint64(partition))
				batches = append(batches, partitionBatch{partition, batch})
				size += int64(len(batch))
			}
			frames[n] = newTxnFrame(l.topic, p.id, batches...)
		}
		group.Go(func() error {
			// The first one of a short run is aborted, so that there is one.
			for n := 0; n < 2 || (time.Now().Before(until) && written.Load() < c.maxBytes); n++ {
				if err := p.transact(ctx, frames, n%abortedOnceIn != 0); err != nil {
					return err
				}
				written.Add(size)
			}
			return nil
		})
	}
	return group.Wait()
}
