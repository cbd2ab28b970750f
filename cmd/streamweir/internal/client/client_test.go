package client

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
)

func TestServers(t *testing.T) {
	for in, want := range map[string]string{
		"a:1":             "a:1",
		"a":               "a:9092",
		"a:1, b:2,,":      "a:1 b:2",
		"[::1]:5":         "[::1]:5",
		"[::1]":           "[::1]:9092",
		"broker.internal": "broker.internal:9092",
	} {
		got, err := Config{BootstrapServer: in}.Servers()
		if err != nil || strings.Join(got, " ") != want {
			t.Errorf("%q gives %q, %v; want %q", in, got, err, want)
		}
	}
	for _, in := range []string{"", ",", "http://a:1", ":9092", "a:"} {
		if got, err := (Config{BootstrapServer: in}).Servers(); err == nil {
			t.Errorf("%q gives %q; want an error", in, got)
		}
	}
}

func TestExplain(t *testing.T) {
	c := &Cluster{cfg: Config{BootstrapServer: "127.0.0.1:9092", Timeout: 3 * time.Second}}
	dial := func(addr string, err error) error {
		a, _ := net.ResolveTCPAddr("tcp", addr)
		return &net.OpError{Op: "dial", Net: "tcp", Addr: a, Err: err}
	}
	for want, err := range map[string]error{
		"cannot reach a broker at 127.0.0.1:9092: connection refused; is `streamweir serve` running?":                                                                                dial("127.0.0.1:9092", syscall.ECONNREFUSED),
		"a broker answered at 127.0.0.1:9092, but the cluster names 10.0.0.9:9092 as one of its addresses (advertised.listeners), which cannot be reached from here: no route to it": dial("10.0.0.9:9092", syscall.EHOSTUNREACH),
		"the broker at 127.0.0.1:9092 did not answer within 3s (--timeout)":                                                                                                          context.DeadlineExceeded,
		"the server at 127.0.0.1:9092 closed the connection: is it a Kafka listener, and is it one without TLS?":                                                                     io.EOF,
		`cannot reach a broker at 127.0.0.1:9092: the host name "nowhere" does not resolve (no such host)`:                                                                           &net.DNSError{Name: "nowhere", Err: "no such host"},
	} {
		got := c.Explain(err)
		var unreachable *UnreachableError
		if !errors.As(got, &unreachable) || got.Error() != want {
			t.Errorf("%v is explained as\n%v, want\n%s", err, got, want)
		}
		if again := c.Explain(got); again != got {
			t.Errorf("explained twice it is %v", again)
		}
	}
	if got := c.Explain(kerr.NotEnoughReplicas); !errors.Is(got, kerr.NotEnoughReplicas) || !strings.HasSuffix(got.Error(), "(NOT_ENOUGH_REPLICAS)") {
		t.Errorf("a protocol error is explained as %v", got)
	}
}

func TestWithDetail(t *testing.T) {
	if err := WithDetail(nil, "x"); err != nil {
		t.Errorf("no error becomes %v", err)
	}
	if got := WithDetail(kerr.InvalidConfig, "retention.ms must be a number.").Error(); got != "retention.ms must be a number (INVALID_CONFIG)" {
		t.Errorf("got %q", got)
	}
	if got := WithDetail(kerr.UnknownServerError, kerr.UnknownServerError.Description).Error(); strings.Count(got, "unexpected") != 1 {
		t.Errorf("said twice: %q", got)
	}
}

// TestSilentServer: a server that accepts and says nothing is given up in time.
func TestSilentServer(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, err = Open(t.Context(), Config{BootstrapServer: l.Addr().String(), Timeout: 300 * time.Millisecond, ClientID: "test"})
	if err == nil || !strings.Contains(err.Error(), "did not answer within 300ms") {
		t.Errorf("error %v", err)
	}
}

// TestServerThatHangsUp: what is there but is no Kafka listener is named so.
func TestServerThatHangsUp(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			conn.Close()
		}
	}()
	_, err = Open(t.Context(), Config{BootstrapServer: l.Addr().String(), Timeout: 5 * time.Second, ClientID: "test"})
	if err == nil || !strings.Contains(err.Error(), "closed the connection: is it a Kafka listener") {
		t.Errorf("error %v", err)
	}
}
