package coordinator

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

type named struct {
	name int
	Timer
}

// TestTimersRunOutWhenTheyWereLastSet plays random settings against a plain map.
func TestTimersRunOutWhenTheyWereLastSet(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var timers Timers[*named]
		now := time.Unix(1000, 0)
		all := make([]*named, 6)
		for i := range all {
			all[i] = &named{name: i}
		}
		want := map[*named]time.Time{}
		one := rapid.SampledFrom(all)
		seconds := rapid.IntRange(0, 20)
		t.Repeat(map[string]func(*rapid.T){
			"set": func(t *rapid.T) {
				timer, at := one.Draw(t, "timer"), now.Add(time.Duration(seconds.Draw(t, "after"))*time.Second)
				timers.Set(timer, at)
				want[timer] = at
			},
			"cancel": func(t *rapid.T) {
				timer := one.Draw(t, "timer")
				timers.Cancel(timer)
				delete(want, timer)
			},
			"time": func(t *rapid.T) {
				now = now.Add(time.Duration(seconds.Draw(t, "by")) * time.Second)
				var due, out []int
				for timer, at := range want {
					if !at.After(now) {
						due = append(due, timer.name)
						delete(want, timer)
					}
				}
				for timer := timers.Due(now); timer != nil; timer = timers.Due(now) {
					out = append(out, timer.name)
				}
				slices.Sort(due)
				slices.Sort(out)
				if !slices.Equal(due, out) {
					t.Fatalf("timers %v ran out, want %v", out, due)
				}
			},
			"": func(t *rapid.T) {
				for _, timer := range all {
					if _, set := want[timer]; set != timer.IsSet() {
						t.Fatalf("timer %d: set is %v, want %v", timer.name, timer.IsSet(), set)
					}
				}
				next, ok := timers.Next()
				if ok != (len(want) > 0) || timers.Len() != len(want) {
					t.Fatalf("next is %v, with %d timers of %d", ok, timers.Len(), len(want))
				}
				for timer, at := range want {
					if next.After(at) {
						t.Fatalf("the next look is at %v, too late for timer %d at %v", next, timer.name, at)
					}
				}
			},
		})
	})
}

// TestTimersRunOutInOrder: also those that were put off or brought forward.
func TestTimersRunOutInOrder(t *testing.T) {
	var timers Timers[*named]
	start := time.Unix(1000, 0)
	all := []*named{{name: 4}, {name: 1}, {name: 3}, {name: 2}}
	for i, timer := range all {
		timers.Set(timer, start.Add(time.Duration(i)*time.Second))
	}
	for _, timer := range all {
		timers.Set(timer, start.Add(time.Duration(timer.name)*time.Minute))
	}
	var out []int
	for next, ok := timers.Next(); ok; next, ok = timers.Next() {
		for timer := timers.Due(next); timer != nil; timer = timers.Due(next) {
			out = append(out, timer.name)
			if want := start.Add(time.Duration(timer.name) * time.Minute); !next.Equal(want) {
				t.Errorf("timer %d ran out at %v, want %v", timer.name, next, want)
			}
		}
	}
	if want := []int{1, 2, 3, 4}; !slices.Equal(out, want) {
		t.Errorf("timers ran out in the order %v", out)
	}
}
