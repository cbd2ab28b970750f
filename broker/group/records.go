package group

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/streamweir/streamweir/protocol/kafka"
)

// The versions that Apache Kafka 4.3 writes. Keys of other versions belong to
// other kinds of groups.
const (
	offsetKeyVersion     = 1
	groupKeyVersion      = 2
	offsetValueVersion   = 4
	expiringValueVersion = 1 // the only one with a time of expiry
	groupValueVersion    = 3
)

func offsetRecordKey(dst []byte, group, topic string, partition int32) []byte {
	k := kmsg.OffsetCommitKey{Version: offsetKeyVersion, Group: group, Topic: topic, Partition: partition}
	return k.AppendTo(dst)
}

func groupRecordKey(group string) []byte {
	k := kmsg.GroupMetadataKey{Version: groupKeyVersion, Group: group}
	return k.AppendTo(nil)
}

// commitRecords encodes offsets, all into one buffer.
func commitRecords(group string, items []committed) []record {
	size := 0
	for i := range items {
		size += 80 + len(group) + len(items[i].topic.name) + len(*items[i].metadata())
	}
	buf := make([]byte, 0, size)
	records := make([]record, len(items))
	for i := range items {
		c := &items[i]
		start := len(buf)
		buf = offsetRecordKey(buf, group, c.topic.name, c.partition)
		mid := len(buf)
		v := kmsg.OffsetCommitValue{
			Version: offsetValueVersion, Offset: c.offset, LeaderEpoch: c.leaderEpoch,
			Metadata: *c.metadata(), CommitTimestamp: c.timestamp, TopicID: c.topic.id,
		}
		if c.more != nil && c.more.expires != noTimestamp {
			v.Version, v.ExpireTimestamp = expiringValueVersion, c.more.expires
		}
		buf = v.AppendTo(buf)
		records[i] = record{key: buf[start:mid:mid], value: buf[mid:len(buf):len(buf)]}
	}
	return records
}

func tombstones(e *forgotten) []record {
	records := make([]record, 0, len(e.keys)+1)
	for _, k := range e.keys {
		records = append(records, record{key: offsetRecordKey(nil, e.group, k.topic, k.partition)})
	}
	if e.drop != nil {
		records = append(records, record{key: groupRecordKey(e.group)})
	}
	return records
}

// record is the group as it goes into the log, with the given assignments.
func (g *classicGroup) record(assignment func(*member) []byte) record {
	v := kmsg.GroupMetadataValue{
		Version: groupValueVersion, ProtocolType: g.protocolType, Generation: g.generation,
		CurrentStateTimestamp: g.since,
	}
	if len(g.order) > 0 {
		v.Protocol, v.Leader = &g.protocol, &g.leader
	}
	for _, m := range g.order {
		v.Members = append(v.Members, kmsg.GroupMetadataValueMember{
			MemberID: m.id, InstanceID: m.instance, ClientID: m.clientID, ClientHost: m.clientHost,
			RebalanceTimeoutMillis: int32(m.rebalanceTimeout.Milliseconds()),
			SessionTimeoutMillis:   int32(m.sessionTimeout.Milliseconds()),
			Subscription:           m.metadata(g.protocol),
			Assignment:             assignment(m),
		})
	}
	return record{key: groupRecordKey(g.id), value: v.AppendTo(nil)}
}

var errKey = errors.New("record key is cut short")

// replay takes over one record of the log, at offset at, that is part of a
// transaction of a producer, or of none (kafka.NoProducerID). It says whether the
// record is of a kind that is known here.
func (s *shard) replay(st *step, at, producerID int64, r record) (known bool, err error) {
	if len(r.key) < 2 {
		return false, errKey
	}
	switch v := int16(binary.BigEndian.Uint16(r.key)); {
	case v < 0:
		return false, fmt.Errorf("record key has version %d", v)
	case v <= offsetKeyVersion:
		return true, s.replayOffset(st, at, producerID, r)
	case v == groupKeyVersion:
		return true, s.replayGroup(st, r)
	default:
		return false, nil
	}
}

