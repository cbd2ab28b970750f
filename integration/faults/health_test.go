package faults

import (
	"bufio"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/streamweir/streamweir/integration/harness"
)

// Health and readiness are green on a server that serves, and paths that do
// not exist are not.
func TestHealth(t *testing.T) {
	harness.OnlyStreamweir(t, "it has no admin endpoint")
	s := harness.Start(t)
	for path, want := range map[string]int{"/healthz": 200, "/readyz": 200, "/metrics": 200, "/nothing": 404} {
		if status, body := s.Get(t, path); status != want {
			t.Errorf("GET %s: %d, want %d:\n%s", path, status, want, body)
		}
	}
	s.Restart(t)
	if status, _ := s.Get(t, "/readyz"); status != 200 {
		t.Errorf("/readyz after a restart: %d", status)
	}
}

var sample = regexp.MustCompile(`^([a-zA-Z_:][a-zA-Z0-9_:]*)(\{.*\})? ([-+0-9.eE]+|NaN|[+-]Inf)( \d+)?$`)

// scrape reads /metrics as Prometheus would: each sample by its name, summed
// over its labels.
func scrape(t testing.TB, s *harness.Server) map[string]float64 {
	t.Helper()
	status, body := s.Get(t, "/metrics")
	if status != 200 {
		t.Fatalf("/metrics: %d", status)
	}
	out := map[string]float64{}
	lines := bufio.NewScanner(strings.NewReader(body))
	for lines.Scan() {
		line := lines.Text()
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		m := sample.FindStringSubmatch(line)
		if m == nil {
			t.Fatalf("/metrics has a line that is no sample: %q", line)
		}
		v, err := strconv.ParseFloat(m[3], 64)
		if err != nil {
			t.Fatalf("/metrics: %q: %v", line, err)
		}
		out[m[1]] += v
	}
	return out
}

// The metrics count what passes: requests, and bytes in and out.
func TestMetricsCountWhatPasses(t *testing.T) {
	harness.OnlyStreamweir(t, "it has no admin endpoint")
	s := harness.Start(t)
	topic := harness.Topic(t, s, 1)
	before := scrape(t, s)
	cl := writer(t, s, topic)
	ctx := harness.Context(t, harness.Long)
	const n = 20
	for i := range n {
		if err := put(ctx, cl, harness.Incompressible(uint64(i), megabyte)); err != nil {
			t.Fatal(err)
		}
	}
	readBack(t, s, topic, 0, n)
	after := scrape(t, s)
	ours := 0
	for name := range after {
		if strings.HasPrefix(name, "streamweir_") {
			ours++
		}
	}
	if ours < 10 {
		t.Errorf("only %d metrics named streamweir_*", ours)
	}
	for _, name := range []string{"streamweir_produced_bytes_total", "streamweir_fetched_bytes_total", "streamweir_kafka_received_bytes_total", "streamweir_kafka_sent_bytes_total"} {
		if d := after[name] - before[name]; d < n*megabyte || d > 2*n*megabyte {
			t.Errorf("%s has grown by %.0f, with %d bytes in and out", name, d, n*megabyte)
		}
	}
}
