package kinesisapi

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/streamweir/streamweir/broker/config"
	"github.com/streamweir/streamweir/broker/memory"
	"github.com/streamweir/streamweir/protocol/aws/kinesis"
)

// waiting is a handler that reports that it runs and waits for leave to answer.
func waiting(running chan<- context.Context, leave <-chan struct{}) handler {
	return acknowledges(func(_ *Server, ctx context.Context, _ *Call, _ *kinesis.DeleteStreamInput) error {
		running <- ctx
		select {
		case <-leave:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	})
}

// start sends a request and returns where its outcome will be.
func start(c *http.Client, r *http.Request) <-chan error {
	done := make(chan error, 1)
	go func() {
		resp, err := c.Do(r)
		if err == nil {
			_, err = io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
			if resp.StatusCode != 200 {
				err = errors.New(resp.Status)
			}
		}
		done <- err
	}()
	return done
}

const named = `{"StreamName":"s"}`

// TestShutdownLetsRequestsEnd: those under way are answered, new ones are not taken.
func TestShutdownLetsRequestsEnd(t *testing.T) {
	running, leave := make(chan context.Context, 8), make(chan struct{})
	f := serve(t, table{"DeleteStream": waiting(running, leave)}, nil)
	var outcomes []<-chan error
	for _, protocol := range protocols {
		c, url := f.client(protocol)
		outcomes = append(outcomes, start(c, request(t, url, "DeleteStream", []byte(named))))
		<-running
	}
	stopped := make(chan struct{})
	go func() { f.stop(time.Minute); close(stopped) }()
	<-f.stopping.Done()
	select {
	case <-stopped:
		t.Fatal("the server stopped over requests that were under way")
	default:
	}
	close(leave)
	for i, done := range outcomes {
		if err := <-done; err != nil {
			t.Errorf("%s: %v", protocols[i], err)
		}
	}
	<-stopped
	if _, err := net.Dial("tcp", f.Addr()); err == nil {
		t.Error("a connection was taken after the end")
	}
}

// TestShutdownCutsOffWhatDoesNotEnd once its time is over.
func TestShutdownCutsOffWhatDoesNotEnd(t *testing.T) {
	running := make(chan context.Context, 8)
	f := serve(t, table{"DeleteStream": waiting(running, nil)}, nil)
	var outcomes []<-chan error
	for _, protocol := range protocols {
		c, url := f.client(protocol)
		outcomes = append(outcomes, start(c, request(t, url, "DeleteStream", []byte(named))))
		<-running
	}
	f.stop(0)
	for i, done := range outcomes {
		if err := <-done; err == nil {
			t.Errorf("%s: answered", protocols[i])
		}
	}
}

// TestClientsThatGo end the context of their requests.
func TestClientsThatGo(t *testing.T) {
	running := make(chan context.Context, 8)
	f := serve(t, table{"DeleteStream": waiting(running, nil)}, nil)
	for _, protocol := range protocols {
		c, url := f.client(protocol)
		ctx, cancel := context.WithCancel(context.Background())
		done := start(c, request(t, url, "DeleteStream", []byte(named)).WithContext(ctx))
		server := <-running
		cancel()
		<-server.Done()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", protocol, err)
		}
	}
}

func TestTooManyRequestsAreRefused(t *testing.T) {
	running, leave := make(chan context.Context, 8), make(chan struct{})
	f := serve(t, table{"DeleteStream": waiting(running, leave)}, func(c *config.Config) { c.AWSMaxRequests = 1 },
		func(s *Server) { s.placeTime = time.Millisecond })
	c, url := f.client("h2")
	first := start(c, request(t, url, "DeleteStream", []byte(named)))
	<-running
	resp, body := do(t, c, request(t, url, "DeleteStream", []byte(named)))
	if resp.StatusCode != 503 || !strings.HasPrefix(body, "<ServiceUnavailable>") {
		t.Errorf("%s %s", resp.Status, body)
	}
	close(leave)
	if err := <-first; err != nil {
		t.Error(err)
	}
	if resp, _ := do(t, c, request(t, url, "DeleteStream", []byte(named))); resp.StatusCode != 200 {
		t.Errorf("after the first had ended: %s", resp.Status)
	}
}

