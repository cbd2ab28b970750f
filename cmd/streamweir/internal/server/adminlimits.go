package server

import (
	"net"
	"net/http"
	"sync"
	"time"
)

// adminLimits bounds what clients of the admin address can hold: it has no
// access control.
type adminLimits struct {
	// header is the time to send a request's header, request that for all of it.
	header, request time.Duration
	// answer is the time to read an answer; profiles have profile for it.
	answer, profile time.Duration
	idle            time.Duration
	conns           int
}

func defaultAdminLimits() adminLimits {
	return adminLimits{
		header: 5 * time.Second, request: 10 * time.Second,
		answer: 10 * time.Second, profile: 2 * time.Minute,
		idle: time.Minute, conns: 100,
	}
}

// answering bounds the time that a client may take to read an answer of h.
func (l adminLimits) answering(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// A connection that takes no deadline is bounded by the server's own.
		_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(l.answer))
		h.ServeHTTP(w, r)
	})
}

// limitedListener takes no more connections than its limit; others wait in the
// operating system's queue. While half of the places are taken, connections
// are not kept open between requests, so that those who wait get their turn.
type limitedListener struct {
	net.Listener
	places chan struct{}
	closed chan struct{}
	once   sync.Once
}

func limitListener(l net.Listener, most int) *limitedListener {
	return &limitedListener{Listener: l, places: make(chan struct{}, most), closed: make(chan struct{})}
}

func (l *limitedListener) Accept() (net.Conn, error) {
	select {
	case l.places <- struct{}{}:
	case <-l.closed:
		return nil, net.ErrClosed
	}
	conn, err := l.Listener.Accept()
	if err != nil {
		<-l.places
		return nil, err
	}
	return &limitedConn{Conn: conn, leave: sync.OnceFunc(func() { <-l.places })}, nil
}

func (l *limitedListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

func (l *limitedListener) crowded() bool { return 2*len(l.places) >= cap(l.places) }

// onState is for http.Server.ConnState.
func (l *limitedListener) onState(c net.Conn, state http.ConnState) {
	if state == http.StateIdle && l.crowded() {
		_ = c.Close() // it was between requests
	}
}

type limitedConn struct {
	net.Conn
	leave func()
}

func (c *limitedConn) Close() error {
	c.leave()
	return c.Conn.Close()
}
