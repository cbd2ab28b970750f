package main

import (
	"context"
	"errors"
	"hash/crc32"
	"math"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/streamweir/streamweir/integration/bench/comparison"
)

// quick is a config for runs that check the generator and measure nothing.
func quick(t *testing.T) *config {
	return &config{
		Config:   comparison.Config{Dir: t.TempDir(), Warmup: 50 * time.Millisecond, Measure: 300 * time.Millisecond},
		maxBytes: 1 << 28, inFlight: 3,
	}
}

// fake is kfake inside the test, posing as a process of its own.
func fake(t *testing.T) (*comparison.Server, *kfake.Cluster) {
	t.Helper()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	own := &comparison.Process{Cmd: &exec.Cmd{Process: &os.Process{Pid: os.Getpid()}}, Exited: make(chan struct{})}
	return &comparison.Server{
		System: &comparison.System{Name: "fake"}, Dir: t.TempDir(), Addr: cluster.ListenAddrs()[0], Began: time.Now(), Proc: own,
	}, cluster
}

func TestBatchIsWhatABrokerAccepts(t *testing.T) {
	for _, c := range []struct{ records, size int }{{1, 1024}, {8, 8<<10 - batchOverhead}, {64, 64<<10 - batchOverhead}} {
		encoded := makeBatch(c.records, c.size, 7)
		var batch kmsg.RecordBatch
		if err := batch.ReadFrom(encoded); err != nil {
			t.Fatalf("%d records: %v", c.records, err)
		}
		if got := int(batch.Length) + 12; got != len(encoded) {
			t.Errorf("%d records: length says %d bytes, there are %d", c.records, got, len(encoded))
		}
		if want := crc32.Checksum(encoded[crcCoversFrom:], castagnoli); uint32(batch.CRC) != want {
			t.Errorf("%d records: CRC %x, want %x", c.records, uint32(batch.CRC), want)
		}
		// The batch is as long as it was meant to be, within a few bytes a record.
		if short := c.size + batchOverhead - len(encoded); short < 0 || short > 12*c.records {
			t.Errorf("%d records: %d bytes where %d were meant", c.records, len(encoded), c.size+batchOverhead)
		}
		rest := batch.Records
		for i := range c.records {
			var record kmsg.Record
			if err := record.ReadFrom(rest); err != nil {
				t.Fatalf("record %d of %d: %v", i, c.records, err)
			}
			if record.OffsetDelta != int32(i) {
				t.Errorf("record %d has offset delta %d", i, record.OffsetDelta)
			}
			again := record.AppendTo(nil)
			if int(record.Length) != len(again)-len(varint(record.Length)) {
				t.Errorf("record %d says it has %d bytes, it has %d", i, record.Length, len(again))
			}
			rest = rest[len(again):]
		}
		if len(rest) != 0 {
			t.Errorf("%d records: %d bytes follow the last one", c.records, len(rest))
		}
	}
}

// varint encodes as records do, by encoding a record with that length.
func varint(v int32) []byte {
	with, without := kmsg.Record{Length: v}, kmsg.Record{}
	return with.AppendTo(nil)[:len(with.AppendTo(nil))-len(without.AppendTo(nil))+1]
}

func TestEveryScenarioRuns(t *testing.T) {
	for _, sc := range scenarios(quick(t)) {
		t.Run(sc.Name, func(t *testing.T) {
			b, _ := fake(t)
			took, err := b.Ready(t.Context(), firstRecord)
			if err != nil {
				t.Fatal(err)
			}
			metrics, err := sc.Run(t.Context(), b, took)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range metrics {
				if math.IsNaN(m.Value) || math.IsInf(m.Value, 0) || m.Value < 0 || (m.Value == 0 && m.Kind == comparison.ForComparison && !strings.Contains(m.Name, "CPU")) {
					t.Errorf("%s, %s: %v", m.Scenario, m.Name, m.Value)
				}
			}
			if len(metrics) == 0 {
				t.Error("no figures")
			}
		})
	}
}

