package wire

import (
	"encoding/binary"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kbin"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/streamweir/streamweir/integration/harness"
)

// ApiVersions in an unknown version is answered in v0 with error 35 and the
// versions of ApiVersions itself, and the connection goes on.
func TestApiVersionsOfAnUnknownVersion(t *testing.T) {
	e := newEnv(t, 1)
	for _, v := range []int16{5, 99, 32767} {
		frame := header(18, v, 77, "client")
		frame = append(frame, 0, 0xde, 0xad, 0xbe, 0xef) // no tags, and a body of the future
		e.c.SetDeadline(time.Now().Add(harness.Long))
		if _, err := e.c.Write(sized(frame)); err != nil {
			t.Fatal(err)
		}
		b, err := e.c.ReadFrame()
		if err != nil {
			t.Fatalf("v%d: %v", v, err)
		}
		resp, err := harness.Decode(b, 77, apiVersions(0))
		if err != nil {
			t.Fatalf("v%d: %v", v, err)
		}
		r := resp.(*kmsg.ApiVersionsResponse)
		if r.ErrorCode != kerr.UnsupportedVersion.Code {
			t.Errorf("v%d: %v", v, kerr.ErrorForCode(r.ErrorCode))
		}
		found := false
		for _, k := range r.ApiKeys {
			found = found || k.ApiKey == 18 && k.MinVersion == 0 && k.MaxVersion >= 3
		}
		if !found {
			t.Errorf("v%d: ApiVersions is not among %+v", v, r.ApiKeys)
		}
		// The same connection, as a client does.
		if r := harness.Ask[*kmsg.ApiVersionsResponse](t, e.c, apiVersions(3)); r.ErrorCode != 0 {
			t.Errorf("after v%d: %v", v, kerr.ErrorForCode(r.ErrorCode))
		}
	}
}

// A client that names itself with something odd is told so.
func TestApiVersionsWithAnOddClientName(t *testing.T) {
	e := newEnv(t, 1)
	req := apiVersions(3)
	req.ClientSoftwareName = "no spaces please"
	if r := harness.Ask[*kmsg.ApiVersionsResponse](t, e.c, req); r.ErrorCode != kerr.InvalidRequest.Code {
		t.Errorf("%v, want INVALID_REQUEST", kerr.ErrorForCode(r.ErrorCode))
	}
}

// header is a request header as librdkafka or a hostile client might send it.
func header(key, version int16, correlation int32, client string) []byte {
	b := kbin.AppendInt16(nil, key)
	b = kbin.AppendInt16(b, version)
	b = kbin.AppendInt32(b, correlation)
	return kbin.AppendNullableString(b, &client)
}

// sized puts a frame's length before it.
func sized(frame []byte) []byte {
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(frame))), frame...)
}

// Requests sent without waiting are answered in their order, whatever each
// costs.
func TestPipelinedRequestsAreAnsweredInOrder(t *testing.T) {
	e := newEnv(t, 1)
	const rounds = 100
	type sent struct {
		id  int32
		req kmsg.Request
	}
	var all []sent
	e.c.SetDeadline(time.Now().Add(2 * harness.Long))
	send := func(req kmsg.Request) {
		id, err := e.c.Send(req)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, sent{id, req})
	}
	metadata := harness.At(kmsg.NewPtrMetadataRequest(), 9)
	for i := range rounds {
		send(e.produceReq(produceV, 0, harness.Batch{Records: harness.Values("v")}.Encode()))
		send(apiVersions(3))
		wait := e.fetchReq(fetchV, 0, 1_000_000_000) // an error at once
		send(wait)
		if i%25 == 0 {
			idle := e.fetchReq(fetchV, 0, 0)
			idle.MinBytes, idle.MaxWaitMillis = 1<<30, 50
			send(idle)
		}
		send(metadata)
		send(e.produceReq(9, 0, harness.Batch{Records: harness.Values("w")}.Encode()))
	}
	next := int64(0)
	for i, s := range all {
		resp, err := e.c.Recv(s.id, s.req)
		if err != nil {
			t.Fatalf("answer %d of %d: %v", i, len(all), err)
		}
		if r, ok := resp.(*kmsg.ProduceResponse); ok {
			p := e.produced(r)
			if p.ErrorCode != 0 || p.BaseOffset != next {
				t.Fatalf("answer %d: %v at offset %d, want %d", i, kerr.ErrorForCode(p.ErrorCode), p.BaseOffset, next)
			}
			next++
		}
	}
}

