package group

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// The events of transcripts that are requests, and how their answers are shown.

func (s *stage) joinEvent(a args) {
	req := &kmsg.JoinGroupRequest{
		Version: int16(a.num("v", 9)), Group: a.words[1], MemberID: a.str("member", ""), InstanceID: a.optional("instance"),
		SessionTimeoutMillis: a.ms("session", 10*time.Second), RebalanceTimeoutMillis: a.ms("rebalance", 60*time.Second),
		ProtocolType: a.str("type", "consumer"), Protocols: protocols(a.str("protocols", "range(t)")),
	}
	if req.Group == `""` {
		req.Group = ""
	}
	client := a.str("client", "c")
	who := client
	for _, v := range []string{a.str("instance", ""), req.MemberID} {
		if v != "" {
			who = v
		}
	}
	s.run(func(st *step) {
		s.shard.join(st, Client{ID: client, Host: "/127.0.0.1"}, req, func(r *kmsg.JoinGroupResponse) {
			s.say("join %s: %s", who, showJoin(r))
		})
	})
}

func showJoin(r *kmsg.JoinGroupResponse) string {
	if r.ErrorCode != 0 {
		text := errName(r.ErrorCode)
		if r.MemberID != "" {
			text += ", member " + r.MemberID
		}
		return text
	}
	role := "follows " + r.LeaderID
	if r.LeaderID == r.MemberID {
		var ms []string
		for _, m := range r.Members {
			name := m.MemberID
			if m.InstanceID != nil {
				name += "@" + *m.InstanceID
			}
			ms = append(ms, fmt.Sprintf("%s(%s)", name, showSubscription(m.ProtocolMetadata)))
		}
		role = "leads " + strings.Join(ms, " ")
	}
	if r.SkipAssignment {
		role += ", assigns nothing"
	}
	return fmt.Sprintf("OK, member %s, generation %d, %s, %s", r.MemberID, r.Generation, deref(r.Protocol), role)
}

func deref(s *string) string {
	if s == nil {
		return "null"
	}
	return *s
}

func (s *stage) syncEvent(a args) {
	req := &kmsg.SyncGroupRequest{
		Version: int16(a.num("v", 5)), Group: a.words[1], MemberID: a.str("member", ""), InstanceID: a.optional("instance"),
		Generation: int32(a.num("gen", 1)), ProtocolType: a.optional("type"), Protocol: a.optional("protocol"),
	}
	if text := a.str("assign", ""); text != "" {
		for _, part := range strings.Split(text, ",") {
			id, what, _ := strings.Cut(part, ":")
			req.GroupAssignment = append(req.GroupAssignment, kmsg.SyncGroupRequestGroupAssignment{MemberID: id, MemberAssignment: []byte(what)})
		}
	}
	s.run(func(st *step) {
		s.shard.sync(st, req, func(r *kmsg.SyncGroupResponse) {
			if r.ErrorCode != 0 {
				s.say("sync %s: %s", req.MemberID, errName(r.ErrorCode))
				return
			}
			s.say("sync %s: OK, %s %s, has %q", req.MemberID, deref(r.ProtocolType), deref(r.Protocol), r.MemberAssignment)
		})
	})
}

func (s *stage) heartbeatEvent(a args) {
	req := &kmsg.HeartbeatRequest{
		Version: 4, Group: a.words[1], MemberID: a.str("member", ""), InstanceID: a.optional("instance"), Generation: int32(a.num("gen", 1)),
	}
	s.run(func(st *step) {
		err := s.shard.heartbeat(st, req)
		st.reply(func() { s.say("heartbeat %s: %s", req.MemberID, errName(code(err))) })
	})
}

func (s *stage) leaveEvent(a args) {
	req := &kmsg.LeaveGroupRequest{Version: int16(a.num("v", 5)), Group: a.words[1], MemberID: a.str("member", "")}
	if req.Version >= 3 {
		for _, text := range strings.Split(a.str("members", req.MemberID), ",") {
			id, instance, ok := strings.Cut(text, "@")
			m := kmsg.LeaveGroupRequestMember{MemberID: id}
			if ok {
				m.InstanceID = &instance
			}
			req.Members = append(req.Members, m)
		}
	}
	s.run(func(st *step) {
		s.shard.leave(st, req, func(r *kmsg.LeaveGroupResponse) {
			text := errName(r.ErrorCode)
			for _, m := range r.Members {
				name := m.MemberID
				if m.InstanceID != nil {
					name += "@" + *m.InstanceID
				}
				text += fmt.Sprintf(", %s %s", name, errName(m.ErrorCode))
			}
			s.say("leave: %s", text)
		})
	})
}

