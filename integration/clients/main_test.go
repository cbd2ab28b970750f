// Package clients makes a small round trip with each of the common client
// libraries: produce in the codecs that it has, consume in a group, commit,
// and go on from the committed offset.
package clients

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/streamweir/streamweir/integration/harness"
)

func TestMain(m *testing.M) { harness.Main(m) }

// takes is how long a round trip may take on a busy machine.
const takes = 3 * time.Minute

// perCodec is how many records go through in each codec.
const perCodec = 50

// cacheDir is where packages of other languages are kept between runs.
func cacheDir(t testing.TB, name string) string {
	t.Helper()
	base, err := os.UserCacheDir()
	if err != nil {
		base = os.TempDir()
	}
	dir := filepath.Join(base, "streamweir", "clients", name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// installed runs an installation once; where it fails, the test is skipped,
// since what is missing is the package and not the broker.
func installed(t testing.TB, dir string, commands ...*exec.Cmd) {
	t.Helper()
	done := filepath.Join(dir, ".installed")
	if _, err := os.Stat(done); err == nil {
		return
	}
	for _, cmd := range commands {
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Skipf("%v: %v\n%s", cmd.Args, err, out)
		}
	}
	if err := os.WriteFile(done, nil, 0o600); err != nil {
		t.Fatal(err)
	}
}
