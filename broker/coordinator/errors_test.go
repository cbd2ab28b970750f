package coordinator

import (
	"errors"
	"fmt"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/streamweir/streamweir/storage"
)

func TestClientError(t *testing.T) {
	for _, c := range []struct {
		err  error
		want *kerr.Error
	}{
		{nil, nil},
		{storage.ErrNoSpace, kerr.CoordinatorNotAvailable},
		{storage.ErrTerm, kerr.CoordinatorNotAvailable},
		{kerr.UnknownTopicOrPartition, kerr.CoordinatorNotAvailable},
		{kerr.NotEnoughReplicas, kerr.CoordinatorNotAvailable},
		{kerr.NotEnoughReplicasAfterAppend, kerr.CoordinatorNotAvailable},
		{kerr.RequestTimedOut, kerr.CoordinatorNotAvailable},
		{storage.ErrFailed, kerr.NotCoordinator},
		{storage.ErrClosed, kerr.NotCoordinator},
		{kerr.NotLeaderForPartition, kerr.NotCoordinator},
		{kerr.KafkaStorageError, kerr.NotCoordinator},
		{kerr.FencedLeaderEpoch, kerr.NotCoordinator},
		{kerr.MessageTooLarge, kerr.UnknownServerError},
		{kerr.RecordListTooLarge, kerr.UnknownServerError},
		{kerr.InvalidFetchSize, kerr.UnknownServerError},
		{errors.New("something of our own"), kerr.UnknownServerError},
		{kerr.InvalidProducerEpoch, kerr.InvalidProducerEpoch},
	} {
		err := c.err
		if err != nil {
			err = fmt.Errorf("append: %w", err)
		}
		if got := ClientError(err); got != c.want {
			t.Errorf("ClientError(%v) is %v, want %v", err, got, c.want)
		}
	}
}
