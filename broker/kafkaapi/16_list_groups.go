package kafkaapi

import "github.com/twmb/franz-go/pkg/kmsg"

// ListGroups, versions 0 to 5, with filters by state (4+) and by type (5+).

func (s *Server) listGroups(k *call) {
	k.reply(s.core.Groups.ListGroups(k.req.(*kmsg.ListGroupsRequest)))
}
