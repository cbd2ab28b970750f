package kafkaapi

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/streamweir/streamweir/broker/memory"
)

// A frame is read in steps, so that memory follows the bytes that have come and
// not those that a client has announced.
const (
	// Frames of up to smallFrame, and of up to usualFrame, have a share of the
	// memory for requests each: those that are larger, or that many clients send
	// by default, do not wait for each other.
	smallFrame = 16 << 10
	usualFrame = 2 << 20
	// firstStep is read at once; then four times as much each time.
	firstStep = 256 << 10
)

// frame is a request's bytes and what they have taken from the budgets.
type frame struct {
	c     *conn
	buf   *memory.Buffer
	in    *intake
	taken int64
	drawn bool // it has the intake's overdraft
}

// release gives the frame's memory back, and with it the connection's room for
// further requests.
func (f *frame) release() {
	if f.buf == nil {
		return
	}
	f.buf.Release()
	f.buf = nil
	f.in.budget.Release(f.taken)
	if f.drawn {
		<-f.in.overdraft
	}
	f.c.mu.Lock()
	f.c.held -= f.taken
	f.c.room.Signal()
	f.c.mu.Unlock()
}

// grow puts a longer buffer in the place of the frame's own.
func (f *frame) grow(n int) {
	grown := memory.NewBuffer(n)
	copy(grown.B, f.buf.B)
	f.buf.Release()
	f.buf = grown
}

func (f *frame) took(n int64) {
	f.taken += n
	f.c.mu.Lock()
	f.c.held += n
	f.c.mu.Unlock()
}

// readFrame takes a request of size bytes from the connection.
func (c *conn) readFrame(br *bufio.Reader, size int) (frame, error) {
	f := frame{c: c, in: c.s.intakeFor(size)}
	have := min(size, firstStep)
	if !f.in.await(int64(have), nil, c.gone).ok {
		return f, net.ErrClosed
	}
	f.took(int64(have))
	f.buf = memory.NewBuffer(have)
	if have == size && br.Buffered() >= size {
		_, err := io.ReadFull(br, f.buf.B) // it is here
		return f, err
	}
	a := f.in.begin(c, size, f.taken)
	defer f.in.end(a)
	if err := c.readPieces(br, &f, a); err != nil {
		f.release()
		if a.isCut() {
			err = errTooSlow
		}
		return f, notWhole(size, err)
	}
	return f, nil
}

// notWhole says that a request did not arrive to its end.
func notWhole(size int, err error) error {
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("a request of %d bytes did not arrive whole: %w", size, err)
}

// readPieces reads a frame as it arrives. Each piece of it has its time.
func (c *conn) readPieces(br *bufio.Reader, f *frame, a *arrival) error {
	c.setReadDeadline(pieceTime)
	for read := 0; ; {
		n, err := br.Read(f.buf.B[read:])
		if err != nil {
			return err
		}
		read += n
		if read == a.size {
			return nil
		}
		if a.arrived(n) {
			c.setReadDeadline(pieceTime)
		}
		if read < len(f.buf.B) {
			continue
		}
		next := min(a.size, 4*read)
		if !f.in.extend(f, a, int64(next-read)) {
			return net.ErrClosed
		}
		f.grow(next)
		c.setReadDeadline(pieceTime)
	}
}

// pieceTime is how long each pieceBytes of a request, or what is left of it, may
// take to arrive, waits of the server not counted.
const (
	pieceTime  = 30 * time.Second
	pieceBytes = 256 << 10
)
