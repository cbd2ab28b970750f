package checker

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

const (
	second      = 100 * time.Millisecond // how exactly waits are told
	shownInPoll = 8                      // records of a poll that are printed
	// shownInListing is how many shards of a listing are printed.
	shownInListing = 8
)

// line is an operation in words.
type line struct {
	start, end Time
	text       string
}

// Print writes a finding with its history for a person to read.
func (f *Finding) Print(w io.Writer) {
	fmt.Fprintf(w, "%s (%s): %s\n", f.Kind, f.On, f.Says)
	for _, l := range f.History.lines() {
		end := "never"
		if l.end != Never {
			end = seconds(l.end)
		}
		fmt.Fprintf(w, "  %10s - %10s  %s\n", seconds(l.start), end, l.text)
	}
}

func seconds(t Time) string { return fmt.Sprintf("%.3fs", t.Seconds()) }

// span is the time from the first operation to the last.
func (h *History) span() (first, last Time) {
	for i, l := range h.lines() {
		if i == 0 {
			first = l.start
		}
		last = max(last, l.start)
		if l.end != Never {
			last = max(last, l.end)
		}
	}
	return first, last
}

func (h *History) lines() []line {
	var out []line
	add := func(start, end Time, format string, args ...any) {
		out = append(out, line{start, end, fmt.Sprintf(format, args...)})
	}
	for _, s := range h.Sends {
		add(s.Start, s.End, "%s", h.sendLine(s))
	}
	for _, t := range h.Txns {
		fenced := ""
		if t.Fenced > 0 {
			fenced = fmt.Sprintf("; it had been fenced at %s", seconds(t.Fenced))
		}
		add(t.Start, t.End, "%s ends transaction %d: %s%s", h.writer(t.Writer), t.N, outcome(t.Outcome, "committed", "aborted"), fenced)
	}
	for _, p := range h.Polls {
		add(p.Start, p.End, "%s", pollLine(p))
	}
	for _, b := range h.Bounds {
		add(b.Start, b.End, "the %s of %v is %d", boundNames[b.What], b.On, b.Offset)
	}
	for _, m := range h.Commits {
		add(m.Start, m.End, "group %s commits offset %d of %v: %s", m.Group, m.Offset, m.On, outcome(m.Outcome, "acknowledged", "refused"))
	}
	for _, f := range h.Fetched {
		add(f.Start, f.End, "group %s has committed offset %d of %v", f.Group, f.Offset, f.On)
	}
	for _, r := range h.Reshards {
		add(r.Start, r.End, "%s: %s", &r, outcome(r.Outcome, "acknowledged", "refused"))
	}
	for _, l := range h.Listings {
		add(l.Start, l.End, "%s", l.line())
	}
	for _, a := range h.Awaits {
		add(a.Start, a.End, "%s: waited in vain: %s", a.Subject, a.Detail)
	}
	for _, e := range h.Events {
		add(e.Start, e.End, "* %s", e.What)
	}
	slices.SortStableFunc(out, func(a, b line) int { return cmp.Compare(a.start, b.start) })
	return out
}

func (h *History) writer(id int32) string {
	for _, w := range h.Writers {
		if w.ID == id {
			return fmt.Sprintf("%s (writer %d)", w.Name, id)
		}
	}
	return fmt.Sprintf("writer %d", id)
}

func (h *History) sendLine(s Send) string {
	var b strings.Builder
	if s.Put != nil {
		return h.putLine(s)
	}
	fmt.Fprintf(&b, "%s sends record %v to %v", h.writer(s.ID.Writer), s.ID, s.To)
	if s.Key >= 0 {
		fmt.Fprintf(&b, ", key %d", s.Key)
	}
	if s.Tombstone {
		b.WriteString(", a tombstone")
	}
	if s.Txn != 0 {
		fmt.Fprintf(&b, ", transaction %d", s.Txn)
	}
	if s.Source != nil {
		fmt.Fprintf(&b, ", made from %v", place(s.Source.On, s.Source.At))
	}
	if s.Outcome == OK {
		fmt.Fprintf(&b, ": acknowledged at offset %d", s.Offset)
	} else {
		fmt.Fprintf(&b, ": %s", outcome(s.Outcome, "", "refused"))
	}
	return b.String()
}

