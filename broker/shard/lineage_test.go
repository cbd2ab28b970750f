package shard

import (
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// checkLineage checks all that is promised of a lineage, in another way than New.
func checkLineage(t *rapid.T, l *Lineage) {
	open := l.Open()
	next := HashKey{}
	for i, s := range open {
		if s.Range.Start != next || s.Range.End.Compare(s.Range.Start) < 0 {
			t.Fatalf("open shard %d has the range %v after %v", s.Index, s.Range, next)
		}
		if s.Range.End == MaxHashKey && i != len(open)-1 {
			t.Fatalf("shard %d ends at the last hash key, but others follow", s.Index)
		}
		next = s.Range.End.Next()
	}
	if next != (HashKey{}) {
		t.Fatalf("the open shards end before %v", next)
	}
	for i := range l.Shards() {
		s := l.Shard(int32(i))
		children := l.Children(int32(i))
		if s.IsOpen() != (len(children) == 0) || s.IsOpen() != (s.EndingSequence() == "") || s.IsOpen() != slices.Contains(open, s) {
			t.Fatalf("shard %+v is open or not, with children %v", s, children)
		}
		for _, c := range children {
			if c.Parent != s.Index && c.AdjacentParent != s.Index {
				t.Fatalf("shard %d lists %d as a child, which does not list it as a parent", s.Index, c.Index)
			}
			if c.StartingSequence() <= s.EndingSequence() || c.CreatedAt < s.ClosedAt {
				t.Fatalf("shard %d begins at %s, before its parent %d ends at %s", c.Index, c.StartingSequence(), s.Index, s.EndingSequence())
			}
		}
		for _, p := range []int32{s.Parent, s.AdjacentParent} {
			if p != None && !slices.Contains(l.Children(p), s) {
				t.Fatalf("shard %d has the parent %d, which does not list it as a child", s.Index, p)
			}
		}
		if !s.IsOpen() && (s.EndingSequence() <= s.Sequence(s.End-1) || s.EndingSequence() <= s.StartingSequence()) {
			t.Fatalf("shard %d ends at %s, below its last record", s.Index, s.EndingSequence())
		}
	}
}

func ranges(l *Lineage) (out []Range) {
	for _, s := range l.Open() {
		out = append(out, s.Range)
	}
	return out
}

func TestReshards(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		now := rapid.Int64Range(1, 1<<41).Draw(t, "created at")
		l := Implicit(rapid.Int32Range(1, 8).Draw(t, "shards"), now)
		ends := map[int32]int64{}
		end := func(i int32) int64 { return ends[i] }
		for range rapid.IntRange(1, 12).Draw(t, "reshards") {
			now += rapid.Int64Range(-500, 2000).Draw(t, "later")
			for _, s := range l.Open() {
				ends[s.Index] = rapid.Int64Range(ends[s.Index], 1<<40).Draw(t, "end")
			}
			open := l.Open()
			i := rapid.IntRange(0, len(open)-1).Draw(t, "which")
			var steps []Step
			target := int32(0)
			switch what := rapid.IntRange(0, 2).Draw(t, "what"); {
			case what == 0 && i+1 < len(open):
				steps = []Step{{Shard: open[i].Index, Merge: open[i+1].Index}}
			case what == 1 && open[i].Range.Start != open[i].Range.End:
				at := drawKey(t, "at")
				for !open[i].Range.Contains(at) || at == open[i].Range.Start {
					at = open[i].Range.End
				}
				steps = []Step{{Shard: open[i].Index, Merge: None, At: at}}
			default:
				target = rapid.Int32Range(1, 20).Draw(t, "target")
				steps = l.Plan(target)
			}
			next, err := l.Reshard(steps, now, end)
			if err != nil {
				t.Fatal(err)
			}
			checkLineage(t, next)
			if target > 0 && !slices.Equal(ranges(next), Uniform(target)) {
				t.Fatalf("the way to %d shards leads to %v", target, ranges(next))
			}
			if target > 0 && len(next.Plan(target)) > 0 {
				t.Fatalf("there are %d shards, and yet a way to there", target)
			}
			checkHistory(t, l, next, steps, ends)
			l = next
		}
		k := drawKey(t, "key")
		if s := l.Route(k); !s.Range.Contains(k) || !s.IsOpen() {
			t.Fatalf("%s goes to %+v", k, s)
		}
		if again, err := New(l.Shards()); err != nil || !slices.Equal(again.Shards(), l.Shards()) {
			t.Fatalf("the lineage read back is another: %v", err)
		}
	})
}

// checkHistory checks that a reshard closes what it says, and changes nothing else.
func checkHistory(t *rapid.T, before, after *Lineage, steps []Step, ends map[int32]int64) {
	closes := before.Closes(steps)
	for i, old := range before.Shards() {
		s := after.Shards()[i]
		if slices.Contains(closes, s.Index) {
			if !old.IsOpen() || s.IsOpen() || s.End != ends[s.Index] {
				t.Fatalf("%+v became %+v", old, s)
			}
			s.ClosedAt, s.End = 0, 0
		}
		if s != old {
			t.Fatalf("%+v became %+v", old, s)
		}
	}
	seen := map[string]bool{}
	for i := range after.Shards() {
		start := after.Shards()[i].StartingSequence()
		if seen[start] {
			t.Fatalf("two shards start at %s", start)
		}
		seen[start] = true
	}
}

