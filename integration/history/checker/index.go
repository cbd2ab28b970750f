package checker

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
)

// checker is a history, sorted for the rules.
type checker struct {
	h       *History
	writers map[int32]*Writer
	sends   map[ID]*Send
	txns    map[txnID]*Txn
	parts   map[Partition]*part
	order   []*part
	streams map[string]*stream
	names   []string        // of the streams, in order
	stands  map[ID][]at     // where each record that was put stands
	shown   map[txnID]known // a record of each transaction that a read_committed consumer got
	found   Findings
	kept    map[kept]int
	told    map[string]bool // kind and subject of what was reported
}

// at is a place in the log, and who showed it.
type at struct {
	on Partition
	known
}

type txnID struct{ writer, n int32 }

// part is what the history has of one partition.
type part struct {
	on     Partition
	topic  Topic
	sends  []*Send
	polls  []*Poll
	bounds [3][]*Bounds // by Bound, in order of their start
	// known has what anybody said is at an offset: acknowledgements and polls.
	known []known
	// seen is where each record of a producer that sends once was first got.
	seen map[ID]seen
	// latest is each key's last record that is not of an aborted transaction.
	latest map[int32]*known
}

// seen is a record in a poll.
type seen struct {
	offset int64
	poll   *Poll
}

// known is a record at an offset, and how it is known.
type known struct {
	offset int64
	id     ID
	send   *Send // the record's, if it was ever sent
	poll   *Poll // the first that showed it; nil where only the acknowledgement says so
}

func newChecker(h *History) *checker {
	c := &checker{
		h: h, writers: map[int32]*Writer{}, sends: make(map[ID]*Send, len(h.Sends)),
		txns: map[txnID]*Txn{}, parts: map[Partition]*part{}, kept: map[kept]int{}, told: map[string]bool{},
		stands: map[ID][]at{},
	}
	c.found.Count = map[Anomaly]int{}
	for i := range h.Writers {
		c.writers[h.Writers[i].ID] = &h.Writers[i]
	}
	for i := range h.Txns {
		c.txns[txnID{h.Txns[i].Writer, h.Txns[i].N}] = &h.Txns[i]
	}
	for i := range h.Sends {
		s := &h.Sends[i]
		c.sends[s.ID] = s
		if s.To.Index != Nowhere {
			p := c.part(s.To)
			p.sends = append(p.sends, s)
		}
	}
	for i := range h.Polls {
		if poll := &h.Polls[i]; poll.Shard == nil || poll.Shard.Bad == "" {
			p := c.part(poll.On)
			p.polls = append(p.polls, poll)
		}
	}
	for i := range h.Bounds {
		b := &h.Bounds[i]
		p := c.part(b.On)
		p.bounds[b.What] = append(p.bounds[b.What], b)
	}
	for _, p := range c.order {
		slices.SortFunc(p.polls, func(a, b *Poll) int { return cmp.Compare(a.Start, b.Start) })
		for _, bs := range p.bounds {
			slices.SortFunc(bs, func(a, b *Bounds) int { return cmp.Compare(a.Start, b.Start) })
		}
	}
	slices.SortFunc(c.order, func(a, b *part) int {
		return cmp.Or(cmp.Compare(a.on.Topic, b.on.Topic), cmp.Compare(a.on.Index, b.on.Index))
	})
	c.indexStreams()
	c.names = slices.Sorted(maps.Keys(c.streams))
	return c
}

func (c *checker) part(on Partition) *part {
	p := c.parts[on]
	if p == nil {
		p = &part{on: on, topic: c.h.Topics[on.Topic]}
		c.parts[on] = p
		c.order = append(c.order, p)
	}
	return p
}

func (c *checker) kind(id ID) Kind {
	if w := c.writers[id.Writer]; w != nil {
		return w.Kind
	}
	return Plain
}

// txn is the transaction that a record belongs to; nil for none, or where the
// history does not say how it ended.
func (c *checker) txn(s *Send) *Txn {
	if s == nil || s.Txn == 0 {
		return nil
	}
	return c.txns[txnID{s.ID.Writer, s.Txn}]
}

// at is what is known at an offset.
func (p *part) at(offset int64) *known {
	i, ok := slices.BinarySearchFunc(p.known, offset, func(k known, o int64) int { return cmp.Compare(k.offset, o) })
	if !ok {
		return nil
	}
	return &p.known[i]
}

// between are the known records with offsets from up to but without to.
func (p *part) between(from, to int64) []known {
	search := func(at int64) int {
		i, _ := slices.BinarySearchFunc(p.known, at, func(k known, o int64) int { return cmp.Compare(k.offset, o) })
		return i
	}
	i, j := search(from), search(to)
	return p.known[i:max(i, j)]
}

// boundAfter is the first observation of the log's start after t: when something
// that ended at t happened, the start was no larger than that.
func (p *part) boundAfter(t Time) *Bounds {
	for _, b := range p.bounds[LogStart] {
		if b.Start >= t {
			return b
		}
	}
	return nil
}

func (p Partition) String() string { return fmt.Sprintf("%s/%d", p.Topic, p.Index) }

func (id ID) String() string { return fmt.Sprintf("%d:%d", id.Writer, id.Seq) }

func place(on Partition, offset int64) string { return fmt.Sprintf("%v@%d", on, offset) }

// near is a poll cut down to the neighbourhood of an offset: the record before
// it, itself, and the one behind.
func near(p *Poll, offset int64) Poll {
	i, found := slices.BinarySearchFunc(p.Records, offset, func(r Record, o int64) int { return cmp.Compare(r.Offset, o) })
	j := i
	if found {
		j++
	}
	first, last := max(0, i-1), min(len(p.Records), j+1)
	out := *p
	out.Records = p.Records[first:last]
	if first > 0 && out.From != -1 {
		out.From = p.Records[first].Offset
	}
	if last < len(p.Records) {
		out.To = p.Records[last-1].Offset + 1
		out.Shard = p.Shard.middle()
	}
	return out
}
