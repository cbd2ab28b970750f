package harness

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
)

const (
	envBinary    = "STREAMWEIR_BIN"
	envPlain     = "STREAMWEIR_PLAIN_BIN"
	envRace      = "STREAMWEIR_TEST_RACE"
	envScale     = "STREAMWEIR_TEST_SCALE"
	envPeer      = "STREAMWEIR_TEST_PEER"
	envBootstrap = "STREAMWEIR_TEST_BOOTSTRAP"
	envScript    = "STREAMWEIR_KAFKA_SCRIPT"
	envLogs      = "STREAMWEIR_TEST_LOGS"
	envAWS       = "STREAMWEIR_TEST_AWS_ENDPOINT"

	peerKafka = "apache-kafka"
)

// process is what lives as long as the test process and is ended by Main.
var process struct {
	mu      sync.Mutex
	tmp     string
	cleanup []func()
	shared  *Server
	failed  bool // a check after the last test found something
}

// Main runs the tests of a package and cleans up what they shared: the built
// binary, the shared server, temporary directories. Call it from TestMain.
func Main(m *testing.M) {
	code := m.Run()
	process.mu.Lock()
	defer process.mu.Unlock()
	for i := len(process.cleanup) - 1; i >= 0; i-- {
		process.cleanup[i]()
	}
	if process.failed && code == 0 {
		code = 1
	}
	os.Exit(code)
}

// tmpDir is a directory that Main removes. Callers hold process.mu.
func tmpDirLocked() (string, error) {
	if process.tmp != "" {
		return process.tmp, nil
	}
	dir, err := os.MkdirTemp("", "streamweir-test-")
	if err != nil {
		return "", err
	}
	process.tmp = dir
	process.cleanup = append(process.cleanup, func() { os.RemoveAll(dir) })
	return dir, nil
}

var (
	buildOnce = sync.OnceValues(buildBinary)
	plainOnce = sync.OnceValues(func() (string, error) {
		if bin := os.Getenv(envPlain); bin != "" {
			return filepath.Abs(bin)
		}
		return goBuild("streamweir-plain")
	})
)

// PlainBinary is the binary without the race detector.
func PlainBinary(t testing.TB) string {
	t.Helper()
	bin, err := plainOnce()
	if err != nil {
		t.Fatalf("the binary under test, without the race detector: %v", err)
	}
	return bin
}

// Binary returns the path of the binary under test, building it on first use.
func Binary(t testing.TB) string {
	t.Helper()
	bin, err := buildOnce()
	if err != nil {
		t.Fatalf("the binary under test: %v", err)
	}
	return bin
}

func buildBinary() (string, error) {
	if bin := os.Getenv(envBinary); bin != "" {
		if _, err := os.Stat(bin); err != nil {
			return "", fmt.Errorf("%s: %w", envBinary, err)
		}
		return filepath.Abs(bin)
	}
	if raceWanted() {
		return goBuild("streamweir", "-race")
	}
	return plainOnce()
}

// goBuild builds the binary under a name of its own.
func goBuild(name string, flags ...string) (string, error) {
	root, err := ModuleRoot()
	if err != nil {
		return "", err
	}
	process.mu.Lock()
	dir, err := tmpDirLocked()
	process.mu.Unlock()
	if err != nil {
		return "", err
	}
	out := filepath.Join(dir, name)
	args := append([]string{"build", "-o", out}, flags...)
	cmd := exec.Command("go", append(args, "./cmd/streamweir")...)
	cmd.Dir = root
	if b, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go %s: %w\n%s", strings.Join(cmd.Args[1:], " "), err, b)
	}
	return out, nil
}

// raceWanted says whether to build with the race detector: yes where the
// platform has it, unless told not to.
func raceWanted() bool {
	if os.Getenv(envRace) == "0" {
		return false
	}
	switch runtime.GOOS + "/" + runtime.GOARCH {
	case "linux/amd64", "linux/arm64", "darwin/amd64", "darwin/arm64":
		_, err := exec.LookPath("cc")
		return err == nil
	}
	return false
}

// ModuleRoot is the directory of go.mod above the test's directory.
func ModuleRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		up := filepath.Dir(dir)
		if up == dir {
			return "", errors.New("no go.mod above the test's directory")
		}
		dir = up
	}
}

// Scale applies STREAMWEIR_TEST_SCALE to the size of a big test.
func Scale(n int) int {
	f, err := strconv.ParseFloat(os.Getenv(envScale), 64)
	if err != nil || f <= 0 {
		return n
	}
	return max(1, int(float64(n)*f))
}

// AgainstKafka says whether the tests run against Apache Kafka.
func AgainstKafka() bool { return os.Getenv(envPeer) == peerKafka }

// OnlyStreamweir skips a test of something that Apache Kafka does not have or
// does otherwise.
func OnlyStreamweir(t testing.TB, why string) {
	t.Helper()
	if AgainstKafka() {
		t.Skip("not for Apache Kafka: " + why)
	}
}
