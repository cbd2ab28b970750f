package server

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/streamweir/streamweir/broker/config"
)

func startAdmin(t *testing.T, limits adminLimits) *admin {
	t.Helper()
	a := newAdmin(zap.NewNop(), limits)
	if err := a.listen(&config.Config{AdminListener: "127.0.0.1:0"}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.close)
	return a
}

func dial(t *testing.T, a *admin, send string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", a.addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if _, err := io.WriteString(c, send); err != nil {
		t.Fatal(err)
	}
	return c
}

// ended waits until the server has closed a connection.
func ended(t *testing.T, c net.Conn) {
	t.Helper()
	if err := c.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, c); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatal("the connection is still open")
	}
}

// TestHalfSentAdminRequests stayed open until long time-outs, without a bound on
// their number.
func TestHalfSentAdminRequests(t *testing.T) {
	limits := defaultAdminLimits()
	limits.header, limits.request, limits.idle, limits.conns = 200*time.Millisecond, 300*time.Millisecond, 200*time.Millisecond, 8
	a := startAdmin(t, limits)
	var half []net.Conn
	for i := range 40 { // five times what is taken at a time
		half = append(half, dial(t, a, []string{
			"", "G", "GET /healthz HTTP/1.1\r\nHost: x\r\n",
			"GET /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nabc",
			"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n", // and then nothing
		}[i%5]))
	}
	client := &http.Client{Timeout: 30 * time.Second}
	resp, err := client.Get("http://" + a.addr() + "/healthz")
	if err != nil {
		t.Fatalf("behind half-sent requests: %v", err)
	}
	resp.Body.Close()
	client.CloseIdleConnections()
	for _, c := range half {
		ended(t, c)
	}
}

// TestAdminKeepsNoIdleConnectionsWhenCrowded: connections that have had their
// answer do not keep others waiting.
func TestAdminKeepsNoIdleConnectionsWhenCrowded(t *testing.T) {
	limits := defaultAdminLimits()
	limits.conns = 4
	a := startAdmin(t, limits)
	for i := range 12 {
		c := dial(t, a, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
		if err := c.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
			t.Fatal(err)
		}
		line, err := bufio.NewReader(c).ReadString('\n')
		if err != nil || line != "HTTP/1.1 200 OK\r\n" {
			t.Fatalf("connection %d: %q, %v", i, line, err)
		}
	}
}

// TestAdminAnswersThatNobodyReads end, and with them their memory.
func TestAdminAnswersThatNobodyReads(t *testing.T) {
	limits := defaultAdminLimits()
	limits.answer = 200 * time.Millisecond
	done := make(chan error, 1)
	server := &http.Server{ReadHeaderTimeout: time.Second, Handler: limits.answering(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for {
			if _, err := fmt.Fprint(w, string(make([]byte, 1<<20))); err != nil {
				done <- err
				return
			}
		}
	}))}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	select {
	case <-done:
	case <-time.After(30 * time.Second):
		t.Error("the handler still writes to a client that does not read")
	}
	server.Close()
	<-served
}
