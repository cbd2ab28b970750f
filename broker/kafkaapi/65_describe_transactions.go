package kafkaapi

import "github.com/twmb/franz-go/pkg/kmsg"

// DescribeTransactions, version 0 (KIP-664).

func (s *Server) describeTransactions(k *call) {
	k.reply(s.core.Transactions.DescribeTransactions(k.req.(*kmsg.DescribeTransactionsRequest)))
}
