package group

import (
	"maps"
	"slices"
)

// expire lets go of offsets that nobody has used for offsets.retention.minutes
// (KIP-211), and of empty groups without offsets.
func (s *shard) expire(st *step) {
	for _, id := range slices.Sorted(maps.Keys(s.groups)) {
		if s.inflight[id] == nil { // else there is news of it: look again next time
			s.expireGroup(st, s.groups[id])
		}
	}
}

func (s *shard) expireGroup(st *step, g *classicGroup) {
	var keys []offsetKey
	all := s.unstable[g.id] == nil // or else open transactions have offsets for it
	if o := s.offsets[g.id]; o != nil {
		base, ok := g.expiryBase()
		if !ok {
			return
		}
		for topic, cs := range o.topics {
			if g.isSubscribed(topic) {
				all = false
				continue
			}
			for i := range cs {
				open := s.unstable[g.id][offsetKey{topic, cs[i].partition}] != nil
				if !open && s.expired(&cs[i], base, st.now.UnixMilli()) {
					keys = append(keys, offsetKey{topic, cs[i].partition})
				} else {
					all = false
				}
			}
		}
	}
	e := &forgotten{group: g.id, keys: sortKeys(keys), generation: g.generation, expired: true}
	if all && g.idle() {
		if !g.persisted && !g.committed {
			s.removeGroup(st, g)
			return
		}
		e.drop = g
	}
	if len(e.keys) > 0 || e.drop != nil {
		s.forget(st, e)
	}
}

// expiryBase says from when on the group's offsets age: a time, or noTimestamp
// for the time of each commit. ok is false while none may expire.
func (g *classicGroup) expiryBase() (base int64, ok bool) {
	switch {
	case g.protocolType == "":
		return noTimestamp, true // only ever commits, so it is used by commits
	case g.state == Empty:
		return g.since, true
	case g.state == Stable && g.subscribed != nil:
		return noTimestamp, true // of the topics that it has left
	default:
		return 0, false
	}
}

func (s *shard) expired(c *committed, base, now int64) bool {
	if c.more != nil && c.more.expires != noTimestamp {
		return now >= c.more.expires
	}
	if base == noTimestamp {
		base = c.timestamp
	}
	return now-base >= s.cfg.OffsetsRetention.Milliseconds()
}

// A DeletedTopic names a topic that is gone. Offsets of a later topic with the
// same name, and so with another id, stay.
type DeletedTopic struct {
	Name string
	ID   [16]byte
}

// topicsDeleted lets go of the offsets of deleted topics.
func (s *shard) topicsDeleted(st *step, topics []DeletedTopic) {
	names := make([]string, 0, len(topics))
	for _, t := range topics {
		names = append(names, t.Name)
	}
	s.forgetTopics(st, names, func(ref *topicRef) bool {
		return slices.ContainsFunc(topics, func(t DeletedTopic) bool {
			return t.Name == ref.name && (ref.id == [16]byte{} || ref.id == t.ID)
		})
	})
}

// forgetMissing lets go of the offsets of topics that do not exist.
func (s *shard) forgetMissing(st *step, exists func(topic string, id [16]byte) bool) {
	var names []string
	gone := func(ref *topicRef) bool { return !exists(ref.name, ref.id) }
	for _, ref := range s.topics {
		if gone(ref) {
			names = append(names, ref.name)
		}
	}
	if len(names) > 0 {
		slices.Sort(names)
		s.forgetTopics(st, slices.Compact(names), gone)
	}
}

// forgetTopics lets go of the offsets of what is gone of these topics.
func (s *shard) forgetTopics(st *step, names []string, gone func(*topicRef) bool) {
	for _, id := range slices.Sorted(maps.Keys(s.groups)) {
		var keys []offsetKey
		for _, name := range names {
			if o := s.offsets[id]; o != nil {
				for i := range o.topics[name] {
					if c := &o.topics[name][i]; gone(c.topic) {
						keys = append(keys, offsetKey{name, c.partition})
					}
				}
			}
		}
		for _, e := range s.inflight[id] {
			items := commitItems(e.effect)
			for i := range items {
				if gone(items[i].topic) {
					keys = append(keys, offsetKey{items[i].topic.name, items[i].partition})
				}
			}
		}
		for k, producers := range s.unstable[id] {
			if slices.ContainsFunc(producers, func(p int64) bool { return gone(s.txns[p].groups[id][k].topic) }) {
				keys = append(keys, k)
			}
		}
		if len(keys) > 0 {
			s.forget(st, &forgotten{group: id, keys: sortKeys(keys)})
		}
	}
	maps.DeleteFunc(s.topics, func(_ topicKey, ref *topicRef) bool { return gone(ref) })
}
