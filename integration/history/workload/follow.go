package workload

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"github.com/streamweir/streamweir/integration/history/checker"
)

// follower is a consumer of a stream that reads its shards as KCL does: a child
// when its parents have ended.
type follower struct {
	r    *round
	s    *stream
	name string
	api  *kinesis.Client
	// prepare, where it is not nil, is called until it says true, before anything
	// is read.
	prepare func(ctx context.Context) bool
	// read reads a shard to its end, or until ctx ends.
	read func(ctx context.Context, p *position)

	mu        sync.Mutex
	positions map[int32]*position
	changed   chan struct{} // has one when a shard has ended
}

// position is where a follower is in one shard.
type position struct {
	f     *follower
	shard int32
	rand  *rand.Rand
	told  checker.Time // when an empty answer was last written down

	// Guarded by the follower's mu.
	next  int64            // the offset that comes next
	after checker.Sequence // what was read last, if it was anything
	shown bool             // and that was a record
	ended bool
}

func (r *round) follower(name string, s *stream) *follower {
	return &follower{r: r, s: s, name: name, positions: map[int32]*position{}, changed: make(chan struct{}, 1)}
}

// startFollowers starts the consumers of streams.
func (r *round) startFollowers() {
	for i, s := range r.streams {
		f := r.follower(fmt.Sprintf("kinesis-%d", i+1), s)
		f.read = f.poll
		fan := r.fanout(fmt.Sprintf("fan-out-%d", i+1), s)
		s.following = append(s.following, f, fan)
		r.readers.Go(func() { f.run(r.reading, i%2 == 1) })
		r.readers.Go(func() { fan.run(r.reading, i%2 == 0) })
	}
	r.readers.Go(func() { r.refollow(r.reading) })
	r.readers.Go(func() { r.readLatest(r.reading) })
	r.readers.Go(func() { r.watchStreams(r.reading) })
}

// run reads until ctx ends.
func (f *follower) run(ctx context.Context, h2 bool) {
	api, done := f.r.api(h2)
	defer done()
	f.api = api
	var reading sync.WaitGroup
	defer reading.Wait()
	rnd := f.r.random(f.r.n, f.name)
	for f.prepare != nil && !f.prepare(ctx) {
		if !wait(ctx, 200*time.Millisecond) {
			return
		}
	}
	for ctx.Err() == nil {
		if f.r.list(ctx, api, f.s, false) == nil {
			for _, p := range f.begin(rnd) {
				reading.Go(func() {
					f.read(ctx, p)
					select {
					case f.changed <- struct{}{}:
					default:
					}
				})
			}
		}
		select {
		case <-ctx.Done():
		case <-f.changed:
		case <-time.After(time.Second):
		}
	}
}

// begin returns the shards that are to be read now.
func (f *follower) begin(rnd *rand.Rand) (out []*position) {
	f.mu.Lock()
	defer f.mu.Unlock()
	ended := func(i int32) bool { return i < 0 || f.positions[i] != nil && f.positions[i].ended }
	for _, shard := range f.s.listed() {
		if f.positions[shard.Index] == nil && ended(shard.Parent) && ended(shard.Adjacent) {
			p := &position{f: f, shard: shard.Index, rand: rand.New(rand.NewPCG(rnd.Uint64(), rnd.Uint64()))}
			f.positions[shard.Index] = p
			out = append(out, p)
		}
	}
	return out
}

// reached says whether the consumer is behind every target, and has read every
// closed shard to its end.
func (f *follower) reached(targets map[checker.Partition]int64) (bool, string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, shard := range f.s.listed() {
		p := f.positions[shard.Index]
		target, ok := targets[checker.Partition{Topic: f.s.name, Index: shard.Index}]
		switch {
		case p == nil && (ok || shard.Last != nil):
			return false, fmt.Sprintf("it has not begun to read shard %d", shard.Index)
		case p == nil || p.ended:
		case shard.Last != nil:
			return false, fmt.Sprintf("its position in shard %d is %d, and the shard has not ended", shard.Index, p.next)
		case ok && p.next <= target:
			return false, fmt.Sprintf("its position in shard %d is %d, and there is a record at %d", shard.Index, p.next, target)
		}
	}
	return true, ""
}

// answer is what GetRecords or an event of SubscribeToShard brought.
type answer struct {
	records  []types.Record
	behind   *int64
	ended    bool
	children []types.ChildShard
	upTo     *string // ContinuationSequenceNumber
}

