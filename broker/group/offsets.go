package group

import (
	"slices"
	"strings"
)

// A topicKey names one incarnation of a topic. The id is zero where a commit
// did not carry any.
type topicKey struct {
	name string
	id   [16]byte
}

// A topicRef is a topicKey that many offsets share.
type topicRef struct{ topicKey }

// A committed offset takes 48 bytes: a coordinator may hold very many.
type committed struct {
	partition   int32
	leaderEpoch int32 // -1 for none
	offset      int64
	timestamp   int64 // ms; when it was committed
	// at is the offset of the record in __consumer_offsets. A transaction that
	// commits later must not put an older offset in place of a newer one.
	at    int64
	topic *topicRef
	more  *committedMore // what few offsets have; nil for none of it
}

type committedMore struct {
	metadata string
	expires  int64 // ms; noTimestamp where offsets.retention.minutes decides
}

var noMetadata = ""

func (c *committed) metadata() *string {
	if c.more == nil {
		return &noMetadata
	}
	return &c.more.metadata
}

// groupOffsets are the durable offsets of a group.
type groupOffsets struct {
	topics map[string][]committed // by topic name; sorted by partition
	count  int
}

// find returns the place of a partition among a topic's offsets.
func find(cs []committed, partition int32) (int, bool) {
	return slices.BinarySearchFunc(cs, partition, func(c committed, p int32) int { return int(c.partition) - int(p) })
}

func (o *groupOffsets) get(topic string, partition int32) *committed {
	if o == nil {
		return nil
	}
	cs := o.topics[topic]
	if i, ok := find(cs, partition); ok {
		return &cs[i]
	}
	return nil
}

// intern returns the one topicRef for a topic. name is copied where it is kept.
func (s *shard) intern(name string, id [16]byte) *topicRef {
	if ref := s.topics[topicKey{name, id}]; ref != nil {
		return ref
	}
	ref := &topicRef{topicKey{strings.Clone(name), id}}
	s.topics[ref.topicKey] = ref
	return ref
}

// putOffset stores a committed offset.
func (s *shard) putOffset(group string, c committed) {
	o := s.offsets[group]
	if o == nil {
		o = &groupOffsets{topics: make(map[string][]committed, 1)}
		s.offsets[group] = o
	}
	cs := o.topics[c.topic.name]
	i, ok := find(cs, c.partition)
	if ok {
		cs[i] = c
		return
	}
	o.topics[c.topic.name] = slices.Insert(cs, i, c)
	o.count++
	s.stats.Offsets++
}

// removeOffset forgets an offset and says whether it was there.
func (s *shard) removeOffset(group, topic string, partition int32) bool {
	o := s.offsets[group]
	if o == nil {
		return false
	}
	cs := o.topics[topic]
	i, ok := find(cs, partition)
	if !ok {
		return false
	}
	if cs = slices.Delete(cs, i, i+1); len(cs) > 0 {
		o.topics[topic] = cs
	} else {
		delete(o.topics, topic)
	}
	o.count--
	s.stats.Offsets--
	if o.count == 0 {
		delete(s.offsets, group)
	}
	return true
}

// An offsetKey names an offset within a group.
type offsetKey struct {
	topic     string
	partition int32
}

// pendingKeys lists the offsets of a group whose commits are on their way to
// the log: a deletion that comes after them must cover them too.
func (s *shard) pendingKeys(group string) []offsetKey {
	var keys []offsetKey
	for _, e := range s.inflight[group] {
		for i := range commitItems(e.effect) {
			c := &commitItems(e.effect)[i]
			keys = append(keys, offsetKey{c.topic.name, c.partition})
		}
	}
	return keys
}

// commitItems returns the offsets that an effect commits, in a transaction or not.
func commitItems(e effect) []committed {
	switch e := e.(type) {
	case *commit:
		return e.items
	case *txnCommit:
		return e.items
	}
	return nil
}

// allKeys lists the offsets of a group, durable, on their way or in an open
// transaction, in order.
func (s *shard) allKeys(group string) []offsetKey {
	keys := s.pendingKeys(group)
	for k := range s.unstable[group] {
		keys = append(keys, k)
	}
	if o := s.offsets[group]; o != nil {
		for topic, cs := range o.topics {
			for i := range cs {
				keys = append(keys, offsetKey{topic, cs[i].partition})
			}
		}
	}
	return sortKeys(keys)
}

func sortKeys(keys []offsetKey) []offsetKey {
	slices.SortFunc(keys, func(a, b offsetKey) int {
		if c := strings.Compare(a.topic, b.topic); c != 0 {
			return c
		}
		return int(a.partition) - int(b.partition)
	})
	return slices.Compact(keys)
}
