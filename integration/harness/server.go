package harness

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

const (
	startWithin = 60 * time.Second
	stopWithin  = 60 * time.Second
)

// Server is one broker process on one data directory. It can be stopped or
// killed and started again on the same directory and the same ports.
type Server struct {
	name string
	dir  string // data directory
	opts options
	tmp  string // for logs

	kafka string // host:port; fixed by the first start
	aws   string // likewise; "" for Apache Kafka
	admin string // "" for Apache Kafka

	mu    sync.Mutex
	proc  *proc // nil while down, or where the broker is not ours
	runs  int
	crime string // of earlier runs
}

// proc is one run of the server.
type proc struct {
	cmd    *exec.Cmd
	log    *serverLog
	path   string // of the log
	exited chan struct{}
	err    error // of Wait; valid once exited is closed
}

type options struct {
	config []string // K=V
	args   []string
	env    []string
	dir    string
	plain  bool
}

// Option changes how a server starts.
type Option func(*options)

// Config sets a configuration key. Keys with Kafka's names are given to Apache
// Kafka too.
func Config(key, value string) Option {
	return func(o *options) { o.config = append(o.config, key+"="+value) }
}

// Env adds NAME=VALUE to the server's environment.
func Env(name, value string) Option {
	return func(o *options) { o.env = append(o.env, name+"="+value) }
}

// PeerConfig sets a configuration key that only Apache Kafka needs to do what
// Streamweir does by itself.
func PeerConfig(key, value string) Option {
	return func(o *options) {
		if AgainstKafka() {
			Config(key, value)(o)
		}
	}
}

// Plain runs a binary without the race detector, whose own memory would hide
// what a test measures.
func Plain() Option { return func(o *options) { o.plain = true } }

// Args adds command line arguments (not for Apache Kafka).
func Args(args ...string) Option {
	return func(o *options) { o.args = append(o.args, args...) }
}

// DataDir has the server use this directory in place of a temporary one.
func DataDir(dir string) Option { return func(o *options) { o.dir = dir } }

// defaults are what every test may rely on, with either broker.
func defaults() []string {
	d := []string{"auto.create.topics.enable=true", "group.initial.rebalance.delay.ms=0"}
	if AgainstKafka() {
		// Streamweir's own default, which it is not told, so that it is tested.
		d = append(d, "message.max.bytes=10485760")
	}
	return d
}

// Start starts a server of the test's own and stops it with the test.
func Start(t testing.TB, opts ...Option) *Server {
	t.Helper()
	s := newServer(t, opts...)
	if err := s.start(); err != nil {
		t.Fatal(err)
	}
	return s
}

// newServer prepares a server without starting it.
func newServer(t testing.TB, opts ...Option) *Server {
	t.Helper()
	s := &Server{name: t.Name(), tmp: t.TempDir()}
	s.opts.config = defaults()
	for _, o := range opts {
		o(&s.opts)
	}
	s.dir = s.opts.dir
	if s.dir == "" {
		s.dir = filepath.Join(t.TempDir(), "data")
	}
	if !AgainstKafka() && s.opts.plain {
		PlainBinary(t)
	} else if !AgainstKafka() {
		Binary(t)
	}
	t.Cleanup(func() {
		s.end()
		if t.Failed() {
			t.Logf("end of the server's log:\n%s", s.LogTail())
		}
		if c := s.crimes(); c != "" {
			t.Error(c)
		}
	})
	return s
}

// Shared returns the server that all tests of this process share. It has
// default settings and is never restarted.
func Shared(t testing.TB) *Server {
	t.Helper()
	if !AgainstKafka() {
		Binary(t) // before the lock: it may end the test
	}
	process.mu.Lock()
	defer process.mu.Unlock()
	if s := process.shared; s != nil {
		watch(t, s)
		return s
	}
	if addr := os.Getenv(envBootstrap); addr != "" {
		process.shared = &Server{name: "external", kafka: addr}
		return process.shared
	}
	dir, err := os.MkdirTemp("", "streamweir-shared-")
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{name: "shared", tmp: dir, dir: filepath.Join(dir, "data")}
	s.opts.config = defaults()
	process.cleanup = append(process.cleanup, func() {
		s.end()
		if c := s.crimes(); c != "" {
			fmt.Fprintln(os.Stderr, "FAIL: shared server:", c)
			process.failed = true
		}
		os.RemoveAll(dir)
	})
	if err := s.start(); err != nil {
		t.Fatal(err)
	}
	process.shared = s
	watch(t, s)
	return s
}

// watch shows a failing test what the shared server logged, and blames the
// test during which it committed a crime.
func watch(t testing.TB, s *Server) {
	before := s.crimes()
	t.Cleanup(func() {
		if after := s.crimes(); after != before {
			t.Error(after)
		}
		if t.Failed() {
			t.Logf("end of the shared server's log:\n%s", s.LogTail())
		}
	})
}

// Addr is where the Kafka protocol is served.
func (s *Server) Addr() string { return s.kafka }

// AWSURL is the endpoint of the AWS APIs.
func (s *Server) AWSURL() string { return "http://" + s.aws }

// AdminURL is the base of the admin endpoints.
func (s *Server) AdminURL() string { return "http://" + s.admin }

// DataDir is the server's data directory.
func (s *Server) DataDir() string { return s.dir }

