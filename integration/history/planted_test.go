package main

import (
	"bytes"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/streamweir/streamweir/integration/harness"
	"github.com/streamweir/streamweir/integration/history/checker"
	"github.com/streamweir/streamweir/integration/history/liar"
	"github.com/streamweir/streamweir/integration/history/workload"
)

// plant is a fault on the wire with the finding that it must lead to.
type plant struct {
	fault   string
	kind    checker.Anomaly
	txn     bool // needs transactions
	keepOld bool // needs what compaction would remove
	disturb workload.Disturbance
	kinesis bool   // is a fault in streams
	on      string // what the finding's subject contains
}

var planted = []plant{
	{fault: "lose-batch", kind: checker.LostWrite},
	{fault: "skip-batch", kind: checker.SkippedPoll},
	{fault: "alter-byte", kind: checker.Altered},
	{fault: "swap-batches", kind: checker.Reordered},
	{fault: "repeat-batch", kind: checker.Duplicate},
	{fault: "forget-producers", kind: checker.Duplicate, disturb: workload.Deaf},
	{fault: "stray-batch", kind: checker.Phantom},
	{fault: "two-values", kind: checker.TwoValues},
	{fault: "out-of-range", kind: checker.NonMonotonic},
	{fault: "wrong-offset", kind: checker.OffsetBack},
	{fault: "refuse-stored", kind: checker.RefusedShown},
	{fault: "stale-end", kind: checker.EndBack},
	{fault: "forget-commit", kind: checker.LostCommit},
	{fault: "old-commit", kind: checker.CommitBack},
	{fault: "lose-tombstones", kind: checker.Resurrected, keepOld: true},
	{fault: "stick-writes", kind: checker.StuckWrites},
	{fault: "stick-group", kind: checker.StuckGroup},
	{fault: "hide-end", kind: checker.Unseen},
	{fault: "stick-lso", kind: checker.StuckLSO},
	{fault: "show-aborted", kind: checker.AbortedRead, txn: true},
	{fault: "show-uncommitted", kind: checker.DirtyRead, txn: true},
	{fault: "half-commit", kind: checker.HalfTransaction, txn: true},
	{fault: "commit-fenced", kind: checker.FencedCommit, txn: true},
	{fault: "lose-txn-offsets", kind: checker.OffsetsApart, txn: true},

	{fault: "hide-record", kind: checker.ProtocolsApart, kinesis: true},
	{fault: "other-record", kind: checker.ProtocolsApart, kinesis: true},
	{fault: "alter-data", kind: checker.Altered, kinesis: true, on: "Kinesis"},
	{fault: "skip-event", kind: checker.SkippedPoll, kinesis: true, on: "Kinesis"},
	{fault: "late-latest", kind: checker.SkippedPoll, kinesis: true, on: "LATEST"},
	{fault: "old-iterator", kind: checker.NonMonotonic, kinesis: true, on: "Kinesis"},
	{fault: "stick-iterator", kind: checker.FalseTip, kinesis: true},
	{fault: "put-twice", kind: checker.Duplicate, kinesis: true},
	{fault: "stray-put", kind: checker.WrongShard, kinesis: true},
	{fault: "repeat-sequence", kind: checker.TwoValues, kinesis: true},
	{fault: "swap-results", kind: checker.Reordered, kinesis: true},
	{fault: "wrong-sequence", kind: checker.BadSequence, kinesis: true},
	{fault: "commit-aborted", kind: checker.AbortedRead, kinesis: true, txn: true, on: "Kinesis"},
	{fault: "early-end", kind: checker.EarlyEnd, kinesis: true, disturb: workload.Split},
	{fault: "no-children", kind: checker.ChildlessEnd, kinesis: true, disturb: workload.Split},
	{fault: "late-parent", kind: checker.AfterEnd, kinesis: true, disturb: workload.Split},
	{fault: "lose-shard", kind: checker.LineageBroken, kinesis: true},
	{fault: "lose-split", kind: checker.LostReshard, kinesis: true, disturb: workload.Split},
	{fault: "stick-stream", kind: checker.StuckStream, kinesis: true},
}

