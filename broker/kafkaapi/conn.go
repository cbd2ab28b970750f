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
	held     int64     // bytes of their frames, and of the one that arrives
	unsent   int64     // what they need until their answers are sent
	writes   flow      // what is sent now
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
		c.room.Broadcast()
		c.work.Broadcast()
		c.mu.Unlock()
		c.hurry()
	})
}

// drainWrite is how long a client may take for a piece of a response when the
// server stops: one that does not read must not hold up its end.
const drainWrite = 5 * time.Second

// drain takes no more requests; those under way are answered, waiting ones now.
func (c *conn) drain() {
	c.mu.Lock()
	c.draining = true
	c.mu.Unlock()
	c.nc.SetReadDeadline(time.Unix(1, 0))
	c.nc.SetWriteDeadline(time.Now().Add(drainWrite))
	c.hurry()
}

// abandon lets go of calls whose responses nobody will get.
func (c *conn) abandon() {
	c.mu.Lock()
	calls := c.calls
	c.calls = nil
	var owed int64
	for _, k := range calls {
		if k.left = true; k.done {
			owed += c.settle(k)
		}
	}
	c.mu.Unlock()
	c.s.answers.give(c, owed)
	for _, k := range calls {
		k.made()
		k.hurry()
	}
}

// hurry ends the waits of all calls under way.
func (c *conn) hurry() {
	c.mu.Lock()
	calls := slices.Clone(c.calls)
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
	in := &incoming{c, bufio.NewReaderSize(c.nc, 4096)}
	for {
		if err := c.next(in); err != nil {
			switch {
			case c.mayEnd(err):
			case errors.Is(err, memory.ErrTooSlow):
				c.s.metrics.slowRequests.Inc()
				c.log.Warn("a connection is closed", zap.Error(err))
			default:
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
	return errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed) || errors.Is(err, errIdle) || errors.Is(err, memory.ErrGone) ||
		c.isDraining() || isReset(err)
}

var errIdle = errors.New("idle for longer than connections.max.idle.ms")

// next reads one request and begins it.
func (c *conn) next(in *incoming) error {
	br := in.br
	size, err := c.nextSize(br)
	if err != nil {
		return err
	}
	if size <= 0 || size > c.s.cfg.SocketRequestMaxBytes {
		return fmt.Errorf("a request of %d bytes was announced%s; socket.request.max.bytes is %d", size, otherProtocol(size), c.s.cfg.SocketRequestMaxBytes)
	}
	key, err := c.nextKey(br, int(size))
	if err != nil {
		return err
	}
	if !c.awaitRoom(key) {
		return net.ErrClosed
	}
	f, err := c.s.intakeFor(key, int(size)).Read(in, int(size), br.Buffered())
	if err != nil {
		return err
	}
	c.s.metrics.bytesIn.Add(float64(size) + 4)
	return c.begin(f)
}

// asideShare is the part of the memory for requests that is set aside for those that may
// wait for the memory of their answers, and again for those that may wait for a place
// to make them: so that nobody waits behind who needs neither.
const asideShare = 16

// asideFrom is the smallest request that is set aside.
const asideFrom = 4 << 10

// intakeFor returns the share of memory that a request comes out of.
func (s *Server) intakeFor(key kafka.Key, size int) *memory.Intake {
	switch {
	case size <= asideFrom, key == kafka.Produce, key == kafka.JoinGroup, key == kafka.SyncGroup:
		// How much of a Produce request is records is not known before it is read.
		return s.intakes.For(size)
	case asksForMore(key):
		return s.asideForPlaces
	}
	return s.aside
}

// otherProtocol says what begins with the bytes of size, where that is not a request
// of Kafka's.
func otherProtocol(size int32) string {
	switch b := binary.BigEndian.AppendUint32(nil, uint32(size)); {
	case slices.Contains([]string{"GET ", "POST", "PUT ", "HEAD", "OPTI", "DELE", "PRI "}, string(b)):
		return ", which is how HTTP begins: this is the Kafka port"
	case b[0] == 0x16 && b[1] == 3:
		return ", which is how TLS begins: this listener is PLAINTEXT"
	}
	return ""
}

// nextKey looks at the API key of the request that follows: whether there is room
// for it is known before any memory is taken for it.
func (c *conn) nextKey(br *bufio.Reader, size int) (kafka.Key, error) {
	if br.Buffered() < keyBytes {
		c.setReadDeadline(pieceTime)
	}
	b, err := br.Peek(min(size, keyBytes))
	if err != nil {
		return 0, memory.NotWhole(size, err)
	}
	if len(b) < keyBytes {
		return 0, nil // it is refused when it is decoded
	}
	return kafka.Key(binary.BigEndian.Uint16(b)), nil
}

// keyBytes is the length of an API key.
const keyBytes = 2

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
func (c *conn) begin(f memory.Request) error {
	h, body, err := kafka.ParseHeader(f.Buf.B)
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
	var what kafka.Measured
	if err == nil && handlers[h.Key] == nil {
		err = &kafka.UnsupportedError{Key: h.Key, Version: h.Version, CorrelationID: h.CorrelationID}
	}
	if err == nil {
		what, err = kafka.Measure(h, body)
	}
	if err != nil {
		f.Release()
		return errAfterAnswers{err}
	}
	k := &call{
		c: c, frame: f, key: h.Key, version: h.Version, correlation: h.CorrelationID,
		clientID: c.clientName(h.ClientID), start: time.Now(), need: answerNeeds(h.Key, &what),
	}
	if !c.s.answers.admit(k, &what) {
		f.Release()
		return net.ErrClosed
	}
	if k.req, err = what.Decode(); err != nil {
		k.unmade()
		f.Release()
		return errAfterAnswers{err}
	}
	if !c.push(k) {
		k.unmade()
		return net.ErrClosed
	}
	c.handle(k)
	return nil
}

// handle hands a call to its handler.
func (c *conn) handle(k *call) {
	ok := false
	defer func() {
		if !ok { // it panics, and may never be answered
			c.mu.Lock()
			owed := c.settle(k)
			c.mu.Unlock()
			c.s.answers.give(c, owed)
		}
	}()
	handlers[k.key](c.s, k)
	ok = true
}

// clientName returns a client id as a string. It hardly ever changes.
func (c *conn) clientName(id []byte) string {
	if string(id) != c.clientID {
		c.clientID = string(id)
	}
	return c.clientID
}

// awaitRoom waits until a request with this key may join those under way, and
// reports false where the connection has ended meanwhile.
//
// A request whose answer may be large waits until all before it are answered,
// and those behind it until it is: so a connection holds one such answer, and
// not as many as a client asks for without reading them. Nor do a connection's
// requests and answers hold more than its share of memory, and one request.
func (c *conn) awaitRoom(key kafka.Key) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for !c.closed && !c.fits(key) {
		c.room.Wait()
	}
	return !c.closed
}

// fits says whether a request may join the calls that are under way. The writer
// keeps the call that it is sending at the front until that is done.
func (c *conn) fits(key kafka.Key) bool {
	switch n := len(c.calls); {
	case n == 0:
		return true
	case n >= int(c.s.cfg.ConnectionMaxInFlight), c.held+c.unsent >= c.s.cfg.ConnectionMaxInFlightBytes:
		return false
	default:
		return answersSmall(key) && answersSmall(c.calls[n-1].key)
	}
}

// push puts a call behind those under way; there is room for it. Where the
// connection has ended meanwhile, the call is released.
func (c *conn) push(k *call) bool {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		k.frame.Release()
		return false
	}
	c.calls = append(c.calls, k)
	c.unsent += k.need
	c.mu.Unlock()
	return true
}

