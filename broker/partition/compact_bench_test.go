package partition

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/streamweir/streamweir/broker/config"
	"github.com/streamweir/streamweir/broker/memory"
	"github.com/streamweir/streamweir/broker/topic"
	"github.com/streamweir/streamweir/protocol/kafka"
	"github.com/streamweir/streamweir/storage/badgerstore"
)

// BenchmarkCompactionPass fills a partition on disk with updates of few keys, and
// makes one pass over it while another partition is written to. MB/s are of the log
// that the pass went over; p50, p99 and max are of the appends meanwhile, and
// "quiet" of appends without a pass. STREAMWEIR_COMPACT_MB is the size of the log
// (256), STREAMWEIR_COMPACT_SYNC=1 has each append synced:
//
//	STREAMWEIR_COMPACT_MB=10240 go test -run - -bench CompactionPass -benchtime 1x -timeout 1h ./broker/partition
func BenchmarkCompactionPass(b *testing.B) {
	megabytes := 256
	if v := os.Getenv("STREAMWEIR_COMPACT_MB"); v != "" {
		var err error
		if megabytes, err = strconv.Atoi(v); err != nil {
			b.Fatal(err)
		}
	}
	for _, valueBytes := range []int{100, 1000, 10_000} {
		b.Run(fmt.Sprintf("value=%d", valueBytes), func(b *testing.B) {
			for range b.N {
				benchPass(b, int64(megabytes)<<20, valueBytes)
			}
		})
	}
}

func benchPass(b *testing.B, size int64, valueBytes int) {
	b.StopTimer()
	store, err := badgerstore.Open(badgerstore.Options{Dir: b.TempDir(), SyncAlways: os.Getenv("STREAMWEIR_COMPACT_SYNC") != ""})
	if err != nil {
		b.Fatal(err)
	}
	defer store.Close()
	cat, err := topic.Open(store.Meta(), config.Default(), topic.Options{})
	if err != nil {
		b.Fatal(err)
	}
	compact, zero := "compact", "0"
	_, errs, err := cat.Create([]topic.NewTopic{{Name: "t", Partitions: 2, ReplicationFactor: 1, Configs: []topic.ConfigValue{
		{Name: "cleanup.policy", Value: &compact}, {Name: "min.cleanable.dirty.ratio", Value: &zero},
	}}}, false)
	if err != nil || len(errs) > 0 && errs[0] != nil {
		b.Fatal(err, errs)
	}
	m := NewManager(Options{Store: store, Log: zap.NewNop(), CacheBytes: 16 << 20, ProducerExpiration: func() time.Duration { return time.Hour }})
	m.Open(cat.Topic("t"))
	id := cat.Topic("t").ID
	fillTable(b, m.Get(id, 0), size, valueBytes)
	quiet := measureAppends(b, m.Get(id, 1), func() {
		<-time.After(2 * time.Second)
	})
	b.StartTimer()
	began := time.Now()
	var took time.Duration
	busy := measureAppends(b, m.Get(id, 1), func() {
		m.Compact(b.Context(), Compaction{Enabled: true, Threads: 1, MapBytes: 128 << 20, MapLoad: 0.9})
		took = time.Since(began)
	})
	b.StopTimer()
	s := m.CompactionStats()
	if s.Passes == 0 || len(s.Uncleanable) > 0 {
		b.Fatalf("%+v", s)
	}
	b.ReportMetric(float64(size)/(1<<20)/took.Seconds(), "MB/s")
	b.ReportMetric(float64(s.Removed)/float64(size), "removed")
	for _, q := range []struct {
		name string
		of   float64
	}{{"p50", 0.5}, {"p99", 0.99}, {"max", 1}} {
		b.ReportMetric(float64(quantile(busy, q.of).Microseconds()), q.name+"-us")
		b.ReportMetric(float64(quantile(quiet, q.of).Microseconds()), "quiet-"+q.name+"-us")
	}
}

// fillTable appends batches of about 64 KB, each key 10 times in all.
func fillTable(b *testing.B, p *Partition, size int64, valueBytes int) {
	perBatch := max(1, 64_000/valueBytes)
	keys := max(1, size/int64(valueBytes)/10)
	value := make([]byte, valueBytes)
	var wg sync.WaitGroup
	var failed atomic.Pointer[error]
	slots := make(chan struct{}, 64)
	next := int64(0)
	for written := int64(0); written < size; {
		var rs []kafka.Record
		for range perBatch {
			// A generator that goes over all keys in another order each time.
			next = next*6364136223846793005 + 1442695040888963407
			rs = append(rs, kafka.Record{Timestamp: 1, Key: fmt.Appendf(nil, "key-%d", uint64(next)%uint64(keys)), Value: value})
		}
		raw, err := kafka.BuildBatch(nil, kafka.BatchOptions{}, rs...)
		if err != nil {
			b.Fatal(err)
		}
		written += int64(len(raw))
		slots <- struct{}{}
		wg.Add(1)
		p.Append(Request{Batch: raw, Internal: true, Done: func(r Result) {
			if r.Err != nil {
				failed.Store(&r.Err)
			}
			<-slots
			wg.Done()
		}})
	}
	wg.Wait()
	if err := failed.Load(); err != nil {
		b.Fatal(*err)
	}
}

// measureAppends appends 1 KB a thousand times a second while work runs, and
// returns how long each took.
func measureAppends(b *testing.B, p *Partition, work func()) []time.Duration {
	raw, err := kafka.BuildBatch(nil, kafka.BatchOptions{}, kafka.Record{Timestamp: time.Now().UnixMilli(), Key: []byte("k"), Value: make([]byte, 1000)})
	if err != nil {
		b.Fatal(err)
	}
	var done atomic.Bool
	var wg sync.WaitGroup
	var took []time.Duration
	wg.Go(func() {
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for !done.Load() {
			<-tick.C
			buf := memory.NewBuffer(len(raw))
			copy(buf.B, raw)
			result := make(chan Result, 1)
			began := time.Now()
			p.Append(Request{Batch: buf.B, Buffer: buf, Done: func(r Result) { result <- r }})
			buf.Release()
			if r := <-result; r.Err != nil {
				b.Error(r.Err)
				return
			}
			took = append(took, time.Since(began))
		}
	})
	work()
	done.Store(true)
	wg.Wait()
	slices.Sort(took)
	return took
}

func quantile(sorted []time.Duration, of float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(len(sorted)-1, int(float64(len(sorted))*of))]
}
