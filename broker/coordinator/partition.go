package coordinator

import (
	"math"
	"unicode/utf16"
)

// PartitionFor says which of the partitions of a coordinator's topic a group or a
// transactional id belongs to. It is Java's abs(name.hashCode()) % partitions.
func PartitionFor(name string, partitions int32) int32 {
	var h int32
	for _, r := range name {
		if hi, lo := utf16.EncodeRune(r); hi != '\uFFFD' {
			h = 31*(31*h+hi) + lo
			continue
		}
		h = 31*h + r
	}
	if h == math.MinInt32 {
		return 0
	}
	return max(h, -h) % partitions
}
