package harness

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kbin"
	"github.com/twmb/franz-go/pkg/kmsg"
)

const (
	// ClientID is what raw connections call themselves.
	ClientID = "raw-test"

	// maxResponse is more than any answer that a test asks for.
	maxResponse = 256 << 20

	apiVersionsKey = 18
)

// Conn is a raw connection: requests go out and responses come in exactly as
// the test says, with nothing of a client's cleverness in between.
type Conn struct {
	net.Conn
	r         *bufio.Reader
	formatter *kmsg.RequestFormatter
	next      int32
	// Within limits each RoundTrip.
	Within time.Duration
}

// Dial opens a raw connection and closes it with the test.
func Dial(t testing.TB, s *Server) *Conn {
	t.Helper()
	c, err := dial(s.Addr())
	if err != nil {
		t.Fatalf("dial: %v", err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func dial(addr string) (*Conn, error) {
	nc, err := net.DialTimeout("tcp", addr, 5*time.Second)
	if err != nil {
		return nil, err
	}
	return &Conn{
		Conn: nc, r: bufio.NewReaderSize(nc, 64<<10),
		formatter: kmsg.NewRequestFormatter(kmsg.FormatterClientID(ClientID)),
		Within:    30 * time.Second,
	}, nil
}

// Frame encodes a request as it goes over the wire.
func (c *Conn) Frame(correlation int32, req kmsg.Request) []byte {
	return c.formatter.AppendRequest(nil, req, correlation)
}

// Send writes a request and returns its correlation id.
func (c *Conn) Send(req kmsg.Request) (int32, error) {
	c.next++
	_, err := c.Write(c.Frame(c.next, req))
	return c.next, err
}

// ReadFrame reads one response without its length.
func (c *Conn) ReadFrame() ([]byte, error) {
	var size [4]byte
	if _, err := io.ReadFull(c.r, size[:]); err != nil {
		return nil, err
	}
	n := int32(binary.BigEndian.Uint32(size[:]))
	if n < 4 || n > maxResponse {
		return nil, fmt.Errorf("a response of %d bytes", n)
	}
	b := make([]byte, n)
	_, err := io.ReadFull(c.r, b)
	return b, err
}

// Recv reads the next response, which must answer the request with the given
// correlation id.
func (c *Conn) Recv(correlation int32, req kmsg.Request) (kmsg.Response, error) {
	frame, err := c.ReadFrame()
	if err != nil {
		return nil, err
	}
	return Decode(frame, correlation, req)
}

// Decode decodes a response frame and checks that it is canonical: that
// nothing is left over and that encoding it again gives the same bytes.
func Decode(frame []byte, correlation int32, req kmsg.Request) (kmsg.Response, error) {
	b := kbin.Reader{Src: frame}
	if got := b.Int32(); got != correlation {
		return nil, fmt.Errorf("correlation id %d, want %d", got, correlation)
	}
	resp := req.ResponseKind()
	resp.SetVersion(req.GetVersion())
	if req.IsFlexible() && req.Key() != apiVersionsKey {
		if n := b.Uvarint(); n != 0 {
			return nil, fmt.Errorf("%d unknown tags in the response header", n)
		}
	}
	if !b.Ok() {
		return nil, errors.New("truncated response header")
	}
	if err := resp.ReadFrom(b.Src); err != nil {
		return nil, fmt.Errorf("decode %T v%d: %w", resp, req.GetVersion(), err)
	}
	if again := resp.AppendTo(nil); len(again) != len(b.Src) {
		return nil, fmt.Errorf("decode %T v%d: %d bytes, of which the message takes %d", resp, req.GetVersion(), len(b.Src), len(again))
	}
	return resp, nil
}

// RoundTrip sends a request and reads its answer.
func (c *Conn) RoundTrip(req kmsg.Request) (kmsg.Response, error) {
	if err := c.SetDeadline(time.Now().Add(c.Within)); err != nil {
		return nil, err
	}
	id, err := c.Send(req)
	if err != nil {
		return nil, fmt.Errorf("send %T v%d: %w", req, req.GetVersion(), err)
	}
	resp, err := c.Recv(id, req)
	if err != nil {
		return nil, fmt.Errorf("answer to %T v%d: %w", req, req.GetVersion(), err)
	}
	return resp, nil
}

// Ask is RoundTrip for tests: it returns the answer in its own type.
func Ask[R kmsg.Response](t testing.TB, c *Conn, req kmsg.Request) R {
	t.Helper()
	resp, err := c.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	r, ok := resp.(R)
	if !ok {
		t.Fatalf("answer to %T is a %T", req, resp)
	}
	return r
}

// At sets a request's version and returns it.
func At[R kmsg.Request](req R, version int16) R {
	req.SetVersion(version)
	return req
}
