package kinesisapi

import (
	"context"
	"errors"

	"go.uber.org/zap"

	"github.com/streamweir/streamweir/broker/stream"
	"github.com/streamweir/streamweir/protocol/aws"
	"github.com/streamweir/streamweir/storage"
)

// errBusy is the answer where aws.max.requests is reached or the server stops.
var errBusy = &aws.Error{Type: aws.ServiceUnavailable, Message: "The server has too much to do or is about to stop. Try again."}

// asError makes an error what its client gets to see. One that is not for clients
// is logged.
func (s *Server) asError(call *Call, err error) *aws.Error {
	var shown *aws.Error
	var refused *stream.Error
	switch {
	case errors.As(err, &refused):
		return &aws.Error{Type: refused.Type, Message: refused.Message}
	case errors.As(err, &shown):
		return shown
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return errBusy // the client is gone, or the server stops
	}
	if why := storageRefusal(err); why != "" {
		return &aws.Error{Type: aws.InternalFailure, Message: why}
	}
	s.log.Error("a request failed", zap.String("action", call.Action), zap.String("request_id", call.RequestID), zap.Error(err))
	return internalFailure(call)
}

// storageRefusal is what a client is told of a storage that takes no writes; it is
// empty where err is something else.
func storageRefusal(err error) string {
	switch {
	case errors.Is(err, storage.ErrNoSpace):
		return "The disk of the server is full: it takes no records until there is space again."
	case errors.Is(err, storage.ErrFailed):
		return "The storage of the server has failed: it takes no writes until it is started again."
	}
	return ""
}

func internalFailure(call *Call) *aws.Error {
	return &aws.Error{Type: aws.InternalFailure, Message: "The request failed inside the server, whose log has the reason under request id " + call.RequestID + "."}
}
