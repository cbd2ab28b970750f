package position

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// maxListedPartitions bounds what a range such as 0-2147483647 can expand to.
const maxListedPartitions = 100_000

// ParsePartitions reads a list such as "0,2-4". An empty string is no list.
func ParsePartitions(s string) ([]int32, error) {
	if s == "" {
		return nil, nil
	}
	var ps []int32
	for item := range strings.SplitSeq(s, ",") {
		low, high, isRange := strings.Cut(strings.TrimSpace(item), "-")
		from, err := parsePartition(low)
		if err != nil {
			return nil, fmt.Errorf("partitions %q: %w", s, err)
		}
		to := from
		if isRange {
			if to, err = parsePartition(high); err != nil {
				return nil, fmt.Errorf("partitions %q: %w", s, err)
			}
		}
		if to < from || int64(to)-int64(from)+int64(len(ps)) >= maxListedPartitions {
			return nil, fmt.Errorf("partitions %q: %q is not a range of partitions", s, item)
		}
		for p := int64(from); p <= int64(to); p++ {
			ps = append(ps, int32(p))
		}
	}
	slices.Sort(ps)
	return slices.Compact(ps), nil
}

func parsePartition(s string) (int32, error) {
	n, err := strconv.ParseUint(s, 10, 31)
	if err != nil {
		return 0, fmt.Errorf("%q is not a partition number; write for example 0,2-4", s)
	}
	return int32(n), nil
}

// Selection is a topic and, if given, some of its partitions.
type Selection struct {
	Topic      string
	Partitions []int32 // nil: all
}

// ParseSelection reads TOPIC or TOPIC:0,2-4. A colon is not allowed in the
// name of a topic, so it always separates.
func ParseSelection(s string) (Selection, error) {
	topic, list, has := strings.Cut(s, ":")
	if topic == "" {
		return Selection{}, fmt.Errorf("%q names no topic; write TOPIC or TOPIC:0,2-4", s)
	}
	if !has {
		return Selection{Topic: topic}, nil
	}
	ps, err := ParsePartitions(list)
	if err == nil && ps == nil {
		err = fmt.Errorf("%q has a colon but no partitions after it", s)
	}
	return Selection{Topic: topic, Partitions: ps}, err
}
