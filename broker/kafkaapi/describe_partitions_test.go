package kafkaapi

import (
	"fmt"
	"path/filepath"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/streamweir/streamweir/protocol/kafka"
)

// The pages are those that Apache Kafka 4.3.1 gives to the same requests.
func TestDescribeTopicPartitions(t *testing.T) {
	a := newAdmin(t, "max.request.partition.size.limit=4")
	tpa := a.create("tpa", 3)
	a.create("tpb", 2)
	page := func(limit int32, cursor string, at int32, topics ...string) (got []string) {
		t.Helper()
		req := kmsg.NewPtrDescribeTopicPartitionsRequest()
		req.ResponsePartitionLimit = limit
		for _, name := range topics {
			req.Topics = append(req.Topics, kmsg.DescribeTopicPartitionsRequestTopic{Topic: name})
		}
		if cursor != "" {
			req.Cursor = &kmsg.DescribeTopicPartitionsRequestCursor{Topic: cursor, Partition: at}
		}
		resp := a.ask(0, req).(*kmsg.DescribeTopicPartitionsResponse)
		for _, rt := range resp.Topics {
			line := *rt.Topic
			for _, p := range rt.Partitions {
				line += fmt.Sprint(" ", p.Partition)
				if p.LeaderID != 1 || len(p.Replicas) != 1 || len(p.ISR) != 1 || p.ErrorCode != 0 || p.EligibleLeaderReplicas == nil || p.LastKnownELR == nil {
					t.Errorf("%+v", p)
				}
			}
			if rt.ErrorCode != 0 {
				line += " " + name(rt.ErrorCode)
			} else if rt.AuthorizedOperations != 3576 || *rt.Topic == "tpa" && rt.TopicID != tpa.ID {
				t.Errorf("%+v", rt)
			}
			got = append(got, line)
		}
		if c := resp.NextCursor; c != nil {
			got = append(got, fmt.Sprintf("next %s %d", c.Topic, c.Partition))
		}
		return got
	}
	wantLines(t, page(2000, "", 0), "tpa 0 1 2", "tpb 0", "next tpb 1")
	wantLines(t, page(2, "", 0, "tpb", "tpa"), "tpa 0 1", "next tpa 2")
	wantLines(t, page(2, "tpa", 2, "tpb", "tpa"), "tpa 2", "tpb 0", "next tpb 1")
	wantLines(t, page(2, "tpa", 3, "tpb", "tpa"), "tpa", "tpb 0 1")
	wantLines(t, page(2, "tpb", 1), "tpb 1")
	wantLines(t, page(2, "tpab", 7), "tpb 0 1")
	wantLines(t, page(2, "tpz", 0, "tpb", "tpa"), "tpb INVALID_REQUEST", "tpa INVALID_REQUEST")
	wantLines(t, page(2, "tpa", -1, "tpb", "tpa"), "tpb INVALID_REQUEST", "tpa INVALID_REQUEST")
	wantLines(t, page(2, "tpz", 0))
	wantLines(t, page(0, "", 0, "tpa"), "tpa 0", "next tpa 1")
	wantLines(t, page(-1, "", 0, "tpa"), "tpa 0", "next tpa 1")
	wantLines(t, page(2, "nope", 0, "nope", "tpa"), "nope UNKNOWN_TOPIC_OR_PARTITION", "tpa 0 1", "next tpa 2")
	wantLines(t, page(3, "", 0, "tpa", "tpb", "nope"), "nope UNKNOWN_TOPIC_OR_PARTITION", "tpa 0 1 2", "next tpb 0")
	wantLines(t, page(3, "", 0, "tpb", "a b", "", "tpb"), " INVALID_TOPIC_EXCEPTION", "a b INVALID_TOPIC_EXCEPTION", "tpb 0 1")
	wantLines(t, page(2, "tpa", 2147483647, "tpa"), "tpa")
}

func TestDescribeLogDirs(t *testing.T) {
	versions(t, kafka.DescribeLogDirs, func(t *testing.T, v int16) {
		a := newAdmin(t, "data.dir=some/dir")
		a.create("x", 2)
		a.create("y", 1)
		describe := func(topics []kmsg.DescribeLogDirsRequestTopic) (got []string) {
			req := kmsg.NewPtrDescribeLogDirsRequest()
			req.Topics = topics
			resp := a.ask(v, req).(*kmsg.DescribeLogDirsResponse)
			if resp.ErrorCode != 0 || len(resp.Dirs) != 1 || resp.Dirs[0].ErrorCode != 0 || !filepath.IsAbs(resp.Dirs[0].Dir) || filepath.Base(resp.Dirs[0].Dir) != "dir" {
				t.Fatalf("%+v", resp)
			}
			for _, rt := range resp.Dirs[0].Topics {
				line := rt.Topic
				for _, p := range rt.Partitions {
					line += fmt.Sprint(" ", p.Partition, ":", p.Size)
				}
				got = append(got, line)
			}
			return got
		}
		wantLines(t, describe(nil), "x 0:0 1:0", "y 0:0")
		wantLines(t, describe([]kmsg.DescribeLogDirsRequestTopic{}))
		wantLines(t, describe([]kmsg.DescribeLogDirsRequestTopic{{Topic: "x", Partitions: []int32{1, 7, -1}}, {Topic: "none", Partitions: []int32{0}},
			{Topic: "x", Partitions: []int32{0, 1}}, {Topic: "y"}}), "x 0:0 1:0")
	})
}
