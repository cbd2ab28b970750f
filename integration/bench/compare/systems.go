package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"

	"github.com/streamweir/streamweir/integration/bench/comparison"
)

// systems are all that can be compared, in the order of the table.
func systems(c *config) []*comparison.System {
	return []*comparison.System{
		c.ours("streamweir-always", "storage.sync=always", comparison.AfterFsync, "kafka-flush", "always"),
		c.apacheKafka("kafka-flush", "log.flush.interval.messages=1", comparison.AfterFsync, "log.flush.interval.messages=1"),
		c.kfakeBroker("kfake-sync", "on disk, every batch synced", comparison.AfterFsync, "kafka-flush", true, true),
		c.ours("streamweir-os", "storage.sync=os", comparison.AfterWrite, "kafka", "os"),
		c.apacheKafka("kafka", "its defaults", comparison.AfterWrite),
		c.kfakeBroker("kfake", "on disk", comparison.AfterWrite, "kafka", true, false),
		c.kfakeBroker("kfake-memory", "in memory", comparison.InMemory, "kafka", false, false),
	}
}

func (c *config) ours(name, what string, durable comparison.Durability, baseline, sync string) *comparison.System {
	return &comparison.System{
		Name: name, What: "Streamweir, " + what, Durable: durable, Baseline: baseline,
		Find: func() (err error) {
			c.streamweir, err = comparison.FindProgram(c.streamweir, "type: make build")
			return err
		},
		Command: func(b *comparison.Server) ([]string, []string) {
			return []string{
				c.streamweir, "serve", "--data-dir", filepath.Join(b.Dir, "data"),
				"--kafka-addr", b.Addr,
				"--admin-addr", b.ExtraAddr(),
				"--aws-addr", "", // not served
				"--set", "storage.sync=" + sync,
			}, nil
		},
	}
}

// apacheKafka runs the project's script. Formatting a fresh directory is a
// process of its own that Kafka's users run once, so it is not part of a start.
func (c *config) apacheKafka(name, what string, durable comparison.Durability, properties ...string) *comparison.System {
	script := func(b *comparison.Server, command string) ([]string, []string) {
		argv := append([]string{c.kafka, command, b.Dir, strconv.Itoa(b.Port)}, properties...)
		return argv, []string{"KAFKA_CONTROLLER_PORT=" + strconv.Itoa(b.Extra)}
	}
	return &comparison.System{
		Name: name, What: "Apache Kafka, " + what, Durable: durable,
		Find: func() (err error) {
			c.kafka, err = comparison.FindProgram(c.kafka, "run this from the repository's root, or name it with -kafka")
			return err
		},
		Prepare: func(b *comparison.Server) error {
			argv, env := script(b, "format")
			cmd := exec.Command(argv[0], argv[1:]...)
			cmd.Env = append(os.Environ(), env...)
			cmd.SysProcAttr = comparison.OwnGroup()
			if out, err := cmd.CombinedOutput(); err != nil {
				return fmt.Errorf("%s format: %w\n%s", c.kafka, err, out)
			}
			return nil
		},
		Command: func(b *comparison.Server) ([]string, []string) { return script(b, "serve") },
	}
}

// kfakeBroker is this program again, started with kfakeCommand.
func (c *config) kfakeBroker(name, what string, durable comparison.Durability, baseline string, disk, sync bool) *comparison.System {
	return &comparison.System{
		Name: name, What: "kfake of franz-go, " + what, Durable: durable, Baseline: baseline,
		Optional: durable == comparison.InMemory,
		Command: func(b *comparison.Server) ([]string, []string) {
			argv := []string{c.self, kfakeCommand, "-port", strconv.Itoa(b.Port)}
			if disk {
				argv = append(argv, "-dir", filepath.Join(b.Dir, "data"))
			}
			if sync {
				argv = append(argv, "-sync")
			}
			return argv, nil
		},
	}
}

const startTopic = "first"

// firstRecord creates a topic unless it is there and produces one record to it.
func firstRecord(ctx context.Context, b *comparison.Server) error {
	c, err := dial(ctx, b.Addr)
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
