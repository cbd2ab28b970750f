package kafkaapi

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/streamweir/streamweir/broker/topic"
	"github.com/streamweir/streamweir/protocol/kafka"
)

// txnBroker is a broker whose transaction coordinator a test plays.
type txnBroker struct {
	*groupBroker
	mu     sync.Mutex
	asked  []string
	answer error
}

func startTxnBroker(t *testing.T) *txnBroker {
	t.Helper()
	x := &txnBroker{}
	x.groupBroker = startGroupBrokerWith(t, func(s *Server) { s.verify = x.verify })
	return x
}

func (x *txnBroker) verify(txn string, id int64, epoch int16, name string, partition int32, add bool, done func(error)) {
	x.mu.Lock()
	x.asked = append(x.asked, fmt.Sprintf("%s %d/%d %s-%d add=%v", txn, id, epoch, name, partition, add))
	answer := x.answer
	x.mu.Unlock()
	go done(answer) // a coordinator may take its time
}

func (x *txnBroker) say(err error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.answer, x.asked = err, nil
}

func (x *txnBroker) wantAsked(t *testing.T, want ...string) {
	t.Helper()
	x.mu.Lock()
	defer x.mu.Unlock()
	if !slices.Equal(x.asked, want) {
		t.Errorf("asked %q, want %q", x.asked, want)
	}
	x.asked = nil
}

func txnProduce(t *testing.T, v int16, b *txnBroker, id int64, epoch int16, seq int32, values ...string) *kmsg.ProduceRequest {
	t.Helper()
	var records []kafka.Record
	for _, value := range values {
		records = append(records, kafka.Record{Timestamp: 1_700_000_000_000, Value: []byte(value)})
	}
	batch, err := kafka.BuildBatch(nil, kafka.BatchOptions{Producer: &kafka.Producer{ID: id, Epoch: epoch, Sequence: seq}, Transactional: true}, records...)
	if err != nil {
		t.Fatal(err)
	}
	req := produceRequest("t", batch)
	req.Version, req.TransactionID = v, kmsg.StringPtr("x")
	req.Topics[0].TopicID = b.core.Topics.Topic("t").ID
	return req
}

func produced(r *kmsg.ProduceResponse) int16 { return r.Topics[0].Partitions[0].ErrorCode }

func markerOf(name string, partition int32, id int64, epoch int16, commit bool) *kmsg.WriteTxnMarkersRequest {
	req := kmsg.NewPtrWriteTxnMarkersRequest()
	req.Version = 1
	m := kmsg.NewWriteTxnMarkersRequestMarker()
	m.ProducerID, m.ProducerEpoch, m.Committed = id, epoch, commit
	mt := kmsg.NewWriteTxnMarkersRequestMarkerTopic()
	mt.Topic, mt.Partitions = name, []int32{partition}
	m.Topics = append(m.Topics, mt)
	req.Markers = append(req.Markers, m)
	return req
}

func marked(r *kmsg.WriteTxnMarkersResponse) int16 {
	return r.Markers[0].Topics[0].Partitions[0].ErrorCode
}

func TestTransactionalProduceIsVerified(t *testing.T) {
	b := startTxnBroker(t)
	c := b.dial(t)
	for v := int16(3); v <= 13; v++ {
		id := 100 + int64(v)
		b.say(nil)
		want(t, "first batch", produced(ask[*kmsg.ProduceResponse](c, txnProduce(t, v, b, id, 0, 0, "a"), nil)), nil)
		want(t, "second batch", produced(ask[*kmsg.ProduceResponse](c, txnProduce(t, v, b, id, 0, 1, "b"), nil)), nil)
		b.wantAsked(t, fmt.Sprintf("x %d/0 t-0 add=%v", id, v >= 12))
	}
}

