package checker

import (
	"cmp"
	"fmt"
	"slices"
)

// fate is what polls made of a known record.
type fate struct {
	shown  *Poll    // the last that showed it
	stream *Poll    // likewise, of those through Kinesis
	missed [3]*Poll // the last that passed over it: of all records, of committed ones, through Kinesis
}

// checkPolls: what a consumer gets comes in the order of its offsets, and
// nothing that it was to see is left out.
func (c *checker) checkPolls(p *part) {
	fates := make([]fate, len(p.known))
	for _, poll := range p.polls {
		if c.checkOrder(p, poll) {
			c.follow(p, poll, fates)
		}
	}
	for i := range fates {
		if f := &fates[i]; f.missed != [3]*Poll{} {
			c.judge(p, &p.known[i], f)
		}
	}
}

// checkOrder looks at the offsets of one poll.
func (c *checker) checkOrder(p *part, poll *Poll) bool {
	at := poll.From
	for i, r := range poll.Records {
		if r.Offset < at {
			show := *poll
			show.Records = poll.Records[max(0, i-1) : i+1]
			c.report(NonMonotonic, place(p.on, r.Offset)+via(poll), &History{Polls: []Poll{show}},
				"consumer %s got offset %d of %v when its position was %d", poll.Consumer, r.Offset, p.on, at)
			return false
		}
		at = r.Offset + 1
	}
	return true
}

// follow compares a poll with what is known of the offsets that it passed.
func (c *checker) follow(p *part, poll *Poll, fates []fate) {
	from := poll.From
	if from == -1 {
		if len(poll.Records) == 0 {
			return
		}
		from = poll.Records[0].Offset
	}
	i, _ := slices.BinarySearchFunc(p.known, from, func(k known, o int64) int { return cmp.Compare(k.offset, o) })
	got := poll.Records
	for ; i < len(p.known) && p.known[i].offset < poll.To; i++ {
		k, f := &p.known[i], &fates[i]
		for len(got) > 0 && got[0].Offset < k.offset {
			got = got[1:]
		}
		switch {
		case len(got) > 0 && got[0].Offset == k.offset:
			f.shown = later(f.shown, poll)
			if poll.Shard != nil {
				f.stream = later(f.stream, poll)
			}
		case c.excused(p, k, poll):
		case poll.Shard != nil:
			f.missed[2] = later(f.missed[2], poll)
		case poll.Committed:
			f.missed[1] = later(f.missed[1], poll)
		default:
			f.missed[0] = later(f.missed[0], poll)
		}
	}
}

func later(a, b *Poll) *Poll {
	if a == nil || b.Start >= a.Start {
		return b
	}
	return a
}

// excused says whether a poll may have passed over a record.
func (c *checker) excused(p *part, k *known, poll *Poll) bool {
	if k.send == nil {
		return true // broken or a phantom: told already
	}
	hidden := c.aborted(k.send)
	if poll.Committed && hidden {
		return true
	}
	if p.topic.Deletes {
		if b := p.boundAfter(poll.End); b == nil || k.offset < b.Offset {
			return true
		}
	}
	if !p.topic.Compacted {
		return false
	}
	if hidden || k.send.Tombstone {
		return true
	}
	next := c.nextOfKey(p, k)
	return next != nil && next.send.Start < poll.End
}

// nextOfKey is the record that took the place of k.
func (c *checker) nextOfKey(p *part, k *known) *known {
	if k.send.Key < 0 || p.latest[k.send.Key] == nil || p.latest[k.send.Key].offset <= k.offset {
		return nil
	}
	behind := p.between(k.offset+1, p.latest[k.send.Key].offset+1)
	for i := range behind {
		if s := behind[i].send; s != nil && s.Key == k.send.Key && !c.aborted(s) {
			return &behind[i]
		}
	}
	return nil
}

