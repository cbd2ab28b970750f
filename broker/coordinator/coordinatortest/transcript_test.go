package coordinatortest

import (
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
)

func TestPlay(t *testing.T) {
	const script = "# a remark\n\nfirst\n  old\n  older\nsecond x=1\n"
	var out strings.Builder
	play(script, &out, func(line string) { out.WriteString("  did " + line + "\n") })
	want := "# a remark\n\nfirst\n  did first\nsecond x=1\n  did second x=1\n"
	if diff := firstDifference(want, out.String()); diff != "" {
		t.Error(diff)
	}
	if diff := firstDifference(script, out.String()); !strings.HasPrefix(diff, "line 4:") {
		t.Errorf("the difference to the script is at %q", diff)
	}
	if diff := firstDifference(want+"  more\n", want); diff == "" {
		t.Error("a line that is missing at the end makes no difference")
	}
}

func TestErrorNamed(t *testing.T) {
	if err := ErrorNamed(t, "NOT_COORDINATOR"); err != kerr.NotCoordinator {
		t.Errorf("got %v", err)
	}
}

func TestClockCallsInOrderAndAtTheirTime(t *testing.T) {
	start := time.Unix(1000, 0)
	c := NewClock(start)
	var heard []time.Duration
	hear := func() { heard = append(heard, c.Now().Sub(start)) }
	c.AfterFunc(3*time.Second, hear)
	c.AfterFunc(time.Second, func() {
		hear()
		c.AfterFunc(time.Second, hear)
	})
	calledOff := c.AfterFunc(2*time.Second, func() { t.Error("a call that was called off was made") })
	c.AfterFunc(5*time.Second, hear)
	calledOff()
	c.Advance(4 * time.Second)
	if len(heard) != 3 || heard[0] != time.Second || heard[1] != 2*time.Second || heard[2] != 3*time.Second {
		t.Errorf("calls came after %v", heard)
	}
	if c.Now() != start.Add(4*time.Second) || c.Calls() != 1 {
		t.Errorf("it is %v, with %d calls to come", c.Now(), c.Calls())
	}
}
