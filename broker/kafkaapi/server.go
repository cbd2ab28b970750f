// Package kafkaapi is the Kafka front: it takes connections, reads requests,
// asks the core, and writes responses.
//
// There is one file for each API key, named after it (00_produce.go), which
// opens with the versions that are served and how. A handler does three things:
// check who may, call the core, translate the outcome. handlers.go lists them.
package kafkaapi

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/streamweir/streamweir/broker"
	"github.com/streamweir/streamweir/broker/config"
	"github.com/streamweir/streamweir/broker/memory"
	"github.com/streamweir/streamweir/protocol/kafka"
)

// Server serves the Kafka protocol on one or more listeners.
type Server struct {
	core    *broker.Core
	cfg     *config.Config
	log     *zap.Logger
	metrics *metrics
	served  []kafka.Key // that have a handler

	// intakes have a share of memory for heartbeats, fetches and commits, one for
	// what clients send by default, mostly produce requests, and one for the rest.
	// The others have what may have to wait after it was read: for the memory of its
	// answer, or for a place to make it.
	intakes               *memory.Intakes
	aside, asideForPlaces *memory.Intake

	answers  *answers
	sessions *sessions

	// verify asks the transaction coordinator whether a partition is part of a
	// producer's transaction, or, with implicitAdd, makes it one (KIP-890). done is
	// called exactly once, perhaps before verify returns, and must not be blocked.
	verify func(txnID string, producerID int64, epoch int16, topic string, partition int32, implicitAdd bool, done func(error))

	listeners []*listener
	accepting sync.WaitGroup

	mu       sync.Mutex
	conns    map[*conn]struct{}
	limits   map[string]int // max.connections.per.ip.overrides
	perIP    map[string]int
	draining bool
	stopping chan struct{} // closed with draining
	empty    chan struct{} // closed when draining and no connection is left
}

// listener is one socket, and what clients are told to connect to.
type listener struct {
	net.Listener
	name string
	// host and port are advertised.
	host string
	port int32
}

// New returns a server that does not listen yet.
func New(core *broker.Core, log *zap.Logger) (*Server, error) {
	cfg := core.Config()
	limits, err := cfg.ConnectionsPerIP()
	if err != nil {
		return nil, err
	}
	m := newMetrics()
	aside := cfg.QueuedMaxRequestBytes / asideShare
	s := &Server{
		core: core, cfg: cfg, log: log, metrics: m,
		intakes: memory.NewIntakes(cfg.QueuedMaxRequestBytes, 2*aside, m.memoryWaits.Inc),
		aside:   memory.NewIntake(aside, math.MaxInt32, m.memoryWaits.Inc), asideForPlaces: memory.NewIntake(aside, math.MaxInt32, m.memoryWaits.Inc),
		answers:  newAnswers(cfg.QueuedMaxResponseBytes),
		sessions: newSessions(int(cfg.FetchSessionCacheSlots)),
		conns:    map[*conn]struct{}{}, perIP: map[string]int{}, limits: limits,
		stopping: make(chan struct{}), empty: make(chan struct{}),
		verify: verifier(core),
	}
	for key, h := range handlers {
		if h != nil {
			s.served = append(s.served, kafka.Key(key))
		}
	}
	core.Topics.WatchConfig(func(cfg *config.Config) {
		limits, err := cfg.ConnectionsPerIP()
		if err != nil { // it was checked before it was taken
			log.Error("max.connections.per.ip.overrides is not taken up", zap.Error(err))
			return
		}
		s.mu.Lock()
		s.limits = limits
		s.mu.Unlock()
	})
	return s, nil
}

// Listen opens the listeners of the configuration. Connections are taken once
// Serve is called.
func (s *Server) Listen() error {
	specs, err := s.cfg.ListenerSpecs()
	if err != nil {
		return err
	}
	advertised, err := s.cfg.AdvertisedSpecs()
	if err != nil {
		return err
	}
	for i, spec := range specs {
		l, err := net.Listen("tcp", spec.Addr())
		if err != nil {
			s.closeListeners()
			return fmt.Errorf("listen on %s: %w", spec, err)
		}
		port := advertised[i].Port
		if port == 0 {
			port = l.Addr().(*net.TCPAddr).Port
		}
		s.listeners = append(s.listeners, &listener{
			Listener: l, name: spec.Name, host: advertised[i].Host, port: int32(port),
		})
	}
	return nil
}

// Addrs returns the addresses that are listened on, in the order of listeners.
func (s *Server) Addrs() []string {
	var out []string
	for _, l := range s.listeners {
		out = append(out, l.Addr().String())
	}
	return out
}

// Serve begins to take connections.
func (s *Server) Serve() {
	for _, l := range s.listeners {
		s.accepting.Add(1)
		go s.accept(l)
	}
}

func (s *Server) accept(l *listener) {
	defer s.accepting.Done()
	for {
		nc, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			// Out of file descriptors, most likely: those in use come back as
			// connections end, so it waits for that instead of spinning.
			s.log.Error("a connection could not be accepted", zap.String("listener", l.name), zap.Error(err))
			select {
			case <-time.After(acceptPause):
			case <-s.stopping:
			}
			continue
		}
		if why := s.admit(nc, l); why != "" {
			s.metrics.rejected.Inc()
			s.log.Warn("a connection was closed: "+why, zap.Stringer("remote", nc.RemoteAddr()))
			nc.Close()
		}
	}
}

const acceptPause = 100 * time.Millisecond

// admit starts a connection, or says why it may not be.
func (s *Server) admit(nc net.Conn, l *listener) string {
	ip, _, _ := net.SplitHostPort(nc.RemoteAddr().String())
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.draining:
		return "the server is shutting down"
	case len(s.conns) >= int(s.core.Config().MaxConnections):
		return "max.connections is reached"
	case s.perIP[ip] >= s.perIPLimit(ip):
		return "max.connections.per.ip is reached"
	}
	c := newConn(s, nc, l, ip)
	s.conns[c] = struct{}{}
	s.perIP[ip]++
	s.metrics.connections.Inc()
	c.start()
	return ""
}

func (s *Server) perIPLimit(ip string) int {
	if n, ok := s.limits[ip]; ok {
		return n
	}
	return int(s.core.Config().MaxConnectionsPerIP)
}

// ended forgets a connection after its goroutines are done.
func (s *Server) ended(c *conn) {
	s.metrics.connections.Dec()
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
	if s.perIP[c.ip]--; s.perIP[c.ip] == 0 {
		delete(s.perIP, c.ip)
	}
	if s.draining && len(s.conns) == 0 {
		close(s.empty)
	}
}

// Shutdown takes no more connections and requests, lets those under way end,
// and closes every connection. When ctx ends first, what is left is cut off.
func (s *Server) Shutdown(ctx context.Context) {
	s.mu.Lock()
	if s.draining {
		s.mu.Unlock()
		return
	}
	s.draining = true
	close(s.stopping)
	s.mu.Unlock()
	s.closeListeners()
	s.accepting.Wait()
	all := s.all()
	for _, c := range all {
		c.drain()
	}
	if len(all) == 0 {
		return
	}
	select {
	case <-s.empty:
		return
	case <-ctx.Done():
	}
	for _, c := range s.all() {
		c.close()
	}
	<-s.empty
}

func (s *Server) all() []*conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]*conn, 0, len(s.conns))
	for c := range s.conns {
		out = append(out, c)
	}
	return out
}

func (s *Server) closeListeners() {
	for _, l := range s.listeners {
		l.Close()
	}
}
