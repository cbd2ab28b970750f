package faults

import (
	"bufio"
	"errors"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/streamweir/streamweir/integration/harness"
)

// failSyncs makes every sync of the server fail from now on, as a broken disk
// does: strace answers the system calls in the kernel's place.
func failSyncs(t *testing.T, s *harness.Server) (stop func()) {
	t.Helper()
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Skip("strace is not installed (make deps installs it on Debian): nothing else makes an fsync fail")
	}
	const calls = "msync,fsync,fdatasync"
	cmd := exec.Command(strace, "-f", "-e", "trace="+calls, "-e", "inject="+calls+":error=EIO", "-p", strconv.Itoa(s.PID()))
	out, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	attached := make(chan string, 1)
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		lines := bufio.NewScanner(out)
		first := true
		for lines.Scan() {
			if first {
				attached <- lines.Text()
			}
			first = false
		}
		if first {
			attached <- ""
		}
	}()
	if line := <-attached; !strings.Contains(line, "attached") {
		cmd.Process.Kill()
		<-drained
		cmd.Wait()
		t.Skipf("strace may not trace the server here: %q", line)
	}
	return func() {
		cmd.Process.Kill()
		<-drained
		cmd.Wait()
	}
}

// A failed fsync stops acknowledgements for good and turns health red; what was
// acknowledged before is there after a restart, and nothing is twice.
func TestFailedFsync(t *testing.T) {
	harness.OnlyStreamweir(t, "it ends its process instead")
	s := harness.Start(t, harness.Plain())
	topic := harness.Topic(t, s, 1)
	cl := writer(t, s, topic)
	ctx := harness.Context(t, 2*harness.Long)
	for i := range 3 {
		if err := put(ctx, cl, harness.Incompressible(uint64(i), megabyte)); err != nil {
			t.Fatal(err)
		}
	}
	stop := failSyncs(t, s)
	for range 3 {
		if err := put(ctx, cl, harness.Incompressible(3, megabyte)); !errors.Is(err, kerr.KafkaStorageError) {
			t.Fatalf("with fsyncs that fail: %v, want KAFKA_STORAGE_ERROR", err)
		}
	}
	harness.Eventually(t, harness.Long, "health is red", func() error {
		for _, path := range []string{"/healthz", "/readyz"} {
			if status, body := s.Get(t, path); status != 503 {
				return fmt.Errorf("%s: %d %s", path, status, body)
			}
		}
		return nil
	})
	// It stays so when the disk works again: what it holds is not known.
	stop()
	if err := put(ctx, cl, harness.Incompressible(3, megabyte)); !errors.Is(err, kerr.KafkaStorageError) {
		t.Fatalf("after a failed fsync: %v, want KAFKA_STORAGE_ERROR", err)
	}
	readBack(t, s, topic, 0, 3)
	s.Kill(t)
	s.StartAgain(t)
	readBack(t, s, topic, 0, 3)
	mustServe(t, s)
}
