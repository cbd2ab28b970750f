package kinesisapi

import (
	"context"
	"math"
	"net/http"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/streamweir/streamweir/protocol/aws"
	"github.com/streamweir/streamweir/protocol/aws/kinesis"
)

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	call := s.newCall(w, r)
	// Also where a request is answered without its body: the HTTP server waits for
	// that, or a part of it, before it goes on.
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(s.pieceTime))
	if !s.begin() {
		s.answerXML(w, call, http.StatusServiceUnavailable, errBusy)
		return
	}
	defer s.inFlight.Done()
	if !s.takePlace(r.Context()) {
		s.metrics.rejectedRequests.Inc()
		s.answerXML(w, call, http.StatusServiceUnavailable, errBusy)
		return
	}
	defer func() { <-s.places }()
	defer call.release()
	defer s.recovered(call)
	if s.crossOrigin(w, r) {
		return
	}
	switch {
	case isQuery(r):
		s.sts(w, r, call)
	case r.Method != http.MethodPost:
		s.answerXML(w, call, http.StatusForbidden, errNoOperation)
	default:
		s.action(w, r, call)
	}
}

// takePlace takes one of the places for requests. Where there is none, those whose
// bodies come slowly lose theirs, and those whose answers are read slowly, by the rule
// for memory: a few connections could hold all of them for the time that a body has.
func (s *Server) takePlace(ctx context.Context) bool {
	select {
	case s.places <- struct{}{}:
		return true
	default:
	}
	select {
	case s.waiting <- struct{}{}:
		defer func() { <-s.waiting }()
	default:
		return false
	}
	enough := time.NewTimer(s.placeTime)
	defer enough.Stop()
	hurry := time.NewTicker(placeHurry)
	defer hurry.Stop()
	for {
		s.bodies.CutSlow()
		s.outgoing.CutSlow(math.MaxInt64)
		select {
		case s.places <- struct{}{}:
			return true
		case <-hurry.C:
		case <-enough.C:
			return false
		case <-ctx.Done():
			return false
		}
	}
}

// errNoOperation is AWS's answer to what does not look like a request at all.
var errNoOperation = &aws.Error{Type: aws.AccessDenied, Message: "Unable to determine service/operation name to be authorized"}

// recovered ends a request whose handler panicked: a bug of ours. It costs the
// client its connection or stream and nobody else anything.
func (s *Server) recovered(call *Call) {
	r := recover()
	if r == nil {
		return
	}
	if r != http.ErrAbortHandler {
		s.metrics.panics.Inc()
		s.log.Error("a request made its handler panic", zap.String("action", call.Action), zap.String("request_id", call.RequestID),
			zap.Any("panic", r), zap.ByteString("stack", debug.Stack()))
	}
	panic(http.ErrAbortHandler)
}

// action answers a request in JSON or CBOR.
func (s *Server) action(w http.ResponseWriter, r *http.Request, call *Call) {
	start := time.Now()
	call.Codec = aws.CodecOf(r.Header.Get("Content-Type"))
	name, found := strings.CutPrefix(r.Header.Get("X-Amz-Target"), kinesis.Target)
	if call.Codec == nil {
		if !strings.Contains(r.Header.Get("X-Amz-Target"), ".") {
			s.answerXML(w, call, http.StatusForbidden, errNoOperation)
		} else {
			s.answerXML(w, call, http.StatusNotFound, &aws.Error{Type: aws.UnknownOperation})
		}
		return
	}
	h, ok := s.handlers[name]
	if !found || !ok {
		s.fail(w, call, &aws.Error{Type: aws.UnknownOperation})
		return
	}
	call.Action = name
	signed, bad := signature(r)
	if bad != nil {
		s.fail(w, call, bad)
		return
	}
	if !s.readBody(w, r, call) {
		return
	}
	defer func() { s.metrics.done(name, start) }()
	var err error
	if call.Caller, err = s.auth.Authenticate(r.Context(), &SignedRequest{signed, r, call.body.Buf.B}); err != nil {
		s.fail(w, call, s.asError(call, err))
		return
	}
	in := h.input()
	bad = call.Codec.Decode(call.body.Buf.B, in)
	if bad == nil {
		bad = aws.Validate(in)
	}
	if bad != nil {
		s.fail(w, call, bad)
		return
	}
	if h.subscribe != nil {
		s.subscription(w, r, call, in, h)
		return
	}
	out, err := h.unary(s, r.Context(), call, in)
	if err != nil {
		s.fail(w, call, s.asError(call, err))
		return
	}
	if r.Context().Err() != nil {
		panic(http.ErrAbortHandler) // there is nobody to answer
	}
	s.answer(w, call, http.StatusOK, out)
}

