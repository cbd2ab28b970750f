package group

import (
	"fmt"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// From this version on, OffsetCommit of an unknown group is GROUP_ID_NOT_FOUND.
const commitGroupNotFound = 9

// commit is a set of offsets on its way to the log.
type commit struct {
	items []committed
	resp  *kmsg.OffsetCommitResponse
	reply func(*kmsg.OffsetCommitResponse)
	group string
}

func (e *commit) String() string { return "offsets" }

func (e *commit) durable(s *shard, st *step, base int64) {
	s.committing(st, e.group)
	for i := range e.items {
		c := e.items[i]
		c.at = base + int64(i)
		s.putOffset(e.group, c)
	}
	s.stats.Commits++
	s.stats.CommittedOffsets += int64(len(e.items))
	st.reply(func() { e.reply(e.resp) })
}

// committing returns the group that the log has offsets of. A consumer that assigns
// its partitions itself and only commits gets one without members or protocol.
func (s *shard) committing(st *step, id string) *classicGroup {
	g := s.groups[id]
	if g == nil {
		g = s.addGroup(st, s.newGroup(st.now, id))
	}
	g.committed = true
	return g
}

func (e *commit) failed(s *shard, st *step, err *kerr.Error) {
	refuseCommit(e.resp, err)
	st.reply(func() { e.reply(e.resp) })
}

func refuseCommit(resp *kmsg.OffsetCommitResponse, err *kerr.Error) {
	for i := range resp.Topics {
		for j := range resp.Topics[i].Partitions {
			resp.Topics[i].Partitions[j].ErrorCode = err.Code
		}
	}
}

// newCommitResponse answers every partition of the request with success.
func newCommitResponse(req *kmsg.OffsetCommitRequest) *kmsg.OffsetCommitResponse {
	resp := &kmsg.OffsetCommitResponse{Version: req.Version, Topics: make([]kmsg.OffsetCommitResponseTopic, len(req.Topics))}
	n := 0
	for i := range req.Topics {
		n += len(req.Topics[i].Partitions)
	}
	partitions := make([]kmsg.OffsetCommitResponseTopicPartition, n)
	for i := range req.Topics {
		t := &req.Topics[i]
		n = len(t.Partitions)
		ps := partitions[:n:n]
		partitions = partitions[n:]
		for j := range t.Partitions {
			ps[j].Partition = t.Partitions[j].Partition
		}
		resp.Topics[i] = kmsg.OffsetCommitResponseTopic{Topic: t.Topic, TopicID: t.TopicID, Partitions: ps}
	}
	return resp
}

// commit serves OffsetCommit. The topics are known to exist; from version 10
// on, each has both its id and its name.
func (s *shard) commit(st *step, req *kmsg.OffsetCommitRequest, reply func(*kmsg.OffsetCommitResponse)) {
	resp := newCommitResponse(req)
	finish := func(err *kerr.Error) {
		for i := range resp.Topics {
			resp.Topics[i].Topic = strings.Clone(resp.Topics[i].Topic)
		}
		if err != nil {
			refuseCommit(resp, err)
		}
		st.reply(func() { reply(resp) })
	}
	g := s.groups[req.Group]
	if err := s.validateCommit(g, req); err != nil {
		finish(err)
		return
	}
	if g != nil && (g.state == Stable || g.state == PreparingRebalance) {
		// A commit is as good a sign of life as a heartbeat.
		m := g.members[req.MemberID]
		st.set(&m.session, m.sessionTimeout)
	}
	c := &commit{resp: resp, reply: reply}
	if g != nil {
		c.group = g.id
	} else {
		c.group = strings.Clone(req.Group)
	}
	s.takeOffsets(st, c, req)
	if len(c.items) == 0 {
		finish(nil)
		return
	}
	s.append(st, &entry{group: c.group, records: commitRecords(c.group, c.items), effect: c})
}

// takeOffsets copies what can be committed into c, and notes in its response
// what cannot.
func (s *shard) takeOffsets(st *step, c *commit, req *kmsg.OffsetCommitRequest) {
	expires := int64(noTimestamp)
	if req.Version <= 4 && req.RetentionTimeMillis >= 0 {
		expires = st.now.UnixMilli() + req.RetentionTimeMillis
	}
	stored := s.offsets[req.Group]
	count := 0
	if stored != nil {
		count = stored.count
	}
	for i := range req.Topics {
		t := &req.Topics[i]
		if len(t.Partitions) == 0 {
			c.resp.Topics[i].Topic = strings.Clone(t.Topic)
			continue
		}
		ref := s.intern(t.Topic, t.TopicID)
		c.resp.Topics[i].Topic = ref.name
		if c.items == nil {
			c.items = make([]committed, 0, len(t.Partitions))
		}
		for j := range t.Partitions {
			p := &t.Partitions[j]
			if s.cfg.metadataTooLarge(p.Metadata) {
				c.resp.Topics[i].Partitions[j].ErrorCode = kerr.OffsetMetadataTooLarge.Code
				continue
			}
			if stored.get(t.Topic, p.Partition) == nil {
				if count >= s.cfg.MaxOffsetsPerGroup {
					c.resp.Topics[i].Partitions[j].ErrorCode = kerr.PolicyViolation.Code
					continue
				}
				count++
			}
			c.items = append(c.items, newCommitted(ref, p, st.now.UnixMilli(), expires))
		}
	}
}

// metadataTooLarge holds metadata against offset.metadata.max.bytes. The name
// notwithstanding, Apache Kafka counts the UTF-16 units of Java's strings.
func (c *Config) metadataTooLarge(metadata *string) bool {
	if metadata == nil || len(*metadata) <= c.OffsetMetadataMaxBytes {
		return false // no text has more of these than bytes
	}
	units := 0
	for _, r := range *metadata {
		if units++; r > 0xffff {
			units++
		}
	}
	return units > c.OffsetMetadataMaxBytes
}

func newCommitted(ref *topicRef, p *kmsg.OffsetCommitRequestTopicPartition, now, expires int64) committed {
	c := committed{partition: p.Partition, leaderEpoch: p.LeaderEpoch, offset: p.Offset, timestamp: now, topic: ref}
	metadata := ""
	if p.Metadata != nil {
		metadata = strings.Clone(*p.Metadata)
	}
	if metadata != "" || expires != noTimestamp {
		c.more = &committedMore{metadata: metadata, expires: expires}
	}
	return c
}

// validateCommit says whether the sender may commit for the group.
func (s *shard) validateCommit(g *classicGroup, req *kmsg.OffsetCommitRequest) *kerr.Error {
	if g == nil {
		switch {
		case req.Generation < 0 && s.full():
			return kerr.PolicyViolation
		case req.Generation < 0:
			return nil
		case req.Version >= commitGroupNotFound:
			return kerr.GroupIDNotFound
		default:
			return kerr.IllegalGeneration
		}
	}
	if req.Generation < 0 && g.state == Empty {
		return nil // an admin client, or a consumer outside of the group protocol
	}
	if req.Generation < 0 && req.MemberID == "" && req.InstanceID == nil {
		return kerr.UnknownMemberID
	}
	if err := g.validate(req.MemberID, req.InstanceID); err != nil {
		return err
	}
	switch {
	case req.Generation != g.generation:
		return kerr.IllegalGeneration
	case g.state == CompletingRebalance:
		return kerr.RebalanceInProgress
	}
	return nil
}

// forgotten is a set of tombstones: offsets that go, and perhaps their group.
type forgotten struct {
	group      string
	keys       []offsetKey
	drop       *classicGroup // nil to keep the group
	generation int32
	expired    bool
	reply      func(st *step, err *kerr.Error) // nil if nobody waits
}

func (e *forgotten) String() string {
	if e.drop == nil {
		return fmt.Sprintf("tombstones of %d offsets", len(e.keys))
	}
	return fmt.Sprintf("tombstones of %d offsets and the group", len(e.keys))
}

func (e *forgotten) durable(s *shard, st *step, _ int64) {
	for _, k := range e.keys {
		pending := s.removePending(e.group, k)
		if s.removeOffset(e.group, k.topic, k.partition) || pending {
			if e.expired {
				s.stats.ExpiredOffsets++
			} else {
				s.stats.DeletedOffsets++
			}
		}
	}
	if g := e.drop; g != nil && s.groups[e.group] == g {
		rest := s.offsets[e.group] != nil || s.unstable[e.group] != nil
		g.persisted, g.committed = false, rest
		// Somebody may have joined since. Then the group goes on, and the
		// record of its next generation brings it back into the log.
		if g.state == Empty && g.generation == e.generation && !rest {
			s.removeGroup(st, g)
		}
	}
	if e.reply != nil {
		e.reply(st, nil)
	}
}

func (e *forgotten) failed(s *shard, st *step, err *kerr.Error) {
	if e.reply != nil {
		e.reply(st, err)
	}
}

// maxTombstones bounds the records of one entry, so that a group with very many
// offsets does not make a batch that the log refuses.
const maxTombstones = 10_000

// forget appends tombstones. Where there are more than fit, the last entry
// carries the group and the answer.
func (s *shard) forget(st *step, e *forgotten) {
	for len(e.keys) > maxTombstones {
		part := &forgotten{group: e.group, keys: e.keys[:maxTombstones], expired: e.expired}
		e.keys = e.keys[maxTombstones:]
		s.append(st, &entry{group: e.group, records: tombstones(part), effect: part})
	}
	s.append(st, &entry{group: e.group, records: tombstones(e), effect: e})
}

// deleteGroup serves DeleteGroups for one group.
func (s *shard) deleteGroup(st *step, id string, reply func(st *step, err *kerr.Error)) {
	g := s.groups[id]
	switch {
	case g == nil:
		reply(st, kerr.GroupIDNotFound)
	case g.state != Empty:
		reply(st, kerr.NonEmptyGroup)
	case !g.persisted && !g.committed && s.inflight[id] == nil:
		s.removeGroup(st, g) // the log does not know of it
		reply(st, nil)
	default:
		s.forget(st, &forgotten{group: g.id, keys: s.allKeys(id), drop: g, generation: g.generation, reply: reply})
	}
}

// deleteOffsets serves OffsetDelete. The topics and partitions are known to
// exist.
func (s *shard) deleteOffsets(st *step, req *kmsg.OffsetDeleteRequest, reply func(*kmsg.OffsetDeleteResponse)) {
	resp := &kmsg.OffsetDeleteResponse{Version: req.Version}
	answer := func(st *step, err *kerr.Error) {
		if err != nil {
			resp.ErrorCode, resp.Topics = err.Code, nil
		}
		st.reply(func() { reply(resp) })
	}
	g := s.groups[req.Group]
	switch {
	case req.Group == "":
		answer(st, kerr.InvalidGroupID)
		return
	case g == nil:
		answer(st, kerr.GroupIDNotFound)
		return
	case g.state != Empty && g.protocolType != consumerProtocol:
		answer(st, kerr.NonEmptyGroup)
		return
	}
	stored := s.offsets[g.id]
	pending := sortKeys(s.pendingKeys(g.id))
	var keys []offsetKey
	for i := range req.Topics {
		t := &req.Topics[i]
		topic := kmsg.OffsetDeleteResponseTopic{Topic: strings.Clone(t.Topic)}
		subscribed := g.isSubscribed(t.Topic)
		for _, p := range t.Partitions {
			rp := kmsg.OffsetDeleteResponseTopicPartition{Partition: p.Partition}
			k := offsetKey{topic.Topic, p.Partition}
			if subscribed {
				rp.ErrorCode = kerr.GroupSubscribedToTopic.Code
			} else if stored.get(t.Topic, p.Partition) != nil || slices.Contains(pending, k) || s.unstable[g.id][k] != nil {
				keys = append(keys, k)
			}
			topic.Partitions = append(topic.Partitions, rp)
		}
		resp.Topics = append(resp.Topics, topic)
	}
	if len(keys) == 0 {
		answer(st, nil)
		return
	}
	s.forget(st, &forgotten{group: g.id, keys: sortKeys(keys), reply: answer})
}
