package comparison

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A broker's children must not outlive the run, whatever they do with signals.
func TestStopEndsTheWholeGroup(t *testing.T) {
	dir := t.TempDir()
	p, err := StartProcess(dir, nil, "sh", "-c", "sh -c 'trap \"\" TERM; echo child $$; while :; do sleep 60; done' & wait")
	if err != nil {
		t.Fatal(err)
	}
	child := 0
	deadline := time.Now().Add(10 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for child == 0 && time.Now().Before(deadline) {
		<-tick.C
		if _, after, ok := strings.Cut(p.LogTail(), "child "); ok {
			child, _ = strconv.Atoi(strings.TrimSpace(after))
		}
	}
	p.Stop()
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
	s := &Suite{
		Config:    &Config{Dir: t.TempDir()},
		First:     func(context.Context, *Server) error { return errors.New("not yet") },
		DiskBytes: func() int64 { return 0 },
	}
	short := &System{Name: "short", Command: func(*Server) ([]string, []string) {
		return []string{"sh", "-c", "echo no disk today; exit 3"}, nil
	}}
	_, err := s.runOne(t.Context(), short, Scenario{Name: "any"})
	if err == nil || !strings.Contains(err.Error(), "no disk today") {
		t.Errorf("got %v, want the broker's last words", err)
	}
	left, err := os.ReadDir(s.Dir)
	if err != nil || len(left) != 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
}

func TestMediansAndRatios(t *testing.T) {
	base := &System{Name: "base"}
	other := &System{Name: "other", Baseline: "base"}
	r := results{systems: []*System{other, base}}
	for i, v := range []float64{100, 300, 110} {
		r.add("base", []Metric{Figure("s", "MB/s", v, 0, ForComparison), Figure("s", "CPU %", 0, 1, ForReading)})
		r.add("other", []Metric{Figure("s", "MB/s", 220+float64(i), 0, ForComparison), Figure("s", "CPU %", 1, 1, ForReading)})
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

func TestCostlyGeneratorIsTold(t *testing.T) {
	s := &System{Name: "one"}
	r := results{systems: []*System{s}}
	r.add("one", []Metric{
		Figure("txn", "broker CPU-s/1000", 0.1, 3, ForComparison), Figure("txn", "generator CPU-s/1000", 0.06, 3, GeneratorCost),
		Figure("fetch", "broker CPU-s/GB", 1, 2, ForComparison), Figure("fetch", "generator CPU-s/GB", 0.2, 2, GeneratorCost),
	})
	doubts := strings.Join(r.doubts(), "\n")
	if !strings.Contains(doubts, "one, txn: 0.060 generator CPU-s/1000 beside the broker's 0.100") || strings.Contains(doubts, "fetch") {
		t.Errorf("doubts: %s", doubts)
	}
}

func TestPercentilesNeedEnoughToSpeakOf(t *testing.T) {
	latencies := make([]time.Duration, 1000)
	for i := range latencies {
		latencies[len(latencies)-1-i] = time.Duration(i) * time.Millisecond
	}
	all, err := Percentiles("s", latencies, P50, P99, P999)
	if err != nil || fmt.Sprint(all) != "[{s p50 ms 499 2 0} {s p99 ms 989 2 0} {s p99.9 ms 998 2 0}]" {
		t.Errorf("%v, %v", all, err)
	}
	if _, err := Percentiles("s", latencies[:999], P50, P999); err == nil || !strings.Contains(err.Error(), "999 latencies were measured, at least 1000 are needed for p99.9") {
		t.Errorf("too few: %v", err)
	}
}

// A gap is told once, and only where the system may have gaps.
func TestGapsAreTold(t *testing.T) {
	r := results{systems: []*System{{Name: "one"}}}
	r.lacks("one", "fan-out", ErrNotServed)
	r.lacks("one", "fan-out", fmt.Errorf("%w: request 2", ErrNotServed))
	if doubts := r.doubts(); len(doubts) != 1 || doubts[0] != "one, fan-out: not measured: not served" {
		t.Errorf("doubts: %q", doubts)
	}
	s := &Suite{
		Config:    &Config{Dir: t.TempDir(), Rounds: 1},
		First:     func(context.Context, *Server) error { return nil },
		DiskBytes: func() int64 { return 0 },
		Scenarios: []Scenario{{Name: "any", Run: func(context.Context, *Server, time.Duration) ([]Metric, error) {
			return nil, fmt.Errorf("%w: no such action", ErrNotServed)
		}}},
	}
	for _, gaps := range []bool{true, false} {
		s.Systems = []*System{{Name: "sleeper", Gaps: gaps, Command: func(*Server) ([]string, []string) { return []string{"sleep", "60"}, nil }}}
		r := results{systems: s.Systems}
		err := s.runAll(t.Context(), &r)
		if gaps && (err != nil || len(r.unserved) != 1) || !gaps && !errors.Is(err, ErrNotServed) {
			t.Errorf("may have gaps: %v; %v, %v", gaps, err, r.unserved)
		}
	}
}
