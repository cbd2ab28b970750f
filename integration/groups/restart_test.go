package groups

import (
	"strings"
	"testing"

	"github.com/streamweir/streamweir/integration/harness"
)

// A group goes on over a killed broker: whoever had an assignment keeps it, in
// the same generation, what was acknowledged is committed, and a rebalance that
// was under way is forgotten. Apache Kafka does the same.
func TestGroupGoesOnAfterAKill(t *testing.T) {
	for name, down := range map[string]func(*harness.Server){
		"killed":  func(s *harness.Server) { s.Kill(t) },
		"stopped": func(s *harness.Server) { s.Stop(t) },
	} {
		t.Run(name, func(t *testing.T) {
			s := harness.Start(t)
			k := newTalk(t, s)
			expect := func(line, want string) {
				t.Helper()
				if got := k.say(line); got != want {
					t.Errorf("%s:\n got %s\nwant %s", line, got, want)
				}
			}
			expect("A join g v=3", `OK generation 1 type null protocol "range" member raw-test-1 leader raw-test-1, raw-test-1@null`)
			expect("A sync g member=raw-test-1 assign=raw-test-1:all", `OK type "consumer" protocol "range" assignment "all"`)
			expect("I join s instance=i", `OK generation 1 type "consumer" protocol "range" member i-2 leader i-2, i-2@"i"`)
			expect("I sync s member=i-2 assign=i-2:static", `OK type "consumer" protocol "range" assignment "static"`)
			for _, offset := range []string{"5", "6", "7"} {
				expect("A commit g member=raw-test-1 gen=1 t:0="+offset, "t:0 OK")
			}
			expect("B join g v=3 &", "")
			expect("A until g PreparingRebalance 2", "")

			down(s)
			s.StartAgain(t)
			clear(k.conns)
			clear(k.waiting)

			// A heartbeat that comes before the groups are loaded is answered
			// with OK; a commit waits for them.
			expect("A commit g member=raw-test-1 gen=1 t:1=1", "t:1 OK")
			expect("A heartbeat g member=raw-test-1", "OK")
			expect("A fetch g", `OK, t:0=7 epoch -1 "" OK, t:1=1 epoch -1 "" OK`)
			expect("A sync g member=raw-test-1", `OK type "consumer" protocol "range" assignment "all"`)
			if got := k.say("A describe g"); !strings.HasPrefix(got, `OK Stable type "consumer" protocol "range", raw-test-1@null`) {
				t.Errorf("described as %s", got)
			}
			expect("I2 join s instance=i", `OK generation 1 type "consumer" protocol "range" member i-3 leader i-3 skip assignment, i-3@"i"`)
			expect("I heartbeat s member=i-2 instance=i", "FENCED_INSTANCE_ID")
			expect("I2 sync s member=i-3 instance=i", `OK type "consumer" protocol "range" assignment "static"`)
		})
	}
}
