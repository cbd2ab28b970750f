package workload

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/streamweir/streamweir/integration/history/checker"
)

// The writers through Kafka of a stream.
const (
	plainIntoStreams      = 1
	idempotentIntoStreams = 2
	streamWriters         = plainIntoStreams + idempotentIntoStreams
)

// startStreamWriters starts what writes into streams through Kafka.
func (r *round) startStreamWriters() {
	each := r.Rate / (putters + batchers + streamWriters)
	for i := range plainIntoStreams {
		s := r.sender(fmt.Sprintf("stream-plain-%d", i+1), checker.Plain)
		r.writers.Go(func() {
			s.writeStream(r.loading, each, nil, codec(i), kgo.DisableIdempotentWrite(), kgo.RecordDeliveryTimeout(15*time.Second))
		})
	}
	for i := range idempotentIntoStreams {
		s := r.sender(fmt.Sprintf("stream-idempotent-%d", i+1), checker.Idempotent)
		r.writers.Go(func() { s.writeShards(each, i) })
	}
	if r.Transactions {
		id := fmt.Sprintf("r%d-stream-writer", r.n)
		w := &transactor{sender: r.sender("stream-transactional", checker.Transactional), id: id}
		w.next = func(txn int32) (*kgo.Record, checker.Send) {
			s := r.streams[w.rand.IntN(len(r.streams))]
			return w.toShard(s, w.someShard(s), txn)
		}
		r.writers.Go(func() { w.run(r.loading) })
	}
}

// someShard chooses a shard for a Kafka producer, which has no use for hash keys:
// now and then one that is closed, and has to refuse the record.
func (s *sender) someShard(of *stream) int32 {
	open, closed := of.open()
	if len(closed) > 0 && s.rand.IntN(40) == 0 {
		return closed[s.rand.IntN(len(closed))].Index
	}
	return open[s.rand.IntN(len(open))].Index
}

// toShard makes the writer's next record for a shard.
func (s *sender) toShard(of *stream, shard, txn int32) (*kgo.Record, checker.Send) {
	s.seq++
	send := checker.Send{ID: checker.ID{Writer: s.id, Seq: s.seq}, Key: -1, Txn: txn, To: checker.Partition{Topic: of.name, Index: shard}}
	rec := &kgo.Record{Topic: of.name, Partition: shard}
	switch s.rand.IntN(8) {
	case 0: // no key
	case 1:
		rec.Key = []byte{}
	case 2:
		rec.Key = []byte{0xff, byte(s.rand.IntN(256)), 0xfe}
	default:
		rec.Key = fmt.Appendf(nil, "key-%d", s.rand.IntN(keys))
	}
	sealBoth(rec, send.ID, someSize(s.rand))
	return rec, send
}

// writeStream sends with one client until ctx ends, or until a record is not
// acknowledged where all go to one shard: only names it, and nil stands for any.
// It says false where the fate of what it sent may still be open.
func (s *sender) writeStream(ctx context.Context, rate int, only *checker.Partition, opts ...kgo.Opt) bool {
	cl, err := s.r.client(writerOpts(opts...)...)
	if err != nil {
		s.r.fail(err)
		return false
	}
	defer cl.Close()
	name := fmt.Sprintf("writer %d", s.id)
	var failed atomic.Bool
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for owed := 0.0; !s.r.rec.full() && !(only != nil && failed.Load()); {
		select {
		case <-ctx.Done():
			return s.r.flush(name, cl)
		case <-tick.C:
		}
		for owed += float64(rate) / 100; owed >= 1; owed-- {
			of := s.r.streams[s.rand.IntN(len(s.r.streams))]
			shard := s.someShard(of)
			if only != nil {
				of, shard = s.r.stream(only.Topic), only.Index
			}
			rec, send := s.toShard(of, shard, 0)
			s.send(cl, rec, send, func(_ checker.Outcome, err error) {
				if err != nil && !errors.Is(err, kgo.ErrMaxBuffered) {
					failed.Store(true)
				}
			})
		}
	}
	return s.r.flush(name, cl)
}

func (r *round) stream(name string) *stream {
	for _, s := range r.streams {
		if s.name == name {
			return s
		}
	}
	return nil
}

// writeShards writes idempotently into one shard after the other, with a client
// for each. A producer id reaches one shard only: a record that a closed shard
// refuses costs kgo its sequence numbers, and what it had on its way to other
// shards might be sent again under a new id.
func (s *sender) writeShards(rate, i int) {
	for n := i; s.r.loading.Err() == nil && !s.r.rec.full(); n++ {
		of := s.r.streams[n%len(s.r.streams)]
		open, _ := of.open()
		shard := open[s.rand.IntN(len(open))]
		ctx, cancel := context.WithTimeout(s.r.loading, between(s.rand, time.Second, 8*time.Second))
		settled := s.writeStream(ctx, rate, &checker.Partition{Topic: of.name, Index: shard.Index}, codec(n))
		cancel()
		if !settled { // what is still under way may come behind what would be sent next
			return
		}
	}
}