// judge names what happened to a record that polls have passed over.
func (c *checker) judge(p *part, k *known, f *fate) {
	on := place(p.on, k.offset)
	miss := f.missed[0]
	hidden := miss == nil // only from those who read committed records
	if hidden {
		miss = f.missed[1]
	}
	if miss == nil {
		miss = f.missed[2]
	}
	on += via(miss)
	var h History
	k.evidence(&h)
	h.Polls = append(h.Polls, near(miss, k.offset))
	if t := c.txn(k.send); t != nil {
		h.Txns = append(h.Txns, *t)
	}
	if f.shown != nil {
		h.Polls = append(h.Polls, only(f.shown, k.offset))
	}
	if b := p.boundAfter(miss.End); b != nil && p.topic.Deletes {
		h.Bounds = append(h.Bounds, *b)
	}
	switch {
	case hidden && k.send != nil && k.send.Txn != 0:
		if shown, ok := c.shown[txnID{k.send.ID.Writer, k.send.Txn}]; ok {
			shown.evidence(&h)
		}
		c.report(HalfTransaction, on, &h,
			"record %v at offset %d of %v belongs to a committed transaction, and read_committed consumer %s did not get it", k.id, k.offset, p.on, miss.Consumer)
	case miss.Shard != nil && f.shown != nil && f.stream == nil:
		c.report(ProtocolsApart, on, &h, "record %v is at offset %d of %v for consumer %s, and consumer %s, who reads through Kinesis, found nothing there",
			k.id, k.offset, p.on, f.shown.Consumer, miss.Consumer)
	case f.shown == nil || !hidden && f.shown.Start < miss.Start:
		c.report(LostWrite, on, &h, "record %v %s at offset %d of %v, and consumer %s found nothing there",
			k.id, seenAs(k), k.offset, p.on, miss.Consumer)
	default:
		c.report(SkippedPoll, on, &h, "consumer %s got nothing at offset %d of %v, where consumer %s got record %v",
			miss.Consumer, k.offset, p.on, f.shown.Consumer, k.id)
	}
}

func seenAs(k *known) string {
	if k.send != nil && k.send.Outcome == OK {
		return "was acknowledged"
	}
	return fmt.Sprintf("was seen by consumer %s", k.poll.Consumer)
}

// checkKeys: when a tombstone has gone, the older records of its key are gone.
func (c *checker) checkKeys(p *part) {
	if !p.topic.Compacted {
		return
	}
	gone := map[int64]*Poll{}
	for _, poll := range p.polls {
		for _, r := range poll.Records {
			k := p.at(r.Offset)
			if k == nil || k.send == nil || k.send.Key < 0 || k.id != r.ID || c.aborted(k.send) {
				continue
			}
			stone := p.latest[k.send.Key]
			if stone == nil || stone.offset <= k.offset || !stone.send.Tombstone {
				continue
			}
			without, ok := gone[stone.offset]
			if !ok {
				without = p.firstWithout(stone.offset)
				gone[stone.offset] = without
			}
			if without == nil || without.End >= poll.Start {
				continue
			}
			h := History{Polls: []Poll{near(without, stone.offset), only(poll, r.Offset)}}
			k.evidence(&h)
			stone.evidence(&h)
			c.report(Resurrected, place(p.on, k.offset), &h,
				"key %d of %v was deleted at offset %d; consumer %s found that tombstone gone, and later consumer %s got the key's record at offset %d",
				k.send.Key, p.on, stone.offset, without.Consumer, poll.Consumer, k.offset)
		}
	}
}

// firstWithout is the poll that was the first to find nothing at an offset.
func (p *part) firstWithout(offset int64) *Poll {
	var first *Poll
	for _, poll := range p.polls {
		if passedOver(poll, offset) && (first == nil || poll.End < first.End) {
			first = poll
		}
	}
	return first
}

// passedOver says that a poll went over an offset without getting a record.
func passedOver(poll *Poll, offset int64) bool {
	if poll.From == -1 || offset < poll.From || offset >= poll.To {
		return false
	}
	_, found := slices.BinarySearchFunc(poll.Records, offset, func(r Record, o int64) int { return cmp.Compare(r.Offset, o) })
	return !found
}
