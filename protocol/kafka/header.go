package kafka

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// A RequestHeader is what every request begins with.
type RequestHeader struct {
	Key           Key
	Version       int16
	CorrelationID int32
	// ClientID lies in the frame; nil for null. Copy it to keep it.
	ClientID []byte
	// Flexible says that the request's encoding has compact lengths and tagged
	// fields (KIP-482).
	Flexible bool
}

// ErrMalformedRequest is in the chain of the errors for requests that cannot be
// decoded. The connection is to be closed, as Apache Kafka does.
var ErrMalformedRequest = errors.New("malformed request")

// An UnsupportedError is the error for an API or a version that is not served.
// Apache Kafka closes the connection, but for ApiVersions, which it answers
// (see AppendUnsupportedAPIVersions); CorrelationID is for that answer.
type UnsupportedError struct {
	Key           Key
	Version       int16
	CorrelationID int32
}

func (e *UnsupportedError) Error() string {
	r, ok := served[e.Key]
	if !ok {
		return fmt.Sprintf("API key %d is not served", int16(e.Key))
	}
	return fmt.Sprintf("%v version %d is not served; versions %d to %d are", e.Key, e.Version, r.Min, r.Max)
}

// fixedHeaderSize is key, version and correlation id.
const fixedHeaderSize = 8

// ParseHeader reads the header of a request, from a frame without its length,
// and returns the body behind it. Nothing is copied.
//
// The error is an *UnsupportedError, or wraps ErrMalformedRequest.
func ParseHeader(frame []byte) (h RequestHeader, body []byte, err error) {
	if len(frame) < fixedHeaderSize {
		return h, nil, fmt.Errorf("%w: a header of %d bytes", ErrMalformedRequest, len(frame))
	}
	h.Key = Key(binary.BigEndian.Uint16(frame))
	h.Version = int16(binary.BigEndian.Uint16(frame[2:]))
	h.CorrelationID = int32(binary.BigEndian.Uint32(frame[4:]))
	r, ok := served[h.Key]
	if !ok || !r.Has(h.Version) {
		return h, nil, &UnsupportedError{h.Key, h.Version, h.CorrelationID}
	}
	h.Flexible = h.Version >= requestSchemas[h.Key].flexible
	w := walker{b: frame[fixedHeaderSize:]}
	// The client id keeps its old encoding in flexible headers, so that it can
	// be read before the version is understood.
	n := w.int16()
	if n >= 0 {
		h.ClientID = w.take(int(n))
	}
	if h.Flexible {
		w.tags()
	}
	if w.bad {
		return h, nil, fmt.Errorf("%w: %v version %d: its header ends early", ErrMalformedRequest, h.Key, h.Version)
	}
	return h, w.b, nil
}

// DecodeRequest measures and decodes a request's body (see Measured.Decode).
func DecodeRequest(h RequestHeader, body []byte) (kmsg.Request, error) {
	m, err := Measure(h, body)
	if err != nil {
		return nil, err
	}
	return m.Decode()
}

// Decode decodes the body into kmsg's type for it. Byte fields (record batches among
// them) lie in the body; strings are copied. The error wraps ErrMalformedRequest.
func (m *Measured) Decode() (kmsg.Request, error) {
	req := kmsg.RequestForKey(int16(m.header.Key))
	req.SetVersion(m.header.Version)
	if err := req.ReadFrom(m.body); err != nil {
		return nil, fmt.Errorf("%w: %v version %d: %v", ErrMalformedRequest, m.header.Key, m.header.Version, err)
	}
	return req, nil
}

// AppendResponseHeader appends the header of resp, whose version is set. The
// header of an ApiVersions response is never flexible: the client may not know
// yet what the broker speaks.
func AppendResponseHeader(dst []byte, correlationID int32, resp kmsg.Response) []byte {
	dst = binary.BigEndian.AppendUint32(dst, uint32(correlationID))
	if resp.IsFlexible() && Key(resp.Key()) != APIVersions {
		dst = append(dst, 0) // no tagged fields
	}
	return dst
}
