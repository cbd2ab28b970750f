package group

import (
	"slices"
	"strings"
	"sync/atomic"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/streamweir/streamweir/broker/coordinator"
)

// JoinGroup serves one JoinGroup request; the answer may take as long as the
// rebalance timeout.
func (c *Coordinator) JoinGroup(who Client, req *kmsg.JoinGroupRequest, reply func(*kmsg.JoinGroupResponse)) {
	err := c.with(req.Group, func(s *shard, st *step) { s.join(st, who, req, reply) })
	if err != nil {
		st := &step{}
		sendJoin(st, &parkedJoin{version: req.Version, reply: reply},
			&kmsg.JoinGroupResponse{ErrorCode: err.Code, Generation: -1, MemberID: strings.Clone(req.MemberID)})
		st.actions[0].reply()
	}
}

// SyncGroup serves one SyncGroup request; the answer comes when the leader's
// assignment is durable.
func (c *Coordinator) SyncGroup(req *kmsg.SyncGroupRequest, reply func(*kmsg.SyncGroupResponse)) {
	if err := c.with(req.Group, func(s *shard, st *step) { s.sync(st, req, reply) }); err != nil {
		reply(&kmsg.SyncGroupResponse{Version: req.Version, ErrorCode: err.Code})
	}
}

// Heartbeat serves one Heartbeat request.
func (c *Coordinator) Heartbeat(req *kmsg.HeartbeatRequest) *kmsg.HeartbeatResponse {
	var answer *kerr.Error
	err := c.with(req.Group, func(s *shard, st *step) { answer = s.heartbeat(st, req) })
	if err == kerr.CoordinatorLoadInProgress {
		err = nil // the member is not to rejoin just because we have not read yet that it is there
	}
	if err != nil {
		answer = err
	}
	return &kmsg.HeartbeatResponse{Version: req.Version, ErrorCode: code(answer)}
}

// LeaveGroup serves one LeaveGroup request.
func (c *Coordinator) LeaveGroup(req *kmsg.LeaveGroupRequest, reply func(*kmsg.LeaveGroupResponse)) {
	if err := c.with(req.Group, func(s *shard, st *step) { s.leave(st, req, reply) }); err != nil {
		reply(&kmsg.LeaveGroupResponse{Version: req.Version, ErrorCode: err.Code})
	}
}

// OffsetCommit serves one OffsetCommit request. The caller has taken out topics
// and partitions that do not exist, and has set both name and id of each topic.
func (c *Coordinator) OffsetCommit(req *kmsg.OffsetCommitRequest, reply func(*kmsg.OffsetCommitResponse)) {
	err := c.with(req.Group, func(s *shard, st *step) { s.commit(st, req, reply) })
	if err != nil {
		resp := newCommitResponse(req)
		for i := range resp.Topics {
			resp.Topics[i].Topic = strings.Clone(resp.Topics[i].Topic)
		}
		refuseCommit(resp, err)
		reply(resp)
	}
}

// TxnOffsetCommit serves one TxnOffsetCommit request (KIP-447). The caller has
// taken out topics and partitions that do not exist, and id tells the id of the
// others. guard is what partition.Verify gave for the group's partition of
// __consumer_offsets.
func (c *Coordinator) TxnOffsetCommit(req *kmsg.TxnOffsetCommitRequest, id func(topic string) [16]byte, guard uint64, reply func(*kmsg.TxnOffsetCommitResponse)) {
	err := c.with(req.Group, func(s *shard, st *step) { s.txnCommit(st, req, id, guard, reply) })
	if err != nil {
		resp := newTxnCommitResponse(req)
		refuseTxnCommit(resp, err)
		reply(resp)
	}
}

// CompletesTransactions is nil, or why transactions cannot be ended in a
// partition of __consumer_offsets now.
func (c *Coordinator) CompletesTransactions(partition int32) error {
	if int(partition) >= len(c.seats) {
		return nil // no group has a place there
	}
	s := &c.seats[partition]
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := c.refuses(s); err != nil {
		return err
	}
	return nil
}

// CompleteTransaction lets the offsets that a producer has committed in a
// transaction take effect, or drops them, since the marker of its end is durable
// at the offset at. It is to be called in the order of the log, together with the
// ends of appends.
func (c *Coordinator) CompleteTransaction(partition int32, producerID, at int64, commit bool) {
	if int(partition) >= len(c.seats) {
		return
	}
	s := &c.seats[partition]
	s.mu.Lock()
	if s.shard == nil {
		s.mu.Unlock() // whoever loads it finds the marker in the log
		return
	}
	st := c.newStep()
	s.shard.complete(st, producerID, at, commit)
	c.finish(s, s.shard, st)
}

