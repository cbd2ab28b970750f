package harness

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// startAndReap starts p and waits for its end in the background. Linux ties
// the death signal to the thread that forked, so that thread is kept.
func startAndReap(p *proc) error {
	started := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := p.cmd.Start()
		started <- err
		if err == nil {
			p.err = p.cmd.Wait()
			close(p.exited)
		}
	}()
	return <-started
}

// NeedTool skips the test where a program is not on the machine.
func NeedTool(t testing.TB, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("%s is not on this machine: %v", name, err)
	}
	return path
}

// Run runs a command to its end and returns its exit code and all its output.
func Run(t testing.TB, within time.Duration, cmd *exec.Cmd) (int, string) {
	t.Helper()
	c := Background(t, cmd, nil)
	code := c.Wait(t, within)
	return code, c.Output()
}

// MustRun runs a command that has to succeed and returns its output.
func MustRun(t testing.TB, within time.Duration, cmd *exec.Cmd) string {
	t.Helper()
	code, out := Run(t, within, cmd)
	if code != 0 {
		t.Fatalf("%s: exit code %d:\n%s", strings.Join(cmd.Args, " "), code, clip(out))
	}
	return out
}

// Command is a client program that runs beside the test.
type Command struct {
	p   *proc
	out *outputs
}

// outputs keeps what a client program writes.
type outputs struct {
	mu     sync.Mutex
	stdout bytes.Buffer
	stderr bytes.Buffer
}

type outputWriter struct {
	o *outputs
	b *bytes.Buffer
}

func (w outputWriter) Write(p []byte) (int, error) {
	w.o.mu.Lock()
	defer w.o.mu.Unlock()
	return w.b.Write(p)
}

// Background starts a client program. It is killed with the test.
func Background(t testing.TB, cmd *exec.Cmd, stdin io.Reader) *Command {
	t.Helper()
	c := &Command{p: &proc{cmd: cmd, exited: make(chan struct{})}, out: &outputs{}}
	cmd.Stdin = stdin
	cmd.Stdout = outputWriter{c.out, &c.out.stdout}
	cmd.Stderr = outputWriter{c.out, &c.out.stderr}
	isolate(cmd)
	if err := startAndReap(c.p); err != nil {
		t.Fatalf("start %s: %v", cmd.Path, err)
	}
	t.Cleanup(func() {
		c.p.kill()
		if t.Failed() {
			t.Logf("%s: %v\n%s", strings.Join(cmd.Args, " "), c.p.err, clip(c.Output()))
		}
	})
	return c
}

// Wait waits for the program's end and returns its exit code.
func (c *Command) Wait(t testing.TB, within time.Duration) int {
	t.Helper()
	select {
	case <-c.p.exited:
		return c.p.cmd.ProcessState.ExitCode()
	case <-time.After(within):
		t.Fatalf("%s: has not ended within %v; its output:\n%s", strings.Join(c.p.cmd.Args, " "), within, clip(c.Output()))
		return -1
	}
}

// Exited is closed when the program has ended.
func (c *Command) Exited() <-chan struct{} { return c.p.exited }

// Signal sends the program a signal.
func (c *Command) Signal(t testing.TB, sig syscall.Signal) {
	t.Helper()
	if err := c.p.cmd.Process.Signal(sig); err != nil {
		t.Fatalf("signal %v to %s: %v", sig, c.p.cmd.Path, err)
	}
}

// Stdout is what the program has written to its standard output so far.
func (c *Command) Stdout() string {
	c.out.mu.Lock()
	defer c.out.mu.Unlock()
	return c.out.stdout.String()
}

// Stderr is what the program has written to its standard error so far.
func (c *Command) Stderr() string {
	c.out.mu.Lock()
	defer c.out.mu.Unlock()
	return c.out.stderr.String()
}

// Output is standard output followed by standard error.
func (c *Command) Output() string { return c.Stdout() + c.Stderr() }

// clip shortens what a failing test prints.
func clip(s string) string {
	const limit = 8 << 10
	if len(s) <= limit {
		return s
	}
	return s[:limit/2] + fmt.Sprintf("\n[... %d bytes ...]\n", len(s)-limit) + s[len(s)-limit/2:]
}

// Done says whether an error only means that a context ended.
func Done(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}
