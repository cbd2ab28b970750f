package kafkaapi

import (
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/streamweir/streamweir/broker/topic"
)

// DescribeTopicPartitions, version 0: partitions of the topics that are asked
// for, or of all, in order of name, in pages. A page has at most as many
// partitions as the request and max.request.partition.size.limit allow, and at
// least one; the cursor says where the next begins.

func (s *Server) describeTopicPartitions(k *call) {
	req := k.req.(*kmsg.DescribeTopicPartitionsRequest)
	resp := req.ResponseKind().(*kmsg.DescribeTopicPartitionsResponse)
	names, err := s.topicsFromCursor(req)
	if err != nil {
		for _, t := range req.Topics {
			resp.Topics = append(resp.Topics, unknownTopicPartitions(t.Topic, err, unknownOperations))
		}
		k.reply(resp)
		return
	}
	left := max(min(s.core.Config().MaxRequestPartitionSizeLimit, req.ResponsePartitionLimit), 1)
	for _, name := range names {
		if left == 0 {
			resp.NextCursor = partitionCursor(name, 0)
			break
		}
		t, err := s.core.Topics.Describable(name)
		if err != nil {
			if len(req.Topics) > 0 { // else it was deleted since
				resp.Topics = append(resp.Topics, unknownTopicPartitions(name, err, topicOperations))
			}
			continue
		}
		first := int32(0)
		if req.Cursor != nil && req.Cursor.Topic == name {
			first = req.Cursor.Partition
		}
		rt := s.topicPartitions(t, first, left)
		resp.Topics = append(resp.Topics, rt)
		left -= int32(len(rt.Partitions))
		if next := first + int32(len(rt.Partitions)); len(rt.Partitions) > 0 && next < t.Partitions {
			resp.NextCursor = partitionCursor(name, next)
			break
		}
	}
	k.reply(resp)
}

// topicsFromCursor lists the names to answer for, sorted, from the cursor on.
func (s *Server) topicsFromCursor(req *kmsg.DescribeTopicPartitionsRequest) ([]string, error) {
	var names []string
	for _, t := range req.Topics {
		names = append(names, t.Topic)
	}
	if len(req.Topics) == 0 {
		for _, t := range s.core.Topics.Topics() {
			names = append(names, t.Name)
		}
	}
	slices.Sort(names)
	names = slices.Compact(names)
	if req.Cursor == nil {
		return names, nil
	}
	if req.Cursor.Partition < 0 {
		return nil, topic.Refuse(kerr.InvalidRequest, "the cursor's partition is %d", req.Cursor.Partition)
	}
	if len(req.Topics) > 0 && !slices.Contains(names, req.Cursor.Topic) {
		return nil, topic.Refuse(kerr.InvalidRequest, "the cursor is at topic %s, which the request does not name", req.Cursor.Topic)
	}
	i, _ := slices.BinarySearchFunc(names, req.Cursor.Topic, strings.Compare)
	return names[i:], nil
}

func (s *Server) topicPartitions(t *topic.Topic, first, limit int32) kmsg.DescribeTopicPartitionsResponseTopic {
	rt := kmsg.NewDescribeTopicPartitionsResponseTopic()
	rt.Topic, rt.TopicID, rt.IsInternal, rt.AuthorizedOperations = &t.Name, t.ID, t.Internal, topicOperations
	replicas := []int32{s.core.NodeID()}
	for i := first; i < t.Partitions && i-first < limit; i++ {
		rp := kmsg.NewDescribeTopicPartitionsResponseTopicPartition()
		rp.Partition, rp.LeaderID, rp.LeaderEpoch = i, s.core.NodeID(), s.core.Partitions.Epoch()
		rp.Replicas, rp.ISR = replicas, replicas
		rp.EligibleLeaderReplicas, rp.LastKnownELR = []int32{}, []int32{}
		rt.Partitions = append(rt.Partitions, rp)
	}
	return rt
}

func unknownTopicPartitions(name string, err error, operations int32) kmsg.DescribeTopicPartitionsResponseTopic {
	rt := kmsg.NewDescribeTopicPartitionsResponseTopic()
	rt.Topic, rt.ErrorCode, rt.AuthorizedOperations = &name, errorCode(err), operations
	return rt
}

func partitionCursor(name string, partition int32) *kmsg.DescribeTopicPartitionsResponseNextCursor {
	c := kmsg.NewDescribeTopicPartitionsResponseNextCursor()
	c.Topic, c.Partition = name, partition
	return &c
}
