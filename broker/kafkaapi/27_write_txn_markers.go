package kafkaapi

import (
	"fmt"
	"sync/atomic"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/streamweir/streamweir/broker/partition"
)

// WriteTxnMarkers, versions 1 and 2: the ends of transactions, as another
// coordinator sends them, or an administrator who aborts a hanging transaction.
// Version 2 tells the transaction version (KIP-1228). The answer comes when the
// markers are durable; those of __consumer_offsets are applied by then.

// maxMarkers bounds the markers of one request, which are all under way at once.
const maxMarkers = 100_000

func (s *Server) writeTxnMarkers(k *call) {
	req := k.req.(*kmsg.WriteTxnMarkersRequest)
	resp := req.ResponseKind().(*kmsg.WriteTxnMarkersResponse)
	var left atomic.Int32
	left.Store(1)
	one := func() {
		if left.Add(-1) == 0 {
			k.reply(resp)
		}
	}
	write := s.core.WriteTxnMarker
	if countMarkers(req) > maxMarkers {
		write = func(_ string, _ int32, m partition.Marker) {
			m.Done(fmt.Errorf("%w: a request may write up to %d markers", kerr.PolicyViolation, maxMarkers))
		}
	}
	resp.Markers = make([]kmsg.WriteTxnMarkersResponseMarker, len(req.Markers))
	for i := range req.Markers {
		m, out := &req.Markers[i], &resp.Markers[i]
		out.ProducerID = m.ProducerID
		out.Topics = make([]kmsg.WriteTxnMarkersResponseMarkerTopic, len(m.Topics))
		for j := range m.Topics {
			t, rt := &m.Topics[j], &out.Topics[j]
			rt.Topic = t.Topic
			rt.Partitions = make([]kmsg.WriteTxnMarkersResponseMarkerTopicPartition, len(t.Partitions))
			left.Add(int32(len(t.Partitions)))
			for n, index := range t.Partitions {
				rp := &rt.Partitions[n]
				rp.Partition = index
				write(t.Topic, index, partition.Marker{
					ProducerID: m.ProducerID, ProducerEpoch: m.ProducerEpoch, CoordinatorEpoch: m.CoordinatorEpoch,
					Commit: m.Committed, TransactionVersion: m.TransactionVersion,
					Done: func(err error) {
						rp.ErrorCode = errorCode(err)
						one()
					},
				})
			}
		}
	}
	one()
}

func countMarkers(req *kmsg.WriteTxnMarkersRequest) (n int) {
	for i := range req.Markers {
		for j := range req.Markers[i].Topics {
			n += len(req.Markers[i].Topics[j].Partitions)
		}
	}
	return n
}
