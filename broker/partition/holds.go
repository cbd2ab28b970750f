package partition

import (
	"context"
	"math"
	"time"
)

// A fetch announces how many bytes it returns and reads them later, while the
// response is sent. Compaction must not change those batches in between, or the
// connection has to be closed. So in a compacted topic each plan holds its range,
// for a bounded time, and compaction waits until nobody holds what it is about to
// change. A client that does not read delays it for a moment and no more; what it
// then finds is a closed connection.
const (
	// holdTime is how long a plan holds its range without being read.
	holdTime = 10 * time.Second
	// holdMax is how long a slow reader can hold it in all.
	holdMax = time.Minute
	// holdWait is how long one step of compaction waits for readers.
	holdWait = 15 * time.Second
)

// hold is the range of one plan. The partition's lock guards it.
type hold struct {
	from, to int64 // inclusive
	until    time.Time
	latest   time.Time
}

// change is a step of compaction that is on its way: what it is about may be
// neither planned nor read before it has ended.
type change struct {
	from, to int64 // inclusive
	done     chan struct{}
}

// holds of a partition; its lock guards them.
type holds struct {
	all   map[*hold]struct{}
	freed chan struct{} // has a token when a hold ended; nil while nobody waits
	now   *change
}

func (h *holds) add(from, to int64) *hold {
	now := time.Now()
	x := &hold{from: from, to: to, until: now.Add(holdTime), latest: now.Add(holdMax)}
	if h.all == nil {
		h.all = map[*hold]struct{}{}
	}
	// A connection may end without a word to its plans.
	if n := len(h.all); n >= 64 && n&(n-1) == 0 {
		h.expire(now)
	}
	h.all[x] = struct{}{}
	return x
}

func (h *holds) expire(now time.Time) {
	for x := range h.all {
		if now.After(x.until) {
			delete(h.all, x)
		}
	}
}

func (h *holds) release(x *hold) {
	delete(h.all, x)
	if h.freed != nil {
		select {
		case h.freed <- struct{}{}:
		default:
		}
	}
}

// inTheWay returns when the last hold of any of from..to ends by itself.
func (h *holds) inTheWay(from, to int64) (until time.Time, any bool) {
	h.expire(time.Now())
	for x := range h.all {
		if x.from <= to && x.to >= from {
			any = true
			if x.until.After(until) {
				until = x.until
			}
		}
	}
	return until, any
}

// beginChange waits until nobody holds any of from..to, but no longer than wait,
// and keeps others from planning it until endChange. It returns how long it has
// waited; false is the end of ctx.
func (p *Partition) beginChange(ctx context.Context, from, to int64, wait time.Duration) (waited time.Duration, ok bool) {
	began := time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.holds.freed = make(chan struct{}, 1)
	defer func() { p.holds.freed = nil }()
	for {
		until, any := p.holds.inTheWay(from, to)
		if waited = time.Since(began); !any || waited >= wait {
			break
		}
		freed := p.holds.freed
		p.mu.Unlock()
		t := time.NewTimer(min(time.Until(until)+time.Millisecond, wait-waited))
		select {
		case <-ctx.Done():
		case <-freed:
		case <-t.C:
		}
		t.Stop()
		p.mu.Lock()
		if ctx.Err() != nil {
			return waited, false
		}
	}
	p.holds.now = &change{from: from, to: to, done: make(chan struct{})}
	// What is in memory is no more what is in the store.
	p.forgetUpTo(to)
	return waited, true
}

func (p *Partition) endChange() {
	p.mu.Lock()
	defer p.mu.Unlock()
	close(p.holds.now.done)
	p.holds.now = nil
}

// forgetUpTo lets go of the batches in memory up to offset. The caller holds the
// lock.
func (p *Partition) forgetUpTo(offset int64) {
	for p.tails.n > 0 && p.tails.at(0).info.BaseOffset <= offset {
		p.m.cache.used.Add(-p.tails.pop().drop())
		p.forgotten++
	}
}

// planHold is the hold of a plan that is being made.
type planHold struct {
	hold  *hold           // nil where nothing is compacted
	limit int64           // the plan must end below it
	cut   <-chan struct{} // closed when there is no such limit any more; nil where there is none
}

// beginHold holds all from offset on while a plan is made. It waits for a step of
// compaction that is about to change the batch there.
func (p *Partition) beginHold(offset int64) planHold {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := planHold{limit: math.MaxInt64}
	if p.holds.now == nil && !p.topic.Load().Settings.CleanupCompact {
		return out
	}
	for c := p.holds.now; c != nil && c.from <= offset && offset <= c.to; c = p.holds.now {
		p.mu.Unlock()
		<-c.done
		p.mu.Lock()
	}
	if c := p.holds.now; c != nil && c.from > offset {
		out.limit, out.cut = c.from, c.done
	}
	out.hold = p.holds.add(offset, math.MaxInt64)
	return out
}

// settleHold gives the plan its hold, of what it needs. True means that the plan
// is empty because of the hold's limit.
func (p *Partition) settleHold(plan *Plan, h planHold) (cut bool) {
	if h.hold == nil {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if plan.Bytes == 0 {
		p.holds.release(h.hold)
		return h.cut != nil && plan.Next < plan.Offsets.High
	}
	h.hold.from, h.hold.to = plan.Base, plan.Next-1
	plan.hold = h.hold
	return false
}

// Release says that the plan will not be read, or not any further.
func (plan *Plan) Release() {
	if plan.hold == nil {
		return
	}
	p := plan.Partition
	p.mu.Lock()
	defer p.mu.Unlock()
	p.holds.release(plan.hold)
	plan.hold = nil
}

// readUpTo says that what lies below offset was read, or all of it.
func (plan *Plan) readUpTo(offset int64, all bool) {
	if plan.hold == nil {
		return
	}
	if all {
		plan.Release()
		return
	}
	p, h := plan.Partition, plan.hold
	p.mu.Lock()
	defer p.mu.Unlock()
	h.from = offset
	h.until = time.Now().Add(holdTime)
	if h.until.After(h.latest) {
		h.until = h.latest
	}
}
