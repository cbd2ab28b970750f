package workload

import (
	"runtime"
	"syscall"
)

// ownGroup puts a child into its own process group, and has the kernel end it
// should this process die without being able to.
func ownGroup() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// startAndReap starts p and waits for its end in the background. Linux ties the
// death signal to the thread that forked, so that thread is kept.
func startAndReap(p *process) error {
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
