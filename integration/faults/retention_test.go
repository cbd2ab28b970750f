package faults

import (
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/streamweir/streamweir/integration/harness"
)

const megabyte = 1 << 20

// often has a broker look for what has expired ten times a second.
func often() []harness.Option {
	return []harness.Option{
		harness.Config("log.retention.check.interval.ms", "100"),
		harness.PeerConfig("log.initial.task.delay.ms", "100"),
	}
}

// What is older than retention.ms goes, what is younger stays, and a changed
// retention.ms holds at once.
func TestRetentionByTime(t *testing.T) {
	s := harness.Start(t, often()...)
	ctx := harness.Context(t, 3*harness.Long)
	old := time.Now().Add(-time.Hour)
	fill := func(topic string, at time.Time) {
		t.Helper()
		cl := writer(t, s, topic)
		for range 10 {
			r := &kgo.Record{Value: []byte("v"), Timestamp: at}
			if err := cl.ProduceSync(ctx, r).FirstErr(); err != nil {
				t.Fatal(err)
			}
		}
	}
	gone := func(topic string) {
		t.Helper()
		harness.Eventually(t, harness.Long, "the old records are gone", func() error {
			return atLeast("the log start", start(t, s, topic), 10)
		})
	}
	short, long, forever := harness.Topic(t, s, 1, "retention.ms=600000"), harness.Topic(t, s, 1), harness.Topic(t, s, 1, "retention.ms=-1")
	for _, topic := range []string{long, forever, short} {
		fill(topic, old)
	}
	gone(short)
	fill(short, time.Now())
	// A further pass of retention has been, once another topic is empty too.
	marker := harness.Topic(t, s, 1, "retention.ms=600000")
	fill(marker, old)
	gone(marker)
	for topic, want := range map[string]int64{short: 10, long: 0, forever: 0} {
		if got := start(t, s, topic); got != want {
			t.Errorf("%s begins at %d, want %d", topic, got, want)
		}
	}
	if got := end(t, s, short); got != 20 {
		t.Errorf("%s ends at %d, want 20", short, got)
	}
	alter(t, s, long, "retention.ms", "600000")
	gone(long)
}

func alter(t testing.TB, s *harness.Server, topic, name, value string) {
	t.Helper()
	adm := harness.Admin(t, s)
	rs, err := adm.AlterTopicConfigs(harness.Context(t, harness.Long), []kadm.AlterConfig{{Op: kadm.SetConfig, Name: name, Value: &value}}, topic)
	if err == nil {
		_, err = rs.On(topic, nil)
	}
	if err != nil {
		t.Fatalf("set %s=%s: %v", name, value, err)
	}
}

// Under a load that never ends, disk use stays near retention.bytes.
func TestRetentionBySizeReturnsDiskUnderLoad(t *testing.T) {
	s := harness.Start(t, append(often(), harness.Config("log.retention.check.interval.ms", "500"))...)
	const (
		keep    = 64 * megabyte
		segment = 8 * megabyte
		// What the store may need besides: files being written and being
		// rewritten, and what was deleted and is not collected yet.
		slack = 640 * megabyte
	)
	written := int64(harness.Scale(1200)) * megabyte
	topic := harness.Topic(t, s, 1, fmt.Sprintf("retention.bytes=%d", keep), fmt.Sprintf("segment.bytes=%d", segment),
		"file.delete.delay.ms=1000")
	ctx := harness.Context(t, 5*harness.Long)
	cl := writer(t, s, topic)
	value := harness.Incompressible(7, megabyte)
	var largest int64
	began := time.Now()
	for sent := int64(0); sent < written; sent += 16 * megabyte {
		var rs []*kgo.Record
		for range 16 {
			rs = append(rs, kgo.SliceRecord(value))
		}
		if err := cl.ProduceSync(ctx, rs...).FirstErr(); err != nil {
			t.Fatalf("after %d MB: %v", sent/megabyte, err)
		}
		use := harness.DiskUse(t, s.DataDir())
		largest = max(largest, use)
		if sent%(160*megabyte) == 0 {
			t.Logf("%d MB written after %v: %d MB on disk", sent/megabyte, time.Since(began).Round(time.Second), use/megabyte)
		}
	}
	took := time.Since(began)
	t.Logf("%d MB/s", int64(float64(written/megabyte)/took.Seconds()))
	t.Logf("wrote %d MB, at most %d MB on disk at a time", written/megabyte, largest/megabyte)
	if largest > keep+slack {
		t.Errorf("%d MB on disk while %d MB were written with retention.bytes of %d MB", largest/megabyte, written/megabyte, keep/megabyte)
	}
	harness.Eventually(t, harness.Long, "the log is as short as it should be", func() error {
		kept := (end(t, s, topic) - start(t, s, topic)) * megabyte
		if kept > keep+2*segment || kept < keep-segment {
			return fmt.Errorf("%d MB are kept", kept/megabyte)
		}
		return nil
	})
	harness.Eventually(t, harness.Long, "disk use returns", func() error {
		if use := harness.DiskUse(t, s.DataDir()); use > keep+slack/2 {
			return fmt.Errorf("%d MB on disk", use/megabyte)
		}
		return nil
	})
}

// Deleting a topic gives its space back.
func TestDeletedTopicReturnsDisk(t *testing.T) {
	s := harness.Start(t, harness.Config("storage.sync", "os"))
	before := harness.DiskUse(t, s.DataDir())
	topic := harness.Topic(t, s, 1)
	ctx := harness.Context(t, 3*harness.Long)
	cl := writer(t, s, topic)
	value := harness.Incompressible(9, megabyte)
	const written = 400
	for range written {
		if err := put(ctx, cl, value); err != nil {
			t.Fatal(err)
		}
	}
	if use := harness.DiskUse(t, s.DataDir()); use < before+written*megabyte/2 {
		t.Fatalf("%d MB on disk after %d MB were written", use/megabyte, written)
	}
	if _, err := harness.Admin(t, s).DeleteTopics(ctx, topic); err != nil {
		t.Fatal(err)
	}
	harness.Eventually(t, 2*harness.Long, "the space is back", func() error {
		if use := harness.DiskUse(t, s.DataDir()); use > before+200*megabyte {
			return fmt.Errorf("%d MB on disk, %d MB before", use/megabyte, before/megabyte)
		}
		return nil
	})
}
