// Package produce sends the lines, JSON objects or whole files of an input to
// a topic, and says exactly what was acknowledged.
package produce

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/streamweir/streamweir/cmd/streamweir/internal/client"
	"github.com/streamweir/streamweir/cmd/streamweir/internal/input"
	"github.com/streamweir/streamweir/cmd/streamweir/internal/output"
	"github.com/streamweir/streamweir/cmd/streamweir/internal/progress"
)

const (
	// maxBufferedBytes and maxBufferedRecords bound what is read but not
	// yet acknowledged.
	maxBufferedBytes   = 64 << 20
	maxBufferedRecords = 50_000

	// maxBatchBytes bounds what we send in one batch, and so in one record,
	// whatever the topic allows.
	maxBatchBytes = maxBufferedBytes
	// maxRequestBytes leaves room for one such batch and the request around it.
	maxRequestBytes = maxBatchBytes + 1<<20

	// linger gathers what arrives together, and is too short to be felt by
	// someone who types.
	linger = 5 * time.Millisecond

	// slabSize is how many records are allocated at a time.
	slabSize = 256
)

// Acks says how many replicas must have a record before it counts.
type Acks string

// The values of acks.
const (
	AcksAll    Acks = "all"
	AcksLeader Acks = "1"
	AcksNone   Acks = "0"
)

// Verb says what such records have been.
func (a Acks) Verb() string {
	if a == AcksNone {
		return "sent without waiting for an acknowledgement"
	}
	return progress.Acknowledged
}

// Delivery says how records are sent.
type Delivery struct {
	Codec string // none, gzip, snappy, lz4, zstd
	Acks  Acks
	// Partitioned is set if the records bring their partition.
	Partitioned bool
	// BatchBytes gives the topic's limit once it is known.
	BatchBytes *atomic.Int32
}

// Codecs lists the compression codecs by the names Kafka gives them.
func Codecs() []string { return []string{"none", "gzip", "snappy", "lz4", "zstd"} }

// Options turns a Delivery into options of the client.
func (d Delivery) Options() ([]kgo.Opt, error) {
	codec, ok := map[string]kgo.CompressionCodec{
		"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(),
		"lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
	}[d.Codec]
	if !ok {
		return nil, fmt.Errorf("codec %q is not known: there are %s", d.Codec, strings.Join(Codecs(), ", "))
	}
	opts := []kgo.Opt{
		kgo.ProducerBatchCompression(codec),
		kgo.ProducerBatchMaxBytesFn(func(string) int32 { return d.BatchBytes.Load() }),
		kgo.BrokerMaxWriteBytes(maxRequestBytes),
		kgo.MaxBufferedRecords(maxBufferedRecords),
		kgo.MaxBufferedBytes(maxBufferedBytes),
		kgo.ProducerLinger(linger),
	}
	if d.Partitioned {
		opts = append(opts, kgo.RecordPartitioner(kgo.ManualPartitioner()))
	}
	switch d.Acks {
	case AcksAll, "-1":
		// We end at a failure and never send a record a second time
		// ourselves, so giving up on one cannot write it twice.
		opts = append(opts, kgo.AllowIdempotentProduceCancellation())
	case AcksLeader:
		opts = append(opts, kgo.RequiredAcks(kgo.LeaderAck()), kgo.DisableIdempotentWrite())
	case AcksNone:
		opts = append(opts, kgo.RequiredAcks(kgo.NoAck()), kgo.DisableIdempotentWrite())
	default:
		return nil, fmt.Errorf("acks %q is not known: write all, 1 or 0", d.Acks)
	}
	return opts, nil
}

// Job is what to send where.
type Job struct {
	Topic     string
	Inputs    []input.File
	Parsing   input.Parsing
	KeepGoing bool // after a failed record
	// Patience is how long to wait while nothing is acknowledged. The
	// client's own limit for a record counts from the record's timestamp,
	// which may be that of another year.
	Patience time.Duration
	// Report is called for the first failed records, one at a time.
	Report func(*input.RecordError)
	// Note is called with what the user should know while it goes on.
	Note func(string)
	// Refusals holds what the broker says when it refuses; nil with acks=0.
	Refusals *client.Refusals
	// Watch is given the state of the job while it runs; nil if nobody looks.
	Watch func(context.Context, *progress.State)
}

// maxReported is how many failed records are reported one by one.
const maxReported = 10

// Summary is what became of a job.
type Summary struct {
	Topic string `json:"topic"`
	progress.Summary
}

