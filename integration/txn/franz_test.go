package txn

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/streamweir/streamweir/integration/harness"
)

func TestCommitAndAbort(t *testing.T) {
	eachVersion(t, func(t *testing.T, version kgo.Opt, version2 bool) {
		s := harness.Shared(t)
		topic := harness.Topic(t, s, 2)
		id := harness.Name(t, "id")
		cl := producer(t, s, id, version)
		ctx := harness.Context(t, harness.Long)
		for i, commit := range []bool{true, false, false, true, true} {
			if err := cl.BeginTransaction(); err != nil {
				t.Fatal(err)
			}
			if err := produce(ctx, cl, topic, fmt.Sprint(i), 0, 1); err != nil {
				t.Fatal(err)
			}
			if err := cl.EndTransaction(ctx, kgo.TransactionEndTry(commit)); err != nil {
				t.Fatalf("end of %d: %v", i, err)
			}
		}
		// Nothing was produced: nothing happens.
		if err := cl.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		if err := cl.EndTransaction(ctx, kgo.TryCommit); err != nil {
			t.Fatal(err)
		}
		wait(t, s, topic)
		wantEpoch(t, s, id, version2, 5)
		wantValues(t, "read_committed", read(t, s, topic, true), "0", "3", "4", "0", "3", "4")
		wantValues(t, "read_uncommitted", read(t, s, topic, false), "0", "1", "2", "3", "4", "0", "1", "2", "3", "4")
	})
}

// wantEpoch checks that the client did transactions in the way that it was to: in
// version 2 each of them has raised its epoch.
func wantEpoch(t testing.TB, s *harness.Server, id string, version2 bool, transactions int16) {
	t.Helper()
	d, err := harness.Admin(t, s).DescribeTransactions(harness.Context(t, harness.Long), id)
	if err != nil || d[id].Err != nil {
		t.Fatal(err, d[id].Err)
	}
	want := int16(0)
	if version2 {
		want = transactions
	}
	if got := d[id].ProducerEpoch; got != want {
		t.Errorf("after %d transactions the epoch is %d, want %d", transactions, got, want)
	}
}

// wait is over when no transaction is open in a topic: its last stable offset is
// its end.
func wait(t testing.TB, s *harness.Server, topic string) {
	t.Helper()
	adm := harness.Admin(t, s)
	ctx := harness.Context(t, harness.Long)
	harness.Eventually(t, harness.Long, "the end of all transactions", func() error {
		stable, err := adm.ListCommittedOffsets(ctx, topic)
		if err != nil {
			return err
		}
		ends, err := adm.ListEndOffsets(ctx, topic)
		if err != nil {
			return err
		}
		for p, o := range ends[topic] {
			if at := stable[topic][p].Offset; at != o.Offset {
				return fmt.Errorf("%s-%d ends at %d and is stable up to %d", topic, p, o.Offset, at)
			}
		}
		return nil
	})
}

// A consumer of committed records does not see an open transaction, nor what
// comes after it, until it ends.
func TestOpenTransactionHoldsReadersBack(t *testing.T) {
	eachVersion(t, func(t *testing.T, version kgo.Opt, _ bool) {
		s := harness.Shared(t)
		topic := harness.Topic(t, s, 1)
		ctx := harness.Context(t, harness.Long)
		open, other := producer(t, s, harness.Name(t, "open"), version), producer(t, s, harness.Name(t, "other"), version)
		for _, cl := range []*kgo.Client{open, other} {
			if err := cl.BeginTransaction(); err != nil {
				t.Fatal(err)
			}
		}
		if err := errors.Join(produce(ctx, open, topic, "open", 0), produce(ctx, other, topic, "other", 0)); err != nil {
			t.Fatal(err)
		}
		if err := other.EndTransaction(ctx, kgo.TryCommit); err != nil {
			t.Fatal(err)
		}
		wantValues(t, "while it is open", read(t, s, topic, true))
		if err := open.EndTransaction(ctx, kgo.TryAbort); err != nil {
			t.Fatal(err)
		}
		wait(t, s, topic)
		wantValues(t, "after it was aborted", read(t, s, topic, true), "other")
	})
}

// A producer that takes over an id undoes what the one before had begun.
func TestFencing(t *testing.T) {
	eachVersion(t, func(t *testing.T, version kgo.Opt, _ bool) {
		s := harness.Shared(t)
		topic := harness.Topic(t, s, 1)
		id := harness.Name(t, "id")
		ctx := harness.Context(t, harness.Long)
		old := producer(t, s, id, version)
		if err := old.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		if err := produce(ctx, old, topic, "old", 0); err != nil {
			t.Fatal(err)
		}
		now := producer(t, s, id, version)
		if err := now.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		if err := produce(ctx, now, topic, "now", 0); err != nil {
			t.Fatal(err)
		}
		late := produce(ctx, old, topic, "late", 0)
		if !errors.Is(late, kerr.ProducerFenced) && !errors.Is(late, kerr.InvalidProducerEpoch) {
			t.Errorf("a fenced producer hears %v", late)
		}
		if err := old.EndTransaction(ctx, kgo.TryCommit); err == nil {
			t.Error("a fenced producer commits")
		}
		if err := now.EndTransaction(ctx, kgo.TryCommit); err != nil {
			t.Fatal(err)
		}
		wait(t, s, topic)
		wantValues(t, "committed", read(t, s, topic, true), "now")
	})
}

