package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/streamweir/streamweir/integration/history/checker"
)

// summary is the sum of all rounds.
type summary struct {
	system string
	seed   uint64
	began  time.Time
	rounds int
	cuts   int
	counts map[string]int
	events map[string]int
	found  map[checker.Anomaly]int
}

func newSummary(system string, seed uint64) *summary {
	return &summary{system: system, seed: seed, began: time.Now(), counts: map[string]int{}, events: map[string]int{}, found: map[checker.Anomaly]int{}}
}

func (s *summary) took() time.Duration { return time.Since(s.began) }

func (s *summary) findings() int {
	n := 0
	for _, count := range s.found {
		n += count
	}
	return n
}

// The rows of the table, in their order.
const (
	rowOperations = "operations"
	rowSent       = "records sent"
	rowAcked      = "  acknowledged"
	rowRefused    = "  refused"
	rowUnknown    = "  unknown"
	rowCommitted  = "transactions committed"
	rowAborted    = "transactions aborted"
	rowUndecided  = "transactions unknown"
	rowPolls      = "polls"
	rowPolled     = "records polled"
	rowBounds     = "bounds observed"
	rowCommits    = "offsets committed"
	rowFetched    = "offsets fetched"
	rowAwaits     = "waits"
	rowPut        = "put through Kinesis"
	rowPutAcked   = "  acknowledged by it"
	rowRead       = "reads through Kinesis"
	rowShown      = "  records shown"
	rowEnds       = "shard ends read"
	rowListings   = "shards listed"
	rowReshards   = "reshards acknowledged"
)

func count(h *checker.History) map[string]int {
	n := map[string]int{
		rowOperations: h.Operations(), rowSent: len(h.Sends), rowPolls: len(h.Polls), rowBounds: len(h.Bounds),
		rowCommits: len(h.Commits), rowFetched: len(h.Fetched), rowAwaits: len(h.Awaits), rowListings: len(h.Listings),
	}
	for _, s := range h.Sends {
		n[[]string{rowUnknown, rowAcked, rowRefused}[s.Outcome]]++
		if s.Put != nil {
			n[rowPut]++
			if s.Outcome == checker.OK {
				n[rowPutAcked]++
			}
		}
	}
	for _, t := range h.Txns {
		n[[]string{rowUndecided, rowCommitted, rowAborted}[t.Outcome]]++
	}
	for _, p := range h.Polls {
		n[rowPolled] += len(p.Records)
		if p.Shard == nil {
			continue
		}
		n[rowRead]++
		n[rowShown] += len(p.Records)
		if p.Shard.Ended {
			n[rowEnds]++
		}
	}
	for _, r := range h.Reshards {
		if r.Outcome == checker.OK {
			n[rowReshards]++
		}
	}
	return n
}

// add counts a round.
func (s *summary) add(h *checker.History, found *checker.Findings) {
	s.rounds++
	for row, n := range count(h) {
		s.counts[row] += n
	}
	for _, e := range h.Events {
		if !e.Crash {
			what, _, _ := strings.Cut(e.What, ":")
			s.events[what]++
		}
	}
	for kind, n := range found.Count {
		s.found[kind] += n
	}
}

func (s *summary) print(out io.Writer) {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	row := func(name string, value any) { fmt.Fprintf(w, "%s\t%v\n", name, value) }
	fmt.Fprintln(w)
	row("system", s.system)
	row("seed", s.seed)
	row("minutes", fmt.Sprintf("%.1f", s.took().Minutes()))
	row("rounds", s.rounds)
	for _, name := range []string{
		rowOperations, rowSent, rowAcked, rowRefused, rowUnknown, rowCommitted, rowAborted, rowUndecided,
		rowPolls, rowPolled, rowBounds, rowCommits, rowFetched, rowAwaits,
		rowPut, rowPutAcked, rowRead, rowShown, rowEnds, rowListings, rowReshards,
	} {
		row(name, s.counts[name])
	}
	for _, what := range slices.Sorted(maps.Keys(s.events)) {
		row("disturbed by "+what, s.events[what])
	}
	row("connections cut", s.cuts)
	row("findings", s.findings())
	for _, kind := range checker.Anomalies() {
		if n := s.found[kind]; n > 0 {
			row("  "+string(kind), n)
		}
	}
	w.Flush()
}

// inShort is a round in one line.
func inShort(h *checker.History, found *checker.Findings) string {
	n := count(h)
	disturbances, findings := 0, 0
	for _, e := range h.Events {
		if !e.Crash {
			disturbances++
		}
	}
	for _, c := range found.Count {
		findings += c
	}
	return fmt.Sprintf("%d operations, %d records acknowledged, %d unknown, %d polled, %d + %d transactions committed and aborted, %d disturbances, %d findings",
		n[rowOperations], n[rowAcked], n[rowUnknown], n[rowPolled], n[rowCommitted], n[rowAborted], disturbances, findings)
}
