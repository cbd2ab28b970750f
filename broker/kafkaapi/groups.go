package kafkaapi

import (
	"sync/atomic"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/streamweir/streamweir/broker/group"
)

// groupClient says who sent a request, as groups show it.
func (s *Server) groupClient(k *call) group.Client {
	return group.Client{ID: k.clientID, Host: "/" + k.c.ip}
}

// parked prepares a request for a long wait: its frame is let go of, so that
// what is waiting takes no share of the memory for requests, and an end of the
// connection or of the server answers it at once with early. The caller has
// copied what it needs of the frame. The reply that parked returns counts only
// where that has not happened; it is nil where nothing should wait any more.
func (s *Server) parked(k *call, early func() kmsg.Response) func(kmsg.Response) {
	k.frame.Release()
	var answered atomic.Bool
	reply := func(resp kmsg.Response) {
		if answered.CompareAndSwap(false, true) {
			k.reply(resp)
		}
	}
	if !k.wait(func() { reply(early()) }) {
		reply(early())
		return nil
	}
	return reply
}
