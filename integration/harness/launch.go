package harness

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// start starts a run and waits until it serves.
func (s *Server) start() error {
	if s.running() != nil {
		return errors.New("start: the server is running")
	}
	if AgainstKafka() {
		return s.startKafka()
	}
	build := buildOnce
	if s.opts.plain {
		build = plainOnce
	}
	bin, err := build()
	if err != nil {
		return err
	}
	p, err := s.launch(s.command(bin))
	if err != nil {
		return err
	}
	select {
	case r := <-p.log.ready:
		s.kafka, s.aws, s.admin = r.KafkaAddr, r.AWSAddr, r.AdminAddr
		return nil
	case <-p.exited:
		s.forget(p)
		return fmt.Errorf("start: the server ended with %v before it was ready:\n%s", p.err, s.LogTail())
	case <-time.After(startWithin):
		p.kill()
		s.forget(p)
		return fmt.Errorf("start: no line with \"msg\":\"ready\" within %v:\n%s", startWithin, s.LogTail())
	}
}

// command is `streamweir serve` as a user would write it. The first start
// takes free ports, every later one the same.
func (s *Server) command(bin string) *exec.Cmd {
	kafka, aws, admin := s.kafka, s.aws, s.admin
	if kafka == "" {
		kafka, aws, admin = "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"
	}
	args := []string{"serve", "--data-dir", s.dir, "--kafka-addr", kafka, "--aws-addr", aws, "--admin-addr", admin}
	for _, kv := range s.opts.config {
		args = append(args, "--set", kv)
	}
	return exec.Command(bin, append(args, s.opts.args...)...)
}

// launch runs cmd with its output going to a log.
func (s *Server) launch(cmd *exec.Cmd) (*proc, error) {
	s.runs++
	path := filepath.Join(s.tmp, fmt.Sprintf("server-%03d.log", s.runs))
	file, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	p := &proc{cmd: cmd, log: newServerLog(file), path: path, exited: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = p.log, p.log
	cmd.Env = s.environ()
	isolate(cmd)
	if err := startAndReap(p); err != nil {
		file.Close()
		return nil, fmt.Errorf("start %s: %w", cmd.Path, err)
	}
	s.mu.Lock()
	s.proc = p
	s.mu.Unlock()
	return p, nil
}

// environ is what a server gets to see: not the variables of these tests, which
// it would take for settings that it does not know.
func (s *Server) environ() []string {
	env := slices.DeleteFunc(os.Environ(), func(e string) bool { return strings.HasPrefix(e, "STREAMWEIR_") })
	return append(env, s.opts.env...)
}

// RunOnce runs `streamweir serve` with this server's settings where it is
// expected not to come up, and returns its exit code and output.
func RunOnce(t testing.TB, s *Server, within time.Duration) (int, string) {
	t.Helper()
	cmd := exec.Command(Binary(t), "serve", "--data-dir", s.dir, "--kafka-addr", "127.0.0.1:0", "--aws-addr", "127.0.0.1:0", "--admin-addr", "127.0.0.1:0")
	cmd.Env = s.environ()
	return Run(t, within, cmd)
}

// startKafka runs Apache Kafka by the project's script.
func (s *Server) startKafka() error {
	script, err := KafkaScript()
	if err != nil {
		return err
	}
	if s.kafka == "" {
		if s.kafka, err = freeAddr(); err != nil {
			return err
		}
	}
	_, port, _ := net.SplitHostPort(s.kafka)
	ctl, err := freeAddr()
	if err != nil {
		return err
	}
	_, ctlPort, _ := net.SplitHostPort(ctl)
	cmd := exec.Command(script, append([]string{"serve", s.dir, port}, s.opts.config...)...)
	s.opts.env = append(s.opts.env, "KAFKA_CONTROLLER_PORT="+ctlPort, "KAFKA_HEAP=1g")
	p, err := s.launch(cmd)
	if err != nil {
		return err
	}
	err = Poll(startWithin, func() error {
		select {
		case <-p.exited:
			return nil
		default:
			return probe(s.kafka)
		}
	})
	select {
	case <-p.exited:
		s.forget(p)
		return fmt.Errorf("start: Apache Kafka ended with %v:\n%s", p.err, s.LogTail())
	default:
		return err
	}
}

// probe asks for the brokers, and is content when one answers.
func probe(addr string) error {
	c, err := dial(addr)
	if err != nil {
		return err
	}
	defer c.Close()
	req := kmsg.NewPtrMetadataRequest()
	req.Version = 12
	req.Topics = []kmsg.MetadataRequestTopic{}
	resp, err := c.RoundTrip(req)
	if err != nil {
		return err
	}
	if len(resp.(*kmsg.MetadataResponse).Brokers) == 0 {
		return errors.New("no broker yet")
	}
	return nil
}

// KafkaScript finds the script that runs Apache Kafka and its tools.
func KafkaScript() (string, error) {
	if s := os.Getenv(envScript); s != "" {
		return s, nil
	}
	root, err := ModuleRoot()
	if err != nil {
		return "", err
	}
	s := filepath.Join(root, "scripts", "apache-kafka", "kafka")
	if _, err := os.Stat(s); err != nil {
		return "", fmt.Errorf("the script that runs Apache Kafka: %w (or name one in %s)", err, envScript)
	}
	return s, nil
}
