package wire

import (
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/streamweir/streamweir/integration/harness"
)

// txnLogAPIs are the keys of transactions that belong to the log and to groups.
func txnLogAPIs() []api {
	return []api{
		{key: 27, min: 1, max: 2, ask: askWriteTxnMarkers},
		{key: 28, min: 0, max: 5, ask: askTxnOffsetCommit},
		{key: 61, min: 0, max: 0, ask: askDescribeProducers},
	}
}

// markerReq ends the transaction of a producer in a partition.
func (e *env) markerReq(partition int32, producerID int64, epoch int16, commit bool) *kmsg.WriteTxnMarkersRequest {
	req := harness.At(kmsg.NewPtrWriteTxnMarkersRequest(), 1)
	m := kmsg.NewWriteTxnMarkersRequestMarker()
	m.ProducerID, m.ProducerEpoch, m.Committed = producerID, epoch, commit
	t := kmsg.NewWriteTxnMarkersRequestMarkerTopic()
	t.Topic, t.Partitions = e.topic, []int32{partition}
	m.Topics = append(m.Topics, t)
	req.Markers = append(req.Markers, m)
	return req
}

func askWriteTxnMarkers(e *env, v int16) (kmsg.Request, func(kmsg.Response) error) {
	at := e.listOffset(offsetsV, 1, -1).Offset
	req := e.markerReq(1, 1<<40+int64(v), 3, v == 1)
	req.Markers[0].Topics[0].Partitions = []int32{1, 99}
	req.Markers[0].TransactionVersion = 2
	return req, as(func(r *kmsg.WriteTxnMarkersResponse) error {
		if len(r.Markers) != 1 || len(r.Markers[0].Topics) != 1 || len(r.Markers[0].Topics[0].Partitions) != 2 {
			return errors.New("not one marker for two partitions")
		}
		codes := map[int32]int16{}
		for _, p := range r.Markers[0].Topics[0].Partitions {
			codes[p.Partition] = p.ErrorCode
		}
		p := e.fetch(e.fetchReq(fetchV, 1, at))
		bs := e.batches(p)
		if len(bs) != 1 {
			return fmt.Errorf("%d batches where the marker should be", len(bs))
		}
		return check(fault("marker", codes[1]), equal("code of no partition", codes[99], kerr.UnknownTopicOrPartition.Code),
			equal("producer", bs[0].ProducerID, 1<<40+int64(v)), equal("epoch", bs[0].ProducerEpoch, 3),
			equal("attributes", bs[0].Attributes, 0x30), equal("sequence", bs[0].FirstSequence, -1),
			equal("last stable offset", p.LastStableOffset, at+1))
	})
}

// askTxnOffsetCommit commits in a transaction that the coordinator does not know:
// what it refuses is told of each partition, and is not committed.
func askTxnOffsetCommit(e *env, v int16) (kmsg.Request, func(kmsg.Response) error) {
	group := harness.Name(e.t, "g")
	e.findGroup(group)
	req := kmsg.NewPtrTxnOffsetCommitRequest()
	req.TransactionalID, req.Group, req.ProducerID, req.ProducerEpoch = "nobody's", group, 1<<41, 0
	t := kmsg.NewTxnOffsetCommitRequestTopic()
	t.Topic = e.topic
	for _, partition := range []int32{0, 99} {
		p := kmsg.NewTxnOffsetCommitRequestTopicPartition()
		p.Partition, p.Offset = partition, 5
		t.Partitions = append(t.Partitions, p)
	}
	req.Topics = append(req.Topics, t)
	return req, as(func(r *kmsg.TxnOffsetCommitResponse) error {
		if len(r.Topics) != 1 || r.Topics[0].Topic != e.topic || len(r.Topics[0].Partitions) != 2 {
			return errors.New("not two partitions")
		}
		codes := map[int32]int16{}
		for _, p := range r.Topics[0].Partitions {
			codes[p.Partition] = p.ErrorCode
		}
		err := equal("code of no partition", codes[99], kerr.UnknownTopicOrPartition.Code)
		switch kerr.ErrorForCode(codes[0]) {
		case kerr.InvalidTxnState, kerr.InvalidProducerIDMapping:
			return err
		}
		return check(err, fmt.Errorf("an unknown transaction got %v", kerr.ErrorForCode(codes[0])))
	})
}

func askDescribeProducers(e *env, v int16) (kmsg.Request, func(kmsg.Response) error) {
	e.produce(1, harness.Batch{Records: harness.Values("a", "b"), Idempotent: true, ProducerID: 1 << 42, ProducerEpoch: 7, Sequence: 0, Timestamp: 1234})
	req := kmsg.NewPtrDescribeProducersRequest()
	t := kmsg.NewDescribeProducersRequestTopic()
	t.Topic, t.Partitions = e.topic, []int32{1, 99}
	req.Topics = append(req.Topics, t)
	return req, as(func(r *kmsg.DescribeProducersResponse) error {
		if len(r.Topics) != 1 || len(r.Topics[0].Partitions) != 2 {
			return errors.New("not two partitions")
		}
		ps := r.Topics[0].Partitions
		err := check(fault("describe producers", ps[0].ErrorCode), equal("code of no partition", ps[1].ErrorCode, kerr.UnknownTopicOrPartition.Code))
		for _, p := range ps[0].ActiveProducers {
			if p.ProducerID == 1<<42 {
				return check(err, equal("epoch", p.ProducerEpoch, 7), equal("last sequence", p.LastSequence, 1), equal("last timestamp", p.LastTimestamp, 1234),
					equal("coordinator epoch", p.CoordinatorEpoch, -1), equal("transaction start", p.CurrentTxnStartOffset, -1))
			}
		}
		return check(err, errors.New("the producer is not there"))
	})
}
