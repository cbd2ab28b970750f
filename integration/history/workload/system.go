package workload

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// System is the broker under test: a process that can be killed, paused and
// restarted on its data, or just an address.
type System struct {
	name string
	dir  string
	addr string
	aws  string // where Kinesis is; empty where there is none
	// command is what starts the broker; nil where it is not ours. run counts
	// the starts.
	command func(run int) (argv, env []string)
	proc    *process
	runs    int
}

const (
	startWithin = 60 * time.Second
	stopWithin  = 60 * time.Second
)

// settings are what a run needs to happen more often than is usual. Both brokers
// know them.
var settings = []string{
	"log.retention.check.interval.ms=1000",
	"group.initial.rebalance.delay.ms=0",
	"offsets.topic.num.partitions=4",
	"transaction.state.log.num.partitions=4",
}

// transitions are how long, in ms, streams take to change, one start after the
// other.
var transitions = []string{"0", "200", "0", "1500"}

// Streamweir runs the built binary. Every second run of it syncs each commit.
func Streamweir(binary, dir string, seed uint64, more ...string) (*System, error) {
	ports, err := freePorts(3)
	if err != nil {
		return nil, err
	}
	s := &System{name: "streamweir", dir: dir, addr: local(ports[0]), aws: local(ports[2])}
	s.command = func(run int) ([]string, []string) {
		argv := []string{
			binary, "serve", "--data-dir", filepath.Join(dir, "data"),
			"--kafka-addr", s.addr, "--admin-addr", local(ports[1]), "--aws-addr", s.aws,
		}
		sync := "os"
		if (uint64(run)+seed)%2 == 0 {
			sync = "always"
		}
		all := append(slices.Clone(settings), "storage.sync="+sync, "kinesis.limits=off", "kinesis.transition.ms="+transitions[(uint64(run)+seed)%uint64(len(transitions))])
		for _, kv := range append(all, more...) {
			argv = append(argv, "--set", kv)
		}
		return argv, nil
	}
	return s, nil
}

// ApacheKafka runs the project's script.
func ApacheKafka(script, dir string, more ...string) (*System, error) {
	ports, err := freePorts(2)
	if err != nil {
		return nil, err
	}
	s := &System{name: "apache-kafka", dir: dir, addr: local(ports[0])}
	s.command = func(int) ([]string, []string) {
		argv := append([]string{script, "serve", filepath.Join(dir, "data"), strconv.Itoa(ports[0])}, settings...)
		argv = append(argv,
			"log.cleaner.backoff.ms=500", "transaction.abort.timed.out.transaction.cleanup.interval.ms=1000",
			"message.max.bytes=10485760", "auto.create.topics.enable=false")
		return append(argv, more...), []string{"KAFKA_CONTROLLER_PORT=" + strconv.Itoa(ports[1])}
	}
	return s, nil
}

// At is a broker that somebody else runs: it is not killed.
func At(addr string) *System { return &System{name: addr, addr: addr} }

// WithEnv adds variables to the environment of the broker.
func (s *System) WithEnv(more ...string) *System {
	command := s.command
	s.command = func(run int) ([]string, []string) {
		argv, env := command(run)
		return argv, append(slices.Clone(env), more...)
	}
	return s
}

// Name says which system it is.
func (s *System) Name() string { return s.name }

// Kinesis says whether the system serves streams.
func (s *System) Kinesis() bool { return s.aws != "" }

// Ours says whether the broker's process is ours.
func (s *System) Ours() bool { return s.command != nil }

// Start starts the broker and waits until it serves.
func (s *System) Start(ctx context.Context) error {
	if s.Ours() {
		s.runs++
		argv, env := s.command(s.runs)
		if err := os.MkdirAll(s.dir, 0o755); err != nil {
			return err
		}
		proc, err := startProcess(filepath.Join(s.dir, fmt.Sprintf("broker-%04d.log", s.runs)), env, argv...)
		if err != nil {
			return err
		}
		s.proc = proc
	}
	return s.await(ctx)
}

// await waits until the broker answers.
func (s *System) await(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startWithin)
	defer cancel()
	for {
		err := ping(ctx, s.addr)
		if err == nil {
			return nil
		}
		if s.Ended() {
			return fmt.Errorf("%s ended before it served (%v); its last words:\n%s", s.name, s.proc.err, s.proc.logTail())
		}
		if !wait(ctx, 50*time.Millisecond) {
			return fmt.Errorf("%s at %s does not serve: %w", s.name, s.addr, err)
		}
	}
}

