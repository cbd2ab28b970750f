package franz

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/streamweir/streamweir/integration/harness"
)

// member is a group member that reads into a ledger until it is told to stop.
type member struct {
	cl     *kgo.Client
	cancel context.CancelFunc
	done   chan struct{}
	read   int

	mu       sync.Mutex
	assigned map[int32]bool
	errs     []error
}

// join starts a member. It commits what it has read before it gives a
// partition away, and reads on only after that, so that a rebalance alone
// never makes anybody read twice.
func join(t testing.TB, s *harness.Server, l *harness.Ledger, group string, opts ...kgo.Opt) *member {
	t.Helper()
	m := &member{done: make(chan struct{}), assigned: map[int32]bool{}}
	m.cl = harness.Client(t, s, append([]kgo.Opt{
		kgo.ConsumerGroup(group),
		kgo.ConsumeTopics(l.Topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.DisableAutoCommit(),
		kgo.BlockRebalanceOnPoll(),
		kgo.OnPartitionsAssigned(func(_ context.Context, _ *kgo.Client, a map[string][]int32) {
			m.note(a[l.Topic], true)
		}),
		kgo.OnPartitionsRevoked(func(ctx context.Context, cl *kgo.Client, r map[string][]int32) {
			if err := cl.CommitUncommittedOffsets(ctx); err != nil {
				m.fail(err)
			}
			m.note(r[l.Topic], false)
		}),
		kgo.OnPartitionsLost(func(_ context.Context, _ *kgo.Client, r map[string][]int32) {
			m.note(r[l.Topic], false)
		}),
	}, opts...)...)
	ctx, cancel := context.WithCancel(context.Background())
	m.cancel = cancel
	go m.run(ctx, l)
	t.Cleanup(func() { m.leave() })
	return m
}

func (m *member) run(ctx context.Context, l *harness.Ledger) {
	defer close(m.done)
	for {
		fs := m.cl.PollFetches(ctx)
		fs.EachError(func(_ string, _ int32, err error) {
			if !errors.Is(err, context.Canceled) {
				m.fail(err)
			}
		})
		fs.EachRecord(func(r *kgo.Record) {
			l.Saw(r)
			m.read++
		})
		if ctx.Err() != nil {
			return // leaving commits what was polled, so it has been read by now
		}
		m.cl.AllowRebalance()
	}
}

func (m *member) note(ps []int32, mine bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, p := range ps {
		if mine {
			m.assigned[p] = true
		} else {
			delete(m.assigned, p)
		}
	}
}

func (m *member) fail(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.errs = append(m.errs, err)
}

func (m *member) partitions() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.assigned)
}

func (m *member) errors() []error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.errs
}

// leave ends the member: it commits and leaves the group.
func (m *member) leave() {
	m.cancel()
	<-m.done
	m.cl.AllowRebalance()
	m.cl.CloseAllowingRebalance()
}

// commit commits what the member has read.
func (m *member) commit(t testing.TB) {
	t.Helper()
	if err := m.cl.CommitUncommittedOffsets(harness.Context(t, harness.Long)); err != nil {
		t.Errorf("commit: %v", err)
	}
}
