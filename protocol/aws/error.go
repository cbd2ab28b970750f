package aws

// Error is an error as AWS answers it.
type Error struct {
	// Type is its name without a namespace, such as ResourceNotFoundException.
	Type    string
	Message string
}

func (e *Error) Error() string {
	if e.Message == "" {
		return e.Type
	}
	return e.Type + ": " + e.Message
}

// Errors of the protocol itself, which any action can answer.
const (
	Serialization              = "SerializationException"
	Validation                 = "ValidationException"
	UnknownOperation           = "UnknownOperationException"
	MissingAuthenticationToken = "MissingAuthenticationTokenException"
	IncompleteSignature        = "IncompleteSignatureException"
	InvalidSignature           = "InvalidSignatureException"
	AccessDenied               = "AccessDeniedException"
	InternalFailure            = "InternalFailureException"
	ServiceUnavailable         = "ServiceUnavailable"
)

// Status is the HTTP status of a JSON or CBOR answer with this error.
func (e *Error) Status() int {
	switch e.Type {
	case InternalFailure:
		return 500
	case ServiceUnavailable:
		return 503
	}
	return 400
}

// Encode writes the error's body. AWS spells the message of a
// SerializationException with a capital, and leaves an empty one out.
func (e *Error) Encode(w Encoder) {
	w.BeginObject()
	w.Field("__type")
	w.String(e.Type)
	if e.Message != "" {
		if e.Type == Serialization {
			w.Field("Message")
		} else {
			w.Field("message")
		}
		w.String(e.Message)
	}
	w.EndObject()
}
