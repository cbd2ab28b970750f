package kafkaapi

import "github.com/twmb/franz-go/pkg/kmsg"

// Heartbeat, versions 0 to 4.

func (s *Server) heartbeat(k *call) {
	k.reply(s.core.Groups.Heartbeat(k.req.(*kmsg.HeartbeatRequest)))
}
