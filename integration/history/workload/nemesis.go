package workload

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/streamweir/streamweir/integration/history/checker"
)

// disturb does what the nemesis does, one thing after the other, until ctx ends.
// It owns the broker's process meanwhile.
func (r *round) disturb(ctx context.Context) {
	rnd := r.random(r.n, "nemesis")
	can := slices.DeleteFunc(slices.Clone(r.Disturb), func(d Disturbance) bool {
		return !r.sys.Ours() && slices.Contains(needsProcess, d) ||
			!r.Kafka && slices.Contains(needsTopics, d) || !r.Kinesis && slices.Contains(needsStreams, d)
	})
	var deck []int // each comes once before any comes again
	for ctx.Err() == nil {
		pause := between(rnd, r.Every/2, r.Every*3/2)
		if !wait(ctx, pause) {
			return
		}
		if r.sys.Ended() {
			r.crashed(ctx)
			continue
		}
		if len(can) == 0 {
			continue
		}
		if len(deck) == 0 {
			deck = rnd.Perm(len(can))
		}
		r.do(ctx, rnd, can[deck[0]])
		deck = deck[1:]
	}
}

// do does one thing, to its end even when ctx ends meanwhile.
func (r *round) do(ctx context.Context, rnd *rand.Rand, what Disturbance) {
	ctx = context.WithoutCancel(ctx)
	e := checker.Event{What: string(what), Start: r.rec.now()}
	var err error
	switch what {
	case Kill:
		r.inspect()
		r.sys.Kill()
		wait(ctx, between(rnd, 0, 1500*time.Millisecond))
		err = r.start(ctx)
	case Restart:
		if err = r.sys.Stop(); err == nil {
			r.inspect()
			err = r.start(ctx)
		}
	case Pause:
		if err = r.sys.Pause(); err == nil {
			wait(ctx, between(rnd, 300*time.Millisecond, 8*time.Second))
			err = r.sys.Resume()
		}
	case Cut:
		r.net.Cut()
	case Refuse:
		r.net.Refuse(true)
		r.net.Cut()
		wait(ctx, between(rnd, 200*time.Millisecond, 5*time.Second))
		r.net.Refuse(false)
	case Deaf:
		r.net.Deaf(true)
		wait(ctx, between(rnd, 50*time.Millisecond, 2*time.Second))
		r.net.Cut()
		r.net.Deaf(false)
	case Grow:
		e.What, err = r.grow(ctx, rnd)
	case Trim:
		e.What, err = r.trim(ctx, rnd)
	case Split, Merge, Count, Retain:
		e.What, err = r.reshard(ctx, rnd, what)
	}
	e.End = r.rec.now()
	r.rec.event(e)
	if err != nil {
		r.rec.event(checker.Event{What: fmt.Sprintf("after %s: %v", what, err), Crash: true, Start: e.Start, End: e.End})
	}
}

func (r *round) start(ctx context.Context) error { return r.sys.Start(ctx) }

// inspect looks for races and panics in what the broker has logged.
func (r *round) inspect() {
	if trouble := r.sys.Trouble(); trouble != "" {
		now := r.rec.now()
		r.rec.event(checker.Event{What: "the broker's log says: " + trouble, Crash: true, Start: now, End: now})
	}
}

// crashed notes a broker that has ended by itself, and starts it again.
func (r *round) crashed(ctx context.Context) {
	now := r.rec.now()
	r.rec.event(checker.Event{What: "the broker ended by itself; its last words: " + r.sys.LogTail(), Crash: true, Start: now, End: now})
	if err := r.start(context.WithoutCancel(ctx)); err != nil {
		r.rec.event(checker.Event{What: err.Error(), Crash: true, Start: now, End: r.rec.now()})
	}
}

// grow adds a partition to a topic. Writers use it once it is known to be there.
func (r *round) grow(ctx context.Context, rnd *rand.Rand) (string, error) {
	t := []*topic{r.log, r.short}[rnd.IntN(2)]
	has := t.partitions.Load()
	if has >= mostPartitions {
		return "grow: " + t.name + " has all its partitions", nil
	}
	ctx, cancel := context.WithTimeout(ctx, r.Settle)
	defer cancel()
	err := r.admin(func(adm *kadm.Client) error {
		return retry(ctx, func() error {
			resp, err := adm.UpdatePartitions(ctx, int(has)+1, t.name)
			if err == nil {
				err = resp.Error()
			}
			if errors.Is(err, kerr.InvalidPartitions) { // an earlier attempt did it
				return nil
			}
			return err
		})
	})
	if err == nil {
		t.partitions.Store(has + 1)
	}
	return fmt.Sprintf("grow: %s has %d partitions", t.name, t.partitions.Load()), err
}

// trim deletes the records of a partition before some offset.
func (r *round) trim(ctx context.Context, rnd *rand.Rand) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	p := rnd.Int32N(r.short.partitions.Load())
	what := fmt.Sprintf("trim: %s/%d", r.short.name, p)
	// An error tells nothing: the broker may have done it, and the log's start says.
	_ = r.admin(func(adm *kadm.Client) error {
		start, err := adm.ListStartOffsets(ctx, r.short.name)
		if err != nil {
			return err
		}
		end, err := adm.ListEndOffsets(ctx, r.short.name)
		if err != nil {
			return err
		}
		from, _ := start.Lookup(r.short.name, p)
		to, _ := end.Lookup(r.short.name, p)
		if to.Offset <= from.Offset {
			return nil
		}
		at := from.Offset + rnd.Int64N(to.Offset-from.Offset)
		offsets := kadm.Offsets{}
		offsets.AddOffset(r.short.name, p, at, -1)
		what = fmt.Sprintf("trim: %s/%d before %d", r.short.name, p, at)
		_, err = adm.DeleteRecords(ctx, offsets)
		return err
	}, kgo.RequestRetries(2))
	return what, nil
}

// heal undoes every disturbance, and returns when that was.
func (r *round) heal(ctx context.Context) checker.Time {
	r.net.Heal()
	if r.sys.Ended() {
		r.crashed(ctx)
	}
	return r.rec.now()
}
