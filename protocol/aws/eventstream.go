package aws

import (
	"bytes"
	"fmt"
	"sync"

	// AWS's own implementation of its frames.
	"github.com/aws/aws-sdk-go-v2/aws/protocol/eventstream"
)

// ContentTypeEvents is the media type of an event stream.
const ContentTypeEvents = "application/vnd.amazon.eventstream"

// initialResponse is the event that opens a stream: SDKs wait for it.
const initialResponse = "initial-response"

// EventWriter makes the frames of an event stream. The frame that a method returns
// holds until the next call, or Reset.
type EventWriter struct {
	codec   Codec
	encoder *eventstream.Encoder
	last    *buffer
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

// buffers are for payloads and frames: there are many writers, and most are idle,
// so that none keeps its own. A collection of garbage empties it.
var buffers = sync.Pool{New: func() any { return new(buffer) }}

type buffer struct {
	payload []byte
	frame   bytes.Buffer
}

// keptBuffer is the largest buffer that is kept for the next event, and leaves its
// payload in memory beside its frame.
const keptBuffer = 2 << 20

// headerBytes is more than the headers of a frame take, with its checksums.
const headerBytes = 512

// Reset lets go of the last frame.
func (w *EventWriter) Reset() {
	if w.last != nil {
		if w.last.frame.Cap() > keptBuffer {
			w.last.frame = bytes.Buffer{}
		}
		buffers.Put(w.last)
		w.last = nil
	}
}

func (w *EventWriter) message(kind, name string, payload Output) ([]byte, error) {
	if w.last == nil {
		w.last = buffers.Get().(*buffer)
	}
	b := w.last
	b.payload = w.codec.Append(b.payload[:0], payload)
	var headers eventstream.Headers
	headers.Set(":"+kind+"-type", eventstream.StringValue(name))
	headers.Set(":content-type", eventstream.StringValue(w.codec.ContentType()))
	headers.Set(":message-type", eventstream.StringValue(kind))
	b.frame.Reset()
	b.frame.Grow(len(b.payload) + headerBytes)
	if err := w.encoder.Encode(&b.frame, eventstream.Message{Headers: headers, Payload: b.payload}); err != nil {
		return nil, fmt.Errorf("encode %s %s: %w", kind, name, err)
	}
	if cap(b.payload) > keptBuffer {
		b.payload = nil
	}
	return b.frame.Bytes(), nil
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
