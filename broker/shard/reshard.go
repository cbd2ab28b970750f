package shard

import "fmt"

// Step is one split or merge. The children of a step get the next indexes, and
// a later step may name them.
type Step struct {
	Shard int32
	// Merge is the shard that Shard is merged with, the next one in the order of
	// hash keys; None for a split.
	Merge int32
	// At is where a split begins the second child's range.
	At HashKey
}

// Closes are the shards of l that the steps close.
func (l *Lineage) Closes(steps []Step) []int32 {
	var out []int32
	for _, st := range steps {
		for _, i := range [...]int32{st.Shard, st.Merge} {
			if i != None && i < l.n {
				out = append(out, i)
			}
		}
	}
	return out
}

// Reshard is what the steps make of l at a moment. end tells of each shard that
// they close, and that l had, the offset after its last record; those that come
// and go within the steps have none.
func (l *Lineage) Reshard(steps []Step, at int64, end func(index int32) int64) (*Lineage, error) {
	shards := append(make([]Shard, 0, int(l.n)+2*len(steps)), l.Shards()...)
	shut := func(i int32) (*Shard, error) {
		if i < 0 || int(i) >= len(shards) {
			return nil, fmt.Errorf("there is no shard %d", i)
		}
		s := &shards[i]
		if !s.IsOpen() {
			return nil, fmt.Errorf("shard %d is closed already", i)
		}
		s.ClosedAt = max(at, s.CreatedAt, 1)
		if i < l.n {
			s.End = end(i)
		}
		return s, nil
	}
	for _, st := range steps {
		p, err := shut(st.Shard)
		if err != nil {
			return nil, err
		}
		child := Shard{
			Index: int32(len(shards)), Range: p.Range, Parent: st.Shard, AdjacentParent: st.Merge,
			CreatedAt: p.ClosedAt, BeganAt: max(at, p.BeganAt+1000),
		}
		if st.Merge == None {
			if st.At.Compare(p.Range.Start) <= 0 || st.At.Compare(p.Range.End) > 0 {
				return nil, fmt.Errorf("shard %d cannot be split at %s", st.Shard, st.At)
			}
			second := child
			child.Range.End, second.Range.Start = st.At.Prev(), st.At
			second.Index++
			shards = append(shards, child, second)
			continue
		}
		q, err := shut(st.Merge)
		if err != nil {
			return nil, err
		}
		if q.Range.Start != p.Range.End.Next() || q.Range.Start == (HashKey{}) {
			return nil, fmt.Errorf("shards %d and %d are not neighbours", st.Shard, st.Merge)
		}
		child.Range.End = q.Range.End
		child.CreatedAt, child.BeganAt = max(child.CreatedAt, q.ClosedAt), max(child.BeganAt, q.BeganAt+1000)
		shards = append(shards, child)
	}
	return New(shards)
}

// Plan is the way from l to target shards of uniform ranges, as UpdateShardCount
// goes: shards are split where ranges are to begin, and then neighbours are
// merged. A shard whose range is right already stays.
func (l *Lineage) Plan(target int32) []Step {
	var steps []Step
	next := l.n
	goal := Uniform(target)
	g := 0
	// pieces are the parts, in order, of the range that is to be goal[g].
	var pieces []int32
	take := func(index int32, end HashKey) {
		pieces = append(pieces, index)
		if end != goal[g].End {
			return
		}
		merged := pieces[0]
		for _, p := range pieces[1:] {
			steps = append(steps, Step{Shard: merged, Merge: p})
			merged = next
			next++
		}
		pieces = pieces[:0]
		g++
	}
	for _, s := range l.Open() {
		index := s.Index
		for goal[g].End.Compare(s.Range.End) < 0 {
			cut := goal[g].End
			steps = append(steps, Step{Shard: index, Merge: None, At: cut.Next()})
			first := next
			index = next + 1
			next += 2
			take(first, cut)
		}
		take(index, s.Range.End)
	}
	return steps
}
