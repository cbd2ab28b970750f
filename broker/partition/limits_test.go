package partition

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/streamweir/streamweir/protocol/kafka"
	"github.com/streamweir/streamweir/storage/memstore"
)

// log.cleaner.io.max.bytes.per.second holds for all threads together, and does
// not keep them from working at the same time.
func TestRateLimitHoldsForAllThreadsTogether(t *testing.T) {
	for _, threads := range []int{1, 3} {
		t.Run(fmt.Sprint(threads), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { rateOf(t, threads) })
		})
	}
}

func rateOf(t *testing.T, threads int) {
	const partitions, perSecond = 6, 100_000.0
	b := compacting(t)
	topic := *b.topic
	topic.Partitions = partitions
	b.topic = &topic
	b.crash()
	value := "=" + strings.Repeat("x", 5000)
	for i := range int32(partitions) {
		b.p = b.m.Get(topic.ID, i)
		for k := range 20 {
			b.puts(fmt.Sprintf("key-%d%s", k%4, value))
		}
	}
	b.now = b.now.Add(2 * time.Minute)
	b.crash()
	began := time.Now()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		b.m.RunCompaction(ctx, func() Compaction {
			return Compaction{Enabled: true, Threads: threads, Backoff: time.Second, MapBytes: 1 << 20, MapLoad: 0.9, BytesPerSecond: perSecond}
		})
	}()
	most := 0
	for b.m.CompactionStats().Passes < partitions {
		<-time.After(10 * time.Millisecond) // of the bubble's clock
		synctest.Wait()
		busy := 0
		b.m.each(func(p *Partition) {
			p.mu.Lock()
			defer p.mu.Unlock()
			if p.compacted.busy {
				busy++
			}
		})
		most = max(most, busy)
	}
	took := time.Since(began)
	cancel()
	<-ended
	s := b.m.CompactionStats()
	if least := time.Duration(float64(s.Read+s.Written)/perSecond*float64(time.Second)) - time.Duration(threads)*maxBurst; took < least {
		t.Errorf("%d bytes took %v, must take %v at least", s.Read+s.Written, took, least)
	}
	if longest := 2 * time.Duration(float64(s.Read+s.Written)/perSecond*float64(time.Second)); took > longest {
		t.Errorf("%d bytes took %v, with the limit it is %v", s.Read+s.Written, took, longest/2)
	}
	if most != threads {
		t.Errorf("%d passes at a time, want %d", most, threads)
	}
	if s.Kept != 4*partitions || s.Failed != 0 {
		t.Errorf("%+v", s)
	}
}

// A plan that nobody reads holds up compaction for holdTime, one that is read
// slowly for holdMax, and a step of compaction waits no longer than holdWait
// whatever others hold; what is then still held finds its batches changed.
func TestHoldsAndWaitsHaveLimits(t *testing.T) {
	for name, tc := range map[string]struct {
		read bool // the plan is read, a little from time to time
		wait time.Duration
		want time.Duration // until the step goes on
	}{
		"not read":              {wait: time.Hour, want: holdTime},
		"read slowly":           {wait: time.Hour, want: holdMax, read: true},
		"the step is impatient": {wait: 3 * time.Second, want: 3 * time.Second, read: true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := compacting(t)
				b.cache = 0
				b.crash()
				for i := range 100 {
					b.must(batchOf{values: []string{fmt.Sprint(i)}})
				}
				plan, err := b.p.Plan(0, -1, 1<<20, true)
				if err != nil || plan.Next != 100 {
					t.Fatalf("%+v %v", plan, err)
				}
				r := NewReader(plan)
				defer r.Close()
				step := make(chan time.Duration)
				go func() {
					waited, ok := b.p.beginChange(t.Context(), 50, 60, tc.wait)
					if !ok {
						t.Error("it gave up")
					}
					step <- waited
				}()
				var waited time.Duration
				for waited == 0 {
					select {
					case waited = <-step:
					case <-time.After(5 * time.Second):
						if !tc.read {
							continue
						}
						if _, err := r.Next(1); err != nil {
							t.Fatal(err)
						}
					}
				}
				if waited < tc.want || waited > tc.want+time.Second {
					t.Errorf("it waited %v, want %v", waited, tc.want)
				}
				b.p.endChange()
			})
		})
	}
}

// A whole pass with a reader that never goes on ends, and the reader is told.
func TestPassGoesOnPastAReaderThatHasStopped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := compacting(t)
		b.cache = 0
		b.crash()
		for i := range 10 {
			b.must(batchOf{values: []string{fmt.Sprint(i)}})
		}
		b.now = b.now.Add(2 * time.Minute)
		plan, err := b.p.Plan(0, -1, 1<<20, true)
		if err != nil {
			t.Fatal(err)
		}
		r := NewReader(plan)
		defer r.Close()
		began := time.Now()
		b.m.Compact(t.Context(), plenty)
		if took := time.Since(began); took < holdTime || took > waitBudget {
			t.Errorf("the pass took %v", took)
		}
		b.wantLog("9:k=9")
		var got []byte
		for r.Left() > 0 {
			bufs, err := r.Next(1 << 20)
			if err != nil {
				if len(got) != 0 {
					t.Error("it got a part of what was announced, and then an error")
				}
				return
			}
			for _, x := range bufs {
				got = append(got, x...)
			}
		}
		t.Errorf("it got %d bytes of batches that are not there any more, and no error", len(got))
	})
}

// An end of the server does not wait for readers.
func TestWaitForReadersEndsWithTheServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := compacting(t)
		b.must(batchOf{values: []string{"a"}})
		plan, err := b.p.Plan(0, -1, 1<<20, true)
		if err != nil {
			t.Fatal(err)
		}
		defer plan.Release()
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Second, func() { cancel(errors.New("the end")) })
		if waited, ok := b.p.beginChange(ctx, 0, 0, time.Hour); ok || waited > 2*time.Second {
			t.Errorf("it waited %v, and goes on: %v", waited, ok)
		}
	})
}

// With cleanup.policy=compact,delete both are at work: the newest record of each
// key stays, until it is too old.
func TestCompactAndDeleteTogether(t *testing.T) {
	b := compacting(t, "cleanup.policy", "compact,delete", "retention.ms", "3600000")
	b.store = memstore.New(memstore.Options{SegmentBatches: 3})
	b.crash()
	clean := func(after time.Duration) {
		b.pass(after)
		b.m.Clean(t.Context())
	}
	b.puts("a=1", "b=1", "a=2")
	clean(2 * time.Minute)
	b.wantLog("1:b=1 | 2:a=2")
	b.now = b.now.Add(50 * time.Minute)
	b.puts("c=1", "c=2", "d=1")
	clean(2 * time.Minute)
	b.wantLog("1:b=1 | 2:a=2 | 4:c=2 | 5:d=1")
	clean(10 * time.Minute) // a and b are over an hour old: gone, though the newest of their keys
	b.wantLog("4:c=2 | 5:d=1")
	if o := b.p.Offsets(); o.Start != 3 || o.High != 6 {
		t.Errorf("%+v", o)
	}
	b.puts("d=2")
	clean(2 * time.Minute)
	b.wantLog("4:c=2 | 6:d=2")
	b.put(kafka.BatchOptions{}, rec("e=", b.now.UnixMilli()))
	clean(2 * time.Hour)
	b.wantLog("")
	if o := b.p.Offsets(); o.Start != 8 || o.High != 8 {
		t.Errorf("%+v", o)
	}
	if base := b.must(batchOf{values: []string{"z"}}); base != 8 {
		t.Errorf("the next record has offset %d", base)
	}
}
