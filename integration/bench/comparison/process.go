package comparison

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

const (
	stopWithin  = 15 * time.Second // from SIGTERM to SIGKILL
	logTailSize = 4 << 10          // how much of a server's log an error shows
)

// ErrNotHere is why a figure is missing from the table on some systems.
var ErrNotHere = errors.New("only measured on Linux, from /proc")

// Process is one server in a process group of its own.
type Process struct {
	Cmd    *exec.Cmd
	log    string
	Exited chan struct{} // closed when the process is gone and reaped
	Err    error         // how it ended; read after Exited
}

// StartProcess starts argv with its output going to a file in dir.
func StartProcess(dir string, env []string, argv ...string) (*Process, error) {
	logPath := filepath.Join(dir, "server.log")
	logFile, err := os.Create(logPath)
	if err != nil {
		return nil, err
	}
	defer logFile.Close() // the child has its own descriptor
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Env = append(cleanEnviron(), env...)
	cmd.Stdout, cmd.Stderr = logFile, logFile
	cmd.SysProcAttr = OwnGroup()
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", argv[0], err)
	}
	p := &Process{Cmd: cmd, log: logPath, Exited: make(chan struct{})}
	go func() {
		p.Err = cmd.Wait()
		close(p.Exited)
	}()
	return p, nil
}

// cleanEnviron is the environment without settings of Streamweir: it runs with
// what the table says and nothing else.
func cleanEnviron() []string {
	return slices.DeleteFunc(os.Environ(), func(kv string) bool { return strings.HasPrefix(kv, "STREAMWEIR_") })
}

func (p *Process) PID() int { return p.Cmd.Process.Pid }

// Stop ends the whole process group, first kindly. It returns when the server is gone.
func (p *Process) Stop() {
	p.signal(syscall.SIGTERM)
	timer := time.NewTimer(stopWithin)
	defer timer.Stop()
	select {
	case <-p.Exited:
	case <-timer.C:
	}
	// Once more for what the server may have left behind in its group.
	p.signal(syscall.SIGKILL)
	<-p.Exited
}

func (p *Process) signal(sig syscall.Signal) {
	if err := syscall.Kill(-p.PID(), sig); err != nil && !errors.Is(err, syscall.ESRCH) {
		fmt.Fprintf(os.Stderr, "comparison: signal process group %d: %v\n", p.PID(), err)
	}
}

// LogTail is the end of the server's output, for an error that asks why.
func (p *Process) LogTail() string {
	file, err := os.Open(p.log)
	if err != nil {
		return ""
	}
	defer file.Close()
	if info, err := file.Stat(); err == nil && info.Size() > logTailSize {
		if _, err := file.Seek(-logTailSize, io.SeekEnd); err != nil {
			return ""
		}
	}
	tail, err := io.ReadAll(file)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(tail))
}
