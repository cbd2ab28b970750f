// Package kcat drives the built binary with kcat, that is, with librdkafka.
package kcat

import (
	"context"
	"fmt"
	"os/exec"
	"slices"
	"testing"

	"github.com/streamweir/streamweir/integration/harness"
)

func TestMain(m *testing.M) { harness.Main(m) }

// kcat makes a kcat command against the server.
func kcat(t testing.TB, s *harness.Server, args ...string) *exec.Cmd {
	t.Helper()
	path := harness.NeedTool(t, "kcat")
	return exec.CommandContext(context.Background(), path, append([]string{"-b", s.Addr(), "-q"}, args...)...)
}

// loud takes -q away again: only then does kcat say what a rebalance gave it,
// or why a message was not delivered.
func loud(cmd *exec.Cmd) *exec.Cmd {
	cmd.Args = slices.DeleteFunc(cmd.Args, func(a string) bool { return a == "-q" })
	return cmd
}

func metadataHas(out, topic string, partitions int) error {
	want := fmt.Sprintf("topic %q with %d partitions", topic, partitions)
	if !contains(out, want) {
		return fmt.Errorf("no %s in:\n%s", want, out)
	}
	return nil
}
