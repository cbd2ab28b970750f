package stream

import "fmt"

// Error is a refusal by the terms of the Kinesis API: the client gets to see
// both parts.
type Error struct {
	Type    string // without a namespace, as in ResourceNotFoundException
	Message string
}

func (e *Error) Error() string { return e.Type + ": " + e.Message }

// Errorf makes a refusal.
func Errorf(typ, format string, args ...any) *Error {
	return &Error{typ, fmt.Sprintf(format, args...)}
}

// The types of refusals.
const (
	AccessDenied       = "AccessDeniedException"
	InvalidArgument    = "InvalidArgumentException"
	LimitExceeded      = "LimitExceededException"
	ResourceInUse      = "ResourceInUseException"
	ResourceNotFound   = "ResourceNotFoundException"
	Validation         = "ValidationException"
	ExpiredNextToken   = "ExpiredNextTokenException"
	ExpiredIterator    = "ExpiredIteratorException"
	ThroughputExceeded = "ProvisionedThroughputExceededException"
	InternalFailure    = "InternalFailureException"
	DryRunOperation    = "DryRunOperationException"
	KMSInvalidState    = "KMSInvalidStateException"
	KMSNotFound        = "KMSNotFoundException"
)
