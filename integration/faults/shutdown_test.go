package faults

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/streamweir/streamweir/integration/harness"
)

// A stop in the middle of many requests: what was acknowledged is there, what
// was sent once is there at most once, and clients find the server again.
func TestStopInTheMiddleOfRequests(t *testing.T) {
	s := harness.Start(t)
	const writers, partitions = 8, 4
	topic := harness.Topic(t, s, partitions)
	ctx := harness.Context(t, 3*harness.Long)
	var mu sync.Mutex
	acked := map[string]int{}
	var wg sync.WaitGroup
	stop := make(chan struct{})
	for w := range writers {
		cl := harness.Client(t, s, kgo.DefaultProduceTopic(topic), kgo.ManualFlushing(),
			kgo.MaxBufferedRecords(100))
		wg.Add(1)
		go func() {
			defer wg.Done()
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				v := fmt.Sprintf("%d-%d", w, i)
				cl.Produce(ctx, kgo.StringRecord(v), func(_ *kgo.Record, err error) {
					if err == nil {
						mu.Lock()
						acked[v] = 0
						mu.Unlock()
					}
				})
				if err := cl.Flush(ctx); err != nil {
					return
				}
			}
		}()
	}
	count := func() int64 { mu.Lock(); defer mu.Unlock(); return int64(len(acked)) }
	for round := range 3 {
		before := count()
		harness.Eventually(t, harness.Long, "writers are at work", func() error { return atLeast("acknowledged", count(), before+500) })
		s.Restart(t)
		after := count()
		harness.Eventually(t, harness.Long, fmt.Sprintf("clients are back after restart %d", round+1), func() error {
			return atLeast("acknowledged", count(), after+100)
		})
	}
	close(stop)
	wg.Wait()
	if ctx.Err() != nil {
		t.Fatal("the writers did not end")
	}
	readEach(t, s, topic, acked)
}

// readEach reads a topic and checks that it holds each key of want once.
func readEach(t testing.TB, s *harness.Server, topic string, want map[string]int) {
	t.Helper()
	cl := harness.Client(t, s, kgo.ConsumeTopics(topic))
	defer cl.Close()
	ctx := harness.Context(t, harness.Long)
	ends, err := harness.Admin(t, s).ListEndOffsets(ctx, topic)
	if err != nil {
		t.Fatal(err)
	}
	total := int64(0)
	ends.Each(func(o kadm.ListedOffset) { total += o.Offset })
	for read := int64(0); read < total; {
		fs := cl.PollFetches(ctx)
		if err := fs.Err(); err != nil {
			t.Fatalf("after %d of %d records: %v", read, total, err)
		}
		fs.EachRecord(func(r *kgo.Record) {
			read++
			want[string(r.Value)]++
		})
	}
	lost, twice := 0, 0
	for _, n := range want {
		switch {
		case n == 0:
			lost++
		case n > 1:
			twice++
		}
	}
	if lost > 0 || twice > 0 {
		t.Errorf("of %d records, %d were acknowledged and are lost, %d are there twice", len(want), lost, twice)
	}
}

// A fetch that waits does not hold up a stop, and neither does an idle
// connection.
func TestStopDoesNotWaitForWaitingFetches(t *testing.T) {
	harness.OnlyStreamweir(t, "its controlled shutdown takes its own time")
	s := harness.Start(t)
	topic := harness.Topic(t, s, 1)
	idle := harness.Dial(t, s)
	waiting := harness.Dial(t, s)
	req := fetchRequest(topic, 0)
	req.MinBytes, req.MaxWaitMillis = 1, 120_000
	if _, err := waiting.Send(req); err != nil {
		t.Fatal(err)
	}
	mustServe(t, s)
	began := time.Now()
	s.Stop(t)
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("the stop took %v", took)
	}
	for name, c := range map[string]*harness.Conn{"idle": idle, "waiting": waiting} {
		c.SetDeadline(time.Now().Add(10 * time.Second))
		for {
			if _, err := c.ReadFrame(); err != nil {
				var ne interface{ Timeout() bool }
				if errors.As(err, &ne) && ne.Timeout() {
					t.Errorf("the %s connection was left open", name)
				}
				break
			}
		}
	}
}