// ended waits until the server closes a connection.
func ended(t *testing.T, c net.Conn) {
	t.Helper()
	if err := c.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, c); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatal("the connection is still open")
	}
}

func dial(t *testing.T, f *frame) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", f.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func TestTooManyConnectionsAreClosed(t *testing.T) {
	f := serve(t, testHandlers(), func(c *config.Config) { c.AWSMaxConnections = 1 })
	first := dial(t, f)
	if _, err := io.WriteString(first, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(first).ReadString('\n'); err != nil || !strings.Contains(line, "403") {
		t.Fatalf("%q %v", line, err)
	}
	ended(t, dial(t, f))
	first.Close()
	c, url := f.client("h1")
	for { // until the server has seen the end of the first
		resp, err := c.Do(request(t, url, "DeleteStream", []byte(named)))
		if err == nil {
			resp.Body.Close()
			break
		}
	}
}

// TestSilentConnectionsEndWithTheServer: whoever has sent nothing holds up nothing.
func TestSilentConnectionsEndWithTheServer(t *testing.T) {
	f := serve(t, testHandlers(), nil)
	silent := dial(t, f)
	c, url := f.client("h1")
	do(t, c, request(t, url, "DeleteStream", []byte(named))) // silent is known by now
	f.stop(time.Minute)
	ended(t, silent)
}

// TestBodiesTakeMemoryAsTheyCome: a client that announces much and sends little
// holds little.
func TestBodiesTakeMemoryAsTheyCome(t *testing.T) {
	f := serve(t, testHandlers(), nil)
	c := dial(t, f)
	fmt.Fprintf(c, "POST / HTTP/1.1\r\nHost: x\r\nX-Amz-Target: Kinesis_20131202.PutRecord\r\nContent-Type: application/x-amz-json-1.1\r\n"+
		"X-Amz-Date: 20261125T210000Z\r\nAuthorization: %s\r\nContent-Length: 16000000\r\nExpect: 100-continue\r\n\r\n", testSignature)
	// The server asks for the body when it has taken memory for its beginning.
	if line, err := bufio.NewReader(c).ReadString('\n'); err != nil || !strings.Contains(line, "100") {
		t.Fatalf("%q %v", line, err)
	}
	if used := f.bodies.Used(); used == 0 || used > 4<<10 {
		t.Errorf("%d bytes are taken for a body of which nothing has come", used)
	}
	c.Close()
}

// TestRequestsWaitForMemory: many large ones at a time take no more than there is.
func TestRequestsWaitForMemory(t *testing.T) {
	f := serve(t, table{"PutRecord": answers(echo)}, func(c *config.Config) {
		c.AWSRequestMaxBytes, c.AWSQueuedMaxBytes = 1<<20, 4<<20
	}, func(s *Server) {
		// However slow the machine is, no client of this test is slow for the server.
		s.bodies.Usual.Haste.Patience, s.pieceTime = time.Hour, time.Hour
	})
	body := []byte(`{"PartitionKey":"k","Data":"` + strings.Repeat("AAAA", 200000) + `"}`)
	var wg sync.WaitGroup
	for i := range 32 {
		c, url := f.client(protocols[i%len(protocols)])
		wg.Go(func() {
			if err := <-start(c, request(t, url, "PutRecord", body)); err != nil {
				t.Errorf("request %d: %v", i, err)
			}
		})
	}
	wg.Wait()
}

// TestStalledBodiesEnd: of requests that are refused without their bodies as well,
// since the HTTP server waits for a body before it answers.
func TestStalledBodiesEnd(t *testing.T) {
	f := serve(t, testHandlers(), nil, func(s *Server) { s.pieceTime = 50 * time.Millisecond })
	for _, headers := range []string{"", "X-Amz-Target: Kinesis_20131202.PutRecord\r\nContent-Type: application/x-amz-json-1.1\r\n" +
		"X-Amz-Date: 20261125T210000Z\r\nAuthorization: " + testSignature + "\r\n"} {
		c := dial(t, f)
		fmt.Fprintf(c, "POST / HTTP/1.1\r\nHost: x\r\n%sContent-Length: 1000\r\n\r\n", headers)
		ended(t, c)
	}
}

