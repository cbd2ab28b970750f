package checker

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// checkKnown gathers what is known of each offset, and looks at each record by
// itself: whether it was ever sent, whether it may be seen, and whether it is
// the only one.
func (c *checker) checkKnown() {
	for _, p := range c.order {
		p.seen = map[ID]seen{}
		g := gatherer{checker: c, part: p, at: map[int64]*known{}}
		for _, s := range p.sends {
			if s.Outcome == OK {
				g.add(known{offset: s.Offset, id: s.ID, send: s})
				if s.Put != nil {
					g.stood(known{offset: s.Offset, id: s.ID, send: s})
				}
			}
		}
		for _, poll := range p.polls {
			for _, r := range poll.Records {
				g.saw(poll, r)
			}
		}
		p.known = make([]known, 0, len(g.at))
		for _, o := range slices.Sorted(maps.Keys(g.at)) {
			p.known = append(p.known, *g.at[o])
		}
	}
	c.resolve()
	for _, p := range c.order {
		p.latest = map[int32]*known{}
		for i := range p.known {
			if k := &p.known[i]; k.send != nil && k.send.Key >= 0 && !c.aborted(k.send) {
				p.latest[k.send.Key] = k
			}
		}
	}
}

type gatherer struct {
	*checker
	*part
	at map[int64]*known
}

// evidence is what shows a known record, cut down to it.
func (k *known) evidence(h *History) {
	if k.send != nil {
		h.Sends = append(h.Sends, *k.send)
	}
	if k.poll != nil {
		h.Polls = append(h.Polls, only(k.poll, k.offset))
	}
}

// only is a poll that got nothing but the record at an offset.
func only(p *Poll, offset int64) Poll {
	out := *p
	i := slices.IndexFunc(p.Records, func(r Record) bool { return r.Offset == offset })
	if i >= 0 {
		out.Records = p.Records[i : i+1]
		out.From, out.To = offset, offset+1
		out.Shard = p.Shard.middle()
	}
	return out
}

func (g *gatherer) add(k known) {
	if old := g.at[k.offset]; old != nil {
		if old.id != k.id && old.id.Writer != Broken && k.id.Writer != Broken {
			var h History
			old.evidence(&h)
			k.evidence(&h)
			kind, how := TwoValues, ""
			if old.kinesis() != k.kinesis() {
				kind, how = ProtocolsApart, ", one through Kafka and one through Kinesis"
			}
			g.report(kind, place(g.on, k.offset), &h, "offset %d of %v is record %v and record %v%s", k.offset, g.on, old.id, k.id, how)
		}
		if old.poll == nil {
			old.poll = k.poll
		}
		return
	}
	g.at[k.offset] = &k
}

// saw looks at a record that a consumer got.
func (g *gatherer) saw(poll *Poll, r Record) {
	send := g.checker.sends[r.ID]
	show := func() *History {
		k := known{offset: r.Offset, id: r.ID, send: send, poll: poll}
		var h History
		k.evidence(&h)
		return &h
	}
	on := place(g.on, r.Offset) + via(poll)
	switch {
	case r.ID.Writer == Broken:
		g.report(Altered, on, show(), "the record at offset %d of %v is not what was sent: %s", r.Offset, g.on, poll.Notes[r.Offset])
	case send == nil:
		g.report(Phantom, on, show(), "record %v at offset %d of %v was never sent", r.ID, r.Offset, g.on)
	case send.To != g.on && (send.Put == nil || send.To.Topic != g.on.Topic):
		g.report(Phantom, fmt.Sprintf("%s sent to %v", on, send.To), show(), "record %v at offset %d of %v was sent to %v", r.ID, r.Offset, g.on, send.To)
	case send.Outcome == Failed:
		g.report(RefusedShown, on, show(), "record %v at offset %d of %v was refused by the broker", r.ID, r.Offset, g.on)
	default:
		g.sawCommitted(poll, r, send, show)
	}
	g.add(known{offset: r.Offset, id: r.ID, send: send, poll: poll})
	if r.ID.Writer == Broken || g.kind(r.ID) == Plain {
		return
	}
	if g.kind(r.ID) == Putter {
		g.stood(known{offset: r.Offset, id: r.ID, send: send, poll: poll})
		return
	}
	first, again := g.seen[r.ID]
	if !again {
		g.seen[r.ID] = seen{r.Offset, poll}
	} else if first.offset != r.Offset {
		h := show()
		h.Polls = append(h.Polls, only(first.poll, first.offset))
		g.report(Duplicate, r.ID.String()+" in "+g.on.String(), h,
			"record %v was sent once, by a producer that sends exactly once, and is in %v at offsets %d and %d", r.ID, g.on, first.offset, r.Offset)
	}
}

// stood notes where a record that was put stands: at no more places than it was
// sent times.
func (g *gatherer) stood(k known) {
	if k.send == nil {
		return
	}
	stands := g.stands[k.id]
	if slices.ContainsFunc(stands, func(a at) bool { return a.on == g.on && a.offset == k.offset }) {
		return
	}
	stands = append(stands, at{g.on, k})
	g.stands[k.id] = stands
	if int32(len(stands)) <= k.send.Put.Times {
		return
	}
	h := &History{Sends: []Send{*k.send}}
	var places []string
	for _, a := range stands {
		places = append(places, place(a.on, a.offset))
		if a.poll != nil {
			h.Polls = append(h.Polls, only(a.poll, a.offset))
		}
	}
	g.report(Duplicate, k.id.String(), h, "record %v was sent %s, and stands at %s", k.id, times(k.send.Put.Times), strings.Join(places, ", "))
}

