package streams

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/streamweir/streamweir/cmd/streamweir/internal/client"
	"github.com/streamweir/streamweir/cmd/streamweir/internal/input"
	"github.com/streamweir/streamweir/cmd/streamweir/internal/output"
	"github.com/streamweir/streamweir/cmd/streamweir/internal/progress"
)

const (
	// maxBatchRecords and maxBatchBytes are what PutRecords takes.
	maxBatchRecords = 500
	maxBatchBytes   = 10 << 20
	// defaultMaxRecord bounds one record where the stream does not say.
	defaultMaxRecord = 1 << 20
	// maxKeyChars is the longest partition key, in characters.
	maxKeyChars = 256

	// linger gathers what arrives together, and is too short to be felt by
	// someone who types.
	linger = 5 * time.Millisecond

	// retryFirst and retryMost bound the pause before what was throttled is
	// sent again.
	retryFirst = 100 * time.Millisecond
	retryMost  = 2 * time.Second

	// maxReported is how many failed records are reported one by one.
	maxReported = 10
	// noticeAfter is how long nothing is acknowledged before the user is
	// told why.
	noticeAfter = 2 * time.Second
)

// PutJob is what to send to a stream.
type PutJob struct {
	Stream    string
	Inputs    []input.File
	Parsing   input.Parsing
	KeepGoing bool          // after a failed record
	Patience  time.Duration // how long to wait while nothing is acknowledged
	// Report is called for the first failed records; Note with what the user
	// should know while it goes on; Watch, which may be nil, is given the state.
	Report func(*input.RecordError)
	Note   func(string)
	Watch  func(context.Context, *progress.State)
}

// PutSummary is what became of a PutJob.
type PutSummary struct {
	Stream string `json:"stream"`
	progress.Summary
}

// Limits makes the reading of records hold them to what the stream takes.
func Limits(ctx context.Context, c *Client, stream string, p *input.Parsing) error {
	s, err := summary(ctx, c, stream)
	if err != nil {
		return fmt.Errorf("stream %q: %w", stream, err)
	}
	limit := defaultMaxRecord
	if s.MaxRecordSizeInKiB != nil {
		limit = int(*s.MaxRecordSizeInKiB) << 10
	}
	p.MaxRecordBytes = limit
	p.TooLarge = func() error {
		return fmt.Errorf("the record has more than %d bytes, which is all that the stream takes", limit)
	}
	p.Check = func(rec *kgo.Record) error { return check(rec, limit) }
	return nil
}

// check refuses what the stream would, and what it would lose: only lines of JSON
// have headers, or null for a value.
func check(rec *kgo.Record, limit int) error {
	if len(rec.Headers) > 0 {
		return errors.New("the record has headers, which a Kinesis record cannot hold")
	}
	if rec.Value == nil {
		return errors.New(`the value is null, which a Kinesis record cannot hold; write "" for empty data`)
	}
	if size := len(rec.Key) + len(rec.Value); size > limit {
		return fmt.Errorf("the record has %d bytes; the stream takes at most %d", size, limit)
	}
	if !utf8.Valid(rec.Key) {
		return errors.New("the partition key is not UTF-8 text")
	}
	if n := utf8.RuneCount(rec.Key); n > maxKeyChars {
		return fmt.Errorf("the partition key has %d characters; there may be at most %d", n, maxKeyChars)
	}
	return nil
}

// put is a PutJob at work.
type put struct {
	progress.State
	c       *Client
	job     *PutJob
	records chan pending
	stop    atomic.Bool   // read no more
	halted  chan struct{} // closed once stop is set for a failure
	sent    atomic.Int64
	bytes   atomic.Int64 // acknowledged
	waiting atomic.Int64 // bytes read and not answered
	unsent  atomic.Int64 // failed before they were sent

	mu       sync.Mutex
	reported int
}

// pending is a record on its way.
type pending struct {
	entry types.PutRecordsRequestEntry
	size  int
	at    input.Origin
}

