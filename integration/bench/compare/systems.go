package main

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

// durability is what an acknowledgement with acks=all means.
type durability string

const (
	afterFsync durability = "fsync"  // survives a power cut
	afterWrite durability = "os"     // survives a killed process
	inProcess  durability = "memory" // survives nothing
)

// system is one broker in one setting.
type system struct {
	name     string
	what     string // for the reader of the table
	durable  durability
	baseline string // the system that ratios refer to; "" for a baseline itself
	// prepare makes a fresh directory ready, before the clock of a start runs.
	prepare func(c *config, b *broker) error
	command func(c *config, b *broker) (argv, env []string)
}

// broker is one running system.
type broker struct {
	system *system
	dir    string // all of its files; removed by close
	addr   string // of the Kafka protocol
	port   int
	extra  int // a second free port: controller or administration
	began  time.Time
	proc   *process
}

// systems are all that can be compared, in the order of the table.
func systems() []*system {
	return []*system{
		streamweir("streamweir-always", "storage.sync=always", afterFsync, "kafka-flush", "always"),
		apacheKafka("kafka-flush", "log.flush.interval.messages=1", afterFsync, "log.flush.interval.messages=1"),
		kfakeBroker("kfake-sync", "on disk, every batch synced", afterFsync, "kafka-flush", true, true),
		streamweir("streamweir-os", "storage.sync=os", afterWrite, "kafka", "os"),
		apacheKafka("kafka", "its defaults", afterWrite),
		kfakeBroker("kfake", "on disk", afterWrite, "kafka", true, false),
		kfakeBroker("kfake-memory", "in memory", inProcess, "kafka", false, false),
	}
}

func streamweir(name, what string, durable durability, baseline, sync string) *system {
	return &system{
		name: name, what: "Streamweir, " + what, durable: durable, baseline: baseline,
		command: func(c *config, b *broker) ([]string, []string) {
			return []string{
				c.streamweir, "serve", "--data-dir", filepath.Join(b.dir, "data"),
				"--kafka-addr", b.addr,
				"--admin-addr", net.JoinHostPort("127.0.0.1", strconv.Itoa(b.extra)),
				"--aws-addr", "", // not served
				"--set", "storage.sync=" + sync,
			}, nil
		},
	}
}

// apacheKafka runs the project's script. Formatting a fresh directory is a
// process of its own that Kafka's users run once, so it is not part of a start.
func apacheKafka(name, what string, durable durability, properties ...string) *system {
	script := func(c *config, b *broker, command string) ([]string, []string) {
		argv := append([]string{c.kafka, command, b.dir, strconv.Itoa(b.port)}, properties...)
		return argv, []string{"KAFKA_CONTROLLER_PORT=" + strconv.Itoa(b.extra)}
	}
	baseline := ""
	return &system{
		name: name, what: "Apache Kafka, " + what, durable: durable, baseline: baseline,
		prepare: func(c *config, b *broker) error {
			argv, env := script(c, b, "format")
			cmd := exec.Command(argv[0], argv[1:]...)
			cmd.Env = append(os.Environ(), env...)
			cmd.SysProcAttr = ownGroup()
			if out, err := cmd.CombinedOutput(); err != nil {
				return fmt.Errorf("%s format: %w\n%s", c.kafka, err, out)
			}
			return nil
		},
		command: func(c *config, b *broker) ([]string, []string) { return script(c, b, "serve") },
	}
}

// kfakeBroker is this program again, started with kfakeCommand.
func kfakeBroker(name, what string, durable durability, baseline string, disk, sync bool) *system {
	return &system{
		name: name, what: "kfake of franz-go, " + what, durable: durable, baseline: baseline,
		command: func(c *config, b *broker) ([]string, []string) {
			argv := []string{c.self, kfakeCommand, "-port", strconv.Itoa(b.port)}
			if disk {
				argv = append(argv, "-dir", filepath.Join(b.dir, "data"))
			}
			if sync {
				argv = append(argv, "-sync")
			}
			return argv, nil
		},
	}
}

// launch starts a system on a fresh directory. It does not wait until it serves.
// Whoever calls it calls close, also after an error of anything later.
func launch(c *config, s *system) (b *broker, err error) {
	dir, err := os.MkdirTemp(c.dir, "streamweir-compare-"+s.name+"-")
	if err != nil {
		return nil, err
	}
	b = &broker{system: s, dir: dir}
	defer func() {
		if err != nil {
			b.close()
		}
	}()
	if b.port, b.extra, err = freePorts(); err != nil {
		return nil, err
	}
	b.addr = net.JoinHostPort("127.0.0.1", strconv.Itoa(b.port))
	if s.prepare != nil {
		if err := s.prepare(c, b); err != nil {
			return nil, err
		}
	}
	argv, env := s.command(c, b)
	b.began = time.Now()
	b.proc, err = startProcess(dir, env, argv...)
	return b, err
}

// close ends the broker and removes its directory.
func (b *broker) close() {
	if b.proc != nil {
		b.proc.stop()
	}
	if err := os.RemoveAll(b.dir); err != nil {
		fmt.Fprintf(os.Stderr, "compare: remove %s: %v\n", b.dir, err)
	}
}

// ready waits until the broker has acknowledged a record, and returns how long
// that took from its start.
func (b *broker) ready(ctx context.Context) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, startWithin)
	defer cancel()
	var last error
	poll := time.NewTicker(startPoll)
	defer poll.Stop()
	for {
		if last = firstRecord(ctx, b.addr); last == nil {
			return time.Since(b.began), nil
		}
		select {
		case <-b.proc.exited:
			return 0, fmt.Errorf("%s ended before it served (%v); its last words:\n%s", b.system.name, b.proc.err, b.proc.logTail())
		case <-ctx.Done():
			return 0, fmt.Errorf("%s did not acknowledge a record within %v of its start: %w; its last words:\n%s",
				b.system.name, startWithin, last, b.proc.logTail())
		case <-poll.C:
		}
	}
}

const (
	startWithin = 60 * time.Second
	startPoll   = 2 * time.Millisecond // how exactly a start is measured
	startTopic  = "first"
)

// firstRecord creates a topic unless it is there and produces one record to it.
func firstRecord(ctx context.Context, addr string) error {
	c, err := dial(ctx, addr)
	if err != nil {
		return err
	}
	defer c.close()
	if err := c.createTopic(startTopic, 1); err != nil {
		return err
	}
	frame := encodeProduce(startTopic, partitionBatch{0, makeBatch(1, latencyRecord, 1)})
	if err := c.send(frame, 1); err != nil {
		return err
	}
	return c.receiveProduce(produceVersion, 1, 1)
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

// usage is the CPU time that broker and generator have spent so far.
type usage struct {
	broker, generator time.Duration
	known             bool // false where this system does not tell
	at                time.Time
}

func (b *broker) usage() (usage, error) {
	spent, err := cpuTime(b.proc.pid())
	if errors.Is(err, errNotHere) {
		return usage{at: time.Now()}, nil
	}
	if err != nil {
		return usage{}, err
	}
	var self syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &self); err != nil {
		return usage{}, fmt.Errorf("own CPU time: %w", err)
	}
	return usage{
		broker:    spent,
		generator: time.Duration(self.Utime.Nano() + self.Stime.Nano()),
		known:     true,
		at:        time.Now(),
	}, nil
}