// What the coordinator has against a batch is told as its producer can take it.
func TestVerificationErrors(t *testing.T) {
	b := startTxnBroker(t)
	c := b.dial(t)
	for _, x := range []struct {
		answer *kerr.Error
		v      int16
		want   *kerr.Error
	}{
		{kerr.InvalidTxnState, 9, kerr.InvalidTxnState},
		{kerr.InvalidTxnState, 12, kerr.InvalidTxnState},
		{kerr.NotCoordinator, 12, kerr.NotEnoughReplicas},
		{kerr.CoordinatorNotAvailable, 9, kerr.NotEnoughReplicas},
		{kerr.CoordinatorLoadInProgress, 13, kerr.NotEnoughReplicas},
		{kerr.NetworkException, 11, kerr.NotEnoughReplicas},
		{kerr.ConcurrentTransactions, 11, kerr.NotEnoughReplicas},
		{kerr.ConcurrentTransactions, 12, kerr.ConcurrentTransactions},
		{kerr.ProducerFenced, 12, kerr.InvalidProducerEpoch},
		{kerr.TransactionAbortable, 10, kerr.InvalidTxnState},
		{kerr.TransactionAbortable, 11, kerr.TransactionAbortable},
	} {
		b.say(fmt.Errorf("no: %w", x.answer))
		want(t, fmt.Sprintf("%s in version %d", x.answer.Message, x.v), produced(ask[*kmsg.ProduceResponse](c, txnProduce(t, x.v, b, 7, 0, 0, "a"), nil)), x.want)
	}
	if err := verificationError(errors.New("no code"), false, false); errorCode(err) != kerr.UnknownServerError.Code {
		t.Errorf("an error without a code became %v", err)
	}
}

func TestTransactionalProduceThatIsRefused(t *testing.T) {
	b := startTxnBroker(t)
	c := b.dial(t)
	req := txnProduce(t, 9, b, 7, 0, 0, "a")
	req.TransactionID = nil
	want(t, "no transactional id", produced(ask[*kmsg.ProduceResponse](c, req, nil)), kerr.TransactionalIDAuthorizationFailed)
	req = txnProduce(t, 9, b, 7, 0, 0, "a")
	req.Topics[0].Partitions = append(req.Topics[0].Partitions, txnProduce(t, 9, b, 8, 0, 0, "a").Topics[0].Partitions[0])
	want(t, "two producers", produced(ask[*kmsg.ProduceResponse](c, req, nil)), kerr.InvalidProducerIDMapping)
	b.wantAsked(t)
}

// Where the transaction coordinator is not there yet, its batches are to be sent
// again.
func TestTransactionsWithoutTheirCoordinator(t *testing.T) {
	b := &txnBroker{groupBroker: startGroupBroker(t)}
	want(t, "produce", produced(ask[*kmsg.ProduceResponse](b.dial(t), txnProduce(t, 9, b, 7, 0, 0, "a"), nil)), kerr.NotEnoughReplicas)
}

func committedFetch(b *txnBroker, v int16, offset int64) *kmsg.FetchRequest {
	req := kmsg.NewPtrFetchRequest()
	req.Version, req.ReplicaID, req.MaxBytes, req.SessionEpoch, req.IsolationLevel = v, -1, 1<<20, -1, 1
	rt := kmsg.NewFetchRequestTopic()
	rt.Topic, rt.TopicID = "t", b.core.Topics.Topic("t").ID
	rp := kmsg.NewFetchRequestTopicPartition()
	rp.FetchOffset, rp.PartitionMaxBytes = offset, 1<<20
	rt.Partitions = append(rt.Partitions, rp)
	req.Topics = append(req.Topics, rt)
	return req
}

func TestReadCommittedFetchInEveryVersion(t *testing.T) {
	b := startTxnBroker(t)
	c := b.dial(t)
	for i, id := range []int64{1, 2, 3} { // offsets 0, 1, 2
		want(t, "produce", produced(ask[*kmsg.ProduceResponse](c, txnProduce(t, 9, b, id, 0, 0, fmt.Sprint(i)), nil)), nil)
	}
	want(t, "abort", marked(ask[*kmsg.WriteTxnMarkersResponse](c, markerOf("t", 0, 1, 0, false), nil)), nil)
	want(t, "commit", marked(ask[*kmsg.WriteTxnMarkersResponse](c, markerOf("t", 0, 2, 0, true), nil)), nil)
	versionsAre(t, kafka.Fetch, 4, 18, func(t *testing.T, v int16) {
		p := ask[*kmsg.FetchResponse](c, committedFetch(b, v, 0), nil).Topics[0].Partitions[0]
		if p.LastStableOffset != 2 || p.HighWatermark != 5 || len(p.AbortedTransactions) != 1 ||
			p.AbortedTransactions[0].ProducerID != 1 || p.AbortedTransactions[0].FirstOffset != 0 {
			t.Errorf("stable up to %d of %d, aborted %+v", p.LastStableOffset, p.HighWatermark, p.AbortedTransactions)
		}
		n := 0
		for rest := p.RecordBatches; len(rest) > 0; n++ {
			var err error
			if _, rest, err = kafka.NextBatch(rest); err != nil {
				t.Fatal(err)
			}
		}
		if n != 2 {
			t.Errorf("%d batches are below the last stable offset", n)
		}
		req := committedFetch(b, v, 0)
		req.IsolationLevel = 0
		if p := ask[*kmsg.FetchResponse](c, req, nil).Topics[0].Partitions[0]; p.LastStableOffset != 2 || p.AbortedTransactions != nil {
			t.Errorf("read uncommitted: stable up to %d, aborted %v", p.LastStableOffset, p.AbortedTransactions)
		}
	})
	for isolation, end := range map[int8]int64{0: 5, 1: 2} {
		req := kmsg.NewPtrListOffsetsRequest()
		req.Version, req.ReplicaID, req.IsolationLevel = 9, -1, isolation
		rt := kmsg.NewListOffsetsRequestTopic()
		rt.Topic = "t"
		rp := kmsg.NewListOffsetsRequestTopicPartition()
		rp.Timestamp, rp.CurrentLeaderEpoch = timeLatest, -1
		rt.Partitions = append(rt.Partitions, rp)
		req.Topics = append(req.Topics, rt)
		if p := ask[*kmsg.ListOffsetsResponse](c, req, nil).Topics[0].Partitions[0]; p.Offset != end {
			t.Errorf("isolation level %d: the log ends at %d, want %d", isolation, p.Offset, end)
		}
	}
}