// Put sends everything. When soft ends it stops reading, and waits for what was
// read; when hard ends it no longer waits. The error is one of reading, or says
// why it gave up; failed records are in the summary.
func Put(soft, hard context.Context, c *Client, job *PutJob) (PutSummary, error) {
	p := &put{c: c, job: job, records: make(chan pending, maxBatchRecords), halted: make(chan struct{})}
	p.Total, p.Started, p.Buffered = input.TotalSize(job.Inputs), time.Now(), p.waiting.Load
	var watching sync.WaitGroup
	watchCtx, endWatch := context.WithCancel(context.Background())
	if job.Watch != nil {
		watching.Go(func() { job.Watch(watchCtx, &p.State) })
	}
	live, giveUp := context.WithCancelCause(hard)
	defer giveUp(nil)
	// A read of a terminal or a pipe cannot be called off, so the reading
	// goroutine is not waited for after an interruption or a failure: it
	// holds nothing, and the process is about to end.
	done := make(chan error, 1)
	go func() { done <- p.readAll(live) }()
	sender := make(chan error, 1)
	ending, endReading := context.WithCancel(context.Background())
	go func() { sender <- p.sendAll(live, ending) }()

	var err error
	interrupted, sending := false, true
	select {
	case err = <-done:
	case <-soft.Done():
		interrupted = true
	case <-p.halted:
	case sendErr := <-sender:
		err, sending = sendErr, false
	}
	p.stop.Store(true)
	endReading()
	if sending {
		if sendErr := <-sender; err == nil {
			err = sendErr
		}
	}
	endWatch()
	watching.Wait()
	if hard.Err() != nil {
		interrupted, err = true, nil
	}
	s := PutSummary{Stream: job.Stream, Summary: progress.Summary{
		Acknowledged: p.Acked.Load(), Failed: p.Failed.Load(), Bytes: p.bytes.Load(),
		Seconds: time.Since(p.Started).Seconds(), Interrupted: interrupted,
	}}
	s.Unknown = max(p.sent.Load()-s.Acknowledged-(s.Failed-p.unsent.Load()), 0)
	return s, err
}

func (p *put) readAll(ctx context.Context) error {
	for _, in := range p.job.Inputs {
		err := input.Read(in, &p.job.Parsing, input.Sink{
			Record: func(r kgo.Record, at input.Origin) bool { return p.take(ctx, r, at) },
			Failed: func(e *input.RecordError) bool {
				p.unsent.Add(1)
				return p.fail(e)
			},
			Consumed: func(n int) { p.Read.Add(int64(n)) },
		})
		if err != nil || p.stop.Load() {
			return err
		}
	}
	return nil
}

// take hands a record to the sender. It waits while too many are on their way.
func (p *put) take(ctx context.Context, r kgo.Record, at input.Origin) bool {
	key := string(r.Key)
	if key == "" {
		// As a record without a key may go to any shard, chance chooses.
		key = strconv.FormatUint(rand.Uint64(), 36)
	}
	one := pending{entry: types.PutRecordsRequestEntry{PartitionKey: &key, Data: r.Value}, size: len(key) + len(r.Value), at: at}
	p.waiting.Add(int64(one.size))
	select {
	case p.records <- one:
		return !p.stop.Load()
	case <-ctx.Done():
		return false
	}
}

// sendAll sends batches, one after the other so that records stay in order,
// until reading has ended and nothing is left.
func (p *put) sendAll(ctx, reading context.Context) error {
	var next *pending // did not fit into the last batch
	for {
		var batch []pending
		batch, next = p.gather(ctx, reading, next)
		if len(batch) == 0 {
			return context.Cause(ctx)
		}
		if err := p.sendBatch(ctx, batch); err != nil {
			return err
		}
	}
}

// gather takes what is there: at least one record, and what comes within the
// linger. It returns none when there will be no more.
func (p *put) gather(ctx, reading context.Context, first *pending) (batch []pending, next *pending) {
	size := 0
	if first == nil {
		one, ok := p.receive(ctx, reading, nil)
		if !ok {
			return nil, nil
		}
		first = &one
	}
	batch, size = append(batch, *first), first.size
	timer := time.NewTimer(linger)
	defer timer.Stop()
	for len(batch) < maxBatchRecords {
		one, ok := p.receive(ctx, reading, timer.C)
		if !ok {
			break
		}
		if size += one.size; size > maxBatchBytes {
			return batch, &one
		}
		batch = append(batch, one)
	}
	return batch, nil
}

