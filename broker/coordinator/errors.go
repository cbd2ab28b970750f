package coordinator

import (
	"errors"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/streamweir/streamweir/storage"
)

// ClientError says what a client gets to see when the log has refused an
// append. Clients try again after COORDINATOR_NOT_AVAILABLE and NOT_COORDINATOR;
// they would not know what to do with the errors of a produce.
func ClientError(err error) *kerr.Error {
	var code *kerr.Error
	switch {
	case err == nil:
		return nil
	case errors.Is(err, storage.ErrNoSpace), errors.Is(err, storage.ErrTerm):
		return kerr.CoordinatorNotAvailable // passes by itself
	case errors.Is(err, storage.ErrFailed), errors.Is(err, storage.ErrClosed):
		return kerr.NotCoordinator
	case !errors.As(err, &code):
		return kerr.UnknownServerError
	}
	switch code {
	case kerr.UnknownTopicOrPartition, kerr.NotEnoughReplicas, kerr.NotEnoughReplicasAfterAppend, kerr.RequestTimedOut:
		return kerr.CoordinatorNotAvailable
	case kerr.NotLeaderForPartition, kerr.KafkaStorageError, kerr.FencedLeaderEpoch:
		return kerr.NotCoordinator
	case kerr.MessageTooLarge, kerr.RecordListTooLarge, kerr.InvalidFetchSize:
		return kerr.UnknownServerError
	}
	return code
}