// PID is the running process's id, 0 while it is down or not ours.
func (s *Server) PID() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.proc == nil {
		return 0
	}
	return s.proc.cmd.Process.Pid
}

// StartAgain starts a server that was stopped or killed.
func (s *Server) StartAgain(t testing.TB) {
	t.Helper()
	if err := s.start(); err != nil {
		t.Fatal(err)
	}
}

// Restart stops the server gracefully and starts it again.
func (s *Server) Restart(t testing.TB) {
	t.Helper()
	s.Stop(t)
	s.StartAgain(t)
}

// Stop sends SIGTERM, waits for the end and checks that it was a clean one.
func (s *Server) Stop(t testing.TB) {
	t.Helper()
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
}

// Kill ends the server with SIGKILL, as the kernel or a power cut would.
func (s *Server) Kill(t testing.TB) {
	t.Helper()
	s.Signal(t, syscall.SIGKILL)
	s.WaitExit(t, stopWithin)
}

// Pause stops the process without ending it; Resume lets it go on.
func (s *Server) Pause(t testing.TB) { t.Helper(); s.Signal(t, syscall.SIGSTOP) }

// Resume ends a Pause.
func (s *Server) Resume(t testing.TB) { t.Helper(); s.Signal(t, syscall.SIGCONT) }

// Signal sends a signal to the running server.
func (s *Server) Signal(t testing.TB, sig syscall.Signal) {
	t.Helper()
	p := s.running()
	if p == nil {
		t.Fatalf("signal %v: the server is not running", sig)
	}
	if err := p.cmd.Process.Signal(sig); err != nil {
		t.Fatalf("signal %v: %v", sig, err)
	}
}

// WaitExit waits until the server has ended and returns its exit code, -1
// where a signal ended it.
func (s *Server) WaitExit(t testing.TB, within time.Duration) int {
	t.Helper()
	p := s.running()
	if p == nil {
		t.Fatal("wait for the server's end: it is not running")
	}
	select {
	case <-p.exited:
	case <-time.After(within):
		t.Fatalf("the server has not ended within %v", within)
	}
	s.forget(p)
	return p.cmd.ProcessState.ExitCode()
}

// Exited is closed when the present run ends.
func (s *Server) Exited() <-chan struct{} {
	if p := s.running(); p != nil {
		return p.exited
	}
	c := make(chan struct{})
	close(c)
	return c
}

// LogTail is the end of the server's log.
func (s *Server) LogTail() string {
	s.mu.Lock()
	p := s.proc
	s.mu.Unlock()
	if p != nil {
		return p.log.last(logTail)
	}
	files, _ := filepath.Glob(filepath.Join(s.tmp, "server-*.log"))
	if len(files) == 0 {
		return "(no log: the server is not ours)"
	}
	b, err := os.ReadFile(files[len(files)-1])
	if err != nil {
		return err.Error()
	}
	if len(b) > logTail {
		b = b[len(b)-logTail:]
	}
	return string(b)
}

func (s *Server) running() *proc {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.proc
}

func (s *Server) forget(p *proc) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.proc == p {
		s.proc = nil
	}
	if c := p.log.crime(); c != "" && s.crime == "" {
		s.crime = c
	}
	p.log.file.Close()
	if dir := os.Getenv(envLogs); dir != "" {
		keepLog(dir, s.name, p.path)
	}
}

func keepLog(dir, name, path string) {
	b, err := os.ReadFile(path)
	if err != nil {
		return
	}
	name = strings.NewReplacer("/", "_", " ", "_").Replace(name) + "-" + filepath.Base(path)
	os.MkdirAll(dir, 0o755)
	os.WriteFile(filepath.Join(dir, name), b, 0o644)
}

func (s *Server) crimes() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.crime != "" || s.proc == nil {
		return s.crime
	}
	return s.proc.log.crime()
}

// stop ends the server with SIGTERM.
func (s *Server) stop() error {
	p := s.running()
	if p == nil {
		return errors.New("stop: the server is not running")
	}
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return fmt.Errorf("stop: %w", err)
	}
	select {
	case <-p.exited:
	case <-time.After(stopWithin):
		p.cmd.Process.Signal(syscall.SIGQUIT) // shows where it hangs
		select {
		case <-p.exited:
		case <-time.After(5 * time.Second):
			p.kill()
		}
		s.forget(p)
		return fmt.Errorf("stop: the server has not ended within %v of SIGTERM", stopWithin)
	}
	s.forget(p)
	code := p.cmd.ProcessState.ExitCode()
	if want := cleanExit(); code != want {
		return fmt.Errorf("stop: exit code %d (%v), want %d; end of its log:\n%s", code, p.err, want, s.LogTail())
	}
	return nil
}

// cleanExit is the exit code after SIGTERM; a JVM always says 143.
func cleanExit() int {
	if AgainstKafka() {
		return 128 + int(syscall.SIGTERM)
	}
	return 0
}

// end makes sure that nothing is left of the server.
func (s *Server) end() {
	p := s.running()
	if p == nil {
		return
	}
	p.kill()
	s.forget(p)
}

// kill ends the process group.
func (p *proc) kill() {
	syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
	<-p.exited
}

// freeAddr returns an address that was free a moment ago. Only Apache Kafka,
// which cannot tell its port, needs it.
func freeAddr() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

// Prepare makes a server that is not started, for RunOnce.
func Prepare(t testing.TB, opts ...Option) *Server {
	t.Helper()
	return newServer(t, opts...)
}
