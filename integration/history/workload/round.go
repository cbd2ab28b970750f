package workload

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/streamweir/streamweir/integration/history/checker"
)

// Run is a number of rounds on one broker.
type Run struct {
	Config
	sys   *System
	net   *Network
	began time.Time
}

// NewRun makes a run on a system that has been started.
func NewRun(c Config, sys *System) *Run {
	run := &Run{Config: c, sys: sys, net: NewNetwork(), began: time.Now()}
	run.net.wrap = c.Wrap
	return run
}

// Cuts is how many connections the run has cut.
func (run *Run) Cuts() int { return run.net.Cuts() }

// topic is a topic of a round.
type topic struct {
	name       string
	partitions atomic.Int32
	checker.Topic
	configs map[string]string
}

const (
	firstPartitions = 3
	mostPartitions  = 6
	keys            = 40
	// tooLarge is the size of records that the broker has to refuse.
	tooLarge        = 100_000
	maxMessageBytes = "65536"
	// prepareWithin bounds what a round does before its load and after all
	// looks: no finding comes of how long it takes.
	prepareWithin = time.Minute
)

// round is one round under way.
type round struct {
	*Run
	n   int
	rec *recorder

	log, short, keyed, out *topic
	topics                 []*topic // those that exist
	streams                []*stream
	resharded              bool // a reshard was acknowledged; the nemesis's

	// loading ends when nothing more is to be sent, reading when nothing more
	// is to be read.
	loading, reading context.Context
	readers          sync.WaitGroup
	writers          sync.WaitGroup
	tails            []*tail
	groups           []*members
	transforms       *transforms

	trouble sync.Once
	failed  error // of the clients' own; the round cannot be judged
}

// Round makes the history of one round: load and disturbances, then rest, then a
// last look at everything. An error means that no history could be made; what
// the broker does wrong is in the history.
func (run *Run) Round(ctx context.Context, n int) (*checker.History, error) {
	r := &round{Run: run, n: n, rec: &recorder{began: run.began}}
	r.rec.h.Topics = map[string]checker.Topic{}
	if r.Kafka {
		r.defineTopics()
		if err := r.createTopics(ctx, r.topics...); err != nil {
			return nil, fmt.Errorf("round %d: %w", n, err)
		}
	}
	if r.Kinesis {
		r.defineStreams()
		if err := r.createStreams(ctx); err != nil {
			return nil, fmt.Errorf("round %d: %w", n, err)
		}
	}
	var stopLoading, stopReading context.CancelFunc
	r.loading, stopLoading = context.WithTimeout(ctx, r.Load)
	defer stopLoading()
	r.reading, stopReading = context.WithCancel(ctx)
	defer stopReading()
	defer r.readers.Wait()
	defer stopReading()

	r.startReaders()
	if r.Kafka {
		r.startGroups()
		r.startWriters()
	}
	if r.Kinesis {
		r.startFollowers()
		r.startPutters()
		r.startStreamWriters()
	}
	r.disturb(r.loading)
	healed := r.heal(ctx)
	r.settle(ctx, healed)
	stopReading()
	r.readers.Wait()
	for _, err := range []error{r.deleteTopics(ctx), r.deleteStreams(ctx)} {
		if err != nil {
			r.Log("round %d: %v", n, err)
		}
	}
	if r.failed != nil {
		return nil, fmt.Errorf("round %d: %w", n, r.failed)
	}
	return r.rec.history(), ctx.Err()
}

// fail ends the round with an error of the checker's own.
func (r *round) fail(err error) {
	if err != nil {
		r.trouble.Do(func() { r.failed = err })
	}
}

