package checker

import (
	"cmp"
	"fmt"
	"slices"
)

const throughKinesis = " through Kinesis"

// via tells in a finding's name which protocol showed it.
func via(p *Poll) string {
	if p != nil && p.Shard != nil {
		return throughKinesis
	}
	return ""
}

// kinesis says that a record is known through Kinesis.
func (k *known) kinesis() bool {
	if k.poll != nil {
		return k.poll.Shard != nil
	}
	return k.send != nil && k.send.Put != nil
}

// middle is what is left of an answer of which the end is not shown.
func (s *ShardRead) middle() *ShardRead {
	if s == nil {
		return nil
	}
	return &ShardRead{Frame: s.Frame, Latest: s.Latest}
}

// at is the position that a poll left behind; -1 where only the broker knows it.
func (p *Poll) at() int64 {
	if p.From == -1 && len(p.Records) == 0 {
		return -1
	}
	return p.To
}

// shows adds a listing that has some of the topic's shards to a finding.
func (c *checker) shows(h *History, shards ...*lived) {
	var in []*Listing
	var names []int32
	for _, s := range shards {
		names = append(names, s.Index)
		if !slices.Contains(in, s.in) {
			in = append(in, s.in)
		}
	}
	for _, l := range in {
		h.Listings = append(h.Listings, l.cut(names...))
	}
}

// checkFrames: all sequence numbers of a shard have its beginning and its index
// in them, and lie between its first and its last one.
func (c *checker) checkFrames(p *part) {
	want := Frame{}
	shard := c.shard(p.on)
	var first History // what shows the frame
	if shard != nil {
		want = shard.First.Frame
		c.shows(&first, shard)
	}
	judge := func(got Frame, offset int64, how func(*History)) {
		if want == (Frame{}) && got.Shard() == p.on.Index {
			want = got
			how(&first)
		}
		if got != want || got.Shard() != p.on.Index {
			h := first.copy()
			how(h)
			c.report(BadSequence, place(p.on, offset), h, "the sequence number %v in shard %d of %s is not one of that shard, whose numbers are like %v",
				Sequence{got, offset}, p.on.Index, p.on.Topic, Sequence{want, offset})
		}
	}
	for _, s := range p.sends {
		if s.Put != nil && s.Outcome == OK {
			judge(s.Put.Frame, s.Offset, func(h *History) { h.Sends = append(h.Sends, *s) })
		}
	}
	for _, poll := range p.polls {
		if poll.Shard != nil && len(poll.Records) > 0 {
			at := poll.Records[0].Offset
			judge(poll.Shard.Frame, at, func(h *History) { h.Polls = append(h.Polls, only(poll, at)) })
		}
	}
	if shard == nil || shard.open() || len(p.known) == 0 {
		return
	}
	if k := &p.known[len(p.known)-1]; k.offset >= shard.Last.Offset {
		var h History
		k.evidence(&h)
		h.Listings = append(h.Listings, shard.closed.cut(p.on.Index))
		c.report(BadSequence, p.on.String()+" last", &h, "the sequence numbers of shard %d of %s end with %v, and record %v has %v",
			p.on.Index, p.on.Topic, *shard.Last, k.id, Sequence{want, k.offset})
	}
}

func (h *History) copy() *History {
	return &History{Sends: slices.Clone(h.Sends), Polls: slices.Clone(h.Polls), Listings: slices.Clone(h.Listings)}
}

// checkRequests: what one PutRecords has put into a shard stands there in its
// order.
func (c *checker) checkRequests(p *part) {
	type request struct{ writer, n int32 }
	last := map[request]*Send{}
	puts := slices.Clone(p.sends)
	slices.SortFunc(puts, func(a, b *Send) int {
		return cmp.Or(cmp.Compare(a.ID.Writer, b.ID.Writer), cmp.Compare(a.ID.Seq, b.ID.Seq))
	})
	for _, s := range puts {
		if s.Put == nil || s.Put.Request == 0 || s.Outcome != OK {
			continue
		}
		of := request{s.ID.Writer, s.Put.Request}
		if before := last[of]; before != nil && before.Offset > s.Offset {
			c.report(Reordered, place(p.on, s.Offset), &History{Sends: []Send{*before, *s}},
				"records %v and %v were put by one request in this order, and stand in %v at offsets %d and %d", before.ID, s.ID, p.on, before.Offset, s.Offset)
		}
		last[of] = s
	}
}

// checkRouted: a record that was put stands in a shard that has its hash key.
func (c *checker) checkRouted(p *part) {
	shard := c.shard(p.on)
	if shard == nil {
		return
	}
	for i := range p.known {
		k := &p.known[i]
		if k.send == nil || k.send.Put == nil || shard.contains(k.send.Put.Hash) {
			continue
		}
		var h History
		k.evidence(&h)
		c.shows(&h, shard)
		c.report(WrongShard, place(p.on, k.offset), &h, "record %v with hash key %v is in shard %d of %s, which has the hash keys from %v to %v",
			k.id, k.send.Put.Hash, p.on.Index, p.on.Topic, shard.Low, shard.High)
	}
}