// A request does not wait for the one before it on the same connection: a
// produce behind a waiting fetch is worked on, and so wakes the fetch.
func TestRequestBehindAWaitingOneIsWorkedOn(t *testing.T) {
	harness.OnlyStreamweir(t, "it works on one request of a connection at a time")
	e := newEnv(t, 1)
	fetch := e.fetchReq(fetchV, 0, 0)
	fetch.MinBytes, fetch.MaxWaitMillis = 1, int32(waitLong.Milliseconds())
	produce := e.produceReq(produceV, 0, harness.Batch{Records: harness.Values("v")}.Encode())
	e.c.SetDeadline(time.Now().Add(waitLong / 2))
	first, err := e.c.Send(fetch)
	if err != nil {
		t.Fatal(err)
	}
	second, err := e.c.Send(produce)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := e.c.Recv(first, fetch)
	if err != nil {
		t.Fatalf("the fetch: %v", err)
	}
	if bs := e.batches(resp.(*kmsg.FetchResponse).Topics[0].Partitions[0]); len(bs) != 1 {
		t.Errorf("the fetch brought %d batches", len(bs))
	}
	if _, err := e.c.Recv(second, produce); err != nil {
		t.Errorf("the produce: %v", err)
	}
}

// A client that half-closes its connection after a request still gets the
// answer; one that closes it disturbs nobody.
func TestConnectionsThatEnd(t *testing.T) {
	e := newEnv(t, 1)
	for range 20 {
		gone := harness.Dial(t, e.s)
		if _, err := gone.Send(e.produceReq(produceV, 0, harness.Batch{Records: harness.Values("v")}.Encode())); err != nil {
			t.Fatal(err)
		}
		gone.Close()
	}
	e.produce(0, harness.Batch{Records: harness.Values("still there")})
}

// hostile is a frame, or what passes for one, that no client sends.
type hostile struct {
	name  string
	bytes []byte
}

func hostiles() []hostile {
	body := make([]byte, 200)
	for i := range body {
		body[i] = byte(i*37 + 11)
	}
	size := func(n uint32, rest []byte) []byte { return append(binary.BigEndian.AppendUint32(nil, n), rest...) }
	produceHead := header(0, 9, 5, "x")
	list := []hostile{
		{"a negative length", size(0xffffffff, body)},
		{"the least length", size(0x80000000, body)},
		{"a length of 2 GB", size(0x7fffffff, body)},
		{"a length just above the limit", size(100<<20+1, body)},
		{"a length of zero", size(0, body)},
		{"a length below a header's", size(3, []byte{1, 2, 3})},
		{"an unknown key", sized(append(header(999, 0, 1, "x"), body...))},
		{"a negative key", sized(append(header(-1, 0, 1, "x"), body...))},
		{"a key between brokers", sized(append(header(4, 5, 1, "x"), body...))},
		{"a version that is gone (produce v2)", sized(append(header(0, 2, 1, "x"), body...))},
		{"a version that is gone (fetch v0)", sized(append(header(1, 0, 1, "x"), body...))},
		{"a version to come", sized(append(header(1, 99, 1, "x"), body...))},
		{"a negative version", sized(append(header(3, -1, 1, "x"), body...))},
		{"a header that is cut", sized(header(3, 9, 1, "a client with a name")[:12])},
		{"a client id of -2 bytes", sized([]byte{0, 3, 0, 1, 0, 0, 0, 1, 0xff, 0xfe, 0, 0, 0, 0})},
		{"a client id that is longer than the frame", sized([]byte{0, 3, 0, 1, 0, 0, 0, 1, 0x7f, 0xff, 'a'})},
		{"a body of garbage", sized(append(produceHead, body...))},
		{"a body that is cut", sized(append(header(3, 1, 1, "x"), 0, 0, 0, 9))},
		{"two billion topics", sized(append(header(3, 1, 1, "x"), 0x7f, 0xff, 0xff, 0xff))},
		{"two billion topics, compact", sized(append(header(3, 9, 1, "x"), 0, 0xff, 0xff, 0xff, 0xff, 0x07))},
		{"two billion tags", sized(append(header(3, 9, 1, "x"), 0xff, 0xff, 0xff, 0xff, 0x0f))},
		{"records of two billion bytes", sized(append(header(0, 3, 1, "x"), 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 1, 0, 0, 0, 1, 0, 1, 't', 0, 0, 0, 1, 0, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff))},
		{"an HTTP request", []byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n")},
		{"a TLS hello", append([]byte{0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3}, body...)},
		{"an SSH banner", []byte("SSH-2.0-OpenSSH_9.2p1\r\n")},
	}
	return list
}

// Hostile bytes end in a closed connection or an error, and disturb nobody.
func TestHostileBytes(t *testing.T) {
	e := newEnv(t, 1)
	for _, h := range hostiles() {
		t.Run(h.name, func(t *testing.T) {
			c := harness.Dial(t, e.s)
			c.SetDeadline(time.Now().Add(20 * time.Second))
			c.Write(h.bytes)
			// A frame may be answered with an error; or else it is over.
			if _, err := c.ReadFrame(); err != nil && isTimeout(err) {
				t.Errorf("neither an answer nor the end of the connection: %v", err)
			}
			e.with(t).produce(0, harness.Batch{Records: harness.Values("others go on")})
		})
	}
}

func isTimeout(err error) bool {
	ne, ok := err.(interface{ Timeout() bool })
	return ok && ne.Timeout()
}
