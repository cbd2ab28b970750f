package workload

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"
)

// Network is what all clients of a run reach the broker through: it can cut
// their connections, keep responses from them, and refuse new connections.
type Network struct {
	mu      sync.Mutex
	conns   map[*conn]struct{}
	refused bool
	deaf    bool
	cuts    int
	wrap    func(net.Conn) net.Conn
}

// NewNetwork returns a network that works.
func NewNetwork() *Network { return &Network{conns: map[*conn]struct{}{}} }

var errRefused = errors.New("connection refused: the network is cut")

// Dial is for kgo.Dialer.
func (n *Network) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	return n.dial(ctx, network, addr, n.wrap)
}

// DialHTTP is for http.Transport. A liar that speaks Kafka's protocol is not in
// the way.
func (n *Network) DialHTTP(ctx context.Context, network, addr string) (net.Conn, error) {
	return n.dial(ctx, network, addr, nil)
}

func (n *Network) dial(ctx context.Context, network, addr string, wrap func(net.Conn) net.Conn) (net.Conn, error) {
	n.mu.Lock()
	refused := n.refused
	n.mu.Unlock()
	if refused {
		return nil, errRefused
	}
	d := net.Dialer{Timeout: 5 * time.Second}
	inner, err := d.DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	if wrap != nil {
		inner = wrap(inner)
	}
	c := &conn{Conn: inner, net: n, closed: make(chan struct{})}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.conns[c] = struct{}{}
	return c, nil
}

// Cut closes every connection there is.
func (n *Network) Cut() {
	n.mu.Lock()
	conns := make([]*conn, 0, len(n.conns))
	for c := range n.conns {
		conns = append(conns, c)
	}
	n.cuts += len(conns)
	n.mu.Unlock()
	for _, c := range conns {
		c.Close()
	}
}

// Refuse lets no connection be made, until it is called with false.
func (n *Network) Refuse(yes bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.refused = yes
}

// Deaf keeps responses from the clients, until it is called with false.
func (n *Network) Deaf(yes bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.deaf = yes
}

// Heal lets everything through.
func (n *Network) Heal() {
	n.Refuse(false)
	n.Deaf(false)
}

func (n *Network) isDeaf() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.deaf
}

// Cuts is how many connections have been cut.
func (n *Network) Cuts() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.cuts
}

// conn is a client's connection.
type conn struct {
	net.Conn
	net    *Network
	once   sync.Once
	closed chan struct{}
}

// Read loses what comes while the network is deaf: the connection has to be cut
// then, since the stream is broken.
func (c *conn) Read(b []byte) (int, error) {
	for {
		n, err := c.Conn.Read(b)
		if err != nil || !c.net.isDeaf() {
			return n, err
		}
		select { // what was read is lost; wait for the cut
		case <-c.closed:
			return 0, net.ErrClosed
		case <-time.After(deafAtMost):
			c.Close()
			return 0, net.ErrClosed
		}
	}
}

// deafAtMost ends a connection that has lost a response, whatever happens.
const deafAtMost = 10 * time.Second

func (c *conn) Close() error {
	c.once.Do(func() {
		close(c.closed)
		c.net.mu.Lock()
		delete(c.net.conns, c)
		c.net.mu.Unlock()
	})
	return c.Conn.Close()
}
