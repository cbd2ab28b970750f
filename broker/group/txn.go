package group

import (
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/streamweir/streamweir/protocol/kafka"
)

// An openTxn holds the offsets that a producer has committed in a transaction
// which has not ended: durable, but of no effect yet.
type openTxn struct {
	groups map[string]map[offsetKey]committed
}

// putPending keeps an offset until its transaction ends.
func (s *shard) putPending(producerID int64, group string, c committed) {
	t := s.txns[producerID]
	if t == nil {
		t = &openTxn{groups: make(map[string]map[offsetKey]committed, 1)}
		s.txns[producerID] = t
	}
	if t.groups[group] == nil {
		t.groups[group] = make(map[offsetKey]committed, 1)
	}
	k := offsetKey{c.topic.name, c.partition}
	t.groups[group][k] = c
	if s.unstable[group] == nil {
		s.unstable[group] = make(map[offsetKey][]int64, 1)
	}
	if ids := s.unstable[group][k]; !slices.Contains(ids, producerID) {
		s.unstable[group][k] = append(ids, producerID)
		s.pendingOf[group]++
	}
}

// removePending forgets what open transactions have for an offset, and says
// whether that was anything.
func (s *shard) removePending(group string, k offsetKey) bool {
	ids := slices.Clone(s.unstable[group][k])
	for _, id := range ids {
		s.dropPending(id, group, k)
	}
	return len(ids) > 0
}

// dropPending forgets what one transaction has for an offset.
func (s *shard) dropPending(producerID int64, group string, k offsetKey) {
	t := s.txns[producerID]
	delete(t.groups[group], k)
	if len(t.groups[group]) == 0 {
		delete(t.groups, group)
	}
	if len(t.groups) == 0 {
		delete(s.txns, producerID)
	}
	if rest := slices.DeleteFunc(s.unstable[group][k], func(id int64) bool { return id == producerID }); len(rest) > 0 {
		s.unstable[group][k] = rest
	} else {
		delete(s.unstable[group], k)
	}
	if s.pendingOf[group]--; s.pendingOf[group] == 0 {
		delete(s.pendingOf, group)
		delete(s.unstable, group)
	}
}

// complete is the event that a transaction has ended, with a marker at offset at
// of the log: its offsets take effect or are dropped. One that was committed
// before a later commit of the same partition does not take its place.
func (s *shard) complete(st *step, producerID, at int64, commit bool) {
	t := s.txns[producerID]
	if t == nil {
		return
	}
	for group, offsets := range t.groups {
		for k, c := range offsets {
			if c.at > at {
				continue // of the producer's next transaction
			}
			s.dropPending(producerID, group, k)
			if !commit {
				continue
			}
			if old := s.offsets[group].get(k.topic, k.partition); old == nil || old.at < c.at {
				s.putOffset(group, c)
				s.stats.CommittedOffsets++
			}
		}
	}
}

// txnCommit is a set of offsets of a transaction on its way to the log.
type txnCommit struct {
	producerID int64
	group      string
	items      []committed
	resp       *kmsg.TxnOffsetCommitResponse
	reply      func(*kmsg.TxnOffsetCommitResponse)
}

func (e *txnCommit) String() string { return "offsets in a transaction" }

func (e *txnCommit) durable(s *shard, st *step, base int64) {
	s.committing(st, e.group)
	for i := range e.items {
		c := e.items[i]
		c.at = base + int64(i)
		s.putPending(e.producerID, e.group, c)
	}
	s.stats.Commits++
	st.reply(func() { e.reply(e.resp) })
}

func (e *txnCommit) failed(s *shard, st *step, err *kerr.Error) {
	refuseTxnCommit(e.resp, err)
	st.reply(func() { e.reply(e.resp) })
}

