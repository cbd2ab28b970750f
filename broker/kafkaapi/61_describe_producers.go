package kafkaapi

import (
	"github.com/twmb/franz-go/pkg/kmsg"
)

// DescribeProducers, version 0 (KIP-664): the producers that a partition
// remembers, with the transactions that are ongoing there.

func (s *Server) describeProducers(k *call) {
	req := k.req.(*kmsg.DescribeProducersRequest)
	resp := req.ResponseKind().(*kmsg.DescribeProducersResponse)
	for _, t := range req.Topics {
		rt := kmsg.NewDescribeProducersResponseTopic()
		rt.Topic = t.Topic
		for _, index := range t.Partitions {
			rt.Partitions = append(rt.Partitions, s.describePartitionProducers(t.Topic, index))
		}
		resp.Topics = append(resp.Topics, rt)
	}
	k.reply(resp)
}

func (s *Server) describePartitionProducers(topic string, index int32) kmsg.DescribeProducersResponseTopicPartition {
	rp := kmsg.NewDescribeProducersResponseTopicPartition()
	rp.Partition = index
	p, err := s.partitionFor(topic, index)
	if err != nil {
		rp.ErrorCode = errorCode(err)
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
