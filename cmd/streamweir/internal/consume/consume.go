// Package consume reads topics from a place to a place and writes the records
// out: partitions one by one, or as a member of a consumer group.
package consume

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/streamweir/streamweir/cmd/streamweir/internal/client"
	"github.com/streamweir/streamweir/cmd/streamweir/internal/output"
	"github.com/streamweir/streamweir/cmd/streamweir/internal/position"
	"github.com/streamweir/streamweir/cmd/streamweir/internal/topics"
)

const (
	// writeBuffer is how much is gathered before it is written out. It is
	// also written out whenever nothing more is at hand.
	writeBuffer = 256 << 10

	// fetchMaxBytes and fetchMaxPartitionBytes bound what one fetch brings.
	fetchMaxBytes          = 8 << 20
	fetchMaxPartitionBytes = 1 << 20
	// concurrentFetches bounds the fetches buffered in memory.
	concurrentFetches = 2

	// discoverEvery is how often a follower looks for new partitions and topics.
	discoverEvery = 5 * time.Second

	// quietLimit is how long nothing may arrive before a reader that wants
	// to stop at an end looks whether anything is left.
	quietLimit = time.Second

	// emptyLimit is how long a member of a group may be without partitions
	// before it takes it that there are none for it.
	emptyLimit = 10 * time.Second

	// followLimit is how long a follower waits in one poll; it then polls
	// again.
	followLimit = time.Hour
)

// Job is what to read.
type Job struct {
	Topics     []string // names, or regular expressions if Regex is set
	Regex      bool
	Partitions []int32 // nil: all
	From       position.Position
	To         *position.Position // read up to here, and end
	ExitAtEnd  bool               // end at what is the end when we start
	Count      int64              // end after so many records; 0: no limit
	Group      string             // "": no group
	Stable     bool               // read committed
	// Append writes one record.
	Append func([]byte, *kgo.Record) []byte
	// Note tells the user something that is not an error.
	Note func(string)
}

// bounded says whether the job ends by itself at an offset.
func (j *Job) bounded() bool { return j.ExitAtEnd || j.To != nil }

// options are those that every way of reading shares.
func (j *Job) options() []kgo.Opt {
	level := kgo.ReadUncommitted()
	if j.Stable {
		level = kgo.ReadCommitted()
	}
	return []kgo.Opt{
		kgo.FetchIsolationLevel(level),
		kgo.FetchMaxBytes(fetchMaxBytes),
		kgo.FetchMaxPartitionBytes(fetchMaxPartitionBytes),
		kgo.MaxConcurrentFetches(concurrentFetches),
		// Markers of transactions have offsets too: without them a
		// partition that ends in one would never be seen to end.
		kgo.KeepControlRecords(),
	}
}

// run is a job at work.
type run struct {
	job     *Job
	cl      *client.Cluster
	admin   *client.Cluster // the same, or another connection for a group
	out     *bufio.Writer
	line    []byte
	written int64
	stops   *stops
	watch   *client.Watcher
	// emptySince is when we were first seen in the group without partitions.
	emptySince time.Time
	// unmarked are the last records written of each partition that the group
	// has not been told of yet: only what has left the buffer may be committed.
	unmarked map[position.Partition]*kgo.Record
}

// Run reads until the job's end, until ctx ends, or until nobody reads the
// output any more; all three are a success.
func Run(ctx context.Context, cfg client.Config, job *Job, w io.Writer) error {
	r := &run{job: job, out: bufio.NewWriterSize(w, writeBuffer), stops: newStops(), watch: &client.Watcher{}, unmarked: make(map[position.Partition]*kgo.Record)}
	var err error
	if job.Group != "" {
		err = r.group(ctx, cfg)
	} else {
		err = r.direct(ctx, cfg)
	}
	if flushErr := r.out.Flush(); err == nil {
		err = flushErr
	}
	if isBrokenPipe(err) || errors.Is(err, context.Canceled) && ctx.Err() != nil {
		return nil
	}
	return err
}

func isBrokenPipe(err error) bool {
	return errors.Is(err, syscall.EPIPE) || errors.Is(err, io.ErrClosedPipe) || errors.Is(err, os.ErrClosed)
}

