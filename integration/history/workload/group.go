package workload

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/streamweir/streamweir/integration/history/checker"
)

// members are a group whose consumers come and go.
type members struct {
	r        *round
	name     string
	topics   []*topic
	balancer kgo.GroupBalancer

	mu        sync.Mutex
	committed map[checker.Partition]int64 // the largest offset that was acknowledged
}

const membersOfGroup = 3

func (r *round) startGroups() {
	r.readers.Go(func() { r.commitByHand(r.reading) })
	topics := []*topic{r.log, r.short}
	for name, balancer := range map[string]kgo.GroupBalancer{"sticky": kgo.CooperativeStickyBalancer(), "range": kgo.RangeBalancer()} {
		g := &members{r: r, name: fmt.Sprintf("r%d-%s", r.n, name), topics: topics, balancer: balancer, committed: map[checker.Partition]int64{}}
		r.groups = append(r.groups, g)
		for i := range membersOfGroup {
			r.readers.Go(func() { g.member(r.reading, i) })
		}
	}
}

// member joins, consumes for a while, leaves, and joins again. The first one
// stays.
func (g *members) member(ctx context.Context, i int) {
	rnd := g.r.random(g.r.n, fmt.Sprint(g.name, i))
	for n := 1; ctx.Err() == nil; n++ {
		stay, cancel := context.WithCancel(ctx)
		if i > 0 {
			cancel()
			stay, cancel = context.WithTimeout(ctx, between(rnd, 2*time.Second, 15*time.Second))
		}
		g.consume(stay, fmt.Sprintf("%s-member-%d.%d", g.name, i+1, n), rnd)
		cancel()
		if !wait(ctx, between(rnd, 0, 3*time.Second)) {
			return
		}
	}
}

func (g *members) consume(ctx context.Context, name string, rnd *rand.Rand) {
	d := g.r.reader(name, false)
	d.group = g.name
	life, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	cl, err := g.r.client(readerOpts(
		kgo.WithContext(life),
		kgo.ConsumerGroup(g.name), kgo.ConsumeTopics(names(g.topics)...), kgo.Balancers(g.balancer), kgo.DisableAutoCommit(),
		kgo.BlockRebalanceOnPoll(), kgo.SessionTimeout(6*time.Second), kgo.HeartbeatInterval(500*time.Millisecond), kgo.RebalanceTimeout(10*time.Second),
		kgo.OnPartitionsAssigned(d.onAssigned), kgo.OnPartitionsRevoked(d.onRevoked), kgo.OnPartitionsLost(d.onRevoked),
	)...)
	if err != nil {
		g.r.fail(err)
		return
	}
	defer closeMember(cl, end)
	for ctx.Err() == nil {
		short, cancel := context.WithTimeout(ctx, time.Second)
		fs := cl.PollRecords(short, 300)
		cancel()
		d.took(fs)
		if rnd.IntN(4) > 0 {
			g.commit(ctx, cl)
		}
		cl.AllowRebalance()
	}
	g.commit(context.WithoutCancel(ctx), cl)
}

// closeWithin is how long a member gets to leave its group.
const closeWithin = 5 * time.Second

// closeMember lets a client leave its group and closes it. A client that the
// broker never lets through a rebalance waits in its close until its own context
// ends.
func closeMember(cl interface{ CloseAllowingRebalance() }, end func()) {
	late := time.AfterFunc(closeWithin, end)
	defer late.Stop()
	cl.CloseAllowingRebalance()
}

// onAssigned notes partitions of which only the group knows the position.
func (d *reader) onAssigned(_ context.Context, _ *kgo.Client, assigned map[string][]int32) {
	now := d.r.rec.now()
	d.mu.Lock()
	defer d.mu.Unlock()
	for t, ps := range assigned {
		for _, p := range ps {
			on := checker.Partition{Topic: t, Index: p}
			d.at[on], d.assigned[on] = -1, now
		}
	}
}

func (d *reader) onRevoked(_ context.Context, _ *kgo.Client, revoked map[string][]int32) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for t, ps := range revoked {
		for _, p := range ps {
			delete(d.at, checker.Partition{Topic: t, Index: p})
		}
	}
}

// commit commits what was polled and waits for the answer.
func (g *members) commit(ctx context.Context, cl *kgo.Client) {
	offsets := cl.UncommittedOffsets()
	if len(offsets) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	start := g.r.rec.now()
	codes := map[checker.Partition]int16{}
	cl.CommitOffsetsSync(ctx, offsets, func(_ *kgo.Client, _ *kmsg.OffsetCommitRequest, resp *kmsg.OffsetCommitResponse, err error) {
		if err != nil {
			return
		}
		for _, t := range resp.Topics {
			for _, p := range t.Partitions {
				codes[checker.Partition{Topic: t.Topic, Index: p.Partition}] = p.ErrorCode
			}
		}
	})
	end := g.r.rec.now()
	for t, ps := range offsets {
		for p, at := range ps {
			c := checker.Commit{Group: g.name, On: checker.Partition{Topic: t, Index: p}, Offset: at.Offset, Start: start, End: end}
			if code, answered := codes[c.On]; answered && code == 0 {
				c.Outcome = checker.OK
				g.acknowledged(c)
			}
			g.r.rec.commit(c)
		}
	}
}

