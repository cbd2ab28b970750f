package kafkaapi

import (
	"bytes"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// SyncGroup, versions 0 to 5. The answer comes when the leader's assignment is
// durable. Meanwhile the request holds none of the memory of its frame.

// syncNamesProtocol is the first version that has to name the protocol (KIP-559).
const syncNamesProtocol = 5

func (s *Server) syncGroup(k *call) {
	req := k.req.(*kmsg.SyncGroupRequest)
	refuse := func(err *kerr.Error) kmsg.Response {
		resp := req.ResponseKind().(*kmsg.SyncGroupResponse)
		resp.ErrorCode = err.Code
		return resp
	}
	if req.Version >= syncNamesProtocol && (req.ProtocolType == nil || req.Protocol == nil) {
		k.reply(refuse(kerr.InconsistentGroupProtocol))
		return
	}
	for i := range req.GroupAssignment {
		a := &req.GroupAssignment[i]
		a.MemberAssignment = bytes.Clone(a.MemberAssignment)
	}
	if reply := s.parked(k, func() kmsg.Response { return refuse(kerr.NotCoordinator) }); reply != nil {
		s.core.Groups.SyncGroup(req, func(resp *kmsg.SyncGroupResponse) { reply(resp) })
	}
}
