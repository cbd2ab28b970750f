package checker

import (
	"math/big"
	"testing"

	"pgregory.net/rapid"
)

// The shards of the stream of these tests: 0 and 1 divide the hash keys, 0 is
// split into 2 and 3, and 3 and 1 are merged into 4.
var (
	s0, s1, s2, s3 = Partition{"s", 0}, Partition{"s", 1}, Partition{"s", 2}, Partition{"s", 3}

	half    = Hash{1 << 63, 0}
	quarter = Hash{1 << 62, 0}
	inS0    = Hash{1, 0} // and in 2
	inS1    = Hash{1<<63 + 1, 0}
	inS3    = Hash{1<<62 + 1, 0}
)

// frame is that of a shard; each begins a second after the one before.
func frame(shard int32) Frame {
	return Frame{Head: 2<<40 | uint64(1000+shard)<<4 | uint64(shard&0xf), Tail: uint64(shard)<<4 | 2}
}

func first(shard int32) Sequence { return Sequence{frame(shard), -1} }

func last(shard int32, end int64) *Sequence { return &Sequence{frame(shard), end} }

func shardOf(i, parent, adjacent int32, low, high Hash, end ...int64) Shard {
	s := Shard{Index: i, Parent: parent, Adjacent: adjacent, Low: low, High: high, First: first(i)}
	if len(end) > 0 {
		s.Last = last(i, end[0])
	}
	return s
}

func before(h Hash) Hash {
	if h.Low == 0 {
		h.High--
	}
	h.Low--
	return h
}

func twoShards() []Shard {
	return []Shard{shardOf(0, -1, -1, Hash{}, before(half)), shardOf(1, -1, -1, half, LastHash)}
}

func afterSplit(end int64) []Shard {
	return []Shard{
		shardOf(0, -1, -1, Hash{}, before(half), end), shardOf(1, -1, -1, half, LastHash),
		shardOf(2, 0, -1, Hash{}, before(quarter)), shardOf(3, 0, -1, quarter, before(half)),
	}
}

func afterMerge(end int64) []Shard {
	return []Shard{
		shardOf(0, -1, -1, Hash{}, before(half), end), shardOf(1, -1, -1, half, LastHash, 9),
		shardOf(2, 0, -1, Hash{}, before(quarter)), shardOf(3, 0, -1, quarter, before(half), 9),
		shardOf(4, 3, 1, quarter, LastHash),
	}
}

// put is a record that is acknowledged in a shard.
func (s *story) put(seq int32, in Partition, offset int64, hash Hash, change ...func(*Send)) *story {
	from, to := s.step()
	send := Send{ID: ID{puts, seq}, To: in, Key: -1, Start: from, End: to, Outcome: OK, Offset: offset, Put: &Put{Hash: hash, Times: 1, Frame: frame(in.Index)}}
	for _, c := range change {
		c(&send)
	}
	s.Sends = append(s.Sends, send)
	return s
}

func lostAnswer(s *Send) {
	s.Outcome, s.Offset, s.End, s.To.Index, s.Put.Frame = Unknown, 0, Never, Nowhere, Frame{}
}
func twice(s *Send)                    { s.Put.Times = 2 }
func within(request int32) func(*Send) { return func(s *Send) { s.Put.Request = request } }
func numbered(f Frame) func(*Send) {
	return func(s *Send) { s.Put.Frame = f }
}

// get reads through Kinesis.
func (s *story) get(consumer string, on Partition, from, to int64, got ...rec) *story {
	s.poll(consumer, on, from, to, got...)
	p := &s.Polls[len(s.Polls)-1]
	p.Committed, p.Shard = true, &ShardRead{}
	if len(got) > 0 {
		p.Shard.Frame = frame(on.Index)
	}
	return s
}

// and changes the last read.
func (s *story) and(change func(*Poll)) *story {
	change(&s.Polls[len(s.Polls)-1])
	return s
}

