package kafkaapi

import (
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/streamweir/streamweir/broker/partition"
)

// ListOffsets, versions 1 to 11: by time, and the special timestamps below. All
// data is local, so the earliest local offset (KIP-405) is the log's start, and
// there is no tiered offset (KIP-1005) nor one that waits for an upload
// (KIP-1023).

// The special timestamps, and the first version that may use each.
const (
	timeLatest          = -1
	timeEarliest        = -2
	timeMax             = -3 // KIP-734
	timeEarliestLocal   = -4
	timeLatestTiered    = -5
	timeEarliestPending = -6
)

var timeSince = map[int64]int16{
	timeLatest: 0, timeEarliest: 0, timeMax: 7, timeEarliestLocal: 8, timeLatestTiered: 9, timeEarliestPending: 11,
}

func (s *Server) listOffsets(k *call) {
	req := k.req.(*kmsg.ListOffsetsRequest)
	resp := req.ResponseKind().(*kmsg.ListOffsetsResponse)
	count := map[string]map[int32]int{}
	for _, t := range req.Topics {
		if count[t.Topic] == nil {
			count[t.Topic] = map[int32]int{}
		}
		for _, p := range t.Partitions {
			count[t.Topic][p.Partition]++
		}
	}
	for _, t := range req.Topics {
		rt := kmsg.NewListOffsetsResponseTopic()
		rt.Topic = t.Topic
		for i := range t.Partitions {
			p := &t.Partitions[i]
			rp := kmsg.NewListOffsetsResponseTopicPartition()
			rp.Partition = p.Partition
			var found partition.Found
			var err error
			if count[t.Topic][p.Partition] > 1 {
				err = fmt.Errorf("%w: the partition is named twice", kerr.InvalidRequest)
			} else if err = isolationError(req.IsolationLevel); err == nil {
				found, err = s.findOffset(t.Topic, p, k.version, req.IsolationLevel == 1)
			}
			if err != nil {
				rp.ErrorCode = errorCode(err)
				found = partition.Found{Offset: -1, Timestamp: -1, Epoch: -1}
			}
			rp.Offset, rp.Timestamp, rp.LeaderEpoch = found.Offset, found.Timestamp, found.Epoch
			rt.Partitions = append(rt.Partitions, rp)
		}
		resp.Topics = append(resp.Topics, rt)
	}
	k.reply(resp)
}

func (s *Server) findOffset(topic string, rp *kmsg.ListOffsetsRequestTopicPartition, version int16, committed bool) (partition.Found, error) {
	none := partition.Found{Offset: -1, Timestamp: -1, Epoch: -1}
	if since, special := timeSince[rp.Timestamp]; rp.Timestamp < 0 && (!special || version < since) {
		return none, kerr.UnsupportedVersion
	}
	p, err := s.partitionFor(topic, rp.Partition)
	if err != nil {
		return none, err
	}
	if err := p.CheckEpoch(rp.CurrentLeaderEpoch); err != nil {
		return none, err
	}
	bounds := p.Offsets()
	end := bounds.High
	if committed {
		// With isolation level read_committed the log ends at the last stable offset.
		if bounds, err = p.StableOffsets(); err != nil {
			return none, err
		}
		end = bounds.LastStable
	}
	switch rp.Timestamp {
	case timeLatest:
		return partition.Found{Offset: end, Timestamp: -1, Epoch: p.EpochAt(end)}, nil
	case timeEarliest, timeEarliestLocal:
		return partition.Found{Offset: bounds.Start, Timestamp: -1, Epoch: p.EpochAt(bounds.Start)}, nil
	case timeLatestTiered, timeEarliestPending:
		return none, nil
	}
	var found partition.Found
	if rp.Timestamp == timeMax {
		found, err = p.OffsetOfMaxTime()
	} else {
		found, err = p.OffsetForTime(rp.Timestamp)
	}
	if err == nil && found.Offset >= end {
		return none, nil
	}
	return found, err
}
