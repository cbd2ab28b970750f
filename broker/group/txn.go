package group

import (
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// TxnOffsetCommit serves one TxnOffsetCommit request, whose topics exist. guard
// is what partition.Verify gave for the group's partition of __consumer_offsets.
func (c *Coordinator) TxnOffsetCommit(req *kmsg.TxnOffsetCommitRequest, guard uint64, reply func(*kmsg.TxnOffsetCommitResponse)) {
	resp := newTxnCommitResponse(req)
	refuseTxnCommit(resp, kerr.InvalidTxnState)
	reply(resp)
}

// CompletesTransactions is nil, or why transactions cannot be ended in a
// partition of __consumer_offsets now.
func (c *Coordinator) CompletesTransactions(partition int32) error {
	s := &c.seats[partition]
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := c.refuses(s); err != nil {
		return err
	}
	return nil
}

// CompleteTransaction takes over, or drops, the offsets that a producer has
// committed in a transaction, whose end is durable at the offset at.
func (c *Coordinator) CompleteTransaction(partition int32, producerID, at int64, commit bool) {}

// newTxnCommitResponse answers every partition of the request with success.
func newTxnCommitResponse(req *kmsg.TxnOffsetCommitRequest) *kmsg.TxnOffsetCommitResponse {
	resp := &kmsg.TxnOffsetCommitResponse{Version: req.Version, Topics: make([]kmsg.TxnOffsetCommitResponseTopic, len(req.Topics))}
	for i := range req.Topics {
		t := &req.Topics[i]
		rt := kmsg.TxnOffsetCommitResponseTopic{Topic: t.Topic, Partitions: make([]kmsg.TxnOffsetCommitResponseTopicPartition, len(t.Partitions))}
		for j := range t.Partitions {
			rt.Partitions[j].Partition = t.Partitions[j].Partition
		}
		resp.Topics[i] = rt
	}
	return resp
}

func refuseTxnCommit(resp *kmsg.TxnOffsetCommitResponse, err *kerr.Error) {
	for i := range resp.Topics {
		for j := range resp.Topics[i].Partitions {
			resp.Topics[i].Partitions[j].ErrorCode = err.Code
		}
	}
}
