package workload

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/streamweir/streamweir/integration/history/checker"
)

const (
	transactionalWriters = 2
	makers               = 2
	// transactionTimeout is when the broker aborts what nobody ends.
	transactionTimeout = 10 * time.Second
	endWithin          = 30 * time.Second
)

func (r *round) startTransactions() {
	for i := range transactionalWriters {
		w := &transactor{sender: r.sender(fmt.Sprintf("transactional-%d", i+1), checker.Transactional), id: fmt.Sprintf("r%d-writer-%d", r.n, i+1)}
		into := r.topics[:len(r.topics)-1]
		w.next = func(txn int32) (*kgo.Record, checker.Send) { return w.record(into[w.rand.IntN(len(into))], txn) }
		r.writers.Go(func() { w.run(r.loading) })
	}
	r.startTransforms()
}

// transactor writes transactions under one transactional id, with one client
// after the other.
type transactor struct {
	*sender
	id   string
	n    int32
	next func(txn int32) (*kgo.Record, checker.Send) // makes a record
}

// The ways in which a transaction ends.
type ending int

const (
	commits  ending = iota
	aborts          // asks for it
	abandons        // the client goes away
	fenced          // another client takes over before the commit
)

func (w *transactor) ending() ending {
	switch n := w.rand.IntN(100); {
	case n < 68:
		return commits
	case n < 88:
		return aborts
	case n < 94:
		return abandons
	}
	return fenced
}

func (w *transactor) client(more ...kgo.Opt) (*kgo.Client, error) {
	return w.r.client(writerOpts(append(more, kgo.TransactionalID(w.id), kgo.TransactionTimeout(transactionTimeout))...)...)
}

func (w *transactor) run(ctx context.Context) {
	for ctx.Err() == nil {
		cl, err := w.client(codec(w.rand.IntN(len(codecs))))
		if err != nil {
			w.r.fail(err)
			return
		}
		for ctx.Err() == nil && w.transaction(ctx, cl) {
			if !wait(ctx, between(w.rand, 0, 100*time.Millisecond)) {
				break
			}
		}
		cl.Close()
	}
}

// transaction does one transaction, and returns whether the client can go on.
func (w *transactor) transaction(ctx context.Context, cl *kgo.Client) bool {
	if err := cl.BeginTransaction(); err != nil {
		wait(ctx, 100*time.Millisecond)
		return false
	}
	w.n++
	t := checker.Txn{Writer: w.sender.id, N: w.n, Began: w.r.rec.now()}
	failures := w.fill(ctx, cl)
	end := w.ending()
	if end == abandons {
		t.Start, t.Outcome = w.r.rec.now(), checker.Failed
		t.End = t.Start
		w.r.rec.txn(t)
		return false
	}
	settled, cancel := context.WithTimeout(context.WithoutCancel(ctx), endWithin)
	defer cancel()
	if err := cl.Flush(settled); err != nil {
		failures.Add(1)
	}
	if failures.Load() > 0 && end != fenced {
		end = aborts
	}
	if end == fenced {
		other, err := w.client()
		if err != nil {
			w.r.fail(err)
			return false
		}
		defer other.Close()
		if _, _, err := other.ProducerID(settled); err == nil && failures.Load() == 0 {
			t.Fenced = w.r.rec.now()
		}
	}
	return w.end(settled, cl, t, end)
}

// fill sends a transaction's records; the result counts those that failed.
func (w *transactor) fill(ctx context.Context, cl *kgo.Client) *atomic.Int32 {
	failures := new(atomic.Int32)
	for range 1 + w.rand.IntN(20) {
		rec, send := w.next(w.n)
		w.send(cl, rec, send, func(_ checker.Outcome, err error) {
			if err != nil {
				failures.Add(1)
			}
		})
	}
	wait(ctx, between(w.rand, 0, 200*time.Millisecond))
	return failures
}

// end asks for the end of a transaction and notes the answer.
func (w *transactor) end(ctx context.Context, cl *kgo.Client, t checker.Txn, how ending) bool {
	t.Start = w.r.rec.now()
	err := cl.EndTransaction(ctx, kgo.TransactionEndTry(how != aborts))
	t.End = w.r.rec.now()
	switch {
	case how == aborts:
		t.Outcome = checker.Failed // nobody asked for anything else
	case err == nil:
		t.Outcome = checker.OK
	case t.Fenced > 0:
		t.Outcome = checker.Failed // it could not commit any more
	case errors.Is(err, kerr.OperationNotAttempted):
		t.Outcome = checker.Failed
	}
	w.r.rec.txn(t)
	return err == nil && how != fenced
}

// transforms are a group that writes a record for each that it reads, and
// commits its offsets in the same transactions.
type transforms struct {
	r     *round
	group string
	ctx   context.Context
	stop  context.CancelFunc
	ended sync.WaitGroup
}

func (r *round) startTransforms() {
	r.transforms = &transforms{r: r, group: fmt.Sprintf("r%d-transform", r.n)}
	r.transforms.ctx, r.transforms.stop = context.WithCancel(r.reading)
	for i := range makers {
		r.transforms.ended.Go(func() { r.transforms.run(i) })
	}
}

