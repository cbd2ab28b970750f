package txn

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/streamweir/streamweir/broker/coordinator/coordinatortest"
	"github.com/streamweir/streamweir/protocol/kafka"
)

// fakeLog is __transaction_state in memory. By default an append is durable at
// once, and done is called before Append returns; held appends end by release.
type fakeLog struct {
	mu      sync.Mutex
	epoch   int32
	batches map[int32][][]byte
	held    []heldAppend
	hold    bool
	fail    error
	readErr error
	reading chan struct{} // if not nil, Read waits for it
}

type heldAppend struct {
	partition int32
	batch     []byte
	done      func(error)
}

func newFakeLog() *fakeLog { return &fakeLog{epoch: 1, batches: map[int32][][]byte{}} }

func (l *fakeLog) Append(p int32, batch []byte, done func(error)) {
	l.mu.Lock()
	if l.hold {
		l.held = append(l.held, heldAppend{p, batch, done})
		l.mu.Unlock()
		return
	}
	err := l.put(p, batch)
	l.mu.Unlock()
	done(err)
}

func (l *fakeLog) put(p int32, batch []byte) error {
	if l.fail != nil {
		return l.fail
	}
	l.batches[p] = append(l.batches[p], slices.Clone(batch))
	return nil
}

// change sets what the log does from now on.
func (l *fakeLog) change(f func(l *fakeLog)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f(l)
}

// release ends all held appends, in order.
func (l *fakeLog) release() {
	l.mu.Lock()
	held := l.held
	l.held = nil
	l.mu.Unlock()
	for _, h := range held {
		l.mu.Lock()
		err := l.put(h.partition, h.batch)
		l.mu.Unlock()
		h.done(err)
	}
}

func (l *fakeLog) Read(p int32, fn func(kafka.Batch) error) error {
	l.mu.Lock()
	reading := l.reading
	l.mu.Unlock()
	if reading != nil {
		<-reading
	}
	l.mu.Lock()
	err, batches := l.readErr, slices.Clone(l.batches[p])
	l.mu.Unlock()
	if err != nil {
		return err
	}
	for _, b := range batches {
		if err := fn(kafka.Batch(b)); err != nil {
			return err
		}
	}
	return nil
}

func (l *fakeLog) Epoch(int32) int32 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.epoch
}

// fakeMarkers takes markers. By default they are written at once.
type fakeMarkers struct {
	mu      sync.Mutex
	written []Marker
	held    []func(error)
	hold    bool
	err     error
}

func (m *fakeMarkers) WriteMarker(_ TopicPartition, mk Marker, done func(error)) {
	m.mu.Lock()
	if m.hold {
		m.held = append(m.held, done)
		m.mu.Unlock()
		return
	}
	err := m.err
	if err == nil {
		m.written = append(m.written, mk)
	}
	m.mu.Unlock()
	done(err)
}

func (m *fakeMarkers) change(f func(m *fakeMarkers)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f(m)
}

func (m *fakeMarkers) count() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.written)
}

// bench is a coordinator with everything around it.
type bench struct {
	t       testing.TB
	c       *Coordinator
	log     *fakeLog
	markers *fakeMarkers
	clock   *coordinatortest.Clock
	ids     sync.Mutex
	next    int64
	noIDs   error
}

func newBench(t testing.TB) *bench {
	b := &bench{t: t, log: newFakeLog(), markers: &fakeMarkers{}, clock: coordinatortest.NewClock(stageStart)}
	b.start()
	<-b.c.Load(b.all()...)
	return b
}

// start makes a coordinator that serves nothing yet.
func (b *bench) start() {
	cfg := DefaultConfig()
	cfg.Partitions = 5
	c, err := New(Options{Config: cfg, Log: b.log, Markers: b.markers, NewProducerID: b.newID, Clock: b.clock})
	if err != nil {
		b.t.Fatal(err)
	}
	b.c = c
	b.t.Cleanup(func() { b.stop(c) })
}

func (b *bench) stop(c *Coordinator) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := c.Shutdown(ctx); err != nil {
		b.t.Error(err)
	}
}

// restart is a crash: what is not in the log is lost.
func (b *bench) restart() {
	b.log.change(func(l *fakeLog) { l.epoch++ })
	b.start()
	<-b.c.Load(b.all()...)
}

func (b *bench) all() []int32 { return []int32{0, 1, 2, 3, 4} }

func (b *bench) newID() (int64, error) {
	b.ids.Lock()
	defer b.ids.Unlock()
	if b.noIDs != nil {
		return -1, b.noIDs
	}
	b.next++
	return b.next, nil
}

func initRequest(id string) *kmsg.InitProducerIDRequest {
	req := kmsg.NewPtrInitProducerIDRequest()
	req.Version, req.TransactionalID, req.TransactionTimeoutMillis = 5, &id, 15_000
	return req
}

func (b *bench) init(id string) *kmsg.InitProducerIDResponse {
	b.t.Helper()
	return coordinatortest.Await(b.t, func(reply func(*kmsg.InitProducerIDResponse)) { b.c.InitProducerID(initRequest(id), reply) })
}

func (b *bench) mustInit(id string) producer {
	b.t.Helper()
	r := b.init(id)
	if r.ErrorCode != 0 {
		b.t.Fatalf("init %s: %v", id, kerr.ErrorForCode(r.ErrorCode))
	}
	return producer{id, r.ProducerID, r.ProducerEpoch}
}

func (b *bench) add(p producer, tp TopicPartition) error {
	b.t.Helper()
	return coordinatortest.Await(b.t, func(reply func(error)) { b.c.VerifyPartition(p.id, p.producerID, p.epoch, tp, true, reply) })
}

func (b *bench) end(p producer, commit bool) *kmsg.EndTxnResponse {
	b.t.Helper()
	return coordinatortest.Await(b.t, func(reply func(*kmsg.EndTxnResponse)) { b.c.EndTxn(endRequestOf(p, commit), reply) })
}

func endRequestOf(p producer, commit bool) *kmsg.EndTxnRequest {
	return &kmsg.EndTxnRequest{Version: 5, TransactionalID: p.id, ProducerID: p.producerID, ProducerEpoch: p.epoch, Commit: commit}
}

func (b *bench) state(id string) string {
	b.t.Helper()
	d := b.c.DescribeTransactions(&kmsg.DescribeTransactionsRequest{TransactionalIDs: []string{id}}).TransactionStates[0]
	if d.ErrorCode != 0 {
		return kerr.ErrorForCode(d.ErrorCode).(*kerr.Error).Message
	}
	return d.State
}
