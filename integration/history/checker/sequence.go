package checker

import (
	"cmp"
	"crypto/md5"
	"encoding/binary"
	"fmt"
	"math/big"
)

// Hash is one of the 2^128 hash keys that the shards of a stream divide between
// them.
type Hash struct{ High, Low uint64 }

// LastHash is the largest hash key.
var LastHash = Hash{1<<64 - 1, 1<<64 - 1}

// HashOf is the hash key of a partition key.
func HashOf(key string) Hash {
	sum := md5.Sum([]byte(key))
	return Hash{binary.BigEndian.Uint64(sum[:8]), binary.BigEndian.Uint64(sum[8:])}
}

// ParseHash reads a hash key in decimal.
func ParseHash(decimal string) (Hash, error) {
	n, ok := new(big.Int).SetString(decimal, 10)
	if !ok || n.Sign() < 0 || n.BitLen() > 128 {
		return Hash{}, fmt.Errorf("hash key %q", decimal)
	}
	return Hash{bits(n, 64, 64), bits(n, 0, 64)}, nil
}

func (h Hash) big() *big.Int {
	n := new(big.Int).SetUint64(h.High)
	return n.Or(n.Lsh(n, 64), new(big.Int).SetUint64(h.Low))
}

// String is the hash key in decimal.
func (h Hash) String() string { return h.big().String() }

// Compare orders hash keys.
func (h Hash) Compare(o Hash) int {
	return cmp.Or(cmp.Compare(h.High, o.High), cmp.Compare(h.Low, o.Low))
}

// Next is the hash key after h, 0 after the last one.
func (h Hash) Next() Hash {
	h.Low++
	if h.Low == 0 {
		h.High++
	}
	return h
}

// Between is a hash key in the middle of two.
func Between(low, high Hash) Hash {
	n := new(big.Int).Add(low.big(), high.big())
	n.Rsh(n, 1)
	return Hash{bits(n, 64, 64), bits(n, 0, 64)}
}

// bits are n bits of x, from a bit on.
func bits(x *big.Int, from, n uint) uint64 {
	y := new(big.Int).Rsh(x, from)
	mask := new(big.Int).Lsh(big.NewInt(1), n)
	return y.And(y, mask.Sub(mask, big.NewInt(1))).Uint64()
}

// Frame is what the sequence numbers of one shard have in common: when the shard
// began, and its index. What it does not hold is the counter.
type Frame struct {
	Head uint64 // of 11 hexadecimal digits
	Mid  uint16 // of 4
	Tail uint64 // of 16
}

// Shard is the index of the shard as the frame has it.
func (f Frame) Shard() int32 { return int32(f.Tail >> 4) }

// Sequence is a sequence number. docs/kinesis.md says how it holds the offset: in
// the middle of its 47 hexadecimal digits stands a counter of 16, which is the
// record's offset + 1.
type Sequence struct {
	Frame
	Offset int64
}

// ParseSequence reads a sequence number.
func ParseSequence(decimal string) (Sequence, error) {
	n, ok := new(big.Int).SetString(decimal, 10)
	if !ok || n.Sign() < 0 || n.BitLen() > 188 || n.Text(10) != decimal {
		return Sequence{}, fmt.Errorf("%q is no sequence number", decimal)
	}
	s := Sequence{Frame{Head: bits(n, 144, 44), Mid: uint16(bits(n, 64, 16)), Tail: bits(n, 0, 64)}, int64(bits(n, 80, 64)) - 1}
	if s.Head>>40 != 2 || s.Mid>>8 != 0 || s.Tail&0xf != 2 || s.Offset < -1 {
		return s, fmt.Errorf("%q has not the form of a sequence number", decimal)
	}
	return s, nil
}

// String is the sequence number in decimal.
func (s Sequence) String() string {
	n := new(big.Int).SetUint64(s.Head)
	n.Or(n.Lsh(n, 64), new(big.Int).SetUint64(uint64(s.Offset+1)))
	n.Or(n.Lsh(n, 16), new(big.Int).SetUint64(uint64(s.Mid)))
	return n.Or(n.Lsh(n, 64), new(big.Int).SetUint64(s.Tail)).String()
}

// Compare orders sequence numbers as the numbers that they are.
func (s Sequence) Compare(o Sequence) int {
	return cmp.Or(cmp.Compare(s.Head, o.Head), cmp.Compare(s.Offset, o.Offset), cmp.Compare(s.Mid, o.Mid), cmp.Compare(s.Tail, o.Tail))
}
