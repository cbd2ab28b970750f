package shard

import (
	"crypto/md5"
	"encoding/binary"
	"math"
	"math/bits"
	"strconv"
)

// HashKey is a whole number from 0 to 2^128-1: a place in the space that the
// shards of a stream divide between them.
type HashKey struct{ Hi, Lo uint64 }

// MaxHashKey is the last hash key, 2^128-1.
var MaxHashKey = HashKey{math.MaxUint64, math.MaxUint64}

// KeyOf is the hash key of a partition key: the MD5 of its bytes.
func KeyOf(partitionKey string) HashKey {
	sum := md5.Sum([]byte(partitionKey))
	return HashKey{binary.BigEndian.Uint64(sum[:8]), binary.BigEndian.Uint64(sum[8:])}
}

// ParseHashKey reads a hash key in decimal, without sign or leading zeros.
func ParseHashKey(text string) (HashKey, bool) {
	if text == "" || len(text) > 39 || (text[0] == '0' && text != "0") {
		return HashKey{}, false
	}
	var k HashKey
	for i := range len(text) {
		digit := uint64(text[i]) - '0'
		if digit > 9 {
			return HashKey{}, false
		}
		over, lo := bits.Mul64(k.Lo, 10)
		top, hi := bits.Mul64(k.Hi, 10)
		lo, carry := bits.Add64(lo, digit, 0)
		hi, carry = bits.Add64(hi, over, carry)
		if top+carry != 0 {
			return HashKey{}, false
		}
		k = HashKey{hi, lo}
	}
	return k, true
}

// String is the hash key in decimal.
func (k HashKey) String() string {
	if k.Hi == 0 {
		return strconv.FormatUint(k.Lo, 10)
	}
	return string(appendDecimal(nil, [3]uint64{k.Lo, k.Hi, 0}))
}

// Compare is negative, zero or positive as k is below, at or above other.
func (k HashKey) Compare(other HashKey) int {
	switch {
	case k == other:
		return 0
	case k.Hi < other.Hi || k.Hi == other.Hi && k.Lo < other.Lo:
		return -1
	}
	return 1
}

// Next is k+1; after the last hash key comes 0.
func (k HashKey) Next() HashKey {
	lo, carry := bits.Add64(k.Lo, 1, 0)
	return HashKey{k.Hi + carry, lo}
}

// Prev is k-1; before 0 comes the last hash key.
func (k HashKey) Prev() HashKey {
	lo, borrow := bits.Sub64(k.Lo, 1, 0)
	return HashKey{k.Hi - borrow, lo}
}

func (k HashKey) times(n uint64) HashKey {
	over, lo := bits.Mul64(k.Lo, n)
	return HashKey{k.Hi*n + over, lo}
}

// Range is a run of hash keys; both ends belong to it.
type Range struct{ Start, End HashKey }

// Whole is the range of all hash keys.
var Whole = Range{End: MaxHashKey}

// Contains says whether k lies in r.
func (r Range) Contains(k HashKey) bool { return r.Start.Compare(k) <= 0 && k.Compare(r.End) <= 0 }

// Uniform divides all hash keys into n ranges as Kinesis does: each has
// floor(2^128/n) of them, and the last one the rest as well.
func Uniform(n int32) []Range {
	out := make([]Range, n)
	width := HashKey{} // of 2^128 only one range has room, and needs none
	if n > 1 {
		d := uint64(n)
		hi, rem := math.MaxUint64/d, math.MaxUint64%d
		lo, rem := bits.Div64(rem, math.MaxUint64, d)
		width = HashKey{hi, lo}
		if rem == d-1 { // this was of 2^128-1
			width = width.Next()
		}
	}
	for i := range out {
		out[i] = Range{width.times(uint64(i)), width.times(uint64(i) + 1).Prev()}
	}
	out[n-1].End = MaxHashKey
	return out
}

// appendDecimal appends the number whose digits to the base 2^64 are words, the
// lowest first.
func appendDecimal(dst []byte, words [3]uint64) []byte {
	const (
		group  = 1e19 // the largest power of ten in a word
		digits = 19
	)
	var text [4 * digits]byte
	at := len(text)
	for words != [3]uint64{} || at == len(text) {
		var rem uint64
		for i := len(words) - 1; i >= 0; i-- {
			words[i], rem = bits.Div64(rem, words[i], group)
		}
		for range digits / 2 { // two digits at a time: this is done for every record
			at -= 2
			two := rem % 100 * 2
			text[at], text[at+1] = pairs[two], pairs[two+1]
			rem /= 100
		}
		at--
		text[at] = byte('0' + rem)
	}
	for at < len(text)-1 && text[at] == '0' {
		at++
	}
	return append(dst, text[at:]...)
}

// pairs are the numbers 00 to 99.
const pairs = "00010203040506070809" +
	"10111213141516171819" +
	"20212223242526272829" +
	"30313233343536373839" +
	"40414243444546474849" +
	"50515253545556575859" +
	"60616263646566676869" +
	"70717273747576777879" +
	"80818283848586878889" +
	"90919293949596979899"
