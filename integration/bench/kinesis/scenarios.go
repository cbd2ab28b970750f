package main

import (
	"context"
	"fmt"
	"time"

	"github.com/streamweir/streamweir/integration/bench/comparison"
)

func scenarios(c *config) []comparison.Scenario {
	small := load{stream: "small", format: jsonFormat, shards: 4, connections: 4, recordBytes: 100, perRequest: 500}
	large := load{stream: "large", format: jsonFormat, shards: 4, connections: 4, recordBytes: 1 << 10, perRequest: 500}
	wide := load{stream: "wide", format: jsonFormat, shards: 16, connections: 16, recordBytes: 1 << 10, perRequest: 50}
	inCBOR := func(l load) load {
		l.format = cborFormat
		return l
	}
	return []comparison.Scenario{
		{Name: "start", What: "start to the first acknowledged record, then idle memory and CPU", Run: c.start},
		c.throughput("small", small),
		c.throughput("small-cbor", inCBOR(small)),
		c.throughput("1kb", large),
		c.throughput("1kb-cbor", inCBOR(large)),
		c.throughput("wide", wide),
		{Name: "single", What: "PutRecord of one 1 KB record at a time over one connection", Run: c.oneAtATime},
		{Name: "fan-out", What: fmt.Sprintf("put to enhanced fan-out consumer with aws-sdk-go-v2 at %d records a second", c.rate), Run: c.fanOut},
	}
}

// throughput is a put load, and then getting back what it has put.
func (c *config) throughput(name string, l load) comparison.Scenario {
	return comparison.Scenario{
		Name: name, What: "PutRecords, then GetRecords of the same: " + l.title(),
		Run: func(ctx context.Context, s *comparison.Server, _ time.Duration) ([]comparison.Metric, error) {
			conn, err := dial(ctx, s.Addr, l.format)
			if err != nil {
				return nil, err
			}
			err = conn.createStream(l.stream, l.shards)
			conn.close()
			if err != nil {
				return nil, err
			}
			w, err := l.putAll(ctx, c, s)
			if err != nil {
				return nil, err
			}
			all := l.metrics("put "+l.title(), w.Interval, w.latencies)
			memory, err := s.MemoryMetric("put "+l.title(), "anonymous memory after it MB")
			if err != nil {
				return nil, err
			}
			all = append(all, memory...)
			if err := comparison.Settle(s.Dir); err != nil {
				return nil, err
			}
			g, err := l.getAll(ctx, c, s, w)
			if err != nil {
				return nil, err
			}
			all = append(all, l.metrics("get "+l.title(), g.Interval, g.latencies)...)
			memory, err = s.MemoryMetric("get "+l.title(), "anonymous memory after it MB")
			return append(all, memory...), err
		},
	}
}

func (l load) metrics(title string, done comparison.Interval, latencies []time.Duration) []comparison.Metric {
	all := []comparison.Metric{
		comparison.Figure(title, "records/s", done.PerSecond(), 0, comparison.ForComparison),
		comparison.Figure(title, "MB/s", done.PerSecond()*float64(l.recordBytes)/1e6, 1, comparison.ForComparison),
	}
	all = append(all, percentiles(title, latencies)...)
	return append(all, done.CPUMetrics(title, "Mrec", 1e6, 2)...)
}

// percentiles of the latencies of requests. A slow server answers too few to speak
// of a 99th percentile: that one is missing then.
func percentiles(title string, latencies []time.Duration) (all []comparison.Metric) {
	for _, q := range []comparison.Quantile{comparison.P50, comparison.P99} {
		if metric, err := comparison.Percentiles(title, latencies, q); err == nil {
			all = append(all, metric...)
		}
	}
	return all
}

// start reports how long the server took to its first acknowledgement, and what
// it holds and spends when nobody wants anything of it.
func (c *config) start(ctx context.Context, s *comparison.Server, took time.Duration) ([]comparison.Metric, error) {
	idle, err := c.IdleMetrics(ctx, s)
	return append([]comparison.Metric{comparison.StartMetric(took)}, idle...), err
}

type putRecordInput struct {
	StreamName   string
	Data         []byte
	PartitionKey string
}

const (
	firstStream  = "first"
	singleStream = "single"
	singleBytes  = 1 << 10
)

// firstRecord creates a stream unless it is there and puts one record to it.
func firstRecord(ctx context.Context, s *comparison.Server) error {
	conn, err := dial(ctx, s.Addr, jsonFormat)
	if err != nil {
		return err
	}
	defer conn.close()
	if err := conn.createStream(firstStream, 1); err != nil {
		return err
	}
	return conn.putOne(firstStream, nil)
}

// putOne puts a record of 1 KB; request is what singleRequest made, or nil.
func (c *conn) putOne(stream string, request []byte) error {
	if request == nil {
		var err error
		if request, err = c.singleRequest(stream); err != nil {
			return err
		}
	}
	response, err := c.roundTrip("PutRecord", request)
	if err != nil {
		return err
	}
	var answer struct{ SequenceNumber, ShardId string }
	if err := c.format.unmarshal(response, &answer); err != nil {
		return fmt.Errorf("decode the response to PutRecord: %w", err)
	}
	if answer.SequenceNumber == "" || answer.ShardId == "" {
		return fmt.Errorf("the response to PutRecord names no record: %q", response)
	}
	return nil
}

func (c *conn) singleRequest(stream string) ([]byte, error) {
	one := records(1, singleBytes, 1)[0]
	body, err := c.format.marshal(putRecordInput{stream, one.Data, one.PartitionKey})
	if err != nil {
		return nil, err
	}
	return signed(c.addr, c.format, "PutRecord", body)
}

// oneAtATime puts a record, waits for its acknowledgement, and only then puts
// the next one: what a caller who must know waits for.
func (c *config) oneAtATime(ctx context.Context, s *comparison.Server, _ time.Duration) ([]comparison.Metric, error) {
	ctx, cancel := context.WithTimeout(ctx, c.Warmup+c.Measure+requestTimeout)
	defer cancel()
	conn, err := dial(ctx, s.Addr, jsonFormat)
	if err != nil {
		return nil, err
	}
	defer conn.close()
	if err := conn.createStream(singleStream, 1); err != nil {
		return nil, err
	}
	request, err := conn.singleRequest(singleStream)
	if err != nil {
		return nil, err
	}
	const title = "PutRecord, 1 KB, one at a time"
	if _, err := conn.putFor(c.Warmup, request); err != nil {
		return nil, fmt.Errorf("%s: %w", title, err)
	}
	before, err := s.Usage()
	if err != nil {
		return nil, err
	}
	latencies, err := conn.putFor(c.Measure, request)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", title, err)
	}
	after, err := s.Usage()
	if err != nil {
		return nil, err
	}
	done := comparison.NewInterval(int64(len(latencies)), before, after)
	all := []comparison.Metric{comparison.Figure(title, "records/s", done.PerSecond(), 0, comparison.ForComparison)}
	return append(append(all, percentiles(title, latencies)...), done.CPUMetrics(title, "1000", 1e3, 3)...), nil
}

func (c *conn) putFor(d time.Duration, request []byte) (latencies []time.Duration, err error) {
	for began := time.Now(); time.Since(began) < d; {
		sent := time.Now()
		if err := c.putOne(singleStream, request); err != nil {
			return nil, err
		}
		latencies = append(latencies, time.Since(sent))
	}
	return latencies, nil
}
