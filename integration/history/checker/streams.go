package checker

import (
	"fmt"
	"slices"
	"strings"
)

// Put is what only Kinesis says of a Send. Its To has the index of the shard in
// which it was acknowledged, and Nowhere before.
type Put struct {
	Hash  Hash  // of its partition key, or its explicit hash key
	Times int32 // how often it was sent, since an answer was lost
	Frame Frame // of the sequence number that acknowledged it
	// Request is the writer's PutRecords that was acknowledged: what goes to one
	// shard with it stays in its order. 0 for PutRecord.
	Request int32
	Bad     string
}

// Nowhere is the index of the partition of a put that has not been acknowledged.
const Nowhere = int32(-1)

// ShardRead is what only Kinesis says of a Poll: an answer of GetRecords, or an
// event of SubscribeToShard.
type ShardRead struct {
	Frame    Frame // of its records' sequence numbers
	Tip      bool  // there was nothing more: MillisBehindLatest was 0
	Latest   Time  // when its LATEST iterator had been handed out; 0 for another
	Ended    bool  // the shard ends here
	Children []Child
	Bad      string // a sequence number that is none
}

// Child is a child of a shard, as the end of the shard tells it.
type Child struct {
	Index     int32
	Low, High Hash
	Parents   []int32
}

// Shard is a shard as ListShards tells it. It is closed when it has Last.
type Shard struct {
	Index            int32
	Parent, Adjacent int32 // -1 for none
	Low, High        Hash
	First            Sequence
	Last             *Sequence
}

// Listing is an answer of ListShards.
type Listing struct {
	Topic      string
	Active     bool // the stream was before it was asked for, and no reshard was pending
	Shards     []Shard
	Bad        string // a number in it that is none
	Start, End Time
}

// What a Reshard asks for.
const (
	Split = "SplitShard"
	Merge = "MergeShards"
	Count = "UpdateShardCount"
)

// Reshard is a request to change the shards of a stream.
type Reshard struct {
	What       string
	Topic      string
	Shards     []int32 // that it closes; none of Count
	At         Hash    // of Split: where the second child begins
	Target     int32   // of Count
	Outcome    Outcome
	Start, End Time
}

// stream is what the history has of the shards of one topic.
type stream struct {
	name     string
	listings []*Listing
	shards   map[int32]*lived
	order    []int32
}

// lived is a shard with the listings that show it.
type lived struct {
	Shard
	in     *Listing // from which its facts are
	seen   *Listing // that was the first to be over
	closed *Listing // likewise, of those that show it closed
}

func (s Shard) open() bool { return s.Last == nil }

func (s Shard) contains(h Hash) bool { return s.Low.Compare(h) <= 0 && h.Compare(s.High) <= 0 }

// says that two listings agree on what never changes of a shard.
func (s Shard) same(o Shard) bool {
	return s.Parent == o.Parent && s.Adjacent == o.Adjacent && s.Low == o.Low && s.High == o.High && s.First == o.First &&
		(s.Last == nil || o.Last == nil || *s.Last == *o.Last)
}

func (c *checker) indexStreams() {
	c.streams = map[string]*stream{}
	for i := range c.h.Listings {
		l := &c.h.Listings[i]
		s := c.streams[l.Topic]
		if s == nil {
			s = &stream{name: l.Topic, shards: map[int32]*lived{}}
			c.streams[l.Topic] = s
		}
		s.listings = append(s.listings, l)
	}
	for _, s := range c.streams {
		slices.SortFunc(s.listings, func(a, b *Listing) int { return int(a.Start - b.Start) })
		for _, l := range s.listings {
			for _, shard := range l.Shards {
				s.add(l, shard)
			}
		}
		slices.Sort(s.order)
	}
}

func (s *stream) add(l *Listing, shard Shard) {
	at := s.shards[shard.Index]
	if at == nil {
		at = &lived{Shard: shard, in: l}
		s.shards[shard.Index] = at
		s.order = append(s.order, shard.Index)
	}
	if at.seen == nil || l.End < at.seen.End {
		at.seen = l
	}
	if shard.open() {
		return
	}
	if at.open() {
		at.Last = shard.Last
	}
	if at.closed == nil || l.End < at.closed.End {
		at.closed = l
	}
}

