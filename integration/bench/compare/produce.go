package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
	"golang.org/x/sync/errgroup"

	"github.com/streamweir/streamweir/integration/bench/comparison"
)

const (
	batchOverhead  = 61 // a record batch without records
	recordOverhead = 12 // a record of about 1 KB without its value, at most
	crcAt          = 17 // where the CRC stands in a batch
	crcCoversFrom  = 21 // the attributes
	framesEach     = 4  // different requests prepared for each partition
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// makeBatch encodes one record batch of n records that together take about
// size bytes. Values are random, so that nothing on the way can compress them;
// the same seed gives the same batch.
func makeBatch(n, size int, seed uint64) []byte {
	var key [32]byte
	binary.LittleEndian.PutUint64(key[:], seed)
	random := rand.NewChaCha8(key)
	now := time.Now().UnixMilli()

	batch := kmsg.NewRecordBatch()
	batch.Magic = 2
	batch.PartitionLeaderEpoch = -1
	batch.LastOffsetDelta = int32(n - 1)
	batch.FirstTimestamp, batch.MaxTimestamp = now, now
	batch.ProducerID, batch.ProducerEpoch, batch.FirstSequence = -1, -1, -1
	batch.NumRecords = int32(n)
	for i := range n {
		value := make([]byte, max(1, size/n-recordOverhead))
		random.Read(value) // never fails
		record := kmsg.Record{OffsetDelta: int32(i), Value: value}
		// The length comes first but does not count itself: encode the record
		// with a length of 0, which takes one byte, to know it.
		record.Length = int32(len(record.AppendTo(nil)) - 1)
		batch.Records = record.AppendTo(batch.Records)
	}
	encoded := batch.AppendTo(nil)
	binary.BigEndian.PutUint32(encoded[8:], uint32(len(encoded)-12))
	binary.BigEndian.PutUint32(encoded[crcAt:], crc32.Checksum(encoded[crcCoversFrom:], castagnoli))
	return encoded
}

// partitionBatch is a batch on its way to a partition.
type partitionBatch struct {
	partition int32
	batch     []byte
}

// encodeProduce makes the frame of a produce request.
func encodeProduce(topic string, batches ...partitionBatch) []byte {
	return encode(newProduce(produceVersion, topic, batches))
}

// newProduce makes a produce request, acks=all.
func newProduce(version int16, topic string, batches []partitionBatch) *kmsg.ProduceRequest {
	req := kmsg.NewPtrProduceRequest()
	req.Version = version
	req.Acks = -1
	req.TimeoutMillis = int32(requestTimeout.Milliseconds())
	t := kmsg.NewProduceRequestTopic()
	t.Topic = topic
	for _, b := range batches {
		p := kmsg.NewProduceRequestTopicPartition()
		p.Partition, p.Records = b.partition, b.batch
		t.Partitions = append(t.Partitions, p)
	}
	req.Topics = append(req.Topics, t)
	return req
}

// receiveProduce reads the response to a produce request of so many batches.
func (c *conn) receiveProduce(version int16, correlation int32, batches int) error {
	var resp kmsg.ProduceResponse
	resp.SetVersion(version)
	if err := c.receive(&resp, correlation); err != nil {
		return err
	}
	answered := 0
	for _, t := range resp.Topics {
		for _, p := range t.Partitions {
			answered++
			if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
				message := ""
				if p.ErrorMessage != nil {
					message = ": " + *p.ErrorMessage
				}
				return fmt.Errorf("produce to %s-%d: %w%s", t.Topic, p.Partition, err, message)
			}
		}
	}
	if answered != batches {
		return fmt.Errorf("a produce response speaks of %d partitions, not of %d", answered, batches)
	}
	return nil
}

// load is one shape of produce traffic.
type load struct {
	topic       string
	partitions  int
	connections int
	batchBytes  int
	batchCount  int // records in a batch
}

// byteMetrics are those of a throughput that was counted in bytes.
func byteMetrics(done comparison.Interval, scenario string) []comparison.Metric {
	rate := comparison.Figure(scenario, "MB/s", done.PerSecond()/1e6, 0, comparison.ForComparison)
	return append([]comparison.Metric{rate}, done.CPUMetrics(scenario, "GB", 1e9, 2)...)
}

// produce puts the load on a broker: warm-up first, then the measured time,
// cut short where maxBytes have been acknowledged. Nothing pauses between the two.
func produce(ctx context.Context, c *config, b *comparison.Server, l load) (comparison.Interval, error) {
	ctx, cancel := context.WithTimeout(ctx, c.Warmup+c.Measure+requestTimeout)
	defer cancel()
	frames := prepare(l, c.perRequest)

	var acked atomic.Int64
	var stop atomic.Bool
	group, ctx := errgroup.WithContext(ctx)
	for i := range l.connections {
		mine := frames[i]
		group.Go(func() error {
			conn, err := dial(ctx, b.Addr)
			if err != nil {
				return err
			}
			defer conn.close()
			return conn.pump(mine, c.inFlight, &acked, &stop)
		})
	}
	var result comparison.Interval
	group.Go(func() error {
		defer stop.Store(true)
		var err error
		result, err = c.Observe(ctx, b, &acked, c.maxBytes)
		return err
	})
	if err := group.Wait(); err != nil {
		return comparison.Interval{}, fmt.Errorf("produce %d-byte batches to %d partitions: %w", l.batchBytes, l.partitions, err)
	}
	return result, nil
}

// frame is one prepared request.
type frame struct {
	bytes   []byte
	batches int
	payload int // bytes of its batches
}

// prepare encodes the requests of each connection: its partitions in turn,
// perRequest of them in a request (0: all), several different batches for each.
func prepare(l load, perRequest int) [][]frame {
	frames := make([][]frame, l.connections)
	for owner := range frames {
		var mine []int32
		for p := owner; p < l.partitions; p += l.connections {
			mine = append(mine, int32(p))
		}
		size := perRequest
		if size == 0 {
			size = len(mine)
		}
		for n := range framesEach {
			for together := range slices.Chunk(mine, size) {
				var batches []partitionBatch
				payload := 0
				for _, p := range together {
					batch := makeBatch(l.batchCount, l.batchBytes-batchOverhead, uint64(n*l.partitions)+uint64(p))
					batches = append(batches, partitionBatch{p, batch})
					payload += len(batch)
				}
				frames[owner] = append(frames[owner], frame{encodeProduce(l.topic, batches...), len(batches), payload})
			}
		}
	}
	return frames
}

// pump keeps inFlight requests on the way until stop, then takes the responses
// still due. One goroutine does both: responses are small, so a broker never
// waits for them to be read.
func (c *conn) pump(frames []frame, inFlight int, acked *atomic.Int64, stop *atomic.Bool) error {
	var sent, received int32
	for {
		for !stop.Load() && int(sent-received) < inFlight {
			if err := c.send(frames[int(sent)%len(frames)].bytes, sent); err != nil {
				return fmt.Errorf("send a produce request: %w", err)
			}
			sent++
		}
		if received == sent {
			return nil
		}
		due := frames[int(received)%len(frames)]
		if err := c.receiveProduce(produceVersion, received, due.batches); err != nil {
			return err
		}
		acked.Add(int64(due.payload))
		received++
	}
}
