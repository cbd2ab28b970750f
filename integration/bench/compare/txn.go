package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
	"golang.org/x/sync/errgroup"

	"github.com/streamweir/streamweir/integration/bench/comparison"
)

// Versions of the requests of a transaction. From these on a partition joins a
// transaction with its first produce request, and each end of a transaction
// brings the epoch of the next one (KIP-890), as with all new clients.
const (
	txnProduceVersion  = 12
	initProducerID     = 5
	endTxnVersion      = 5
	coordinatorVersion = 4
)

// Where the producer's fields stand in a batch.
const (
	attributesAt    = 21
	producerIDAt    = 43
	producerEpochAt = 51
	baseSequenceAt  = 53
	isTransactional = 1 << 4
)

const (
	txnTimeout = 30 * time.Second
	// txnPause is how long a producer waits where the broker has not yet written
	// the markers of its last transaction.
	txnPause = time.Millisecond
)

// txnLoad is some producers, each of which makes one small transaction after
// the other: one record to each of its partitions, then the commit.
type txnLoad struct {
	producers  int
	partitions int // of each producer, its own
}

func (l txnLoad) title() string {
	return fmt.Sprintf("transactions: %d at once, 1 KB to %d partitions", l.producers, l.partitions)
}

var txnLoads = []txnLoad{{1, 1}, {1, 12}, {16, 1}}

// transactions runs one load after the other on the same broker.
func transactions(ctx context.Context, c *config, b *comparison.Server) ([]comparison.Metric, error) {
	var all []comparison.Metric
	for i, l := range txnLoads {
		metrics, err := l.run(ctx, c, b, fmt.Sprintf("transactions-%d", i))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", l.title(), err)
		}
		all = append(all, metrics...)
	}
	return all, nil
}

func (l txnLoad) run(ctx context.Context, c *config, b *comparison.Server, topic string) ([]comparison.Metric, error) {
	ctx, cancel := context.WithTimeout(ctx, c.Warmup+c.Measure+2*requestTimeout)
	defer cancel()
	producers, err := startProducers(ctx, b.Addr, topic, l.producers, l.partitions)
	if err != nil {
		return nil, err
	}
	warm := time.Now().Add(c.Warmup)
	latencies := make([][]time.Duration, len(producers))
	var count atomic.Int64
	var stop atomic.Bool
	group, ctx := errgroup.WithContext(ctx)
	for i, p := range producers {
		defer p.conn.close()
		var batches []partitionBatch
		for _, partition := range p.mine {
			batches = append(batches, partitionBatch{partition, makeBatch(1, latencyRecord, uint64(partition))})
		}
		frames := []*txnFrame{newTxnFrame(topic, p.id, batches...)}
		group.Go(func() error {
			for !stop.Load() {
				began := time.Now()
				if err := p.transact(ctx, frames, true); err != nil {
					return err
				}
				count.Add(1)
				if began.After(warm) {
					latencies[i] = append(latencies[i], time.Since(began))
				}
			}
			return nil
		})
	}
	var done comparison.Interval // of transactions, not of bytes
	group.Go(func() error {
		defer stop.Store(true)
		var err error
		done, err = c.Observe(ctx, b, &count, c.maxBytes)
		return err
	})
	if err := group.Wait(); err != nil {
		return nil, err
	}
	return l.metrics(done, latencies)
}

func (l txnLoad) metrics(done comparison.Interval, latencies [][]time.Duration) ([]comparison.Metric, error) {
	title := l.title()
	metrics := []comparison.Metric{comparison.Figure(title, "transactions/s", done.PerSecond(), 0, comparison.ForComparison)}
	var every []time.Duration
	for _, of := range latencies {
		every = append(every, of...)
	}
	percents, err := percentiles(title, every)
	if err != nil {
		return nil, err
	}
	metrics = append(metrics, percents...)
	return append(metrics, done.CPUMetrics(title, "1000", 1e3, 3)...), nil
}

// txnProducer is one transactional producer with a connection of its own.
type txnProducer struct {
	conn  *conn
	id    string
	mine  []int32 // partitions
	pid   int64
	epoch int16
}

// startProducers makes a topic in which each of n producers has so many
// partitions of its own, and the producers. Whoever gets them closes their
// connections.
func startProducers(ctx context.Context, addr, topic string, n, partitions int) (producers []*txnProducer, err error) {
	defer func() {
		if err != nil {
			for _, p := range producers {
				p.conn.close()
			}
			producers = nil
		}
	}()
	for i := range n {
		c, err := dial(ctx, addr)
		if err != nil {
			return producers, err
		}
		p := &txnProducer{conn: c, id: fmt.Sprintf("%s-%d", topic, i)}
		producers = append(producers, p)
		if i == 0 {
			if err := c.createTopic(topic, int32(n*partitions)); err != nil {
				return producers, err
			}
		}
		for j := range partitions {
			p.mine = append(p.mine, int32(i*partitions+j))
		}
		if err := p.init(); err != nil {
			return producers, err
		}
	}
	return producers, nil
}

