package kafkaapi

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/zap"

	"github.com/streamweir/streamweir/broker/memory"
	"github.com/streamweir/streamweir/protocol/kafka"
)

// conn is one client's connection: a reader that takes requests and begins
// them, and a writer that sends the responses in the order of the requests.
// Requests that wait (for a disk, for data, for other members of a group) do
// not stop those behind them from being worked on.
type conn struct {
	s        *Server
	nc       net.Conn
	listener *listener
	ip       string
	log      *zap.Logger

	clientID string // of the last request; the reader's own

	mu       sync.Mutex
	room     sync.Cond // the reader waits for room in calls
	work     sync.Cond // the writer waits for the first call to be done
	calls    []*call   // under way, in the order of the requests
	draining bool      // no more requests are taken
	ended    bool      // the reader is done
	closed   bool

	gone chan struct{} // closed with the connection
	once sync.Once
	wg   sync.WaitGroup
}

func newConn(s *Server, nc net.Conn, l *listener, ip string) *conn {
	c := &conn{s: s, nc: nc, listener: l, ip: ip, gone: make(chan struct{})}
	c.log = s.log.With(zap.Stringer("remote", nc.RemoteAddr()))
	c.room.L, c.work.L = &c.mu, &c.mu
	return c
}

func (c *conn) start() {
	c.wg.Add(2)
	go func() { defer c.wg.Done(); c.read() }()
	go func() { defer c.wg.Done(); c.write() }()
	go func() { c.wg.Wait(); c.close(); c.abandon(); c.s.ended(c) }()
}

// close cuts the connection off.
func (c *conn) close() {
	c.once.Do(func() {
		close(c.gone)
		c.nc.Close()
		c.mu.Lock()
		c.closed = true
		calls := slices.Clone(c.calls) // the writer goes on taking them away
		c.room.Broadcast()
		c.work.Broadcast()
		c.mu.Unlock()
		for _, k := range calls {
			k.hurry()
		}
	})
}

// drainWrite is how long a client may take for a piece of a response when the
// server stops: one that does not read must not hold up its end.
const drainWrite = 5 * time.Second

// drain takes no more requests; those under way are answered, waiting ones now.
func (c *conn) drain() {
	c.mu.Lock()
	c.draining = true
	calls := slices.Clone(c.calls)
	c.mu.Unlock()
	c.nc.SetReadDeadline(time.Unix(1, 0))
	c.nc.SetWriteDeadline(time.Now().Add(drainWrite))
	for _, k := range calls {
		k.hurry()
	}
}

// abandon lets go of calls whose responses nobody will get.
func (c *conn) abandon() {
	c.mu.Lock()
	calls := c.calls
	c.calls = nil
	c.mu.Unlock()
	for _, k := range calls {
		k.hurry()
	}
}

// read takes requests until the connection ends.
func (c *conn) read() {
	defer func() {
		c.mu.Lock()
		c.ended = true
		c.work.Broadcast()
		c.mu.Unlock()
	}()
	defer c.recovered()
	br := bufio.NewReaderSize(c.nc, 4096)
	for {
		if err := c.next(br); err != nil {
			if !c.mayEnd(err) {
				c.s.metrics.protocolErrors.Inc()
				c.log.Info("a connection is closed", zap.Error(err))
			}
			var after errAfterAnswers
			if !errors.As(err, &after) && !c.isDraining() {
				c.close()
			}
			return
		}
	}
}

// recovered ends the connection after a panic. A request that we cannot take is
// a bug of ours; it costs its client the connection and nobody else anything.
func (c *conn) recovered() {
	if r := recover(); r != nil {
		c.s.metrics.panics.Inc()
		c.log.Error("a request made its handler panic; the connection is closed",
			zap.Any("panic", r), zap.ByteString("stack", debug.Stack()))
		c.close()
	}
}

// idleTime is connections.max.idle.ms, negative for no limit.
func (c *conn) idleTime() time.Duration {
	return time.Duration(c.s.cfg.ConnectionsMaxIdleMs) * time.Millisecond
}

