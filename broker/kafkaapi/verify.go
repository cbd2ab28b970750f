package kafkaapi

import "github.com/streamweir/streamweir/broker/txn"

// verifier asks the transaction coordinator of this broker: see Server.verify.
func verifier(c *txn.Coordinator) func(string, int64, int16, string, int32, bool, func(error)) {
	return func(txnID string, producerID int64, epoch int16, topic string, partition int32, implicitAdd bool, done func(error)) {
		c.VerifyPartition(txnID, producerID, epoch, txn.TopicPartition{Topic: topic, Partition: partition}, implicitAdd, done)
	}
}
