package kinesisapi

import (
	"fmt"
	"time"

	"github.com/streamweir/streamweir/protocol/aws"
)

// EventStream is the response of a subscription. It is used by one goroutine.
type EventStream struct {
	outlet
	frames *aws.EventWriter
	begun  bool
	broken bool // the client cannot be reached any more
}

// stopTime is how long a client may take to read a piece of an event while the
// server stops: it goes on where it was with the next subscription.
const stopTime = time.Second

// hurry is called when the server stops.
func (e *EventStream) hurry() { e.allow(stopTime) }

// next gives the client its time to read the next piece.
func (e *EventStream) next() {
	e.allow(e.s.writeTime)
	if e.s.stopping.Err() != nil {
		e.hurry()
	}
}

// Begin tells the client that it is subscribed. Until then, an error that the
// handler returns is answered as that of any action; afterwards it ends the stream
// as an exception.
func (e *EventStream) Begin() error {
	e.begun = true
	e.w.Header().Set("Content-Type", aws.ContentTypeEvents)
	frame, err := e.frames.Initial()
	if err != nil {
		return err
	}
	return e.send(frame)
}

// Send sends an event. It calls encoded, which may be nil, with the event's size
// once that does not need what it was made of any more. An error means that the
// client is gone, or reads nothing: the subscription is over.
func (e *EventStream) Send(event aws.Output, encoded func(size int)) error {
	if !e.begun {
		if err := e.Begin(); err != nil {
			return err
		}
	}
	frame, err := e.frames.Event("SubscribeToShardEvent", event)
	if err != nil {
		return err
	}
	if encoded != nil {
		encoded(len(frame))
	}
	return e.send(frame)
}

func (e *EventStream) fail(err *aws.Error) {
	if frame, ferr := e.frames.Exception(err); ferr == nil {
		_ = e.send(frame) // the stream ends in either case
	}
}

// send sends a frame at once, and lets go of it.
func (e *EventStream) send(frame []byte) error {
	defer e.frames.Reset()
	if err := e.write(frame, e.next, true); err != nil {
		e.broken = true
		return fmt.Errorf("send an event: %w", err)
	}
	return nil
}