// keptBuffer is the largest buffer of a response that is kept for the next.
const keptBuffer = 1 << 20

// responseBuffers are for encoding responses; a collection of garbage empties it.
var responseBuffers = sync.Pool{New: func() any { return new([]byte) }}

// answer sends a response; a nil out has no body.
func (s *Server) answer(w http.ResponseWriter, call *Call, status int, out aws.Output) {
	buf := responseBuffers.Get().(*[]byte)
	body := (*buf)[:0]
	defer func() {
		if cap(body) <= keptBuffer {
			*buf = body
		}
		responseBuffers.Put(buf)
	}()
	if out != nil {
		body = call.Codec.Append(body, out)
	}
	if held, ok := out.(interface{ Encoded(size int) }); ok {
		held.Encoded(len(body)) // the records are not needed while the client reads
	}
	call.body.Release() // nor is what an answer was made of
	s.send(w, call, status, call.Codec.ContentType(), body)
}

// fail answers with an error.
func (s *Server) fail(w http.ResponseWriter, call *Call, e *aws.Error) {
	s.metrics.failed(call.Action, e.Type)
	s.answer(w, call, e.Status(), e)
}

// subscription answers with a stream of events.
func (s *Server) subscription(w http.ResponseWriter, r *http.Request, call *Call, in aws.Input, h handler) {
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	call.body.Release() // a subscription is long, and refers to nothing in it
	out := &EventStream{outlet: newOutlet(w, call), frames: aws.NewEventWriter(call.Codec)}
	defer out.end()
	defer context.AfterFunc(s.stopping, func() {
		cancel()
		out.hurry()
	})()
	err := h.subscribe(s, ctx, call, in, out)
	switch {
	case err == nil || out.broken || out.begun && ctx.Err() != nil:
		// It is over, or there is nobody to tell.
	case out.begun:
		e := s.asError(call, err)
		s.metrics.failed(call.Action, e.Type)
		out.fail(e)
	default:
		s.fail(w, call, s.asError(call, err))
	}
}

// crossOrigin answers what browsers ask before a request, and says in every answer
// to one that the page may see it, for the pages that the configuration names.
// Another page gets no further than to ask: the headers of a request need leave.
func (s *Server) crossOrigin(w http.ResponseWriter, r *http.Request) bool {
	origin, allowed := r.Header.Get("Origin"), s.cfg.AWSAllowOrigin
	if origin == "" || allowed == "" || allowed != "*" && allowed != origin {
		return false
	}
	h := w.Header()
	h.Set("Access-Control-Allow-Origin", allowed)
	if r.Method != http.MethodOptions {
		h.Set("Access-Control-Expose-Headers", "x-amzn-RequestId,x-amzn-ErrorType,x-amz-request-id,x-amz-id-2,x-amzn-ErrorMessage,Date")
		return false
	}
	for ask, allow := range map[string]string{
		"Access-Control-Request-Headers": "Access-Control-Allow-Headers",
		"Access-Control-Request-Method":  "Access-Control-Allow-Methods",
	} {
		if v := r.Header.Get(ask); v != "" {
			h.Set(allow, v)
		}
	}
	h.Set("Access-Control-Max-Age", "172800")
	w.WriteHeader(http.StatusOK)
	return true
}
