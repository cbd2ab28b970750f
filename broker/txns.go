package broker

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"go.uber.org/zap"

	"github.com/streamweir/streamweir/broker/config"
	"github.com/streamweir/streamweir/broker/partition"
	"github.com/streamweir/streamweir/broker/topic"
	"github.com/streamweir/streamweir/broker/txn"
	"github.com/streamweir/streamweir/protocol/kafka"
)

// openTransactions starts the transaction coordinator on __transaction_state,
// and loads it in the background. Where the topic is not there yet, the
// coordinator begins with the topic.
func (c *Core) openTransactions(cfg *config.Config) error {
	l := &txnLog{partitions: c.Partitions}
	n := cfg.TransactionStateNumPartitions
	t := c.Topics.Topic(topic.TransactionState)
	if t != nil {
		n = t.Partitions
	}
	coordinator, err := txn.New(txn.Options{
		Config: txn.FromSettings(cfg, n), Log: l, Markers: txnMarkers{c}, NewProducerID: c.Producers.Next, Logger: c.log,
	})
	if err != nil {
		return err
	}
	c.Transactions = coordinator
	load := func(t *topic.Topic) {
		l.topic.Store(t)
		all := make([]int32, min(n, t.Partitions))
		for i := range all {
			all[i] = int32(i)
		}
		coordinator.Load(all...)
	}
	c.Topics.Watch(func(ch topic.Change) {
		switch {
		case ch.New != nil && ch.Old == nil && ch.New.Name == topic.TransactionState:
			load(ch.New)
		case ch.New == nil && ch.Old != nil && ch.Old.Name == topic.TransactionState:
			for p := range n {
				coordinator.Unload(p)
			}
		}
	})
	if t != nil {
		load(t)
	}
	return nil
}

// transactionsClosing bounds the wait for changes that are on their way to the
// log.
const transactionsClosing = 10 * time.Second

func (c *Core) closeTransactions() {
	ctx, cancel := context.WithTimeout(context.Background(), transactionsClosing)
	defer cancel()
	if err := c.Transactions.Shutdown(ctx); err != nil {
		c.log.Error("changes of transactions were under way when the broker closed", zap.Error(err))
	}
}

// transactionsHealth is nil, or names the transactional ids that cannot be read.
// The error of the first partition stands for the others: they are all in the
// server's log.
func transactionsHealth(c *txn.Coordinator) error {
	failed := c.Failed()
	if len(failed) == 0 {
		return nil
	}
	p := slices.Min(slices.Collect(maps.Keys(failed)))
	return fmt.Errorf("the transactional ids in %d of the partitions of %s have no coordinator; the first is %d: %w",
		len(failed), topic.TransactionState, p, failed[p])
}

// txnMarkers ends transactions in the partitions of this broker.
type txnMarkers struct{ c *Core }

// WriteMarker writes one marker.
func (m txnMarkers) WriteMarker(to txn.TopicPartition, mk txn.Marker, done func(error)) {
	m.c.WriteTxnMarker(to.Topic, to.Partition, partition.Marker{
		ProducerID: mk.ProducerID, ProducerEpoch: mk.ProducerEpoch, CoordinatorEpoch: mk.CoordinatorEpoch,
		Commit: mk.Commit, TransactionVersion: mk.TransactionVersion, Done: done,
	})
}

// txnLog is __transaction_state for the transaction coordinator.
type txnLog struct {
	partitions *partition.Manager
	topic      atomic.Pointer[topic.Topic]
}

func (l *txnLog) get(index int32) (*partition.Partition, error) {
	if t := l.topic.Load(); t != nil {
		if p := l.partitions.Get(t.ID, index); p != nil {
			return p, nil
		}
	}
	return nil, fmt.Errorf("%w: %s-%d", kerr.NotLeaderForPartition, topic.TransactionState, index)
}

// Append adds one batch of the coordinator's.
func (l *txnLog) Append(index int32, batch []byte, done func(err error)) {
	p, err := l.get(index)
	if err != nil {
		done(err)
		return
	}
	p.Append(partition.Request{Batch: batch, Internal: true, Done: func(r partition.Result) { done(r.Err) }})
}

// Read goes over the batches of a partition.
func (l *txnLog) Read(index int32, fn func(kafka.Batch) error) error {
	p, err := l.get(index)
	if err != nil {
		return err
	}
	_, err = p.EachBatch(0, fn)
	return err
}

// Epoch is the leader epoch of a partition.
func (l *txnLog) Epoch(int32) int32 { return l.partitions.Epoch() }
