package kafkaapi

import (
	"errors"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/streamweir/streamweir/broker"
	"github.com/streamweir/streamweir/broker/topic"
	"github.com/streamweir/streamweir/broker/txn"
)

// verifier asks the transaction coordinator of this broker: see Server.verify.
// Clients that add their partitions beforehand are believed where
// transaction.partition.verification.enable is off.
func verifier(core *broker.Core) func(string, int64, int16, string, int32, bool, func(error)) {
	return func(txnID string, producerID int64, epoch int16, name string, partition int32, implicitAdd bool, done func(error)) {
		if !implicitAdd && !core.Config().TransactionPartitionVerification {
			done(nil)
			return
		}
		core.Transactions.VerifyPartition(txnID, producerID, epoch, txn.TopicPartition{Topic: name, Partition: partition}, implicitAdd, done)
	}
}

// verificationError turns what the transaction coordinator has against a batch
// into what its producer knows how to handle, as Apache Kafka does. adds says
// that the request adds its partitions to the transaction, abortable that the
// client knows TRANSACTION_ABORTABLE.
func verificationError(err error, adds, abortable bool) error {
	var code *kerr.Error
	if !errors.As(err, &code) {
		return err
	}
	as := func(other *kerr.Error) error {
		return topic.Refuse(other, "the transaction coordinator has not confirmed that the partition is part of the transaction: %s", code.Message)
	}
	switch code {
	case kerr.NetworkException, kerr.CoordinatorLoadInProgress, kerr.CoordinatorNotAvailable, kerr.NotCoordinator:
		// Producers try again after this one without asking for metadata first.
		return as(kerr.NotEnoughReplicas)
	case kerr.ConcurrentTransactions:
		if !adds {
			return as(kerr.NotEnoughReplicas)
		}
	case kerr.ProducerFenced:
		return as(kerr.InvalidProducerEpoch)
	case kerr.TransactionAbortable:
		if !abortable {
			return as(kerr.InvalidTxnState)
		}
	}
	return err
}