// TestStalledBodiesMakeRoomForOthers: clients that send most of a large body and
// stop do not keep others waiting.
func TestStalledBodiesMakeRoomForOthers(t *testing.T) {
	f := serve(t, table{"PutRecord": answers(echo)}, func(c *config.Config) {
		c.AWSRequestMaxBytes, c.AWSQueuedMaxBytes = 1<<20, 4<<20
	}, func(s *Server) {
		s.bodies.Usual.Haste = memory.Haste{Patience: 50 * time.Millisecond, Silence: time.Second, Window: time.Hour, Slow: time.Hour}
	})
	body := []byte(`{"PartitionKey":"k","Data":"` + strings.Repeat("AAAA", 200000) + `"}`)
	stalled := make(chan error, 8)
	for i := range cap(stalled) {
		c, url := f.client(protocols[i%len(protocols)])
		r := request(t, url, "PutRecord", nil)
		rest, end := io.Pipe()
		defer end.Close()
		r.ContentLength, r.Body = int64(len(body)), struct {
			io.Reader
			io.Closer
		}{io.MultiReader(bytes.NewReader(body[:len(body)-10]), rest), rest}
		go func() { stalled <- <-start(c, r) }()
	}
	for i := range 3 {
		c, url := f.client(protocols[i])
		if err := <-start(c, request(t, url, "PutRecord", body)); err != nil {
			t.Errorf("request %d: %v", i, err)
		}
	}
	if err := <-stalled; err == nil {
		t.Error("a body was taken that did not come")
	}
}

// stall begins requests with bodies of size bytes of which nothing comes.
func (f *frame) stall(n, size int) <-chan error {
	return f.begin(n, size, func() io.ReadCloser {
		never, _ := io.Pipe()
		return never
	})
}

// begin begins requests with bodies that announce size bytes, and returns where the
// outcomes will be.
func (f *frame) begin(n, size int, body func() io.ReadCloser) <-chan error {
	outcomes := make(chan error, n)
	var clients []*http.Client
	var urls []string
	for _, protocol := range protocols {
		c, url := f.client(protocol)
		clients, urls = append(clients, c), append(urls, url)
	}
	for i := range n {
		r := request(f.t, urls[i%len(urls)], "PutRecord", nil)
		r.ContentLength, r.Body = int64(size), body()
		f.t.Cleanup(func() { r.Body.Close() })
		done := start(clients[i%len(clients)], r)
		go func() { outcomes <- <-done }()
	}
	return outcomes
}

// madeRoom wants requests of each protocol served, and stalled ones closed for them.
func (f *frame) madeRoom(stalled <-chan error) {
	f.t.Helper()
	for _, protocol := range protocols {
		c, url := f.client(protocol)
		if err := <-start(c, request(f.t, url, "PutRecord", []byte(`{"PartitionKey":"k","Data":"AAAA"}`))); err != nil {
			f.t.Errorf("%s: %v", protocol, err)
		}
	}
	if err := <-stalled; err == nil {
		f.t.Error("a body was taken that did not come")
	}
}

// awaitUsed returns when the bodies have taken so much memory.
func (f *frame) awaitUsed(n int64) {
	for f.bodies.Used() < n {
		runtime.Gosched()
	}
}

// TestAnnouncedBodiesStopNobody: a few connections whose requests announced bodies
// and sent none took all the memory there was.
func TestAnnouncedBodiesStopNobody(t *testing.T) {
	const n = 80 // of 4 KiB at first
	for _, size := range []int{16 << 10, 300 << 10, 4 << 20} {
		f := serve(t, testHandlers(), func(c *config.Config) {
			c.AWSRequestMaxBytes, c.AWSQueuedMaxBytes = 4<<20, 16<<20 // 1 MiB for small ones
		}, func(s *Server) {
			for _, in := range []*memory.Intake{s.bodies.Small, s.bodies.Usual, s.bodies.Large} {
				in.Haste.Patience = time.Hour // nobody makes room
			}
		})
		f.stall(n, size)
		f.awaitUsed(n * (4 << 10))
		for _, protocol := range protocols {
			c, url := f.client(protocol)
			body := []byte(`{"PartitionKey":"k","Data":"` + strings.Repeat("AAAA", max(0, min(size, 40<<10)-100)/4) + `"}`)
			if err := <-start(c, request(t, url, "PutRecord", body)); err != nil {
				t.Errorf("bodies of %d bytes stall; %s: %v", size, protocol, err)
			}
		}
		f.stop(0)
	}
}

