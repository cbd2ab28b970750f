package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// scenario is one run on a fresh broker. A run may fill several rows of the table.
type scenario struct {
	name string
	what string
	run  func(context.Context, *config, *broker, time.Duration) ([]metric, error)
}

func scenarios() []scenario {
	return []scenario{
		{"start", "start to the first acknowledged record, then idle memory and CPU", start},
		{"large", "64 KB batches to 12 partitions over 4 connections, then a catch-up fetch of them",
			stream(load{topic: "large", partitions: 12, connections: 4, batchBytes: 64 << 10, batchCount: 64}, "64 KB batches, 12 partitions")},
		{"small", "8 KB batches to 100 partitions over 16 connections, then a catch-up fetch of them",
			stream(load{topic: "small", partitions: 100, connections: 16, batchBytes: 8 << 10, batchCount: 8}, "8 KB batches, 100 partitions")},
		{"latency", "one 1 KB record at a time over one connection",
			func(ctx context.Context, c *config, b *broker, _ time.Duration) ([]metric, error) {
				return oneAtATime(ctx, c, b)
			}},
		{"e2e", fmt.Sprintf("producer to consumer with franz-go at %d records a second", endToEndRate),
			func(ctx context.Context, c *config, b *broker, _ time.Duration) ([]metric, error) {
				return endToEnd(ctx, c, b)
			}},
		{"txn", "small transactions one after the other, of one producer and of several", transactions},
		{"read-committed", "a log of transactions, some aborted, read with both isolation levels", readCommitted},
	}
}

// stream is a produce load and the catch-up fetch of what it has written.
func stream(l load, title string) func(context.Context, *config, *broker, time.Duration) ([]metric, error) {
	return func(ctx context.Context, c *config, b *broker, _ time.Duration) ([]metric, error) {
		conn, err := dial(ctx, b.addr)
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
		if err := settle(b.dir); err != nil {
			return nil, err
		}
		read, _, err := catchUp(ctx, b, l, reading{within: c.measure / 2})
		if err != nil {
			return nil, err
		}
		all := append(written.metrics(title), read.metrics(title+", catch-up fetch")...)
		memory, err := anonymousMemory(b.proc.pid())
		if errors.Is(err, errNotHere) {
			return all, nil
		}
		return append(all, metric{title + ", catch-up fetch", "anonymous memory after it MB", float64(memory) / 1e6, 0, forComparison}), err
	}
}

// start reports how long the broker took to its first acknowledgement, and what
// it holds and spends when nobody wants anything of it.
func start(ctx context.Context, c *config, b *broker, took time.Duration) ([]metric, error) {
	all := []metric{{"start", "first ack ms", float64(took.Microseconds()) / 1e3, 0, forComparison}}
	if err := rest(ctx, c.idle, b); err != nil { // what starting leaves behind settles
		return nil, err
	}
	before, err := b.usage()
	if err != nil {
		return nil, err
	}
	if err := rest(ctx, c.idle, b); err != nil {
		return nil, err
	}
	after, err := b.usage()
	if err != nil {
		return nil, err
	}
	memory, err := anonymousMemory(b.proc.pid())
	if errors.Is(err, errNotHere) {
		return all, nil
	}
	if err != nil {
		return nil, err
	}
	spent := (after.broker - before.broker).Seconds() / after.at.Sub(before.at).Seconds()
	return append(all,
		metric{"idle", "anonymous memory MB", float64(memory) / 1e6, 0, forComparison},
		metric{"idle", "CPU %", 100 * spent, 1, forReading}), nil
}

// rest lets a broker alone for a while.
func rest(ctx context.Context, d time.Duration, b *broker) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-b.proc.exited:
		return fmt.Errorf("%s ended while idle: %v", b.system.name, b.proc.err)
	case <-timer.C:
		return nil
	}
}