func tip(p *Poll) { p.Shard.Tip = true }
func latest(p *Poll) {
	p.From, p.Shard.Latest = -1, 1
}
func ends(children ...Child) func(*Poll) {
	return func(p *Poll) { p.Shard.Ended, p.Shard.Children = true, children }
}

var (
	child2 = Child{2, Hash{}, before(quarter), []int32{0}}
	child3 = Child{3, quarter, before(half), []int32{0}}
	child4 = Child{4, quarter, LastHash, []int32{1, 3}}
)

func (s *story) list(shards []Shard, change ...func(*Listing)) *story {
	from, to := s.step()
	l := Listing{Topic: "s", Shards: shards, Start: from, End: to, Active: true}
	for _, c := range change {
		c(&l)
	}
	s.Listings = append(s.Listings, l)
	return s
}

func updating(l *Listing) { l.Active = false }

func (s *story) reshard(r Reshard) *story {
	r.Topic = "s"
	r.Start, r.End = s.step()
	if r.Outcome == Unknown {
		r.End = Never
	}
	s.Reshards = append(s.Reshards, r)
	return s
}

func splitOf0(o Outcome) Reshard {
	return Reshard{What: Split, Shards: []int32{0}, At: quarter, Outcome: o}
}

// with changes one of some shards.
func with(shards []Shard, i int, change func(*Shard)) []Shard {
	change(&shards[i])
	return shards
}