// direct reads partitions without a group.
func (r *run) direct(ctx context.Context, cfg client.Config) error {
	cl, err := client.Open(ctx, cfg, append(r.job.options(), kgo.WithHooks(r.watch))...)
	if err != nil {
		return err
	}
	r.watch.Say(r.job.Note)
	defer cl.Close()
	r.cl, r.admin = cl, cl
	names, err := r.names(ctx)
	if err != nil {
		return err
	}
	ps, err := r.selected(ctx, names)
	if err != nil {
		return err
	}
	if err := r.start(ctx, ps); err != nil {
		return err
	}
	if r.stops.done() {
		return nil
	}
	if !r.job.bounded() && r.job.Partitions == nil {
		ctx, stop := context.WithCancel(ctx)
		finished := make(chan struct{})
		go func() {
			defer close(finished)
			r.discover(ctx, names, ps)
		}()
		defer func() {
			stop()
			<-finished
		}()
	}
	return r.poll(ctx)
}

// names resolves what the user named to topics.
func (r *run) names(ctx context.Context) ([]string, error) {
	if !r.job.Regex {
		return r.job.Topics, nil
	}
	names, err := r.matching(ctx)
	if err != nil {
		return nil, err
	}
	if len(names) == 0 {
		if r.job.bounded() {
			return nil, fmt.Errorf("no topic matches %s", output.Quoted(r.job.Topics))
		}
		r.job.Note(fmt.Sprintf("no topic matches %s yet: waiting for one", output.Quoted(r.job.Topics)))
	}
	return names, nil
}

// matching lists the topics that one of the patterns matches as a whole.
func (r *run) matching(ctx context.Context) ([]string, error) {
	var patterns []*regexp.Regexp
	for _, text := range r.job.Topics {
		p, err := regexp.Compile("^(?:" + text + ")$")
		if err != nil {
			return nil, fmt.Errorf("topic pattern %q: %w", text, err)
		}
		patterns = append(patterns, p)
	}
	all, err := r.admin.TopicNames(ctx, false)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(all, func(name string) bool {
		return !slices.ContainsFunc(patterns, func(p *regexp.Regexp) bool { return p.MatchString(name) })
	}), nil
}

func (r *run) selected(ctx context.Context, names []string) ([]position.Partition, error) {
	if len(names) == 0 {
		return nil, nil
	}
	selection := make([]position.Selection, 0, len(names))
	for _, name := range names {
		selection = append(selection, position.Selection{Topic: name, Partitions: r.job.Partitions})
	}
	return topics.Select(ctx, r.admin, selection)
}

// start finds where to begin and where to end, and begins.
func (r *run) start(ctx context.Context, ps []position.Partition) error {
	finder := position.Finder{Cluster: r.admin, Stable: r.job.Stable}
	bounds, err := finder.Bounds(ctx, ps)
	if err != nil {
		return err
	}
	from, err := finder.Offsets(ctx, r.job.From, bounds)
	if err != nil {
		return err
	}
	stops, err := r.ends(ctx, finder, bounds)
	if err != nil {
		return err
	}
	begin := make(map[string]map[int32]kgo.Offset)
	for _, p := range ps {
		at := r.inside(p, from[p], bounds[p])
		if end, ok := stops[p]; ok {
			if at >= end {
				continue // nothing to read here
			}
			r.stops.set(p, at, end)
		}
		add(begin, p, kgo.NewOffset().At(at))
	}
	if r.job.bounded() {
		r.stops.ready()
	}
	r.cl.AddConsumePartitions(begin)
	return nil
}

func add(m map[string]map[int32]kgo.Offset, p position.Partition, at kgo.Offset) {
	if m[p.Topic] == nil {
		m[p.Topic] = make(map[int32]kgo.Offset)
	}
	m[p.Topic][p.Partition] = at
}

