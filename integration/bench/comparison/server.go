package comparison

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

// Durability is what an acknowledgement means.
type Durability string

const (
	AfterFsync Durability = "fsync"  // survives a power cut
	AfterWrite Durability = "os"     // survives a killed process
	InMemory   Durability = "memory" // survives nothing
)

// System is one server in one setting.
type System struct {
	Name     string
	What     string // for the reader of the table
	Durable  Durability
	Baseline string // the system that ratios refer to; "" for a baseline itself
	// Optional says that the system is measured only where it is named.
	Optional bool
	// Gaps says that a scenario it does not serve leaves a gap in the table; with
	// other systems that ends the comparison.
	Gaps bool
	// Find fails where a program that the system needs is missing.
	Find func() error
	// Prepare makes a fresh directory ready, before the clock of a start runs; nil: nothing to do.
	Prepare func(*Server) error
	// Command is what starts it.
	Command func(*Server) (argv, env []string)
}

// Server is one running system.
type Server struct {
	System *System
	Dir    string // all of its files; removed by Close
	Addr   string // of the protocol that is measured
	Port   int    // the same port
	Extra  int    // a second free port: controller, administration or TLS
	Began  time.Time
	Proc   *Process
}

// launch starts a system on a fresh directory below dir. It does not wait until
// it serves. Whoever calls it calls Close, also after an error of anything later.
func launch(dir string, s *System) (server *Server, err error) {
	own, err := os.MkdirTemp(dir, "streamweir-compare-"+s.Name+"-")
	if err != nil {
		return nil, err
	}
	server = &Server{System: s, Dir: own}
	defer func() {
		if err != nil {
			server.Close()
		}
	}()
	if server.Port, server.Extra, err = freePorts(); err != nil {
		return nil, err
	}
	server.Addr = net.JoinHostPort("127.0.0.1", strconv.Itoa(server.Port))
	if s.Prepare != nil {
		if err := s.Prepare(server); err != nil {
			return nil, err
		}
	}
	argv, env := s.Command(server)
	server.Began = time.Now()
	server.Proc, err = StartProcess(own, env, argv...)
	return server, err
}

// Close ends the server and removes its directory.
func (s *Server) Close() {
	if s.Proc != nil {
		s.Proc.Stop()
	}
	if err := os.RemoveAll(s.Dir); err != nil {
		fmt.Fprintf(os.Stderr, "comparison: remove %s: %v\n", s.Dir, err)
	}
}

// ExtraAddr is the address of the second port.
func (s *Server) ExtraAddr() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(s.Extra)) }

const (
	startWithin = 60 * time.Second
	startPoll   = 2 * time.Millisecond // how exactly a start is measured
)

// Ready tries first until it succeeds, and returns how long that took from the
// server's start.
func (s *Server) Ready(ctx context.Context, first func(context.Context, *Server) error) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, startWithin)
	defer cancel()
	var last error
	poll := time.NewTicker(startPoll)
	defer poll.Stop()
	for {
		if last = first(ctx, s); last == nil {
			return time.Since(s.Began), nil
		}
		select {
		case <-s.Proc.Exited:
			return 0, fmt.Errorf("%s ended before it served (%v); its last words:\n%s", s.System.Name, s.Proc.Err, s.Proc.LogTail())
		case <-ctx.Done():
			return 0, fmt.Errorf("%s did not acknowledge a record within %v of its start: %w; its last words:\n%s",
				s.System.Name, startWithin, last, s.Proc.LogTail())
		case <-poll.C:
		}
	}
}

// freePorts finds two ports that nobody listens on.
func freePorts() (first, second int, err error) {
	var ports [2]int
	for i := range ports {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return 0, 0, err
		}
		defer l.Close() // both are held until both are known
		ports[i] = l.Addr().(*net.TCPAddr).Port
	}
	return ports[0], ports[1], nil
}

// FindProgram looks a program up; help says what to do where it is missing.
func FindProgram(name, help string) (string, error) {
	found, err := exec.LookPath(name)
	if err != nil {
		return "", fmt.Errorf("%w; %s", err, help)
	}
	return filepath.Abs(found)
}

// Usage is the CPU time that server and generator have spent so far.
type Usage struct {
	Broker, Generator time.Duration
	Known             bool // false where this operating system does not tell
	At                time.Time
}

// Usage reads the clocks.
func (s *Server) Usage() (Usage, error) {
	spent, err := cpuTime(s.Proc.PID())
	if errors.Is(err, ErrNotHere) {
		return Usage{At: time.Now()}, nil
	}
	if err != nil {
		return Usage{}, err
	}
	var self syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &self); err != nil {
		return Usage{}, fmt.Errorf("own CPU time: %w", err)
	}
	return Usage{
		Broker:    spent,
		Generator: time.Duration(self.Utime.Nano() + self.Stime.Nano()),
		Known:     true,
		At:        time.Now(),
	}, nil
}

// MemoryMetric is a row with what the server holds in memory that no file backs;
// there is none where this operating system does not tell.
func (s *Server) MemoryMetric(scenario, name string) ([]Metric, error) {
	memory, err := anonymousMemory(s.Proc.PID())
	if errors.Is(err, ErrNotHere) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return []Metric{Figure(scenario, name, float64(memory)/1e6, 0, ForComparison)}, nil
}
