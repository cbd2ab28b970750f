package workload

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/streamweir/streamweir/integration/history/checker"
)

// reader follows a client's positions and writes its polls down.
type reader struct {
	r         *round
	name      string
	committed bool
	group     string

	mu       sync.Mutex
	at       map[checker.Partition]int64        // position; -1 while only the group knows it
	assigned map[checker.Partition]checker.Time // by a group
	since    checker.Time                       // when the last poll returned: what comes now was fetched later
	fresh    int64                              // position of a partition that is seen for the first time
}

func (r *round) reader(name string, committed bool) *reader {
	return &reader{r: r, name: name, committed: committed, at: map[checker.Partition]int64{}, assigned: map[checker.Partition]checker.Time{}, since: r.rec.now()}
}

func isolation(committed bool) kgo.Opt {
	if committed {
		return kgo.FetchIsolationLevel(kgo.ReadCommitted())
	}
	return kgo.FetchIsolationLevel(kgo.ReadUncommitted())
}

// readerOpts are what all consumers have in common: small waits, and from the
// start where there is no other place.
func readerOpts(more ...kgo.Opt) []kgo.Opt {
	return append([]kgo.Opt{
		kgo.FetchMaxWait(250 * time.Millisecond), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
	}, more...)
}

// took writes down what a poll brought, and returns how many records that were.
func (d *reader) took(fs kgo.Fetches) int {
	now := d.r.rec.now()
	d.mu.Lock()
	defer d.mu.Unlock()
	n := 0
	fs.EachPartition(func(p kgo.FetchTopicPartition) {
		if len(p.Records) == 0 {
			return
		}
		n += len(p.Records)
		on := checker.Partition{Topic: p.Topic, Index: p.Partition}
		from, known := d.at[on]
		if !known {
			from = d.fresh
		}
		poll := checker.Poll{
			Consumer: d.name, Committed: d.committed, On: on, From: from, Group: d.group, Assigned: d.assigned[on],
			Start: d.since, End: now, Records: make([]checker.Record, 0, len(p.Records)),
		}
		for _, rec := range p.Records {
			id, note := open(rec)
			if note != "" {
				if poll.Notes == nil {
					poll.Notes = map[int64]string{}
				}
				poll.Notes[rec.Offset] = note
			}
			poll.Records = append(poll.Records, checker.Record{Offset: rec.Offset, ID: id})
		}
		poll.To = poll.Records[len(poll.Records)-1].Offset + 1
		d.at[on] = poll.To
		d.r.rec.poll(poll)
	})
	d.since = now
	return n
}

// reached says whether the reader is behind every target, and if not, where it is.
func (d *reader) reached(targets map[checker.Partition]int64) (bool, string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for on, target := range targets {
		if d.at[on] <= target {
			return false, fmt.Sprintf("its position in %v is %d, and there is a record at %d", on, d.at[on], target)
		}
	}
	return true, ""
}

// tail is a consumer that reads as long as the round lasts.
type tail struct {
	*reader
	topics []*topic
}

func (r *round) startReaders() {
	for _, committed := range []bool{false, true} {
		t := &tail{r.reader("tail"+suffix(committed), committed), r.readable()}
		r.tails = append(r.tails, t)
		r.readers.Go(func() { t.run(r.reading) })
	}
	r.readers.Go(func() { r.reread(r.reading) })
	r.readers.Go(func() { r.watchBounds(r.reading) })
}

func suffix(committed bool) string {
	if committed {
		return "-committed"
	}
	return ""
}

func (t *tail) run(ctx context.Context) {
	cl, err := t.r.client(readerOpts(kgo.ConsumeTopics(names(t.topics)...), isolation(t.committed))...)
	if err != nil {
		t.r.fail(err)
		return
	}
	defer closeReader(cl)
	for ctx.Err() == nil {
		t.took(cl.PollFetches(ctx))
	}
}

// closeReader closes a client that reads topics. It drops them first: a client
// that finds new partitions of them while it closes begins to fetch again
// (franz-go up to v1.22.3), which races with the end of its fetch session.
func closeReader(cl *kgo.Client) {
	cl.PurgeTopicsFromConsuming(cl.GetConsumeTopics()...)
	cl.Close()
}

// reread reads everything from the start, again and again, with a new client
// each time, as long as there is load.
func (r *round) reread(ctx context.Context) {
	rnd := r.random(r.n, "reread")
	for i := 1; r.loading.Err() == nil && ctx.Err() == nil; i++ {
		committed := rnd.IntN(2) == 0
		d := r.reader(fmt.Sprintf("reread-%d%s", i, suffix(committed)), committed)
		most := between(rnd, time.Second, 6*time.Second)
		r.readFor(ctx, d, rnd, most)
		if !wait(ctx, between(rnd, 100*time.Millisecond, 2*time.Second)) {
			return
		}
	}
}

// readFor reads from the start until nothing has come for a while, or for as
// long as most.
func (r *round) readFor(ctx context.Context, d *reader, rnd *rand.Rand, most time.Duration) {
	cl, err := r.client(readerOpts(kgo.ConsumeTopics(names(r.readable())...), isolation(d.committed), kgo.FetchMaxPartitionBytes(int32(20_000+rnd.IntN(200_000))))...)
	if err != nil {
		r.fail(err)
		return
	}
	defer closeReader(cl)
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	for ctx.Err() == nil {
		quiet, stop := context.WithTimeout(ctx, 2*time.Second)
		n := d.took(cl.PollFetches(quiet))
		stop()
		if n == 0 {
			return
		}
	}
}

// scan reads everything up to the targets with a new client, at the end.
func (r *round) scan(ctx context.Context, since checker.Time, committed bool, topics []*topic, targets map[checker.Partition]int64) bool {
	d := r.reader("final"+suffix(committed), committed)
	what := checker.AwaitConsumer
	if committed {
		what = checker.AwaitStable
	}
	cl, err := r.client(readerOpts(kgo.ConsumeTopics(names(topics)...), isolation(committed))...)
	if err != nil {
		r.fail(err)
		return false
	}
	defer closeReader(cl)
	ctx, cancel := context.WithTimeout(ctx, r.Settle)
	defer cancel()
	done, detail := d.reached(targets)
	for !done && ctx.Err() == nil {
		d.took(cl.PollFetches(ctx))
		done, detail = d.reached(targets)
	}
	r.rec.await(checker.Await{What: what, Subject: fmt.Sprintf("consumer %s of %v", d.name, names(topics)), Reached: done, Detail: detail, Start: since, End: r.rec.now()})
	return done
}

// awaitAll waits until all of a number of things are so, and writes down which
// were not in time.
func (r *round) awaitAll(ctx context.Context, since checker.Time, what string, things map[string]func() (bool, string)) {
	ctx, cancel := context.WithTimeout(ctx, r.Settle)
	defer cancel()
	for subject, reached := range things {
		ok, detail := reached()
		for !ok && wait(ctx, 50*time.Millisecond) {
			ok, detail = reached()
		}
		r.rec.await(checker.Await{What: what, Subject: subject, Reached: ok, Detail: detail, Start: since, End: r.rec.now()})
	}
}
