package kinesisapi

import (
	"context"
	"maps"

	"github.com/streamweir/streamweir/protocol/aws"
)

// handler answers one action.
type handler struct {
	input func() aws.Input
	// One of them is set. A nil output is an answer without a body.
	unary     func(*Server, context.Context, *Call, aws.Input) (aws.Output, error)
	subscribe func(*Server, context.Context, *Call, aws.Input, *EventStream) error
}

// input is a pointer to I that is the request of an action.
type input[I any] interface {
	*I
	aws.Input
}

// answers makes a handler of a method that returns a response.
func answers[I any, P input[I], O aws.Output](h func(*Server, context.Context, *Call, P) (O, error)) handler {
	return handler{
		input: func() aws.Input { return P(new(I)) },
		unary: func(s *Server, ctx context.Context, call *Call, in aws.Input) (aws.Output, error) {
			out, err := h(s, ctx, call, in.(P))
			if err != nil {
				return nil, err
			}
			return out, nil
		},
	}
}

// acknowledges makes a handler of a method whose response has no body.
func acknowledges[I any, P input[I]](h func(*Server, context.Context, *Call, P) error) handler {
	return handler{
		input: func() aws.Input { return P(new(I)) },
		unary: func(s *Server, ctx context.Context, call *Call, in aws.Input) (aws.Output, error) {
			return nil, h(s, ctx, call, in.(P))
		},
	}
}

// subscribes makes a handler of a method that sends events.
func subscribes[I any, P input[I]](h func(*Server, context.Context, *Call, P, *EventStream) error) handler {
	return handler{
		input: func() aws.Input { return P(new(I)) },
		subscribe: func(s *Server, ctx context.Context, call *Call, in aws.Input, out *EventStream) error {
			return h(s, ctx, call, in.(P), out)
		},
	}
}

// table finds the handler of an action by its name.
type table map[string]handler

// handlers are all that are served.
func handlers() table {
	all := table{}
	for _, part := range []table{controlPlane(), dataPlane(), channels()} {
		maps.Copy(all, part)
	}
	for action, h := range all {
		all[action] = h.limited(action)
	}
	return all
}
