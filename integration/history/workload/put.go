package workload

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"github.com/streamweir/streamweir/integration/history/checker"
)

const (
	// putters put one record at a time, batchers many.
	putters  = 2
	batchers = 2
	// putTimes is how often a record is sent whose answers are lost.
	putTimes = 3
	// putMost is how many records go into one PutRecords.
	putMost = 60
)

// putter makes the records of a writer that puts.
type putter struct {
	*sender
	api  *kinesis.Client
	last map[string]string // the last sequence number of each stream and key
	n    int32             // counts PutRecords
}

// entry is a record on its way.
type entry struct {
	key      string
	explicit *string
	data     []byte
	send     checker.Send
}

func (r *round) startPutters() {
	each := r.Rate / (putters + batchers + streamWriters)
	for i := range putters {
		r.put(fmt.Sprintf("putter-%d", i+1), i%2 == 1, each, 1)
	}
	for i := range batchers {
		r.put(fmt.Sprintf("batcher-%d", i+1), i%2 == 1, each, putMost)
	}
}

// put starts a writer.
func (r *round) put(name string, h2 bool, rate, most int) {
	p := &putter{sender: r.sender(name, checker.Putter), last: map[string]string{}}
	r.writers.Go(func() {
		api, done := r.api(h2)
		defer done()
		p.api = api
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for owed := 0.0; !r.rec.full(); {
			select {
			case <-r.loading.Done():
				return
			case <-tick.C:
			}
			owed = min(owed+float64(rate)/100, float64(most))
			if n := int(owed); n >= 1 && (most == 1 || p.rand.IntN(4) == 0) {
				owed -= float64(n)
				p.putSome(r.streams[p.rand.IntN(len(r.streams))], n, most > 1)
			}
		}
		<-r.loading.Done()
	})
}

// entry makes the writer's next record.
func (p *putter) entry(s *stream) *entry {
	p.seq++
	e := &entry{key: fmt.Sprintf("key-%d", p.rand.IntN(keys))}
	if p.rand.IntN(3) == 0 {
		e.key = fmt.Sprintf("ключ-%d-%d", p.id, p.seq)
	}
	hash := checker.HashOf(e.key)
	if p.rand.IntN(5) == 0 {
		hash = checker.Hash{High: p.rand.Uint64(), Low: p.rand.Uint64()}
		e.explicit = aws.String(hash.String())
	}
	e.send = p.toStream(s, hash)
	e.data = pack(byPut, e.send.ID, []byte(e.key), someSize(p.rand))
	return e
}

func (p *putter) toStream(s *stream, hash checker.Hash) checker.Send {
	return checker.Send{
		ID: checker.ID{Writer: p.id, Seq: p.seq}, Key: -1, To: checker.Partition{Topic: s.name, Index: checker.Nowhere}, Put: &checker.Put{Hash: hash},
	}
}

// putSome sends records until each has an answer, or has been sent often enough.
func (p *putter) putSome(s *stream, n int, batch bool) {
	var entries []*entry
	for range n {
		entries = append(entries, p.entry(s))
	}
	for left := entries; len(left) > 0; {
		if batch {
			left = p.putRecords(s, left)
		} else {
			left = p.putRecord(s, left[0])
		}
		if len(left) > 0 && (left[0].send.Put.Times >= putTimes || !wait(p.r.loading, between(p.rand, 10*time.Millisecond, 300*time.Millisecond))) {
			break
		}
	}
	for _, e := range entries {
		p.r.rec.send(e.send)
	}
}

// sending notes that a record is sent once more.
func (e *entry) sending(now checker.Time) {
	e.send.Outcome = checker.Unknown
	if e.send.Put.Times++; e.send.Put.Times == 1 {
		e.send.Start = now
	}
}

// acknowledged notes the answer.
func (p *putter) acknowledged(e *entry, now checker.Time, shard, number *string) {
	e.send.End = now
	seq, err := checker.ParseSequence(aws.ToString(number))
	if err != nil {
		e.send.Put.Bad = err.Error()
		return
	}
	e.send.Outcome, e.send.Offset, e.send.Put.Frame = checker.OK, seq.Offset, seq.Frame
	e.send.To.Index = shardIndex(shard)
	p.last[e.send.To.Topic+e.key] = *number
}

// declined notes that an attempt did nothing. The record was refused when there
// was no other.
func (e *entry) declined(now checker.Time) {
	if e.send.Put.Times == 1 {
		e.send.Outcome, e.send.End = checker.Failed, now
	}
}