var streamCases = []testCase{
	{"put and read through both", begin().list(twoShards()).put(1, s0, 0, inS0).get("k", s0, 0, 1, rec{0, 5, 1}).poll("a", s0, 0, 1, rec{0, 5, 1}), nil, 0},
	{"a put whose answer was lost, anywhere", begin().put(1, s0, 0, inS0, lostAnswer).get("k", s0, 0, 1, rec{0, 5, 1}), nil, 0},
	{"a put whose answer was lost, nowhere", begin().put(1, s0, 0, inS0, lostAnswer).put(2, s0, 0, inS0).get("k", s0, 0, 1, rec{0, 5, 2}), nil, 0},
	{"a put that was sent twice stands twice", begin().put(1, s0, 1, inS0, twice).get("k", s0, 0, 2, rec{0, 5, 1}, rec{1, 5, 1}), nil, 0},
	{"a put stands twice", begin().put(1, s0, 1, inS0).get("k", s0, 0, 2, rec{0, 5, 1}, rec{1, 5, 1}), []Anomaly{Duplicate}, 2},
	{"a put stands in a parent and in a child", begin().put(1, s0, 0, inS0, lostAnswer).
		get("k", s0, 0, 1, rec{0, 5, 1}).get("k", s2, 0, 1, rec{0, 5, 1}), []Anomaly{Duplicate}, 3},
	{"a put is lost", begin().put(1, s0, 0, inS0).put(2, s0, 1, inS0).get("k", s0, 0, 2, rec{1, 5, 2}), []Anomaly{LostWrite}, 2},
	{"a put that was refused is read", begin().put(1, s0, 0, inS0, lostAnswer, refused).get("k", s0, 0, 1, rec{0, 5, 1}), []Anomaly{RefusedShown}, 2},
	{"a put in another stream", begin().put(1, s0, 0, inS0, lostAnswer).get("k", logP, 0, 1, rec{0, 5, 1}), []Anomaly{Phantom}, 2},
	{"an aborted record is read through Kinesis", begin().acked(txnl, 1, s0, 0, in(1)).ended(txnl, 1, Failed).get("k", s0, 0, 1, rec{0, 3, 1}), []Anomaly{AbortedRead}, 3},
	{"an open one is read through Kinesis", begin().acked(txnl, 1, s0, 0, in(1)).get("k", s0, 0, 1, rec{0, 3, 1}).ended(txnl, 1, OK), []Anomaly{DirtyRead}, 3},
	{"Kinesis passes over an aborted record", begin().acked(txnl, 1, s0, 0, in(1)).ended(txnl, 1, Failed).put(1, s0, 2, inS0).get("k", s0, 0, 3, rec{2, 5, 1}), nil, 0},
	{"Kinesis passes over a committed record", begin().acked(txnl, 1, s0, 0, in(1)).ended(txnl, 1, OK).put(1, s0, 2, inS0).get("k", s0, 0, 3, rec{2, 5, 1}), []Anomaly{HalfTransaction}, 3},
	{"an iterator goes back", begin().put(1, s0, 0, inS0).get("k", s0, 1, 1, rec{0, 5, 1}), []Anomaly{NonMonotonic}, 1},
	{"a fan-out session skips", begin().put(1, s0, 0, inS0).put(2, s0, 1, inS0).get("f", s0, 0, 2, rec{1, 5, 2}).get("k", s0, 0, 2, rec{0, 5, 1}, rec{1, 5, 2}), []Anomaly{SkippedPoll}, 3},

	{"a record that Kafka shows and Kinesis does not", begin().put(1, s0, 0, inS0).put(2, s0, 1, inS0).poll("a", s0, 0, 2, rec{0, 5, 1}, rec{1, 5, 2}).
		get("k", s0, 0, 2, rec{1, 5, 2}), []Anomaly{ProtocolsApart}, 3},
	{"another record through Kinesis than through Kafka", begin().acked(idem, 1, s0, 0, unknown).acked(idem, 2, s0, 0, unknown).poll("a", s0, 0, 1, rec{0, 2, 1}).
		get("k", s0, 0, 1, rec{0, 2, 2}), []Anomaly{ProtocolsApart}, 2},
	{"two records with one sequence number", begin().put(1, s0, 0, inS0).put(2, s0, 0, inS0, since(0)), []Anomaly{TwoValues}, 2},

	{"a number of another shard", begin().put(1, s0, 0, inS0).put(2, s0, 1, inS0, numbered(frame(1))), []Anomaly{BadSequence}, 1},
	{"a number that another beginning of the shard has", begin().put(1, s0, 0, inS0).put(2, s0, 1, inS0, numbered(Frame{Head: 2<<40 | 7, Tail: 2})), []Anomaly{BadSequence}, 2},
	{"a record with a number that ListShards does not know", begin().list(twoShards()).put(1, s0, 0, inS0, lostAnswer).get("k", s0, 0, 1, rec{0, 5, 1}).
		and(func(p *Poll) { p.Shard.Frame = Frame{Head: 2<<40 | 7, Tail: 2} }), []Anomaly{BadSequence}, 2},
	{"a record behind the last number of its shard", begin().list(afterSplit(1)).put(1, s0, 1, inS0, since(0)), []Anomaly{BadSequence}, 2},
	{"a child's numbers begin before its parent's end", begin().list(with(afterSplit(1), 2, func(s *Shard) { s.First.Head = frame(0).Head })), []Anomaly{BadSequence}, 1},
	{"no number at all", begin().put(1, s0, 0, inS0, lostAnswer, func(s *Send) { s.Put.Bad = `"x"` }), []Anomaly{BadSequence}, 1},
	{"a read without a number", begin().get("k", s0, 0, 0).and(func(p *Poll) { p.Shard.Bad = `"x"` }), []Anomaly{BadSequence}, 1},
	{"a listing without a number", begin().list(twoShards(), func(l *Listing) { l.Bad = `"x"` }), []Anomaly{BadSequence}, 1},

	{"a put in a shard that has not its hash key", begin().list(twoShards()).put(1, s0, 0, inS1), []Anomaly{WrongShard}, 2},
	{"a put whose answer was lost in such a shard", begin().list(twoShards()).put(1, s0, 0, inS1, lostAnswer).get("k", s0, 0, 1, rec{0, 5, 1}), []Anomaly{WrongShard}, 3},
	{"Kafka may write anywhere", begin().list(twoShards()).acked(idem, 1, s0, 0).acked(idem, 2, s1, 0), nil, 0},

	{"a shard is read to its end", begin().list(twoShards()).put(1, s0, 0, inS0).list(afterSplit(1)).get("k", s0, 0, 1, rec{0, 5, 1}).and(ends(child2, child3)).
		put(2, s2, 0, inS0).get("k", s2, 0, 1, rec{0, 5, 2}), nil, 0},
	{"a merge is read to its end", begin().list(afterMerge(1)).get("k", s1, 0, 0).and(ends(child4)).get("k", s3, 0, 0).and(ends(child4)), nil, 0},
	{"a shard ends before its last record", begin().put(1, s0, 0, inS0).put(2, s0, 1, inS0).get("k", s0, 0, 1, rec{0, 5, 1}).and(ends(child2, child3)), []Anomaly{EarlyEnd}, 2},
	{"a shard ends behind an aborted record", begin().put(1, s0, 0, inS0).acked(txnl, 1, s0, 1, in(1)).ended(txnl, 1, Failed).
		get("k", s0, 0, 1, rec{0, 5, 1}).and(ends(child2, child3)), nil, 0},
	{"a shard ends before a record that is still to be committed", begin().acked(txnl, 1, s0, 1, in(1)).get("k", s0, 0, 0).and(ends(child2, child3)).
		ended(txnl, 1, OK).poll("rc", s0, 0, 2, rec{1, 3, 1}), []Anomaly{EarlyEnd}, 3},
	{"a shard ends without children", begin().get("k", s0, 0, 0).and(ends()), []Anomaly{ChildlessEnd}, 1},
	{"a shard has children and does not end", begin().get("k", s0, 0, 0).and(func(p *Poll) { p.Shard.Children = []Child{child2, child3} }), []Anomaly{ChildlessEnd}, 1},
	{"a child does not know its parent", begin().get("k", s1, 0, 0).and(ends(child2, child3)), []Anomaly{ChildlessEnd}, 1},
	{"a child is another one for ListShards", begin().list(afterSplit(0)).get("k", s0, 0, 0).
		and(ends(Child{2, Hash{}, before(half), []int32{0}}, child3)), []Anomaly{LineageBroken}, 2},

	{"a record for a parent that was on its way when it was closed", begin().list(afterSplit(2)).put(1, s2, 0, inS0).put(2, s0, 1, inS0, since(0)), nil, 0},
	{"a record gets into a closed shard", begin().list(afterSplit(2)).put(1, s0, 1, inS0), []Anomaly{AfterEnd}, 2},
	{"one that Kafka sends", begin().list(afterSplit(2)).acked(idem, 1, s0, 1), []Anomaly{AfterEnd}, 2},
	{"a record gets into a shard that has ended for a consumer", begin().get("k", s0, 0, 0).and(ends(child2, child3)).put(1, s0, 0, inS0), []Anomaly{AfterEnd}, 2},
	{"a key's later record is in the parent, its earlier one in the child", begin().put(1, s2, 0, inS0).put(2, s0, 0, inS0).list(afterSplit(2)), []Anomaly{AfterEnd}, 3},

	{"shards that leave something out", begin().list(twoShards()[:1]), []Anomaly{LineageBroken}, 1},
	{"shards that overlap", begin().list(with(twoShards(), 1, func(s *Shard) { s.Low = quarter })), []Anomaly{LineageBroken}, 1},
	{"no shards", begin().list(nil), []Anomaly{LineageBroken}, 1},
	{"a shard is gone", begin().list(afterSplit(1)).list(afterSplit(1)[1:]), []Anomaly{LineageBroken}, 2},
	{"a shard changes", begin().list(afterSplit(1)).list(afterSplit(2)), []Anomaly{LineageBroken}, 2},
	{"a closed shard without children", begin().list([]Shard{shardOf(0, -1, -1, Hash{}, LastHash), shardOf(1, -1, -1, half, LastHash, 4)}), []Anomaly{LineageBroken}, 1},
	{"a child of an open shard", begin().list([]Shard{shardOf(0, -1, -1, Hash{}, before(half)), shardOf(1, 0, -1, half, LastHash)}), []Anomaly{LineageBroken}, 1},
	{"children that are not their parent", begin().list(with(with(afterMerge(1), 4, func(s *Shard) { s.Low = half }), 2, func(s *Shard) { s.High = before(half) })), []Anomaly{LineageBroken}, 1},
	{"a listing while the shard closes", func() *story {
		s := begin().list(afterSplit(1)).list(twoShards())
		s.Listings[1].Start = 0
		return s
	}(), nil, 0},

	{"a split is done", begin().reshard(splitOf0(OK)).list(twoShards(), updating).list(afterSplit(0)), nil, 0},
	{"a split is forgotten", begin().reshard(splitOf0(OK)).list(twoShards(), updating).list(twoShards()), []Anomaly{LostReshard}, 2},
	{"a split that may not have arrived", begin().reshard(splitOf0(Unknown)).list(twoShards()), nil, 0},
	{"a split elsewhere", begin().reshard(Reshard{What: Split, Shards: []int32{0}, At: inS0, Outcome: OK}).list(afterSplit(0)), []Anomaly{LostReshard}, 2},
	{"a merge is forgotten", begin().reshard(Reshard{What: Merge, Shards: []int32{3, 1}, Outcome: OK}).list(afterSplit(0)), []Anomaly{LostReshard}, 2},
	{"a merge is done", begin().reshard(Reshard{What: Merge, Shards: []int32{3, 1}, Outcome: OK}).list(afterMerge(0)), nil, 0},
	{"another number of shards", begin().reshard(Reshard{What: Count, Target: 4, Outcome: OK}).list(afterSplit(0)), []Anomaly{LostReshard}, 2},
	{"the right number of shards", begin().reshard(Reshard{What: Count, Target: 3, Outcome: OK}).list(afterSplit(0)), nil, 0},
	{"another number after another reshard", begin().reshard(Reshard{What: Count, Target: 2, Outcome: OK}).reshard(splitOf0(OK)).list(afterSplit(0)), nil, 0},

	{"nothing more", begin().put(1, s0, 0, inS0).get("k", s0, 0, 1, rec{0, 5, 1}).get("l", s0, 1, 1).and(tip), nil, 0},
	{"nothing more, although another has got a record", begin().put(1, s0, 0, inS0).get("k", s0, 0, 1, rec{0, 5, 1}).get("l", s0, 0, 0).and(tip), []Anomaly{FalseTip}, 2},
	{"nothing more yet", begin().put(1, s0, 0, inS0).get("l", s0, 0, 0).and(tip).get("k", s0, 0, 1, rec{0, 5, 1}), nil, 0},
	{"LATEST begins behind a later record", begin().put(1, s0, 0, inS0).put(2, s0, 1, inS0).get("k", s0, 0, 2, rec{1, 5, 2}).and(latest).
		get("l", s0, 0, 2, rec{0, 5, 1}, rec{1, 5, 2}), []Anomaly{SkippedPoll}, 2},
	{"LATEST begins behind an earlier record", begin().put(1, s0, 0, inS0, since(0)).put(2, s0, 1, inS0).get("k", s0, 0, 2, rec{1, 5, 2}).and(latest), nil, 0},
	{"LATEST begins behind a record that was committed later", begin().acked(txnl, 1, s0, 0, in(1), since(0)).put(2, s0, 1, inS0).
		get("k", s0, 0, 2, rec{1, 5, 2}).and(latest).ended(txnl, 1, OK).poll("rc", s0, 0, 1, rec{0, 3, 1}), []Anomaly{SkippedPoll}, 3},
	{"a request's records in their order", begin().put(1, s0, 0, inS0, within(7)).put(2, s0, 1, inS0, within(7), since(0)), nil, 0},
	{"a request's records in another order", begin().put(1, s0, 1, inS0, within(7)).put(2, s0, 0, inS0, within(7), since(0)), []Anomaly{Reordered}, 2},
	{"records of two requests in any order", begin().put(1, s0, 1, inS0, within(7)).put(2, s0, 0, inS0, within(8), since(0)), nil, 0},
	{"a stream stays as it is", begin().await(AwaitStream, "UPDATING", false), []Anomaly{StuckStream}, 1},
}