// OffsetFetch serves one group of an OffsetFetch request; Topics is nil for
// all. The caller has set the name of each topic, and the id where the request
// has it. An error is in the answer's ErrorCode.
func (c *Coordinator) OffsetFetch(req *kmsg.OffsetFetchRequestGroup, requireStable bool, reply func(*kmsg.OffsetFetchResponseGroup)) {
	err := c.with(req.Group, func(s *shard, st *step) { s.offsetFetch(st, req, requireStable, reply) })
	if err != nil {
		reply(&kmsg.OffsetFetchResponseGroup{Group: strings.Clone(req.Group), ErrorCode: err.Code})
	}
}

// OffsetDelete serves one OffsetDelete request. The caller has taken out topics
// and partitions that do not exist.
func (c *Coordinator) OffsetDelete(req *kmsg.OffsetDeleteRequest, reply func(*kmsg.OffsetDeleteResponse)) {
	if err := c.with(req.Group, func(s *shard, st *step) { s.deleteOffsets(st, req, reply) }); err != nil {
		reply(&kmsg.OffsetDeleteResponse{Version: req.Version, ErrorCode: err.Code})
	}
}

// DeleteGroups serves one DeleteGroups request. A group that is named twice is
// answered once.
func (c *Coordinator) DeleteGroups(req *kmsg.DeleteGroupsRequest, reply func(*kmsg.DeleteGroupsResponse)) {
	resp := &kmsg.DeleteGroupsResponse{Version: req.Version}
	seen := make(map[string]bool, len(req.Groups))
	for _, id := range req.Groups {
		if !seen[id] {
			seen[id] = true
			resp.Groups = append(resp.Groups, kmsg.DeleteGroupsResponseGroup{Group: strings.Clone(id)})
		}
	}
	var left atomic.Int64
	left.Store(int64(len(resp.Groups)) + 1)
	end := func() {
		if left.Add(-1) == 0 {
			reply(resp)
		}
	}
	for i := range resp.Groups {
		g := &resp.Groups[i]
		err := c.with(g.Group, func(s *shard, st *step) {
			s.deleteGroup(st, g.Group, func(st *step, err *kerr.Error) {
				g.ErrorCode = code(err)
				st.reply(end)
			})
		})
		if err != nil {
			g.ErrorCode = err.Code
			end()
		}
	}
	end()
}

// ListGroups serves one ListGroups request.
func (c *Coordinator) ListGroups(req *kmsg.ListGroupsRequest) *kmsg.ListGroupsResponse {
	resp := &kmsg.ListGroupsResponse{Version: req.Version}
	lower := func(in []string) []string {
		out := make([]string, len(in))
		for i, f := range in {
			out[i] = strings.ToLower(strings.TrimSpace(f))
		}
		return out
	}
	states, types := lower(req.StatesFilter), lower(req.TypesFilter)
	for i := range c.seats {
		s := &c.seats[i]
		s.mu.Lock()
		switch err := c.refuses(s); err {
		case nil:
			resp.Groups = slices.Concat(resp.Groups, s.shard.list(states, types))
		case kerr.NotCoordinator: // somebody else answers for these
		default:
			resp.ErrorCode = err.Code
		}
		s.mu.Unlock()
		if resp.ErrorCode != 0 {
			resp.Groups = nil
			break
		}
	}
	return resp
}

// DescribeGroups serves one DescribeGroups request.
func (c *Coordinator) DescribeGroups(req *kmsg.DescribeGroupsRequest) *kmsg.DescribeGroupsResponse {
	resp := &kmsg.DescribeGroupsResponse{Version: req.Version, Groups: make([]kmsg.DescribeGroupsResponseGroup, 0, len(req.Groups))}
	for _, id := range req.Groups {
		var d kmsg.DescribeGroupsResponseGroup
		if err := c.with(id, func(s *shard, st *step) { d = s.describe(id, req.Version) }); err != nil {
			d = kmsg.NewDescribeGroupsResponseGroup()
			d.Group, d.ErrorCode = strings.Clone(id), err.Code
		}
		resp.Groups = append(resp.Groups, d)
	}
	return resp
}

// TopicsDeleted lets go of the offsets of topics that were deleted.
func (c *Coordinator) TopicsDeleted(topics ...DeletedTopic) {
	for i := range c.seats {
		s := &c.seats[i]
		s.mu.Lock()
		switch {
		case s.status == coordinator.Loading:
			s.deleted = append(s.deleted, topics...)
			s.mu.Unlock()
		case c.refuses(s) != nil:
			s.mu.Unlock()
		default:
			st := c.newStep()
			s.shard.topicsDeleted(st, topics)
			c.finish(s, s.shard, st)
		}
	}
}
