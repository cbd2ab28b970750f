package checker

import (
	"cmp"
	"fmt"
	"slices"
)

type groupPart struct {
	group string
	on    Partition
}

func (g groupPart) String() string { return fmt.Sprintf("group %s, %v", g.group, g.on) }

// checkGroups: an offset that was committed is what the group finds, until a
// later one takes its place.
func (c *checker) checkGroups() {
	commits := map[groupPart][]*Commit{}
	for i := range c.h.Commits {
		m := &c.h.Commits[i]
		at := groupPart{m.Group, m.On}
		commits[at] = append(commits[at], m)
	}
	for _, list := range commits {
		slices.SortFunc(list, func(a, b *Commit) int { return cmp.Compare(a.Start, b.Start) })
	}
	for i := range c.h.Fetched {
		f := &c.h.Fetched[i]
		at := groupPart{f.Group, f.On}
		c.checkFetched(at, commits[at], f)
	}
	for _, p := range c.order {
		for _, poll := range p.polls {
			if poll.From == -1 && poll.Group != "" && len(poll.Records) > 0 {
				at := groupPart{poll.Group, p.on}
				c.checkAssigned(at, p, commits[at], poll)
			}
		}
	}
}

// checkFetched compares an answer with the commits that it can come from.
func (c *checker) checkFetched(at groupPart, commits []*Commit, f *Fetched) {
	var settled *Commit // what was acknowledged last before the question
	for _, m := range commits {
		if m.Outcome == OK && m.End < f.Start && (settled == nil || m.Start > settled.Start) {
			settled = m
		}
	}
	if settled == nil {
		return
	}
	for _, m := range commits {
		// One that overlaps with the last, or came after, or whose fate is
		// unknown, may be what is there now.
		possible := m == settled || m.Outcome != Failed && m.Start < f.End && (m.End >= settled.Start || m.Outcome == Unknown)
		if possible && m.Offset == f.Offset {
			return
		}
	}
	h := &History{Commits: []Commit{*settled}, Fetched: []Fetched{*f}}
	if f.Offset == -1 {
		c.report(LostCommit, at.String(), h, "%v: offset %d was committed, and the group has none", at, settled.Offset)
		return
	}
	for _, m := range commits {
		if m.Offset == f.Offset {
			h.Commits = append(h.Commits, *m)
			break
		}
	}
	c.report(CommitBack, at.String(), h, "%v: offset %d was committed last, and the group has %d", at, settled.Offset, f.Offset)
}

// checkAssigned compares where a new member began with what the group had
// committed. Offsets of a group only rise here: members commit what they have
// read.
func (c *checker) checkAssigned(at groupPart, p *part, commits []*Commit, poll *Poll) {
	first := poll.Records[0].Offset
	var sure, most *Commit
	for _, m := range commits {
		if m.Outcome == OK && m.End < poll.Assigned && (sure == nil || m.Offset > sure.Offset) {
			sure = m
		}
		if m.Outcome != Failed && m.Start < poll.End && (most == nil || m.Offset > most.Offset) {
			most = m
		}
	}
	show := *poll
	show.Records = poll.Records[:1]
	show.To = first + 1
	if sure != nil && first < sure.Offset {
		h := &History{Commits: []Commit{*sure}, Polls: []Poll{show}}
		c.report(CommitBack, at.String(), h, "%v: offset %d was committed, and its next member %s began at %d", at, sure.Offset, poll.Consumer, first)
		return
	}
	from := int64(0)
	if most != nil {
		from = most.Offset
	}
	between := p.between(from, first)
	for i := range between {
		k := &between[i]
		if k.send == nil || c.excused(p, k, poll) {
			continue
		}
		h := &History{Polls: []Poll{show}}
		k.evidence(h)
		if most != nil {
			h.Commits = append(h.Commits, *most)
		}
		c.report(SkippedPoll, fmt.Sprintf("%v@%d from %d", at, k.offset, from), h,
			"%v: nothing above offset %d was committed, and member %s began at %d, behind record %v at %d", at, from, poll.Consumer, first, k.id, k.offset)
		return
	}
}

var awaited = map[string]struct {
	kind Anomaly
	says string
}{
	AwaitWrites:   {StuckWrites, "no record was acknowledged"},
	AwaitStable:   {StuckLSO, "the last stable offset did not reach the end"},
	AwaitGroup:    {StuckGroup, "the group did not reach the end"},
	AwaitStream:   {StuckStream, "the stream did not become active"},
	AwaitConsumer: {Unseen, "the consumer did not reach the end"},
}

// checkAwaits: a broker that is left alone gets everything done.
func (c *checker) checkAwaits() {
	for _, a := range c.h.Awaits {
		if !a.Reached {
			what := awaited[a.What]
			c.report(what.kind, a.Subject, &History{Awaits: []Await{a}},
				"%s: %s within %v of the last disturbance: %s", a.Subject, what.says, (a.End - a.Start).Round(second), a.Detail)
		}
	}
}

// checkEvents: the broker does not end by itself.
func (c *checker) checkEvents() {
	for _, e := range c.h.Events {
		if e.Crash {
			c.report(Crashed, "broker", &History{Events: []Event{e}}, "%s", e.What)
		}
	}
}
