package group

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/streamweir/streamweir/protocol/kafka"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// seedRecords are the records of a short life of a group.
func seedRecords(tb testing.TB) []record {
	var out []record
	s := newStage(nil)
	for _, c := range []committed{
		{partition: 3, offset: 5, leaderEpoch: 1, timestamp: 9, topic: &topicRef{topicKey{"t", [16]byte{1}}}},
		{offset: 1, topic: &topicRef{topicKey{"u", [16]byte{}}}, more: &committedMore{metadata: "note", expires: 77}},
	} {
		out = append(out, commitRecords("g", []committed{c})...)
	}
	g := s.shard.newGroup(s.now, "g")
	instance := "i"
	g.protocolType, g.protocol, g.generation = "consumer", "range", 3
	g.addMember(&member{id: "m", instance: &instance, protocols: []protocol{{"range", subscription("t")}}, assignment: []byte("a")})
	out = append(out, g.record((*member).currentAssignment))
	empty := s.shard.newGroup(s.now, "e")
	out = append(out, empty.record((*member).currentAssignment))
	return append(out, tombstones(&forgotten{group: "g", keys: []offsetKey{{"t", 3}}, drop: g})...)
}

func TestRecordsOfUnknownKindsAreToldApart(t *testing.T) {
	for _, c := range []struct {
		name  string
		r     record
		known bool
		fails bool
	}{
		{"consumer group (KIP-848)", record{key: []byte{0, 3, 0, 1, 'g'}, value: []byte{0, 0}}, false, false},
		{"something to come", record{key: []byte{0x7f, 0xff}}, false, false},
		{"no key", record{value: []byte{1}}, false, true},
		{"negative version", record{key: []byte{0xff, 0xff}}, false, true},
		{"offset key cut short", record{key: []byte{0, 1, 0, 9, 'g'}}, true, true},
		{"offset value cut short", record{key: offsetRecordKey(nil, "g", "t", 0), value: []byte{0, 4, 0}}, true, true},
		{"offset of a later version", record{key: offsetRecordKey(nil, "g", "t", 0), value: append([]byte{0, 5}, make([]byte, 40)...)}, true, true},
		{"group cut short", record{key: groupRecordKey("g"), value: []byte{0, 3, 0}}, true, true},
		{"offset tombstone for nothing", record{key: offsetRecordKey(nil, "g", "t", 0)}, true, false},
		{"group tombstone for nothing", record{key: groupRecordKey("g")}, true, false},
	} {
		s := newStage(t)
		known, err := s.shard.replay(&step{now: s.now}, 0, kafka.NoProducerID, c.r)
		if known != c.known || (err != nil) != c.fails {
			t.Errorf("%s: known %v, error %v", c.name, known, err)
		}
	}
}