// settle ends the account of a call's answer, which is sent or will never be. It
// returns what the caller gives back to the budget of answers. c.mu is held.
func (c *conn) settle(k *call) (owed int64) {
	c.unsent -= k.need
	owed = k.owes
	k.need, k.owes = 0, 0
	return owed
}

// answersFit says whether an answer that needs so much is small beside those that are not
// sent yet.
func (c *conn) answersFit(need int64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.unsent+need <= smallAnswers
}

// owes sets what k has of the budget of answers, and returns what it had.
func (c *conn) owes(k *call, n int64) (had int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	had, k.owes = k.owes, n
	return had
}

// needs adds to what k needs, and returns what of it is taken of the budget of answers.
func (c *conn) needs(k *call, more int64) (owed int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	k.need += more
	c.unsent += more
	if c.unsent > smallAnswers {
		owed = k.need - k.owes
	}
	k.owes += owed
	return owed
}

// reads says whether something is being sent, and the client takes it too slowly.
func (c *conn) reads(now time.Time, silence time.Duration) (sending, slow bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return !c.writes.since.IsZero(), !c.closed && c.writes.slow(now, silence)
}

// answersSmall says whether the answer to a request of this kind is small.
func answersSmall(key kafka.Key) bool {
	return key >= 0 && int(key) < len(smallAnswer) && smallAnswer[key]
}

// smallAnswer names the APIs whose answers are bounded by what they were asked
// and small, or, as those of Fetch, not held in memory.
var smallAnswer = [maxKey]bool{
	kafka.Produce: true, kafka.Fetch: true, kafka.OffsetCommit: true, kafka.Heartbeat: true,
	kafka.JoinGroup: true, kafka.SyncGroup: true, kafka.LeaveGroup: true,
	kafka.FindCoordinator: true, kafka.InitProducerID: true, kafka.APIVersions: true,
	kafka.AddPartitionsToTxn: true, kafka.AddOffsetsToTxn: true, kafka.EndTxn: true,
}
