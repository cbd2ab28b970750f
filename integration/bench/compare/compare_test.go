package main

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// quick is a config for runs that check the generator and measure nothing.
func quick(t *testing.T) *config {
	return &config{dir: t.TempDir(), warmup: 50 * time.Millisecond, measure: 300 * time.Millisecond, maxBytes: 1 << 28, inFlight: 3}
}

// fake is kfake inside the test, posing as a process of its own.
func fake(t *testing.T) (*broker, *kfake.Cluster) {
	t.Helper()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	own := &process{cmd: &exec.Cmd{Process: &os.Process{Pid: os.Getpid()}}, exited: make(chan struct{})}
	return &broker{
		system: &system{name: "fake"}, dir: t.TempDir(), addr: cluster.ListenAddrs()[0], began: time.Now(), proc: own,
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
	for _, sc := range scenarios() {
		t.Run(sc.name, func(t *testing.T) {
			b, _ := fake(t)
			c := quick(t)
			took, err := b.ready(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			metrics, err := sc.run(t.Context(), c, b, took)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range metrics {
				if math.IsNaN(m.value) || math.IsInf(m.value, 0) || m.value < 0 || (m.value == 0 && m.kind == forComparison && !strings.Contains(m.name, "CPU")) {
					t.Errorf("%s, %s: %v", m.scenario, m.name, m.value)
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
	conn, err := dial(t.Context(), b.addr)
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
			_, err := run(t.Context(), quick(t), b, 0)
			if !errors.Is(err, kerr.KafkaStorageError) {
				t.Errorf("the run ended with %v, not with the broker's error", err)
			}
		})
	}
}

func TestInterruptedRunEnds(t *testing.T) {
	b, _ := fake(t)
	c := quick(t)
	c.measure = time.Hour
	ctx, cancel := context.WithCancel(t.Context())
	timer := time.AfterFunc(100*time.Millisecond, cancel)
	defer timer.Stop()
	run := stream(load{topic: "t", partitions: 4, connections: 2, batchBytes: 8 << 10, batchCount: 8}, "t")
	if _, err := run(ctx, c, b, 0); err == nil {
		t.Error("an interrupted run came to an end without an error")
	}
}

// A broker's children must not outlive the run, whatever they do with signals.
func TestStopEndsTheWholeGroup(t *testing.T) {
	dir := t.TempDir()
	p, err := startProcess(dir, nil, "sh", "-c", "sh -c 'trap \"\" TERM; echo child $$; while :; do sleep 60; done' & wait")
	if err != nil {
		t.Fatal(err)
	}
	child := 0
	deadline := time.Now().Add(10 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for child == 0 && time.Now().Before(deadline) {
		<-tick.C
		if _, after, ok := strings.Cut(p.logTail(), "child "); ok {
			child, _ = strconv.Atoi(strings.TrimSpace(after))
		}
	}
	p.stop()
	if child == 0 {
		t.Fatal("the child did not say its process id")
	}
	for time.Now().Before(deadline) {
		if err := syscall.Kill(child, 0); errors.Is(err, syscall.ESRCH) || zombie(child) {
			return
		}
		<-tick.C
	}
	t.Errorf("child %d outlived its group", child)
}

// zombie: ended, but not yet collected by whoever inherited it.
func zombie(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && strings.Contains(string(stat), ") Z ")
}

func TestBrokerThatEndsIsReported(t *testing.T) {
	c := quick(t)
	s := &system{name: "short", command: func(*config, *broker) ([]string, []string) {
		return []string{"sh", "-c", "echo no disk today; exit 3"}, nil
	}}
	_, err := c.runOne(t.Context(), s, scenarios()[0])
	if err == nil || !strings.Contains(err.Error(), "no disk today") {
		t.Errorf("got %v, want the broker's last words", err)
	}
	left, err := os.ReadDir(c.dir)
	if err != nil || len(left) != 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
}

func TestMediansAndRatios(t *testing.T) {
	base := &system{name: "base"}
	other := &system{name: "other", baseline: "base"}
	r := results{systems: []*system{other, base}}
	for i, v := range []float64{100, 300, 110} {
		r.add("base", []metric{{"s", "MB/s", v, 0, forComparison}, {"s", "CPU %", 0, 1, forReading}})
		r.add("other", []metric{{"s", "MB/s", 220 + float64(i), 0, forComparison}, {"s", "CPU %", 1, 1, forReading}})
	}
	var text, markdown strings.Builder
	if err := r.writeText(&text); err != nil {
		t.Fatal(err)
	}
	if err := r.writeMarkdown(&markdown); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"221 (x2.01)", "110", "1.0"} {
		if !strings.Contains(text.String(), want) || !strings.Contains(markdown.String(), want) {
			t.Errorf("%q is missing in\n%s\n%s", want, text.String(), markdown.String())
		}
	}
	doubts := strings.Join(r.doubts(), "\n")
	if !strings.Contains(doubts, "base, s, MB/s: rounds from 100 to 300") || strings.Contains(doubts, "other") {
		t.Errorf("doubts: %s", doubts)
	}
}

func TestChoose(t *testing.T) {
	all := []string{"a", "b", "c"}
	self := func(s string) string { return s }
	notC := func(s string) bool { return s != "c" }
	for _, c := range []struct{ names, want string }{
		{"", "[a b]"}, {"c", "[c]"}, {"c,a", "[a c]"}, {" b ", "[b]"}, {"b,", "[b]"},
	} {
		got, err := choose(all, c.names, self, notC)
		if err != nil || fmt.Sprint(got) != c.want {
			t.Errorf("%q: %v, %v; want %s", c.names, got, err, c.want)
		}
	}
	if _, err := choose(all, "a,x", self, notC); err == nil || !strings.Contains(err.Error(), `"x"`) {
		t.Errorf("unknown name: %v", err)
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
