package workload

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"github.com/streamweir/streamweir/integration/history/checker"
)

// testFollower follows a stream of which no broker knows.
func testFollower(shards ...checker.Shard) *follower {
	r := &round{Run: &Run{began: time.Now()}, rec: &recorder{began: time.Now()}}
	return r.follower("k", &stream{topic: &topic{name: "s"}, shards: shards})
}

func testPosition(f *follower) *position {
	return &position{f: f, rand: rand.New(rand.NewPCG(1, 1))}
}

var testFrame = checker.Frame{Head: 2<<40 | 1000<<4, Tail: 2}

func number(offset int64) *string {
	return aws.String(checker.Sequence{Frame: testFrame, Offset: offset}.String())
}

func recordAt(offset int64, id checker.ID) types.Record {
	return types.Record{SequenceNumber: number(offset), PartitionKey: aws.String("key"), Data: pack(byPut, id, []byte("key"), 60)}
}

// A follower begins with a shard when the parents that it has are read.
func TestFollowerReadsParentsFirst(t *testing.T) {
	f := testFollower(
		checker.Shard{Index: 0, Parent: -1, Adjacent: -1}, checker.Shard{Index: 1, Parent: -1, Adjacent: -1},
		checker.Shard{Index: 2, Parent: 0, Adjacent: -1}, checker.Shard{Index: 3, Parent: 2, Adjacent: 1},
	)
	for _, step := range []struct {
		ended int32
		begun []int32
	}{{-1, []int32{0, 1}}, {1, nil}, {0, []int32{2}}, {2, []int32{3}}} {
		if p := f.positions[step.ended]; p != nil {
			p.ended = true
		}
		var begun []int32
		for _, p := range f.begin(rand.New(rand.NewPCG(1, 1))) {
			begun = append(begun, p.shard)
		}
		if !slices.Equal(begun, step.begun) {
			t.Errorf("when %d had ended, %v began, want %v", step.ended, begun, step.begun)
		}
	}
}

// What answers bring becomes polls, from where the one before ended.
func TestPositionMoves(t *testing.T) {
	f := testFollower()
	p := testPosition(f)
	id := func(n int32) checker.ID { return checker.ID{Writer: 1, Seq: n} }
	broken := recordAt(6, id(3))
	broken.Data[20] ^= 1
	zero := int64(0)
	child := types.ChildShard{ShardId: shardID(4), ParentShards: []string{*shardID(0)}, HashKeyRange: &types.HashKeyRange{StartingHashKey: aws.String("0"), EndingHashKey: aws.String("9")}}
	for _, a := range []answer{
		{records: []types.Record{recordAt(3, id(1)), recordAt(5, id(2))}},
		{records: []types.Record{broken}, upTo: number(8)},
		{behind: &zero},
		{ended: true, children: []types.ChildShard{child}},
	} {
		if !p.took(a, 1, true) {
			t.Fatal("no position is left")
		}
	}
	polls := f.r.rec.h.Polls
	if len(polls) != 4 || !p.ended {
		t.Fatalf("%d polls, ended %v", len(polls), p.ended)
	}
	for i, want := range []struct{ from, to int64 }{{0, 6}, {6, 9}, {9, 9}, {9, 9}} {
		if polls[i].From != want.from || polls[i].To != want.to || !polls[i].Committed {
			t.Errorf("poll %d goes from %d to %d, want %d to %d", i, polls[i].From, polls[i].To, want.from, want.to)
		}
	}
	if got := polls[0].Records; !slices.Equal(got, []checker.Record{{Offset: 3, ID: id(1)}, {Offset: 5, ID: id(2)}}) || polls[0].Shard.Frame != testFrame {
		t.Errorf("got %v of %v", got, polls[0].Shard.Frame)
	}
	if polls[1].Records[0].ID.Writer != checker.Broken || polls[1].Notes[6] == "" {
		t.Errorf("a broken record is %v, note %q", polls[1].Records[0].ID, polls[1].Notes[6])
	}
	if !polls[2].Shard.Tip || polls[3].Shard.Tip || !polls[3].Shard.Ended {
		t.Errorf("the last polls are %+v and %+v", polls[2].Shard, polls[3].Shard)
	}
	if got := polls[3].Shard.Children; len(got) != 1 || got[0].Index != 4 || got[0].High.Low != 9 || !slices.Equal(got[0].Parents, []int32{0}) {
		t.Errorf("children %+v", got)
	}
}

