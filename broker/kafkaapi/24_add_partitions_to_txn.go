package kafkaapi

import (
	"sync/atomic"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/streamweir/streamweir/broker/topic"
	"github.com/streamweir/streamweir/broker/txn"
)

// AddPartitionsToTxn, versions 0 to 5. Versions 0 to 3 come from clients, with
// one transaction; from 4 on a request has many, and may ask whether partitions
// are in their transaction instead (KIP-890). Partitions are added all or none.

// addsMany is the first version with many transactions.
const addsMany = 4

func (s *Server) addPartitionsToTxn(k *call) {
	req := k.req.(*kmsg.AddPartitionsToTxnRequest)
	transactions := req.Transactions
	if req.Version < addsMany {
		t := kmsg.NewAddPartitionsToTxnRequestTransaction()
		t.TransactionalID, t.ProducerID, t.ProducerEpoch = req.TransactionalID, req.ProducerID, req.ProducerEpoch
		for _, rt := range req.Topics {
			t.Topics = append(t.Topics, kmsg.AddPartitionsToTxnRequestTransactionTopic{Topic: rt.Topic, Partitions: rt.Partitions})
		}
		transactions = []kmsg.AddPartitionsToTxnRequestTransaction{t}
	}
	results := make([]kmsg.AddPartitionsToTxnResponseTransaction, len(transactions))
	var left atomic.Int64
	left.Store(int64(len(results)) + 1) // one more, so that the answer waits until all are begun
	end := func() {
		if left.Add(-1) == 0 {
			k.reply(addedResponse(req, results))
		}
	}
	for i := range transactions {
		t := &transactions[i]
		results[i].TransactionalID = t.TransactionalID
		s.addTransaction(req.Version, t, func(codes []int16) {
			results[i].Topics = addedTopics(t.Topics, codes)
			end()
		})
	}
	end()
}

// addTransaction adds the partitions of one transaction, or looks for them; reply
// gets a code for each.
func (s *Server) addTransaction(version int16, t *kmsg.AddPartitionsToTxnRequestTransaction, reply func(codes []int16)) {
	add := &txn.AddPartitions{
		TransactionalID: t.TransactionalID, ProducerID: t.ProducerID, ProducerEpoch: t.ProducerEpoch, VerifyOnly: t.VerifyOnly,
	}
	var codes []int16
	refused := false
	for _, rt := range t.Topics {
		for _, p := range rt.Partitions {
			code := s.mayAddToTxn(version, rt.Topic, p)
			refused = refused || code != 0
			codes = append(codes, code)
			add.Partitions = append(add.Partitions, txn.TopicPartition{Topic: rt.Topic, Partition: p})
		}
	}
	if !refused {
		s.core.Transactions.AddPartitionsToTxn(version, add, reply)
		return
	}
	for i := range codes {
		if codes[i] == 0 {
			codes[i] = kerr.OperationNotAttempted.Code
		}
	}
	reply(codes)
}

// mayAddToTxn is 0, or why a partition cannot be in a transaction. The broker's
// own topics are nothing that clients write to.
func (s *Server) mayAddToTxn(version int16, name string, partition int32) int16 {
	if version < addsMany && topic.IsInternal(name) {
		return kerr.TopicAuthorizationFailed.Code
	}
	_, err := s.partitionFor(name, partition)
	return errorCode(err)
}

func addedTopics(topics []kmsg.AddPartitionsToTxnRequestTransactionTopic, codes []int16) []kmsg.AddPartitionsToTxnResponseTransactionTopic {
	out := make([]kmsg.AddPartitionsToTxnResponseTransactionTopic, len(topics))
	for i, t := range topics {
		out[i].Topic = t.Topic
		for _, p := range t.Partitions {
			out[i].Partitions = append(out[i].Partitions, kmsg.AddPartitionsToTxnResponseTransactionTopicPartition{Partition: p, ErrorCode: codes[0]})
			codes = codes[1:]
		}
	}
	return out
}

func addedResponse(req *kmsg.AddPartitionsToTxnRequest, results []kmsg.AddPartitionsToTxnResponseTransaction) *kmsg.AddPartitionsToTxnResponse {
	resp := req.ResponseKind().(*kmsg.AddPartitionsToTxnResponse)
	if req.Version >= addsMany {
		resp.Transactions = results
		return resp
	}
	for _, t := range results[0].Topics {
		rt := kmsg.NewAddPartitionsToTxnResponseTopic()
		rt.Topic = t.Topic
		for _, p := range t.Partitions {
			rt.Partitions = append(rt.Partitions, kmsg.AddPartitionsToTxnResponseTopicPartition{Partition: p.Partition, ErrorCode: p.ErrorCode})
		}
		resp.Topics = append(resp.Topics, rt)
	}
	return resp
}
