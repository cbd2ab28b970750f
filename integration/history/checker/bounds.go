package checker

import (
	"cmp"
	"fmt"
	"slices"
)

var boundNames = [...]string{LogStart: "log start", LogEnd: "log end", LogStable: "last stable offset"}

// checkBounds: the log's start, its end and the last stable offset never go
// back, and the end is behind everything that was acknowledged or seen.
func (c *checker) checkBounds(p *part) {
	for what := range p.bounds {
		c.checkRising(p, Bound(what))
	}
	c.checkBehind(p, LogEnd, func(poll *Poll) bool { return true })
	c.checkBehind(p, LogStable, func(poll *Poll) bool { return poll.Committed })
}

// checkRising compares each observation with all that ended before it began.
func (c *checker) checkRising(p *part, what Bound) {
	byEnd := slices.Clone(p.bounds[what])
	slices.SortFunc(byEnd, func(a, b *Bounds) int { return cmp.Compare(a.End, b.End) })
	var top *Bounds
	next := 0
	for _, b := range p.bounds[what] {
		for ; next < len(byEnd) && byEnd[next].End < b.Start; next++ {
			if top == nil || byEnd[next].Offset > top.Offset {
				top = byEnd[next]
			}
		}
		if top != nil && b.Offset < top.Offset {
			c.report(EndBack, fmt.Sprintf("%v %s", p.on, boundNames[what]), &History{Bounds: []Bounds{*top, *b}},
				"the %s of %v was %d, and later %d", boundNames[what], p.on, top.Offset, b.Offset)
		}
	}
}

// mark is an offset that existed from some time on, and what shows it.
type mark struct {
	offset int64
	since  Time
	send   *Send
	poll   *Poll
}

// checkBehind: a bound is behind every record that was there before it was asked.
func (c *checker) checkBehind(p *part, what Bound, counts func(*Poll) bool) {
	var marks []mark
	for _, s := range p.sends {
		if what == LogEnd && s.Outcome == OK {
			marks = append(marks, mark{s.Offset, s.End, s, nil})
		}
	}
	for _, poll := range p.polls {
		if n := len(poll.Records); n > 0 && counts(poll) {
			marks = append(marks, mark{poll.Records[n-1].Offset, poll.End, nil, poll})
		}
	}
	slices.SortFunc(marks, func(a, b mark) int { return cmp.Compare(a.since, b.since) })
	var top *mark
	next := 0
	for _, b := range p.bounds[what] {
		for ; next < len(marks) && marks[next].since < b.Start; next++ {
			if top == nil || marks[next].offset > top.offset {
				top = &marks[next]
			}
		}
		if top == nil || b.Offset > top.offset {
			continue
		}
		h := &History{Bounds: []Bounds{*b}}
		how := "acknowledged"
		if top.send != nil {
			h.Sends = append(h.Sends, *top.send)
		} else {
			h.Polls = append(h.Polls, only(top.poll, top.offset))
			how = "read"
		}
		c.report(EndBack, fmt.Sprintf("%v %s", p.on, boundNames[what]), h,
			"a record at offset %d of %v had been %s when the %s was said to be %d", top.offset, p.on, how, boundNames[what], b.Offset)
	}
}
