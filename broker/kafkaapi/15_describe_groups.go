package kafkaapi

import "github.com/twmb/franz-go/pkg/kmsg"

// DescribeGroups, versions 0 to 6.

// groupOperations are all operations that there are on a group, as bits
// (KIP-430): what a client may do is not restricted yet.
const groupOperations = 1<<3 | 1<<6 | 1<<8 | 1<<10 | 1<<11

func (s *Server) describeGroups(k *call) {
	req := k.req.(*kmsg.DescribeGroupsRequest)
	req.Groups = unique(req.Groups, itself)
	resp := s.core.Groups.DescribeGroups(req)
	if req.IncludeAuthorizedOperations {
		for i := range resp.Groups {
			if resp.Groups[i].ErrorCode == 0 {
				resp.Groups[i].AuthorizedOperations = groupOperations
			}
		}
	}
	k.reply(resp)
}
