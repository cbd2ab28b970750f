package txn

import (
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// InitProducerID serves one InitProducerId request that has a transactional id.
func (c *Coordinator) InitProducerID(req *kmsg.InitProducerIDRequest, reply func(*kmsg.InitProducerIDResponse)) {
	version := req.Version
	r := &initialization{
		id: *req.TransactionalID, timeoutMs: req.TransactionTimeoutMillis,
		expected: expected{req.ProducerID, req.ProducerEpoch},
		reply: func(producerID int64, epoch int16, err *kerr.Error) {
			reply(&kmsg.InitProducerIDResponse{
				Version: version, ErrorCode: fenceCode(err, version >= initProducerFenced), ProducerID: producerID, ProducerEpoch: epoch,
			})
		},
	}
	if version < initExpected {
		r.expected = expected{noProducerID, noProducerEpoch}
	}
	err := r.check(&c.cfg)
	if err == nil {
		err = c.with(r.id, c.ids.get(c.logger), func(s *shard, st *step) { s.initialize(st, r) })
	}
	if err != nil {
		r.refuse(err)
	}
}

const (
	initExpected       = 3 // producers say who they were (KIP-360)
	initProducerFenced = 4 // PRODUCER_FENCED is known (KIP-588)
	addProducerFenced  = 2
	endProducerFenced  = 2
	endVersion2        = 5 // the sender knows transaction version 2 (KIP-890)
	addVersion2        = 4
)

// fenceCode is the code of an error. Clients that do not know PRODUCER_FENCED
// get the one that they react to in the same way.
func fenceCode(err *kerr.Error, known bool) int16 {
	if err == kerr.ProducerFenced && !known {
		err = kerr.InvalidProducerEpoch
	}
	return code(err)
}

func code(err *kerr.Error) int16 {
	if err == nil {
		return 0
	}
	return err.Code
}

// AddPartitions is what a request asks to add to a transaction, or to look for
// in it.
type AddPartitions struct {
	TransactionalID string
	ProducerID      int64
	ProducerEpoch   int16
	Partitions      []TopicPartition
	VerifyOnly      bool
}

// AddPartitionsToTxn serves one transaction of an AddPartitionsToTxn request of
// the given version. The partitions are known to exist. reply gets one code for
// each of them, in order.
func (c *Coordinator) AddPartitionsToTxn(version int16, req *AddPartitions, reply func(codes []int16)) {
	n := len(req.Partitions)
	answer := func(err *kerr.Error) {
		codes := make([]int16, n)
		for i := range codes {
			codes[i] = fenceCode(err, version >= addProducerFenced)
		}
		reply(codes)
	}
	if req.VerifyOnly {
		var errs []*kerr.Error
		p := producer{req.TransactionalID, req.ProducerID, req.ProducerEpoch}
		err := c.with(p.id, noProducerID, func(s *shard, st *step) { errs = s.verify(p, req.Partitions) })
		if err != nil {
			answer(err)
			return
		}
		codes := make([]int16, n)
		for i, err := range errs {
			codes[i] = code(err)
		}
		reply(codes)
		return
	}
	r := req.addition(clientVersion0)
	if version >= addVersion2 {
		r.version = clientVersion2
	}
	c.add(r, answer)
}

// addition copies the request: it may have to wait.
func (req *AddPartitions) addition(version int16) *addition {
	r := &addition{producer: producer{clone(req.TransactionalID), req.ProducerID, req.ProducerEpoch}, version: version}
	r.partitions = make([]TopicPartition, len(req.Partitions))
	for i, tp := range req.Partitions {
		r.partitions[i] = TopicPartition{clone(tp.Topic), tp.Partition}
	}
	return r
}

func (c *Coordinator) add(r *addition, answer func(*kerr.Error)) {
	r.reply = answer
	if err := c.with(r.id, noProducerID, func(s *shard, st *step) { s.addPartitions(st, r) }); err != nil {
		answer(err)
	}
}

// AddOffsetsToTxn serves one AddOffsetsToTxn request. offsets is the partition
// of __consumer_offsets that its group belongs to.
func (c *Coordinator) AddOffsetsToTxn(req *kmsg.AddOffsetsToTxnRequest, offsets TopicPartition, reply func(*kmsg.AddOffsetsToTxnResponse)) {
	version := req.Version
	add := AddPartitions{
		TransactionalID: req.TransactionalID, ProducerID: req.ProducerID, ProducerEpoch: req.ProducerEpoch,
		Partitions: []TopicPartition{offsets},
	}
	c.add(add.addition(clientVersion0), func(err *kerr.Error) {
		reply(&kmsg.AddOffsetsToTxnResponse{Version: version, ErrorCode: fenceCode(err, version >= addProducerFenced)})
	})
}

// VerifyPartition asks, before a partition takes the first records of a
// producer's transaction, whether it is in that transaction. With add, which
// the produce requests of transaction version 2 allow, it is put there.
//
// The error is the coordinator's, as partitions know it: INVALID_PRODUCER_EPOCH
// for a fenced producer, TRANSACTION_ABORTABLE where the partition is not in the
// transaction. Which of them a client gets to see depends on its request.
func (c *Coordinator) VerifyPartition(id string, producerID int64, epoch int16, tp TopicPartition, add bool, done func(error)) {
	answer := func(err *kerr.Error) {
		switch err {
		case nil:
			done(nil) // not a nil pointer in an error
		case kerr.ProducerFenced:
			done(kerr.InvalidProducerEpoch)
		default:
			done(err)
		}
	}
	req := AddPartitions{TransactionalID: id, ProducerID: producerID, ProducerEpoch: epoch, Partitions: []TopicPartition{tp}}
	if add {
		c.add(req.addition(clientVersion2), answer)
		return
	}
	var errs []*kerr.Error
	p := producer{id, producerID, epoch}
	if err := c.with(id, noProducerID, func(s *shard, st *step) { errs = s.verify(p, req.Partitions) }); err != nil {
		answer(err)
		return
	}
	answer(errs[0])
}

// EndTxn serves one EndTxn request. The answer says that the transaction is
// decided; readers see the end of it when its markers are written.
func (c *Coordinator) EndTxn(req *kmsg.EndTxnRequest, reply func(*kmsg.EndTxnResponse)) {
	version := req.Version
	r := &endRequest{
		producer: producer{req.TransactionalID, req.ProducerID, req.ProducerEpoch}, commit: req.Commit, version: clientVersion0,
		reply: func(producerID int64, epoch int16, err *kerr.Error) {
			reply(&kmsg.EndTxnResponse{
				Version: version, ErrorCode: fenceCode(err, version >= endProducerFenced), ProducerID: producerID, ProducerEpoch: epoch,
			})
		},
	}
	if version >= endVersion2 {
		r.version = clientVersion2
	}
	if err := c.with(r.id, c.ids.get(c.logger), func(s *shard, st *step) { s.endTxn(st, r) }); err != nil {
		r.refuse(err)
	}
}

// DescribeTransactions serves one DescribeTransactions request.
func (c *Coordinator) DescribeTransactions(req *kmsg.DescribeTransactionsRequest) *kmsg.DescribeTransactionsResponse {
	resp := &kmsg.DescribeTransactionsResponse{Version: req.Version}
	for _, id := range req.TransactionalIDs {
		d := kmsg.NewDescribeTransactionsResponseTransactionState()
		err := kerr.InvalidRequest
		if id != "" {
			err = c.with(id, noProducerID, func(s *shard, st *step) { d = s.describe(id) })
		}
		if err != nil {
			d.TransactionalID, d.ErrorCode = clone(id), err.Code
		}
		resp.TransactionStates = append(resp.TransactionStates, d)
	}
	return resp
}

// ListTransactions serves one ListTransactions request.
func (c *Coordinator) ListTransactions(req *kmsg.ListTransactionsRequest) *kmsg.ListTransactionsResponse {
	resp := &kmsg.ListTransactionsResponse{Version: req.Version}
	f, unknown, err := newFilter(req)
	if err != nil {
		resp.ErrorCode = err.Code
		return resp
	}
	resp.UnknownStateFilters = unknown
	now := c.clock.Now().UnixMilli()
	for i := range c.seats {
		s := &c.seats[i]
		s.mu.Lock()
		switch err := c.refuses(s); err {
		case nil:
			resp.TransactionStates = append(resp.TransactionStates, s.shard.list(now, &f)...)
		case kerr.NotCoordinator: // somebody else answers for these
		default:
			resp.ErrorCode = err.Code
		}
		s.mu.Unlock()
		if resp.ErrorCode != 0 {
			resp.TransactionStates = nil
			break
		}
	}
	return resp
}
