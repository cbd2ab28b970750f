package kinesisapi

import (
	"errors"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/streamweir/streamweir/broker/memory"
)

// body is a request's body as it arrives.
type body struct {
	r       *http.Request
	control *http.ResponseController
	time    time.Duration // for each piece, waits of the server not counted

	mu   sync.Mutex
	over bool // its deadline does not change any more
}

func (b *body) Read(p []byte) (int, error) { return b.r.Body.Read(p) }
func (b *body) Gone() <-chan struct{}      { return b.r.Context().Done() }
func (b *body) Took(int64)                 {}

// Piece gives the next piece its time.
func (b *body) Piece() { b.until(time.Now().Add(b.time), false) }

// Cut lets the body end: what is read of it from now on is too late.
func (b *body) Cut() { b.until(time.Unix(1, 0), true) }

// until sets the deadline, which every connection of this server has, and for the
// last time if it is over.
func (b *body) until(deadline time.Time, over bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.over {
		_ = b.control.SetReadDeadline(deadline)
	}
	b.over = over || b.over
}

// end sets the last deadline: none where the body is here, since it would end the
// handler's context, and otherwise one that has passed, since the HTTP server waits
// for what is left of a body before it closes a connection.
func (b *body) end(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	deadline := time.Time{}
	if err != nil {
		deadline = time.Unix(1, 0)
	}
	_ = b.control.SetReadDeadline(deadline)
	b.over = true
}

// What is read and thrown away of a body that is too large, for how long, and how long
// nothing may come.
const (
	drainBytes = 64 << 20
	drainTime  = 2 * time.Second
	drainPause = 250 * time.Millisecond
)

// drain is the rest of a body that is too large. It ends early while other requests
// wait for a place, which this one holds.
type drain struct {
	s   *Server
	b   *body
	end time.Time
}

func (d *drain) Read(p []byte) (int, error) {
	if len(d.s.waiting) > 0 {
		return 0, memory.ErrTooLarge
	}
	deadline := time.Now().Add(drainPause)
	if deadline.After(d.end) {
		deadline = d.end
	}
	d.b.until(deadline, false)
	return d.b.r.Body.Read(p)
}

// refuseBody answers a request whose body is too large. What is left of that is thrown
// away first: many clients look for the answer only after they have sent everything,
// and some never if they are stopped before that.
func (s *Server) refuseBody(w http.ResponseWriter, b *body) {
	s.metrics.rejectedRequests.Inc()
	_, err := io.CopyN(io.Discard, &drain{s, b, time.Now().Add(drainTime)}, drainBytes)
	if errors.Is(err, io.EOF) {
		b.end(nil)
	} else {
		b.end(memory.ErrTooLarge)
		w.Header().Set("Connection", "close")
	}
	// Without a body, as AWS's front refuses it: what clients show is the status.
	w.WriteHeader(http.StatusRequestEntityTooLarge)
}

// readBody reads a request's body, or answers what is wrong with it.
func (s *Server) readBody(w http.ResponseWriter, r *http.Request, call *Call) bool {
	b := &body{r: r, control: http.NewResponseController(w), time: s.pieceTime}
	size, most := r.ContentLength, int64(s.cfg.AWSRequestMaxBytes)
	var err error
	switch {
	case size > most:
		err = memory.ErrTooLarge
	case size < 0:
		call.body, err = s.bodies.For(int(most)+1).ReadAll(b, int(most))
	default:
		call.body, err = s.bodies.For(int(size)).Read(b, int(size), 0)
	}
	if errors.Is(err, memory.ErrTooLarge) {
		s.refuseBody(w, b)
		return false
	}
	b.end(err)
	switch {
	case err == nil:
		s.metrics.bytesIn.Add(float64(len(call.body.Buf.B)))
		return true
	case errors.Is(err, memory.ErrTooSlow):
		s.metrics.slowRequests.Inc()
	default:
		s.metrics.brokenRequests.Inc()
	}
	// The client is gone or too slow: there is nobody to answer.
	panic(http.ErrAbortHandler)
}
