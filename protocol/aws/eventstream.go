package aws

import (
	"bytes"
	"fmt"

	// AWS's own implementation of its frames.
	"github.com/aws/aws-sdk-go-v2/aws/protocol/eventstream"
)

// ContentTypeEvents is the media type of an event stream.
const ContentTypeEvents = "application/vnd.amazon.eventstream"

// initialResponse is the event that opens a stream: SDKs wait for it.
const initialResponse = "initial-response"

// EventWriter makes the frames of an event stream. The frame that a method returns
// holds until the next call.
type EventWriter struct {
	codec   Codec
	encoder *eventstream.Encoder
	payload []byte
	frame   bytes.Buffer
}

// NewEventWriter returns a writer of frames with payloads in codec.
func NewEventWriter(codec Codec) *EventWriter {
	return &EventWriter{codec: codec, encoder: eventstream.NewEncoder()}
}

// Initial is the frame that comes first.
func (w *EventWriter) Initial() ([]byte, error) {
	return w.message("event", initialResponse, emptyObject{})
}

// Event is the frame of an event.
func (w *EventWriter) Event(name string, event Output) ([]byte, error) {
	return w.message("event", name, event)
}

// Exception is the frame of an error that ends the stream.
func (w *EventWriter) Exception(e *Error) ([]byte, error) {
	return w.message("exception", e.Type, exception{e})
}

// keptFrame is the largest buffer that a writer keeps from one event to the next:
// there are many writers, and most are idle.
const keptFrame = 16 << 10

// Reset lets go of the last frame.
func (w *EventWriter) Reset() {
	if cap(w.payload) > keptFrame {
		w.payload = nil
	}
	if w.frame.Cap() > keptFrame {
		w.frame = bytes.Buffer{}
	}
}

func (w *EventWriter) message(kind, name string, payload Output) ([]byte, error) {
	w.payload = w.codec.Append(w.payload[:0], payload)
	var headers eventstream.Headers
	headers.Set(":"+kind+"-type", eventstream.StringValue(name))
	headers.Set(":content-type", eventstream.StringValue(w.codec.ContentType()))
	headers.Set(":message-type", eventstream.StringValue(kind))
	w.frame.Reset()
	if err := w.encoder.Encode(&w.frame, eventstream.Message{Headers: headers, Payload: w.payload}); err != nil {
		return nil, fmt.Errorf("encode %s %s: %w", kind, name, err)
	}
	return w.frame.Bytes(), nil
}

type emptyObject struct{}

func (emptyObject) Encode(e Encoder) {
	e.BeginObject()
	e.EndObject()
}

// exception is the payload of an exception, whose type stands in a header.
type exception struct{ *Error }

func (x exception) Encode(e Encoder) {
	e.BeginObject()
	e.Field("message")
	e.String(x.Message)
	e.EndObject()
}
