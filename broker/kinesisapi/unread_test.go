package kinesisapi

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/streamweir/streamweir/broker/config"
	"github.com/streamweir/streamweir/protocol/aws/kinesis"
)

// reluctant is a client whose responses are not sent much further than is read: the
// system has little room for what is not. In HTTP/2 there is a window for that.
func (f *frame) reluctant(protocol string) (*http.Client, string) {
	c, url := f.client(protocol)
	if strings.HasPrefix(protocol, "h2") {
		return c, url
	}
	c.Transport.(*http.Transport).DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		nc, err := new(net.Dialer).DialContext(ctx, network, addr)
		if err == nil {
			err = nc.(*net.TCPConn).SetReadBuffer(4096)
		}
		return nc, err
	}
	return c, url
}

// begun sends a request and returns its response, of which so many bytes are read.
func begun(t *testing.T, c *http.Client, r *http.Request, read int64) *http.Response {
	t.Helper()
	resp, err := c.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	if resp.StatusCode != 200 {
		t.Fatal(resp.Status)
	}
	if _, err := io.CopyN(io.Discard, resp.Body, read); err != nil {
		t.Fatal(err)
	}
	return resp
}

// wasOneCut wants one response to have been cut off for those that were answered.
func (f *frame) wasOneCut() {
	f.t.Helper()
	for testutil.ToFloat64(f.metrics.slowResponses)+testutil.ToFloat64(f.metrics.brokenResponses) == 0 {
		runtime.Gosched()
	}
	if n := testutil.ToFloat64(f.metrics.slowResponses); n != 1 {
		f.t.Errorf("%v responses were cut off", n)
	}
	if n := f.logs.FilterMessageSnippet("a response was cut off").Len(); n != 1 {
		f.t.Errorf("%d were logged", n)
	}
}

// crowded is a server that has memory for one answer at a time: an answer with its
// record takes 25 MiB until it is encoded and 10 then, and an event 35.
func crowded(t *testing.T) *live {
	l := newLive(t, "kinesis.limits=off", fmt.Sprint("aws.queued.max.bytes=", 64<<20))
	l.writeTime = 24 * time.Hour                      // by which nothing ends
	l.outgoing.Haste.Silence = 200 * time.Millisecond // nobody waits for the clients that read
	l.ask("CreateStream", `{"StreamName":"s","ShardCount":1,"MaxRecordSizeInKiB":8192}`)
	l.ask("CreateStream", `{"StreamName":"other","ShardCount":1}`)
	l.put("k", strings.Repeat("x", 15<<19))
	return l
}

// sizeOfInitial is the length of the first event of a subscription in JSON; what is
// read behind it is of the first that has records.
const sizeOfInitial = 102

// Clients that ask for large records and do not read them kept the others from theirs
// for as long as a client may take to read. Of an HTTP/2 connection, only what is not
// read ends.
func TestUnreadAnswersMakeRoomForOthers(t *testing.T) {
	for _, protocol := range protocols {
		t.Run("GetRecords over "+protocol, func(t *testing.T) {
			l := crowded(t)
			c, url := l.reluctant(protocol)
			var beside *liveEvents
			if strings.HasPrefix(protocol, "h2") {
				arn := l.ask("RegisterStreamConsumer", `{"StreamARN":"arn:aws:kinesis:us-east-1:000000000000:stream/other","ConsumerName":"c"}`)["Consumer"].(map[string]any)["ConsumerARN"].(string)
				on := &live{frame: l.frame, http: c, url: url}
				beside = on.subscribe(arn, 0, `{"Type":"LATEST"}`)
				beside.next() // from now on it knows where to go on
			}
			begun(t, c, request(t, url, "GetRecords", fmt.Appendf(nil, `{"ShardIterator":%q}`, l.iterator(0, "TRIM_HORIZON"))), 100)
			if got := l.get(l.iterator(0, "TRIM_HORIZON")); len(got.Records) != 1 {
				t.Errorf("%d records", len(got.Records))
			}
			l.wasOneCut()
			if beside != nil {
				l.ask("PutRecord", fmt.Sprintf(`{"StreamName":"other","PartitionKey":"k","Data":%s}`, data("v")))
				if got := beside.event().values(); len(got) != 1 || got[0] != "v" {
					t.Errorf("beside it came %q", got)
				}
			}
		})
	}
	for _, protocol := range []string{"h1s", "h2c"} {
		t.Run("SubscribeToShard over "+protocol, func(t *testing.T) {
			l := crowded(t)
			c, url := l.reluctant(protocol)
			ask := fmt.Sprintf(`{"ConsumerARN":%q,"ShardId":"shardId-000000000000","StartingPosition":{"Type":"TRIM_HORIZON"}}`, l.register("c"))
			begun(t, c, request(t, url, "SubscribeToShard", []byte(ask)), sizeOfInitial+100)
			// A subscription that waits makes room too.
			if got := l.subscribe(l.register("d"), 0, `{"Type":"TRIM_HORIZON"}`).event(); len(got.Records) != 1 {
				t.Errorf("%d records", len(got.Records))
			}
			l.wasOneCut()
		})
	}
}

