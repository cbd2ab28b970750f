package harness

import (
	"os/exec"
	"syscall"
)

// isolate puts a child into its own process group and has the kernel kill it
// if the test process dies first, so that nothing is left behind.
func isolate(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
