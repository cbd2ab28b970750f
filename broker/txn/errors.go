package txn

import (
	"errors"

	"github.com/twmb/franz-go/pkg/kerr"
)

// markerError is what became of a marker, as the shard knows it: anything that
// is no error of the protocol is tried again.
func markerError(err error) *kerr.Error {
	var code *kerr.Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &code):
		return code
	default:
		return kerr.KafkaStorageError
	}
}
