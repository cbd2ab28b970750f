package partition

import (
	"testing"
	"time"

	"github.com/streamweir/streamweir/protocol/kafka"
)

// TestLogAppendTimeNeverGoesBack: the clock is set back and forward by hours.
func TestLogAppendTimeNeverGoesBack(t *testing.T) {
	b := newBench(t, "message.timestamp.type", "LogAppendTime")
	var last int64
	for i, jump := range []time.Duration{0, time.Hour, -3 * time.Hour, -time.Minute, 5 * time.Hour, -48 * time.Hour, 49 * time.Hour} {
		b.now = b.now.Add(jump)
		r := b.append(batchOf{values: []string{"v"}})
		if r.Err != nil {
			t.Fatal(r.Err)
		}
		if r.LogAppendTime < last {
			t.Errorf("append %d: the log's time went back from %d to %d", i, last, r.LogAppendTime)
		}
		if now := b.now.UnixMilli(); now >= last && r.LogAppendTime != now {
			t.Errorf("append %d: the log's time is %d, the clock's %d", i, r.LogAppendTime, now)
		}
		last = r.LogAppendTime
	}
}

// TestRetentionOverClockJumps: as in Apache Kafka, only a clock that stands
// beyond the retention deletes, and one that was set back deletes nothing.
func TestRetentionOverClockJumps(t *testing.T) {
	day := 24 * time.Hour
	b := smallSegments(t, "retention.ms", "604800000")
	clean := func(at time.Duration, want int64) {
		t.Helper()
		b.now = startTime.Add(at)
		b.m.Clean(t.Context())
		if got := b.p.Offsets().Start; got != want {
			t.Fatalf("with the clock %v on, the log starts at %d, want %d", at, got, want)
		}
	}
	for range 4 {
		b.must(batchOf{values: []string{"v"}})
	}
	clean(-10*365*day, 0)
	clean(6*time.Hour, 0)
	clean(0, 0)
	clean(7*day, 0)
	clean(7*day+time.Second, 4)
	// What is written by a clock that is ahead stays the longer, and appends go
	// on where they were.
	b.now = startTime.Add(3 * time.Hour)
	if base := b.must(batchOf{values: []string{"v"}, at: b.now.UnixMilli()}); base != 4 {
		t.Fatalf("base offset %d", base)
	}
	clean(-3*time.Hour, 4)
	clean(7*day+2*time.Hour, 4)
	clean(7*day+3*time.Hour+time.Second, 5)
}

// TestProducersOverClockJumps: a clock that is set back does not make the
// broker forget what a producer has written.
func TestProducersOverClockJumps(t *testing.T) {
	b := newBench(t)
	producer := func(seq int32) *kafka.Producer { return &kafka.Producer{ID: 7, Epoch: 0, Sequence: seq} }
	first := b.must(batchOf{producer: producer(0), values: []string{"a"}})
	for _, jump := range []time.Duration{-6 * time.Hour, 6*time.Hour + 30*time.Minute} {
		b.now = b.now.Add(jump)
		b.m.Clean(t.Context())
		if again := b.must(batchOf{producer: producer(0), values: []string{"a"}, at: b.now.UnixMilli()}); again != first {
			t.Errorf("after a jump of %v the repeated batch was stored at %d", jump, again)
		}
	}
}