// offsets reads words like "t:0=5", "t#id:0=5" or "t:0=5/metadata".
func offsets(t *testing.T, words []string) []kmsg.OffsetCommitRequestTopic {
	var topics []kmsg.OffsetCommitRequestTopic
	for _, w := range words {
		place, value, _ := strings.Cut(w, "=")
		name, partition, _ := strings.Cut(place, ":")
		name, id, _ := strings.Cut(name, "#")
		p := kmsg.OffsetCommitRequestTopicPartition{Partition: int32(atoi(t, partition)), LeaderEpoch: -1}
		number, metadata, ok := strings.Cut(value, "/")
		if ok {
			p.Metadata = &metadata
		}
		number, epoch, ok := strings.Cut(number, "@")
		if ok {
			p.LeaderEpoch = int32(atoi(t, epoch))
		}
		p.Offset = atoi(t, number)
		if i := slices.IndexFunc(topics, func(t kmsg.OffsetCommitRequestTopic) bool { return t.Topic == name && t.TopicID == topicID(id) }); i >= 0 {
			topics[i].Partitions = append(topics[i].Partitions, p)
			continue
		}
		topics = append(topics, kmsg.OffsetCommitRequestTopic{Topic: name, TopicID: topicID(id), Partitions: []kmsg.OffsetCommitRequestTopicPartition{p}})
	}
	return topics
}