// children are the shards that a shard was split or merged into.
func (s *stream) children(of int32) (out []*lived) {
	for _, i := range s.order {
		if c := s.shards[i]; c.Parent == of || c.Adjacent == of {
			out = append(out, c)
		}
	}
	return out
}

// shard is the shard that a partition is; nil where no listing has it.
func (c *checker) shard(on Partition) *lived {
	if s := c.streams[on.Topic]; s != nil {
		return s.shards[on.Index]
	}
	return nil
}

// cut is a listing with some of its shards only.
func (l *Listing) cut(to ...int32) Listing {
	out := *l
	out.Shards = slices.DeleteFunc(slices.Clone(l.Shards), func(s Shard) bool { return !slices.Contains(to, s.Index) })
	return out
}

// checkStreams runs the rules that only streams have.
func (c *checker) checkStreams() {
	for _, name := range c.names {
		s := c.streams[name]
		for _, l := range s.listings {
			c.checkListing(s, l)
		}
		c.checkReshards(s)
	}
	for _, p := range c.order {
		c.checkRequests(p)
		c.checkFrames(p)
		c.checkRouted(p)
		c.checkEnds(p)
		c.checkAfterEnd(p)
		c.checkTips(p)
		c.checkLatest(p)
	}
	c.checkMalformed()
}

// checkListing: the open shards divide all hash keys between them; a shard never
// changes but to be closed; it is closed exactly when it has children, and they
// take its range.
func (c *checker) checkListing(s *stream, l *Listing) {
	broken := func(on string, show *History, format string, args ...any) {
		show.Listings = append(show.Listings, *l)
		c.report(LineageBroken, s.name+" "+on, show, format, args...)
	}
	if what := divided(l); what != "" {
		broken("ranges", &History{}, "the open shards of %s do not divide all hash keys between them: %s", s.name, what)
	}
	has := map[int32]Shard{}
	for _, shard := range l.Shards {
		has[shard.Index] = shard
	}
	for _, i := range s.order {
		at := s.shards[i]
		shard, listed := has[i]
		on := fmt.Sprintf("shard %d", i)
		earlier := func(o *Listing) *History { return &History{Listings: []Listing{o.cut(i)}} }
		switch {
		case !listed && at.seen.End < l.Start:
			broken(on+" gone", earlier(at.seen), "shard %d of %s was there, and is not any more", i, s.name)
		case !listed:
		case !at.same(shard):
			broken(on+" changed", earlier(at.in), "shard %d of %s is not what it was", i, s.name)
		case shard.open() && at.closed != nil && at.closed.End < l.Start:
			broken(on+" reopened", earlier(at.closed), "shard %d of %s was closed, and is open", i, s.name)
		}
	}
	for _, shard := range l.Shards {
		if what := descends(shard, has, l); what != "" {
			broken(fmt.Sprintf("shard %d descent", shard.Index), &History{}, "shard %d of %s %s", shard.Index, s.name, what)
		}
		for _, parent := range []int32{shard.Parent, shard.Adjacent} {
			if p, ok := has[parent]; ok && !p.open() && p.Last.Compare(shard.First) >= 0 {
				c.report(BadSequence, fmt.Sprintf("%s shard %d first", s.name, shard.Index), &History{Listings: []Listing{l.cut(parent, shard.Index)}},
					"the sequence numbers of shard %d of %s begin at %v, and those of its parent %d end behind that, at %v", shard.Index, s.name, shard.First, parent, *p.Last)
			}
		}
	}
}

// divided says where the open shards of a listing overlap, or leave something out.
func divided(l *Listing) string {
	var open []Shard
	for _, s := range l.Shards {
		if s.open() {
			open = append(open, s)
		}
	}
	if len(open) == 0 {
		return "there are none"
	}
	slices.SortFunc(open, func(a, b Shard) int { return a.Low.Compare(b.Low) })
	next := Hash{}
	for i, s := range open {
		if s.Low != next || s.High.Compare(s.Low) < 0 || i > 0 && next == (Hash{}) {
			return fmt.Sprintf("shard %d has %v to %v, and %v would be next", s.Index, s.Low, s.High, next)
		}
		next = s.High.Next()
	}
	if next != (Hash{}) {
		return fmt.Sprintf("nobody has %v", next)
	}
	return ""
}