func (p *putter) putRecord(s *stream, e *entry) (left []*entry) {
	in := &kinesis.PutRecordInput{StreamName: &s.name, PartitionKey: &e.key, ExplicitHashKey: e.explicit, Data: e.data}
	if number, ok := p.last[s.name+e.key]; ok && e.explicit == nil && p.rand.IntN(2) == 0 {
		in.SequenceNumberForOrdering = &number
	}
	ctx, cancel := context.WithTimeout(context.Background(), callWithin)
	defer cancel()
	e.sending(p.r.rec.now())
	out, err := p.api.PutRecord(ctx, in)
	now := p.r.rec.now()
	switch {
	case err == nil:
		p.acknowledged(e, now, out.ShardId, out.SequenceNumber)
		return nil
	case declined(err):
		e.declined(now)
		return nil
	}
	return []*entry{e}
}

func (p *putter) putRecords(s *stream, entries []*entry) (left []*entry) {
	in := &kinesis.PutRecordsInput{StreamName: &s.name}
	p.n++
	now := p.r.rec.now()
	for _, e := range entries {
		e.sending(now)
		in.Records = append(in.Records, types.PutRecordsRequestEntry{PartitionKey: &e.key, ExplicitHashKey: e.explicit, Data: e.data})
	}
	ctx, cancel := context.WithTimeout(context.Background(), callWithin)
	defer cancel()
	out, err := p.api.PutRecords(ctx, in)
	now = p.r.rec.now()
	if err != nil || len(out.Records) != len(entries) {
		if !declined(err) {
			return entries
		}
		for _, e := range entries {
			e.declined(now)
		}
		return nil
	}
	for i, e := range entries {
		switch result := out.Records[i]; aws.ToString(result.ErrorCode) {
		case "":
			p.acknowledged(e, now, result.ShardId, result.SequenceNumber)
			e.send.Put.Request = p.n
		case "ProvisionedThroughputExceededException":
			e.declined(now)
		default:
			left = append(left, e)
		}
	}
	return left
}

// someSize is the size of a record: mostly small.
func someSize(rnd *rand.Rand) int {
	if rnd.IntN(50) == 0 {
		return 5000 + rnd.IntN(20000)
	}
	return 40 + rnd.IntN(200)
}

// endStreams puts one record into each open shard: behind everything else, they
// are where readers have to arrive. Of a closed shard it is its last record.
func (r *round) endStreams(ctx context.Context, since checker.Time) map[checker.Partition]int64 {
	ctx, cancel := context.WithTimeout(ctx, r.Settle)
	defer cancel()
	api, done := r.api(false)
	defer done()
	at := map[checker.Partition]int64{}
	for _, s := range r.streams {
		err := retry(ctx, func() error { return r.list(ctx, api, s, true) })
		r.rec.await(checker.Await{What: checker.AwaitStream, Subject: "stream " + s.name, Reached: err == nil, Detail: fmt.Sprint(err), Start: since, End: r.rec.now()})
		open, closed := s.open()
		for _, shard := range closed {
			on := checker.Partition{Topic: s.name, Index: shard.Index}
			if last := r.rec.lastCommitted(on); last >= 0 {
				at[on] = last
			}
		}
		p := &putter{sender: r.sender("sentinel-"+s.name, checker.Putter), api: api, last: map[string]string{}}
		for _, shard := range open {
			r.putSentinel(ctx, p, s, shard, since, at)
		}
	}
	return at
}

func (r *round) putSentinel(ctx context.Context, p *putter, s *stream, shard checker.Shard, since checker.Time, at map[checker.Partition]int64) {
	p.seq++
	e := &entry{key: "sentinel", explicit: aws.String(shard.Low.String()), send: p.toStream(s, shard.Low)}
	e.data = pack(byPut, e.send.ID, []byte(e.key), 40)
	err := retry(ctx, func() error {
		if left := p.putRecord(s, e); len(left) > 0 || e.send.Outcome == checker.Failed {
			return fmt.Errorf("a record has no acknowledgement")
		}
		return nil
	})
	p.r.rec.send(e.send)
	if e.send.Outcome == checker.OK {
		at[e.send.To] = e.send.Offset
	}
	r.rec.await(checker.Await{What: checker.AwaitWrites, Subject: fmt.Sprintf("puts into %s/%d", s.name, shard.Index), Reached: err == nil,
		Detail: fmt.Sprint(err), Start: since, End: r.rec.now()})
}

// splitAt is where to split a shard: about in its middle.
func splitAt(shard checker.Shard, rnd *rand.Rand) (checker.Hash, bool) {
	at := checker.Between(shard.Low, shard.High)
	if rnd.IntN(2) == 0 {
		at = checker.Between(at, shard.High)
	}
	return at, at.Compare(shard.Low) > 0 && at.Next().Compare(shard.High) < 0 && shard.Low.Next() != at
}
