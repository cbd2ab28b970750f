package kafkaapi

import "github.com/twmb/franz-go/pkg/kmsg"

// EndTxn, versions 0 to 5. The answer comes when the decision is durable. From
// version 5 on (KIP-890) it says with which producer id and epoch to go on.

func (s *Server) endTxn(k *call) {
	s.core.Transactions.EndTxn(k.req.(*kmsg.EndTxnRequest), func(resp *kmsg.EndTxnResponse) { k.reply(resp) })
}
