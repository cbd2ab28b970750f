package main

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
	logTailSize = 4 << 10          // how much of a broker's log an error shows
)

// errNotHere is why a figure is missing from the table on some systems.
var errNotHere = errors.New("only measured on Linux, from /proc")

// process is one broker in a process group of its own.
type process struct {
	cmd    *exec.Cmd
	log    string
	exited chan struct{} // closed when the process is gone and reaped
	err    error         // how it ended; read after exited
}

// startProcess starts argv with its output going to a file in dir.
func startProcess(dir string, env []string, argv ...string) (*process, error) {
	logPath := filepath.Join(dir, "broker.log")
	logFile, err := os.Create(logPath)
	if err != nil {
		return nil, err
	}
	defer logFile.Close() // the child has its own descriptor
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Env = append(cleanEnviron(), env...)
	cmd.Stdout, cmd.Stderr = logFile, logFile
	cmd.SysProcAttr = ownGroup()
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", argv[0], err)
	}
	p := &process{cmd: cmd, log: logPath, exited: make(chan struct{})}
	go func() {
		p.err = cmd.Wait()
		close(p.exited)
	}()
	return p, nil
}

// cleanEnviron is the environment without settings of Streamweir: it runs with
// what the table says and nothing else.
func cleanEnviron() []string {
	return slices.DeleteFunc(os.Environ(), func(kv string) bool { return strings.HasPrefix(kv, "STREAMWEIR_") })
}

func (p *process) pid() int { return p.cmd.Process.Pid }

// stop ends the whole process group, first kindly. It returns when the broker is gone.
func (p *process) stop() {
	p.signal(syscall.SIGTERM)
	timer := time.NewTimer(stopWithin)
	defer timer.Stop()
	select {
	case <-p.exited:
	case <-timer.C:
	}
	// Once more for what the broker may have left behind in its group.
	p.signal(syscall.SIGKILL)
	<-p.exited
}

func (p *process) signal(sig syscall.Signal) {
	if err := syscall.Kill(-p.pid(), sig); err != nil && !errors.Is(err, syscall.ESRCH) {
		fmt.Fprintf(os.Stderr, "compare: signal process group %d: %v\n", p.pid(), err)
	}
}

// logTail is the end of the broker's output, for an error that asks why.
func (p *process) logTail() string {
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
