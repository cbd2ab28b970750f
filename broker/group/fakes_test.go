package group

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/streamweir/streamweir/broker/coordinator"
	"github.com/streamweir/streamweir/broker/coordinator/coordinatortest"
	"github.com/streamweir/streamweir/protocol/kafka"
)

// fakeLog is __consumer_offsets in memory. By default an append is durable at
// once, and done is called before Append returns; held appends end by release.
type fakeLog struct {
	mu      sync.Mutex
	batches map[int32][][]byte
	ends    map[int32]int64
	held    map[int32][]heldAppend
	hold    bool
	fail    error
	readErr error
	reading chan struct{} // if not nil, Read waits for it
}

type heldAppend struct {
	batch []byte
	done  func(int64, error)
}

func newFakeLog() *fakeLog {
	return &fakeLog{batches: map[int32][][]byte{}, ends: map[int32]int64{}, held: map[int32][]heldAppend{}}
}

func (l *fakeLog) Append(p int32, batch []byte, _ uint64, done func(int64, error)) {
	l.mu.Lock()
	if l.hold {
		l.held[p] = append(l.held[p], heldAppend{batch, done})
		l.mu.Unlock()
		return
	}
	base, err := l.put(p, batch)
	l.mu.Unlock()
	done(base, err)
}

func (l *fakeLog) put(p int32, batch []byte) (int64, error) {
	if l.fail != nil {
		return -1, l.fail
	}
	b := kafka.Batch(slices.Clone(batch))
	base := l.ends[p]
	b.SetBaseOffset(base)
	l.batches[p] = append(l.batches[p], b)
	l.ends[p] = b.LastOffset() + 1
	return base, nil
}

func (l *fakeLog) setHold(hold bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.hold = hold
}

func (l *fakeLog) setFail(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.fail = err
}

// release ends all held appends, in order.
func (l *fakeLog) release() {
	l.mu.Lock()
	held := l.held
	l.held = map[int32][]heldAppend{}
	l.mu.Unlock()
	for p, hs := range held {
		for _, h := range hs {
			l.mu.Lock()
			base, err := l.put(p, h.batch)
			l.mu.Unlock()
			h.done(base, err)
		}
	}
}

func (l *fakeLog) Read(p int32, from int64, fn func(kafka.Batch) error) (int64, error) {
	l.mu.Lock()
	reading, err := l.reading, l.readErr
	batches, end := slices.Clone(l.batches[p]), l.ends[p]
	l.mu.Unlock()
	if reading != nil {
		<-reading
	}
	if err != nil {
		return 0, err
	}
	for _, b := range batches {
		if kafka.Batch(b).LastOffset() < from {
			continue
		}
		if err := fn(kafka.Batch(b)); err != nil {
			return 0, err
		}
	}
	return end, nil
}

func newFakeClock() *coordinatortest.Clock { return coordinatortest.NewClock(stageStart) }

func testCoordinator(t testing.TB, log Log, clock coordinator.Clock, change func(*Config)) *Coordinator {
	t.Helper()
	cfg := DefaultConfig()
	cfg.InitialRebalanceDelay = 0
	if change != nil {
		change(&cfg)
	}
	c, err := New(Options{Config: cfg, Log: log, Clock: clock})
	if err != nil {
		t.Fatal(err)
	}
	<-c.Load(allPartitions(cfg.Partitions)...)
	shutDownAtEnd(t, c)
	return c
}

// shutDownAtEnd lets the coordinator end with the test. Tests end held appends
// before that.
func shutDownAtEnd(t testing.TB, c *Coordinator) {
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if err := c.Shutdown(ctx); err != nil {
			t.Error(err)
		}
	})
}

func allPartitions(n int32) []int32 {
	ps := make([]int32, n)
	for i := range ps {
		ps[i] = int32(i)
	}
	return ps
}
