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
}

// A RecordError is the reason why one record of a batch was refused.
type RecordError struct {
	Index   int32 // of the record in its batch, from 0
	Message string
}

func (e *RefusedError) Error() string { return e.Kafka.Message + ": " + e.Detail }

// Unwrap gives the Kafka error, so that errors.Is(err, kerr.CorruptMessage) and
// errors.As with a *kerr.Error work.
func (e *RefusedError) Unwrap() error { return e.Kafka }

func refuse(code *kerr.Error, format string, args ...any) *RefusedError {
	return &RefusedError{Kafka: code, Detail: fmt.Sprintf(format, args...)}
}

// ErrTruncated is in the chain of the error for a batch that ends early.
var ErrTruncated = errors.New("record batch is cut short")

// truncatedError is a refusal that errors.Is also knows as ErrTruncated.
type truncatedError struct{ *RefusedError }

func (e truncatedError) Unwrap() []error { return []error{ErrTruncated, e.RefusedError} }
