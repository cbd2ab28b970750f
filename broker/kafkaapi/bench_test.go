package kafkaapi

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/streamweir/streamweir/broker"
	"github.com/streamweir/streamweir/protocol/kafka"
)

// benchServer is a server on a store in memory, with a topic t and a connection.
func benchServer(b *testing.B) (*broker.Core, net.Conn) {
	b.Helper()
	core, s := serve(b)
	if _, err := core.Topics.Ensure("t"); err != nil {
		b.Fatal(err)
	}
	conn, err := net.Dial("tcp", s.Addrs()[0])
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { conn.Close() })
	return core, conn
}

func readFrame(b *testing.B, conn net.Conn, buf []byte) []byte {
	var size [4]byte
	if _, err := io.ReadFull(conn, size[:]); err != nil {
		b.Fatal(err)
	}
	n := int(binary.BigEndian.Uint32(size[:]))
	if n > cap(buf) {
		buf = make([]byte, n)
	}
	if _, err := io.ReadFull(conn, buf[:n]); err != nil {
		b.Fatal(err)
	}
	return buf[:n]
}

// BenchmarkProduce is a Produce request and its response over loopback, one at a
// time, without a disk.
func BenchmarkProduce(b *testing.B) {
	for _, size := range []int{100, 1 << 10, 64 << 10, 1 << 20} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			core, conn := benchServer(b)
			batch, err := kafka.BuildBatch(nil, kafka.BatchOptions{}, kafka.Record{Timestamp: 1, Value: bytes.Repeat([]byte("x"), size)})
			if err != nil {
				b.Fatal(err)
			}
			raw := kmsg.NewRequestFormatter().AppendRequest(nil, produceRequest("t", batch), 1)
			part := core.Partitions.Get(core.Topics.Topic("t").ID, 0)
			var buf []byte
			b.SetBytes(int64(len(batch)))
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if _, err := conn.Write(raw); err != nil {
					b.Fatal(err)
				}
				buf = readFrame(b, conn, buf)
				if i%200 == 199 {
					if _, err := part.DeleteBefore(-1); err != nil {
						b.Fatal(err)
					}
				}
			}
		})
	}
}

// BenchmarkFetch is a Fetch request and its response of about 1 MB over loopback.
func BenchmarkFetch(b *testing.B) {
	_, conn := benchServer(b)
	batch, err := kafka.BuildBatch(nil, kafka.BatchOptions{}, kafka.Record{Timestamp: 1, Value: bytes.Repeat([]byte("x"), 64<<10)})
	if err != nil {
		b.Fatal(err)
	}
	produce := kmsg.NewRequestFormatter().AppendRequest(nil, produceRequest("t", batch), 1)
	var buf []byte
	for range 20 {
		if _, err := conn.Write(produce); err != nil {
			b.Fatal(err)
		}
		buf = readFrame(b, conn, buf)
	}
	req := fullFetch(0)
	req.SessionEpoch, req.MaxBytes, req.MinBytes = epochNone, 1<<20, 1
	req.Topics[0].Partitions[0].PartitionMaxBytes = 1 << 20
	raw := kmsg.NewRequestFormatter().AppendRequest(nil, req, 1)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := conn.Write(raw); err != nil {
			b.Fatal(err)
		}
		buf = readFrame(b, conn, buf)
		b.SetBytes(int64(len(buf)))
	}
}
