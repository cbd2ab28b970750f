package txn

import (
	"slices"
	"strings"
)

// TopicPartition names a partition.
type TopicPartition struct {
	Topic     string
	Partition int32
}

// partitions is a set of partitions, in order. A set is never changed once it
// is made: the states of a transaction share it.
type partitions []topicPartitions

type topicPartitions struct {
	topic   string
	indexes []int32
}

func (ps partitions) find(topic string) (int, bool) {
	return slices.BinarySearchFunc(ps, topic, func(t topicPartitions, name string) int { return strings.Compare(t.topic, name) })
}

func (ps partitions) has(tp TopicPartition) bool {
	i, ok := ps.find(tp.Topic)
	if ok {
		_, ok = slices.BinarySearch(ps[i].indexes, tp.Partition)
	}
	return ok
}

func (ps partitions) hasAll(tps []TopicPartition) bool {
	for _, tp := range tps {
		if !ps.has(tp) {
			return false
		}
	}
	return true
}

// with returns the set with tps in it.
func (ps partitions) with(tps []TopicPartition) partitions {
	out := slices.Clone(ps)
	owned := map[string]bool{} // topics whose indexes are not shared with ps
	for _, tp := range tps {
		i, ok := out.find(tp.Topic)
		if !ok {
			name := clone(tp.Topic)
			out = slices.Insert(out, i, topicPartitions{topic: name})
			owned[name] = true
		}
		at, there := slices.BinarySearch(out[i].indexes, tp.Partition)
		if there {
			continue
		}
		if !owned[out[i].topic] {
			out[i].indexes = slices.Clone(out[i].indexes)
			owned[out[i].topic] = true
		}
		out[i].indexes = slices.Insert(out[i].indexes, at, tp.Partition)
	}
	return out
}

func (ps partitions) count() int {
	n := 0
	for i := range ps {
		n += len(ps[i].indexes)
	}
	return n
}

// all lists the set, in order.
func (ps partitions) all() []TopicPartition {
	out := make([]TopicPartition, 0, ps.count())
	for i := range ps {
		for _, p := range ps[i].indexes {
			out = append(out, TopicPartition{ps[i].topic, p})
		}
	}
	return out
}