// checkEnds: who is told that a shard ends has all its records, and learns its
// children.
func (c *checker) checkEnds(p *part) {
	for _, poll := range p.polls {
		if poll.Shard == nil {
			continue
		}
		show := *poll
		show.Records, show.From = nil, poll.at()
		on := fmt.Sprintf("%v for %s", p.on, poll.Consumer)
		if poll.Shard.Ended != (len(poll.Shard.Children) > 0) {
			c.report(ChildlessEnd, on, &History{Polls: []Poll{show}}, "%s", map[bool]string{
				true:  fmt.Sprintf("consumer %s was told that shard %d of %s ends, and of no children", poll.Consumer, p.on.Index, p.on.Topic),
				false: fmt.Sprintf("consumer %s was told of children of shard %d of %s, and not that it ends", poll.Consumer, p.on.Index, p.on.Topic),
			}[poll.Shard.Ended])
		}
		for _, child := range poll.Shard.Children {
			c.checkChild(p, poll, show, child)
		}
		if poll.Shard.Ended && poll.at() >= 0 {
			c.checkEnd(p, poll, show)
		}
	}
}

// checkEnd looks for records behind the end that a consumer was told of.
func (c *checker) checkEnd(p *part, poll *Poll, show Poll) {
	i, _ := slices.BinarySearchFunc(p.known, poll.at(), func(k known, o int64) int { return cmp.Compare(k.offset, o) })
	for ; i < len(p.known); i++ {
		k := &p.known[i]
		if k.send == nil || c.aborted(k.send) || k.send.Start > poll.End {
			continue // hidden, or in too late: checkAfterEnd
		}
		h := &History{Polls: []Poll{show}}
		k.evidence(h)
		c.committedBy(k.send, h)
		c.report(EarlyEnd, fmt.Sprintf("%v for %s", p.on, poll.Consumer), h, "consumer %s was told at offset %d that shard %d of %s ends there, and record %v is at %d",
			poll.Consumer, poll.at(), p.on.Index, p.on.Topic, k.id, k.offset)
		return
	}
}

// committedBy adds to a finding what shows that a record was committed.
func (c *checker) committedBy(s *Send, h *History) {
	if t := c.txn(s); t != nil {
		h.Txns = append(h.Txns, *t)
	}
	if shown, ok := c.shown[txnID{s.ID.Writer, s.Txn}]; ok && s.Txn != 0 {
		shown.evidence(h)
	}
}

func (c *checker) checkChild(p *part, poll *Poll, show Poll, child Child) {
	on := fmt.Sprintf("%v for %s", p.on, poll.Consumer)
	if !slices.Contains(child.Parents, p.on.Index) {
		c.report(ChildlessEnd, on, &History{Polls: []Poll{show}}, "consumer %s was told that shard %d of %s has the child %d, whose parents are %v",
			poll.Consumer, p.on.Index, p.on.Topic, child.Index, child.Parents)
	}
	listed := c.shard(Partition{p.on.Topic, child.Index})
	if listed == nil {
		return
	}
	parents := slices.DeleteFunc([]int32{listed.Parent, listed.Adjacent}, func(i int32) bool { return i < 0 })
	slices.Sort(parents)
	if listed.Low != child.Low || listed.High != child.High || !slices.Equal(parents, slices.Sorted(slices.Values(child.Parents))) {
		h := &History{Polls: []Poll{show}}
		c.shows(h, listed)
		c.report(LineageBroken, on, h, "consumer %s was told of another shard %d of %s than ListShards tells of", poll.Consumer, child.Index, p.on.Topic)
	}
}

// end is what shows that a shard takes no more records.
type end struct {
	since   Time
	says    string
	history History
}

// checkAfterEnd: once a shard is known to be closed, or its children have
// records, nothing that is sent then gets into it.
func (c *checker) checkAfterEnd(p *part) {
	e := c.endOf(p)
	if e == nil {
		return
	}
	for i := range p.known {
		k := &p.known[i]
		if k.send == nil || k.send.Start <= e.since {
			continue
		}
		h := e.history.copy()
		k.evidence(h)
		c.report(AfterEnd, place(p.on, k.offset), h, "record %v was sent when %s, and is in shard %d of %s at offset %d", k.id, e.says, p.on.Index, p.on.Topic, k.offset)
	}
}