// took writes an answer down, and moves the position. Records whose sequence
// numbers have not the same frame make polls of their own. It says false for an
// answer that leaves no position.
func (p *position) took(a answer, start checker.Time, tips bool) bool {
	f := p.f
	now := f.r.rec.now()
	f.mu.Lock()
	defer f.mu.Unlock()
	poll := p.poll(start, now)
	for _, rec := range a.records {
		seq, err := checker.ParseSequence(aws.ToString(rec.SequenceNumber))
		if err != nil {
			poll.Shard.Bad = err.Error()
			f.r.rec.poll(*poll)
			return false
		}
		if len(poll.Records) > 0 && seq.Frame != poll.Shard.Frame {
			f.r.rec.poll(*poll)
			poll = p.poll(start, now)
		}
		id, note := openShown(aws.ToString(rec.PartitionKey), rec.Data, seq.Offset)
		if note != "" {
			if poll.Notes == nil {
				poll.Notes = map[int64]string{}
			}
			poll.Notes[seq.Offset] = note
		}
		poll.Shard.Frame = seq.Frame
		poll.Records = append(poll.Records, checker.Record{Offset: seq.Offset, ID: id})
		p.next, p.after, p.shown = seq.Offset+1, seq, true
		poll.To = p.next
	}
	if a.upTo != nil {
		seq, err := checker.ParseSequence(*a.upTo)
		if err != nil {
			poll.Shard.Bad = err.Error()
			f.r.rec.poll(*poll)
			return false
		}
		p.shown = p.shown && p.after == seq
		p.next, p.after = seq.Offset+1, seq
		poll.To = p.next
	}
	for _, child := range a.children {
		poll.Shard.Children = append(poll.Shard.Children, childOf(child, &poll.Shard.Bad))
	}
	poll.Shard.Ended, p.ended = a.ended, a.ended
	poll.Shard.Tip = tips && a.behind != nil && *a.behind == 0
	p.write(poll, now)
	return true
}

// everySoOften is how often it is written down that there was nothing.
const everySoOften = 300 * time.Millisecond

// write writes a poll down that says something.
func (p *position) write(poll *checker.Poll, now checker.Time) {
	if len(poll.Records) == 0 && poll.From == poll.To && !poll.Shard.Ended && len(poll.Shard.Children) == 0 {
		if !poll.Shard.Tip || p.told > 0 && now-p.told < everySoOften {
			return
		}
		p.told = now
	}
	p.f.r.rec.poll(*poll)
}

// poll begins one at the present position.
func (p *position) poll(start, end checker.Time) *checker.Poll {
	return &checker.Poll{
		Consumer: p.f.name, Committed: true, On: checker.Partition{Topic: p.f.s.name, Index: p.shard}, From: p.next, To: p.next,
		Start: start, End: end, Shard: &checker.ShardRead{},
	}
}

func childOf(in types.ChildShard, bad *string) checker.Child {
	out := checker.Child{Index: shardIndex(in.ShardId)}
	for _, parent := range in.ParentShards {
		out.Parents = append(out.Parents, shardIndex(&parent))
	}
	out.Low, out.High = hashRange(in.HashKeyRange, func(err error) {
		if err != nil {
			*bad = fmt.Sprintf("child %s: %v", aws.ToString(in.ShardId), err)
		}
	})
	return out
}

// from says where to go on: behind the last record, or now and then at it, when
// it has to come once more. The first records are there under two names.
func (p *position) from() *types.StartingPosition {
	p.f.mu.Lock()
	defer p.f.mu.Unlock()
	other := p.rand.IntN(4) == 0
	out := &types.StartingPosition{Type: types.ShardIteratorTypeAfterSequenceNumber}
	switch {
	case p.after == (checker.Sequence{}) && other:
		out.Type, out.Timestamp = types.ShardIteratorTypeAtTimestamp, aws.Time(p.f.r.began.Add(-time.Minute))
		return out
	case p.after == (checker.Sequence{}):
		out.Type = types.ShardIteratorTypeTrimHorizon
		return out
	case p.shown && other:
		out.Type, p.next = types.ShardIteratorTypeAtSequenceNumber, p.after.Offset
	default:
		p.next = p.after.Offset + 1
	}
	out.SequenceNumber = aws.String(p.after.String())
	return out
}

// poll reads a shard with GetRecords. After every error it asks for a new
// iterator.
func (f *follower) poll(ctx context.Context, p *position) {
	for ctx.Err() == nil {
		iterator := p.iterator(ctx)
		for iterator != nil {
			iterator = p.get(ctx, iterator)
		}
		f.mu.Lock()
		ended := p.ended
		f.mu.Unlock()
		if ended || !wait(ctx, between(p.rand, 20*time.Millisecond, 200*time.Millisecond)) {
			return
		}
	}
}

func (p *position) iterator(ctx context.Context) *string {
	ctx, cancel := context.WithTimeout(ctx, callWithin)
	defer cancel()
	from := p.from()
	out, err := p.f.api.GetShardIterator(ctx, &kinesis.GetShardIteratorInput{
		StreamName: &p.f.s.name, ShardId: shardID(p.shard),
		ShardIteratorType: from.Type, StartingSequenceNumber: from.SequenceNumber, Timestamp: from.Timestamp,
	})
	if err != nil {
		return nil
	}
	return out.ShardIterator
}

