package kafkaapi

import "github.com/twmb/franz-go/pkg/kmsg"

// DescribeTransactions, version 0 (KIP-664).

func (s *Server) describeTransactions(k *call) {
	req := k.req.(*kmsg.DescribeTransactionsRequest)
	req.TransactionalIDs = unique(req.TransactionalIDs, itself)
	k.reply(s.core.Transactions.DescribeTransactions(req))
}
