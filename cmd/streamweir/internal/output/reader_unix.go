//go:build unix

package output

import (
	"context"
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// readerPoll is how long one wait for the reader's end lasts, in milliseconds:
// the longest that the end of a command is held up by it.
const readerPoll = 250

// WhenReaderGone calls gone if w is a pipe that nobody reads any more. A
// command that waits for records would otherwise learn of it only with the next
// one. It returns a function that ends the watch.
func WhenReaderGone(w any, gone func()) (stop func()) {
	f, ok := w.(*os.File)
	if !ok {
		return func() {}
	}
	info, err := f.Stat()
	if err != nil || info.Mode()&os.ModeNamedPipe == 0 {
		return func() {}
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		fds := []unix.PollFd{{Fd: int32(f.Fd())}} // no events: only errors
		for ctx.Err() == nil {
			n, err := unix.Poll(fds, readerPoll)
			if err != nil && !errors.Is(err, unix.EINTR) {
				return
			}
			if n > 0 && fds[0].Revents&(unix.POLLERR|unix.POLLHUP) != 0 {
				gone()
				return
			}
		}
	}()
	return func() {
		cancel()
		<-done
	}
}