// ping asks a broker whether it is there, over a connection that no nemesis cuts.
func ping(ctx context.Context, addr string) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	cl, err := kgo.NewClient(kgo.SeedBrokers(addr), kgo.RequestRetries(0))
	if err != nil {
		return err
	}
	defer cl.Close()
	return cl.Ping(ctx)
}

// Stop ends the broker as an operator would.
func (s *System) Stop() error {
	if s.proc == nil {
		return nil
	}
	return s.proc.stop()
}

// Kill ends the broker as a power cut would, except that what it has given to
// the operating system stays.
func (s *System) Kill() { s.proc.kill() }

// Pause stops the broker's process without ending it; Resume lets it go on.
func (s *System) Pause() error { return s.proc.signal(syscall.SIGSTOP) }

// Resume ends a Pause.
func (s *System) Resume() error { return s.proc.signal(syscall.SIGCONT) }

// Ended says that the broker's process is gone.
func (s *System) Ended() bool {
	if s.proc == nil {
		return false
	}
	select {
	case <-s.proc.exited:
		return true
	default:
		return false
	}
}

// Trouble returns what the present run has logged that no broker may: a data
// race or a panic.
func (s *System) Trouble() string {
	if s.proc == nil {
		return ""
	}
	return s.proc.trouble()
}

// LogTail is the end of what the broker wrote.
func (s *System) LogTail() string {
	if s.proc == nil {
		return ""
	}
	return s.proc.logTail()
}

func local(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

// freePorts finds ports that nobody listens on.
func freePorts(n int) ([]int, error) {
	var ports []int
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, fmt.Errorf("find a free port: %w", err)
		}
		defer l.Close() // all are held until all are known
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	return ports, nil
}

// wait returns false where ctx ended first.
func wait(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// process is one run of the broker, in a process group of its own.
type process struct {
	cmd    *exec.Cmd
	log    string
	exited chan struct{}
	err    error // how it ended; read after exited
}

func startProcess(log string, env []string, argv ...string) (*process, error) {
	file, err := os.Create(log)
	if err != nil {
		return nil, err
	}
	defer file.Close() // the child has its own descriptor
	cmd := exec.Command(argv[0], argv[1:]...)
	environ := slices.DeleteFunc(os.Environ(), func(kv string) bool { return strings.HasPrefix(kv, "STREAMWEIR_") })
	cmd.Env = append(environ, env...)
	cmd.Stdout, cmd.Stderr = file, file
	cmd.SysProcAttr = ownGroup()
	p := &process{cmd: cmd, log: log, exited: make(chan struct{})}
	if err := startAndReap(p); err != nil {
		return nil, fmt.Errorf("start %s: %w", argv[0], err)
	}
	return p, nil
}

func (p *process) signal(sig syscall.Signal) error {
	if err := syscall.Kill(-p.cmd.Process.Pid, sig); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("signal %v to process group %d: %w", sig, p.cmd.Process.Pid, err)
	}
	return nil
}

func (p *process) kill() {
	// What cannot be signalled has ended already.
	_ = p.signal(syscall.SIGKILL)
	<-p.exited
}

func (p *process) stop() error {
	if err := p.signal(syscall.SIGTERM); err != nil {
		return err
	}
	t := time.NewTimer(stopWithin)
	defer t.Stop()
	select {
	case <-p.exited:
		return nil
	case <-t.C:
		_ = p.signal(syscall.SIGQUIT) // shows where it hangs
		p.kill()
		return fmt.Errorf("the broker has not ended within %v of SIGTERM; its last words:\n%s", stopWithin, p.logTail())
	}
}

const logTailSize = 4 << 10

func (p *process) logTail() string {
	b, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	if len(b) > logTailSize {
		b = b[len(b)-logTailSize:]
	}
	return strings.TrimSpace(string(b))
}

// trouble looks for what a broker may never log.
func (p *process) trouble() string {
	b, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	text := string(b)
	for _, sign := range []string{"WARNING: DATA RACE", "\npanic: ", "\nfatal error: ", `"level":"dpanic"`, `"level":"panic"`, "made its handler panic"} {
		if i := strings.Index(text, sign); i >= 0 {
			return strings.TrimSpace(text[i:min(len(text), i+logTailSize)])
		}
	}
	return ""
}
