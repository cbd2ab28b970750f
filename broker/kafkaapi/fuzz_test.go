package kafkaapi

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/zap"

	"github.com/streamweir/streamweir/broker"
	"github.com/streamweir/streamweir/broker/config"
	"github.com/streamweir/streamweir/protocol/kafka"
	"github.com/streamweir/streamweir/storage/memstore"
)

// FuzzConnection sends arbitrary bytes to a server. Whatever they are, the
// connection must come to an end, no handler may panic, and the server must
// still serve others.
func FuzzConnection(f *testing.F) {
	cfg, _, err := config.Load(config.Source{Set: []string{
		"listeners=PLAINTEXT://127.0.0.1:0", "max.topics=100", "max.partitions=1000", "offsets.topic.num.partitions=2",
	}})
	if err != nil {
		f.Fatal(err)
	}
	store := memstore.New(memstore.Options{})
	core, err := broker.Open(store, cfg, zap.NewNop())
	if err != nil {
		f.Fatal(err)
	}
	s, err := New(core, zap.NewNop())
	if err != nil {
		f.Fatal(err)
	}
	if err := s.Listen(); err != nil {
		f.Fatal(err)
	}
	s.Serve()
	f.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		s.Shutdown(ctx)
		core.Close()
		store.Close()
	})
	seedConnections(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		conn, err := net.Dial("tcp", s.Addrs()[0])
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		conn.SetDeadline(time.Now().Add(20 * time.Second))
		conn.Write(data) // it may be closed before all is sent
		conn.(*net.TCPConn).CloseWrite()
		if _, err := io.Copy(io.Discard, conn); err != nil {
			if ne, ok := err.(net.Error); ok && ne.Timeout() {
				t.Fatal("the connection does not end")
			}
		}
		if n := testutil.ToFloat64(s.metrics.panics); n > 0 {
			t.Fatalf("%v handlers have panicked", n)
		}
	})
}

func seedConnections(f *testing.F) {
	var all []byte
	for key := range int16(maxKey) {
		v, ok := kafka.ServedVersions(kafka.Key(key))
		if !ok {
			continue
		}
		req := kmsg.RequestForKey(key)
		for _, version := range []int16{v.Min, v.Max} {
			req.SetVersion(version)
			frame := kmsg.NewRequestFormatter(kmsg.FormatterClientID("fuzz")).AppendRequest(nil, req, int32(key))
			f.Add(frame)
			f.Add(frame[:len(frame)-1])
			all = append(all, frame...)
		}
	}
	f.Add(all)
	for _, size := range []uint32{0, 1, 7, 1 << 20, 1<<31 - 1, 1 << 31, 1<<32 - 1} {
		f.Add(append(binary.BigEndian.AppendUint32(nil, size), "some bytes"...))
	}
}