// init finds the coordinator, which the first producer of a broker brings to
// life, and gets the producer's id from it.
func (p *txnProducer) init() error {
	find := kmsg.NewPtrFindCoordinatorRequest()
	find.Version = coordinatorVersion
	find.CoordinatorType, find.CoordinatorKeys = 1, []string{p.id}
	err := patiently(topicWithin, func() error {
		resp, err := p.conn.roundTrip(find)
		if err != nil {
			return err
		}
		found := resp.(*kmsg.FindCoordinatorResponse).Coordinators
		if len(found) != 1 {
			return fmt.Errorf("%d coordinators of %s", len(found), p.id)
		}
		return kerr.ErrorForCode(found[0].ErrorCode)
	})
	if err != nil {
		return fmt.Errorf("find the coordinator of %s: %w", p.id, err)
	}
	init := kmsg.NewPtrInitProducerIDRequest()
	init.Version = initProducerID
	init.TransactionalID, init.TransactionTimeoutMillis = &p.id, int32(txnTimeout.Milliseconds())
	init.ProducerID, init.ProducerEpoch = -1, -1
	err = patiently(topicWithin, func() error {
		resp, err := p.conn.roundTrip(init)
		if err != nil {
			return err
		}
		got := resp.(*kmsg.InitProducerIDResponse)
		p.pid, p.epoch = got.ProducerID, got.ProducerEpoch
		return kerr.ErrorForCode(got.ErrorCode)
	})
	if err != nil {
		return fmt.Errorf("producer id of %s: %w", p.id, err)
	}
	return nil
}

// patiently tries again where the broker's answer asks for it.
func patiently(within time.Duration, try func() error) error {
	deadline := time.Now().Add(within)
	pause := time.NewTicker(txnPause)
	defer pause.Stop()
	for {
		err := try()
		if !kerr.IsRetriable(err) && !errors.Is(err, kerr.ConcurrentTransactions) || time.Now().After(deadline) {
			return err
		}
		<-pause.C
	}
}

// txnFrame is a prepared produce request, of which only what says whose it is
// changes: with one batch to each partition of its producer.
type txnFrame struct {
	bytes   []byte
	batches [][]byte // within bytes
	records int32    // in each batch
}

func newTxnFrame(topic, id string, batches ...partitionBatch) *txnFrame {
	req := newProduce(txnProduceVersion, topic, batches)
	req.TransactionID = &id
	f := &txnFrame{bytes: encode(req)}
	rest := f.bytes
	for _, b := range batches {
		rest = rest[bytes.Index(rest, b.batch):] // random bytes: they stand nowhere else
		batch := rest[:len(b.batch)]
		f.batches = append(f.batches, batch)
		f.records = int32(binary.BigEndian.Uint32(batch[23:])) + 1
		rest = rest[len(batch):]
	}
	return f
}

// stamp makes the frame the n-th of a transaction.
func (f *txnFrame) stamp(p *txnProducer, n int) {
	for _, batch := range f.batches {
		batch[attributesAt+1] |= isTransactional
		binary.BigEndian.PutUint64(batch[producerIDAt:], uint64(p.pid))
		binary.BigEndian.PutUint16(batch[producerEpochAt:], uint16(p.epoch))
		binary.BigEndian.PutUint32(batch[baseSequenceAt:], uint32(int32(n)*f.records))
		binary.BigEndian.PutUint32(batch[crcAt:], crc32.Checksum(batch[crcCoversFrom:], castagnoli))
	}
}

// transact makes one transaction of the frames, which all have the same
// number of records to the same partitions.
func (p *txnProducer) transact(ctx context.Context, frames []*txnFrame, commit bool) error {
	if len(frames) == 0 {
		return errors.New("a transaction without a batch")
	}
	send := func(n int) error {
		frames[n].stamp(p, n)
		p.conn.next++
		return p.conn.send(frames[n].bytes, p.conn.next)
	}
	// The first one may have to wait for the end of the transaction before.
	err := patiently(requestTimeout, func() error {
		if err := send(0); err != nil {
			return err
		}
		return p.conn.receiveProduce(txnProduceVersion, p.conn.next, len(frames[0].batches))
	})
	if err != nil {
		return fmt.Errorf("first batches of a transaction of %s: %w", p.id, err)
	}
	first := p.conn.next
	for n := 1; n < len(frames); n++ {
		if err := send(n); err != nil {
			return err
		}
	}
	for n := 1; n < len(frames); n++ {
		if err := p.conn.receiveProduce(txnProduceVersion, first+int32(n), len(frames[n].batches)); err != nil {
			return fmt.Errorf("transaction of %s: %w", p.id, err)
		}
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return p.end(commit)
}

func (p *txnProducer) end(commit bool) error {
	req := kmsg.NewPtrEndTxnRequest()
	req.Version = endTxnVersion
	req.TransactionalID, req.ProducerID, req.ProducerEpoch, req.Commit = p.id, p.pid, p.epoch, commit
	resp, err := p.conn.roundTrip(req)
	if err != nil {
		return err
	}
	ended := resp.(*kmsg.EndTxnResponse)
	if err := kerr.ErrorForCode(ended.ErrorCode); err != nil {
		return fmt.Errorf("end a transaction of %s: %w", p.id, err)
	}
	p.pid, p.epoch = ended.ProducerID, ended.ProducerEpoch
	return nil
}
