package kafka

import (
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
)

// A RefusedError says that bytes from a client break a rule of the protocol.
// It carries the Kafka error that the client gets, and what was wrong in words.
type RefusedError struct {
	// Kafka is the error code and name for the answer.
	Kafka *kerr.Error
	// Detail says what was wrong; it is fit to be sent to the client
	// (ErrorMessage of ProduceResponse v8+).
	Detail string
	// Records names the records that were refused, where the rule is about
	// single records (ErrorRecords of ProduceResponse v8+). It holds at most
	// MaxRecordErrors of them.
	Records []RecordError

	cause error // ErrTruncated, or nil
}

// A RecordError is the reason why one record of a batch was refused.
type RecordError struct {
	Index   int32 // of the record in its batch, from 0
	Message string
}

func (e *RefusedError) Error() string { return e.Kafka.Message + ": " + e.Detail }

// Unwrap gives the Kafka error, so that errors.Is(err, kerr.CorruptMessage) and
// errors.As with a *kerr.Error work, and ErrTruncated where it applies.
func (e *RefusedError) Unwrap() []error {
	if e.cause == nil {
		return []error{e.Kafka}
	}
	return []error{e.Kafka, e.cause}
}

// ErrTruncated is in the chain of the error for a batch that ends early.
var ErrTruncated = errors.New("record batch is cut short")

func refuse(code *kerr.Error, format string, args ...any) *RefusedError {
	return &RefusedError{Kafka: code, Detail: fmt.Sprintf(format, args...)}
}

func truncated(format string, args ...any) *RefusedError {
	e := refuse(kerr.InvalidRecord, format, args...)
	e.cause = ErrTruncated
	return e
}