func (h *History) putLine(s Send) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s puts record %v into %s, hash key %v", h.writer(s.ID.Writer), s.ID, s.To.Topic, s.Put.Hash)
	if s.Put.Times > 1 {
		fmt.Fprintf(&b, ", %s", times(s.Put.Times))
	}
	switch {
	case s.Put.Bad != "":
		fmt.Fprintf(&b, ": acknowledged with %s", s.Put.Bad)
	case s.Outcome == OK:
		fmt.Fprintf(&b, ": acknowledged in shard %d, %v, which is offset %d", s.To.Index, Sequence{s.Put.Frame, s.Offset}, s.Offset)
	default:
		fmt.Fprintf(&b, ": %s", outcome(s.Outcome, "", "refused"))
	}
	return b.String()
}

func times(n int32) string {
	if n == 1 {
		return "once"
	}
	return fmt.Sprintf("%d times", n)
}

// line is a listing in words.
func (l *Listing) line() string {
	var b strings.Builder
	fmt.Fprintf(&b, "the shards of %s", l.Topic)
	if l.Active {
		b.WriteString(", which is active,")
	}
	b.WriteString(" are")
	for i, s := range l.Shards {
		if i == shownInListing {
			fmt.Fprintf(&b, " ... (%d)", len(l.Shards))
			break
		}
		fmt.Fprintf(&b, " %d: %v-%v", s.Index, s.Low, s.High)
		for _, p := range []int32{s.Parent, s.Adjacent} {
			if p >= 0 {
				fmt.Fprintf(&b, " of %d", p)
			}
		}
		if !s.open() {
			fmt.Fprintf(&b, ", closed before offset %d", s.Last.Offset)
		}
		b.WriteString(";")
	}
	return strings.TrimSuffix(b.String(), ";")
}

func outcome(o Outcome, ok, failed string) string {
	switch o {
	case OK:
		return ok
	case Failed:
		return failed
	}
	return "unknown"
}

func pollLine(p Poll) string {
	var b strings.Builder
	fmt.Fprintf(&b, "consumer %s", p.Consumer)
	if p.Committed && p.Shard == nil {
		b.WriteString(" (read_committed)")
	}
	switch {
	case p.Shard != nil && p.From == -1:
		fmt.Fprintf(&b, " (Kinesis), with a LATEST iterator of %s,", seconds(p.Shard.Latest))
	case p.Shard != nil:
		b.WriteString(" (Kinesis)")
	case p.From == -1:
		fmt.Fprintf(&b, ", assigned at %s,", seconds(p.Assigned))
	}
	fmt.Fprintf(&b, " polls %v", p.On)
	if p.From >= 0 {
		fmt.Fprintf(&b, " from %d", p.From)
	}
	fmt.Fprintf(&b, " and is at %d; it got", p.To)
	for i, r := range p.Records {
		if i == shownInPoll {
			fmt.Fprintf(&b, " ... (%d)", len(p.Records))
			break
		}
		if r.ID.Writer == Broken {
			fmt.Fprintf(&b, " %d: broken", r.Offset)
			continue
		}
		fmt.Fprintf(&b, " %d: %v", r.Offset, r.ID)
	}
	if len(p.Records) == 0 {
		b.WriteString(" nothing")
	}
	p.Shard.line(&b)
	return b.String()
}

// line adds what Kinesis says with an answer.
func (s *ShardRead) line(b *strings.Builder) {
	if s == nil {
		return
	}
	if s.Bad != "" {
		fmt.Fprintf(b, ", and %s", s.Bad)
	}
	if s.Tip {
		b.WriteString(", and nothing is behind it")
	}
	if s.Ended {
		b.WriteString(", and the shard ends")
	}
	for _, c := range s.Children {
		fmt.Fprintf(b, "; child %d: %v-%v of %v", c.Index, c.Low, c.High, c.Parents)
	}
}
