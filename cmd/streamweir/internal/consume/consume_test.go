package consume

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/streamweir/streamweir/cmd/streamweir/internal/client"
	"github.com/streamweir/streamweir/cmd/streamweir/internal/position"
)

func startCluster(t *testing.T) client.Config {
	t.Helper()
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "t"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return client.Config{BootstrapServer: c.ListenAddrs()[0], Timeout: client.DefaultTimeout, ClientID: "test"}
}

// writeTransactions writes two plain records, an aborted transaction of two,
// and a committed one of one: offsets 0-1, 2-3 with marker 4, 5 with marker 6.
// The last transaction is aborted: 7 with marker 8.
func writeTransactions(t *testing.T, cfg client.Config) {
	t.Helper()
	ctx := t.Context()
	plain, err := kgo.NewClient(kgo.SeedBrokers(cfg.BootstrapServer), kgo.DefaultProduceTopic("t"))
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close()
	if err := plain.ProduceSync(ctx, kgo.StringRecord("plain 1"), kgo.StringRecord("plain 2")).FirstErr(); err != nil {
		t.Fatal(err)
	}
	txn, err := kgo.NewClient(kgo.SeedBrokers(cfg.BootstrapServer), kgo.DefaultProduceTopic("t"), kgo.TransactionalID("x"))
	if err != nil {
		t.Fatal(err)
	}
	defer txn.Close()
	for _, part := range []struct {
		values []string
		end    kgo.TransactionEndTry
	}{
		{[]string{"aborted 1", "aborted 2"}, kgo.TryAbort},
		{[]string{"committed"}, kgo.TryCommit},
		{[]string{"aborted 3"}, kgo.TryAbort},
	} {
		if err := txn.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		for _, v := range part.values {
			if err := txn.ProduceSync(ctx, kgo.StringRecord(v)).FirstErr(); err != nil {
				t.Fatal(err)
			}
		}
		if err := txn.EndTransaction(ctx, part.end); err != nil {
			t.Fatal(err)
		}
	}
}

func TestTransactionsEndWithoutRecords(t *testing.T) {
	cfg := startCluster(t)
	writeTransactions(t, cfg)
	for _, c := range []struct {
		stable bool
		group  string
		want   string
	}{
		{true, "", "0 plain 1\n1 plain 2\n5 committed\n"},
		{false, "", "0 plain 1\n1 plain 2\n2 aborted 1\n3 aborted 2\n5 committed\n7 aborted 3\n"},
		{true, "g", "0 plain 1\n1 plain 2\n5 committed\n"},
		{true, "g", ""},
	} {
		var out bytes.Buffer
		job := &Job{
			Topics: []string{"t"}, ExitAtEnd: true, Stable: c.stable, Group: c.group,
			Append: func(dst []byte, r *kgo.Record) []byte { return fmt.Appendf(dst, "%d %s\n", r.Offset, r.Value) },
			Note:   func(text string) { t.Error(text) },
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		err := Run(ctx, cfg, job, &out)
		if err != nil || ctx.Err() != nil {
			t.Errorf("stable %v, group %q: %v, %v", c.stable, c.group, err, ctx.Err())
		}
		cancel()
		if out.String() != c.want {
			t.Errorf("stable %v, group %q: got %q, want %q", c.stable, c.group, out.String(), c.want)
		}
	}
}

// TestSlowBrokerIsNotAnEnd: a reader that stops at the end gave up when nothing
// had arrived for a while, although the records were there.
func TestSlowBrokerIsNotAnEnd(t *testing.T) {
	cfg := startCluster(t)
	writeTransactions(t, cfg)
	cl, err := client.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	p := position.Partition{Topic: "t"}
	for _, c := range []struct {
		next, before int64
		stable, want bool
	}{
		{0, 9, true, true},   // everything
		{1, 9, true, true},   // in the middle of a batch
		{2, 4, true, false},  // aborted, and the marker is beyond the stop
		{2, 4, false, true},  // aborted, and asked for
		{6, 9, true, true},   // markers: the consumer will pass them too
		{9, 9, true, false},  // at the stop
		{9, 20, true, false}, // the log does not reach the stop
	} {
		got, err := prober{cl: cl, stable: c.stable}.left(t.Context(), p, stop{next: c.next, before: c.before})
		if err != nil || got != c.want {
			t.Errorf("%d to %d, stable %v: %v, %v; want %v", c.next, c.before, c.stable, got, err, c.want)
		}
	}
}

func TestStops(t *testing.T) {
	p, q := position.Partition{Topic: "t"}, position.Partition{Topic: "t", Partition: 1}
	s := newStops()
	s.set(p, 0, 3)
	s.finish(q)
	if s.done() {
		t.Fatal("done before all partitions were looked at")
	}
	s.ready()
	for _, step := range []struct {
		at            position.Partition
		offset        int64
		allowed, last bool
		done          bool
	}{
		{p, 0, true, false, false},
		{q, 0, false, false, false},
		{p, 2, true, true, true},
		{p, 3, false, false, true},
	} {
		if got := s.allows(step.at, step.offset); got != step.allowed {
			t.Errorf("%s at %d is allowed: %v", step.at, step.offset, got)
		}
		if step.allowed {
			if got := s.passed(step.at, step.offset); got != step.last {
				t.Errorf("%s at %d is the last: %v", step.at, step.offset, got)
			}
		}
		if s.done() != step.done {
			t.Errorf("after %s at %d done is %v", step.at, step.offset, s.done())
		}
	}
}

// A member whose group is out of reach joins again; one that is refused ends.
func TestMembersOutliveTheirBroker(t *testing.T) {
	r := &run{job: &Job{Group: "g"}, cl: &client.Cluster{}}
	for _, tc := range []struct {
		err  error
		ends bool
	}{
		{&net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}, false},
		{io.EOF, false},
		{context.DeadlineExceeded, false},
		{kerr.NotCoordinator, false},
		{kerr.CoordinatorLoadInProgress, false},
		{kerr.UnknownMemberID, false},
		{fmt.Errorf("join: %w", kerr.IllegalGeneration), false},
		{kerr.FencedInstanceID, true},
		{kerr.InconsistentGroupProtocol, true},
		{kerr.GroupMaxSizeReached, true},
		{kerr.GroupAuthorizationFailed, true},
	} {
		if err := r.fetchError(kgo.NewErrFetch(&kgo.ErrGroupSession{Err: tc.err})); (err != nil) != tc.ends {
			t.Errorf("%v: %v", tc.err, err)
		}
	}
}