// What catch-up fetch counts must be what was written, for any shape of requests.
func TestCatchUpReadsWhatWasWritten(t *testing.T) {
	b, _ := fake(t)
	const batches, partitions = 23, 3
	conn, err := dial(t.Context(), b.Addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.close()
	if err := conn.createTopic("t", partitions); err != nil {
		t.Fatal(err)
	}
	var written int64
	for n := range int32(batches) {
		var all []partitionBatch
		for p := range int32(partitions) {
			batch := makeBatch(64, 64<<10, uint64(n))
			written += int64(len(batch))
			all = append(all, partitionBatch{p, batch})
		}
		if err := conn.send(encodeProduce("t", all...), n); err != nil {
			t.Fatal(err)
		}
		if err := conn.receiveProduce(produceVersion, n, partitions); err != nil {
			t.Fatal(err)
		}
	}
	r := &reader{conn: conn, topic: "t", mine: []int32{0, 1, 2}, next: map[int32]int64{}}
	if r.ends, err = conn.logEnds("t", partitions); err != nil {
		t.Fatal(err)
	}
	for pass := int64(1); pass <= 2; pass++ {
		if err := r.pass(); err != nil {
			t.Fatal(err)
		}
		if r.bytes != pass*written {
			t.Fatalf("pass %d: %d bytes read, %d written", pass, r.bytes, written)
		}
	}
}

func TestErrorOfTheBrokerEndsTheRun(t *testing.T) {
	fail := map[string]func(*kfake.Cluster){
		"produce": func(cluster *kfake.Cluster) {
			cluster.ControlKey(int16(kmsg.Produce), func(req kmsg.Request) (kmsg.Response, error, bool) {
				cluster.KeepControl()
				in := req.(*kmsg.ProduceRequest)
				resp := in.ResponseKind().(*kmsg.ProduceResponse)
				for _, t := range in.Topics {
					out := kmsg.NewProduceResponseTopic()
					out.Topic = t.Topic
					for _, p := range t.Partitions {
						partition := kmsg.NewProduceResponseTopicPartition()
						partition.Partition, partition.ErrorCode = p.Partition, kerr.KafkaStorageError.Code
						out.Partitions = append(out.Partitions, partition)
					}
					resp.Topics = append(resp.Topics, out)
				}
				return resp, nil, true
			})
		},
		"fetch": func(cluster *kfake.Cluster) {
			cluster.ControlKey(int16(kmsg.Fetch), func(req kmsg.Request) (kmsg.Response, error, bool) {
				cluster.KeepControl()
				in := req.(*kmsg.FetchRequest)
				resp := in.ResponseKind().(*kmsg.FetchResponse)
				out := kmsg.NewFetchResponseTopic()
				out.Topic = in.Topics[0].Topic
				partition := kmsg.NewFetchResponseTopicPartition()
				partition.ErrorCode = kerr.KafkaStorageError.Code
				out.Partitions = append(out.Partitions, partition)
				resp.Topics = append(resp.Topics, out)
				return resp, nil, true
			})
		},
	}
	for name, arrange := range fail {
		t.Run(name, func(t *testing.T) {
			b, cluster := fake(t)
			arrange(cluster)
			run := stream(load{topic: "t", partitions: 4, connections: 2, batchBytes: 8 << 10, batchCount: 8}, "t")
			_, err := run(t.Context(), quick(t), b)
			if !errors.Is(err, kerr.KafkaStorageError) {
				t.Errorf("the run ended with %v, not with the broker's error", err)
			}
		})
	}
}

func TestInterruptedRunEnds(t *testing.T) {
	b, _ := fake(t)
	c := quick(t)
	c.Measure = time.Hour
	ctx, cancel := context.WithCancel(t.Context())
	timer := time.AfterFunc(100*time.Millisecond, cancel)
	defer timer.Stop()
	run := stream(load{topic: "t", partitions: 4, connections: 2, batchBytes: 8 << 10, batchCount: 8}, "t")
	if _, err := run(ctx, c, b); err == nil {
		t.Error("an interrupted run came to an end without an error")
	}
}

func TestDropBytesTakesExactlySoMany(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	const size = 3<<20 + 17
	sent := make(chan error, 1)
	go func() {
		c, err := l.Accept()
		if err != nil {
			sent <- err
			return
		}
		defer c.Close()
		payload := make([]byte, size+1)
		payload[size] = 'x'
		_, err = c.Write(payload)
		sent <- err
	}()
	c, err := dial(t.Context(), l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	if b, err := c.in.ReadByte(); err != nil || b != 0 {
		t.Fatal(b, err)
	}
	if err := c.discard(size - 1); err != nil {
		t.Fatal(err)
	}
	if b, err := c.in.ReadByte(); err != nil || b != 'x' {
		t.Errorf("after what was dropped came %q, %v", b, err)
	}
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
	if err := c.discard(1); err == nil {
		t.Error("dropped a byte that never came")
	}
}
