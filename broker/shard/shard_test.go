package shard

import (
	"errors"
	"math"
	"math/big"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func drawKey(t *rapid.T, label string) HashKey {
	return HashKey{rapid.Uint64().Draw(t, label+" hi"), rapid.Uint64().Draw(t, label+" lo")}
}

func asBig(k HashKey) *big.Int {
	n := new(big.Int).SetUint64(k.Hi)
	return n.Lsh(n, 64).Or(n, new(big.Int).SetUint64(k.Lo))
}

func TestHashKeysAreNumbers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := drawKey(t, "a"), drawKey(t, "b")
		if a.String() != asBig(a).String() {
			t.Fatalf("%v prints as %s", a, a)
		}
		if back, ok := ParseHashKey(a.String()); !ok || back != a {
			t.Fatalf("%s is read as %v", a, back)
		}
		if a.Compare(b) != asBig(a).Cmp(asBig(b)) {
			t.Fatalf("%s compared with %s is %d", a, b, a.Compare(b))
		}
		if a != MaxHashKey && asBig(a.Next()).Cmp(new(big.Int).Add(asBig(a), big.NewInt(1))) != 0 || a.Next().Prev() != a {
			t.Fatalf("after %s comes %s", a, a.Next())
		}
	})
	for _, text := range []string{"", "-1", "+1", "01", "1 ", "1.0", "340282366920938463463374607431768211456", strings.Repeat("9", 39), strings.Repeat("9", 60)} {
		if k, ok := ParseHashKey(text); ok {
			t.Errorf("%q is read as %s", text, k)
		}
	}
}

// The MD5 of a partition key, as the AWS CLI and kinesalite have it.
func TestKeyOf(t *testing.T) {
	if got := KeyOf("a").String(); got != "16955237001963240173058271559858726497" {
		t.Error(got)
	}
}

func TestUniform(t *testing.T) {
	if got := Uniform(3)[0].End.String(); got != "113427455640312821154458202477256070484" {
		t.Errorf("the first of three ranges ends at %s", got)
	}
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.Int32Range(1, 2000).Draw(t, "n")
		width := new(big.Int).Div(new(big.Int).Lsh(big.NewInt(1), 128), big.NewInt(int64(n)))
		ranges := Uniform(n)
		for i, r := range ranges {
			if asBig(r.Start).Cmp(new(big.Int).Mul(width, big.NewInt(int64(i)))) != 0 {
				t.Fatalf("range %d of %d starts at %s", i, n, r.Start)
			}
			if i == int(n)-1 && r.End != MaxHashKey {
				t.Fatalf("the last range ends at %s", r.End)
			}
			if i > 0 && ranges[i-1].End.Next() != r.Start {
				t.Fatalf("there is a gap before range %d", i)
			}
		}
	})
}

func drawShard(t *rapid.T) Shard {
	at := rapid.Int64Range(0, 1<<43).Draw(t, "began at")
	return Shard{Index: rapid.Int32Min(0).Draw(t, "index"), BeganAt: at, CreatedAt: at}
}

// The layout of docs/kinesis.md, done once more with hexadecimal text.
func TestSequenceLayout(t *testing.T) {
	s := Shard{Index: 0x1234567b, BeganAt: 1_700_000_000_123}
	want, _ := new(big.Int).SetString("2"+"06553f100"+"b"+"0000000000000fa1"+"00"+"00000007b"+"1234567b"+"2", 16)
	if got := s.Sequence(4000); got != want.String() {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestSequenceNumbers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawShard(t)
		offsets := rapid.Int64Range(-1, math.MaxInt64-1)
		a, b := offsets.Draw(t, "a"), offsets.Draw(t, "b")
		text := s.Sequence(a)
		if len(text) != SequenceDigits {
			t.Fatalf("%s has %d digits", text, len(text))
		}
		if back, err := s.Offset(text); err != nil || back != a {
			t.Fatalf("offset %d comes back as %d, %v", a, back, err)
		}
		if i, ok := ShardOfSequence(text); !ok || i != s.Index {
			t.Fatalf("the number of shard %d is said to be of shard %d", s.Index, i)
		}
		if (a < b) != (text < s.Sequence(b)) {
			t.Fatalf("the numbers of %d and %d are in another order", a, b)
		}
		other := drawShard(t)
		if other.Index == s.Index && other.BeganAt == s.BeganAt {
			return
		}
		if got, err := other.Offset(text); !errors.Is(err, ErrOtherShard) {
			t.Fatalf("a number of another shard is read as offset %d, %v", got, err)
		}
	})
}

func TestParseSequenceRefuses(t *testing.T) {
	s := Shard{Index: 3, BeganAt: 1_700_000_000_123}
	valid := s.Sequence(7)
	for _, text := range []string{"", "0", valid[1:], valid + "0", valid[:55] + "x", strings.Repeat("9", 56), strings.Repeat("0", 56)} {
		if got, err := s.Offset(text); !errors.Is(err, ErrSequence) {
			t.Errorf("%q is read as %d, %v", text, got, err)
		}
	}
}

func TestIDs(t *testing.T) {
	for id, want := range map[string]int32{
		"shardId-000000000007": 7, "shardId-7": 7, "7": 7, "shardId-002147483647": 1<<31 - 1,
	} {
		if got, ok := ParseID(id); !ok || got != want {
			t.Errorf("%q is read as %d, %t", id, got, ok)
		}
	}
	for _, id := range []string{"", "shardId-", "shardId--1", "shardId-+1", "shard-1", "shardId-2147483648", "7 "} {
		if got, ok := ParseID(id); ok {
			t.Errorf("%q is read as %d", id, got)
		}
	}
	if got := FormatID(7); got != "shardId-000000000007" {
		t.Error(got)
	}
}
