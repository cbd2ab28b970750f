package wire

import (
	"math"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/streamweir/streamweir/integration/harness"
)

// producer is an idempotent producer under the test's command.
type producer struct {
	e     *env
	id    int64
	epoch int16
}

func (e *env) producer() producer {
	e.t.Helper()
	var r *kmsg.InitProducerIDResponse
	// A broker that has just started may have to load first.
	harness.Eventually(e.t, harness.Long, "a producer id", func() error {
		r = harness.Ask[*kmsg.InitProducerIDResponse](e.t, e.c, harness.At(kmsg.NewPtrInitProducerIDRequest(), 4))
		return fault("init producer id", r.ErrorCode)
	})
	return producer{e: e, id: r.ProducerID, epoch: r.ProducerEpoch}
}

func (p producer) batch(sequence int32, values ...string) harness.Batch {
	return harness.Batch{Records: harness.Values(values...), Idempotent: true, ProducerID: p.id, ProducerEpoch: p.epoch, Sequence: sequence}
}

// Any of a producer's last five batches, sent again, is answered with its own
// first offset and stored once.
func TestDuplicateOfTheLastFiveBatches(t *testing.T) {
	e := newEnv(t, 1)
	p := e.producer()
	sequence := int32(0)
	type sent struct {
		batch harness.Batch
		at    int64
	}
	var all []sent
	for range 8 {
		b := p.batch(sequence, "a", "b")
		all = append(all, sent{b, e.produce(0, b)})
		sequence += 2
	}
	for i, s := range all[3:] {
		if at := e.produce(0, s.batch); at != s.at {
			t.Errorf("batch %d again: offset %d, first it was %d", i+3, at, s.at)
		}
	}
	e.refused(all[0].batch, kerr.OutOfOrderSequenceNumber)
	if end := e.listOffset(offsetsV, 0, -1).Offset; end != 16 {
		t.Errorf("the log ends at %d, want 16", end)
	}
	// A batch with a known start but another length is no duplicate.
	e.refused(p.batch(14, "a", "b", "c"), kerr.OutOfOrderSequenceNumber)
	e.produce(0, p.batch(16, "next"))
}

// A gap in the sequence is refused, and each partition counts for itself.
func TestGapInTheSequence(t *testing.T) {
	e := newEnv(t, 2)
	p := e.producer()
	e.produce(0, p.batch(0, "a"))
	e.refused(p.batch(2, "c"), kerr.OutOfOrderSequenceNumber)
	e.produce(0, p.batch(1, "b"))
	e.produce(1, p.batch(0, "other partition"))
}

// Sequences wrap from 2^31-1 to 0, between batches and within one.
func TestSequenceWraps(t *testing.T) {
	e := newEnv(t, 1)
	p := e.producer()
	e.produce(0, p.batch(math.MaxInt32-1, "a", "b")) // a producer that is not known may begin anywhere
	e.produce(0, p.batch(0, "c"))
	e.refused(p.batch(math.MaxInt32, "x"), kerr.OutOfOrderSequenceNumber)

	q := e.producer()
	e.produce(0, q.batch(math.MaxInt32-1, "a", "b", "c", "d")) // ends with sequence 1
	last := q.batch(2, "e")
	at := e.produce(0, last)
	if again := e.produce(0, last); again != at {
		t.Errorf("duplicate after the wrap: offset %d, first it was %d", again, at)
	}
	e.refused(q.batch(4, "gap"), kerr.OutOfOrderSequenceNumber)
}

// KIP-360: a producer raises its epoch by itself and begins at sequence 0;
// what is left of the old epoch is refused.
func TestEpochIsRaised(t *testing.T) {
	e := newEnv(t, 1)
	p := e.producer()
	e.produce(0, p.batch(0, "a"))
	raised := p
	raised.epoch++
	e.refused(raised.batch(1, "not from 0"), kerr.OutOfOrderSequenceNumber)
	e.produce(0, raised.batch(0, "b"))
	e.refused(p.batch(1, "old epoch"), kerr.InvalidProducerEpoch)
	e.produce(0, raised.batch(1, "c"))
}

// Producer ids are never given twice, over restarts and kills too.
func TestProducerIDsAreUnique(t *testing.T) {
	s := harness.Start(t)
	e := &env{t: t, s: s, c: harness.Dial(t, s)}
	seen := map[int64]bool{}
	take := func() {
		t.Helper()
		for range 50 {
			id := e.producer().id
			if seen[id] {
				t.Fatalf("producer id %d given twice", id)
			}
			seen[id] = true
		}
	}
	take()
	s.Restart(t)
	e.redial()
	take()
	s.Kill(t)
	s.StartAgain(t)
	e.redial()
	take()
}

// Producer state survives restarts and kills: duplicates are known, gaps are
// refused.
func TestProducerStateOutlivesTheProcess(t *testing.T) {
	s := harness.Start(t)
	e := newEnvOn(t, s, 1)
	p := e.producer()
	last, lastAt := p.batch(0, "a", "b"), int64(0)
	e.produce(0, last)
	for i, again := range []func(){
		func() { s.Restart(t) },
		func() { s.Kill(t); s.StartAgain(t) },
	} {
		again()
		e.redial()
		if at := e.produce(0, last); at != lastAt {
			t.Errorf("restart %d: the last batch again: offset %d, want %d", i, at, lastAt)
		}
		next := int32(2 + i)
		e.refused(p.batch(next+1, "gap"), kerr.OutOfOrderSequenceNumber)
		last, lastAt = p.batch(next, "c"), int64(next)
		if at := e.produce(0, last); at != lastAt {
			t.Errorf("restart %d: the next batch: offset %d, want %d", i, at, lastAt)
		}
	}
}

// State of a producer that was idle for producer.id.expiration.ms is dropped:
// then it may begin anywhere (KIP-360), where before a gap was refused.
func TestProducerStateExpires(t *testing.T) {
	s := harness.Start(t, harness.Config("producer.id.expiration.ms", "1000"),
		harness.Config("log.retention.check.interval.ms", "100"), harness.PeerConfig("producer.id.expiration.check.interval.ms", "100"))
	e := newEnvOn(t, s, 1)
	p := e.producer()
	e.produce(0, p.batch(0, "a"))
	e.refused(p.batch(1000, "gap"), kerr.OutOfOrderSequenceNumber)
	harness.Eventually(t, harness.Long, "the state expires", func() error {
		return fault("produce", e.try(0, p.batch(1000, "after a long time")).ErrorCode)
	})
}
