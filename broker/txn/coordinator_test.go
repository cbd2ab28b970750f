package txn

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/goleak"

	"github.com/streamweir/streamweir/storage"

	"github.com/streamweir/streamweir/broker/coordinator/coordinatortest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var somewhere = TopicPartition{"t", 0}

func TestTransactionThroughTheCoordinator(t *testing.T) {
	b := newBench(t)
	p := b.mustInit("a")
	for range 3 {
		if err := b.add(p, somewhere); err != nil {
			t.Fatal(err)
		}
		r := b.end(p, true)
		if r.ErrorCode != 0 || r.ProducerID != p.producerID || r.ProducerEpoch != p.epoch+1 {
			t.Fatalf("end: %+v", r)
		}
		p.epoch++
	}
	if got := b.state("a"); got != "CompleteCommit" {
		t.Errorf("the transaction is %s", got)
	}
	s := b.c.Stats()
	if b.markers.count() != 3 || s.Commits != 3 || s.Markers != 3 || s.Initialized != 1 || s.Transactions[CompleteCommit] != 1 {
		t.Errorf("%d markers, %+v", b.markers.count(), s)
	}
	b.restart()
	if got := b.state("a"); got != "CompleteCommit" {
		t.Errorf("after a restart the transaction is %s", got)
	}
	if err := b.add(p, somewhere); err != nil {
		t.Errorf("after a restart: %v", err)
	}
}

// A restart writes the markers of decided transactions, with its own epoch.
func TestRestartGoesOnWithMarkers(t *testing.T) {
	b := newBench(t)
	b.markers.change(func(m *fakeMarkers) { m.err = kerr.NotLeaderForPartition })
	for i, commit := range []bool{true, false} {
		p := b.mustInit(fmt.Sprint("id", i))
		if err := b.add(p, somewhere); err != nil {
			t.Fatal(err)
		}
		if r := b.end(p, commit); r.ErrorCode != 0 {
			t.Fatalf("end: %v", kerr.ErrorForCode(r.ErrorCode))
		}
	}
	if a, c := b.state("id0"), b.state("id1"); a != "PrepareCommit" || c != "PrepareAbort" {
		t.Fatalf("%s and %s", a, c)
	}
	b.markers.change(func(m *fakeMarkers) { m.err = nil })
	b.stop(b.c)
	b.restart()
	if a, c := b.state("id0"), b.state("id1"); a != "CompleteCommit" || c != "CompleteAbort" {
		t.Errorf("%s and %s", a, c)
	}
	for _, m := range b.markers.written {
		if m.CoordinatorEpoch != 2 || m.TransactionVersion != 2 || m.ProducerEpoch != 1 {
			t.Errorf("marker %+v", m)
		}
	}
	if n := b.markers.count(); n != 2 {
		t.Errorf("%d markers", n)
	}
}

// Markers that fail are tried again by the clock, without a restart.
func TestMarkersAreTriedAgain(t *testing.T) {
	b := newBench(t)
	b.markers.change(func(m *fakeMarkers) { m.err = errors.New("disk on fire") })
	p := b.mustInit("a")
	if err := b.add(p, somewhere); err != nil {
		t.Fatal(err)
	}
	b.end(p, true)
	b.clock.Advance(time.Second)
	if got := b.state("a"); got != "PrepareCommit" {
		t.Fatalf("the transaction is %s", got)
	}
	b.markers.change(func(m *fakeMarkers) { m.err = nil })
	b.clock.Advance(time.Second)
	if got := b.state("a"); got != "CompleteCommit" {
		t.Errorf("the transaction is %s", got)
	}
}

func TestTimeoutByTheClock(t *testing.T) {
	b := newBench(t)
	p := b.mustInit("a")
	if err := b.add(p, somewhere); err != nil {
		t.Fatal(err)
	}
	b.clock.Advance(30 * time.Second)
	if got := b.state("a"); got != "CompleteAbort" {
		t.Errorf("the transaction is %s", got)
	}
	if err := b.add(p, somewhere); !errors.Is(err, kerr.InvalidProducerEpoch) {
		t.Errorf("the producer hears %v", err)
	}
	if s := b.c.Stats(); s.TimedOut != 1 || s.Aborts != 1 {
		t.Errorf("%+v", s)
	}
}

