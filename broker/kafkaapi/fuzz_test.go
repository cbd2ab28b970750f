package kafkaapi

import (
	"encoding/binary"
	"io"
	"net"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/streamweir/streamweir/protocol/kafka"
)

// FuzzConnection sends arbitrary bytes to a server. Whatever they are, the
// connection must come to an end, no handler may panic, and the server must
// still serve others.
func FuzzConnection(f *testing.F) {
	_, s := serve(f, "max.topics=100", "max.partitions=1000", "offsets.topic.num.partitions=2")
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