// A transaction that is over its timeout is aborted by the broker, and its
// producer is fenced.
func TestTimeout(t *testing.T) {
	s := harness.Start(t, harness.Config("transaction.abort.timed.out.transaction.cleanup.interval.ms", "100"))
	eachVersion(t, func(t *testing.T, version kgo.Opt, _ bool) {
		topic := harness.Topic(t, s, 1)
		ctx := harness.Context(t, harness.Long)
		cl := producer(t, s, harness.Name(t, "id"), version, kgo.TransactionTimeout(time.Second))
		if err := cl.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		if err := produce(ctx, cl, topic, "slow", 0); err != nil {
			t.Fatal(err)
		}
		wait(t, s, topic)
		if err := cl.EndTransaction(ctx, kgo.TryCommit); err == nil {
			t.Error("a transaction is committed after its timeout")
		}
		wantValues(t, "committed", read(t, s, topic, true))
		wantValues(t, "uncommitted", read(t, s, topic, false), "slow")
	})
}

// Records go from one topic to another exactly once, through sessions that are
// members of a group, while the server is killed.
func TestGroupTransactSessionsThroughKills(t *testing.T) {
	eachVersion(t, func(t *testing.T, version kgo.Opt, _ bool) {
		s := harness.Start(t)
		in, out, group := harness.Topic(t, s, 4), harness.Topic(t, s, 4), harness.Name(t, "g")
		n := harness.Scale(2000)
		ctx, cancel := context.WithCancel(harness.Context(t, 3*time.Minute))
		defer cancel()
		feed := harness.Client(t, s)
		var rs []*kgo.Record
		for i := range n {
			rs = append(rs, &kgo.Record{Topic: in, Value: fmt.Append(nil, i)})
		}
		if err := feed.ProduceSync(ctx, rs...).FirstErr(); err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 2)
		for i := range 2 {
			go func() { done <- transact(ctx, s, version, in, out, group, fmt.Sprint(group, i)) }()
		}
		seen := map[string]int{}
		reader := harness.Client(t, s, kgo.ConsumeTopics(out), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchIsolationLevel(kgo.ReadCommitted()))
		kills := 0
		for len(seen) < n {
			fs := reader.PollRecords(ctx, n/20) // a few at a time, so that there is something left to be killed over
			if ctx.Err() != nil {
				t.Fatalf("%d of %d records came through: %v", len(seen), n, ctx.Err())
			}
			fs.EachRecord(func(r *kgo.Record) {
				if seen[string(r.Value)]++; seen[string(r.Value)] > 1 {
					t.Errorf("record %s came through twice", r.Value)
				}
			})
			if kills < 3 && len(seen) > (kills+1)*n/5 {
				kills++
				s.Kill(t)
				s.StartAgain(t)
			}
		}
		cancel()
		for range 2 {
			if err := <-done; err != nil && !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
		}
		if t.Failed() {
			return
		}
		if kills != 3 {
			t.Errorf("the server was killed %d times only", kills)
		}
		wait(t, s, out)
		if got := len(read(t, s, out, true)); got != n {
			t.Errorf("%d records are committed, want %d", got, n)
		}
	})
}

// transact copies records in transactions of a few, with the offsets of what was
// read.
func transact(ctx context.Context, s *harness.Server, version kgo.Opt, in, out, group, id string) error {
	session, err := kgo.NewGroupTransactSession(
		kgo.SeedBrokers(s.Addr()), version, kgo.TransactionalID(id), kgo.TransactionTimeout(10*time.Second), kgo.ConsumerGroup(group), kgo.ConsumeTopics(in),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.MetadataMinAge(50*time.Millisecond), kgo.SessionTimeout(6*time.Second),
	)
	if err != nil {
		return err
	}
	defer session.Close()
	for ctx.Err() == nil {
		fs := session.PollRecords(ctx, 50)
		if ctx.Err() != nil {
			break
		}
		if err := session.Begin(); err != nil {
			return fmt.Errorf("begin: %w", err)
		}
		promise := kgo.AbortingFirstErrPromise(session.Client())
		fs.EachRecord(func(r *kgo.Record) {
			session.Produce(ctx, &kgo.Record{Topic: out, Value: r.Value}, promise.Promise())
		})
		if _, err := session.End(ctx, promise.Err() == nil); err != nil && ctx.Err() == nil {
			return fmt.Errorf("end: %w", err)
		}
	}
	return ctx.Err()
}
