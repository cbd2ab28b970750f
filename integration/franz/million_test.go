package franz

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/streamweir/streamweir/integration/harness"
)

const (
	million    = 1_000_000
	partitions = 12
	takes      = 3 * time.Minute // for a million records on a busy machine
)

// A million records go through an idempotent producer into a group, of which a
// member joins and another leaves on the way: nothing is lost, nothing comes
// twice, and the order of each partition holds.
func TestMillionRecordsThroughAGroup(t *testing.T) {
	s := harness.Shared(t)
	n := harness.Scale(million)
	l := harness.NewLedger(harness.Topic(t, s, partitions), partitions)
	group := harness.Name(t, "g")
	members := []*member{join(t, s, l, group), join(t, s, l, group)}
	await(t, "two members with half the partitions each", func() error { return shares(members, 6, 6) })

	produced := produce(t, s, l, n)
	await(t, "a third of the records read", func() error { return atLeast(l.Read(), n/3) })
	members = append(members, join(t, s, l, group))
	await(t, "three members with a third of the partitions each", func() error { return shares(members, 4, 4, 4) })
	await(t, "two thirds of the records read", func() error { return atLeast(l.Read(), 2*n/3) })
	members[0].leave()
	if err := <-produced; err != nil {
		t.Fatal(err)
	}
	await(t, "all records read", func() error { return atLeast(l.Read(), n) })
	await(t, "the partitions of the one that left", func() error { return shares(members, 0, 6, 6) })
	for i, m := range members {
		if i > 0 {
			m.commit(t)
		}
		m.leave()
		for _, err := range m.errors() {
			t.Errorf("member %d: %v", i, err)
		}
		if m.read == 0 && i < 2 {
			t.Errorf("member %d has read nothing", i)
		}
	}
	l.Check(t, false)
	noLag(t, s, l, group)
}

// A million records with two graceful restarts on the way.
func TestMillionRecordsThroughRestarts(t *testing.T) {
	interrupted(t, 2, func(s *harness.Server) { s.Restart(t) })
}

// A million records while the server is killed again and again: every
// acknowledged record is there, none twice, in order.
func TestMillionRecordsThroughKills(t *testing.T) {
	interrupted(t, 4, func(s *harness.Server) {
		s.Kill(t)
		s.StartAgain(t)
	})
}

// interrupted produces and consumes a million records, and interrupts the
// server that many times on the way. A group whose coordinator went away may
// read again what it had not committed; the log itself holds everything once.
func interrupted(t *testing.T, times int, interrupt func(*harness.Server)) {
	s := harness.Start(t)
	n := harness.Scale(million)
	l := harness.NewLedger(harness.Topic(t, s, partitions), partitions)
	group := harness.Name(t, "g")
	members := []*member{join(t, s, l, group), join(t, s, l, group)}
	await(t, "two members with half the partitions each", func() error { return shares(members, 6, 6) })

	produced := produce(t, s, l, n)
	for i := range times {
		await(t, fmt.Sprintf("acknowledgements before interruption %d", i+1), func() error {
			return atLeast(l.Acked(), (i+1)*n/(times+1))
		})
		before := l.Acked()
		interrupt(s)
		await(t, "an acknowledgement after the interruption", func() error { return atLeast(l.Acked(), before+1) })
	}
	if err := <-produced; err != nil {
		t.Fatal(err)
	}
	await(t, "all records read by the group", func() error { return atLeast(l.Read(), n) })
	l.Check(t, true)
	for _, m := range members {
		m.commit(t)
	}
	noLag(t, s, l, group)

	l.ReadAll(t, s)
	l.Check(t, false)
	// And once more from the disk alone.
	s.Restart(t)
	l.ReadAll(t, s)
	l.Check(t, false)
	noLag(t, s, l, group)
}

// produce fills the ledger in the background.
func produce(t testing.TB, s *harness.Server, l *harness.Ledger, n int) <-chan error {
	t.Helper()
	cl := harness.Client(t, s, harness.LedgerProducer(l)...)
	ctx, cancel := context.WithTimeout(context.Background(), takes)
	done := make(chan error, 1)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		done <- l.Produce(ctx, cl, n)
	}()
	t.Cleanup(func() { cancel(); <-ended })
	return done
}

// noLag checks that the group has committed the end of every partition.
func noLag(t testing.TB, s *harness.Server, l *harness.Ledger, group string) {
	t.Helper()
	lags, err := harness.Admin(t, s).Lag(harness.Context(t, harness.Long), group)
	if err != nil {
		t.Fatalf("lag: %v", err)
	}
	g := lags[group]
	if err := g.Error(); err != nil {
		t.Fatalf("lag: %v", err)
	}
	if n := len(g.Lag[l.Topic]); n != l.Partitions {
		t.Errorf("lag of %d partitions, want %d", n, l.Partitions)
	}
	for p, lag := range g.Lag[l.Topic] {
		if lag.Lag != 0 || lag.Err != nil {
			t.Errorf("partition %d: committed %d, end %d, %v", p, lag.Commit.At, lag.End.Offset, lag.Err)
		}
	}
}

func await(t testing.TB, what string, fn func() error) {
	t.Helper()
	harness.Eventually(t, takes, what, fn)
}

func atLeast(got, want int) error {
	if got < want {
		return fmt.Errorf("%d of %d", got, want)
	}
	return nil
}

func shares(members []*member, want ...int) error {
	for i, n := range want {
		if got := members[i].partitions(); got != n {
			return fmt.Errorf("member %d has %d partitions, want %d", i, got, n)
		}
	}
	return nil
}
