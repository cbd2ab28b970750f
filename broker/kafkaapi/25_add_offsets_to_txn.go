package kafkaapi

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/streamweir/streamweir/broker/topic"
	"github.com/streamweir/streamweir/broker/txn"
)

// AddOffsetsToTxn, versions 0 to 4: it adds the partition of __consumer_offsets
// that the group belongs to. Clients of transaction version 2 do not need it.

func (s *Server) addOffsetsToTxn(k *call) {
	req := k.req.(*kmsg.AddOffsetsToTxnRequest)
	offsets := txn.TopicPartition{Topic: topic.ConsumerOffsets, Partition: s.core.Groups.PartitionFor(req.Group)}
	s.core.Transactions.AddOffsetsToTxn(req, offsets, func(resp *kmsg.AddOffsetsToTxnResponse) { k.reply(resp) })
}