// errAfterAnswers ends a connection once what is under way was answered.
type errAfterAnswers struct{ error }

func (c *conn) isDraining() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.draining
}

// mayEnd says whether err is a usual end of a connection, and no news.
func (c *conn) mayEnd(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed) || errors.Is(err, errIdle) ||
		c.isDraining() || isReset(err)
}

var errIdle = errors.New("idle for longer than connections.max.idle.ms")

// next reads one request and begins it.
func (c *conn) next(br *bufio.Reader) error {
	size, err := c.nextSize(br)
	if err != nil {
		return err
	}
	if size <= 0 || size > c.s.cfg.SocketRequestMaxBytes {
		return fmt.Errorf("a request of %d bytes was announced; socket.request.max.bytes is %d", size, c.s.cfg.SocketRequestMaxBytes)
	}
	f, err := c.readFrame(br, int(size))
	if err != nil {
		return err
	}
	c.s.metrics.bytesIn.Add(float64(size) + 4)
	return c.begin(f)
}

// nextSize waits for the next request's length. A connection on which requests
// are under way is not idle.
func (c *conn) nextSize(br *bufio.Reader) (int32, error) {
	var size [4]byte
	for {
		if br.Buffered() < 4 {
			c.setReadDeadline(c.idleTime())
		}
		_, err := br.Peek(4)
		var ne net.Error
		if errors.As(err, &ne) && ne.Timeout() && !c.isDraining() {
			c.mu.Lock()
			busy := len(c.calls) > 0
			c.mu.Unlock()
			if busy {
				continue
			}
			return 0, errIdle
		}
		if err != nil {
			if br.Buffered() > 0 && errors.Is(err, io.EOF) {
				err = fmt.Errorf("it ended within the length of a request: %w", err)
			}
			return 0, err
		}
		io.ReadFull(br, size[:])
		return int32(binary.BigEndian.Uint32(size[:])), nil
	}
}

func (c *conn) setReadDeadline(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.draining:
	case d < 0:
		c.nc.SetReadDeadline(time.Time{})
	default:
		c.nc.SetReadDeadline(time.Now().Add(d))
	}
}

// begin decodes a frame and hands it to its handler.
func (c *conn) begin(f frame) error {
	h, body, err := kafka.ParseHeader(f.buf.B)
	var unsupported *kafka.UnsupportedError
	if errors.As(err, &unsupported) && unsupported.Key == kafka.APIVersions {
		// KIP-511: answered in the oldest encoding, so that the client can learn
		// what is served.
		k := &call{c: c, frame: f, key: kafka.APIVersions, start: time.Now()}
		if !c.push(k) {
			return net.ErrClosed
		}
		k.replyRaw(kafka.AppendUnsupportedAPIVersions(nil, unsupported.CorrelationID))
		return nil
	}
	var req kmsg.Request
	if err == nil && handlers[h.Key] == nil {
		err = &kafka.UnsupportedError{Key: h.Key, Version: h.Version, CorrelationID: h.CorrelationID}
	}
	if err == nil {
		req, err = kafka.DecodeRequest(h, body)
	}
	if err != nil {
		f.release()
		return errAfterAnswers{err}
	}
	k := &call{
		c: c, frame: f, key: h.Key, version: h.Version, correlation: h.CorrelationID,
		clientID: c.clientName(h.ClientID), req: req, start: time.Now(),
	}
	if !c.push(k) {
		return net.ErrClosed
	}
	handlers[h.Key](c.s, k)
	return nil
}

// clientName returns a client id as a string. It hardly ever changes.
func (c *conn) clientName(id []byte) string {
	if string(id) != c.clientID {
		c.clientID = string(id)
	}
	return c.clientID
}

// push puts a call behind those under way, once there is room for it. Where the
// connection has ended meanwhile, the call is released.
//
// A request whose answer may be large waits until all before it are answered,
// and those behind it until it is: so a connection holds one such answer, and
// not as many as a client asks for without reading them.
func (c *conn) push(k *call) bool {
	c.mu.Lock()
	for !c.closed && !c.fits(k) {
		c.room.Wait()
	}
	if c.closed {
		c.mu.Unlock()
		k.frame.release()
		return false
	}
	c.calls = append(c.calls, k)
	c.mu.Unlock()
	return true
}