func TestDoublingSplitsEachShardOnce(t *testing.T) {
	l := Implicit(4, 1)
	if steps := l.Plan(8); len(steps) != 4 {
		t.Errorf("%v", steps)
	}
	if steps := l.Plan(2); len(steps) != 2 || steps[0] != (Step{Shard: 0, Merge: 1}) || steps[1] != (Step{Shard: 2, Merge: 3}) {
		t.Errorf("%v", steps)
	}
	if steps := l.Plan(4); len(steps) != 0 {
		t.Errorf("%v", steps)
	}
}

func TestReshardRefuses(t *testing.T) {
	l := Implicit(3, 1)
	closed, err := l.Reshard([]Step{{Shard: 1, Merge: 2}}, 5, func(int32) int64 { return 0 })
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		l    *Lineage
		step Step
		want string
	}{
		"no neighbours":         {l, Step{Shard: 0, Merge: 2}, "not neighbours"},
		"the wrong way round":   {l, Step{Shard: 1, Merge: 0}, "not neighbours"},
		"around the end":        {l, Step{Shard: 2, Merge: 0}, "not neighbours"},
		"with itself":           {l, Step{Shard: 1, Merge: 1}, "closed already"},
		"unknown":               {l, Step{Shard: 3, Merge: None}, "no shard 3"},
		"negative":              {l, Step{Shard: -1, Merge: None}, "no shard -1"},
		"closed":                {closed, Step{Shard: 1, Merge: None, At: Uniform(3)[1].End}, "closed already"},
		"split at its start":    {l, Step{Shard: 1, Merge: None, At: Uniform(3)[1].Start}, "cannot be split"},
		"split behind its end":  {l, Step{Shard: 1, Merge: None, At: Uniform(3)[2].Start}, "cannot be split"},
		"split before it":       {l, Step{Shard: 1, Merge: None, At: HashKey{}}, "cannot be split"},
		"merged with a parent":  {closed, Step{Shard: 0, Merge: 1}, "closed already"},
		"merged with a unknown": {l, Step{Shard: 0, Merge: 7}, "no shard 7"},
	} {
		if _, err := tc.l.Reshard([]Step{tc.step}, 9, func(int32) int64 { return 0 }); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A document on disk that was tampered with is refused, whatever it says.
func TestNewRefusesWhatNoReshardMade(t *testing.T) {
	valid, err := Implicit(2, 1).Reshard([]Step{{Shard: 0, Merge: None, At: HashKey{0, 9}}}, 5, func(int32) int64 { return 3 })
	if err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(s []Shard) []Shard{
		"none":               func([]Shard) []Shard { return nil },
		"one is missing":     func(s []Shard) []Shard { return s[:3] },
		"another order":      func(s []Shard) []Shard { s[2], s[3] = s[3], s[2]; return s },
		"an open parent":     func(s []Shard) []Shard { s[0].ClosedAt = 0; return s },
		"closed, childless":  func(s []Shard) []Shard { s[1].ClosedAt = 9; return s },
		"its own parent":     func(s []Shard) []Shard { s[2].Parent = 2; return s },
		"a later parent":     func(s []Shard) []Shard { s[2].Parent = 3; return s },
		"a negative parent":  func(s []Shard) []Shard { s[2].Parent = -2; return s },
		"only an adjacent":   func(s []Shard) []Shard { s[2].Parent, s[2].AdjacentParent = None, 0; return s },
		"a gap":              func(s []Shard) []Shard { s[3].Range.Start.Lo++; return s },
		"an overlap":         func(s []Shard) []Shard { s[3].Range.Start.Lo--; return s },
		"an empty range":     func(s []Shard) []Shard { s[3].Range.End = HashKey{}; return s },
		"a negative end":     func(s []Shard) []Shard { s[0].End = -1; return s },
		"closed before made": func(s []Shard) []Shard { s[0].CreatedAt = 6; return s },
		"all keys twice": func(s []Shard) []Shard {
			return []Shard{{Range: Whole, Parent: None, AdjacentParent: None}, {Index: 1, Range: Whole, Parent: None, AdjacentParent: None}}
		},
	} {
		if _, err := New(spoil(slices.Clone(valid.Shards()))); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if _, err := New(valid.Shards()); err != nil {
		t.Error(err)
	}
}

func BenchmarkRoute(b *testing.B) {
	l := Implicit(1000, 1)
	k := KeyOf("a")
	b.ReportAllocs()
	for range b.N {
		k.Lo++
		l.Route(k)
	}
}

func BenchmarkAppendSequence(b *testing.B) {
	s := Shard{Index: 17, BeganAt: 1_700_000_000_123}
	buf := make([]byte, 0, SequenceDigits)
	b.ReportAllocs()
	for i := range b.N {
		s.AppendSequence(buf, int64(i))
	}
}
