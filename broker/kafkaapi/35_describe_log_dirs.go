package kafkaapi

import (
	"errors"
	"path/filepath"
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/streamweir/streamweir/broker/topic"
	"github.com/streamweir/streamweir/storage"
)

// DescribeLogDirs, versions 1 to 5. There is one directory, data.dir. A
// partition's size is that of its record batches; what is not there is left
// out. Total and usable bytes (4+) are the file system's, usable without what
// storage.reserve.bytes keeps free.

func (s *Server) describeLogDirs(k *call) {
	req := k.req.(*kmsg.DescribeLogDirsRequest)
	resp := req.ResponseKind().(*kmsg.DescribeLogDirsResponse)
	dir := kmsg.NewDescribeLogDirsResponseDir()
	dir.Dir = s.cfg.DataDir
	if abs, err := filepath.Abs(dir.Dir); err == nil {
		dir.Dir = abs
	}
	if errors.Is(s.core.Health(), storage.ErrFailed) {
		dir.ErrorCode = kerr.KafkaStorageError.Code
	}
	usage := s.core.Usage()
	dir.TotalBytes, dir.UsableBytes = usage.Total, max(usage.Free-usage.Reserve, 0)
	if req.Topics == nil {
		for _, t := range s.core.Topics.Topics() {
			dir.Topics = append(dir.Topics, s.topicSizes(t, nil))
		}
	} else {
		dir.Topics = s.sizesOf(req.Topics)
	}
	resp.Dirs = append(resp.Dirs, dir)
	k.reply(resp)
}

// sizesOf answers for the partitions that are asked for, each once.
func (s *Server) sizesOf(asked []kmsg.DescribeLogDirsRequestTopic) []kmsg.DescribeLogDirsResponseDirTopic {
	var out []kmsg.DescribeLogDirsResponseDirTopic
	wanted := map[string][]int32{}
	for _, t := range asked {
		wanted[t.Topic] = append(wanted[t.Topic], t.Partitions...)
	}
	for _, a := range asked {
		partitions := wanted[a.Topic]
		delete(wanted, a.Topic)
		t := s.core.Topics.Topic(a.Topic)
		if t == nil || len(partitions) == 0 {
			continue
		}
		slices.Sort(partitions)
		if sizes := s.topicSizes(t, slices.Compact(partitions)); len(sizes.Partitions) > 0 {
			out = append(out, sizes)
		}
	}
	return out
}

// topicSizes answers for these partitions of a topic, or for all where there
// are none.
func (s *Server) topicSizes(t *topic.Topic, partitions []int32) kmsg.DescribeLogDirsResponseDirTopic {
	rt := kmsg.NewDescribeLogDirsResponseDirTopic()
	rt.Topic = t.Name
	add := func(index int32) {
		p := s.core.Partitions.Get(t.ID, index)
		if p == nil {
			return
		}
		rp := kmsg.NewDescribeLogDirsResponseDirTopicPartition()
		rp.Partition, rp.Size = index, p.Size()
		rt.Partitions = append(rt.Partitions, rp)
	}
	if partitions == nil {
		for i := range t.Partitions {
			add(i)
		}
	}
	for _, i := range partitions {
		add(i)
	}
	return rt
}
