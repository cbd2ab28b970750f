package workload

import (
	"errors"
	"net"
	"testing"
	"time"
)

// pair is a connection through the network, and its other end.
func pair(t *testing.T, n *Network) (client, server net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if client, err = n.Dial(t.Context(), "tcp", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if server, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close(); server.Close() })
	return client, server
}

func TestNetworkCutsConnections(t *testing.T) {
	n := NewNetwork()
	client, server := pair(t, n)
	n.Cut()
	if _, err := client.Read(make([]byte, 1)); err == nil {
		t.Error("the client reads on")
	}
	server.SetReadDeadline(time.Now().Add(10 * time.Second))
	if _, err := server.Read(make([]byte, 1)); err == nil || errors.Is(err, net.ErrClosed) {
		t.Errorf("the server reads on: %v", err)
	}
	if n.Cuts() != 1 {
		t.Errorf("%d cuts", n.Cuts())
	}
	n.Refuse(true)
	if _, err := n.Dial(t.Context(), "tcp", "127.0.0.1:1"); !errors.Is(err, errRefused) {
		t.Errorf("dial: %v", err)
	}
	n.Heal()
	pair(t, n)
}

// A deaf client's request arrives; the response is lost, and the connection with it.
func TestNetworkLosesResponses(t *testing.T) {
	n := NewNetwork()
	client, server := pair(t, n)
	n.Deaf(true)
	if _, err := client.Write([]byte{1}); err != nil {
		t.Fatal(err)
	}
	if _, err := server.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	if _, err := server.Write([]byte{2}); err != nil {
		t.Fatal(err)
	}
	read := make(chan error, 1)
	go func() {
		_, err := client.Read(make([]byte, 1))
		read <- err
	}()
	select {
	case err := <-read:
		t.Fatalf("the client got something: %v", err)
	case <-time.After(200 * time.Millisecond):
	}
	n.Cut()
	if err := <-read; !errors.Is(err, net.ErrClosed) {
		t.Errorf("read: %v", err)
	}
}
