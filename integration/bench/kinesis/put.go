package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/streamweir/streamweir/integration/bench/comparison"
)

const requestsEach = 4 // different requests prepared for each connection

// load is one shape of traffic.
type load struct {
	stream      string
	format      *format
	shards      int
	connections int
	recordBytes int // of data
	perRequest  int // records
}

func (l load) title() string {
	return fmt.Sprintf("%s, %d B x %d, %d shards, %d connections", l.format.name, l.recordBytes, l.perRequest, l.shards, l.connections)
}

// record is one as a request and a response name it.
type record struct {
	Data         []byte
	PartitionKey string
}

type putRecordsInput struct {
	StreamName string
	Records    []record
}

// records makes n of random data, so that nothing on the way can compress it, and
// with random keys, so that they spread over the shards. The same seed gives
// the same records.
func records(n, size int, seed uint64) []record {
	var key [32]byte
	binary.LittleEndian.PutUint64(key[:], seed)
	random := rand.NewChaCha8(key)
	made := make([]record, n)
	for i := range made {
		made[i].Data = make([]byte, size)
		random.Read(made[i].Data) // never fails
		var id [8]byte
		random.Read(id[:])
		made[i].PartitionKey = hex.EncodeToString(id[:])
	}
	return made
}

// prepare makes the requests of each connection, and says which data was put
// under which key.
func (l load) prepare(addr string) (requests [][][]byte, put map[string][]byte, err error) {
	put = map[string][]byte{}
	requests = make([][][]byte, l.connections)
	for i := range requests {
		for n := range requestsEach {
			in := putRecordsInput{l.stream, records(l.perRequest, l.recordBytes, uint64(i*requestsEach+n))}
			for _, r := range in.Records {
				put[r.PartitionKey] = r.Data
			}
			body, err := l.format.marshal(in)
			if err != nil {
				return nil, nil, err
			}
			request, err := signed(addr, l.format, "PutRecords", body)
			if err != nil {
				return nil, nil, err
			}
			requests[i] = append(requests[i], request)
		}
	}
	return requests, put, nil
}

// acknowledged fails unless a response says that all records of a request were put.
func (l load) acknowledged(response []byte) error {
	f := l.format
	if got := bytes.Count(response, f.sequence); !bytes.Contains(response, f.noneFailed) || got != l.perRequest {
		return f.unexpected(response, "a response to PutRecords has sequence numbers for %d records of %d, or does not say that none failed", got, l.perRequest)
	}
	return nil
}

// written is what a put load achieved, and what it left in the stream.
type written struct {
	comparison.Interval // of records
	latencies           []time.Duration
	records             int64 // acknowledged in all, the warm-up with them
	put                 map[string][]byte
}

// putAll puts the load on a server: warm-up first, then the measured time.
// Nothing pauses between the two.
func (l load) putAll(ctx context.Context, c *config, s *comparison.Server) (*written, error) {
	ctx, cancel := context.WithTimeout(ctx, c.Warmup+c.Measure+requestTimeout)
	defer cancel()
	requests, put, err := l.prepare(s.Addr)
	if err != nil {
		return nil, err
	}
	result := &written{put: put}
	var acked atomic.Int64
	var stop atomic.Bool
	warm := time.Now().Add(c.Warmup)
	latencies := make([][]time.Duration, l.connections)
	group, ctx := errgroup.WithContext(ctx)
	for i := range l.connections {
		group.Go(func() error {
			conn, err := dial(ctx, s.Addr, l.format)
			if err != nil {
				return err
			}
			defer conn.close()
			for n := 0; !stop.Load(); n++ {
				sent := time.Now()
				response, err := conn.roundTrip("PutRecords", requests[i][n%len(requests[i])])
				if err != nil {
					return err
				}
				if err := l.acknowledged(response); err != nil {
					return err
				}
				if sent.After(warm) {
					latencies[i] = append(latencies[i], time.Since(sent))
				}
				acked.Add(int64(l.perRequest))
			}
			return nil
		})
	}
	group.Go(func() error {
		defer stop.Store(true)
		var err error
		result.Interval, err = c.Observe(ctx, s, &acked, c.maxBytes/int64(l.recordBytes))
		return err
	})
	if err := group.Wait(); err != nil {
		return nil, fmt.Errorf("put %s: %w", l.title(), err)
	}
	result.records = acked.Load()
	for _, some := range latencies {
		result.latencies = append(result.latencies, some...)
	}
	return result, nil
}