// fetchRequest asks for partition 0 of a topic by name.
func fetchRequest(topic string, offset int64) *kmsg.FetchRequest {
	req := harness.At(kmsg.NewPtrFetchRequest(), 12)
	req.ReplicaID, req.MaxBytes, req.SessionEpoch = -1, 50<<20, -1
	rt := kmsg.NewFetchRequestTopic()
	rt.Topic = topic
	rp := kmsg.NewFetchRequestTopicPartition()
	rp.FetchOffset, rp.PartitionMaxBytes = offset, 50<<20
	rt.Partitions = append(rt.Partitions, rp)
	req.Topics = append(req.Topics, rt)
	return req
}

// An interrupt from a terminal stops as cleanly as SIGTERM.
func TestInterruptStopsCleanly(t *testing.T) {
	harness.OnlyStreamweir(t, "a JVM's exit codes are not ours")
	s := harness.Start(t)
	mustServe(t, s)
	s.Signal(t, syscall.SIGINT)
	if code := s.WaitExit(t, harness.Long); code != 0 {
		t.Errorf("exit code %d after SIGINT", code)
	}
}

// A stop whose last writes fail, because the data directory is gone, ends by
// itself and says so: it tried for ever.
func TestStopWithoutItsDirectory(t *testing.T) {
	harness.OnlyStreamweir(t, "it is about our storage")
	s := harness.Start(t, harness.DataDir(filepath.Join(t.TempDir(), "data")))
	mustServe(t, s)
	if err := os.RemoveAll(s.DataDir()); err != nil {
		t.Fatal(err)
	}
	s.Signal(t, syscall.SIGTERM)
	if code := s.WaitExit(t, harness.Long); code != 1 {
		t.Errorf("exit code %d, want 1", code)
	}
	if log := s.LogTail(); !strings.Contains(log, "gave up") {
		t.Errorf("the log does not say that it gave up: %s", log)
	}
}

// A second signal ends at once, even with a client that takes its time; what
// was acknowledged is there all the same.
func TestSecondSignalEndsAtOnce(t *testing.T) {
	harness.OnlyStreamweir(t, "a JVM ignores the second one")
	s := harness.Start(t)
	topic := harness.Topic(t, s, 1)
	ctx := harness.Context(t, harness.Long)
	cl := writer(t, s, topic)
	const n = 40
	for i := range n {
		if err := put(ctx, cl, harness.Incompressible(uint64(i), megabyte)); err != nil {
			t.Fatal(err)
		}
	}
	stalled(t, s, topic, 20)
	s.Signal(t, syscall.SIGTERM)
	// Two signals at once are one to the kernel: wait until the first is heard.
	harness.Eventually(t, harness.Long, "the server takes no more connections", func() error {
		c, err := net.DialTimeout("tcp", s.Addr(), time.Second)
		if err != nil {
			return nil
		}
		c.Close()
		return errors.New("it does")
	})
	s.Signal(t, syscall.SIGTERM)
	began := time.Now()
	s.WaitExit(t, harness.Long)
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("the process went on for %v after the second signal", took)
	}
	s.StartAgain(t)
	readBack(t, s, topic, 0, n)
}

// stalled opens a connection that asks for far more than it reads.
func stalled(t testing.TB, s *harness.Server, topic string, requests int) *harness.Conn {
	t.Helper()
	c := harness.Dial(t, s)
	req := fetchRequest(topic, 0)
	c.SetWriteDeadline(time.Now().Add(10 * time.Second))
	for range requests {
		if _, err := c.Send(req); err != nil {
			t.Fatal(err)
		}
	}
	return c
}
