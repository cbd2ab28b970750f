package shard

import (
	"errors"
	"math"
	"math/bits"
)

// A sequence number is a number of 47 hexadecimal digits, printed in decimal:
//
//	2                 fixed, so that all have 56 decimal digits
//	9 digits          when the shard began, in seconds
//	1 digit           the lowest digit of the shard's index
//	16 digits         the counter: the record's offset + 1
//	00
//	9 digits          the milliseconds of when the shard began
//	8 digits          the shard's index
//	2                 fixed
//
// So the numbers of one shard rise with the offset, those of a child are above
// those of its parents, and no two shards share any.

var (
	// ErrSequence says that a text is no sequence number.
	ErrSequence = errors.New("not a sequence number")
	// ErrOtherShard says that a sequence number is of another shard or stream.
	ErrOtherShard = errors.New("the sequence number is of another shard")
)

// SequenceDigits is the length of every sequence number.
const SequenceDigits = 56

func (s *Shard) words(counter uint64) [3]uint64 {
	index := uint64(uint32(s.Index))
	seconds, ms := uint64(s.BeganAt)/1000, uint64(s.BeganAt)%1000
	return [3]uint64{
		2 | index<<4 | ms<<36,
		ms>>28 | counter<<16,
		counter>>48 | index&0xf<<16 | seconds&(1<<36-1)<<20 | 2<<56,
	}
}

// AppendSequence appends the sequence number of the record at offset.
func (s *Shard) AppendSequence(dst []byte, offset int64) []byte {
	return appendDecimal(dst, s.words(uint64(offset+1)))
}

// Sequence is the sequence number of the record at offset.
func (s *Shard) Sequence(offset int64) string {
	return string(s.AppendSequence(make([]byte, 0, SequenceDigits), offset))
}

// StartingSequence is below the sequence numbers of all records of the shard.
func (s *Shard) StartingSequence() string { return s.Sequence(-1) }

// EndingSequence is above those of all records of a closed shard; it is empty
// while the shard is open.
func (s *Shard) EndingSequence() string {
	if s.IsOpen() {
		return ""
	}
	return s.Sequence(s.End)
}

// Offset is the offset that a sequence number of this shard stands for. That of
// StartingSequence is -1, that of EndingSequence is End.
func (s *Shard) Offset(sequence string) (int64, error) {
	words, ok := parseSequence(sequence)
	if !ok {
		return 0, ErrSequence
	}
	counter := words[1]>>16 | words[2]<<48
	if s.words(counter) != words {
		return 0, ErrOtherShard
	}
	if counter > math.MaxInt64 {
		return 0, ErrSequence
	}
	return int64(counter) - 1, nil
}

// ShardOfSequence is the index of the shard that a sequence number is of, as far
// as the number by itself can tell.
func ShardOfSequence(sequence string) (int32, bool) {
	words, ok := parseSequence(sequence)
	return int32(uint32(words[0] >> 4)), ok && int32(uint32(words[0]>>4)) >= 0
}

func parseSequence(text string) (words [3]uint64, ok bool) {
	if len(text) != SequenceDigits {
		return words, false
	}
	for i := range len(text) {
		carry := uint64(text[i]) - '0'
		if carry > 9 {
			return words, false
		}
		for w := range words {
			hi, lo := bits.Mul64(words[w], 10)
			var c uint64
			words[w], c = bits.Add64(lo, carry, 0)
			carry = hi + c
		}
	}
	// The fixed digits, and nothing above them.
	return words, words[2]>>56 == 2 && words[0]&0xf == 2 && words[1]>>8&0xff == 0
}