// What is answered while a partition is loaded, has failed, or is not ours.
func TestLoading(t *testing.T) {
	b := &bench{t: t, log: newFakeLog(), markers: &fakeMarkers{}, clock: coordinatortest.NewClock(stageStart)}
	b.start()
	hears := func(want *kerr.Error) {
		t.Helper()
		if r := b.init("a"); r.ErrorCode != want.Code || r.ProducerID != -1 || r.ProducerEpoch != -1 {
			t.Errorf("init: %+v, want %v", r, want)
		}
		p := producer{"a", 1, 0}
		if err := b.add(p, somewhere); !errors.Is(err, want) {
			t.Errorf("add: %v, want %v", err, want)
		}
		if r := b.end(p, true); r.ErrorCode != want.Code {
			t.Errorf("end: %v, want %v", kerr.ErrorForCode(r.ErrorCode), want)
		}
		if got := b.state("a"); got != want.Message {
			t.Errorf("describe: %s, want %v", got, want)
		}
	}
	list := func() int16 { return b.c.ListTransactions(kmsg.NewPtrListTransactionsRequest()).ErrorCode }
	hears(kerr.NotCoordinator)
	if code := list(); code != 0 {
		t.Errorf("list: %v", kerr.ErrorForCode(code))
	}
	reading := make(chan struct{})
	b.log.change(func(l *fakeLog) { l.reading = reading })
	loaded := b.c.Load(b.all()...)
	hears(kerr.CoordinatorLoadInProgress)
	if code := list(); code != kerr.CoordinatorLoadInProgress.Code {
		t.Errorf("list: %v", kerr.ErrorForCode(code))
	}
	b.log.change(func(l *fakeLog) { l.readErr = errors.New("disk on fire") })
	close(reading)
	<-loaded
	hears(kerr.NotCoordinator)
	if n := len(b.c.Failed()); n != 5 {
		t.Errorf("%d partitions have failed", n)
	}
	b.log.change(func(l *fakeLog) { l.readErr = nil })
	<-b.c.Load(b.all()...)
	if n := len(b.c.Failed()); n != 0 {
		t.Errorf("%d partitions have failed", n)
	}
	b.mustInit("a")
	b.c.Unload(b.c.PartitionFor("a"))
	hears(kerr.NotCoordinator)
	if ids, bytes := b.c.total.ids.Load(), b.c.total.bytes.Load(); ids != 0 || bytes != 0 {
		t.Errorf("%d ids of %d bytes are counted", ids, bytes)
	}
	b.stop(b.c)
	hears(kerr.CoordinatorNotAvailable)
}

// A partition that is loaded again reads what was on its way when it was let go.
func TestLoadWaitsForAppendsOfTheShardBefore(t *testing.T) {
	b := newBench(t)
	p := b.mustInit("a")
	if err := b.add(p, somewhere); err != nil {
		t.Fatal(err)
	}
	b.log.change(func(l *fakeLog) { l.hold = true })
	answers := make(chan *kmsg.EndTxnResponse, 1)
	b.c.EndTxn(endRequestOf(p, true), func(r *kmsg.EndTxnResponse) { answers <- r })
	index := b.c.PartitionFor("a")
	b.c.Unload(index)
	loaded := b.c.Load(index)
	b.log.change(func(l *fakeLog) { l.hold = false })
	b.log.release()
	if r := <-answers; r.ErrorCode != 0 {
		t.Errorf("end: %v", kerr.ErrorForCode(r.ErrorCode))
	}
	<-loaded
	if got := b.state("a"); got != "CompleteCommit" {
		t.Errorf("the transaction is %s", got)
	}
	if n := b.markers.count(); n != 1 {
		t.Errorf("%d markers", n)
	}
}

// A shutdown answers those that wait, and waits for what is under way.
func TestShutdownWaits(t *testing.T) {
	b := newBench(t)
	p := b.mustInit("a")
	if err := b.add(p, somewhere); err != nil {
		t.Fatal(err)
	}
	b.markers.change(func(m *fakeMarkers) { m.hold = true })
	if r := b.end(p, true); r.ErrorCode != 0 {
		t.Fatal(kerr.ErrorForCode(r.ErrorCode))
	}
	waits := make(chan error, 1)
	b.c.VerifyPartition("a", p.producerID, p.epoch+1, somewhere, true, func(err error) { waits <- err })
	down := make(chan struct{})
	go func() {
		b.stop(b.c)
		close(down)
	}()
	if err := <-waits; !errors.Is(err, kerr.NotCoordinator) {
		t.Errorf("who waits hears %v", err)
	}
	select {
	case <-down:
		t.Error("the coordinator is down while a marker is under way")
	default:
	}
	b.markers.held[0](nil)
	<-down
}

