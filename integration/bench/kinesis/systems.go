package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"github.com/streamweir/streamweir/integration/bench/comparison"
)

const baseline = "kinesalite"

// systems are all that can be compared, in the order of the table. The emulators
// change states of streams at once, as Streamweir is told to, and none throttles.
func systems(c *config) []*comparison.System {
	return []*comparison.System{
		c.ours("streamweir-always", comparison.AfterFsync, "always"),
		c.ours("streamweir-os", comparison.AfterWrite, "os"),
		c.kinesalite(baseline, "in memory, its default", comparison.InMemory, "", false),
		c.kinesalite("kinesalite-disk", "in LevelDB", comparison.AfterWrite, baseline, true),
		c.kinesisLocal(),
	}
}

func (c *config) ours(name string, durable comparison.Durability, sync string) *comparison.System {
	return &comparison.System{
		Name: name, What: "Streamweir, storage.sync=" + sync, Durable: durable, Baseline: baseline,
		Find: func() (err error) {
			c.streamweir, err = comparison.FindProgram(c.streamweir, "type: make build")
			return err
		},
		Command: func(s *comparison.Server) ([]string, []string) {
			return []string{
				c.streamweir, "serve", "--data-dir", filepath.Join(s.Dir, "data"),
				"--kafka-addr", "127.0.0.1:0",
				"--aws-addr", s.Addr,
				"--admin-addr", s.ExtraAddr(),
				"--set", "storage.sync=" + sync,
				"--set", "kinesis.limits=off",
				"--set", "kinesis.transition.ms=0",
			}, nil
		},
	}
}

func (c *config) kinesalite(name, what string, durable comparison.Durability, baseline string, disk bool) *comparison.System {
	return &comparison.System{
		Name: name, What: "kinesalite, " + what, Durable: durable, Baseline: baseline, Gaps: true,
		Find: func() error { return c.findEmulator("kinesalite") },
		Command: func(s *comparison.Server) ([]string, []string) {
			argv := []string{
				c.node, c.module("kinesalite", "cli.js"), "--port", strconv.Itoa(s.Port), "--shardLimit", "100",
				"--createStreamMs", "0", "--deleteStreamMs", "0", "--updateStreamMs", "0",
			}
			if disk {
				argv = append(argv, "--path", filepath.Join(s.Dir, "data"))
			}
			return argv, nil
		},
	}
}

func (c *config) kinesisLocal() *comparison.System {
	return &comparison.System{
		Name: "kinesis-local", What: "kinesis-mock as npm has it", Durable: comparison.InMemory, Baseline: baseline, Gaps: true,
		Find: func() error { return c.findEmulator("kinesis-local") },
		Command: func(s *comparison.Server) ([]string, []string) {
			return []string{c.node, c.module("kinesis-local", "main.js")}, []string{
				"KINESIS_MOCK_PLAIN_PORT=" + strconv.Itoa(s.Port),
				"KINESIS_MOCK_TLS_PORT=" + strconv.Itoa(s.Extra),
				"KINESIS_MOCK_CERT_PATH=" + c.module("kinesis-local", "server.json"),
				"CREATE_STREAM_DURATION=0ms", "DELETE_STREAM_DURATION=0ms", "REGISTER_STREAM_CONSUMER_DURATION=0ms",
				"SHARD_LIMIT=100", "LOG_LEVEL=ERROR",
			}
		},
	}
}

func (c *config) module(name, file string) string {
	return filepath.Join(c.emulators, "node_modules", name, file)
}

func (c *config) findEmulator(name string) (err error) {
	if c.node, err = comparison.FindProgram(c.node, "install Node.js, or name it with -node"); err != nil {
		return err
	}
	if c.emulators, err = filepath.Abs(c.emulators); err != nil {
		return err
	}
	if _, err := os.Stat(c.module(name, "package.json")); errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("%s is not in %s: type: make bench-compare-kinesis, which installs it", name, c.emulators)
	} else if err != nil {
		return err
	}
	return nil
}