// A read-committed fetch that waits is answered when the transaction ends.
func TestReadCommittedFetchWakesUp(t *testing.T) {
	b := startTxnBroker(t)
	c, other := b.dial(t), b.dial(t)
	want(t, "produce", produced(ask[*kmsg.ProduceResponse](c, txnProduce(t, 9, b, 1, 0, 0, "a"), nil)), nil)
	req := committedFetch(b, 12, 0)
	req.MinBytes, req.MaxWaitMillis = 1, 15_000
	c.send(req)
	want(t, "produce", produced(ask[*kmsg.ProduceResponse](other, txnProduce(t, 9, b, 1, 0, 1, "b"), nil)), nil)
	want(t, "commit", marked(ask[*kmsg.WriteTxnMarkersResponse](other, markerOf("t", 0, 1, 0, true), nil)), nil)
	if p := c.receive(req).(*kmsg.FetchResponse).Topics[0].Partitions[0]; p.LastStableOffset != 3 || len(p.RecordBatches) == 0 {
		t.Errorf("stable up to %d, %d bytes", p.LastStableOffset, len(p.RecordBatches))
	}
}

func TestTxnOffsetCommitInEveryVersion(t *testing.T) {
	b := startTxnBroker(t)
	c := b.dial(t)
	index := b.core.Groups.PartitionFor("g")
	<-b.core.Groups.Load(index)
	versionsAre(t, kafka.TxnOffsetCommit, 0, 5, func(t *testing.T, v int16) {
		id, offset := 50+int64(v), 10*int64(v+1)
		b.say(nil)
		req := kmsg.NewPtrTxnOffsetCommitRequest()
		req.Version, req.TransactionalID, req.Group, req.ProducerID = v, "x", "g", id
		rt := kmsg.NewTxnOffsetCommitRequestTopic()
		rt.Topic, rt.Partitions = "t", []kmsg.TxnOffsetCommitRequestTopicPartition{{Partition: 0, Offset: offset, LeaderEpoch: -1}, {Partition: 9}}
		req.Topics = append(req.Topics, rt)
		first := func(r *kmsg.TxnOffsetCommitResponse) int16 { return r.Topics[0].Partitions[0].ErrorCode }
		resp := ask(c, req, first)
		want(t, "commit", first(resp), nil)
		want(t, "no partition", resp.Topics[0].Partitions[1].ErrorCode, kerr.UnknownTopicOrPartition)
		b.wantAsked(t, fmt.Sprintf("x %d/0 %s-%d add=%v", id, topic.ConsumerOffsets, index, v >= 5))

		get := kmsg.NewPtrOffsetFetchRequest()
		get.Version, get.RequireStable, get.Group = 7, true, "g"
		get.Topics = []kmsg.OffsetFetchRequestTopic{{Topic: "t", Partitions: []int32{0}}}
		stable := func() kmsg.OffsetFetchResponseTopicPartition {
			return ask[*kmsg.OffsetFetchResponse](c, get, nil).Topics[0].Partitions[0]
		}
		want(t, "fetch of an unstable offset", stable().ErrorCode, kerr.UnstableOffsetCommit)
		want(t, "marker", marked(ask[*kmsg.WriteTxnMarkersResponse](c, markerOf(topic.ConsumerOffsets, index, id, 0, true), nil)), nil)
		if p := stable(); p.ErrorCode != 0 || p.Offset != offset {
			t.Errorf("fetched %d, code %d; want %d", p.Offset, p.ErrorCode, offset)
		}

		req.Group = ""
		want(t, "no group", first(ask[*kmsg.TxnOffsetCommitResponse](c, req, nil)), kerr.InvalidGroupID)
		req.Group, req.ProducerID = "g", id+100
		b.say(kerr.NotCoordinator)
		want(t, "transaction coordinator elsewhere", first(ask[*kmsg.TxnOffsetCommitResponse](c, req, nil)), kerr.CoordinatorNotAvailable)
		b.say(kerr.ProducerFenced)
		// It may still be among those who wait for the answer before.
		want(t, "fenced", first(ask(c, req, first)), kerr.InvalidProducerEpoch)
	})
}

