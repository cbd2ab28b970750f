package group

import (
	"encoding/binary"
	"fmt"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
	"pgregory.net/rapid"

	"github.com/streamweir/streamweir/protocol/kafka"
)

// TestRandomTransactionalCommits plays random commits, in transactions and not,
// their markers, deletions and restarts, and compares every offset with what the
// log means by definition.
func TestRandomTransactionalCommits(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		s := newStage(t)
		offset := 0
		for range rapid.IntRange(1, 40).Draw(rt, "events") {
			offset++
			group := rapid.SampledFrom([]string{"g", "h"}).Draw(rt, "group")
			partition := rapid.IntRange(0, 1).Draw(rt, "partition")
			producer := rapid.IntRange(1, 3).Draw(rt, "producer")
			switch rapid.SampledFrom([]string{"commit", "txn", "txn", "marker", "marker", "delete", "drop", "restart"}).Draw(rt, "event") {
			case "commit":
				s.event(fmt.Sprintf("commit %s t:%d=%d", group, partition, offset))
			case "txn":
				s.event(fmt.Sprintf("txn-commit %s producer=%d t:%d=%d t:2=%d", group, producer, partition, offset, offset))
			case "marker":
				s.event(fmt.Sprintf("marker %s producer=%d", rapid.SampledFrom([]string{"commit", "abort"}).Draw(rt, "end"), producer))
			case "delete":
				s.event(fmt.Sprintf("delete-offsets %s t:%d", group, partition))
			case "drop":
				s.event("delete " + group)
			case "restart":
				s.event("restart")
			}
			for _, group := range []string{"g", "h"} {
				for partition := range int32(3) {
					checkOffset(rt, s, group, partition)
				}
			}
		}
	})
}

func checkOffset(t *rapid.T, s *stage, group string, partition int32) {
	want, unstable := meant(t, s.log, group, partition)
	req := &kmsg.OffsetFetchRequestGroup{Group: group, Topics: []kmsg.OffsetFetchRequestGroupTopic{{Topic: "t", Partitions: []int32{partition}}}}
	if got := s.shard.fetch(req, false).Topics[0].Partitions[0]; got.Offset != want || got.ErrorCode != 0 {
		t.Fatalf("%s t:%d is %d, code %d; want %d\n%s", group, partition, got.Offset, got.ErrorCode, want, s.out.String())
	}
	if got := s.shard.fetch(req, true).Topics[0].Partitions[0].ErrorCode == kerr.UnstableOffsetCommit.Code; got != unstable {
		t.Fatalf("%s t:%d is unstable: %v, want %v\n%s", group, partition, got, unstable, s.out.String())
	}
}

// meant works out from the log which offset is committed: the last one, behind
// the last deletion, that is outside of transactions or in one that committed;
// and whether there is one in a transaction that is open.
func meant(t *rapid.T, log []logged, group string, partition int32) (offset int64, unstable bool) {
	offset = -1
	for at, r := range log {
		if r.end != "" || binary.BigEndian.Uint16(r.key) == groupKeyVersion {
			continue
		}
		var k kmsg.OffsetCommitKey
		if err := k.ReadFrom(r.key); err != nil {
			t.Fatal(err)
		}
		if k.Group != group || k.Partition != partition {
			continue
		}
		if r.value == nil {
			offset, unstable = -1, false
			continue
		}
		v := kmsg.NewOffsetCommitValue()
		if err := v.ReadFrom(r.value); err != nil {
			t.Fatal(err)
		}
		end := "commit"
		if r.producer != kafka.NoProducerID {
			end = endOf(log[at:], r.producer)
		}
		switch end {
		case "":
			unstable = true
		case "commit":
			offset = v.Offset
		}
	}
	return offset, unstable
}

func endOf(log []logged, producer int64) string {
	for _, r := range log {
		if r.end != "" && r.producer == producer {
			return r.end
		}
	}
	return ""
}
