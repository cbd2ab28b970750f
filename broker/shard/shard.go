package shard

import (
	"fmt"
	"strconv"
	"strings"
)

// None is the index of a parent that there is not.
const None int32 = -1

// Shard is one shard as it is at some moment. It is never changed.
type Shard struct {
	Index int32
	Range Range
	// Parent was split into this shard and another; with AdjacentParent, the two
	// were merged into it. None where there is none.
	Parent, AdjacentParent int32
	CreatedAt              int64 // in ms
	ClosedAt               int64 // in ms; 0 while it is open
	// End is the offset after the last record of a closed shard.
	End int64
	// BeganAt is CreatedAt as sequence numbers show it, in ms: at least a second
	// after that of the parents, so that a child's numbers are above theirs.
	BeganAt int64
}

const idPrefix = "shardId-"

// FormatID is the id of the shard with this index.
func FormatID(index int32) string { return fmt.Sprintf(idPrefix+"%012d", index) }

// ParseID reads the id of a shard. As in AWS, the prefix may be missing, and so
// may leading zeros.
func ParseID(id string) (int32, bool) {
	digits := strings.TrimPrefix(id, idPrefix)
	for i := range len(digits) {
		if digits[i] < '0' || digits[i] > '9' {
			return None, false
		}
	}
	n, err := strconv.ParseInt(digits, 10, 32)
	if err != nil {
		return None, false
	}
	return int32(n), true
}

// ID is the shard's id.
func (s *Shard) ID() string { return FormatID(s.Index) }

// IsOpen says whether the shard takes records.
func (s *Shard) IsOpen() bool { return s.ClosedAt == 0 }