// endOf is the first that shows that a shard is closed.
func (c *checker) endOf(p *part) (first *end) {
	add := func(since Time, says string, history func(*History)) {
		if first == nil || since < first.since {
			first = &end{since: since, says: says}
			history(&first.history)
		}
	}
	for _, poll := range p.polls {
		if poll.Shard != nil && poll.Shard.Ended {
			add(poll.End, fmt.Sprintf("consumer %s had been told that the shard ends", poll.Consumer), func(h *History) {
				show := *poll
				show.Records, show.From = nil, poll.at()
				h.Polls = append(h.Polls, show)
			})
		}
	}
	s := c.streams[p.on.Topic]
	if s == nil {
		return first
	}
	if shard := s.shards[p.on.Index]; shard != nil && shard.closed != nil {
		add(shard.closed.End, "ListShards had said that the shard is closed", func(h *History) { h.Listings = append(h.Listings, shard.closed.cut(p.on.Index)) })
	}
	for _, child := range s.children(p.on.Index) {
		began := c.parts[Partition{p.on.Topic, child.Index}]
		if began == nil {
			continue
		}
		says := fmt.Sprintf("its child %d had records", child.Index)
		for _, s := range began.sends {
			if s.Outcome == OK {
				add(s.End, says, func(h *History) { h.Sends = append(h.Sends, *s); c.shows(h, child) })
			}
		}
		for _, poll := range began.polls {
			if len(poll.Records) > 0 {
				add(poll.End, says, func(h *History) {
					h.Polls = append(h.Polls, only(poll, poll.Records[0].Offset))
					c.shows(h, child)
				})
			}
		}
	}
	return first
}

// checkTips: who is told that there is nothing more has everything that others,
// who read committed records, had before.
func (c *checker) checkTips(p *part) {
	var marks []*Poll
	for _, poll := range p.polls {
		if poll.Committed && len(poll.Records) > 0 {
			marks = append(marks, poll)
		}
	}
	slices.SortFunc(marks, func(a, b *Poll) int { return cmp.Compare(a.End, b.End) })
	last := func(p *Poll) int64 { return p.Records[len(p.Records)-1].Offset }
	var top *Poll
	next := 0
	for _, poll := range p.polls { // in order of their start
		for ; next < len(marks) && marks[next].End < poll.Start; next++ {
			if top == nil || last(marks[next]) > last(top) {
				top = marks[next]
			}
		}
		if top == nil || poll.Shard == nil || !poll.Shard.Tip || poll.at() == -1 || last(top) < poll.at() {
			continue
		}
		show := *poll
		show.Records, show.From = nil, poll.at()
		c.report(FalseTip, fmt.Sprintf("%v for %s", p.on, poll.Consumer), &History{Polls: []Poll{only(top, last(top)), show}},
			"consumer %s was told at offset %d of %v that there is nothing more, and consumer %s had got offset %d before", poll.Consumer, poll.at(), p.on, top.Consumer, last(top))
	}
}

// shownFrom is the earliest time at which a record can have been there for those
// who read committed records.
func (c *checker) shownFrom(s *Send) Time {
	if t := c.txn(s); t != nil {
		return max(s.Start, t.Start)
	}
	return s.Start
}

// checkLatest: a LATEST iterator sees whatever was sent, or committed, after it
// was handed out.
func (c *checker) checkLatest(p *part) {
	for _, poll := range p.polls {
		if poll.Shard == nil || poll.Shard.Latest == 0 || len(poll.Records) == 0 {
			continue
		}
		first := poll.Records[0].Offset
		before := p.between(0, first)
		for i := range before {
			k := &before[i]
			if k.send == nil || c.shownFrom(k.send) <= poll.Shard.Latest || c.excused(p, k, poll) {
				continue
			}
			h := &History{Polls: []Poll{only(poll, first)}}
			h.Polls[0].From = -1
			k.evidence(h)
			c.committedBy(k.send, h)
			c.report(SkippedPoll, fmt.Sprintf("%v from LATEST", place(p.on, k.offset)), h,
				"consumer %s had a LATEST iterator of %v before record %v could be seen, and began behind it", poll.Consumer, p.on, k.id)
			break
		}
	}
}

// checkMalformed: every sequence number is one.
func (c *checker) checkMalformed() {
	for i := range c.h.Sends {
		if s := &c.h.Sends[i]; s.Put != nil && s.Put.Bad != "" {
			c.report(BadSequence, s.ID.String(), &History{Sends: []Send{*s}}, "record %v was acknowledged with %s", s.ID, s.Put.Bad)
		}
	}
	for i := range c.h.Polls {
		if p := &c.h.Polls[i]; p.Shard != nil && p.Shard.Bad != "" {
			c.report(BadSequence, fmt.Sprintf("%v for %s", p.On, p.Consumer), &History{Polls: []Poll{*p}}, "consumer %s got %s from %v", p.Consumer, p.Shard.Bad, p.On)
		}
	}
	for i := range c.h.Listings {
		if l := &c.h.Listings[i]; l.Bad != "" {
			c.report(BadSequence, l.Topic+" listing", &History{Listings: []Listing{*l}}, "the shards of %s have %s", l.Topic, l.Bad)
		}
	}
}