// txnCommit serves TxnOffsetCommit. The topics are known to exist.
func (s *shard) txnCommit(st *step, req *kmsg.TxnOffsetCommitRequest, id func(topic string) [16]byte, guard uint64, reply func(*kmsg.TxnOffsetCommitResponse)) {
	resp := newTxnCommitResponse(req)
	g := s.groups[req.Group]
	if err := s.validateTxnCommit(g, req); err != nil {
		refuseTxnCommit(resp, err)
		st.reply(func() { reply(resp) })
		return
	}
	e := &txnCommit{producerID: req.ProducerID, resp: resp, reply: reply}
	if g != nil {
		e.group = g.id
	} else {
		e.group = strings.Clone(req.Group)
	}
	s.takeTxnOffsets(st, e, req, id)
	if len(e.items) == 0 {
		st.reply(func() { reply(resp) })
		return
	}
	s.append(st, &entry{
		group: e.group, records: commitRecords(e.group, e.items), effect: e,
		producer: &kafka.Producer{ID: req.ProducerID, Epoch: req.ProducerEpoch, Sequence: kafka.NoSequence}, guard: guard,
	})
}

// takeTxnOffsets copies what can be committed into e, and notes in its response
// what cannot.
func (s *shard) takeTxnOffsets(st *step, e *txnCommit, req *kmsg.TxnOffsetCommitRequest, id func(topic string) [16]byte) {
	stored := s.offsets[req.Group]
	count := s.pendingOf[req.Group]
	if stored != nil {
		count += stored.count
	}
	for i := range req.Topics {
		t := &req.Topics[i]
		ref := s.intern(t.Topic, id(t.Topic))
		e.resp.Topics[i].Topic = ref.name
		for j := range t.Partitions {
			p := &t.Partitions[j]
			code := &e.resp.Topics[i].Partitions[j].ErrorCode
			if s.cfg.metadataTooLarge(p.Metadata) {
				*code = kerr.OffsetMetadataTooLarge.Code
				continue
			}
			if !slices.Contains(s.unstable[req.Group][offsetKey{t.Topic, p.Partition}], req.ProducerID) {
				if count >= s.cfg.MaxOffsetsPerGroup {
					*code = kerr.PolicyViolation.Code
					continue
				}
				count++
			}
			plain := kmsg.OffsetCommitRequestTopicPartition{Partition: p.Partition, Offset: p.Offset, LeaderEpoch: p.LeaderEpoch, Metadata: p.Metadata}
			e.items = append(e.items, newCommitted(ref, &plain, st.now.UnixMilli(), noTimestamp))
		}
	}
}

// validateTxnCommit says whether the sender may commit for the group. The group's
// state is not looked at, and old clients do not say who they are.
func (s *shard) validateTxnCommit(g *classicGroup, req *kmsg.TxnOffsetCommitRequest) *kerr.Error {
	if g == nil {
		switch {
		case req.Generation >= 0:
			return kerr.IllegalGeneration
		case s.full():
			return kerr.PolicyViolation
		}
		return nil
	}
	if req.Generation < 0 && g.state == Empty {
		return nil
	}
	if req.Generation < 0 && req.MemberID == "" && req.InstanceID == nil {
		return nil
	}
	if err := g.validate(req.MemberID, req.InstanceID); err != nil {
		return err
	}
	if req.Generation != g.generation {
		return kerr.IllegalGeneration
	}
	return nil
}

// newTxnCommitResponse answers every partition of the request with success.
func newTxnCommitResponse(req *kmsg.TxnOffsetCommitRequest) *kmsg.TxnOffsetCommitResponse {
	resp := &kmsg.TxnOffsetCommitResponse{Version: req.Version, Topics: make([]kmsg.TxnOffsetCommitResponseTopic, len(req.Topics))}
	for i := range req.Topics {
		t := &req.Topics[i]
		rt := &resp.Topics[i]
		rt.Topic = strings.Clone(t.Topic)
		rt.Partitions = make([]kmsg.TxnOffsetCommitResponseTopicPartition, len(t.Partitions))
		for j := range t.Partitions {
			rt.Partitions[j].Partition = t.Partitions[j].Partition
		}
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
