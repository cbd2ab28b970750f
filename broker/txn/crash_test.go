package txn

import (
	"fmt"
	"testing"
	"time"
)

// A scene is a story that the world goes through one action at a time: an event
// of a client, the end of an append, the end of a marker, time that goes by.
type scene struct {
	name   string
	events []func(w *world)
}

// scenes are what happens to a transaction from its beginning to its end.
func scenes() []scene {
	first, second := TopicPartition{"t", 0}, TopicPartition{"__consumer_offsets", 3}
	init := func(i int) func(*world) { return func(w *world) { w.init(w.clients[i], 15_000, false) } }
	goOn := func(i int) func(*world) { return func(w *world) { w.init(w.clients[i], 15_000, !w.clients[i].fresh) } }
	// What a client cannot send, because it was told that it is fenced or has
	// nothing to end, it does not send.
	produce := func(i int, tp TopicPartition) func(*world) {
		return func(w *world) {
			if c := w.clients[i]; !c.broken && (c.txn == nil || !c.txn.asked) {
				w.produce(c, tp)
			}
		}
	}
	end := func(i int, commit bool) func(*world) {
		return func(w *world) {
			if c := w.clients[i]; !c.broken && c.txn != nil {
				w.end(c, commit)
			}
		}
	}
	wait := func(d time.Duration) func(*world) { return func(w *world) { w.advance(d) } }
	var all []scene
	for _, who := range []struct {
		name string
		i    int
	}{{"version 2", 0}, {"version 0", 2}, {"version 2, epochs used up", 3}, {"version 0, epochs used up", 4}} {
		i := who.i
		begin := []func(*world){init(i), init(i), produce(i, first), produce(i, first), produce(i, second), produce(i, second)}
		with := func(name string, events ...func(*world)) {
			all = append(all, scene{who.name + ", " + name, append(append([]func(*world){}, begin...), events...)})
		}
		with("commit", end(i, true), produce(i, first), end(i, true))
		with("abort", end(i, false), produce(i, first), end(i, true))
		with("timeout", wait(30*time.Second), end(i, true), init(i))
		with("goes on after an error", goOn(i), goOn(i), produce(i, first), end(i, true))
		other := map[int]int{0: 1, 2: 0, 3: 4, 4: 3}[i]
		with("fenced", init(other), end(i, true), init(other), produce(other, first), produce(other, first), end(other, true))
	}
	return all
}

// play goes through a scene for n actions, and says whether there were so many.
func (w *world) play(sc scene, n int) bool {
	for _, event := range sc.events {
		if n == 0 {
			return true
		}
		event(w)
		for n--; len(w.queue) > 0 || len(w.markers) > 0; n-- {
			if n == 0 {
				return true
			}
			if len(w.queue) > 0 {
				w.endAppend(nil)
			} else {
				w.endMarker(0, "written")
			}
		}
	}
	return false
}

// TestCrashBetweenAnyTwoActions crashes each scene after each of its actions,
// with what is under way in the log and the partitions, or not, or one without
// the other; once more in the middle of the recovery; and looks at what readers
// see in the end.
func TestCrashBetweenAnyTwoActions(t *testing.T) {
	crashes := 0
	for _, sc := range scenes() {
		for n := 0; ; n++ {
			more := false
			for _, written := range []struct{ log, partitions bool }{{false, false}, {true, true}, {true, false}, {false, true}} {
				for again := range 3 {
					w := newWorld(named{t, fmt.Sprintf("%s: crash after %d actions, %+v, then after %d: ", sc.name, n, written, again)})
					more = w.play(sc, n)
					for range 2 {
						appends := 0
						if written.log {
							appends = len(w.queue)
						}
						w.crash(appends, func() bool { return written.partitions })
						crashes++
						for range again {
							w.recover()
						}
					}
					w.settle()
				}
			}
			if !more {
				break
			}
		}
	}
	t.Logf("%d crashes", crashes)
}

// recover is one action of the recovery.
func (w *world) recover() {
	switch {
	case len(w.queue) > 0:
		w.endAppend(nil)
	case len(w.markers) > 0:
		w.endMarker(0, "written")
	}
}

// named says in which of many runs something failed.
type named struct {
	t    *testing.T
	name string
}

func (n named) Fatalf(format string, args ...any) {
	n.t.Helper()
	n.t.Fatalf(n.name+format, args...)
}