// Sequence numbers that come from AWS's scheme, worked out by hand.
func TestSequence(t *testing.T) {
	hex := "2" + "065a0bc00" + "7" + "00000000000003e8" + "00" + "0000001f4" + "00000017" + "2"
	n, ok := new(big.Int).SetString(hex, 16)
	if !ok || len(hex) != 47 {
		t.Fatal("the test is wrong")
	}
	got, err := ParseSequence(n.String())
	if err != nil || got.Offset != 999 || got.Shard() != 0x17 || got.String() != n.String() {
		t.Errorf("%v is %+v, shard %d, error %v", n, got, got.Shard(), err)
	}
	if other := (Sequence{got.Frame, 1000}); other.Compare(got) <= 0 || len(other.String()) != 56 {
		t.Errorf("%v is not behind %v", other, got)
	}
	for _, bad := range []string{"", "x", "-1", "0", "1000", n.String() + "0", "0" + n.String(), new(big.Int).Add(n, big.NewInt(1)).String()} {
		if s, err := ParseSequence(bad); err == nil {
			t.Errorf("%q is %+v", bad, s)
		}
	}
}

// Numbers come back as they were, and their order is that of the numbers.
func TestSequenceOrder(t *testing.T) {
	draw := func(t *rapid.T) Sequence {
		shard := rapid.Int32Range(0, 1<<31-1).Draw(t, "shard")
		began := rapid.Uint64Range(0, 1<<36-1).Draw(t, "began")
		return Sequence{Frame{Head: 2<<40 | began<<4 | uint64(shard)&0xf, Tail: rapid.Uint64Range(0, 999).Draw(t, "ms")<<36 | uint64(shard)<<4 | 2},
			rapid.Int64Range(-1, 1<<62).Draw(t, "offset")}
	}
	rapid.Check(t, func(t *rapid.T) {
		a, b := draw(t), draw(t)
		parsed, err := ParseSequence(a.String())
		if err != nil || parsed != a {
			t.Fatalf("%v comes back as %v, %v", a, parsed, err)
		}
		x, _ := new(big.Int).SetString(a.String(), 10)
		y, _ := new(big.Int).SetString(b.String(), 10)
		if a.Compare(b) != x.Cmp(y) {
			t.Fatalf("%v and %v compare as %d", a, b, a.Compare(b))
		}
	})
}

