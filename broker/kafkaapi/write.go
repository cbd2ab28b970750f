package kafkaapi

import (
	"encoding/binary"
	"errors"
	"net"
	"slices"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/zap"

	"github.com/streamweir/streamweir/broker/partition"
	"github.com/streamweir/streamweir/protocol/kafka"
)

const (
	// flushAt is how many encoded bytes are gathered before they are sent, even
	// if more responses are ready.
	flushAt = 64 << 10
	// chunk is how many bytes of records are in hand at a time for one
	// connection: what a client that does not read can hold (less, if many do:
	// see partition.Reader). It fits into a processor's own cache between the
	// reading and the sending.
	chunk = 512 << 10
	// sendPiece is how much of an answer is sent at a time.
	sendPiece = 256 << 10
	// keepOut is the largest encoding buffer that a connection keeps.
	keepOut = 64 << 10
)

// write sends responses, in the order of the requests, until the reader is done
// and everything is answered, or the connection ends.
func (c *conn) write() {
	defer c.close()
	defer c.recovered()
	w := &vector{c: c}
	for {
		k := c.first(w)
		if k == nil {
			return
		}
		if !k.making && growsWhenEncoded(k.resp) {
			// Who waits for a place must not have what those wait for who have one.
			c.s.answers.give(c, c.owes(k, 0))
			if k.making = c.s.answers.enter(c); !k.making {
				return
			}
		}
		err := c.send(w, k)
		if err == nil && (w.bytes() >= flushAt || !smallAnswer[k.key]) {
			err = c.flush(w, k)
		}
		k.made()
		c.sent()
		if err != nil {
			if !errors.Is(err, net.ErrClosed) && !isReset(err) {
				c.log.Info("a response could not be sent; the connection is closed", zap.Error(err))
			}
			return
		}
	}
}

// flush sends what is in w. A large answer needs memory until it is sent.
func (c *conn) flush(w *vector, k *call) error {
	if k.stream == nil && len(w.out) > flushAt {
		if !c.s.answers.encoded(k, int64(len(w.out))) {
			return net.ErrClosed
		}
		k.made()
	}
	return w.flush()
}

// first waits until the oldest request has its response, and returns it. Before
// it waits it sends what was gathered. It returns nil when there is no more.
func (c *conn) first(w *vector) *call {
	c.mu.Lock()
	for {
		switch {
		case c.closed:
			c.mu.Unlock()
			return nil
		case len(c.calls) > 0 && c.calls[0].done:
			k := c.calls[0]
			c.mu.Unlock()
			return k
		case w.bytes() > 0:
			c.mu.Unlock()
			if w.flush() != nil {
				return nil
			}
			c.mu.Lock()
		case c.ended && len(c.calls) == 0:
			c.mu.Unlock()
			return nil
		default:
			c.work.Wait()
		}
	}
}

// sent takes away the call that first returned.
func (c *conn) sent() {
	c.mu.Lock()
	owed := c.settle(c.calls[0])
	c.calls[0] = nil
	if c.calls = c.calls[1:]; len(c.calls) == 0 {
		c.calls = nil
	}
	c.room.Signal()
	c.mu.Unlock()
	c.s.answers.give(c, owed)
}

// send puts k's response into w, which sends when it has enough.
func (c *conn) send(w *vector, k *call) error {
	defer c.s.metrics.done(k)
	switch {
	case k.fatal:
		w.flush()
		return net.ErrClosed
	case k.silent:
		return nil
	case k.stream != nil:
		return k.stream.send(w, k)
	}
	at := len(w.out)
	if k.raw != nil {
		w.out = append(append(w.out, 0, 0, 0, 0), k.raw...)
	} else {
		w.out = k.resp.AppendTo(k.appendHeader(w.out, k.resp))
		k.resp = nil // what it was made of is not kept while it is sent
	}
	binary.BigEndian.PutUint32(w.out[at:], uint32(len(w.out)-at-4))
	return nil
}

// vector gathers what is to be sent, partly encoded by us, partly lent out by
// readers of partitions, and sends it with as few system calls as it can.
type vector struct {
	c    *conn
	out  []byte
	cuts []piece // what goes between the bytes of out
	lent int
	open []*partition.Reader
}

// piece is bytes that belong at out[at:].
type piece struct {
	at    int
	bytes [][]byte
}

