package kafkaapi

import "github.com/twmb/franz-go/pkg/kmsg"

// DeleteGroups, versions 0 to 2. Only groups without members can be deleted.

func (s *Server) deleteGroups(k *call) {
	s.core.Groups.DeleteGroups(k.req.(*kmsg.DeleteGroupsRequest), func(resp *kmsg.DeleteGroupsResponse) { k.reply(resp) })
}
