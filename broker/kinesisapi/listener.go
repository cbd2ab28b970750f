package kinesisapi

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
)

// listener takes connections in cleartext and over TLS on one socket: the first
// byte of a TLS connection is that of a handshake record, which begins no HTTP
// request.
type listener struct {
	net.Listener
	secure  *tls.Config // nil for cleartext only
	most    int
	metrics *metrics
	log     *zap.Logger

	ready  chan net.Conn
	closed chan struct{}
	once   sync.Once
	wg     sync.WaitGroup // the goroutines of this type

	mu    sync.Mutex
	conns map[*conn]struct{}
	empty sync.WaitGroup // connections that are open
}

// tlsHandshake is the first byte of a TLS connection.
const tlsHandshake = 0x16

// acceptPause is how long to wait when no connection can be accepted: out of file
// descriptors, most likely.
const acceptPause = 100 * time.Millisecond

func newListener(l net.Listener, secure *tls.Config, most int, m *metrics, log *zap.Logger) *listener {
	return &listener{
		Listener: l, secure: secure, most: most, metrics: m, log: log,
		ready: make(chan net.Conn), closed: make(chan struct{}), conns: map[*conn]struct{}{},
	}
}

func (l *listener) start() { l.wg.Go(l.take) }

// take accepts connections until the socket is closed.
func (l *listener) take() {
	for {
		nc, err := l.Listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			l.log.Error("a connection could not be accepted", zap.String("listener", "aws"), zap.Error(err))
			select {
			case <-time.After(acceptPause):
			case <-l.closed:
			}
			continue
		}
		c := &conn{Conn: nc, l: l}
		if !l.admit(c) {
			l.metrics.rejected.Inc()
			l.log.Warn("a connection was closed: aws.max.connections is reached", zap.Stringer("remote", nc.RemoteAddr()))
			nc.Close()
			continue
		}
		l.wg.Go(func() { l.hand(c) })
	}
}

// admit counts a connection in, if there is room.
func (l *listener) admit(c *conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.conns) >= l.most {
		return false
	}
	l.conns[c] = struct{}{}
	l.empty.Add(1)
	l.metrics.connections.Inc()
	return true
}

func (l *listener) forget(c *conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.conns, c)
	l.metrics.connections.Dec()
	l.empty.Done()
}

// hand gives a connection to the HTTP server once it is known what it speaks.
func (l *listener) hand(c *conn) {
	var out net.Conn = c
	if l.secure != nil {
		if !c.peek() {
			c.Close()
			return
		}
		if c.first == tlsHandshake {
			out = tls.Server(c, l.secure)
		}
	}
	select {
	case l.ready <- out:
	case <-l.closed:
		c.Close()
	}
}

// Accept implements net.Listener.
func (l *listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.ready:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// Close takes no more connections. Those of which nothing has been heard are
// closed; the others are the HTTP server's to end.
func (l *listener) Close() error {
	err := net.ErrClosed
	l.once.Do(func() {
		close(l.closed)
		err = l.Listener.Close()
		l.mu.Lock()
		defer l.mu.Unlock()
		for c := range l.conns {
			c.interrupt()
		}
	})
	return err
}

// wait returns when every connection is closed.
func (l *listener) wait() {
	l.wg.Wait()
	l.empty.Wait()
}

// conn is a connection whose first byte may have been read already.
type conn struct {
	net.Conn
	l     *listener
	first byte
	once  sync.Once

	writing atomic.Int64 // when the write began that has not ended, since started; 0 for none

	mu      sync.Mutex
	peeking bool
	unread  bool // first is still to be read
}

// peek waits for the first byte.
func (c *conn) peek() bool {
	c.mu.Lock()
	c.peeking = true
	c.Conn.SetReadDeadline(time.Now().Add(headerTime))
	c.mu.Unlock()
	select {
	case <-c.l.closed:
		return false
	default:
	}
	var b [1]byte
	n, _ := c.Conn.Read(b[:])
	c.mu.Lock()
	c.peeking = false
	c.mu.Unlock()
	c.first, c.unread = b[0], n == 1
	c.Conn.SetReadDeadline(time.Time{})
	return n == 1
}

// interrupt ends a wait for the first byte.
func (c *conn) interrupt() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.peeking {
		c.Conn.SetReadDeadline(time.Unix(1, 0))
	}
}

func (c *conn) Read(b []byte) (int, error) {
	if c.unread && len(b) > 0 {
		b[0], c.unread = c.first, false
		return 1, nil
	}
	return c.Conn.Read(b)
}

func (c *conn) Write(b []byte) (int, error) {
	c.writing.Store(max(1, int64(time.Since(started))))
	defer c.writing.Store(0)
	return c.Conn.Write(b)
}

// started is what times are counted from: a difference that no change of the clock
// alters.
var started = time.Now()

// stuck is for how long the write has waited that has not ended, 0 for none.
func (c *conn) stuck() time.Duration {
	began := c.writing.Load()
	if began == 0 {
		return 0
	}
	return time.Since(started) - time.Duration(began)
}

// endStuck closes the connection if nothing of what is written is read for so long.
func (c *conn) endStuck(silence time.Duration) {
	if waits := c.stuck(); waits > 0 && waits >= silence {
		c.Close()
	}
}

type connKey struct{}

// withConn tells requests what connection they come on.
func withConn(ctx context.Context, nc net.Conn) context.Context {
	if secure, ok := nc.(*tls.Conn); ok {
		nc = secure.NetConn()
	}
	return context.WithValue(ctx, connKey{}, nc)
}

func connOf(ctx context.Context) *conn {
	c, _ := ctx.Value(connKey{}).(*conn)
	return c
}

func (c *conn) Close() error {
	err := c.Conn.Close()
	c.once.Do(func() { c.l.forget(c) })
	return err
}