// TestPlantedFaultsAreFound lets a broker lie in one way after the other, on one
// server, and wants each lie called by its name.
func TestPlantedFaultsAreFound(t *testing.T) {
	sys := system(t)
	for i, p := range planted {
		t.Run(p.fault, func(t *testing.T) {
			if p.kinesis {
				harness.OnlyStreamweir(t, "Apache Kafka has no streams")
			}
			t.Parallel()
			l, err := liar.New(p.fault)
			if err != nil {
				t.Fatal(err)
			}
			c := workload.Config{
				Seed: 1, Load: 5 * time.Second, Settle: 6 * time.Second, Rate: 400, Every: time.Second, Transactions: p.txn, Compaction: true,
				KeepOld: p.keepOld, Log: t.Logf, Wrap: l.Wrap, Kafka: !p.kinesis, Kinesis: p.kinesis, WrapHTTP: l.WrapHTTP,
			}
			if p.kinesis && p.disturb == "" {
				c.Load, c.Settle = 4*time.Second, 4*time.Second
			}
			if p.disturb != "" {
				c.Disturb = []workload.Disturbance{p.disturb}
			}
			mustFind(t, sys, c, 1+i, p.on, p.kind)
		})
	}
}

func TestEveryFaultHasATest(t *testing.T) {
	for _, name := range liar.Names() {
		if !slices.ContainsFunc(planted, func(p plant) bool { return p.fault == name }) {
			t.Errorf("no test plants %s", name)
		}
	}
}

// system starts the broker under test.
func system(t *testing.T) *workload.System {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "run")
	var sys *workload.System
	var err error
	if harness.AgainstKafka() {
		script, e := harness.KafkaScript()
		if e != nil {
			t.Fatal(e)
		}
		sys, err = workload.ApacheKafka(script, dir)
	} else {
		sys, err = workload.Streamweir(harness.Binary(t), dir, 1)
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := sys.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := sys.Stop(); err != nil {
			t.Error(err)
		}
	})
	return sys
}

// tries is how many rounds look for a fault, each twice as long as the one before:
// on a busy machine the first may see too little of it.
const tries = 3

// mustFind makes the history of a round, or of some, and wants kinds of findings in
// it, each with a short history that shows it, and a subject that contains on.
func mustFind(t *testing.T, sys *workload.System, c workload.Config, n int, on string, kinds ...checker.Anomaly) {
	t.Helper()
	for try := 1; ; try++ {
		history, err := workload.NewRun(c, sys).Round(t.Context(), n)
		if err != nil {
			t.Fatal(err)
		}
		found := checker.Check(history)
		t.Logf("%s; found %v", inShort(history, found), found.Count)
		missing := shows(t, found, on, kinds)
		if len(missing) == 0 {
			return
		}
		if try == tries {
			t.Fatalf("%v %s was not found", missing, on)
		}
		c.Load, n = 2*c.Load, n+100
	}
}

// shows prints the first finding of each kind, and returns the kinds that are missing.
func shows(t *testing.T, found *checker.Findings, on string, kinds []checker.Anomaly) (missing []checker.Anomaly) {
	t.Helper()
	for _, kind := range kinds {
		i := slices.IndexFunc(found.Found, func(f checker.Finding) bool { return f.Kind == kind && strings.Contains(f.On, on) })
		if i < 0 {
			missing = append(missing, kind)
			continue
		}
		var b bytes.Buffer
		found.Found[i].Print(&b)
		t.Logf("the first:\n%s", b.String())
		if n := found.Found[i].History.Operations() - len(found.Found[i].History.Events); n > 8 {
			t.Errorf("%s is shown by %d operations", kind, n)
		}
	}
	return missing
}
