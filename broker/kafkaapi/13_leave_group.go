package kafkaapi

import "github.com/twmb/franz-go/pkg/kmsg"

// LeaveGroup, versions 0 to 5: one member up to version 2, many from 3 on.

func (s *Server) leaveGroup(k *call) {
	s.core.Groups.LeaveGroup(k.req.(*kmsg.LeaveGroupRequest), func(resp *kmsg.LeaveGroupResponse) { k.reply(resp) })
}
