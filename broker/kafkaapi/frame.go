package kafkaapi

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"

	"github.com/streamweir/streamweir/broker/memory"
)

// frame is a request's bytes and the memory that they take.
type frame struct {
	memory.Request
	c *conn
}

// release gives the frame's memory back, and with it the connection's room for
// further requests.
func (f *frame) release() {
	if f.Buf == nil {
		return
	}
	size := len(f.Buf.B)
	f.Release()
	f.c.mu.Lock()
	f.c.held -= int64(size)
	f.c.room.Signal()
	f.c.mu.Unlock()
}

// readFrame takes a request of size bytes from the connection.
func (c *conn) readFrame(br *bufio.Reader, size int) (frame, error) {
	src := memory.Source{Reader: br, Here: br.Buffered(), Cancel: c.gone, Cut: c.close, Deadline: c.setReadDeadline}
	q, err := c.s.requests.Read(src, size, size)
	switch {
	case errors.Is(err, memory.ErrCancelled):
		return frame{}, net.ErrClosed
	case err != nil:
		return frame{}, err
	}
	c.mu.Lock()
	c.held += int64(size)
	c.mu.Unlock()
	return frame{Request: q, c: c}, nil
}

// notWhole says that a request ended before it had begun in earnest.
func notWhole(size int, err error) error {
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("a request of %d bytes did not arrive whole: %w", size, err)
}