// run is a job at work.
type run struct {
	progress.State
	sent  atomic.Int64 // records
	bytes atomic.Int64 // acknowledged
	cl    *client.Cluster
	job   *Job
	// live ends when what is sent is no longer waited for.
	live   context.Context //nolint:containedctx // the promises need it
	giveUp context.CancelCauseFunc

	stop   atomic.Bool  // read no more
	unsent atomic.Int64 // failed before they were sent
	// sending is held while a record is handed to the client, so that
	// whoever holds it after setting stop knows that the last one was.
	sending sync.Mutex
	slab    []pending

	reporting sync.Mutex
	reported  int
	refused   map[int32]int32 // by partition: records that came back with an error
	beside    int64           // of them, not to blame
}

// pending is a record on its way. Its address is the context of its record, by
// which the promise finds where in the input it stood without an allocation
// for each.
type pending struct {
	context.Context
	record kgo.Record
	at     input.Origin
}

// Run sends everything. When soft ends it stops reading, and waits for what was
// sent; when hard ends it no longer waits. The error is one of reading; failed
// records are in the summary.
func Run(soft, hard context.Context, cl *client.Cluster, job *Job) (Summary, error) {
	r := &run{cl: cl, job: job, refused: map[int32]int32{}}
	r.live, r.giveUp = context.WithCancelCause(hard)
	defer r.giveUp(nil)
	r.Total, r.Started, r.Buffered = input.TotalSize(job.Inputs), time.Now(), cl.BufferedProduceBytes
	var watching sync.WaitGroup
	watchCtx, endWatch := context.WithCancel(context.Background())
	watching.Go(func() { r.watchStall(watchCtx) })
	if job.Watch != nil {
		watching.Go(func() { job.Watch(watchCtx, &r.State) })
	}
	// A read of a terminal or a pipe cannot be called off, so the reading
	// goroutine is not waited for after an interruption: it holds nothing,
	// and the process is about to end.
	done := make(chan error, 1)
	go func() { done <- r.readAll() }()
	var err error
	interrupted := false
	select {
	case err = <-done:
	case <-soft.Done():
		interrupted = true
	}
	r.stop.Store(true)
	r.sending.Lock()
	flushErr := cl.Flush(r.live)
	sent := r.sent.Load()
	r.sending.Unlock()
	endWatch()
	watching.Wait()
	r.tellBeside()
	s := Summary{
		Topic: job.Topic,
		Summary: progress.Summary{
			Acknowledged: r.Acked.Load(), Failed: r.Failed.Load(), Bytes: r.bytes.Load(),
			Seconds: time.Since(r.Started).Seconds(), Interrupted: interrupted,
		},
	}
	var stalled *StalledError
	switch {
	case errors.As(context.Cause(r.live), &stalled) && err == nil:
		err = stalled
	case flushErr != nil:
		s.Interrupted = true
	}
	s.Unknown = max(sent-s.Acknowledged-(s.Failed-r.unsent.Load()), 0)
	return s, err
}

func (r *run) readAll() error {
	for _, in := range r.job.Inputs {
		if r.stop.Load() {
			return nil
		}
		if err := r.readOne(in); err != nil {
			return err
		}
	}
	return nil
}

func (r *run) readOne(in input.File) error {
	return input.Read(in, &r.job.Parsing, input.Sink{
		Record: r.send,
		Failed: func(e *input.RecordError) bool {
			r.unsent.Add(1)
			return r.fail(e)
		},
		Consumed: func(n int) { r.Read.Add(int64(n)) },
	})
}

// send hands a record to the client. It waits while too much is buffered.
func (r *run) send(rec kgo.Record, at input.Origin) bool {
	r.sending.Lock()
	defer r.sending.Unlock()
	if r.stop.Load() {
		return false
	}
	if len(r.slab) == 0 {
		r.slab = make([]pending, slabSize)
	}
	p := &r.slab[0]
	r.slab = r.slab[1:]
	p.Context, p.record, p.at = r.live, rec, at
	p.record.Topic, p.record.Context = r.job.Topic, p
	r.sent.Add(1)
	r.cl.Produce(r.live, &p.record, r.answered)
	return true
}

// answered is called once for every record, in the client's own goroutine.
func (r *run) answered(rec *kgo.Record, err error) {
	if err == nil {
		r.Acked.Add(1)
		r.bytes.Add(int64(len(rec.Key) + len(rec.Value)))
		return
	}
	if r.live.Err() != nil {
		return // no longer waited for: neither acknowledged nor refused
	}
	p, _ := rec.Context.(*pending)
	at := input.Origin{Input: "?"}
	if p != nil {
		at = p.at
	}
	r.refuse(rec.Partition, at, err)
}

