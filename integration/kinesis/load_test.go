package kinesis

import (
	"context"
	"errors"
	"fmt"
	"math/big"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"golang.org/x/sync/errgroup"

	"github.com/streamweir/streamweir/integration/harness"
)

const (
	writers  = 50
	perBatch = 50
)

// book is what writers know of their records: what was acknowledged where.
type book struct {
	mu    sync.Mutex
	acked map[string]place
	sent  map[string]bool
}

// place is where a record was acknowledged.
type place struct{ shard, sequence string }

func newBook() *book { return &book{acked: map[string]place{}, sent: map[string]bool{}} }

func (b *book) send(data string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.sent[data] = true
}

func (b *book) ack(data, shard, sequence string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.acked[data] = place{shard, sequence}
}

// check holds what is in the stream against the book: everything acknowledged is
// there, where it was acknowledged, and nothing is there that nobody sent. Where
// once is set, nothing is there twice.
func (b *book) check(t testing.TB, cl *kinesis.Client, name string, once bool) {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	found := map[string][]place{}
	for shard, records := range harness.ReadStream(t, cl, name) {
		before := new(big.Int)
		for _, r := range records {
			number, ok := new(big.Int).SetString(*r.SequenceNumber, 10)
			if !ok || number.Cmp(before) <= 0 {
				t.Fatalf("%s: sequence number %s after %s", shard, *r.SequenceNumber, before)
			}
			before = number
			found[string(r.Data)] = append(found[string(r.Data)], place{shard, *r.SequenceNumber})
		}
	}
	lost, moved := 0, 0
	for data, at := range b.acked {
		switch places := found[data]; {
		case len(places) == 0:
			lost++
		case once && (len(places) != 1 || places[0] != at), !once && !has(places, at):
			moved++
			t.Logf("%q was acknowledged at %v and is at %v", data, at, places)
		}
	}
	if lost > 0 || moved > 0 {
		t.Errorf("of %d acknowledged records %d are lost and %d are elsewhere", len(b.acked), lost, moved)
	}
	for data := range found {
		if !b.sent[data] {
			t.Errorf("nobody has sent %q", data)
		}
	}
}

func has(places []place, at place) bool {
	for _, p := range places {
		if p == at {
			return true
		}
	}
	return false
}

// Fifty goroutines put records at once, and a stream that is split and merged
// meanwhile holds each of them once.
func TestFiftyWritersLoseNothing(t *testing.T) {
	harness.OnlyOurAWS(t, "they lose records under parallel puts")
	s := harness.Start(t, harness.Config("kinesis.limits", "off"), harness.Config("kinesis.transition.ms", "50"))
	a := harness.AWS{URL: s.AWSURL(), Server: s}
	cl := a.Kinesis()
	name := a.Stream(t, 4)
	b := newBook()
	batches := harness.Scale(20)
	group, ctx := errgroup.WithContext(harness.Context(t, 2*harness.Long))
	for w := range writers {
		group.Go(func() error {
			for i := range batches {
				if err := b.putBatch(ctx, cl, name, fmt.Sprintf("%d-%d", w, i)); err != nil {
					return err
				}
			}
			return nil
		})
	}
	_, err := cl.SplitShard(ctx, &kinesis.SplitShardInput{StreamName: &name, ShardToSplit: aws.String("shardId-000000000000"), NewStartingHashKey: aws.String("1000000")})
	if err != nil {
		t.Fatal(err)
	}
	harness.WaitActive(t, cl, name)
	_, err = cl.MergeShards(ctx, &kinesis.MergeShardsInput{StreamName: &name, ShardToMerge: aws.String("shardId-000000000001"), AdjacentShardToMerge: aws.String("shardId-000000000002")})
	if err != nil {
		t.Fatal(err)
	}
	harness.WaitActive(t, cl, name)
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	if want := writers * batches * perBatch; len(b.acked) != want {
		t.Errorf("%d records were acknowledged, want %d", len(b.acked), want)
	}
	b.check(t, cl, name, true)
}

// putBatch puts records and sends those again that were refused for now.
func (b *book) putBatch(ctx context.Context, cl *kinesis.Client, name, prefix string) error {
	var entries []types.PutRecordsRequestEntry
	for i := range perBatch {
		data := prefix + "-" + strconv.Itoa(i)
		b.send(data)
		entries = append(entries, types.PutRecordsRequestEntry{Data: []byte(data), PartitionKey: &data})
	}
	for len(entries) > 0 {
		out, err := cl.PutRecords(ctx, &kinesis.PutRecordsInput{StreamName: &name, Records: entries})
		if err != nil {
			return err
		}
		var left []types.PutRecordsRequestEntry
		for i, r := range out.Records {
			if r.ErrorCode != nil {
				left = append(left, entries[i])
				continue
			}
			b.ack(string(entries[i].Data), *r.ShardId, *r.SequenceNumber)
		}
		entries = left
	}
	return nil
}