func (r *round) defineTopics() {
	name := func(what string) string { return fmt.Sprintf("r%d-%s", r.n, what) }
	r.log = &topic{name: name("log"), configs: map[string]string{"retention.ms": "-1", "max.message.bytes": maxMessageBytes}}
	r.short = &topic{name: name("short"), Topic: checker.Topic{Deletes: true}, configs: map[string]string{
		"retention.ms": "120000", "retention.bytes": "200000", "segment.ms": "3000", "segment.bytes": "1048576",
	}}
	r.topics = []*topic{r.log, r.short}
	r.keyed = &topic{name: name("keyed"), Topic: checker.Topic{Compacted: true}, configs: map[string]string{
		"cleanup.policy": "compact", "segment.ms": "2000", "segment.bytes": "1048576", "min.cleanable.dirty.ratio": "0.01",
		"delete.retention.ms": "1000", "min.compaction.lag.ms": "0", "max.compaction.lag.ms": "4000",
	}}
	if r.KeepOld {
		r.keyed.configs["min.compaction.lag.ms"] = "3600000"
		r.keyed.configs["max.compaction.lag.ms"] = "3600000"
	}
	if r.Compaction {
		r.topics = append(r.topics, r.keyed)
	}
	r.out = &topic{name: name("out"), configs: map[string]string{"retention.ms": "-1"}}
	if r.Transactions {
		r.topics = append(r.topics, r.out)
	}
	for _, t := range r.topics {
		r.rec.h.Topics[t.name] = t.Topic
		t.partitions.Store(firstPartitions)
	}
}

// client makes a client whose connections the nemesis can cut.
func (r *round) client(opts ...kgo.Opt) (*kgo.Client, error) {
	cl, err := kgo.NewClient(append([]kgo.Opt{
		kgo.SeedBrokers(r.sys.addr), kgo.Dialer(r.net.Dial), kgo.ClientID(fmt.Sprintf("history-%d", r.n)),
		kgo.MetadataMinAge(100 * time.Millisecond), kgo.MetadataMaxAge(2 * time.Second),
		kgo.RetryBackoffFn(func(int) time.Duration { return 100 * time.Millisecond }),
		kgo.DisableClientMetrics(),
	}, opts...)...)
	if err != nil {
		return nil, fmt.Errorf("client: %w", err)
	}
	return cl, nil
}

// admin runs fn with an admin client. One that asks only once keeps the times of
// its answers honest.
func (r *round) admin(fn func(*kadm.Client) error, opts ...kgo.Opt) error {
	cl, err := r.client(opts...)
	if err != nil {
		return err
	}
	defer cl.Close()
	return fn(kadm.NewClient(cl))
}

func (r *round) createTopics(ctx context.Context, topics ...*topic) error {
	ctx, cancel := context.WithTimeout(ctx, prepareWithin)
	defer cancel()
	return r.admin(func(adm *kadm.Client) error {
		for _, t := range topics {
			configs := map[string]*string{}
			for k, v := range t.configs {
				configs[k] = kadm.StringPtr(v)
			}
			if err := retry(ctx, func() error {
				_, err := adm.CreateTopic(ctx, t.partitions.Load(), 1, configs, t.name)
				if errors.Is(err, kerr.TopicAlreadyExists) {
					return nil
				}
				return err
			}); err != nil {
				return fmt.Errorf("create topic %s: %w", t.name, err)
			}
		}
		return nil
	})
}

// retry tries until it works or ctx ends.
func retry(ctx context.Context, fn func() error) error {
	for {
		err := fn()
		if err == nil || !wait(ctx, 200*time.Millisecond) {
			return err
		}
	}
}

func (r *round) deleteTopics(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, prepareWithin)
	defer cancel()
	return r.admin(func(adm *kadm.Client) error {
		for _, t := range r.topics {
			resp, err := adm.DeleteTopic(ctx, t.name)
			if err == nil {
				err = resp.Err
			}
			if err != nil {
				return fmt.Errorf("delete topic %s: %w", t.name, err)
			}
		}
		return nil
	})
}

// partitionsOf are all partitions of some topics as of now.
func partitionsOf(topics ...*topic) []checker.Partition {
	var out []checker.Partition
	for _, t := range topics {
		for i := range t.partitions.Load() {
			out = append(out, checker.Partition{Topic: t.name, Index: i})
		}
	}
	return out
}

func names(topics []*topic) []string {
	var out []string
	for _, t := range topics {
		out = append(out, t.name)
	}
	return out
}
