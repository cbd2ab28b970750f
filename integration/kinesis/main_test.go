// Package kinesis drives the built binary's Kinesis API with real clients: the
// whole life of a stream with each SDK and the AWS CLI, records that come in by
// one protocol and go out by the other, many writers at once, and kills.
package kinesis

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/streamweir/streamweir/integration/harness"
)

func TestMain(m *testing.M) { harness.Main(m) }

// lifeTakes is how long the life of a stream may take on a busy machine.
const lifeTakes = 6 * time.Minute

// life runs a program in another language: it gets the endpoint and a name for
// its stream, and ends with "ok".
func life(t *testing.T, a harness.AWS, cmd *exec.Cmd, env ...string) {
	t.Helper()
	cmd.Args = append(cmd.Args, a.URL, harness.Name(t, "s"))
	cmd.Env = append(append(cmd.Environ(), harness.AWSEnviron()...), env...)
	out := harness.MustRun(t, lifeTakes, cmd)
	if !strings.Contains("\n"+out, "\nok\n") {
		t.Errorf("no \"ok\" in\n%s", out)
	}
}

// python is a virtual environment and the directory of the programs for it.
func python(t testing.TB) (bin, dir string) {
	return harness.Python(t, "testdata/kinesis-python")
}

func TestLifeWithBoto3(t *testing.T) {
	a := harness.SharedAWS(t)
	bin, dir := python(t)
	life(t, a, exec.Command(filepath.Join(bin, "python3"), filepath.Join(dir, "life.py")))
}

// The AWS CLI has no subscriptions; the rest of a stream's life is here.
func TestLifeWithAWSCLI(t *testing.T) {
	a := harness.SharedAWS(t)
	bash := harness.NeedTool(t, "bash")
	bin, dir := python(t)
	life(t, a, exec.Command(bash, filepath.Join(dir, "life.sh"), filepath.Join(bin, "aws")))
}

// The JS SDK v3 speaks HTTP/2 to this service, in clear text too.
func TestLifeWithJavaScript(t *testing.T) {
	a := harness.SharedAWS(t)
	node, dir := harness.Node(t, "testdata/kinesis-node")
	life(t, a, exec.Command(node, filepath.Join(dir, "life.mjs")))
}