func TestHash(t *testing.T) {
	if got := HashOf("").String(); got != "281949768489412648962353822266799178366" { // d41d8cd9 8f00b204 e9800998 ecf8427e
		t.Errorf("the hash key of the empty key is %v", got)
	}
	for _, h := range []Hash{{}, half, LastHash, {7, 9}} {
		if got, err := ParseHash(h.String()); err != nil || got != h {
			t.Errorf("%v comes back as %v, %v", h, got, err)
		}
	}
	for _, bad := range []string{"", "-1", "340282366920938463463374607431768211456", "x"} {
		if got, err := ParseHash(bad); err == nil {
			t.Errorf("%q is %v", bad, got)
		}
	}
	if got := Between(Hash{}, LastHash); got != before(half) {
		t.Errorf("half is %v", got)
	}
	if LastHash.Next() != (Hash{}) {
		t.Error("there is a hash key after the last one")
	}
}

// The hash keys of the tests lie where their names say.
func TestStoryRanges(t *testing.T) {
	shards := afterMerge(1)
	for in, h := range map[int]Hash{0: inS0, 1: inS1, 2: inS0, 3: inS3} {
		if !shards[in].contains(h) {
			t.Errorf("shard %d does not contain %v", in, h)
		}
	}
	if shards[0].contains(inS1) || shards[1].contains(inS0) {
		t.Error("two shards contain a hash key that only one may have")
	}
}
