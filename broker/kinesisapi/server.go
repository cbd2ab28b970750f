package kinesisapi

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/streamweir/streamweir/broker"
	"github.com/streamweir/streamweir/broker/config"
	"github.com/streamweir/streamweir/broker/memory"
)

// Server serves the AWS APIs on one address.
type Server struct {
	core     *broker.Core
	cfg      *config.Config
	log      *zap.Logger
	metrics  *metrics
	handlers table
	auth     Authenticator

	bodies    *memory.Intakes  // requests
	outgoing  *memory.Outgoing // responses
	places    chan struct{}    // one for each request that is worked on
	waiting   chan struct{}    // one for each that waits for a place
	placeTime time.Duration    // for which it waits at most
	pieceTime time.Duration    // for each piece of a body to arrive; see memory.Source
	writeTime time.Duration    // for each piece of a response to be read

	http     *http.Server
	listener *listener
	serving  sync.WaitGroup

	// ended ends the context of every request, stopping that of subscriptions.
	ended, stopping context.Context
	end, stop       context.CancelFunc

	mu       sync.Mutex
	draining bool
	inFlight sync.WaitGroup
}

// Time limits of connections.
const (
	// headerTime is how long a client may take for a request's header, and for the
	// first byte of a connection.
	headerTime = 10 * time.Second
	// bodyGrace is how long a client may take for a piece of a body that it sends, or
	// for the beginning of one that it reads, of which it must then read bodyRate
	// bytes in each second.
	bodyGrace = 30 * time.Second
	bodyRate  = 32 << 10
	// placeGrace is how long a request waits for a place where aws.max.requests are
	// under way; placeHurry is how often those that are slow are then closed.
	placeGrace = 3 * time.Second
	placeHurry = 250 * time.Millisecond
	// pingAfter and pingTime find HTTP/2 clients that are gone, and those whose header
	// does not end: frames of nothing are within every limit of size, but no answer to
	// a ping can stand between them.
	pingAfter = time.Minute
	pingTime  = 15 * time.Second
)

// Limits of connections.
const (
	maxHeaderBytes = 32 << 10
	// maxStreams is how many requests an HTTP/2 connection has under way at most.
	maxStreams = 250
	// streamWindow and connectionWindow are what HTTP/2 clients may send before it
	// is read, for one request and for all of a connection.
	streamWindow     = 256 << 10
	connectionWindow = 512 << 10
)

// New returns a server that does not listen yet.
func New(core *broker.Core, log *zap.Logger) (*Server, error) {
	s, err := newServer(core.Config(), log)
	if err == nil {
		s.use(core)
	}
	return s, err
}

// use takes the core for what it serves. Who waits there for memory has the responses
// cut off that are not read.
func (s *Server) use(core *broker.Core) { s.core, s.outgoing = core, core.Records.Outgoing }

func newServer(cfg *config.Config, log *zap.Logger) (*Server, error) {
	s := &Server{
		outgoing: memory.NewOutgoing(), cfg: cfg, log: log, metrics: newMetrics(), handlers: handlers(),
		auth:      anyone{account: cfg.AWSAccountID},
		places:    make(chan struct{}, cfg.AWSMaxRequests),
		waiting:   make(chan struct{}, (cfg.AWSMaxRequests+9)/10),
		placeTime: placeGrace,
		pieceTime: bodyGrace,
		writeTime: bodyGrace + writePiece*time.Second/bodyRate,
	}
	s.bodies = memory.NewIntakes(cfg.AWSQueuedMaxBytes/2, 0, s.metrics.memoryWaits.Inc)
	s.ended, s.end = context.WithCancel(context.Background())
	s.stopping, s.stop = context.WithCancel(s.ended)
	quiet, err := zap.NewStdLogAt(log, zap.DebugLevel)
	if err != nil {
		return nil, fmt.Errorf("make the log of the HTTP server: %w", err)
	}
	idle := time.Duration(cfg.ConnectionsMaxIdleMs) * time.Millisecond
	s.http = &http.Server{
		Handler: s, MaxHeaderBytes: maxHeaderBytes,
		ReadHeaderTimeout: headerTime, IdleTimeout: idle, // negative for none
		Protocols: new(http.Protocols),
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams:          maxStreams,
			MaxReceiveBufferPerStream:     streamWindow,
			MaxReceiveBufferPerConnection: connectionWindow,
			SendPingTimeout:               pingAfter, PingTimeout: pingTime, WriteByteTimeout: bodyGrace,
		},
		BaseContext: func(net.Listener) context.Context { return s.ended },
		ConnContext: withConn,
		// What clients do wrong is theirs to see, not the log's.
		ErrorLog: quiet,
	}
	s.http.Protocols.SetHTTP1(true)
	s.http.Protocols.SetHTTP2(true)
	s.http.Protocols.SetUnencryptedHTTP2(true)
	return s, nil
}

// Listen opens the listener of the configuration. Connections are taken once
// Serve is called.
func (s *Server) Listen() error {
	var secure *tls.Config
	if s.cfg.AWSTLSCertificateFile != "" {
		cert, err := tls.LoadX509KeyPair(s.cfg.AWSTLSCertificateFile, s.cfg.AWSTLSKeyFile)
		if err != nil {
			return fmt.Errorf("read the certificate %s with the key %s (aws.tls.certificate.file, aws.tls.key.file): %w",
				s.cfg.AWSTLSCertificateFile, s.cfg.AWSTLSKeyFile, err)
		}
		secure = &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"}}
	}
	l, err := net.Listen("tcp", s.cfg.AWSAddr)
	if err != nil {
		return fmt.Errorf("listen for the AWS APIs on %s: %w", s.cfg.AWSAddr, err)
	}
	s.listener = newListener(l, secure, int(s.cfg.AWSMaxConnections), s.metrics, s.log)
	return nil
}

// Addr returns the address that is listened on.
func (s *Server) Addr() string { return s.listener.Addr().String() }

// Serve begins to take connections.
func (s *Server) Serve() {
	s.listener.start()
	s.serving.Go(func() {
		if err := s.http.Serve(s.listener); !errors.Is(err, http.ErrServerClosed) {
			s.log.Error("the AWS APIs are not served any more", zap.Error(err))
		}
	})
}

// Shutdown takes no more connections and requests, ends subscriptions, lets the
// requests under way end, and closes every connection. When ctx ends first, what
// is left is cut off. It returns when nothing of the server runs any more.
func (s *Server) Shutdown(ctx context.Context) {
	s.mu.Lock()
	s.draining = true
	s.mu.Unlock()
	s.stop()
	if s.http.Shutdown(ctx) != nil {
		s.end()
		s.http.Close()
	}
	s.serving.Wait()
	s.listener.wait()
	s.inFlight.Wait()
	s.end()
}

// begin counts a request in, unless the server stops.
func (s *Server) begin() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.draining {
		return false
	}
	s.inFlight.Add(1)
	return true
}