// refuse reports a record that came back with an error. A broker refuses a
// batch as a whole, and may name the records that it means; the client fails
// with them all that waits behind that batch. The first record that comes back
// for a partition is the first of the batch, so those named can be told from the
// others. That is so for one batch of each partition only: with KeepGoing every
// record is reported with what the broker says of its batch.
func (r *run) refuse(partition int32, at input.Origin, err error) {
	var refusal *client.Refusal
	if r.job.Refusals != nil {
		refusal = r.job.Refusals.First(partition)
	}
	if refusal == nil || !errors.Is(err, refusal.Err) {
		r.fail(&input.RecordError{Origin: at, Err: r.explain(err)})
		return
	}
	if r.job.KeepGoing || len(refusal.Records) == 0 {
		r.fail(&input.RecordError{Origin: at, Err: refusal})
		return
	}
	r.reporting.Lock()
	index := r.refused[partition]
	r.refused[partition]++
	text, named := refusal.Records[index]
	if !named {
		r.beside++
	}
	r.reporting.Unlock()
	if named {
		r.fail(&input.RecordError{Origin: at, Err: client.WithDetail(refusal.Err, text)})
		return
	}
	r.Failed.Add(1)
	r.stop.Store(true)
}

// tellBeside says what became of the records that were not to blame.
func (r *run) tellBeside() {
	r.reporting.Lock()
	defer r.reporting.Unlock()
	if r.beside > 0 {
		r.job.Note(output.Plural(r.beside, "other record") + " not written, only for having been sent in the same batch or behind it")
	}
}

func (r *run) explain(err error) error {
	switch {
	case errors.Is(err, kgo.ErrRecordRetries):
		return fmt.Errorf("it was not acknowledged, and may or may not have been written: %w", r.cl.Explain(err))
	case errors.Is(err, kerr.UnknownTopicOrPartition), errors.Is(err, kerr.UnknownTopicID):
		return fmt.Errorf("topic %q is gone: %w", r.job.Topic, client.Plain(err))
	}
	return r.cl.Explain(err)
}

// StalledError says that a broker acknowledged nothing for too long.
type StalledError struct {
	Patience time.Duration
	Cause    *client.Refusal // what the broker said last; nil if it said nothing
}

func (e *StalledError) Error() string {
	text := fmt.Sprintf("nothing was acknowledged for %s (--delivery-timeout): gave up", e.Patience)
	if e.Cause != nil {
		text += "; the broker says: " + e.Cause.Error()
	}
	return text
}

// stallCheck is how often the progress is looked at.
const stallCheck = 200 * time.Millisecond

// noticeAfter is how long nothing is acknowledged before the user is told why.
// What brokers refuse for a moment only, while a leader moves, is not worth it.
const noticeAfter = 2 * time.Second

// watchStall gives up when records are on their way and none of them is
// answered for as long as the user has patience.
func (r *run) watchStall(ctx context.Context) {
	tick := time.NewTicker(stallCheck)
	defer tick.Stop()
	var last int64
	since, noticed := time.Now(), false
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			answered := r.Acked.Load() + r.Failed.Load()
			if answered != last || r.cl.BufferedProduceRecords() == 0 {
				last, since, noticed = answered, now, false
			}
			var refusal *client.Refusal
			if r.job.Refusals != nil {
				refusal = r.job.Refusals.Last()
			}
			if !noticed && refusal != nil && now.Sub(since) >= noticeAfter {
				noticed = true
				r.job.Note("nothing is acknowledged; the broker says: " + refusal.Error() + "; trying again until it takes the records (--delivery-timeout " + r.job.Patience.String() + ")")
			}
			if now.Sub(since) >= r.job.Patience {
				r.stop.Store(true)
				r.giveUp(&StalledError{Patience: r.job.Patience, Cause: refusal})
				return
			}
		}
	}
}

// fail counts and reports a record that was not sent or not acknowledged, and
// says whether to go on.
func (r *run) fail(e *input.RecordError) bool {
	r.Failed.Add(1)
	r.reporting.Lock()
	defer r.reporting.Unlock()
	if r.reported < maxReported {
		r.reported++
		r.job.Report(e)
	}
	if !r.job.KeepGoing {
		r.stop.Store(true)
	}
	return !r.stop.Load()
}
