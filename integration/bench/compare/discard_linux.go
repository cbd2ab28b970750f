package main

import (
	"io"
	"net"

	"golang.org/x/sys/unix"
)

// untouched is the buffer of every receive call; only its length matters.
var untouched = make([]byte, 1<<20)

// dropBytes takes n bytes off a connection without copying them out of the
// kernel (MSG_TRUNC on TCP), so that a fetch measures the broker and not how fast
// this program copies memory.
func dropBytes(c *net.TCPConn, n int) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	for n > 0 {
		var got int
		var failed error
		err := raw.Read(func(fd uintptr) bool {
			for {
				got, _, failed = unix.Recvfrom(int(fd), untouched[:min(n, len(untouched))], unix.MSG_TRUNC)
				if failed != unix.EINTR {
					return failed != unix.EAGAIN
				}
			}
		})
		switch {
		case err != nil:
			return err
		case failed != nil:
			return failed
		case got == 0:
			return io.ErrUnexpectedEOF
		}
		n -= got
	}
	return nil
}
