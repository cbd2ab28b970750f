package kinesisapi

import (
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"go.uber.org/zap"
)

// outlet is where a response goes out. It is used by one goroutine, but for allow and
// cut.
type outlet struct {
	s       *Server
	call    *Call
	w       http.ResponseWriter
	control *http.ResponseController

	mu   sync.Mutex
	late bool // its deadline has passed and does not change any more
	over bool // w must not be used any more
}

const (
	// writePiece is how much of a response has a deadline of its own: who reads
	// nothing of a large one does not hold its memory for as long as it may take.
	writePiece = 256 << 10
	// writeStep is how much of it is written at a time, and counts as read then.
	writeStep = 64 << 10
)

func newOutlet(w http.ResponseWriter, call *Call) outlet {
	return outlet{s: call.s, call: call, w: w, control: http.NewResponseController(w)}
}

// send writes a whole response.
func (s *Server) send(w http.ResponseWriter, call *Call, status int, contentType string, body []byte) {
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	o := newOutlet(w, call)
	defer o.end()
	allow := func() { o.allow(s.writeTime) }
	allow()
	w.WriteHeader(status)
	if o.write(body, allow, false) != nil {
		panic(http.ErrAbortHandler) // the connection is no good any more
	}
}

// write sends b, of which the client has to read each piece in the time that it is
// allowed, and all of it without delay where others wait for what the response holds.
func (o *outlet) write(b []byte, allow func(), flush bool) error {
	held := o.s.outgoing.Begin(len(b), o.cut)
	err := o.steps(b, allow, held.Took)
	if err == nil && flush {
		err = o.control.Flush()
	}
	cut := held.End()
	switch {
	case err == nil:
	case cut:
		o.s.metrics.slowResponses.Inc()
		o.s.log.Warn("a response was cut off: its client did not read it while others waited",
			zap.String("action", o.call.Action), zap.String("request_id", o.call.RequestID), zap.String("remote", o.call.remote))
	default:
		o.s.metrics.brokenResponses.Inc()
	}
	return err
}

func (o *outlet) steps(b []byte, allow func(), took func(int)) error {
	for piece := range slices.Chunk(b, writePiece) {
		allow()
		for step := range slices.Chunk(piece, writeStep) {
			n, err := o.w.Write(step)
			o.s.metrics.bytesOut.Add(float64(n))
			if err != nil {
				return err
			}
			took(n)
		}
	}
	return nil
}

// allow gives the client its time to read what comes next.
func (o *outlet) allow(d time.Duration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.late && !o.over {
		_ = o.control.SetWriteDeadline(time.Now().Add(d))
	}
}

// cut ends what is being written: of an HTTP/2 connection only the stream, unless the
// client reads nothing of the connection either, so that it cannot be told.
func (o *outlet) cut() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.over {
		return
	}
	if !o.late {
		_ = o.control.SetWriteDeadline(time.Unix(1, 0))
		o.late = true
	}
	if o.call.conn != nil {
		o.call.conn.endStuck(o.s.outgoing.Haste.Silence)
	}
}

// end is called before the handler returns.
func (o *outlet) end() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.over = true
}
