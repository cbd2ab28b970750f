package kafkaapi

import (
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
)

// refuseToVerify is for a server without a transaction coordinator: it knows of
// no transaction.
func refuseToVerify(txnID string, _ int64, _ int16, _ string, _ int32, _ bool, done func(error)) {
	done(fmt.Errorf("%w: there is no transaction coordinator for %q", kerr.InvalidTxnState, txnID))
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
		return fmt.Errorf("%w: the partition is not verified to be part of the transaction: %w", other, err)
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
