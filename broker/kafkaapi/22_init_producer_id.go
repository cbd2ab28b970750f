package kafkaapi

import (
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// InitProducerId, versions 0 to 5. Without a transactional id it gives out a new
// producer id, whichever the request names; with one the transaction coordinator
// decides (KIP-360, KIP-588). A producer id and its epoch come together or not at all.

func (s *Server) initProducerID(k *call) {
	req := k.req.(*kmsg.InitProducerIDRequest)
	if req.TransactionalID != nil {
		s.core.Transactions.InitProducerID(req, func(resp *kmsg.InitProducerIDResponse) { k.reply(resp) })
		return
	}
	resp := req.ResponseKind().(*kmsg.InitProducerIDResponse)
	resp.ProducerID, resp.ProducerEpoch = -1, -1
	if (req.ProducerID == -1) != (req.ProducerEpoch == -1) {
		resp.ErrorCode = kerr.InvalidRequest.Code
		k.reply(resp)
		return
	}
	id, err := s.core.Producers.Next()
	if err != nil {
		k.c.log.Error("no producer id could be given out: " + err.Error())
		resp.ErrorCode = kerr.CoordinatorNotAvailable.Code
	} else {
		resp.ProducerID, resp.ProducerEpoch = id, 0
	}
	k.reply(resp)
}