// TestAnnouncedBodiesMakeRoom where they are so many that even their first steps
// take all the memory, however short a time they have been here for.
func TestAnnouncedBodiesMakeRoom(t *testing.T) {
	f := serve(t, testHandlers(), func(c *config.Config) { c.AWSRequestMaxBytes, c.AWSQueuedMaxBytes = 64<<10, 16*(64<<10) },
		func(s *Server) {
			s.bodies.Small.Haste = memory.Haste{Patience: 50 * time.Millisecond, Silence: 500 * time.Millisecond, Window: time.Hour, Slow: time.Hour}
		})
	stalled := f.stall(30, 16<<10)
	f.awaitUsed(32 << 10)
	f.madeRoom(stalled)
	f.stop(0)
}

// TestStalledBodiesGiveUpTheirPlaces: a few connections could hold every place for
// requests with bodies that did not come.
func TestStalledBodiesGiveUpTheirPlaces(t *testing.T) {
	const places = 12
	f := serve(t, testHandlers(), func(c *config.Config) { c.AWSMaxRequests = places }, func(s *Server) { s.placeTime = time.Hour })
	stalled := f.stall(places, 100)
	f.awaitPlaces(places)
	f.madeRoom(stalled)
	f.stop(0)
}

// awaitPlaces returns when all of n places are taken.
func (f *frame) awaitPlaces(n int) {
	for len(f.places) < n {
		runtime.Gosched()
	}
}

// TestDrippingBodiesGiveUpTheirPlaces: a byte now and then kept them.
func TestDrippingBodiesGiveUpTheirPlaces(t *testing.T) {
	const places = 12
	f := serve(t, testHandlers(), func(c *config.Config) { c.AWSMaxRequests = places }, func(s *Server) {
		s.placeTime = time.Hour
		s.bodies.Usual.Haste = memory.Haste{Patience: time.Millisecond, Silence: time.Hour, Window: 50 * time.Millisecond, Slow: 5 * time.Second}
	})
	slow := f.begin(places, 1<<20, func() io.ReadCloser { return drip{time.NewTicker(time.Millisecond)} })
	f.awaitPlaces(places)
	f.madeRoom(slow)
	f.stop(0)
}

// drip is a body of which a byte comes with each tick.
type drip struct{ *time.Ticker }

func (d drip) Read(b []byte) (int, error) {
	<-d.C
	b[0] = ' '
	return 1, nil
}

func (drip) Close() error { return nil }

// TestBodiesWithoutLength are read to their end, within the same limit.
func TestBodiesWithoutLength(t *testing.T) {
	f := serve(t, testHandlers(), func(c *config.Config) { c.AWSRequestMaxBytes = 1 << 20 })
	for _, protocol := range protocols {
		c, url := f.client(protocol)
		for _, size := range []int{0, 100 << 10, 3 << 20} {
			r := request(t, url, "PutRecord", nil)
			body := `{"PartitionKey":"k","Data":"` + strings.Repeat("AAAA", size/4) + `"}`
			r.Body, r.ContentLength = io.NopCloser(io.MultiReader(strings.NewReader(body))), -1
			resp, err := c.Do(r)
			if size > 1<<20 {
				if err == nil && resp.StatusCode != 413 {
					t.Errorf("%s, %d bytes: %s", protocol, size, resp.Status)
				}
			} else if err != nil || resp.StatusCode != 200 {
				t.Errorf("%s, %d bytes: %v %v", protocol, size, resp, err)
			}
			if err == nil {
				resp.Body.Close()
			}
		}
	}
}