// Numbers of another frame are told apart, and what is no number is told.
func TestPositionTellsStrangeNumbers(t *testing.T) {
	f := testFollower()
	p := testPosition(f)
	other := recordAt(1, checker.ID{Writer: 1, Seq: 1})
	other.SequenceNumber = aws.String(checker.Sequence{Frame: checker.Frame{Head: 2<<40 | 7, Tail: 2}, Offset: 1}.String())
	if !p.took(answer{records: []types.Record{recordAt(0, checker.ID{Writer: 1, Seq: 0}), other}}, 1, true) {
		t.Error("no position is left")
	}
	if polls := f.r.rec.h.Polls; len(polls) != 2 || polls[0].Shard.Frame == polls[1].Shard.Frame || polls[1].From != 1 {
		t.Errorf("polls %+v", polls)
	}
	other.SequenceNumber = aws.String("7")
	if p.took(answer{records: []types.Record{other}}, 1, true) || f.r.rec.h.Polls[2].Shard.Bad == "" {
		t.Error("7 is a sequence number")
	}
}

// Wherever a reader goes on, its position is where the next record must come from.
func TestPositionGoesOn(t *testing.T) {
	f := testFollower()
	p := testPosition(f)
	seen := map[types.ShardIteratorType]bool{}
	for range 100 {
		from := p.from()
		seen[from.Type] = true
		if p.next != 0 || from.SequenceNumber != nil {
			t.Fatalf("a new reader begins with %v at %d", from.Type, p.next)
		}
	}
	p.took(answer{records: []types.Record{recordAt(7, checker.ID{Writer: 1, Seq: 1})}}, 1, true)
	for range 100 {
		from := p.from()
		seen[from.Type] = true
		want := map[types.ShardIteratorType]int64{types.ShardIteratorTypeAtSequenceNumber: 7, types.ShardIteratorTypeAfterSequenceNumber: 8}[from.Type]
		if p.next != want || *from.SequenceNumber != *number(7) {
			t.Fatalf("after offset 7 it goes on with %v at %d", from.Type, p.next)
		}
	}
	p.took(answer{upTo: number(9)}, 1, true) // no record is there
	for range 100 {
		if from := p.from(); from.Type != types.ShardIteratorTypeAfterSequenceNumber || p.next != 10 {
			t.Fatalf("after an event up to 9 it goes on with %v at %d", from.Type, p.next)
		}
	}
	if len(seen) != 4 {
		t.Errorf("only %v are used", seen)
	}
}

func TestShardOf(t *testing.T) {
	in := types.Shard{
		ShardId: shardID(12), ParentShardId: shardID(3), HashKeyRange: &types.HashKeyRange{StartingHashKey: aws.String("5"), EndingHashKey: aws.String("8")},
		SequenceNumberRange: &types.SequenceNumberRange{StartingSequenceNumber: number(-1), EndingSequenceNumber: number(4)},
	}
	var bad string
	got := shardOf(in, &bad)
	if bad != "" || got.Index != 12 || got.Parent != 3 || got.Adjacent != -1 || got.Low.Low != 5 || got.High.Low != 8 || got.First.Offset != -1 || got.Last.Offset != 4 {
		t.Errorf("%+v, bad %q", got, bad)
	}
	for name, change := range map[string]func(*types.Shard){
		"no range":   func(s *types.Shard) { s.HashKeyRange = nil },
		"no numbers": func(s *types.Shard) { s.SequenceNumberRange = nil },
		"no number": func(s *types.Shard) {
			s.SequenceNumberRange = &types.SequenceNumberRange{StartingSequenceNumber: aws.String("x")}
		},
	} {
		other, bad := in, ""
		change(&other)
		if shardOf(other, &bad); bad == "" {
			t.Errorf("%s: nothing is noted", name)
		}
	}
}

// Where a shard is split, both halves have more than one hash key.
func TestSplitAt(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 1))
	for _, width := range []uint64{0, 1, 2, 3, 4, 5, 100, 1 << 60} {
		shard := checker.Shard{Low: checker.Hash{Low: 10}, High: checker.Hash{Low: 10 + width}}
		for range 20 {
			at, ok := splitAt(shard, rnd)
			if fits := at.Low > 11 && at.Low < 10+width; ok && !fits || !ok && width > 8 {
				t.Errorf("a shard from 10 to %v is split at %v: %v", shard.High, at, ok)
			}
		}
	}
}