// fits says whether k may join the calls that are under way. The writer keeps the
// call that it is sending at the front until that is done.
func (c *conn) fits(k *call) bool {
	switch n := len(c.calls); {
	case n == 0:
		return true
	case n >= int(c.s.cfg.ConnectionMaxInFlight):
		return false
	default:
		return smallAnswer[k.key] && smallAnswer[c.calls[n-1].key]
	}
}

// smallAnswer names the APIs whose answers are bounded by what they were asked
// and small, or, as those of Fetch, not held in memory.
var smallAnswer = [maxKey]bool{
	kafka.Produce: true, kafka.Fetch: true, kafka.OffsetCommit: true, kafka.Heartbeat: true,
	kafka.JoinGroup: true, kafka.SyncGroup: true, kafka.LeaveGroup: true,
	kafka.FindCoordinator: true, kafka.InitProducerID: true, kafka.APIVersions: true,
	kafka.AddPartitionsToTxn: true, kafka.AddOffsetsToTxn: true, kafka.EndTxn: true,
}

// A frame is read in steps, so that memory follows the bytes that have come and
// not those that a client has announced.
const (
	// smallFrame and less is taken from the budget for small frames.
	smallFrame = 16 << 10
	// firstStep is read at once; then four times as much each time.
	firstStep = 256 << 10
	// frameGrace and frameRate bound how long a client may take to send a frame.
	frameGrace = 30 * time.Second
	frameRate  = 32 << 10 // bytes per second
)

// frame is a request's bytes and what they have taken from the budgets.
type frame struct {
	buf    *memory.Buffer
	budget *memory.Budget
	taken  int64
	drawn  chan struct{} // the overdraft, where it was taken
}

func (f *frame) release() {
	if f.buf == nil {
		return
	}
	f.buf.Release()
	f.buf = nil
	f.budget.Release(f.taken)
	if f.drawn != nil {
		<-f.drawn
	}
}

func (c *conn) readFrame(br *bufio.Reader, size int) (frame, error) {
	f := frame{budget: c.s.small}
	if size > smallFrame {
		f.budget = c.s.large
	}
	have := min(size, firstStep)
	if !f.budget.Acquire(int64(have), c.gone) {
		return f, net.ErrClosed
	}
	f.taken = int64(have)
	f.buf = memory.NewBuffer(have)
	if br.Buffered() < size {
		c.setReadDeadline(frameGrace + time.Duration(size)*time.Second/frameRate)
	}
	read := 0
	for {
		if _, err := io.ReadFull(br, f.buf.B[read:]); err != nil {
			f.release()
			return f, fmt.Errorf("a request of %d bytes did not arrive whole: %w", size, err)
		}
		read = have
		if have == size {
			return f, nil
		}
		have = min(size, 4*have)
		if !c.grow(&f, int64(have-read)) {
			f.release()
			return f, net.ErrClosed
		}
		grown := memory.NewBuffer(have)
		copy(grown.B, f.buf.B)
		f.buf.Release()
		f.buf = grown
	}
}

// grow takes n more bytes for a frame that has begun. Frames that have begun
// must not wait for each other for ever: one at a time may go over the budget.
func (c *conn) grow(f *frame, n int64) bool {
	if f.drawn != nil {
		return true
	}
	if f.budget.TryAcquire(n) {
		f.taken += n
		return true
	}
	c.s.metrics.memoryWaits.Inc()
	cancel := make(chan struct{})
	got := make(chan bool, 1)
	go func() { got <- f.budget.Acquire(n, cancel) }()
	ok := false
	select {
	case ok = <-got:
	case c.s.overdraft <- struct{}{}:
		close(cancel)
		if ok = <-got; ok {
			<-c.s.overdraft
		} else {
			f.drawn = c.s.overdraft
			return true
		}
	case <-c.gone:
		close(cancel)
		ok = <-got
	}
	if ok {
		f.taken += n
	}
	return ok
}