// TestPanicsCostOneRequest: the client's connection or stream ends, and is logged.
func TestPanicsCostOneRequest(t *testing.T) {
	h := testHandlers()
	h["MergeShards"] = acknowledges(func(*Server, context.Context, *Call, *kinesis.DeleteStreamInput) error { panic("a bug") })
	f := serve(t, h, nil)
	for _, protocol := range protocols {
		c, url := f.client(protocol)
		if resp, err := c.Do(request(t, url, "MergeShards", []byte(named))); err == nil {
			t.Errorf("%s: %s", protocol, resp.Status)
		}
		if resp, _ := do(t, c, request(t, url, "DeleteStream", []byte(named))); resp.StatusCode != 200 {
			t.Errorf("%s afterwards: %s", protocol, resp.Status)
		}
	}
	if n := f.logs.FilterMessage("a request made its handler panic").Len(); n < len(protocols) {
		t.Errorf("%d panics were logged", n)
	}
}

// TestHostileBytes: whatever comes, the next client is served.
func TestHostileBytes(t *testing.T) {
	f := serve(t, testHandlers(), nil)
	for _, bad := range []string{
		"\x16\x03\x01\xff\xff", "\x16", "\x00\x00\x00\x00", "POST / HTTP/1.1\r\n", "POST / HTTP/9\r\n\r\n",
		"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\xff\xff\xff\xff\xff\xff\xff\xff\xff", "GET / HTTP/1.1\r\nHost: x\r\n" + strings.Repeat("A: b\r\n", 20000),
	} {
		c := dial(t, f)
		_, _ = io.WriteString(c, bad) // the server may close it before all is sent
		c.Close()
	}
	for _, protocol := range protocols {
		c, url := f.client(protocol)
		if resp, body := do(t, c, request(t, url, "DeleteStream", []byte(named))); resp.StatusCode != 200 {
			t.Errorf("%s: %s %s", protocol, resp.Status, body)
		}
	}
}

// TestHeadersWithoutEnd: a request's header in HTTP/2 may have frames without end that
// are empty, which no limit of size ends; but the ping that finds clients that are gone
// is not answered in the middle of one.
func TestHeadersWithoutEnd(t *testing.T) {
	f := serve(t, testHandlers(), nil, func(s *Server) {
		s.http.HTTP2.SendPingTimeout, s.http.HTTP2.PingTimeout = 50*time.Millisecond, 50*time.Millisecond
	})
	c := dial(t, f)
	const settings, headers, continuation = "\x00\x00\x00\x04\x00\x00\x00\x00\x00", "\x00\x00\x01\x01\x00\x00\x00\x00\x01\x83", "\x00\x00\x00\x09\x00\x00\x00\x00\x01"
	if _, err := io.WriteString(c, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"+settings+headers); err != nil {
		t.Fatal(err)
	}
	if err := c.SetWriteDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := io.WriteString(c, continuation); errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatal("the connection is still open")
		} else if err != nil {
			break
		}
	}
}

// TestTooLargeBodiesAreRead: a client that looks for the answer only after it has sent
// everything gets one, and keeps its connection.
func TestTooLargeBodiesAreRead(t *testing.T) {
	f := serve(t, testHandlers(), func(c *config.Config) { c.AWSRequestMaxBytes = 1 << 20 })
	for _, protocol := range protocols {
		c, url := f.client(protocol)
		for again := range 2 {
			body := &counted{Reader: strings.NewReader(strings.Repeat("A", 8<<20))}
			r := request(t, url, "PutRecord", nil)
			r.Body, r.ContentLength = io.NopCloser(body), 8<<20
			reused := false
			r = r.WithContext(httptrace.WithClientTrace(r.Context(), &httptrace.ClientTrace{
				GotConn: func(g httptrace.GotConnInfo) { reused = g.Reused },
			}))
			resp, err := c.Do(r)
			if err != nil {
				t.Fatalf("%s: %v", protocol, err)
			}
			resp.Body.Close()
			if n := body.n.Load(); resp.StatusCode != 413 || n != 8<<20 || reused != (again == 1) {
				t.Errorf("%s, request %d: %s after %d bytes, on a connection that was there: %v", protocol, again, resp.Status, n, reused)
			}
		}
	}
}

type counted struct {
	io.Reader
	n atomic.Int64
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.n.Add(int64(n))
	return n, err
}