// receive takes the next record, until the time is over or, after the end of
// the reading, nothing is there.
func (p *put) receive(ctx, reading context.Context, over <-chan time.Time) (pending, bool) {
	select {
	case one := <-p.records:
		return one, true
	default:
	}
	select {
	case one := <-p.records:
		return one, true
	case <-over:
	case <-ctx.Done():
	case <-reading.Done():
		select {
		case one := <-p.records: // it was there before the end
			return one, true
		default:
		}
	}
	return pending{}, false
}

// sendBatch sends records until each is acknowledged or has failed.
func (p *put) sendBatch(ctx context.Context, batch []pending) error {
	p.sent.Add(int64(len(batch)))
	since, again, noticed := time.Now(), retryFirst, false
	for {
		before := len(batch)
		left, cause := p.sendOnce(ctx, batch)
		if len(left) == 0 {
			return nil
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if batch = left; len(left) < before {
			since, again, noticed = time.Now(), retryFirst, false
		}
		waited := time.Since(since)
		if waited >= p.job.Patience {
			return fmt.Errorf("nothing was acknowledged for %s (--delivery-timeout): gave up; the last answer: %w", p.job.Patience, cause)
		}
		if !noticed && waited >= noticeAfter {
			noticed = true
			p.job.Note(fmt.Sprintf("nothing is acknowledged: %v; trying again until it is (--delivery-timeout %s)", cause, p.job.Patience))
		}
		if err := pause(ctx, again); err != nil {
			return err
		}
		again = min(2*again, retryMost)
	}
}

// sendOnce sends a batch once. It returns what is to be sent again, and why.
func (p *put) sendOnce(ctx context.Context, batch []pending) (left []pending, cause error) {
	entries := make([]types.PutRecordsRequestEntry, len(batch))
	for i := range batch {
		entries[i] = batch[i].entry
	}
	out, err := call(ctx, p.c, p.c.PutRecords, &kinesis.PutRecordsInput{StreamName: &p.job.Stream, Records: entries})
	var unreachable *client.UnreachableError
	switch {
	case err == nil && len(out.Records) != len(batch):
		err = fmt.Errorf("the server answered for %d of %d records", len(out.Records), len(batch))
		fallthrough
	case err != nil && !errors.As(err, &unreachable) && !isCode(err, overThroughput, overLimit, internalFailure):
		if ctx.Err() == nil {
			p.failBatch(batch, err)
			return nil, nil
		}
		return batch, err
	case err != nil:
		return batch, err
	}
	for i, r := range out.Records {
		switch code := aws.ToString(r.ErrorCode); code {
		case "":
			p.Acked.Add(1)
			p.bytes.Add(int64(batch[i].size))
			p.waiting.Add(-int64(batch[i].size))
		case overThroughput, internalFailure:
			left = append(left, batch[i])
			cause = &apiError{code: code, text: aws.ToString(r.ErrorMessage)}
		default:
			p.waiting.Add(-int64(batch[i].size))
			p.fail(&input.RecordError{Origin: batch[i].at, Err: &apiError{code: code, text: aws.ToString(r.ErrorMessage)}})
		}
	}
	return left, cause
}

// failBatch is for a request that was refused as a whole: one record is told,
// and how many others went with it.
func (p *put) failBatch(batch []pending, err error) {
	for _, one := range batch {
		p.waiting.Add(-int64(one.size))
	}
	p.fail(&input.RecordError{Origin: batch[0].at, Err: err})
	if others := len(batch) - 1; others > 0 {
		p.Failed.Add(int64(others))
		p.job.Note(output.Plural(int64(others), "other record") + " of the same request not written")
	}
}

// fail counts and reports a record that was not written, and says whether to
// go on.
func (p *put) fail(e *input.RecordError) bool {
	p.Failed.Add(1)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.reported < maxReported {
		p.reported++
		p.job.Report(e)
	}
	if !p.job.KeepGoing && !p.stop.Swap(true) {
		close(p.halted)
	}
	return !p.stop.Load()
}