// get asks for records, and returns the iterator for the next ones; none at the
// end of the shard, after an error, and now and then by itself.
func (p *position) get(ctx context.Context, iterator *string) *string {
	ctx, cancel := context.WithTimeout(ctx, callWithin)
	defer cancel()
	in := &kinesis.GetRecordsInput{ShardIterator: iterator}
	if p.rand.IntN(3) > 0 {
		in.Limit = aws.Int32(1 + p.rand.Int32N(300))
	}
	start := p.f.r.rec.now()
	out, err := p.f.api.GetRecords(ctx, in)
	if err != nil {
		return nil
	}
	a := answer{records: out.Records, behind: out.MillisBehindLatest, ended: out.NextShardIterator == nil, children: out.ChildShards}
	if !p.took(a, start, true) || p.rand.IntN(50) == 0 {
		return nil
	}
	if aws.ToInt64(out.MillisBehindLatest) == 0 && out.NextShardIterator != nil {
		wait(ctx, between(p.rand, 20*time.Millisecond, 300*time.Millisecond))
	}
	return out.NextShardIterator
}

// refollow reads a stream from its start, again and again, with a new client
// each time, as long as there is load.
func (r *round) refollow(ctx context.Context) {
	rnd := r.random(r.n, "kinesis-reread")
	for i := 1; r.loading.Err() == nil && ctx.Err() == nil; i++ {
		f := r.follower(fmt.Sprintf("kinesis-reread-%d", i), r.streams[rnd.IntN(len(r.streams))])
		f.read = f.poll
		some, cancel := context.WithTimeout(ctx, between(rnd, time.Second, 6*time.Second))
		f.run(some, rnd.IntN(2) == 0)
		cancel()
		if !wait(ctx, between(rnd, 100*time.Millisecond, 2*time.Second)) {
			return
		}
	}
}

// readLatest takes LATEST iterators, and looks at what comes first.
func (r *round) readLatest(ctx context.Context) {
	rnd := r.random(r.n, "latest")
	api, done := r.api(false)
	defer done()
	for wait(ctx, between(rnd, 50*time.Millisecond, time.Second)) {
		s := r.streams[rnd.IntN(len(r.streams))]
		open, _ := s.open()
		f := r.follower("latest", s)
		p := &position{f: f, shard: open[rnd.IntN(len(open))].Index, rand: rnd}
		some, cancel := context.WithTimeout(ctx, 3*time.Second)
		r.firstOf(some, api, p)
		cancel()
	}
}

// firstOf writes down the first records that a LATEST iterator brings.
func (r *round) firstOf(ctx context.Context, api *kinesis.Client, p *position) {
	got, err := api.GetShardIterator(ctx, &kinesis.GetShardIteratorInput{
		StreamName: &p.f.s.name, ShardId: shardID(p.shard), ShardIteratorType: types.ShardIteratorTypeLatest,
	})
	if err != nil {
		return
	}
	since := r.rec.now()
	for iterator := got.ShardIterator; iterator != nil; {
		start := r.rec.now()
		out, err := api.GetRecords(ctx, &kinesis.GetRecordsInput{ShardIterator: iterator})
		switch {
		case is[*types.ProvisionedThroughputExceededException](err): // others read the shard too
		case err != nil:
			return
		case len(out.Records) > 0:
			p.first(out.Records, start, since)
			return
		default:
			iterator = out.NextShardIterator
		}
		if !wait(ctx, between(p.rand, 10*time.Millisecond, 100*time.Millisecond)) {
			return
		}
	}
}

// first writes down the first records behind a LATEST iterator.
func (p *position) first(records []types.Record, start, since checker.Time) {
	poll := p.poll(start, p.f.r.rec.now())
	poll.From, poll.Shard.Latest = -1, since
	for _, rec := range records {
		seq, err := checker.ParseSequence(aws.ToString(rec.SequenceNumber))
		if err != nil || len(poll.Records) > 0 && seq.Frame != poll.Shard.Frame {
			return // others read them too, and tell
		}
		id, note := openShown(aws.ToString(rec.PartitionKey), rec.Data, seq.Offset)
		if note != "" {
			return
		}
		poll.Shard.Frame = seq.Frame
		poll.Records = append(poll.Records, checker.Record{Offset: seq.Offset, ID: id})
		poll.To = seq.Offset + 1
	}
	p.f.r.rec.poll(*poll)
}

// scanStreams reads everything up to the targets with new consumers, at the end.
func (r *round) scanStreams(ctx context.Context, since checker.Time, targets map[checker.Partition]int64) {
	ctx, cancel := context.WithTimeout(ctx, r.Settle)
	defer cancel()
	for i, s := range r.streams {
		f := r.follower(fmt.Sprintf("kinesis-final-%d", i+1), s)
		f.read = f.poll
		scan, stop := context.WithCancel(ctx)
		var reading sync.WaitGroup
		reading.Go(func() { f.run(scan, false) })
		r.awaitAll(ctx, since, checker.AwaitConsumer, map[string]func() (bool, string){
			fmt.Sprintf("consumer %s of %s", f.name, s.name): func() (bool, string) { return f.reached(targets) },
		})
		stop()
		reading.Wait()
	}
}
