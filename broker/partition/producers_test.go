package partition

import (
	"bytes"
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/streamweir/streamweir/protocol/kafka"
	"github.com/streamweir/streamweir/storage"
)

func from(id int64, epoch int16, seq int32) *kafka.Producer {
	return &kafka.Producer{ID: id, Epoch: epoch, Sequence: seq}
}

func TestSequencesOfProducers(t *testing.T) {
	type step struct {
		epoch int16
		seq   int32
		n     int // records
		base  int64
		err   *kerr.Error
	}
	for name, steps := range map[string][]step{
		"in order":              {{0, 0, 2, 0, nil}, {0, 2, 1, 2, nil}, {0, 3, 1, 3, nil}},
		"any of the last five":  {{0, 0, 1, 0, nil}, {0, 1, 1, 1, nil}, {0, 2, 1, 2, nil}, {0, 3, 1, 3, nil}, {0, 4, 1, 4, nil}, {0, 0, 1, 0, nil}, {0, 2, 1, 2, nil}, {0, 4, 1, 4, nil}},
		"the sixth is too old":  {{0, 0, 1, 0, nil}, {0, 1, 1, 1, nil}, {0, 2, 1, 2, nil}, {0, 3, 1, 3, nil}, {0, 4, 1, 4, nil}, {0, 5, 1, 5, nil}, {0, 0, 1, 0, kerr.OutOfOrderSequenceNumber}},
		"a gap":                 {{0, 0, 1, 0, nil}, {0, 2, 1, 0, kerr.OutOfOrderSequenceNumber}, {0, 1, 1, 1, nil}},
		"other bounds":          {{0, 0, 2, 0, nil}, {0, 0, 1, 0, kerr.OutOfOrderSequenceNumber}},
		"unknown, not from 0":   {{0, 17, 1, 0, nil}, {0, 18, 1, 1, nil}},
		"new epoch from 0":      {{0, 0, 1, 0, nil}, {1, 0, 1, 1, nil}, {1, 1, 1, 2, nil}},
		"new epoch, not from 0": {{0, 0, 1, 0, nil}, {1, 1, 1, 0, kerr.OutOfOrderSequenceNumber}},
		"old epoch":             {{3, 0, 1, 0, nil}, {2, 1, 1, 0, kerr.InvalidProducerEpoch}},
		"wrap to 0":             {{0, math.MaxInt32 - 1, 2, 0, nil}, {0, 0, 1, 2, nil}, {0, 1, 1, 3, nil}},
		"wrap inside":           {{0, math.MaxInt32, 2, 0, nil}, {0, 1, 1, 2, nil}, {0, math.MaxInt32, 2, 0, nil}},
	} {
		for _, restart := range []string{"", "restart", "crash"} {
			t.Run(name+" "+restart, func(t *testing.T) {
				b := newBench(t)
				for i, s := range steps {
					r := b.append(batchOf{producer: from(9, s.epoch, s.seq), values: make([]string, s.n)})
					if s.err != nil {
						b.wantCode(r.Err, s.err)
					} else if r.Err != nil || r.BaseOffset != s.base {
						t.Fatalf("step %d: %+v", i, r)
					}
					switch restart {
					case "restart":
						b.restart()
					case "crash":
						b.crash()
					}
				}
			})
		}
	}
}

func TestRepeatOfABatchUnderWayWaitsForIt(t *testing.T) {
	b := newBench(t)
	b.store.Hold()
	one := b.start(batchOf{producer: from(1, 0, 0), values: []string{"a"}})
	again := b.start(batchOf{producer: from(1, 0, 0), values: []string{"a"}})
	select {
	case <-again:
		t.Fatal("acknowledged before it is durable")
	default:
	}
	b.store.Release()
	if x, y := <-one, <-again; x.Err != nil || y.Err != nil || x.BaseOffset != y.BaseOffset {
		t.Fatalf("%+v %+v", x, y)
	}
	b.want(b.values(0, 1<<20, 1<<20), "0:a")
}

