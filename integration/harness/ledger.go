package harness

import (
	"context"
	"encoding/binary"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
)

// ledgerValue is the size of a ledger's records: a number and what makes them
// as long as common ones are.
const ledgerValue = 100

// Ledger keeps books about a topic that one idempotent producer fills: what it
// sent, what the broker acknowledged at which offset, and what consumers read.
// As the producer retries until it succeeds, record n of a partition has to
// stand at offset n; anything lost, doubled or out of order moves those behind
// it.
type Ledger struct {
	Topic      string
	Partitions int

	sent  int
	acked atomic.Int64
	read  atomic.Int64 // distinct records

	mu        sync.Mutex
	failed    error
	books     []book
	redeliver int
}

// book is one partition's.
type book struct {
	acked []bool // by number
	read  []bool // by offset
	last  int64  // offset last read
}

// NewLedger starts the books of an empty topic.
func NewLedger(topic string, partitions int) *Ledger {
	l := &Ledger{Topic: topic, Partitions: partitions, books: make([]book, partitions)}
	for i := range l.books {
		l.books[i].last = -1
	}
	return l
}

// LedgerProducer are the options of a client that fills a ledger's topic.
func LedgerProducer(l *Ledger) []kgo.Opt {
	return []kgo.Opt{
		kgo.DefaultProduceTopic(l.Topic),
		kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.RequiredAcks(kgo.AllISRAcks()),
		// A producer that lost what the broker acknowledged says so.
		kgo.StopProducerOnDataLossDetected(),
	}
}

// Produce sends n records, spread evenly, and waits for their acknowledgement.
func (l *Ledger) Produce(ctx context.Context, cl *kgo.Client, n int) error {
	for range n {
		p := l.sent % l.Partitions
		number := uint64(l.sent / l.Partitions)
		l.sent++
		value := make([]byte, ledgerValue)
		binary.BigEndian.PutUint64(value, number)
		cl.Produce(ctx, &kgo.Record{Partition: int32(p), Value: value}, func(r *kgo.Record, err error) {
			l.ack(r, number, err)
		})
	}
	if err := cl.Flush(ctx); err != nil {
		return fmt.Errorf("flush: %w", err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.failed
}

func (l *Ledger) ack(r *kgo.Record, number uint64, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		l.fail(fmt.Errorf("produce record %d to partition %d: %w", number, r.Partition, err))
		return
	}
	if r.Offset != int64(number) {
		l.fail(fmt.Errorf("partition %d: record %d acknowledged at offset %d", r.Partition, number, r.Offset))
	}
	b := &l.books[r.Partition]
	b.acked = mark(b.acked, int64(number))
	l.acked.Add(1)
}

// fail keeps the first failure. Callers hold mu.
func (l *Ledger) fail(err error) {
	if l.failed == nil {
		l.failed = err
	}
}

func mark(b []bool, i int64) []bool {
	for int64(len(b)) <= i {
		b = append(b, false)
	}
	b[i] = true
	return b
}

// Acked is how many records have been acknowledged.
func (l *Ledger) Acked() int { return int(l.acked.Load()) }

// Read is how many different records have been read.
func (l *Ledger) Read() int { return int(l.read.Load()) }

// Saw notes a record that a consumer got.
func (l *Ledger) Saw(r *kgo.Record) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(r.Value) != ledgerValue {
		l.fail(fmt.Errorf("partition %d offset %d: a value of %d bytes", r.Partition, r.Offset, len(r.Value)))
		return
	}
	if n := binary.BigEndian.Uint64(r.Value); n != uint64(r.Offset) {
		l.fail(fmt.Errorf("partition %d: record %d stands at offset %d", r.Partition, n, r.Offset))
	}
	b := &l.books[r.Partition]
	if r.Offset < int64(len(b.read)) && b.read[r.Offset] {
		l.redeliver++
	} else {
		b.read = mark(b.read, r.Offset)
		l.read.Add(1)
		if r.Offset != b.last+1 {
			l.fail(fmt.Errorf("partition %d: offset %d read after %d", r.Partition, r.Offset, b.last))
		}
		b.last = r.Offset
	}
}

// Check fails the test unless everything sent was acknowledged and read, each
// record at its place. What a group reads again after a broken connection is
// allowed where redelivery is true: the log holds it once all the same.
func (l *Ledger) Check(t testing.TB, redelivery bool) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.failed != nil {
		t.Error(l.failed)
	}
	if n := int(l.acked.Load()); n != l.sent {
		t.Errorf("%d of %d records acknowledged", n, l.sent)
	}
	for p, b := range l.books {
		for i, acked := range b.acked {
			if acked && (i >= len(b.read) || !b.read[i]) {
				t.Errorf("partition %d: record %d was acknowledged and not read", p, i)
				break
			}
		}
		if len(b.read) > len(b.acked) {
			t.Errorf("partition %d: read up to offset %d, acknowledged up to %d", p, len(b.read)-1, len(b.acked)-1)
		}
	}
	if l.redeliver > 0 && !redelivery {
		t.Errorf("%d records were delivered twice", l.redeliver)
	}
}

// Reread forgets what was read, so that the topic can be read once more.
func (l *Ledger) Reread() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range l.books {
		l.books[i].read, l.books[i].last = nil, -1
	}
	l.redeliver = 0
	l.read.Store(0)
}

// ReadAll reads the topic from its start, without a group, until everything
// acknowledged has come.
func (l *Ledger) ReadAll(t testing.TB, s *Server) {
	t.Helper()
	l.Reread()
	cl := Client(t, s, kgo.ConsumeTopics(l.Topic))
	defer cl.Close()
	ctx := Context(t, 2*Long)
	for l.Read() < l.Acked() {
		fs := cl.PollFetches(ctx)
		if err := fs.Err0(); err != nil {
			t.Fatalf("after %d of %d records: %v", l.Read(), l.Acked(), err)
		}
		fs.EachError(func(topic string, p int32, err error) { t.Errorf("%s-%d: %v", topic, p, err) })
		fs.EachRecord(l.Saw)
	}
}
