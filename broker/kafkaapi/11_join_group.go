package kafkaapi

import (
	"bytes"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// JoinGroup, versions 0 to 9. The answer comes when the group's next generation
// begins, which may take as long as the longest rebalance timeout of its
// members. Meanwhile the request holds none of the memory of its frame.

func (s *Server) joinGroup(k *call) {
	req := k.req.(*kmsg.JoinGroupRequest)
	for i := range req.Protocols {
		req.Protocols[i].Metadata = bytes.Clone(req.Protocols[i].Metadata)
	}
	reply := s.parked(k, func() kmsg.Response {
		resp := req.ResponseKind().(*kmsg.JoinGroupResponse)
		resp.ErrorCode, resp.Generation, resp.MemberID = kerr.NotCoordinator.Code, -1, req.MemberID
		if req.Version < joinNullProtocol {
			resp.Protocol = kmsg.StringPtr("")
		}
		return resp
	})
	if reply != nil {
		s.core.Groups.JoinGroup(s.groupClient(k), req, func(resp *kmsg.JoinGroupResponse) { reply(resp) })
	}
}

// joinNullProtocol is the first version whose answer may have no protocol.
const joinNullProtocol = 7