func TestProducersAreForgottenWhenSilent(t *testing.T) {
	b := newBench(t)
	b.must(batchOf{producer: from(1, 0, 0), values: []string{"a"}})
	b.now = b.now.Add(30 * time.Minute)
	b.must(batchOf{producer: from(2, 0, 0), values: []string{"b"}})
	b.now = b.now.Add(40 * time.Minute)
	b.m.Clean(t.Context())
	if len(b.p.producers.byID) != 1 || b.p.producers.byID[2] == nil {
		t.Fatalf("%v", b.p.producers.byID)
	}
	b.must(batchOf{producer: from(1, 0, 55), values: []string{"c"}})
}

func TestSnapshotIsUsedAndLosesAgainstTheLog(t *testing.T) {
	b := newBench(t)
	b.must(batchOf{producer: from(1, 0, 0), values: []string{"a", "b"}})
	b.restart()
	if s, ok, err := b.store.Log().LoadState(b.p.id, stateProducers); !ok || err != nil || s.Offset != 2 {
		t.Fatalf("no snapshot after a clean end: %+v %v %v", s, ok, err)
	}
	// One that says more than the log holds, and one that is damaged.
	ahead := newProducers(0)
	ahead.byID[1] = &producer{epoch: 5}
	for _, s := range []storage.State{{Offset: 100, Data: ahead.snapshot()}, {Offset: 2, Data: []byte("rubbish")}} {
		if err := b.store.Log().SaveState(b.p.id, stateProducers, s); err != nil {
			t.Fatal(err)
		}
		b.crash()
		if base := b.must(batchOf{producer: from(1, 0, 0), values: []string{"a", "b"}}); base != 0 {
			t.Fatalf("a repeated batch was not recognized: base offset %d", base)
		}
	}
}

func TestSnapshotsAreTakenOnTheWay(t *testing.T) {
	b := newBench(t)
	for i := range snapshotBatches + 10 {
		b.must(batchOf{producer: from(1, 0, int32(i)), values: []string{"a"}})
	}
	b.crash()
	s, ok, err := b.store.Log().LoadState(b.p.id, stateProducers)
	if !ok || err != nil || s.Offset != snapshotBatches {
		t.Fatalf("%d %v %v", s.Offset, ok, err)
	}
	if base := b.must(batchOf{producer: from(1, 0, snapshotBatches+9), values: []string{"a"}}); base != snapshotBatches+9 {
		t.Fatalf("a repeated batch was not recognized: base offset %d", base)
	}
	b.must(batchOf{producer: from(1, 0, snapshotBatches+10), values: []string{"a"}})
}

func TestProducersAreBounded(t *testing.T) {
	ps := newProducers(0)
	b := newBench(t)
	for i := range maxProducers + 1 {
		raw := kafka.Batch(b.build(batchOf{producer: from(int64(i), 0, 0), values: []string{"a"}}))
		ps.add(raw, int64(i))
		if i > 10 {
			break
		}
	}
	for i := range maxProducers {
		ps.byID[int64(i)+1000] = &producer{lastSeen: int64(i) + 1000}
	}
	ps.add(kafka.Batch(b.build(batchOf{producer: from(math.MaxInt64, 0, 0), values: []string{"a"}})), 1)
	if len(ps.byID) > maxProducers+12 || ps.byID[0] != nil {
		t.Fatalf("%d producers are kept", len(ps.byID))
	}
}

func FuzzSnapshot(f *testing.F) {
	ps := newProducers(0)
	f.Add(ps.snapshot())
	s := &producer{epoch: 3}
	s.add(3, producerBatch{1, 2, 3, 4, 5})
	ps.byID[4] = s
	f.Add(ps.snapshot())
	f.Add([]byte{1, 255, 255, 255, 255, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, data []byte) {
		ps, err := restore(data, 0, 0)
		if err != nil {
			return
		}
		again, err := restore(ps.snapshot(), 0, 0)
		if err != nil || fmt.Sprint(len(again.byID)) != fmt.Sprint(len(ps.byID)) {
			t.Fatalf("what was accepted is not accepted again: %v", err)
		}
		if len(ps.byID) == 1 && !bytes.Equal(ps.snapshot(), data) {
			t.Fatal("a snapshot with other bytes means the same")
		}
	})
}