// maker is one member of the group, under one transactional id.
type maker struct {
	*sender
	*transforms
	n int32
}

func (f *transforms) run(i int) {
	name := fmt.Sprintf("maker-%d", i+1)
	m := &maker{sender: f.r.sender(name, checker.Transactional), transforms: f}
	for n := 1; f.ctx.Err() == nil; n++ {
		d := f.r.reader(fmt.Sprintf("%s.%d", name, n), true)
		if err := m.session(d, fmt.Sprintf("r%d-%s", f.r.n, name)); err != nil {
			f.r.fail(err)
			return
		}
	}
}

// session transforms with one client until it cannot go on.
func (m *maker) session(d *reader, id string) error {
	life, end := context.WithCancel(context.WithoutCancel(m.ctx))
	defer end()
	s, err := kgo.NewGroupTransactSession(append(m.sessionOpts(id, d), kgo.WithContext(life))...)
	if err != nil {
		return fmt.Errorf("transaction session: %w", err)
	}
	defer closeMember(s, end)
	for m.ctx.Err() == nil && m.step(s, d) {
		continue
	}
	return nil
}

func (f *transforms) sessionOpts(id string, d *reader) []kgo.Opt {
	opts := readerOpts(writerOpts(
		kgo.SeedBrokers(f.r.sys.addr), kgo.Dialer(f.r.net.Dial), kgo.MetadataMinAge(100*time.Millisecond), kgo.MetadataMaxAge(2*time.Second),
		kgo.ConsumerGroup(f.group), kgo.ConsumeTopics(f.r.log.name), isolation(true),
		kgo.SessionTimeout(6*time.Second), kgo.HeartbeatInterval(500*time.Millisecond), kgo.RebalanceTimeout(10*time.Second),
		kgo.TransactionalID(id), kgo.TransactionTimeout(transactionTimeout), kgo.DisableClientMetrics(),
		kgo.OnPartitionsAssigned(d.onAssigned), kgo.OnPartitionsRevoked(d.onRevoked), kgo.OnPartitionsLost(d.onRevoked),
	)...)
	return opts
}

// step transforms what one poll brings, and returns whether the session can go on.
func (m *maker) step(s *kgo.GroupTransactSession, d *reader) bool {
	short, cancel := context.WithTimeout(m.ctx, time.Second)
	fs := s.PollRecords(short, 100)
	cancel()
	if d.took(fs) == 0 {
		return true
	}
	if s.Begin() != nil {
		wait(m.ctx, 100*time.Millisecond)
		return false
	}
	m.n++
	t := checker.Txn{Writer: m.sender.id, N: m.n, Began: m.sender.r.rec.now()}
	failures := m.transform(s.Client(), fs)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(m.ctx), endWithin)
	defer cancel()
	if m.rand.IntN(40) == 0 { // the member goes away
		t.Start, t.Outcome = m.sender.r.rec.now(), checker.Failed
		t.End = t.Start
		m.sender.r.rec.txn(t)
		return false
	}
	if s.Client().Flush(ctx) != nil {
		failures.Add(1)
	}
	commit := failures.Load() == 0 && m.rand.IntN(10) > 0
	t.Start = m.sender.r.rec.now()
	committed, err := s.End(ctx, kgo.TransactionEndTry(commit))
	t.End = m.sender.r.rec.now()
	switch {
	case committed && err == nil:
		t.Outcome = checker.OK
	case !commit || err == nil:
		t.Outcome = checker.Failed
	}
	m.sender.r.rec.txn(t)
	if t.Outcome != checker.OK {
		d.rewound()
	}
	return err == nil
}

// transform writes a record for each record.
func (m *maker) transform(cl *kgo.Client, fs kgo.Fetches) *atomic.Int32 {
	failures := new(atomic.Int32)
	fs.EachRecord(func(in *kgo.Record) {
		rec, send := m.record(m.sender.r.out, m.n)
		send.Source = &checker.Source{Group: m.group, On: checker.Partition{Topic: in.Topic, Index: in.Partition}, At: in.Offset}
		m.send(cl, rec, send, func(_ checker.Outcome, err error) {
			if err != nil {
				failures.Add(1)
			}
		})
	})
	return failures
}

// rewound says that a client's positions are where its group is, since a
// transaction was not committed.
func (d *reader) rewound() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for on := range d.at {
		d.at[on] = -1
	}
}

// finish waits until the group has transformed everything, and ends it.
func (f *transforms) finish(ctx context.Context, healed checker.Time, targets map[checker.Partition]int64) {
	defer f.ended.Wait()
	defer f.stop()
	cl, err := f.r.client()
	if err != nil {
		f.r.fail(err)
		return
	}
	defer cl.Close()
	f.r.awaitAll(ctx, healed, checker.AwaitGroup, map[string]func() (bool, string){
		"group " + f.group: func() (bool, string) { return f.r.committedBeyond(ctx, cl, f.group, targets) },
	})
}
