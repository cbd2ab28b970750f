package main

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/streamweir/streamweir/integration/bench/comparison"
)

// getLimit is how many records a GetRecords asks for: as many as AWS gives.
const getLimit = 10000

// got is what reading a stream back achieved.
type got struct {
	comparison.Interval // of records
	latencies           []time.Duration
}

// getAll reads what was put: once to see that all of it is there and is what was
// put, and then over and over for the measured time.
func (l load) getAll(ctx context.Context, c *config, s *comparison.Server, w *written) (*got, error) {
	ctx, cancel := context.WithTimeout(ctx, 8*c.Measure+4*requestTimeout)
	defer cancel()
	readers := make([]*reader, min(l.connections, l.shards))
	for i := range readers {
		readers[i] = &reader{stream: l.stream, put: w.put, counts: map[string]int64{}}
		for shard := i; shard < l.shards; shard += len(readers) {
			readers[i].shards = append(readers[i].shards, fmt.Sprintf("shardId-%012d", shard))
		}
		var err error
		if readers[i].conn, err = dial(ctx, s.Addr, l.format); err != nil {
			return nil, err
		}
		defer readers[i].conn.close()
	}
	if err := together(readers, (*reader).check); err != nil {
		return nil, fmt.Errorf("read back %s: %w", l.title(), err)
	}
	if found := total(readers); found != w.records {
		return nil, fmt.Errorf("read back %s: %d records were acknowledged, %d are there", l.title(), w.records, found)
	}

	before, err := s.Usage()
	if err != nil {
		return nil, err
	}
	start := total(readers)
	until := before.At.Add(c.Measure)
	err = together(readers, func(r *reader) error { return r.passUntil(until) })
	if err != nil {
		return nil, fmt.Errorf("get %s: %w", l.title(), err)
	}
	after, err := s.Usage()
	if err != nil {
		return nil, err
	}
	result := &got{Interval: comparison.NewInterval(total(readers)-start, before, after)}
	for _, r := range readers {
		result.latencies = append(result.latencies, r.latencies...)
	}
	return result, nil
}

func together(readers []*reader, do func(*reader) error) error {
	var group errgroup.Group
	for _, r := range readers {
		group.Go(func() error { return do(r) })
	}
	return group.Wait()
}

func total(readers []*reader) (records int64) {
	for _, r := range readers {
		records += r.records
	}
	return records
}

// reader gets some shards of a stream over one connection.
type reader struct {
	conn      *conn
	stream    string
	shards    []string
	put       map[string][]byte
	counts    map[string]int64 // how many records each shard has
	records   int64            // read so far
	latencies []time.Duration  // of requests of all passes
}

// check reads every shard to its end, counts its records, and looks into the
// first ones.
func (r *reader) check() error {
	for _, shard := range r.shards {
		iterator, err := r.start(shard)
		if err != nil {
			return err
		}
		if err := r.look(shard, iterator); err != nil {
			return err
		}
		for {
			n, last, err := r.get(shard, &iterator)
			if err != nil {
				return err
			}
			r.counts[shard] += n
			if n == 0 && last {
				break
			}
		}
	}
	return nil
}

// passUntil reads every shard to its end, again and again.
func (r *reader) passUntil(until time.Time) error {
	for {
		for _, shard := range r.shards {
			iterator, err := r.start(shard)
			if err != nil {
				return err
			}
			for left := r.counts[shard]; left > 0; {
				began := time.Now()
				if began.After(until) {
					return nil
				}
				n, _, err := r.get(shard, &iterator)
				if err != nil {
					return err
				}
				r.latencies = append(r.latencies, time.Since(began))
				if n == 0 || n > left {
					return fmt.Errorf("%s gave %d records where %d are left", shard, n, left)
				}
				left -= n
			}
		}
	}
}

// start gets an iterator to the oldest record of a shard.
func (r *reader) start(shard string) (string, error) {
	var answer struct{ ShardIterator string }
	err := r.conn.call("GetShardIterator", map[string]any{
		"StreamName": r.stream, "ShardId": shard, "ShardIteratorType": "TRIM_HORIZON",
	}, &answer)
	return answer.ShardIterator, err
}

type getRecordsInput struct {
	ShardIterator string
	Limit         int
}

// get reads once, and moves the iterator. It says how many records came and
// whether there are no more behind them.
func (r *reader) get(shard string, iterator *string) (records int64, last bool, err error) {
	f := r.conn.format
	body, err := f.marshal(getRecordsInput{*iterator, getLimit})
	if err != nil {
		return 0, false, err
	}
	request, err := signed(r.conn.addr, f, "GetRecords", body)
	if err != nil {
		return 0, false, err
	}
	response, err := r.conn.roundTrip("GetRecords", request)
	if err != nil {
		return 0, false, err
	}
	// The iterator stands before or behind the records, depending on the server.
	at := bytes.Index(response, f.nextIterator)
	if at < 0 {
		return 0, false, f.unexpected(response, "a response from %s has no next iterator", shard)
	}
	if *iterator, err = f.stringAt(response[at+len(f.nextIterator):]); err != nil {
		return 0, false, fmt.Errorf("the next iterator from %s: %w", shard, err)
	}
	records = int64(bytes.Count(response, f.sequence))
	r.records += records
	return records, bytes.Contains(response, f.atEnd), nil
}

// look compares the first records of a shard with what was put.
func (r *reader) look(shard, iterator string) error {
	var answer struct{ Records []record }
	if err := r.conn.call("GetRecords", getRecordsInput{iterator, getLimit}, &answer); err != nil {
		return err
	}
	if len(answer.Records) == 0 {
		return fmt.Errorf("%s has no records", shard)
	}
	for i, record := range answer.Records {
		if want, ok := r.put[record.PartitionKey]; !ok || !bytes.Equal(record.Data, want) {
			return fmt.Errorf("record %d of %s, with key %q, is not what was put", i, shard, record.PartitionKey)
		}
	}
	return nil
}