// A server is killed over and over while records are put and read and shards are
// split. What was acknowledged is there, splits are done or not at all, and
// iterators and subscriptions go on afterwards.
func TestKillsDuringPutsGetsAndSplits(t *testing.T) {
	harness.OnlyOurAWS(t, "they keep nothing")
	s := harness.Start(t, harness.Config("kinesis.limits", "off"), harness.Config("kinesis.transition.ms", "50"))
	a := harness.AWS{URL: s.AWSURL(), Server: s}
	cl := a.Kinesis(func(o *kinesis.Options) { o.RetryMaxAttempts = 1 }) // a retry would hide what a kill does
	name := a.Stream(t, 2)
	b := newBook()
	ctx, stop := context.WithCancel(harness.Context(t, 4*harness.Long))
	defer stop()
	var group sync.WaitGroup
	var acked atomic.Int64
	for w := range 8 {
		group.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				if b.putBatch(ctx, cl, name, fmt.Sprintf("%d-%d", w, i)) == nil {
					acked.Add(perBatch)
				} else {
					<-time.After(20 * time.Millisecond) // it is down
				}
			}
		})
	}
	reader := newFollower(cl, name)
	group.Go(func() { reader.run(ctx) })
	for range 5 {
		before := acked.Load()
		harness.Eventually(t, harness.Long, "records are acknowledged", func() error {
			if acked.Load() < before+500 {
				return fmt.Errorf("%d since the last kill", acked.Load()-before)
			}
			return nil
		})
		_ = splitSome(ctx, cl, name)
		s.Kill(t)
		s.StartAgain(t)
		harness.WaitActive(t, cl, name)
		checkRanges(t, harness.Shards(t, cl, name))
	}
	stop()
	group.Wait()
	b.check(t, cl, name, false)
	if err := reader.problem(); err != nil {
		t.Error(err)
	}
}

// splitSome splits an open shard in its middle. That fails where a split is under
// way, or the server goes away.
func splitSome(ctx context.Context, cl *kinesis.Client, name string) error {
	out, err := cl.ListShards(ctx, &kinesis.ListShardsInput{StreamName: &name, ShardFilter: &types.ShardFilter{Type: types.ShardFilterTypeAtLatest}})
	if err != nil {
		return err
	}
	s := out.Shards[0]
	low, _ := new(big.Int).SetString(*s.HashKeyRange.StartingHashKey, 10)
	high, _ := new(big.Int).SetString(*s.HashKeyRange.EndingHashKey, 10)
	middle := low.Add(low, high).Rsh(low, 1).String()
	_, err = cl.SplitShard(ctx, &kinesis.SplitShardInput{StreamName: &name, ShardToSplit: s.ShardId, NewStartingHashKey: &middle})
	return err
}

// checkRanges checks that the open shards cover every hash key once.
func checkRanges(t testing.TB, shards []types.Shard) {
	t.Helper()
	covered := new(big.Int)
	for _, s := range shards {
		if !harness.Open(s) {
			continue
		}
		low, _ := new(big.Int).SetString(*s.HashKeyRange.StartingHashKey, 10)
		high, _ := new(big.Int).SetString(*s.HashKeyRange.EndingHashKey, 10)
		covered.Add(covered, high.Sub(high, low).Add(high, big.NewInt(1)))
	}
	if covered.Cmp(power(128)) != 0 {
		t.Errorf("the open shards cover %s hash keys, want 2^128", covered)
	}
}

// follower reads the first shard of a stream on and on, across kills: an iterator
// is valid after a restart, and what has been read does not change.
type follower struct {
	cl   *kinesis.Client
	name string
	mu   sync.Mutex
	seen map[string]string // data by sequence number
	last *big.Int
	bad  error
}

func newFollower(cl *kinesis.Client, name string) *follower {
	return &follower{cl: cl, name: name, seen: map[string]string{}, last: new(big.Int)}
}

func (f *follower) problem() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.bad == nil && len(f.seen) == 0 {
		return errors.New("the reader has got nothing")
	}
	return f.bad
}

func (f *follower) run(ctx context.Context) {
	var iterator *string
	for ctx.Err() == nil {
		if iterator == nil {
			out, err := f.cl.GetShardIterator(ctx, &kinesis.GetShardIteratorInput{StreamName: &f.name, ShardId: aws.String("shardId-000000000001"), ShardIteratorType: types.ShardIteratorTypeTrimHorizon})
			if err != nil {
				<-time.After(20 * time.Millisecond)
				continue
			}
			iterator = out.ShardIterator
		}
		out, err := f.cl.GetRecords(ctx, &kinesis.GetRecordsInput{ShardIterator: iterator})
		if err != nil {
			f.judge(ctx, err)
			<-time.After(20 * time.Millisecond)
			continue
		}
		f.take(out.Records)
		if iterator = out.NextShardIterator; iterator == nil {
			return // it was split
		}
	}
}

// judge notes an error that says that the iterator is not valid any more.
func (f *follower) judge(ctx context.Context, err error) {
	var expired *types.ExpiredIteratorException
	var invalid *types.InvalidArgumentException
	if ctx.Err() == nil && (errors.As(err, &expired) || errors.As(err, &invalid)) {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.bad = errors.Join(f.bad, fmt.Errorf("an iterator from before a kill: %w", err))
	}
}

func (f *follower) take(records []types.Record) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, r := range records {
		number, _ := new(big.Int).SetString(*r.SequenceNumber, 10)
		if number.Cmp(f.last) <= 0 {
			f.bad = errors.Join(f.bad, fmt.Errorf("record %s was read after %s", number, f.last))
		}
		f.last = number
		f.seen[*r.SequenceNumber] = string(r.Data)
	}
}
