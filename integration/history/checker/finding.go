package checker

import (
	"fmt"
	"slices"
	"strings"
)

// Anomaly is a kind of finding. docs/checking.md says what each means.
type Anomaly string

const (
	LostWrite       Anomaly = "lost-write"
	Duplicate       Anomaly = "duplicate"
	Reordered       Anomaly = "reordered"
	TwoValues       Anomaly = "two-values"
	Altered         Anomaly = "altered"
	Phantom         Anomaly = "phantom"
	RefusedShown    Anomaly = "refused-shown"
	AbortedRead     Anomaly = "aborted-read"
	DirtyRead       Anomaly = "dirty-read"
	HalfTransaction Anomaly = "half-transaction"
	FencedCommit    Anomaly = "fenced-commit"
	OffsetsApart    Anomaly = "offsets-apart"
	NonMonotonic    Anomaly = "nonmonotonic-poll"
	SkippedPoll     Anomaly = "skipped-poll"
	OffsetBack      Anomaly = "offset-back"
	EndBack         Anomaly = "end-back"
	LostCommit      Anomaly = "lost-commit"
	CommitBack      Anomaly = "commit-back"
	Resurrected     Anomaly = "resurrected-key"
	StuckWrites     Anomaly = "stuck-writes"
	StuckLSO        Anomaly = "stuck-lso"
	StuckGroup      Anomaly = "stuck-group"
	Unseen          Anomaly = "unseen"
	Crashed         Anomaly = "crashed"
	ProtocolsApart  Anomaly = "protocols-apart"
	BadSequence     Anomaly = "bad-sequence"
	WrongShard      Anomaly = "wrong-shard"
	EarlyEnd        Anomaly = "early-shard-end"
	ChildlessEnd    Anomaly = "childless-end"
	AfterEnd        Anomaly = "after-end"
	LineageBroken   Anomaly = "lineage-broken"
	LostReshard     Anomaly = "lost-reshard"
	FalseTip        Anomaly = "false-tip"
	StuckStream     Anomaly = "stuck-stream"
)

// Anomalies are all kinds, in the order in which they are told.
func Anomalies() []Anomaly {
	return []Anomaly{
		Crashed, LostWrite, TwoValues, Altered, Phantom, Duplicate, Reordered, RefusedShown,
		AbortedRead, DirtyRead, HalfTransaction, FencedCommit, OffsetsApart,
		NonMonotonic, SkippedPoll, OffsetBack, EndBack, LostCommit, CommitBack, Resurrected,
		ProtocolsApart, BadSequence, WrongShard, EarlyEnd, ChildlessEnd, AfterEnd, LineageBroken, LostReshard, FalseTip,
		StuckWrites, StuckLSO, StuckGroup, StuckStream, Unseen,
	}
}

// keepOf is how many findings of a kind are kept with their history; one fault
// can make thousands. Those that Kinesis shows count by themselves.
const keepOf = 5

type kept struct {
	kind    Anomaly
	kinesis bool
}

// Finding is a promise that was broken.
type Finding struct {
	Kind Anomaly
	On   string // what it concerns, such as a partition and an offset
	Says string
	// History holds only the operations that show it.
	History *History
}

// Findings are what Check found.
type Findings struct {
	Found []Finding       // up to keepOf of each kind, in the order of Anomalies
	Count map[Anomaly]int // of all, including those not kept
}

// Has says whether there is a finding of a kind.
func (f *Findings) Has(kind Anomaly) bool { return f.Count[kind] > 0 }

func (f *Findings) has(kind Anomaly, on string) bool {
	return slices.ContainsFunc(f.Found, func(x Finding) bool { return x.Kind == kind && x.On == on })
}

// Check looks for everything that the history shows to be wrong. Each finding
// comes with the shortest history that shows it.
func Check(h *History) *Findings {
	f := find(h)
	for i := range f.Found {
		minimise(&f.Found[i])
	}
	order := Anomalies()
	slices.SortStableFunc(f.Found, func(a, b Finding) int {
		return slices.Index(order, a.Kind) - slices.Index(order, b.Kind)
	})
	for i := range f.Found {
		f.Found[i].addEvents(h)
	}
	return f
}

// find runs the rules.
func find(h *History) *Findings {
	c := newChecker(h)
	c.checkEvents()
	c.checkKnown()
	for _, p := range c.order {
		c.checkSequence(p)
		c.checkAcknowledged(p)
		c.checkBounds(p)
		c.checkPolls(p)
		c.checkKeys(p)
	}
	c.checkStreams()
	c.checkTransactions()
	c.checkGroups()
	c.checkTransforms()
	c.checkAwaits()
	return &c.found
}

func (c *checker) report(kind Anomaly, on string, show *History, format string, args ...any) {
	// What many consumers see is one finding.
	name := string(kind) + " " + on
	if c.told[name] {
		return
	}
	c.told[name] = true
	c.found.Count[kind]++
	of := kept{kind, strings.HasSuffix(on, throughKinesis)}
	if c.kept[of] >= keepOf {
		return
	}
	c.kept[of]++
	show.Topics = c.h.Topics
	show.Writers = c.h.Writers
	c.found.Found = append(c.found.Found, Finding{Kind: kind, On: on, Says: fmt.Sprintf(format, args...), History: show})
}

// minimise leaves out of a finding's history, one by one, what it does not need.
func minimise(f *Finding) {
	h := f.History
	still := func() bool { return find(h).has(f.Kind, f.On) }
	drop(&h.Events, still)
	drop(&h.Awaits, still)
	drop(&h.Sends, still)
	drop(&h.Txns, still)
	drop(&h.Polls, still)
	drop(&h.Bounds, still)
	drop(&h.Commits, still)
	drop(&h.Fetched, still)
	drop(&h.Reshards, still)
	drop(&h.Listings, still)
}

// drop removes every element without which the finding remains.
func drop[T any](list *[]T, still func() bool) {
	for i := len(*list) - 1; i >= 0; i-- {
		before := *list
		*list = slices.Delete(slices.Clone(before), i, i+1)
		if !still() {
			*list = before
		}
	}
}

// eventsShown is how many disturbances a finding shows, the last ones.
const eventsShown = 6

// addEvents adds what was done to the broker meanwhile, as a hint at the cause.
func (f *Finding) addEvents(h *History) {
	first, last := f.History.span()
	var during []Event
	for _, e := range h.Events {
		if !e.Crash && e.End >= first && e.Start <= last {
			during = append(during, e)
		}
	}
	slices.SortFunc(during, func(a, b Event) int { return int(a.Start - b.Start) })
	f.History.Events = append(f.History.Events, during[max(0, len(during)-eventsShown):]...)
}
