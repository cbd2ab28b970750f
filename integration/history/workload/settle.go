package workload

import (
	"context"
	"fmt"
	"maps"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/streamweir/streamweir/integration/history/checker"
)

// settle lets everybody come to an end, and reads everything once more.
func (r *round) settle(ctx context.Context, healed checker.Time) {
	r.writers.Wait()
	targets := map[checker.Partition]int64{}
	if r.Kinesis {
		targets = r.endStreams(ctx, healed)
	}
	if r.Kafka {
		inputs := r.topics
		if r.Transactions {
			inputs = inputs[:len(inputs)-1]
		}
		maps.Copy(targets, r.sentinels(ctx, healed, inputs...))
	}
	if r.transforms != nil {
		r.transforms.finish(ctx, healed, of(targets, r.log))
		maps.Copy(targets, r.sentinels(ctx, healed, r.out))
	}
	r.scan(ctx, healed, false, r.readable(), targets)
	complete := r.scan(ctx, healed, true, r.readable(), targets)
	r.scanStreams(ctx, healed, targets)

	consumers := map[string]func() (bool, string){}
	for _, t := range r.tails {
		consumers["consumer "+t.name] = func() (bool, string) { return t.reached(targets) }
	}
	for _, s := range r.streams {
		for _, f := range s.following {
			consumers[fmt.Sprintf("consumer %s of %s", f.name, s.name)] = func() (bool, string) { return f.reached(targets) }
		}
	}
	r.awaitAll(ctx, healed, checker.AwaitConsumer, consumers)
	groups := map[string]func() (bool, string){}
	for _, g := range r.groups {
		groups["group "+g.name] = func() (bool, string) { return g.reached(of(targets, g.topics...)) }
	}
	r.awaitAll(ctx, healed, checker.AwaitGroup, groups)
	r.lastLook(ctx, healed, complete)
	r.inspect()
}

// of are the targets in some topics.
func of(targets map[checker.Partition]int64, topics ...*topic) map[checker.Partition]int64 {
	out := map[checker.Partition]int64{}
	for on, target := range targets {
		for _, t := range topics {
			if on.Topic == t.name {
				out[on] = target
			}
		}
	}
	return out
}

// lastLook asks for everything that can be asked, until there is an answer.
func (r *round) lastLook(ctx context.Context, healed checker.Time, complete bool) {
	ctx, cancel := context.WithTimeout(ctx, r.Settle)
	defer cancel()
	r.fail(r.admin(func(adm *kadm.Client) error {
		ask := func(what string, fn func() bool) bool {
			err := retry(ctx, func() error {
				if !fn() {
					return fmt.Errorf("%s: no answer", what)
				}
				return nil
			})
			if err != nil {
				r.rec.await(checker.Await{What: checker.AwaitGroup, Subject: what, Detail: "the broker does not answer", Start: healed, End: r.rec.now()})
			}
			return err == nil
		}
		for _, what := range []checker.Bound{checker.LogStart, checker.LogStable, checker.LogEnd} {
			ask("bounds", func() bool { return r.askBounds(ctx, adm, what) })
		}
		if !r.Kafka {
			return nil
		}
		group := fmt.Sprintf("r%d-by-hand", r.n)
		ask("group "+group, func() bool { return r.fetchCommitted(ctx, adm, group, false) })
		if r.transforms != nil && ask("group "+r.transforms.group, func() bool { return r.fetchCommitted(ctx, adm, r.transforms.group, true) }) && complete {
			r.rec.drained(r.transforms.group)
		}
		return nil
	}, kgo.RequestRetries(2)))
}
