package main

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/streamweir/streamweir/integration/harness"
	"github.com/streamweir/streamweir/integration/history/checker"
	"github.com/streamweir/streamweir/integration/history/workload"
)

func TestMain(m *testing.M) {
	flag.Parse()
	// A round waits most of its time.
	if err := flag.Set("test.parallel", "4"); err != nil {
		panic(err)
	}
	harness.Main(m)
}

// TestShortRun is one round of `make check-history`, with a disturbance every
// other second.
func TestShortRun(t *testing.T) {
	o := &options{system: "streamweir", dir: filepath.Join(t.TempDir(), "run"), Config: workload.Config{
		Seed: 1, Load: time.Duration(harness.Scale(40)) * time.Second, Settle: 60 * time.Second, Rate: 400, Every: 2 * time.Second,
		Disturb: workload.Disturbances(), Transactions: true, Compaction: true, Kafka: true, Kinesis: true,
	}}
	if harness.AgainstKafka() {
		script, err := harness.KafkaScript()
		if err != nil {
			t.Fatal(err)
		}
		o.system, o.script = "apache-kafka", script
	} else {
		o.binary = harness.Binary(t)
	}
	var out bytes.Buffer
	total, err := o.run(t.Context(), &out)
	t.Log(out.String())
	if err != nil {
		t.Fatal(err)
	}
	if n := total.findings(); n > 0 {
		t.Errorf("%d findings; the brokers' logs end with:\n%s", n, lastLog(o.dir))
	}
	rows := []string{rowAcked, rowRefused, rowPolled, rowBounds, rowCommits, rowFetched}
	if o.Transactions {
		rows = append(rows, rowCommitted, rowAborted)
	}
	if o.Kinesis {
		rows = append(rows, rowPutAcked, rowRead, rowShown, rowEnds, rowListings, rowReshards)
	}
	for _, row := range rows {
		if total.counts[row] == 0 {
			t.Errorf("%s: none, so the run has shown nothing of it", strings.TrimSpace(row))
		}
	}
	if len(total.events) < 5 {
		t.Errorf("only %v was done to the broker", total.events)
	}
}

// lastLog is the end of the last broker's log in a directory.
func lastLog(dir string) string {
	logs, err := filepath.Glob(filepath.Join(dir, "broker-*.log"))
	if err != nil || len(logs) == 0 {
		return "no log"
	}
	b, err := os.ReadFile(logs[len(logs)-1])
	if err != nil {
		return err.Error()
	}
	return string(b[max(0, len(b)-8<<10):])
}

func TestFlags(t *testing.T) {
	o, err := parse([]string{"-minutes", "0.5", "-seed", "7", "-disturb", "kill, grow", "-set", "a=b", "-set", "c=d"})
	if err != nil {
		t.Fatal(err)
	}
	if o.Seed != 7 || o.minutes != 0.5 || len(o.Disturb) != 2 || o.Disturb[1] != workload.Grow || !o.Kafka || !o.Kinesis || len(o.config) != 2 {
		t.Errorf("parsed %+v", o)
	}
	for _, args := range [][]string{{"-disturb", "earthquake"}, {"-protocols", "amqp"}, {"more"}} {
		if _, err := parse(args); err == nil {
			t.Errorf("%v: no error", args)
		}
	}
	o.system = "nothing"
	if _, err := o.open(t.TempDir()); err == nil {
		t.Error("a system that does not exist: no error")
	}
}

func TestSummaryCountsRounds(t *testing.T) {
	s := newSummary("x", 5)
	h := &checker.History{
		Sends:    []checker.Send{{Outcome: checker.OK}, {Outcome: checker.Failed}, {Outcome: checker.Unknown}, {Outcome: checker.OK, Put: &checker.Put{}}},
		Txns:     []checker.Txn{{Outcome: checker.OK}, {Outcome: checker.Failed}},
		Polls:    []checker.Poll{{Records: make([]checker.Record, 4)}, {Records: make([]checker.Record, 1), Shard: &checker.ShardRead{Ended: true}}},
		Listings: make([]checker.Listing, 3), Reshards: []checker.Reshard{{Outcome: checker.OK}, {}},
		Events: []checker.Event{{What: "kill"}, {What: "grow: t has 4"}, {What: "boom", Crash: true}},
	}
	found := &checker.Findings{Count: map[checker.Anomaly]int{checker.LostWrite: 2}}
	s.add(h, found)
	s.add(h, found)
	var out bytes.Buffer
	s.print(&out)
	for _, want := range []string{
		"seed                    5\n", "rounds                  2\n", "  acknowledged          4\n", "  refused               2\n", "  unknown               2\n",
		"transactions committed  2\n", "records polled          10\n", "disturbed by grow       2\n", "findings                4\n", "  lost-write            4\n",
		"put through Kinesis     2\n", "  acknowledged by it    2\n", "reads through Kinesis   2\n", "  records shown         2\n", "shard ends read         2\n",
		"shards listed           6\n", "reshards acknowledged   2\n",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is missing in\n%s", want, out.String())
		}
	}
}
