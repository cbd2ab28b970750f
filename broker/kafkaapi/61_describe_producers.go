package kafkaapi

import (
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/streamweir/streamweir/broker/partition"
	"github.com/streamweir/streamweir/broker/topic"
)

// DescribeProducers, version 0 (KIP-664): the producers that a partition
// remembers, with the transactions that are ongoing there.

func (s *Server) describeProducers(k *call) {
	req := k.req.(*kmsg.DescribeProducersRequest)
	resp := req.ResponseKind().(*kmsg.DescribeProducersResponse)
	type place struct {
		topic string
		index int32
	}
	seen := map[place]bool{}
	for _, t := range req.Topics {
		rt := kmsg.NewDescribeProducersResponseTopic()
		rt.Topic = t.Topic
		for _, index := range t.Partitions {
			at := place{t.Topic, index}
			if seen[at] {
				// An answer may be large, and is given once.
				rp := kmsg.NewDescribeProducersResponseTopicPartition()
				rp.Partition, rp.ErrorCode = index, kerr.InvalidRequest.Code
				rp.ErrorMessage = kmsg.StringPtr("the partition is named twice")
				rt.Partitions = append(rt.Partitions, rp)
				continue
			}
			seen[at] = true
			rt.Partitions = append(rt.Partitions, s.describePartitionProducers(t.Topic, index))
		}
		resp.Topics = append(resp.Topics, rt)
	}
	k.reply(resp)
}

func (s *Server) describePartitionProducers(name string, index int32) kmsg.DescribeProducersResponseTopicPartition {
	rp := kmsg.NewDescribeProducersResponseTopicPartition()
	rp.Partition = index
	err := topic.CheckName(name)
	var p *partition.Partition
	if err == nil {
		p, err = s.partitionFor(name, index)
	}
	if err != nil {
		rp.ErrorCode, rp.ErrorMessage = errorCode(err), errorMessage(err)
		return rp
	}
	producers, err := p.DescribeProducers()
	rp.ErrorCode, rp.ErrorMessage = errorCode(err), errorMessage(err)
	for _, st := range producers {
		a := kmsg.NewDescribeProducersResponseTopicPartitionActiveProducer()
		a.ProducerID, a.ProducerEpoch, a.LastSequence = st.ProducerID, int32(st.Epoch), st.LastSequence
		a.LastTimestamp, a.CoordinatorEpoch, a.CurrentTxnStartOffset = st.LastTimestamp, st.CoordinatorEpoch, st.TxnStartOffset
		rp.ActiveProducers = append(rp.ActiveProducers, a)
	}
	return rp
}
