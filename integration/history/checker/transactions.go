package checker

import "fmt"

// checkTransactions: a producer that has been fenced commits nothing. Aborted,
// dirty and half visible transactions show in polls.
func (c *checker) checkTransactions() {
	for i := range c.h.Txns {
		t := &c.h.Txns[i]
		if t.Outcome == OK && t.Fenced > 0 && t.Fenced < t.Start {
			c.report(FencedCommit, fmt.Sprintf("transaction %d.%d", t.Writer, t.N), &History{Txns: []Txn{*t}},
				"transaction %d of writer %d was committed by a producer that had been fenced before", t.N, t.Writer)
		}
	}
}

type sourceID struct {
	group string
	on    Partition
	at    int64
}

// checkTransforms: a group that writes a record for each that it reads, and
// commits its offsets in the same transactions, has written exactly one for each
// below its offset, and none for those above.
func (c *checker) checkTransforms() {
	for _, group := range c.h.Drained {
		made := map[sourceID][]*known{}
		for _, p := range c.order {
			for i := range p.known {
				k := &p.known[i]
				if k.send != nil && k.send.Source != nil && k.send.Source.Group == group && c.shownCommitted(p, k) {
					id := sourceID{group, k.send.Source.On, k.send.Source.At}
					made[id] = append(made[id], k)
				}
			}
		}
		for i := range c.h.Fetched {
			if f := &c.h.Fetched[i]; f.Group == group && f.Final {
				c.checkTransformed(f, made)
			}
		}
	}
}

// shownCommitted says that a read_committed consumer got the record.
func (c *checker) shownCommitted(p *part, k *known) bool {
	if k.poll == nil {
		return false
	}
	if k.send.Txn == 0 {
		return true
	}
	t := c.txn(k.send)
	_, shown := c.shown[txnID{k.send.ID.Writer, k.send.Txn}]
	return shown && (t == nil || t.Outcome != Failed)
}

// checkTransformed compares what a group committed of one partition with what it
// has written.
func (c *checker) checkTransformed(f *Fetched, made map[sourceID][]*known) {
	p := c.parts[f.On]
	if p == nil {
		return
	}
	for i := range p.known {
		k := &p.known[i]
		id := sourceID{f.Group, f.On, k.offset}
		outs := made[id]
		delete(made, id)
		wanted := k.send != nil && c.committed(k.send) && k.offset < f.Offset
		switch {
		case len(outs) > 1:
			c.apart(f, k, outs, "the record at offset %d of %v was transformed %d times", k.offset, f.On, len(outs))
		case wanted && len(outs) == 0:
			c.apart(f, k, outs, "group %s has committed offset %d of %v, and wrote nothing for the record at %d", f.Group, f.Offset, f.On, k.offset)
		case len(outs) == 1 && k.offset >= f.Offset:
			c.apart(f, k, outs, "group %s wrote for the record at offset %d of %v, and has committed only offset %d", f.Group, k.offset, f.On, f.Offset)
		case len(outs) == 1 && k.send != nil && !c.committed(k.send):
			c.apart(f, k, outs, "group %s, which reads committed records, wrote for the aborted record at offset %d of %v", f.Group, k.offset, f.On)
		}
	}
}

func (c *checker) apart(f *Fetched, k *known, outs []*known, format string, args ...any) {
	h := &History{Fetched: []Fetched{*f}, Drained: []string{f.Group}}
	k.evidence(h)
	for _, out := range outs[:min(len(outs), 2)] {
		out.evidence(h)
		if t := c.txn(out.send); t != nil {
			h.Txns = append(h.Txns, *t)
		}
		if shown, ok := c.shown[txnID{out.send.ID.Writer, out.send.Txn}]; ok {
			shown.evidence(h)
		}
	}
	if t := c.txn(k.send); t != nil {
		h.Txns = append(h.Txns, *t)
	}
	c.report(OffsetsApart, fmt.Sprintf("group %s, %v", f.Group, place(f.On, k.offset)), h, format, args...)
}
