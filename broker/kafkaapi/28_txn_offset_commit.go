package kafkaapi

import (
	"errors"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/streamweir/streamweir/broker/partition"
	"github.com/streamweir/streamweir/broker/topic"
)

// TxnOffsetCommit, versions 0 to 5: offsets that take effect when a transaction
// commits (KIP-447). Version 3 says which member of the group commits. From
// version 5 on, the first commit adds the group's partition of
// __consumer_offsets to the transaction (KIP-890); before, it has to be part of
// it already. The answer comes when the offsets are durable.

const (
	txnCommitLoading   = 2 // first version whose clients know COORDINATOR_LOAD_IN_PROGRESS
	txnCommitAbortable = 4 // first version whose clients know TRANSACTION_ABORTABLE
	txnCommitAdds      = 5
)

func (s *Server) txnOffsetCommit(k *call) {
	req := k.req.(*kmsg.TxnOffsetCommitRequest)
	refused := s.splitTxnCommit(req)
	answer := func(resp *kmsg.TxnOffsetCommitResponse) {
		resp.Topics = mergeTxnCommit(resp.Topics, refused)
		k.reply(resp)
	}
	if len(req.Topics) == 0 {
		answer(req.ResponseKind().(*kmsg.TxnOffsetCommitResponse))
		return
	}
	if req.Group == "" {
		answer(refusedTxnCommit(req, kerr.InvalidGroupID))
		return
	}
	commit := func(guard uint64) {
		s.core.Groups.TxnOffsetCommit(req, s.topicID, guard, func(resp *kmsg.TxnOffsetCommitResponse) {
			if req.Version < txnCommitLoading {
				forgetLoading(resp)
			}
			answer(resp)
		})
	}
	index := s.core.Groups.PartitionFor(req.Group)
	p, err := s.partitionFor(topic.ConsumerOffsets, index)
	if err != nil {
		commit(0) // there is no coordinator, which says so
		return
	}
	v := partition.Verification{ProducerID: req.ProducerID, Epoch: req.ProducerEpoch, Sequence: 0, Bumps: req.Version >= txnCommitAdds}
	p.Verify(v, func(done func(error)) {
		s.verify(req.TransactionalID, req.ProducerID, req.ProducerEpoch, topic.ConsumerOffsets, index, v.Bumps, done)
	}, func(guard uint64, err error) {
		if err != nil {
			answer(refusedTxnCommit(req, txnCommitError(verificationError(err, v.Bumps, req.Version >= txnCommitAbortable))))
			return
		}
		commit(guard)
	})
}

// topicID is the id of a topic, zero where it does not exist.
func (s *Server) topicID(name string) [16]byte {
	if t := s.core.Topics.Topic(name); t != nil {
		return t.ID
	}
	return [16]byte{}
}

// txnCommitError turns the errors of a produce into those of a commit.
func txnCommitError(err error) *kerr.Error {
	var code *kerr.Error
	switch {
	case !errors.As(err, &code):
		return kerr.UnknownServerError
	case code == kerr.NotEnoughReplicas:
		return kerr.CoordinatorNotAvailable // try again
	case code == kerr.NotLeaderForPartition, code == kerr.KafkaStorageError:
		return kerr.NotCoordinator
	}
	return code
}

func forgetLoading(resp *kmsg.TxnOffsetCommitResponse) {
	for i := range resp.Topics {
		for j := range resp.Topics[i].Partitions {
			if p := &resp.Topics[i].Partitions[j]; p.ErrorCode == kerr.CoordinatorLoadInProgress.Code {
				p.ErrorCode = kerr.CoordinatorNotAvailable.Code
			}
		}
	}
}

func refusedTxnCommit(req *kmsg.TxnOffsetCommitRequest, err *kerr.Error) *kmsg.TxnOffsetCommitResponse {
	resp := req.ResponseKind().(*kmsg.TxnOffsetCommitResponse)
	for _, t := range req.Topics {
		rt := kmsg.NewTxnOffsetCommitResponseTopic()
		rt.Topic = t.Topic
		for _, p := range t.Partitions {
			rt.Partitions = append(rt.Partitions, kmsg.TxnOffsetCommitResponseTopicPartition{Partition: p.Partition, ErrorCode: err.Code})
		}
		resp.Topics = append(resp.Topics, rt)
	}
	return resp
}

// splitTxnCommit takes out of the request what does not exist, and returns the
// answers for that.
func (s *Server) splitTxnCommit(req *kmsg.TxnOffsetCommitRequest) (refused []kmsg.TxnOffsetCommitResponseTopic) {
	known := req.Topics[:0]
	for _, t := range req.Topics {
		out := kmsg.NewTxnOffsetCommitResponseTopic()
		out.Topic = t.Topic
		exists := int32(0)
		if found := s.core.Topics.Topic(t.Topic); found != nil {
			exists = found.Partitions
		}
		partitions := t.Partitions
		t.Partitions = partitions[:0]
		for _, p := range partitions {
			if p.Partition >= 0 && p.Partition < exists {
				t.Partitions = append(t.Partitions, p)
				continue
			}
			out.Partitions = append(out.Partitions, kmsg.TxnOffsetCommitResponseTopicPartition{
				Partition: p.Partition, ErrorCode: kerr.UnknownTopicOrPartition.Code,
			})
		}
		if len(t.Partitions) > 0 {
			known = append(known, t)
		}
		if len(out.Partitions) > 0 {
			refused = append(refused, out)
		}
	}
	req.Topics = known
	return refused
}

// mergeTxnCommit puts answers for the same topic together.
func mergeTxnCommit(topics, more []kmsg.TxnOffsetCommitResponseTopic) []kmsg.TxnOffsetCommitResponseTopic {
next:
	for _, m := range more {
		for i := range topics {
			if t := &topics[i]; t.Topic == m.Topic {
				t.Partitions = append(t.Partitions, m.Partitions...)
				continue next
			}
		}
		topics = append(topics, m)
	}
	return topics
}
