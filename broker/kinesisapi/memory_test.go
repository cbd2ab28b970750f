package kinesisapi

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"testing"
)

// unread sends a request on a connection of its own, whose response nobody reads.
func (l *live) unread(action, body string) net.Conn {
	l.t.Helper()
	c, err := net.Dial("tcp", l.Addr())
	if err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() { c.Close() })
	if err := c.(*net.TCPConn).SetReadBuffer(4096); err != nil {
		l.t.Fatal(err)
	}
	if err := request(l.t, l.url, action, []byte(body)).Write(c); err != nil {
		l.t.Fatal(err)
	}
	return c
}

func heap() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// Clients that ask for large records and read nothing take no more memory than
// there is for answers, in whatever form, and none when they are gone.
func TestAnswersThatNobodyReadsAreBounded(t *testing.T) {
	const clients, limit = 12, 48 << 20 // an event takes up to 33 MiB, in all its forms
	for name, ask := range map[string]func(*live, int) net.Conn{
		"GetRecords": func(l *live, _ int) net.Conn {
			return l.unread("GetRecords", fmt.Sprintf(`{"ShardIterator":%q}`, l.iterator(0, "TRIM_HORIZON")))
		},
		"SubscribeToShard": func(l *live, i int) net.Conn {
			return l.unread("SubscribeToShard", fmt.Sprintf(`{"ConsumerARN":%q,"ShardId":"shardId-000000000000","StartingPosition":{"Type":"TRIM_HORIZON"}}`, l.register(fmt.Sprint("c", i))))
		},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLive(t, "kinesis.limits=off", fmt.Sprint("aws.queued.max.bytes=", 2*limit))
			l.ask("CreateStream", `{"StreamName":"s","ShardCount":1,"MaxRecordSizeInKiB":8192}`)
			l.put("k", strings.Repeat("x", 7<<20))
			l.http.CloseIdleConnections()
			before := heap()
			var conns []net.Conn
			for i := range clients {
				conns = append(conns, ask(l, i))
			}
			memory := l.core.Records
			for memory.MemoryWanted() == 0 || len(l.places) < clients {
				if held := memory.Memory(); held > limit {
					t.Fatalf("%d bytes are held", held)
				}
				runtime.Gosched()
			}
			// What stands beside the answers is small.
			if now := heap(); now > before+limit+8<<20 {
				t.Errorf("the heap has grown by %d bytes", now-before)
			}
			for _, c := range conns {
				c.Close()
			}
			for memory.Memory() > 0 || memory.MemoryWanted() > 0 || len(l.places) > 0 {
				runtime.Gosched()
			}
			if now := heap(); now > before+8<<20 {
				t.Errorf("the heap keeps %d bytes", now-before)
			}
			// And there is room for those that read.
			if got := l.get(l.iterator(0, "TRIM_HORIZON")); len(got.Records) != 1 {
				t.Errorf("then %d records", len(got.Records))
			}
		})
	}
}

// What is estimated of a record's size is no less than what it is encoded to: the
// memory of an answer is taken by the estimate.
func TestEncodedRecordsAreNoLargerThanEstimated(t *testing.T) {
	l := newLive(t, "kinesis.limits=off")
	l.ask("CreateStream", `{"StreamName":"s","ShardCount":1}`)
	for _, key := range []string{"k", strings.Repeat("\x01", 256), strings.Repeat(`"\`, 128), strings.Repeat("<&", 128), strings.Repeat("é", 256), strings.Repeat("\u2028", 256)} {
		text, err := json.Marshal(key)
		if err != nil {
			t.Fatal(err)
		}
		l.ask("PutRecord", fmt.Sprintf(`{"StreamName":"s","PartitionKey":%s,"Data":"dg=="}`, text))
	}
	resp, err := l.http.Do(request(t, l.url, "GetRecords", fmt.Appendf(nil, `{"ShardIterator":%q}`, l.iterator(0, "TRIM_HORIZON"))))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	it, err := l.core.Records.OpenIterator(l.iterator(0, "TRIM_HORIZON"))
	if err != nil {
		t.Fatal(err)
	}
	got, err := l.core.Records.Get(t.Context(), it, 100)
	if err != nil {
		t.Fatal(err)
	}
	defer got.Release()
	if estimate := sizeOf(got.Records); len(body) > estimate {
		t.Errorf("%d bytes, estimated as %d", len(body), estimate)
	}
}