// sawCommitted judges what a consumer got that reads committed records only.
func (g *gatherer) sawCommitted(poll *Poll, r Record, send *Send, show func() *History) {
	t := g.txn(send)
	if !poll.Committed || t == nil {
		return
	}
	on := place(g.on, r.Offset) + via(poll)
	switch {
	case t.Outcome == Failed:
		h := show()
		h.Txns = append(h.Txns, *t)
		g.report(AbortedRead, on, h, "record %v at offset %d of %v belongs to an aborted transaction, and a read_committed consumer got it", r.ID, r.Offset, g.on)
	case poll.End < t.Start:
		h := show()
		h.Txns = append(h.Txns, *t)
		g.report(DirtyRead, on, h, "record %v at offset %d of %v reached a read_committed consumer before its transaction was asked to commit", r.ID, r.Offset, g.on)
	}
}

// resolve decides transactions whose end nobody knows: they are committed if a
// read_committed consumer got any of their records.
func (c *checker) resolve() {
	c.shown = map[txnID]known{}
	for _, p := range c.order {
		for _, poll := range p.polls {
			if !poll.Committed {
				continue
			}
			for _, r := range poll.Records {
				s := c.sends[r.ID]
				if s == nil || s.Txn == 0 {
					continue
				}
				id := txnID{s.ID.Writer, s.Txn}
				if _, ok := c.shown[id]; !ok {
					c.shown[id] = known{offset: r.Offset, id: r.ID, send: s, poll: poll}
				}
			}
		}
	}
}

// committed says that a record is part of the log for those who read committed
// records only.
func (c *checker) committed(s *Send) bool {
	if s.Txn == 0 {
		return true
	}
	t := c.txn(s)
	if t == nil || t.Outcome == Unknown {
		_, shown := c.shown[txnID{s.ID.Writer, s.Txn}]
		return shown
	}
	return t.Outcome == OK
}

func (c *checker) aborted(s *Send) bool { return !c.committed(s) }

// checkSequence: what one idempotent producer sent to a partition stands there
// in the order in which it was sent, and every consumer gets it so.
func (c *checker) checkSequence(p *part) {
	all := newSequence(c, p)
	for i := range p.known {
		all.next(p.known[i])
	}
	for _, poll := range p.polls {
		one := newSequence(c, p)
		for _, r := range poll.Records {
			one.next(known{offset: r.Offset, id: r.ID, send: c.sends[r.ID], poll: poll})
		}
	}
}

// sequence goes through records in the order of their offsets.
type sequence struct {
	c    *checker
	p    *part
	last map[int32]known // of each writer
}

func newSequence(c *checker, p *part) *sequence { return &sequence{c, p, map[int32]known{}} }

func (s *sequence) next(k known) {
	if kind := s.c.kind(k.id); k.send == nil || kind == Plain || kind == Putter {
		return
	}
	if first, ok := s.p.seen[k.id]; ok && first.offset != k.offset {
		return // a duplicate: told already
	}
	before, ok := s.last[k.id.Writer]
	if !ok || before.id.Seq <= k.id.Seq {
		s.last[k.id.Writer] = k
		return
	}
	var h History
	before.evidence(&h)
	k.evidence(&h)
	if k.poll != nil && k.poll == before.poll {
		show := *k.poll
		i := slices.IndexFunc(show.Records, func(r Record) bool { return r.Offset == before.offset })
		j := slices.IndexFunc(show.Records, func(r Record) bool { return r.Offset == k.offset })
		if i >= 0 && j > i {
			show.From, show.To = before.offset, k.offset+1
			show.Records = []Record{show.Records[i], show.Records[j]}
			h.Polls = []Poll{show}
		}
	}
	s.c.report(Reordered, place(s.p.on, k.offset), &h,
		"record %v was sent before %v, and stands behind it in %v: offsets %d and %d", k.id, before.id, s.p.on, k.offset, before.offset)
}

// checkAcknowledged: a record that was sent when another had been acknowledged
// gets a larger offset.
func (c *checker) checkAcknowledged(p *part) {
	var byEnd []*Send
	for _, s := range p.sends {
		if s.Outcome == OK {
			byEnd = append(byEnd, s)
		}
	}
	byStart := slices.Clone(byEnd)
	slices.SortFunc(byEnd, func(a, b *Send) int { return cmp.Compare(a.End, b.End) })
	slices.SortFunc(byStart, func(a, b *Send) int { return cmp.Compare(a.Start, b.Start) })
	var top *Send
	next := 0
	for _, s := range byStart {
		for ; next < len(byEnd) && byEnd[next].End < s.Start; next++ {
			if top == nil || byEnd[next].Offset > top.Offset {
				top = byEnd[next]
			}
		}
		if top != nil && s.Offset <= top.Offset {
			c.report(OffsetBack, place(p.on, s.Offset), &History{Sends: []Send{*top, *s}},
				"record %v was acknowledged at offset %d of %v, and record %v, sent after that, at offset %d", top.ID, top.Offset, p.on, s.ID, s.Offset)
		}
	}
}
