// Package kinesisjava drives the built binary's Kinesis API with Java clients:
// the AWS SDK for Java v2, which speaks CBOR and HTTP/2, applications of the Kinesis
// Client Library 3 and of the Kinesis Producer Library, and Apache Flink.
package kinesisjava

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/streamweir/streamweir/integration/harness"
)

func TestMain(m *testing.M) { harness.Main(m) }

// takes is how long a Java program may take on a busy machine.
const takes = 4 * time.Minute

// envRecords says how many records an application of the Kinesis Client Library
// has to process.
const envRecords = "STREAMWEIR_TEST_KCL_RECORDS"

// kclRecords is that number. Applications take minutes, and hundreds of megabytes of
// jars: they run where a number is given, which make test-kinesis does.
func kclRecords(t testing.TB) int {
	t.Helper()
	n, err := strconv.Atoi(os.Getenv(envRecords))
	if err != nil || n <= 0 {
		t.Skip("an application of some minutes: it runs with make test-kinesis")
	}
	return n
}

// compiled are the projects whose classes are those of their sources.
var compiled struct {
	sync.Mutex
	dirs map[string]bool
}

// java makes a command of one of the classes of testdata/kinesis-java.
func java(t testing.TB, class string, args ...string) *exec.Cmd {
	t.Helper()
	return javaOf(t, "testdata/kinesis-java", []string{"-Xmx256m"}, class, args...)
}

// javaOf makes a command of a class of a project, with the jars that its pom.xml
// names.
func javaOf(t testing.TB, project string, options []string, class string, args ...string) *exec.Cmd {
	t.Helper()
	program, mvn, javac := harness.NeedTool(t, "java"), harness.NeedTool(t, "mvn"), harness.NeedTool(t, "javac")
	dir := harness.Project(t, project, "pom.xml")
	lib, classes := filepath.Join(dir, "lib"), filepath.Join(dir, "classes")
	harness.Installed(t, dir, exec.Command(mvn, "-q", "-B", "-f", filepath.Join(dir, "pom.xml"),
		"dependency:copy-dependencies", "-DincludeScope=runtime", "-DoutputDirectory="+lib))
	jars := filepath.Join(lib, "*")
	compiled.Lock()
	defer compiled.Unlock()
	if !compiled.dirs[dir] {
		sources, err := filepath.Glob(filepath.Join(dir, "*.java"))
		if err != nil {
			t.Fatal(err)
		}
		harness.MustRun(t, takes, exec.Command(javac, append([]string{"-nowarn", "-cp", jars, "-d", classes}, sources...)...))
		if compiled.dirs == nil {
			compiled.dirs = map[string]bool{}
		}
		compiled.dirs[dir] = true
	}
	// A short life on a small machine: no second compiler.
	line := append([]string{"-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
		"-cp", classes + string(os.PathListSeparator) + jars}, options...)
	cmd := exec.Command(program, append(append(line, class), args...)...)
	cmd.Env = append(cmd.Environ(), harness.AWSEnviron()...)
	return cmd
}

func TestLifeWithJava(t *testing.T) {
	a := harness.SharedAWS(t)
	out := harness.MustRun(t, takes, java(t, "Life", a.URL, harness.Name(t, "s")))
	if !strings.Contains("\n"+out, "\nok\n") {
		t.Errorf("no \"ok\" in\n%s", out)
	}
}

// dynamo starts a DynamoDB for the leases of applications, and returns its endpoint.
func dynamo(t testing.TB) string {
	t.Helper()
	node, dir := harness.Node(t, "testdata/dynalite")
	cmd := harness.Background(t, exec.Command(node, filepath.Join(dir, "serve.js")), nil)
	harness.Eventually(t, harness.Long, "an address of dynalite", func() error {
		if !strings.HasSuffix(cmd.Stdout(), "\n") {
			return os.ErrDeadlineExceeded
		}
		return nil
	})
	return strings.TrimSpace(cmd.Stdout())
}