func (g *members) acknowledged(c checker.Commit) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.committed[c.On] = max(g.committed[c.On], c.Offset)
}

// reached says whether the group has committed beyond every target.
func (g *members) reached(targets map[checker.Partition]int64) (bool, string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for on, target := range targets {
		if g.committed[on] <= target {
			return false, fmt.Sprintf("its members have committed offset %d of %v, and there is a record at %d", g.committed[on], on, target)
		}
	}
	return true, ""
}

// commitByHand commits offsets of a group without members, and asks for them.
// Every request is sent once, so that none can take effect behind a later one
// unless its fate is unknown.
func (r *round) commitByHand(ctx context.Context) {
	rnd := r.random(r.n, "by-hand")
	group := fmt.Sprintf("r%d-by-hand", r.n)
	err := r.admin(func(adm *kadm.Client) error {
		adm.SetTimeoutMillis(5000)
		next := int64(0)
		for wait(ctx, between(rnd, 20*time.Millisecond, 200*time.Millisecond)) {
			on := checker.Partition{Topic: r.log.name, Index: rnd.Int32N(firstPartitions)}
			if rnd.IntN(2) == 0 {
				next++
				r.commitOnce(ctx, adm, group, on, next)
			} else {
				r.fetchCommitted(ctx, adm, group, false)
			}
		}
		return nil
	}, kgo.RequestRetries(0))
	r.fail(err)
}

func (r *round) commitOnce(ctx context.Context, adm *kadm.Client, group string, on checker.Partition, offset int64) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	offsets := kadm.Offsets{}
	offsets.AddOffset(on.Topic, on.Index, offset, -1)
	c := checker.Commit{Group: group, On: on, Offset: offset, Start: r.rec.now()}
	resp, err := adm.CommitOffsets(ctx, group, offsets)
	c.End = r.rec.now()
	if err == nil {
		if at, ok := resp.Lookup(on.Topic, on.Index); ok && at.Err == nil {
			c.Outcome = checker.OK
		}
	}
	r.rec.commit(c)
}

// fetchCommitted asks for all offsets of a group, and returns whether it got them.
func (r *round) fetchCommitted(ctx context.Context, adm *kadm.Client, group string, final bool) bool {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	start := r.rec.now()
	resp, err := adm.FetchOffsetsForTopics(ctx, group, r.log.name)
	if err != nil || resp.Error() != nil {
		return false
	}
	end := r.rec.now()
	for i := range int32(firstPartitions) {
		at, ok := resp.Lookup(r.log.name, i)
		if !ok {
			continue
		}
		r.rec.fetched(checker.Fetched{Group: group, On: checker.Partition{Topic: r.log.name, Index: i}, Offset: at.At, Start: start, End: end, Final: final})
	}
	return true
}

// committedBeyond asks the broker whether a group has committed beyond every target.
func (r *round) committedBeyond(ctx context.Context, cl *kgo.Client, group string, targets map[checker.Partition]int64) (bool, string) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	resp, err := kadm.NewClient(cl).FetchOffsets(ctx, group)
	if err == nil {
		err = resp.Error()
	}
	if err != nil {
		return false, err.Error()
	}
	for on, target := range targets {
		if at, ok := resp.Lookup(on.Topic, on.Index); !ok || at.At <= target {
			return false, fmt.Sprintf("it has committed offset %d of %v, and there is a record at %d", at.At, on, target)
		}
	}
	return true, ""
}

// watchBounds asks for the bounds of all partitions, again and again.
func (r *round) watchBounds(ctx context.Context) {
	rnd := r.random(r.n, "bounds")
	r.fail(r.admin(func(adm *kadm.Client) error {
		for wait(ctx, between(rnd, 50*time.Millisecond, 500*time.Millisecond)) {
			r.askBounds(ctx, adm, checker.Bound(rnd.IntN(3)))
		}
		return nil
	}, kgo.RequestRetries(0)))
}

func (r *round) askBounds(ctx context.Context, adm *kadm.Client, what checker.Bound) bool {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	ask := adm.ListStartOffsets
	switch what {
	case checker.LogEnd:
		ask = adm.ListEndOffsets
	case checker.LogStable:
		ask = adm.ListCommittedOffsets
	}
	start := r.rec.now()
	got, err := ask(ctx, names(r.readable())...)
	end := r.rec.now()
	if err != nil {
		return false
	}
	all := true
	got.Each(func(o kadm.ListedOffset) {
		if o.Err != nil {
			all = false
			return
		}
		r.rec.bounds(checker.Bounds{What: what, On: checker.Partition{Topic: o.Topic, Index: o.Partition}, Offset: o.Offset, Start: start, End: end})
	})
	return all
}