// Older brokers wrote older versions; a log that was copied may hold them.
func TestOldRecordVersionsAreRead(t *testing.T) {
	s := newStage(t)
	st := &step{now: s.now}
	for version := int16(0); version <= 4; version++ {
		v := kmsg.NewOffsetCommitValue()
		v.Version, v.Offset, v.LeaderEpoch, v.Metadata, v.CommitTimestamp = version, int64(version), 7, "note", 1
		if _, err := s.shard.replay(st, 0, kafka.NoProducerID, record{key: offsetRecordKey(nil, "g", "t", int32(version)), value: v.AppendTo(nil)}); err != nil {
			t.Fatalf("offset version %d: %v", version, err)
		}
		want := int32(-1)
		if version >= 3 {
			want = 7
		}
		if c := s.shard.offsets["g"].get("t", int32(version)); c.offset != int64(version) || *c.metadata() != "note" || c.leaderEpoch != want {
			t.Errorf("offset version %d: %+v", version, c)
		}
	}
	for version := int16(0); version <= 4; version++ {
		v := kmsg.NewGroupMetadataValue()
		name, leader := "range", "m"
		v.Version, v.ProtocolType, v.Generation, v.Protocol, v.Leader, v.CurrentStateTimestamp = version, "consumer", 3, &name, &leader, 55
		m := kmsg.NewGroupMetadataValueMember()
		m.MemberID, m.SessionTimeoutMillis, m.RebalanceTimeoutMillis, m.Subscription = "m", 10_000, 60_000, subscription("t")
		v.Members = append(v.Members, m)
		if _, err := s.shard.replay(st, 0, kafka.NoProducerID, record{key: groupRecordKey("g"), value: v.AppendTo(nil)}); err != nil {
			t.Fatalf("group version %d: %v", version, err)
		}
		g := s.shard.groups["g"]
		wantSince, wantRebalance := int64(55), millis(60_000)
		if version < 2 {
			wantSince = noTimestamp
		}
		if version < 1 {
			wantRebalance = millis(10_000)
		}
		if g.state != Stable || g.generation != 3 || g.since != wantSince || g.members["m"].rebalanceTimeout != wantRebalance || !g.isSubscribed("t") || g.isSubscribed("u") {
			t.Errorf("group version %d: %+v", version, g)
		}
	}
	if got := s.shard.total.Load(); got != 1 {
		t.Errorf("%d groups are counted, want 1", got)
	}
}

func FuzzReplay(f *testing.F) {
	for _, r := range seedRecords(f) {
		f.Add(r.key, r.value)
	}
	f.Fuzz(func(t *testing.T, key, value []byte) {
		cfg := DefaultConfig()
		s := newShard(&cfg, func() string { return "id" }, new(atomic.Int64))
		st := &step{now: stageStart}
		before := seedRecords(t)
		for i, r := range append(before, record{key: key, value: value}) {
			s.replay(st, int64(i), kafka.NoProducerID, r)
		}
		st.actions = nil
		s.loaded(st)
		for id := range s.offsets {
			if s.groups[id] == nil {
				t.Fatalf("offsets of %q, which is no group", id)
			}
		}
		// Nothing that is kept may lie in the record's own bytes.
		is := everything(s)
		clear(key)
		clear(value)
		if now := everything(s); now != is {
			t.Fatalf("with the buffer, this\n%s\nhas become\n%s", is, now)
		}
	})
}

// everything is all that can be read of a shard.
func everything(s *shard) string {
	var b strings.Builder
	for _, g := range s.list(nil, nil) {
		d, f := s.describe(g.Group, 6), s.fetch(&kmsg.OffsetFetchRequestGroup{Group: g.Group}, false)
		fmt.Fprintf(&b, "%q %q %q %q\n", d.Group, d.State, d.ProtocolType, d.Protocol)
		for _, m := range d.Members {
			fmt.Fprintf(&b, " %q %q %q %q %q\n", m.MemberID, m.ClientID, m.ClientHost, m.ProtocolMetadata, m.MemberAssignment)
		}
		for _, t := range f.Topics {
			for _, p := range t.Partitions {
				fmt.Fprintf(&b, " %q %d %d %q\n", t.Topic, p.Partition, p.Offset, *p.Metadata)
			}
		}
	}
	return b.String()
}

func FuzzSubscription(f *testing.F) {
	f.Add(subscription("t", "u"))
	f.Add(subscription())
	f.Add([]byte{0, 3, 0, 0, 0, 1, 0, 200, 'x'})
	f.Add([]byte{0, 0, 0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, b []byte) {
		topics := map[string]struct{}{}
		ok := subscribedTopics(b, topics)
		var m kmsg.ConsumerMemberMetadata
		if m.ReadFrom(b) == nil && m.Version >= 0 && len(m.Topics) > 0 && !ok {
			t.Errorf("not understood, and yet a subscription to %v", m.Topics)
		}
		if ok && len(topics)*2 > len(b) {
			t.Errorf("%d topics in %d bytes", len(topics), len(b))
		}
	})
}