// inside moves an offset that the log does not hold to the nearest that it
// does, and says so; the client would jump elsewhere without a word.
func (r *run) inside(p position.Partition, at int64, b position.Bounds) int64 {
	got := b.Clamp(at)
	switch {
	case got > at:
		r.job.Note(fmt.Sprintf("%s begins at offset %d, not at %d", p, got, at))
	case got < at:
		r.job.Note(fmt.Sprintf("%s ends at offset %d, before %d", p, got, at))
	}
	return got
}

// ends returns the offsets before which to stop. With --to and an absolute
// offset beyond the end, a partition is followed until it gets there, unless
// the user also wants to stop at the end.
func (r *run) ends(ctx context.Context, finder position.Finder, bounds map[position.Partition]position.Bounds) (map[position.Partition]int64, error) {
	if !r.job.bounded() {
		return nil, nil
	}
	stops := make(map[position.Partition]int64, len(bounds))
	if r.job.To != nil {
		to, err := finder.Offsets(ctx, *r.job.To, bounds)
		if err != nil {
			return nil, err
		}
		stops = to
	}
	if r.job.ExitAtEnd {
		for p, b := range bounds {
			if end, ok := stops[p]; !ok || end > b.End {
				stops[p] = b.End
			}
		}
	}
	return stops, nil
}

// discover adds partitions and topics that appear while we follow. They are
// read from their first record: all of them are newer than our start.
func (r *run) discover(ctx context.Context, names []string, known []position.Partition) {
	seen := make(map[position.Partition]bool, len(known))
	for _, p := range known {
		seen[p] = true
	}
	tick := time.NewTicker(discoverEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		if r.job.Regex {
			found, err := r.matching(ctx)
			if err != nil {
				continue // the poll loop reports a lost broker
			}
			names = found
		}
		for _, name := range names {
			ps, err := r.selected(ctx, []string{name})
			if err != nil {
				continue
			}
			fresh := make(map[string]map[int32]kgo.Offset)
			for _, p := range ps {
				if !seen[p] {
					seen[p] = true
					add(fresh, p, kgo.NewOffset().AtStart())
				}
			}
			if len(fresh) > 0 {
				r.cl.AddConsumePartitions(fresh)
			}
		}
	}
}

// errEnough ends the poll loop: everything that was asked for is written.
var errEnough = errors.New("enough")

// poll writes records until the job's end.
func (r *run) poll(ctx context.Context) error {
	for {
		fetches, err := r.next(ctx)
		if err == nil {
			err = r.write(fetches)
		}
		// Flush when nothing more is at hand, so that a follower sees
		// each record at once and a bulk reader pays for few writes.
		// A group flushes after every poll: a rebalance may follow.
		if err != nil || r.job.Group != "" || r.cl.BufferedFetchRecords() == 0 {
			if flushErr := r.flush(); flushErr != nil {
				return flushErr
			}
		}
		switch {
		case errors.Is(err, errEnough):
			return nil
		case err != nil:
			return err
		case r.stops.done():
			return nil
		}
		r.cl.AllowRebalance()
	}
}

// flush writes out what is buffered and marks it for the group's next commit.
func (r *run) flush() error {
	if err := r.out.Flush(); err != nil {
		return err
	}
	for p, rec := range r.unmarked {
		r.cl.MarkCommitRecords(rec)
		delete(r.unmarked, p)
	}
	return nil
}

// next waits for records. A job with an end also ends when nothing arrives any
// more although the broker answers.
func (r *run) next(ctx context.Context) (kgo.Fetches, error) {
	for {
		limit := followLimit
		if r.job.bounded() {
			limit = quietLimit
		}
		wait, cancel := context.WithTimeout(ctx, limit)
		release := context.AfterFunc(r.stops.reached, cancel)
		fetches := r.cl.PollFetches(wait)
		waited := wait.Err()
		release()
		cancel()
		switch {
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case waited == nil || !fetches.Empty():
			return fetches, r.fetchError(fetches)
		case r.stops.done():
			return nil, errEnough
		}
		if !r.job.bounded() {
			continue
		}
		quiet, err := r.nothingLeft(ctx)
		if err != nil {
			return nil, err
		}
		if quiet {
			return nil, errEnough
		}
		r.cl.AllowRebalance()
	}
}