// Markers for groups wait for their coordinator, and say so as Apache Kafka does.
func TestMarkersForGroupsWithoutACoordinator(t *testing.T) {
	b := startTxnBroker(t)
	index := b.core.Groups.PartitionFor("g")
	b.core.Groups.Unload(index)
	c := b.dial(t)
	want(t, "marker", marked(ask[*kmsg.WriteTxnMarkersResponse](c, markerOf(topic.ConsumerOffsets, index, 1, 0, true), nil)), kerr.NotLeaderForPartition)
	<-b.core.Groups.Load(index)
	want(t, "marker", marked(ask[*kmsg.WriteTxnMarkersResponse](c, markerOf(topic.ConsumerOffsets, index, 1, 0, true), nil)), nil)
	want(t, "no topic", marked(ask[*kmsg.WriteTxnMarkersResponse](c, markerOf("nosuch", 0, 1, 0, true), nil)), kerr.UnknownTopicOrPartition)
}

// What one request can ask for is bounded.
func TestLimitsOfTransactionRequests(t *testing.T) {
	b := startTxnBroker(t)
	c := b.dial(t)
	req := markerOf("t", 0, 1, 0, true)
	req.Markers[0].Topics[0].Partitions = make([]int32, maxMarkers+1)
	for _, p := range ask[*kmsg.WriteTxnMarkersResponse](c, req, nil).Markers[0].Topics[0].Partitions {
		if p.ErrorCode != kerr.PolicyViolation.Code {
			t.Fatalf("too many markers: code %d", p.ErrorCode)
		}
	}
	want(t, "produce", produced(ask[*kmsg.ProduceResponse](c, txnProduce(t, 9, b, 1, 0, 0, "a"), nil)), nil)
	describe := kmsg.NewPtrDescribeProducersRequest()
	describe.Topics = []kmsg.DescribeProducersRequestTopic{{Topic: "t", Partitions: []int32{0, 0}}, {Topic: "nosuch", Partitions: []int32{0}}}
	resp := ask[*kmsg.DescribeProducersResponse](c, describe, nil)
	ps := resp.Topics[0].Partitions
	want(t, "first", ps[0].ErrorCode, nil)
	want(t, "twice", ps[1].ErrorCode, kerr.InvalidRequest)
	want(t, "no topic", resp.Topics[1].Partitions[0].ErrorCode, kerr.UnknownTopicOrPartition)
	if len(ps[0].ActiveProducers) != 1 || ps[0].ActiveProducers[0].CurrentTxnStartOffset != 0 {
		t.Errorf("%+v", ps[0].ActiveProducers)
	}
}

// TestMarkerOfNoCoordinatorIsRefused: it fenced the true one, whose transaction
// then could never end, and the last stable offset stood still.
func TestMarkerOfNoCoordinatorIsRefused(t *testing.T) {
	b := startTxnBroker(t)
	c := b.dial(t)
	want(t, "produce", produced(ask[*kmsg.ProduceResponse](c, txnProduce(t, 9, b, 1, 0, 0, "a"), nil)), nil)
	stray := markerOf("t", 0, 1, 0, true)
	stray.Markers[0].CoordinatorEpoch = math.MaxInt32
	want(t, "stray marker", marked(ask[*kmsg.WriteTxnMarkersResponse](c, stray, nil)), kerr.InvalidRequest)
	want(t, "marker", marked(ask[*kmsg.WriteTxnMarkersResponse](c, markerOf("t", 0, 1, 0, true), nil)), nil)
}