func TestFailedAppends(t *testing.T) {
	b := newBench(t)
	for _, c := range []struct {
		err  error
		want *kerr.Error
	}{
		{fmt.Errorf("append: %w", storage.ErrNoSpace), kerr.CoordinatorNotAvailable},
		{fmt.Errorf("append: %w", storage.ErrFailed), kerr.NotCoordinator},
		{kerr.KafkaStorageError, kerr.NotCoordinator},
		{kerr.MessageTooLarge, kerr.UnknownServerError},
		{errors.New("disk on fire"), kerr.UnknownServerError},
		{kerr.InvalidRecord, kerr.InvalidRecord},
	} {
		b.log.change(func(l *fakeLog) { l.fail = c.err })
		if r := b.init("a"); r.ErrorCode != c.want.Code {
			t.Errorf("%v: %v, want %v", c.err, kerr.ErrorForCode(r.ErrorCode), c.want)
		}
		if got := b.state("a"); got != kerr.TransactionalIDNotFound.Message {
			t.Errorf("%v: the id is %s", c.err, got)
		}
	}
	if ids := b.c.total.ids.Load(); ids != 0 {
		t.Errorf("%d ids are counted", ids)
	}
}

// Producer ids that an event did not need are not lost, and none is given twice.
func TestProducerIDsAreNotWasted(t *testing.T) {
	b := newBench(t)
	seen := map[int64]bool{}
	for i := range 20 {
		p := b.mustInit(fmt.Sprint("id", i))
		if seen[p.producerID] {
			t.Fatalf("producer id %d was given twice", p.producerID)
		}
		seen[p.producerID] = true
		b.mustInit(p.id)
		if err := b.add(producer{p.id, p.producerID, 1}, somewhere); err != nil {
			t.Fatal(err)
		}
		b.end(producer{p.id, p.producerID, 1}, true)
	}
	if b.next > 21 {
		t.Errorf("%d producer ids were taken for 20", b.next)
	}
	b.noIDs = errors.New("no more")
	b.c.ids.left = nil
	if r := b.init("other"); r.ErrorCode != kerr.CoordinatorNotAvailable.Code {
		t.Errorf("without producer ids: %v", kerr.ErrorForCode(r.ErrorCode))
	}
}

// Many producers at once, with a log and partitions that answer from goroutines
// of their own.
func TestManyProducersAtOnce(t *testing.T) {
	b := newBench(t)
	var wg sync.WaitGroup
	const producers, rounds = 16, 50
	for i := range producers {
		wg.Add(1)
		go func() {
			defer wg.Done()
			p := b.mustInit(fmt.Sprint("id", i))
			for n := range rounds {
				var adds sync.WaitGroup
				for k := range int32(4) {
					adds.Add(1)
					b.c.VerifyPartition(p.id, p.producerID, p.epoch, TopicPartition{"t", k}, true, func(err error) {
						if err != nil {
							t.Errorf("%s round %d: add %d: %v", p.id, n, k, err)
						}
						adds.Done()
					})
				}
				adds.Wait()
				r := b.end(p, n%3 > 0)
				if r.ErrorCode != 0 {
					t.Errorf("%s round %d: end: %v", p.id, n, kerr.ErrorForCode(r.ErrorCode))
					return
				}
				p.epoch = r.ProducerEpoch
			}
		}()
	}
	wg.Wait()
	if n := b.markers.count(); n != producers*rounds*4 {
		t.Errorf("%d markers, want %d", n, producers*rounds*4)
	}
	s := b.c.Stats()
	if s.Commits+s.Aborts != producers*rounds {
		t.Errorf("%+v", s)
	}
	b.restart()
	list := b.c.ListTransactions(kmsg.NewPtrListTransactionsRequest())
	if len(list.TransactionStates) != producers {
		t.Errorf("%d ids after a restart", len(list.TransactionStates))
	}
}

func BenchmarkTransaction(b *testing.B) {
	x := newBench(b)
	p := x.mustInit("a")
	b.ReportAllocs()
	for b.Loop() {
		if p.epoch > 30_000 {
			p = x.mustInit(fmt.Sprint("a", b.N, p.producerID))
		}
		if err := x.add(p, somewhere); err != nil {
			b.Fatal(err)
		}
		r := x.end(p, true)
		p.producerID, p.epoch = r.ProducerID, r.ProducerEpoch
	}
}
