package kafkaapi

import (
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/streamweir/streamweir/broker/partition"
	"github.com/streamweir/streamweir/broker/topic"
	"github.com/streamweir/streamweir/protocol/kafka"
)

// Produce, versions 0 to 13; 0 to 2 are listed for old clients that look at the
// minimum (librdkafka) but carry record formats that Kafka 4.0 removed, and are
// refused as there.
//
// Every acks value gets the same durability; acks=0 gets no response, and its
// connection is closed where an error would have had to be told.
//
// The first batch of a transaction in a partition waits until the transaction
// coordinator has confirmed that the partition is part of it, or, from version 12
// on, has made it one (KIP-890).

const (
	produceOldest    = 3
	produceAbortable = 11 // first version whose clients know TRANSACTION_ABORTABLE
	produceAdds      = 12 // first version that adds its partitions to the transaction
)

// produce is a Produce request whose batches are being appended.
type produce struct {
	k    *call
	acks int16
	resp *kmsg.ProduceResponse
	left atomic.Int32
	txn  string       // transactional id
	more atomic.Int64 // what refused records add to the answer
}

func (s *Server) produce(k *call) {
	req := k.req.(*kmsg.ProduceRequest)
	resp := req.ResponseKind().(*kmsg.ProduceResponse)
	op := &produce{k: k, acks: req.Acks, resp: resp}
	refuse := produceRefusal(req)
	if req.TransactionID != nil {
		op.txn = *req.TransactionID
	}
	total := 0
	resp.Topics = make([]kmsg.ProduceResponseTopic, len(req.Topics))
	for i := range req.Topics {
		rt, out := &req.Topics[i], &resp.Topics[i]
		out.Topic, out.TopicID = rt.Topic, rt.TopicID
		out.Partitions = make([]kmsg.ProduceResponseTopicPartition, len(rt.Partitions))
		total += len(rt.Partitions)
		for j := range rt.Partitions {
			p := kmsg.NewProduceResponseTopicPartition()
			p.Partition = rt.Partitions[j].Partition
			out.Partitions[j] = p
		}
	}
	// One more than there are, so that the answer waits until all are begun.
	op.left.Store(int32(total) + 1)
	for i := range req.Topics {
		rt := &req.Topics[i]
		t, err := s.topicFor(k.version >= 13, rt.Topic, rt.TopicID)
		if refuse != nil {
			err = refuse
		} else if err == nil && t.Internal {
			err = fmt.Errorf("%w: %s belongs to the broker", kerr.InvalidTopicException, t.Name)
		}
		for j := range rt.Partitions {
			op.append(s, t, err, &rt.Partitions[j], &resp.Topics[i].Partitions[j])
		}
	}
	op.one()
}

// produceRefusal is what Apache Kafka refuses a whole request for.
func produceRefusal(req *kmsg.ProduceRequest) error {
	switch {
	case req.Version < produceOldest:
		return kerr.UnsupportedForMessageFormat
	case req.Acks < -1 || req.Acks > 1:
		return kerr.InvalidRequiredAcks
	}
	return transactionRefusal(req)
}

// transactionRefusal refuses transactional batches without a transactional id,
// and those of more than one producer.
func transactionRefusal(req *kmsg.ProduceRequest) error {
	producer := int64(kafka.NoProducerID)
	for i := range req.Topics {
		for j := range req.Topics[i].Partitions {
			b, _, err := kafka.NextBatch(req.Topics[i].Partitions[j].Records)
			if err != nil || b == nil || !b.IsTransactional() {
				continue // what is wrong with a batch is told of its partition
			}
			switch {
			case req.TransactionID == nil:
				return kerr.TransactionalIDAuthorizationFailed
			case producer != kafka.NoProducerID && producer != b.ProducerID():
				return fmt.Errorf("%w: the request has transactional batches of more than one producer", kerr.InvalidProducerIDMapping)
			}
			producer = b.ProducerID()
		}
	}
	return nil
}

func (op *produce) append(s *Server, t *topic.Topic, err error, rp *kmsg.ProduceRequestTopicPartition, out *kmsg.ProduceResponseTopicPartition) {
	var p *partition.Partition
	var batch kafka.Batch
	if err == nil {
		if p = s.core.Partitions.Get(t.ID, rp.Partition); p == nil {
			err = kerr.UnknownTopicOrPartition
		}
	}
	if err == nil {
		batch, err = kafka.ProducedBatch(rp.Records, op.k.version)
	}
	if err != nil {
		op.done(out, partition.Result{BaseOffset: -1, LogAppendTime: -1, LogStartOffset: -1, Err: err})
		return
	}
	r := partition.Request{
		Batch: batch, Buffer: op.k.frame.Buf,
		Done: func(r partition.Result) { op.done(out, r) },
	}
	if batch.IsTransactional() && batch.HasProducerID() {
		op.verify(s, p, r)
		return
	}
	p.Append(r)
}

// verify appends a transactional batch once its transaction is known.
func (op *produce) verify(s *Server, p *partition.Partition, r partition.Request) {
	v := partition.Verification{
		ProducerID: r.Batch.ProducerID(), Epoch: r.Batch.ProducerEpoch(), Sequence: r.Batch.BaseSequence(),
		Bumps: op.k.version >= produceAdds,
	}
	p.Verify(v, func(done func(error)) {
		s.verify(op.txn, v.ProducerID, v.Epoch, p.Topic().Name, p.Index(), v.Bumps, done)
	}, func(guard uint64, err error) {
		if err != nil {
			err = verificationError(err, v.Bumps, op.k.version >= produceAbortable)
			r.Done(partition.Result{BaseOffset: -1, LogAppendTime: -1, LogStartOffset: -1, Err: err})
			return
		}
		r.Verified, r.Guard = true, guard
		p.Append(r)
	})
}

func (op *produce) done(out *kmsg.ProduceResponseTopicPartition, r partition.Result) {
	out.BaseOffset, out.LogAppendTime, out.LogStartOffset = r.BaseOffset, r.LogAppendTime, r.LogStartOffset
	if r.Err != nil {
		out.ErrorCode, out.ErrorMessage = errorCode(r.Err), errorMessage(r.Err)
		var refused *kafka.RefusedError
		if errors.As(r.Err, &refused) {
			for _, e := range refused.Records {
				rec := kmsg.NewProduceResponseTopicPartitionErrorRecord()
				rec.RelativeOffset, rec.ErrorMessage = e.Index, kmsg.StringPtr(e.Message)
				out.ErrorRecords = append(out.ErrorRecords, rec)
			}
			op.more.Add(int64(len(refused.Records)) * refusedRecordNeeds)
		}
	}
	op.one()
}

// refusedRecordNeeds is what the answer takes for each record that was refused.
const refusedRecordNeeds = 256

// one counts a part of the request as done; the last one answers.
func (op *produce) one() {
	if op.left.Add(-1) > 0 {
		return
	}
	if op.acks != 0 {
		op.k.c.s.answers.grew(op.k, op.more.Load())
		op.k.reply(op.resp)
		return
	}
	for _, t := range op.resp.Topics {
		for _, p := range t.Partitions {
			if p.ErrorCode != 0 {
				op.k.disconnect()
				return
			}
		}
	}
	op.k.replyNothing()
}
