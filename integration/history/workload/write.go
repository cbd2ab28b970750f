package workload

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/streamweir/streamweir/integration/history/checker"
)

// sender makes a writer's records and notes what becomes of them.
type sender struct {
	r    *round
	id   int32
	seq  int32
	rand *rand.Rand
}

func (r *round) sender(name string, kind checker.Kind) *sender {
	return &sender{r: r, id: r.rec.writer(name, kind), rand: r.random(r.n, name)}
}

// record makes the writer's next record for a topic.
func (s *sender) record(t *topic, txn int32) (*kgo.Record, checker.Send) {
	s.seq++
	size := 20 + s.rand.IntN(200)
	if s.rand.IntN(50) == 0 {
		size = 5000 + s.rand.IntN(20000)
	}
	key, tombstone := int32(-1), false
	if t.Compacted {
		key, tombstone = s.rand.Int32N(keys), s.rand.IntN(6) == 0
	}
	send := checker.Send{
		ID: checker.ID{Writer: s.id, Seq: s.seq}, Key: key, Tombstone: tombstone, Txn: txn,
		To: checker.Partition{Topic: t.name, Index: s.rand.Int32N(t.partitions.Load())},
	}
	if t.Compacted {
		// A key stays in its partition while the topic grows.
		send.To.Index = key % firstPartitions
	}
	return s.seal(send, size), send
}

func (s *sender) seal(send checker.Send, size int) *kgo.Record {
	rec := &kgo.Record{Topic: send.To.Topic, Partition: send.To.Index, Key: keyOf(send.Key)}
	seal(rec, send.ID, size, send.Tombstone)
	return rec
}

// send gives a record to a client; done is called with what became of it. It
// says false where the client has as much as it can hold, and did not take it.
func (s *sender) send(cl *kgo.Client, rec *kgo.Record, send checker.Send, done func(checker.Outcome, error)) {
	send.Start = s.r.rec.now()
	cl.TryProduce(context.Background(), rec, func(rec *kgo.Record, err error) {
		send.End = s.r.rec.now()
		switch {
		case errors.Is(err, kgo.ErrMaxBuffered):
			return // it never left, and nothing is said of it
		case err == nil:
			send.Outcome, send.Offset = checker.OK, rec.Offset
		case refused(err):
			send.Outcome = checker.Failed
		}
		s.r.rec.send(send)
		if done != nil {
			done(send.Outcome, err)
		}
	})
}

// refused says that the broker would say the same to every attempt, so that no
// earlier one can have got through.
func refused(err error) bool {
	return errors.Is(err, kerr.MessageTooLarge) || errors.Is(err, kerr.InvalidRecord)
}

// writerOpts are what all writers have in common.
func writerOpts(more ...kgo.Opt) []kgo.Opt {
	return append([]kgo.Opt{
		kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.MaxBufferedRecords(500), kgo.ProducerLinger(2 * time.Millisecond), kgo.ProduceRequestTimeout(10 * time.Second),
	}, more...)
}

var codecs = []kgo.CompressionCodec{kgo.NoCompression(), kgo.Lz4Compression(), kgo.SnappyCompression(), kgo.ZstdCompression(), kgo.GzipCompression()}

func codec(i int) kgo.Opt { return kgo.ProducerBatchCompression(codecs[i%len(codecs)]) }

const (
	plainWriters      = 2
	idempotentWriters = 3
)

func (r *round) startWriters() {
	each := r.Rate / (plainWriters + idempotentWriters)
	into := r.topics
	if r.Transactions {
		into = into[:len(into)-1] // not what transforms write
	}
	for i := range plainWriters {
		r.write(fmt.Sprintf("plain-%d", i+1), checker.Plain, each, into, codec(i),
			kgo.DisableIdempotentWrite(), kgo.RecordDeliveryTimeout(15*time.Second))
	}
	for i := range idempotentWriters {
		r.write(fmt.Sprintf("idempotent-%d", i+1), checker.Idempotent, each, into, codec(i+plainWriters))
	}
	r.refuse()
	if r.Transactions {
		r.startTransactions()
	}
}