// deaf is a connection that stops reading: what comes after from is not heard until
// the end.
type deaf struct {
	net.Conn
	from, end chan struct{}
}

// awaitStuck returns when a connection does not take what is written to it.
func (f *frame) awaitStuck() {
	stuck := func() (is bool) {
		f.listener.mu.Lock()
		defer f.listener.mu.Unlock()
		for c := range f.listener.conns {
			is = is || c.stuck() > 100*time.Millisecond
		}
		return is
	}
	for !stuck() {
		runtime.Gosched()
	}
}

func (d *deaf) Read(b []byte) (int, error) {
	n, err := d.Conn.Read(b)
	select {
	case <-d.from:
		<-d.end
	default:
	}
	return n, err
}

// A client of HTTP/2 that lets the server send and then does not read cannot be told
// that a stream has ended: its connection ends.
func TestUnreadConnectionsMakeRoomForOthers(t *testing.T) {
	for _, protocol := range []string{"h2c", "h2"} {
		t.Run(protocol, func(t *testing.T) {
			l := crowded(t)
			d := &deaf{from: make(chan struct{}), end: make(chan struct{})}
			c, url := l.client(protocol)
			transport := c.Transport.(*http.Transport)
			transport.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
				nc, err := new(net.Dialer).DialContext(ctx, network, addr)
				if err != nil {
					return nil, err
				}
				d.Conn = nc
				return d, nc.(*net.TCPConn).SetReadBuffer(4096)
			}
			transport.HTTP2 = &http.HTTP2Config{MaxReceiveBufferPerStream: 64 << 20, MaxReceiveBufferPerConnection: 64 << 20}
			do(t, c, request(t, url, "DescribeLimits", []byte("{}")))
			close(d.from)
			unread := start(c, request(t, url, "GetRecords", fmt.Appendf(nil, `{"ShardIterator":%q}`, l.iterator(0, "TRIM_HORIZON"))))
			l.awaitStuck()
			if got := l.get(l.iterator(0, "TRIM_HORIZON")); len(got.Records) != 1 {
				t.Errorf("%d records", len(got.Records))
			}
			l.wasOneCut()
			close(d.end)
			if <-unread == nil {
				t.Error("a response was sent to its end")
			}
		})
	}
}

// large answers with more than a connection takes without being read.
func large(_ *Server, _ context.Context, _ *Call, _ *kinesis.PutRecordInput) (*kinesis.PutRecordOutput, error) {
	text := strings.Repeat("x", 16<<20)
	return &kinesis.PutRecordOutput{ShardId: &text, SequenceNumber: &text}, nil
}

// TestUnreadAnswersGiveUpTheirPlaces: a few connections could hold every place for
// answers that they did not read.
func TestUnreadAnswersGiveUpTheirPlaces(t *testing.T) {
	h := testHandlers()
	h["PutRecord"] = answers(large)
	for _, protocol := range protocols {
		f := serve(t, h, func(c *config.Config) { c.AWSMaxRequests = 1 }, func(s *Server) {
			s.placeTime, s.writeTime = time.Hour, time.Hour
			s.outgoing.Haste.Silence = 200 * time.Millisecond
		})
		c, url := f.reluctant(protocol)
		begun(t, c, request(t, url, "PutRecord", []byte(`{"PartitionKey":"k","Data":"AAAA"}`)), 100)
		if used := f.bodies.Used(); used != 0 {
			t.Errorf("%s: %d bytes are taken for requests that have their answers", protocol, used)
		}
		other, _ := f.client(protocol)
		if err := <-start(other, request(t, url, "DeleteStream", []byte(named))); err != nil {
			t.Errorf("%s: %v", protocol, err)
		}
		f.wasOneCut()
		f.stop(0)
	}
}

// Nobody is cut off for whom nobody waits, however little is read.
func TestUnreadAnswersStayWhereNobodyWaits(t *testing.T) {
	h := testHandlers()
	h["PutRecord"] = answers(large)
	f := serve(t, h, nil, func(s *Server) { s.outgoing.Haste.Silence = 0 })
	for _, protocol := range protocols {
		c, url := f.client(protocol)
		unread := begun(t, c, request(t, url, "PutRecord", []byte(`{"PartitionKey":"k","Data":"AAAA"}`)), 100)
		for range 10 {
			do(t, c, request(t, url, "DeleteStream", []byte(named)))
		}
		if n, err := io.Copy(io.Discard, unread.Body); err != nil || n < 30<<20 {
			t.Errorf("%s: %d bytes, %v", protocol, n, err)
		}
	}
}
