package main

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/streamweir/streamweir/integration/harness"
	"github.com/streamweir/streamweir/integration/history/checker"
	"github.com/streamweir/streamweir/integration/history/workload"
)

type storeFault struct {
	fault   string
	kinds   []checker.Anomaly
	disturb workload.Disturbance
	kinesis bool
	on      string
}

func (f storeFault) name() string {
	if f.kinesis {
		return f.fault + "-kinesis"
	}
	return f.fault
}

// storeFaults are those of storage/faultstore, with the findings that each must
// lead to.
var storeFaults = []storeFault{
	{fault: "drop", kinds: []checker.Anomaly{checker.LostWrite}},
	{fault: "drop", kinds: []checker.Anomaly{checker.LostWrite}, kinesis: true},
	{fault: "alter", kinds: []checker.Anomaly{checker.Altered}},
	{fault: "alter", kinds: []checker.Anomaly{checker.Altered}, kinesis: true, on: "Kinesis"},
	{fault: "early", kinds: []checker.Anomaly{checker.TwoValues, checker.OffsetBack, checker.EndBack}, disturb: workload.Kill},
	{fault: "stick", kinds: []checker.Anomaly{checker.StuckWrites}},
	{fault: "crash", kinds: []checker.Anomaly{checker.Crashed}},
}

// TestPlantedStoreFaultsAreFound runs a broker whose store lies in one way after
// the other, built with the tag faults.
func TestPlantedStoreFaultsAreFound(t *testing.T) {
	harness.OnlyStreamweir(t, "the faults are in Streamweir's store")
	binary := buildWith(t, "faults")
	for _, p := range storeFaults {
		t.Run(p.name(), func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "run")
			// Without a cache, so that what is read comes from the store.
			sys, err := workload.Streamweir(binary, dir, 1, "storage.cache.bytes=0")
			if err != nil {
				t.Fatal(err)
			}
			sys = sys.WithEnv("PLANTED_FAULT=" + p.fault)
			if err := sys.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
			// A store that is stuck does not close.
			t.Cleanup(sys.Kill)
			c := workload.Config{Seed: 1, Load: 7 * time.Second, Settle: 5 * time.Second, Rate: 300, Every: 2 * time.Second, Kafka: !p.kinesis, Kinesis: p.kinesis, Log: t.Logf}
			if p.disturb != "" {
				c.Disturb = []workload.Disturbance{p.disturb}
			}
			mustFind(t, sys, c, 1, p.on, p.kinds...)
		})
	}
}

// buildWith builds the server with a build tag.
func buildWith(t *testing.T, tag string) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), "streamweir-"+tag)
	run(t, "go", "build", "-tags", tag, "-o", out, "./cmd/streamweir")
	return out
}

// run runs a command in the module's root.
func run(t *testing.T, argv ...string) string {
	t.Helper()
	root, err := harness.ModuleRoot()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Dir = root
	return harness.MustRun(t, 5*time.Minute, cmd)
}

// What is shipped has no faults in it.
func TestFaultsAreNotShipped(t *testing.T) {
	const lies = "github.com/streamweir/streamweir/storage/faultstore"
	if deps := run(t, "go", "list", "-deps", "./cmd/streamweir"); strings.Contains(deps, lies) {
		t.Errorf("the binary has %s in it", lies)
	}
	if deps := run(t, "go", "list", "-deps", "-tags", "faults", "./cmd/streamweir"); !strings.Contains(deps, lies) {
		t.Errorf("the binary for these tests does not have %s in it, so the check above shows nothing", lies)
	}
}
