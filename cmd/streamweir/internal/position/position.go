// Package position reads the places in a log that people type on a command
// line (beginning, end, 42, -10, @2026-01-31) and finds their offsets.
package position

import (
	"context"
	"fmt"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/streamweir/streamweir/cmd/streamweir/internal/client"
	"github.com/streamweir/streamweir/cmd/streamweir/internal/when"
)

// Kind says how a position is found.
type Kind int

// The kinds of position.
const (
	Beginning Kind = iota // the log start offset
	End                   // the high watermark, or the last stable offset
	Absolute              // an offset
	BeforeEnd             // so many offsets before the end
	AtTime                // the first record that is not older than a time
)

// Position is a place in every partition of a topic.
type Position struct {
	Kind Kind
	N    int64     // Absolute, BeforeEnd
	Time time.Time // AtTime
}

// Usage describes the notation, for help texts.
const Usage = "beginning, end, an offset N, -N (N before the end) or @TIME"

// Parse reads a position.
func Parse(s string, now time.Time) (Position, error) {
	switch s {
	case "beginning", "earliest", "start":
		return Position{Kind: Beginning}, nil
	case "end", "latest":
		return Position{Kind: End}, nil
	}
	if rest, ok := strings.CutPrefix(s, "@"); ok {
		t, err := when.Parse(rest, now)
		return Position{Kind: AtTime, Time: t}, err
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || strings.HasPrefix(s, "+") {
		return Position{}, fmt.Errorf("%q is not a position: write %s", s, Usage)
	}
	if strings.HasPrefix(s, "-") {
		return Position{Kind: BeforeEnd, N: -n}, nil
	}
	return Position{Kind: Absolute, N: n}, nil
}

// Partition names a partition of a topic.
type Partition struct {
	Topic     string
	Partition int32
}

func (p Partition) String() string { return fmt.Sprintf("%s/%d", p.Topic, p.Partition) }

// Sort orders partitions by topic and number.
func Sort(ps []Partition) {
	sort.Slice(ps, func(i, j int) bool {
		if ps[i].Topic != ps[j].Topic {
			return ps[i].Topic < ps[j].Topic
		}
		return ps[i].Partition < ps[j].Partition
	})
}

// Bounds are the first offset of a partition and the one that the next record
// will have.
type Bounds struct {
	Start, End int64
}

// Clamp returns the offset inside the bounds that is nearest to n.
func (b Bounds) Clamp(n int64) int64 { return min(max(n, b.Start), b.End) }

// Inside returns the offset inside the bounds that is nearest to n, and says so
// where that is another one.
func (b Bounds) Inside(n int64) (at int64, note string) {
	switch at = b.Clamp(n); {
	case at > n:
		note = fmt.Sprintf("%d is before the start of the log", n)
	case at < n:
		note = fmt.Sprintf("%d is after the end of the log", n)
	}
	return at, note
}

// NoteNoneSoRecent is for a time after the last record.
const NoteNoneSoRecent = "no record is so recent: to the end"

// Finder looks offsets up.
type Finder struct {
	Cluster *client.Cluster
	// Stable takes the last stable offset for the end: what a
	// read-committed consumer can see.
	Stable bool
}

// Bounds returns the bounds of partitions, and fails if one has none.
func (f Finder) Bounds(ctx context.Context, ps []Partition) (map[Partition]Bounds, error) {
	bounds, failed, err := f.TryBounds(ctx, ps)
	if err != nil {
		return nil, err
	}
	for _, p := range ps {
		if err := failed[p]; err != nil {
			return nil, err
		}
	}
	return bounds, nil
}

// TryBounds returns the bounds of the partitions that have some, and for the
// others the reason why not: deleted, or without a leader.
func (f Finder) TryBounds(ctx context.Context, ps []Partition) (map[Partition]Bounds, map[Partition]error, error) {
	bounds := make(map[Partition]Bounds, len(ps))
	failed := make(map[Partition]error)
	if len(ps) == 0 {
		return bounds, failed, nil
	}
	topics := topicsOf(ps)
	starts, err := f.list(ctx, func(ctx context.Context) (kadm.ListedOffsets, error) {
		return f.Cluster.Admin.ListStartOffsets(ctx, topics...)
	})
	if err != nil {
		return nil, nil, err
	}
	ends, err := f.list(ctx, func(ctx context.Context) (kadm.ListedOffsets, error) {
		if f.Stable {
			return f.Cluster.Admin.ListCommittedOffsets(ctx, topics...)
		}
		return f.Cluster.Admin.ListEndOffsets(ctx, topics...)
	})
	if err != nil {
		return nil, nil, err
	}
	for _, p := range ps {
		start, err := lookup(starts, p)
		if err != nil {
			failed[p] = err
			continue
		}
		end, err := lookup(ends, p)
		if err != nil {
			failed[p] = err
			continue
		}
		// The two were asked one after the other: a trim in between can
		// leave the start above the end for a moment.
		bounds[p] = Bounds{Start: min(start, end), End: end}
	}
	return bounds, failed, nil
}

// Offsets returns where pos is in every partition. It is not clamped: an
// absolute offset comes back as it is. A time after the last record is the end.
func (f Finder) Offsets(ctx context.Context, pos Position, bounds map[Partition]Bounds) (map[Partition]int64, error) {
	offsets := make(map[Partition]int64, len(bounds))
	ps := make([]Partition, 0, len(bounds))
	for p, b := range bounds {
		ps = append(ps, p)
		switch pos.Kind {
		case Beginning:
			offsets[p] = b.Start
		case End, AtTime:
			offsets[p] = b.End
		case Absolute:
			offsets[p] = pos.N
		case BeforeEnd:
			offsets[p] = max(b.End-pos.N, b.Start)
		}
	}
	if pos.Kind != AtTime || len(ps) == 0 {
		return offsets, nil
	}
	at, err := f.AtTime(ctx, pos.Time, ps)
	if err != nil {
		return nil, err
	}
	for p, n := range at {
		offsets[p] = min(n, max(bounds[p].End, bounds[p].Start))
	}
	return offsets, nil
}

// AtTime returns the offset of the first record not older than t, or the end
// where there is none.
func (f Finder) AtTime(ctx context.Context, t time.Time, ps []Partition) (map[Partition]int64, error) {
	listed, err := f.list(ctx, func(ctx context.Context) (kadm.ListedOffsets, error) {
		return f.Cluster.Admin.ListOffsetsAfterMilli(ctx, ceilMilli(t), topicsOf(ps)...)
	})
	if err != nil {
		return nil, err
	}
	offsets := make(map[Partition]int64, len(ps))
	for _, p := range ps {
		n, err := lookup(listed, p)
		if err != nil {
			return nil, err
		}
		offsets[p] = n
	}
	return offsets, nil
}

// ceilMilli rounds up: a record of the same millisecond may be older than t.
func ceilMilli(t time.Time) int64 {
	ms := t.UnixMilli()
	if time.UnixMilli(ms).Before(t) {
		ms++
	}
	return max(ms, 0)
}

func (f Finder) list(ctx context.Context, ask func(context.Context) (kadm.ListedOffsets, error)) (kadm.ListedOffsets, error) {
	ctx, cancel := f.Cluster.Limit(ctx)
	defer cancel()
	listed, err := ask(ctx)
	if err != nil {
		return nil, fmt.Errorf("list offsets: %w", f.Cluster.Explain(err))
	}
	return listed, nil
}

func lookup(listed kadm.ListedOffsets, p Partition) (int64, error) {
	o, ok := listed.Lookup(p.Topic, p.Partition)
	if !ok {
		for _, other := range listed[p.Topic] {
			if other.Err != nil { // of the whole topic
				return 0, fmt.Errorf("list offsets of %s: %w", p, client.Plain(other.Err))
			}
		}
		return 0, fmt.Errorf("list offsets: there is no partition %s", p)
	}
	if o.Err != nil {
		return 0, fmt.Errorf("list offsets of %s: %w", p, client.Plain(o.Err))
	}
	return o.Offset, nil
}

func topicsOf(ps []Partition) []string {
	seen := make(map[string]bool)
	var topics []string
	for _, p := range ps {
		if !seen[p.Topic] {
			seen[p.Topic] = true
			topics = append(topics, p.Topic)
		}
	}
	return topics
}