// lend puts bytes behind what is in w so far. They belong to r and are
// returned to it after the next flush.
func (w *vector) lend(b [][]byte, r *partition.Reader) {
	if len(b) == 0 {
		return
	}
	w.cuts = append(w.cuts, piece{at: len(w.out), bytes: append([][]byte(nil), b...)})
	w.open = append(w.open, r)
	for _, x := range b {
		w.lent += len(x)
	}
}

// bytes is how much waits to be sent.
func (w *vector) bytes() int { return len(w.out) + w.lent }

func (w *vector) flush() error {
	defer w.release()
	if w.bytes() == 0 {
		return nil
	}
	w.c.beginWrites(int64(w.bytes()))
	if len(w.cuts) == 0 {
		return w.pieces()
	}
	w.c.beginWrite()
	bufs := make(net.Buffers, 0, 2*len(w.cuts)+1)
	at := 0
	for _, p := range w.cuts {
		if p.at > at {
			bufs = append(bufs, w.out[at:p.at])
			at = p.at
		}
		bufs = append(bufs, p.bytes...)
	}
	if at < len(w.out) {
		bufs = append(bufs, w.out[at:])
	}
	n, err := bufs.WriteTo(w.c.nc)
	w.c.wrote(n)
	w.c.s.metrics.bytesOut.Add(float64(n))
	return err
}

// pieces sends out, piece by piece: each has its own time.
func (w *vector) pieces() error {
	for piece := range slices.Chunk(w.out, sendPiece) {
		w.c.beginWrite()
		n, err := w.c.nc.Write(piece)
		w.c.wrote(int64(n))
		w.c.s.metrics.bytesOut.Add(float64(n))
		if err != nil {
			return err
		}
	}
	return nil
}

// beginWrites notes that so many bytes are to be sent.
func (c *conn) beginWrites(size int64) {
	c.mu.Lock()
	c.writes = flow{size: size}
	c.mu.Unlock()
}

// beginWrite gives the client its time to take what is sent next.
func (c *conn) beginWrite() {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	c.writes.since = now
	switch idle := c.idleTime(); {
	case c.draining:
		c.nc.SetWriteDeadline(now.Add(drainWrite))
	case idle >= 0:
		c.nc.SetWriteDeadline(now.Add(idle))
	}
}

// wrote notes that the client has taken n bytes, and is waited for no more.
func (c *conn) wrote(n int64) {
	c.mu.Lock()
	c.writes.moved(time.Now(), n)
	c.mu.Unlock()
}

func (w *vector) release() {
	for i, r := range w.open {
		r.Close()
		w.open[i] = nil
	}
	w.open, w.cuts, w.lent = w.open[:0], w.cuts[:0], 0
	if w.out = w.out[:0]; cap(w.out) > keepOut {
		w.out = nil
	}
}

// fetchStream is a fetch response whose records are still in the log.
type fetchStream struct {
	// prepare, where it is set, decides only now what is returned.
	prepare func() *fetchStream

	resp *kmsg.FetchResponse
	// plans has one entry for each partition of resp, in order; those without
	// records have no bytes.
	plans []partition.Plan
	sizes []int
}

func (f *fetchStream) send(w *vector, k *call) error {
	if f.prepare != nil {
		f = f.prepare()
	}
	f.sizes = f.sizes[:0]
	total := 0
	for _, p := range f.plans {
		f.sizes = append(f.sizes, p.Bytes)
		total += p.Bytes
	}
	frame, cuts := kafka.AppendFetchResponse(k.appendHeader(nil, f.resp), f.resp, f.sizes)
	binary.BigEndian.PutUint32(frame, uint32(len(frame)-4+total))
	at := 0
	for i, cut := range cuts {
		if f.sizes[i] == 0 {
			continue
		}
		w.out = append(w.out, frame[at:cut]...)
		at = cut
		if err := w.records(f.plans[i]); err != nil {
			for j := range f.plans {
				f.plans[j].Release()
			}
			return err
		}
	}
	w.out = append(w.out, frame[at:]...)
	return nil
}

// records sends the batches of one partition, chunk by chunk.
func (w *vector) records(p partition.Plan) error {
	r := partition.NewReader(p)
	for r.Left() > 0 {
		if w.bytes() >= chunk {
			if err := w.flush(); err != nil {
				return err
			}
		}
		bufs, err := r.Next(max(chunk-w.lent, chunk/4))
		if err != nil {
			r.Close()
			// The length was announced: the client has to ask again.
			return err
		}
		w.lend(bufs, r)
		if r.Left() > 0 {
			// A reader lends one piece at a time.
			if err := w.flush(); err != nil {
				return err
			}
		}
	}
	return nil
}

func isReset(err error) bool {
	return errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}