// write starts a writer.
func (r *round) write(name string, kind checker.Kind, rate int, into []*topic, opts ...kgo.Opt) {
	s := r.sender(name, kind)
	r.writers.Go(func() {
		cl, err := r.client(writerOpts(opts...)...)
		if err != nil {
			r.fail(err)
			return
		}
		defer cl.Close()
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for owed := 0.0; !r.rec.full(); {
			select {
			case <-r.loading.Done():
				r.flush(name, cl)
				return
			case <-tick.C:
			}
			for owed += float64(rate) / 100; owed >= 1; owed-- {
				rec, send := s.record(into[s.rand.IntN(len(into))], 0)
				s.send(cl, rec, send, nil)
			}
		}
		<-r.loading.Done()
		r.flush(name, cl)
	})
}

// flush waits until everything that a client holds has an answer. What has none
// when the time is up stays unknown; the end of the round says whether the
// broker is stuck. It says false for that.
func (r *round) flush(name string, cl *kgo.Client) bool {
	ctx, cancel := context.WithTimeout(context.Background(), r.Settle)
	defer cancel()
	if err := cl.Flush(ctx); err != nil {
		r.Log("round %d: %s still holds %d records after %v", r.n, name, cl.BufferedProduceRecords(), r.Settle)
		return false
	}
	return true
}

// refuse starts a writer of records that the broker must refuse.
func (r *round) refuse() {
	s := r.sender("refused", checker.Plain)
	r.writers.Go(func() {
		cl, err := r.client(writerOpts(kgo.DisableIdempotentWrite(), kgo.ProducerBatchCompression(kgo.NoCompression()))...)
		if err != nil {
			r.fail(err)
			return
		}
		defer cl.Close()
		for wait(r.loading, between(s.rand, 200*time.Millisecond, time.Second)) {
			_, send := s.record(r.log, 0)
			rec := s.seal(send, tooLarge)
			if r.Compaction && s.rand.IntN(2) == 0 { // no key
				send.To = checker.Partition{Topic: r.keyed.name}
				rec = s.seal(send, 30)
			}
			s.send(cl, rec, send, nil)
			r.flush("refused", cl)
		}
	})
}

// sentinels sends one record to each partition and waits for them: behind
// everything else, they are where readers have to arrive.
func (r *round) sentinels(ctx context.Context, since checker.Time, topics ...*topic) map[checker.Partition]int64 {
	s := r.sender("sentinel-"+topics[0].name, checker.Idempotent)
	cl, err := r.client(writerOpts()...)
	if err != nil {
		r.fail(err)
		return nil
	}
	defer cl.Close()
	type answer struct {
		on     checker.Partition
		offset int64
		err    error
	}
	all := partitionsOf(topics...)
	answers := make(chan answer, len(all))
	for i, on := range all {
		s.seq++
		send := checker.Send{ID: checker.ID{Writer: s.id, Seq: s.seq}, To: on, Key: -1}
		if r.rec.h.Topics[on.Topic].Compacted {
			send.Key = int32(1_000_000 + i)
		}
		rec := s.seal(send, 30)
		s.send(cl, rec, send, func(_ checker.Outcome, err error) { answers <- answer{on, rec.Offset, err} })
	}
	deadline, cancel := context.WithTimeout(ctx, r.Settle)
	defer cancel()
	at := map[checker.Partition]int64{}
	for range all {
		select {
		case a := <-answers:
			if a.err == nil {
				at[a.on] = a.offset
			}
		case <-deadline.Done():
		}
	}
	for _, on := range all {
		_, ok := at[on]
		r.rec.await(checker.Await{What: checker.AwaitWrites, Subject: "writes to " + on.String(), Reached: ok,
			Detail: "a record has no acknowledgement", Start: since, End: r.rec.now()})
	}
	return at
}
