package clients

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/streamweir/streamweir/integration/harness"
)

// The Python clients, pinned.
const (
	confluentVersion   = "confluent-kafka==2.16.1"
	kafkaPythonVersion = "kafka-python==3.0.12"
)

// python makes a virtual environment with both clients and returns its
// interpreter.
func python(t testing.TB) string {
	t.Helper()
	python3 := harness.NeedTool(t, "python3")
	dir := harness.CacheDir(t, "python-"+strings.NewReplacer("=", "-", ".", "_").Replace(confluentVersion+"-"+kafkaPythonVersion))
	inside := filepath.Join(dir, "venv", "bin", "python3")
	harness.Installed(t, dir,
		exec.Command(python3, "-m", "venv", filepath.Join(dir, "venv")),
		exec.Command(inside, "-m", "pip", "install", "--quiet", "--only-binary", ":all:", confluentVersion, kafkaPythonVersion))
	return inside
}

func TestConfluentKafkaPython(t *testing.T) { script(t, python(t), "testdata/confluent_roundtrip.py") }

func TestKafkaPython(t *testing.T) { script(t, python(t), "testdata/kafkapython_roundtrip.py") }

// Commit, abort, consume-transform-produce with offsets, and fencing.
func TestConfluentKafkaPythonTransactions(t *testing.T) {
	script(t, python(t), "testdata/confluent_transactions.py")
}

// Commit, abort, offsets in a transaction, and fencing.
func TestKafkaPythonTransactions(t *testing.T) {
	script(t, python(t), "testdata/kafkapython_transactions.py")
}

// script runs a program in another language: it gets the address, a topic,
// a group and how many records to send in each codec, and ends with "ok".
func script(t *testing.T, interpreter, path string, env ...string) {
	t.Helper()
	s := harness.Shared(t)
	topic := harness.Topic(t, s, 3)
	cmd := exec.Command(interpreter, path, s.Addr(), topic, harness.Name(t, "g"), fmt.Sprint(perCodec))
	cmd.Env = append(cmd.Environ(), env...)
	out := harness.MustRun(t, takes, cmd)
	if !strings.Contains(out, "\nok\n") && !strings.HasPrefix(out, "ok\n") {
		t.Errorf("no \"ok\" in\n%s", out)
	}
}