func (s *shard) replayOffset(st *step, at, producerID int64, r record) error {
	// The strings of k and v lie in r, which is reused: what is kept is copied.
	var k kmsg.OffsetCommitKey
	if err := k.UnsafeReadFrom(r.key); err != nil {
		return fmt.Errorf("decode the key of an offset commit: %w", err)
	}
	if r.value == nil {
		s.removePending(k.Group, offsetKey{k.Topic, k.Partition})
		s.removeOffset(k.Group, k.Topic, k.Partition)
		return nil
	}
	v := kmsg.NewOffsetCommitValue()
	if err := v.UnsafeReadFrom(r.value); err != nil {
		return fmt.Errorf("decode an offset commit of group %q: %w", k.Group, err)
	}
	if v.Version < 0 || v.Version > offsetValueVersion {
		return fmt.Errorf("offset commit of group %q has version %d; up to %d is known", k.Group, v.Version, offsetValueVersion)
	}
	c := committed{
		partition: k.Partition, leaderEpoch: v.LeaderEpoch, offset: v.Offset, timestamp: v.CommitTimestamp,
		at: at, topic: s.intern(k.Topic, v.TopicID),
	}
	if v.Version < 3 {
		c.leaderEpoch = -1
	}
	expires := v.ExpireTimestamp
	if v.Version != expiringValueVersion {
		expires = noTimestamp
	}
	if v.Metadata != "" || expires != noTimestamp {
		c.more = &committedMore{metadata: strings.Clone(v.Metadata), expires: expires}
	}
	id := k.Group
	if s.groups[id] == nil {
		id = strings.Clone(id)
	}
	g := s.committing(st, id)
	if producerID != kafka.NoProducerID {
		s.putPending(producerID, g.id, c)
	} else {
		s.putOffset(g.id, c)
	}
	return nil
}

func (s *shard) replayGroup(st *step, r record) error {
	var k kmsg.GroupMetadataKey
	if err := k.ReadFrom(r.key); err != nil {
		return fmt.Errorf("decode the key of a group: %w", err)
	}
	if r.value == nil {
		if g := s.groups[k.Group]; g != nil {
			s.removeGroup(st, g)
		}
		return nil
	}
	v := kmsg.NewGroupMetadataValue()
	if err := v.ReadFrom(r.value); err != nil {
		return fmt.Errorf("decode group %q: %w", k.Group, err)
	}
	if v.Version < 0 || v.Version > 4 {
		return fmt.Errorf("group %q has version %d; up to 4 is known", k.Group, v.Version)
	}
	if len(v.Members) > 0 && v.Protocol == nil {
		return fmt.Errorf("group %q has members and no protocol", k.Group)
	}
	g := s.newGroup(st.now, k.Group)
	g.persisted, g.protocolType, g.generation = true, v.ProtocolType, v.Generation
	if g.since = v.CurrentStateTimestamp; v.Version < 2 {
		g.since = noTimestamp
	}
	if len(v.Members) > 0 {
		g.state, g.protocol = Stable, *v.Protocol
	}
	s.addGroup(st, g)
	for i := range v.Members {
		g.addMember(loadMember(&v.Members[i], v.Version, g.protocol))
	}
	if v.Leader != nil && g.members[*v.Leader] != nil {
		g.leader = *v.Leader
	}
	g.learnSubscriptions()
	return nil
}

func loadMember(lm *kmsg.GroupMetadataValueMember, version int16, name string) *member {
	m := &member{
		id: lm.MemberID, instance: lm.InstanceID, clientID: lm.ClientID, clientHost: lm.ClientHost,
		sessionTimeout: millis(lm.SessionTimeoutMillis), rebalanceTimeout: millis(lm.RebalanceTimeoutMillis),
		protocols:  []protocol{{name: name, metadata: bytes.Clone(lm.Subscription)}},
		assignment: bytes.Clone(lm.Assignment),
	}
	if version < 1 || lm.RebalanceTimeoutMillis == -1 {
		m.rebalanceTimeout = m.sessionTimeout
	}
	return m
}

// loaded is the event that the whole log was replayed: from now on, members
// have to show that they are alive.
func (s *shard) loaded(st *step) {
	for id := range s.offsets {
		s.committing(st, id)
	}
	for id := range s.unstable {
		s.committing(st, id)
	}
	for _, g := range s.groups {
		for _, m := range g.order {
			st.set(&m.session, m.sessionTimeout)
		}
		if len(g.members) > s.cfg.MaxGroupSize {
			g.prepareRebalance(st, "it has more members than group.max.size allows")
		}
	}
}

// subscribedTopics adds the topics of a consumer's subscription to topics. All
// versions of the format begin like version 0: a version, then the topics.
func subscribedTopics(metadata []byte, topics map[string]struct{}) bool {
	if len(metadata) < 6 || int16(binary.BigEndian.Uint16(metadata)) < 0 {
		return false
	}
	n := int32(binary.BigEndian.Uint32(metadata[2:]))
	rest := metadata[6:]
	for ; n > 0; n-- {
		if len(rest) < 2 {
			return false
		}
		size := int(int16(binary.BigEndian.Uint16(rest)))
		if size < 0 || len(rest) < 2+size {
			return false
		}
		topics[string(rest[2:2+size])] = struct{}{}
		rest = rest[2+size:]
	}
	return n == 0
}
