//go:build !linux

package main

import (
	"io"
	"net"
)

// dropBytes reads n bytes and forgets them.
func dropBytes(c *net.TCPConn, n int) error {
	_, err := io.CopyN(io.Discard, c, int64(n))
	return err
}
