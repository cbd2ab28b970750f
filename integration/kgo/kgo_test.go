// Package kgo runs the tests of franz-go's own client package, kgo, against the
// built binary.
package kgo

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/streamweir/streamweir/integration/harness"
)

const (
	kgoPackage = "github.com/twmb/franz-go/pkg/kgo"

	// envRun names the tests to run, as go test's -run does; "." is all of
	// them. envRecords is how many records each chain of consumers moves.
	envRun     = "STREAMWEIR_TEST_KGO"
	envRecords = "STREAMWEIR_TEST_KGO_RECORDS"
)

// briefly is what runs where the environment does not say otherwise: chains of
// transactional consumers that join and leave, and a little of the rest.
const briefly = "^TestTxnEtl$/^(range|cooperative-sticky)$/^static$|^TestGroupSimple$|^TestPing$|^TestClient_Produce$"

const (
	brieflyRecords = 10_000
	takes          = 60 * time.Minute
)

func TestMain(m *testing.M) { harness.Main(m) }

// What franz-go's tests want of a broker, this one does.
func TestKgo(t *testing.T) {
	s := harness.Shared(t)
	run, records := os.Getenv(envRun), os.Getenv(envRecords)
	if run == "" {
		run = briefly
	}
	if records == "" {
		records = fmt.Sprint(harness.Scale(brieflyRecords))
	}
	root, err := harness.ModuleRoot()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("go", "test", "-json", "-count=1", "-timeout", takes.String(), "-run", run, kgoPackage)
	cmd.Dir = root
	cmd.Env = append(cmd.Environ(), "KGO_SEEDS="+s.Addr(), "KGO_TEST_RF=1", "KGO_TEST_RECORDS="+records, "KGO_LOG_LEVEL=none")
	c := harness.Background(t, cmd, nil)
	code := c.Wait(t, takes+time.Minute)
	r := readResults(c.Stdout())
	t.Logf("%d passed, %d failed, %d skipped: %s", len(r.by["pass"]), len(r.by["fail"]), len(r.by["skip"]), strings.Join(r.by["skip"], ", "))
	for _, name := range r.by["fail"] {
		t.Errorf("%s failed:\n%s", name, r.tail(name))
	}
	if (code != 0 || len(r.by["pass"]) == 0) && !t.Failed() {
		t.Errorf("go test: exit code %d:\n%s", code, r.tail(""))
	}
}

// results are what go test told with -json.
type results struct {
	by     map[string][]string // names of tests and their parts, by how they ended
	output map[string]*bytes.Buffer
}

func readResults(out string) results {
	r := results{by: map[string][]string{}, output: map[string]*bytes.Buffer{}}
	for line := range strings.Lines(out) {
		var e struct{ Action, Test, Output string }
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			e.Action, e.Output = "output", line // of the build
		}
		switch {
		case e.Action == "output" || e.Action == "build-output":
			if r.output[e.Test] == nil {
				r.output[e.Test] = &bytes.Buffer{}
			}
			r.output[e.Test].WriteString(e.Output)
		case e.Test != "" && slices.Contains([]string{"pass", "fail", "skip"}, e.Action):
			r.by[e.Action] = append(r.by[e.Action], e.Test)
		}
	}
	return r
}

// tail is the end of what a test said.
func (r results) tail(name string) string {
	const enough = 4 << 10
	b := r.output[name]
	if b == nil {
		return "(it said nothing)"
	}
	return string(b.Bytes()[max(0, b.Len()-enough):])
}