// nothingLeft is asked when nothing has arrived for a while. It is true where
// the logs reach every open stop, and hold no record before it that is not
// written.
func (r *run) nothingLeft(ctx context.Context) (bool, error) {
	if r.job.Group != "" && !r.stops.assigned() {
		return r.noneForUs(), nil
	}
	open := r.stops.open()
	ps := make([]position.Partition, 0, len(open))
	for p := range open {
		ps = append(ps, p)
	}
	bounds, err := position.Finder{Cluster: r.admin, Stable: r.job.Stable}.Bounds(ctx, ps)
	if err != nil {
		return false, err
	}
	for p, s := range open {
		if s.before > bounds[p].End {
			return false, nil
		}
		left, err := prober{cl: r.admin, stable: r.job.Stable}.left(ctx, p, s)
		if left || err != nil {
			return false, err
		}
	}
	return true, nil
}

// noneForUs is true when the group has been joined and has given us nothing
// for some time: it has more members than partitions.
func (r *run) noneForUs() bool {
	if _, generation := r.cl.GroupMetadata(); generation < 0 {
		r.emptySince = time.Time{}
		return false
	}
	if r.emptySince.IsZero() {
		r.emptySince = time.Now()
	}
	if time.Since(r.emptySince) < emptyLimit {
		return false
	}
	r.job.Note(fmt.Sprintf("group %q has more members than partitions: there is nothing for this one", r.job.Group))
	return true
}

func (r *run) fetchError(fetches kgo.Fetches) error {
	for _, e := range fetches.Errors() {
		var lost *kgo.ErrDataLoss
		var session *kgo.ErrGroupSession
		switch {
		case errors.Is(e.Err, context.Canceled), errors.Is(e.Err, context.DeadlineExceeded):
			continue
		case errors.As(e.Err, &lost):
			r.job.Note(e.Err.Error())
			continue
		case errors.As(e.Err, &session) && joinsAgain(session.Err):
			continue
		case e.Topic == "":
			return r.cl.Explain(e.Err)
		case errors.Is(e.Err, kerr.UnknownTopicOrPartition), errors.Is(e.Err, kerr.UnknownTopicID):
			return fmt.Errorf("topic %q is gone: %w", e.Topic, client.Plain(e.Err))
		}
		return fmt.Errorf("read %s/%d: %w", e.Topic, e.Partition, r.cl.Explain(e.Err))
	}
	return nil
}

// joinsAgain says whether a member that its group has lost for this reason gets back by
// joining again, as the client does by itself: everything but a refusal.
func joinsAgain(err error) bool {
	var code *kerr.Error
	if !errors.As(err, &code) {
		return true // of the network: the watcher tells the user
	}
	return code.Retriable || code == kerr.UnknownMemberID || code == kerr.IllegalGeneration
}

// write writes records, each once, up to the job's end.
func (r *run) write(fetches kgo.Fetches) error {
	var err error
	fetches.EachPartition(func(fp kgo.FetchTopicPartition) {
		p := position.Partition{Topic: fp.Topic, Partition: fp.Partition}
		for _, rec := range fp.Records {
			if err != nil {
				return
			}
			if !r.stops.allows(p, rec.Offset) {
				r.leave(p)
				return
			}
			if err = r.writeRecord(p, rec); err == nil && r.stops.passed(p, rec.Offset) {
				r.leave(p)
				return
			}
		}
	})
	return err
}

// leave stops fetching a partition of which everything is read.
func (r *run) leave(p position.Partition) {
	r.cl.PauseFetchPartitions(map[string][]int32{p.Topic: {p.Partition}})
}

// writeRecord writes one record, or passes over a transaction's marker.
func (r *run) writeRecord(p position.Partition, rec *kgo.Record) error {
	control := rec.Attrs.IsControl()
	if !control {
		r.line = r.job.Append(r.line[:0], rec)
		if _, err := r.out.Write(r.line); err != nil {
			return err
		}
		r.written++
	}
	if r.job.Group != "" {
		r.unmarked[p] = rec
	}
	if !control && r.job.Count > 0 && r.written >= r.job.Count {
		return errEnough
	}
	return nil
}
