package kafkaapi

import "github.com/twmb/franz-go/pkg/kmsg"

// ListTransactions, versions 0 to 2 (KIP-664), with filters by producer id and
// state, by duration (1+, KIP-994), and by a pattern of the transactional id (2+,
// KIP-1152) in RE2's syntax.

func (s *Server) listTransactions(k *call) {
	k.reply(s.core.Transactions.ListTransactions(k.req.(*kmsg.ListTransactionsRequest)))
}
