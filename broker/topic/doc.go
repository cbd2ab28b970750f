// Package topic is the room for what exists: the catalogue of topics with
// their ids, partition counts and configs, and the configs of the broker that
// were changed at run time. It keeps them durably in a storage.Meta and hands
// out immutable snapshots that are read without a lock. It knows nothing of the
// records in the topics.
//
// The rules for names, counts, assignments and configs are Apache Kafka's for a
// cluster of one broker, and so are the error codes.
package topic

import (
	"fmt"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
)

// Error is a refusal that the client gets to see: a Kafka error code, and what
// was wrong with what in words. Errors of this package that are not *Error come
// from the store: their text is not meant for clients.
type Error struct {
	Kafka  *kerr.Error
	Detail string
}

func (e *Error) Error() string { return e.Kafka.Message + ": " + e.Detail }

// Unwrap gives the Kafka error, for errors.Is.
func (e *Error) Unwrap() error { return e.Kafka }

// Refuse makes a refusal with a message for the client.
func Refuse(code *kerr.Error, format string, args ...any) *Error {
	return refuse(code, format, args...)
}

func refuse(code *kerr.Error, format string, args ...any) *Error {
	detail := fmt.Sprintf(format, args...)
	if len(detail) > maxDetail {
		detail = strings.ToValidUTF8(detail[:maxDetail], "") + "..."
	}
	return &Error{code, detail}
}

// maxDetail bounds a message, which may quote what a client sent: older
// versions of the protocol have room for texts of 32767 bytes only.
const maxDetail = 1000

// storeError wraps an error of the store, with the code that clients get of it.
func storeError(doing string, err error) error {
	return fmt.Errorf("%s: %w: %w", doing, kerr.KafkaStorageError, err)
}
