package shard

import (
	"errors"
	"fmt"
	"slices"
	"sort"
	"sync"
)

// Lineage is the shards of a stream: those that are open, which divide all hash
// keys between them, and those that were, with their children. It is never
// changed: a reshard makes another Lineage.
type Lineage struct {
	n   int32
	get func() *tables
}

type tables struct {
	shards   []Shard
	open     []*Shard // in order of their ranges
	children [][]int32
}

// Implicit is the lineage of a topic that Kafka made: n open shards of uniform
// ranges, without parents, that began with the topic. It is worked out when it
// is first asked for.
func Implicit(n int32, createdAt int64) *Lineage {
	return &Lineage{n, sync.OnceValue(func() *tables {
		t := &tables{shards: make([]Shard, n), open: make([]*Shard, n)}
		for i, r := range Uniform(n) {
			t.shards[i] = Shard{Index: int32(i), Range: r, Parent: None, AdjacentParent: None, CreatedAt: createdAt, BeganAt: createdAt}
			t.open[i] = &t.shards[i]
		}
		return t
	})}
}

// New is the lineage of these shards, which are in order of their indexes. It
// refuses what no reshard can have made.
func New(shards []Shard) (*Lineage, error) {
	t := &tables{shards: slices.Clone(shards)}
	for i := range t.shards {
		s := &t.shards[i]
		if err := t.check(s, int32(i)); err != nil {
			return nil, fmt.Errorf("shard %d: %w", i, err)
		}
		if s.IsOpen() {
			t.open = append(t.open, s)
		}
	}
	for i := range t.shards {
		if closed := !t.shards[i].IsOpen(); closed != (len(t.childrenOf(int32(i))) > 0) {
			return nil, fmt.Errorf("shard %d: it has children, or is closed, but not both", i)
		}
	}
	slices.SortFunc(t.open, func(a, b *Shard) int { return a.Range.Start.Compare(b.Range.Start) })
	next := HashKey{}
	for i, s := range t.open {
		if s.Range.Start != next || (i > 0 && next == HashKey{}) {
			return nil, fmt.Errorf("shard %d: its range does not begin where the one before ends", s.Index)
		}
		next = s.Range.End.Next()
	}
	if len(t.open) == 0 || next != (HashKey{}) {
		return nil, errors.New("the open shards do not cover all hash keys")
	}
	return &Lineage{int32(len(shards)), func() *tables { return t }}, nil
}

// check checks one shard by itself and with its parents, and adds it to them.
func (t *tables) check(s *Shard, index int32) error {
	switch {
	case s.Index != index:
		return fmt.Errorf("its index is %d", s.Index)
	case s.Range.Start.Compare(s.Range.End) > 0:
		return errors.New("its range ends before it begins")
	case s.Parent == None && s.AdjacentParent != None:
		return errors.New("it has an adjacent parent but no parent")
	case s.ClosedAt != 0 && s.ClosedAt < s.CreatedAt, s.End < 0:
		return errors.New("it ends before it begins")
	}
	for _, parent := range [...]int32{s.Parent, s.AdjacentParent} {
		if parent == None {
			continue
		}
		if parent < 0 || parent >= index {
			return fmt.Errorf("its parent %d does not come before it", parent)
		}
		if t.children == nil {
			t.children = make([][]int32, len(t.shards))
		}
		t.children[parent] = append(t.children[parent], index)
	}
	return nil
}

func (t *tables) childrenOf(i int32) []int32 {
	if t.children == nil {
		return nil
	}
	return t.children[i]
}

// Len is the number of shards, closed ones included: of the topic's partitions.
func (l *Lineage) Len() int32 { return l.n }

// Shard is the shard with this index, or nil.
func (l *Lineage) Shard(index int32) *Shard {
	if index < 0 || index >= l.n {
		return nil
	}
	return &l.get().shards[index]
}

// Shards are all shards, in order of their indexes. They must not be changed.
func (l *Lineage) Shards() []Shard { return l.get().shards }

// Open are the open shards in order of their ranges. They must not be changed.
func (l *Lineage) Open() []*Shard { return l.get().open }

// Route is the open shard whose range holds k.
func (l *Lineage) Route(k HashKey) *Shard {
	open := l.get().open
	i := sort.Search(len(open), func(i int) bool { return open[i].Range.End.Compare(k) >= 0 })
	return open[i]
}

// Children are the shards that shard index was split or merged into, in order of
// their indexes; none while it is open.
func (l *Lineage) Children(index int32) []*Shard {
	t := l.get()
	var out []*Shard
	for _, c := range t.childrenOf(index) {
		out = append(out, &t.shards[c])
	}
	return out
}