// descends says what is wrong with a shard's parents or children.
func descends(s Shard, has map[int32]Shard, l *Listing) string {
	p, okP := has[s.Parent]
	a, okA := has[s.Adjacent]
	switch {
	case okP && p.open():
		return fmt.Sprintf("has the parent %d, which is open", s.Parent)
	case okA && a.open():
		return fmt.Sprintf("has the parent %d, which is open", s.Adjacent)
	case okP && okA && !(p.Low == s.Low && a.High == s.High && a.Low == p.High.Next() || a.Low == s.Low && p.High == s.High && p.Low == a.High.Next()):
		return fmt.Sprintf("has not the range of its parents %d and %d", s.Parent, s.Adjacent)
	case okP && s.Adjacent < 0 && !(p.Low == s.Low && s.High.Compare(p.High) < 0 || p.High == s.High && p.Low.Compare(s.Low) < 0):
		return fmt.Sprintf("has not a part of the range of its parent %d", s.Parent)
	}
	if s.open() {
		return ""
	}
	for _, c := range l.Shards {
		if c.Parent == s.Index || c.Adjacent == s.Index {
			return ""
		}
	}
	return "is closed, and has no children"
}

// checkReshards: what was acknowledged is done.
func (c *checker) checkReshards(s *stream) {
	for i := range c.h.Reshards {
		r := &c.h.Reshards[i]
		if r.Topic != s.name || r.Outcome != OK {
			continue
		}
		for _, l := range s.listings {
			if !l.Active || l.Start <= r.End {
				continue
			}
			if what := c.undone(s, r, l); what != "" {
				c.report(LostReshard, fmt.Sprintf("%s at %v", s.name, r.Start), &History{Reshards: []Reshard{*r}, Listings: []Listing{*l}},
					"%s was acknowledged, and %s is active again: %s", r, s.name, what)
			}
			break
		}
	}
}

// undone says what is missing of a reshard in a listing that comes after it.
func (c *checker) undone(s *stream, r *Reshard, l *Listing) string {
	if r.What == Count {
		if c.resharded(r, l) {
			return ""
		}
		n := int32(0)
		for _, shard := range l.Shards {
			if shard.open() {
				n++
			}
		}
		if n != r.Target {
			return fmt.Sprintf("it has %d open shards", n)
		}
		return ""
	}
	var children []Shard
	for _, shard := range l.Shards {
		switch {
		case slices.Contains(r.Shards, shard.Index) && shard.open():
			return fmt.Sprintf("shard %d is open", shard.Index)
		case slices.Contains(r.Shards, shard.Parent) && (r.What == Split || slices.Contains(r.Shards, shard.Adjacent)):
			children = append(children, shard)
		}
	}
	switch {
	case r.What == Merge && len(children) != 1, r.What == Split && len(children) != 2:
		return fmt.Sprintf("there are %d children", len(children))
	case r.What == Split && !slices.ContainsFunc(children, func(s Shard) bool { return s.Low == r.At }):
		return fmt.Sprintf("no child begins at %v", r.At)
	}
	return ""
}

// resharded says that another reshard may have come between r and a listing.
func (c *checker) resharded(r *Reshard, l *Listing) bool {
	for i := range c.h.Reshards {
		o := &c.h.Reshards[i]
		if o != r && o.Topic == r.Topic && o.Outcome != Failed && o.Start < l.End && (o.Outcome == Unknown || o.End > r.Start) {
			return true
		}
	}
	return false
}

func (r *Reshard) String() string {
	switch r.What {
	case Count:
		return fmt.Sprintf("%s of %s to %d", r.What, r.Topic, r.Target)
	case Split:
		return fmt.Sprintf("%s of %s/%d at %v", r.What, r.Topic, r.Shards[0], r.At)
	}
	return fmt.Sprintf("%s of %s/%s", r.What, r.Topic, strings.Trim(fmt.Sprint(r.Shards), "[]"))
}