func atoi(t *testing.T, text string) int64 {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func (s *stage) commitEvent(a args) {
	req := &kmsg.OffsetCommitRequest{
		Version: int16(a.num("v", 9)), Group: a.words[1], MemberID: a.str("member", ""), InstanceID: a.optional("instance"),
		Generation: int32(a.num("gen", -1)), RetentionTimeMillis: -1,
	}
	if _, ok := a.kv["retention"]; ok {
		req.RetentionTimeMillis = int64(a.ms("retention", 0))
	}
	req.Topics = offsets(s.t, a.words[2:])
	s.run(func(st *step) {
		s.shard.commit(st, req, func(r *kmsg.OffsetCommitResponse) {
			var parts []string
			for _, t := range r.Topics {
				for _, p := range t.Partitions {
					parts = append(parts, fmt.Sprintf("%s%s:%d %s", t.Topic, showID(t.TopicID), p.Partition, errName(p.ErrorCode)))
				}
			}
			s.say("commit: %s", strings.Join(parts, ", "))
		})
	})
}

func (s *stage) txnCommitEvent(a args) {
	req := &kmsg.TxnOffsetCommitRequest{
		Version: 5, Group: a.words[1], TransactionalID: "x", ProducerID: a.num("producer", 1), ProducerEpoch: int16(a.num("epoch", 0)),
		MemberID: a.str("member", ""), InstanceID: a.optional("instance"), Generation: int32(a.num("gen", -1)),
	}
	ids := map[string][16]byte{}
	for _, t := range offsets(s.t, a.words[2:]) {
		rt := kmsg.TxnOffsetCommitRequestTopic{Topic: t.Topic}
		for _, p := range t.Partitions {
			rt.Partitions = append(rt.Partitions, kmsg.TxnOffsetCommitRequestTopicPartition{
				Partition: p.Partition, Offset: p.Offset, LeaderEpoch: p.LeaderEpoch, Metadata: p.Metadata,
			})
		}
		ids[t.Topic] = t.TopicID
		req.Topics = append(req.Topics, rt)
	}
	s.run(func(st *step) {
		s.shard.txnCommit(st, req, func(name string) [16]byte { return ids[name] }, 7, func(r *kmsg.TxnOffsetCommitResponse) {
			var parts []string
			for _, t := range r.Topics {
				for _, p := range t.Partitions {
					parts = append(parts, fmt.Sprintf("%s:%d %s", t.Topic, p.Partition, errName(p.ErrorCode)))
				}
			}
			s.say("txn-commit: %s", strings.Join(parts, ", "))
		})
	})
}

// markerEvent is the end of a transaction that has become durable.
func (s *stage) markerEvent(a args) {
	producer := a.num("producer", 1)
	at := int64(len(s.log))
	s.log = append(s.log, logged{producer: producer, end: a.words[1]})
	s.run(func(st *step) { s.shard.complete(st, producer, at, a.words[1] == "commit") })
}

func (s *stage) fetchEvent(a args) {
	req := &kmsg.OffsetFetchRequestGroup{Group: a.words[1]}
	for _, w := range a.words[2:] {
		name, partition, _ := strings.Cut(w, ":")
		name, id, _ := strings.Cut(name, "#")
		req.Topics = append(req.Topics, kmsg.OffsetFetchRequestGroupTopic{Topic: name, TopicID: topicID(id), Partitions: []int32{int32(atoi(s.t, partition))}})
	}
	s.run(func(st *step) {
		s.shard.offsetFetch(st, req, a.str("stable", "no") == "yes", func(r *kmsg.OffsetFetchResponseGroup) {
			var parts []string
			for _, t := range r.Topics {
				for _, p := range t.Partitions {
					text := fmt.Sprintf("%s%s:%d=%d", t.Topic, showID(t.TopicID), p.Partition, p.Offset)
					if p.LeaderEpoch >= 0 {
						text += fmt.Sprintf("@%d", p.LeaderEpoch)
					}
					if *p.Metadata != "" {
						text += "/" + *p.Metadata
					}
					if p.ErrorCode != 0 {
						text += " " + errName(p.ErrorCode)
					}
					parts = append(parts, text)
				}
			}
			if len(parts) == 0 {
				parts = []string{"nothing"}
			}
			s.say("fetch: %s %s", errName(r.ErrorCode), strings.Join(parts, " "))
		})
	})
}

func (s *stage) deleteOffsetsEvent(a args) {
	req := &kmsg.OffsetDeleteRequest{Group: a.words[1]}
	for _, w := range a.words[2:] {
		name, partition, _ := strings.Cut(w, ":")
		req.Topics = append(req.Topics, kmsg.OffsetDeleteRequestTopic{
			Topic: name, Partitions: []kmsg.OffsetDeleteRequestTopicPartition{{Partition: int32(atoi(s.t, partition))}},
		})
	}
	s.run(func(st *step) {
		s.shard.deleteOffsets(st, req, func(r *kmsg.OffsetDeleteResponse) {
			text := errName(r.ErrorCode)
			for _, t := range r.Topics {
				for _, p := range t.Partitions {
					text += fmt.Sprintf(", %s:%d %s", t.Topic, p.Partition, errName(p.ErrorCode))
				}
			}
			s.say("delete-offsets: %s", text)
		})
	})
}

func (s *stage) describe(id string, version int16) {
	d := s.shard.describe(id, version)
	generation := ""
	if g := s.shard.groups[id]; g != nil {
		generation = fmt.Sprintf(", generation %d", g.generation)
	}
	s.say("%s: %s %s%s, %s %q", id, errName(d.ErrorCode), d.State, generation, d.ProtocolType, d.Protocol)
	for _, m := range d.Members {
		name := m.MemberID
		if m.InstanceID != nil {
			name += "@" + *m.InstanceID
		}
		s.say("  %s from %s%s subscribes to %s, has %q", name, m.ClientID, m.ClientHost, showSubscription(m.ProtocolMetadata), m.MemberAssignment)
	}
}

func (s *stage) list(a args) {
	split := func(text string) []string {
		if text == "" {
			return nil
		}
		return strings.Split(text, ",")
	}
	for _, g := range s.shard.list(split(a.str("states", "")), split(a.str("types", ""))) {
		s.say("%s: %s, %s group, protocol type %q", g.Group, g.GroupState, g.GroupType, g.ProtocolType)
	}
}

func showRecord(t *testing.T, r record) string {
	if v := binary.BigEndian.Uint16(r.key); v == groupKeyVersion {
		return showGroupRecord(t, r)
	}
	var k kmsg.OffsetCommitKey
	must(t, k.ReadFrom(r.key))
	text := fmt.Sprintf("key v%d offset %s %s:%d", k.Version, k.Group, k.Topic, k.Partition)
	if r.value == nil {
		return text + " tombstone"
	}
	v := kmsg.NewOffsetCommitValue()
	must(t, v.ReadFrom(r.value))
	text += fmt.Sprintf(", value v%d %d@%d %q", v.Version, v.Offset, v.LeaderEpoch, v.Metadata)
	if v.ExpireTimestamp > 0 {
		text += ", expires after " + time.UnixMilli(v.ExpireTimestamp).Sub(time.UnixMilli(v.CommitTimestamp)).String()
	}
	if id := showID(v.TopicID); id != "" {
		text += ", topic " + id
	}
	return text
}

func showGroupRecord(t *testing.T, r record) string {
	var k kmsg.GroupMetadataKey
	must(t, k.ReadFrom(r.key))
	text := fmt.Sprintf("key v%d group %s", k.Version, k.Group)
	if r.value == nil {
		return text + " tombstone"
	}
	v := kmsg.NewGroupMetadataValue()
	must(t, v.ReadFrom(r.value))
	text += fmt.Sprintf(", value v%d %s generation %d, %s, leader %s, since %s", v.Version, v.ProtocolType, v.Generation,
		deref(v.Protocol), deref(v.Leader), time.UnixMilli(v.CurrentStateTimestamp).Sub(stageStart))
	for _, m := range v.Members {
		text += fmt.Sprintf(", member %s@%s %q session %s rebalance %s", m.MemberID, deref(m.InstanceID), m.Assignment,
			millis(m.SessionTimeoutMillis), millis(m.RebalanceTimeoutMillis))
	}
	return text
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
