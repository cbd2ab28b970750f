package kinesisapi

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws/protocol/eventstream"

	"github.com/streamweir/streamweir/broker/stream"
	"github.com/streamweir/streamweir/protocol/aws"
	"github.com/streamweir/streamweir/protocol/aws/kinesis"
)

const subscription = `{"ConsumerARN":"arn:aws:kinesis:us-east-1:000000000000:stream/s/consumer/c:1","ShardId":"shardId-000000000000","StartingPosition":{"Type":"LATEST"}}`

func subscribed(h func(ctx context.Context, call *Call, out *EventStream) error) table {
	return table{"SubscribeToShard": subscribes(func(_ *Server, ctx context.Context, call *Call, _ *kinesis.SubscribeToShardInput, out *EventStream) error {
		return h(ctx, call, out)
	})}
}

// event makes an event that says s.
func event(s string) *kinesis.SubscribeToShardEvent {
	behind := int64(0)
	return &kinesis.SubscribeToShardEvent{ContinuationSequenceNumber: &s, MillisBehindLatest: &behind}
}

// frames reads an event stream frame by frame.
type frames struct {
	t    *testing.T
	resp *http.Response
	d    *eventstream.Decoder
}

func subscribe(t *testing.T, f *frame, protocol string, headers ...string) *frames {
	t.Helper()
	c, url := f.client(protocol)
	resp, err := c.Do(request(t, url, "SubscribeToShard", []byte(subscription), headers...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	return &frames{t, resp, eventstream.NewDecoder()}
}

func (f *frames) want(kind, name, payload string) {
	f.t.Helper()
	m, err := f.d.Decode(f.resp.Body, nil)
	if err != nil {
		f.t.Fatalf("instead of %s: %v", name, err)
	}
	if got := m.Headers.Get(":" + kind + "-type"); got == nil || got.String() != name || string(m.Payload) != payload {
		f.t.Fatalf("got %v %q, want %s %q", m.Headers, m.Payload, name, payload)
	}
}

func (f *frames) end() {
	f.t.Helper()
	if m, err := f.d.Decode(f.resp.Body, nil); err != io.EOF {
		f.t.Fatalf("the stream goes on: %v %v", m, err)
	}
}

// TestSubscription: each event arrives when it is sent, and not with the next.
func TestSubscription(t *testing.T) {
	next := make(chan string)
	f := serve(t, subscribed(func(ctx context.Context, call *Call, out *EventStream) error {
		if err := out.Begin(); err != nil {
			return err
		}
		for s := range next {
			if s == "end" {
				return nil
			}
			if err := out.Send(event(s), nil); err != nil {
				return err
			}
		}
		return nil
	}), nil)
	for _, protocol := range protocols {
		s := subscribe(t, f, protocol)
		if got := s.resp.Header.Get("Content-Type"); s.resp.StatusCode != 200 || got != aws.ContentTypeEvents {
			t.Errorf("%s %s", s.resp.Status, got)
		}
		s.want("event", "initial-response", `{}`)
		for _, text := range []string{"1", "2", "3"} {
			next <- text
			s.want("event", "SubscribeToShardEvent", `{"Records":[],"ContinuationSequenceNumber":"`+text+`","MillisBehindLatest":0}`)
		}
		next <- "end"
		s.end()
	}
}

// TestSubscriptionErrors: before the beginning an error is an answer like any other,
// afterwards an exception.
func TestSubscriptionErrors(t *testing.T) {
	begin := make(chan bool, 1)
	fails := make(chan error, 1)
	f := serve(t, subscribed(func(_ context.Context, _ *Call, out *EventStream) error {
		if <-begin {
			if err := out.Send(event("1"), nil); err != nil {
				return err
			}
		}
		return <-fails
	}), nil)
	for _, protocol := range protocols {
		begin <- false
		fails <- stream.Errorf(stream.ResourceInUse, "busy")
		s := subscribe(t, f, protocol)
		body, err := io.ReadAll(s.resp.Body)
		if err != nil || s.resp.StatusCode != 400 || string(body) != `{"__type":"ResourceInUseException","message":"busy"}` {
			t.Errorf("%s: %s %s %v", protocol, s.resp.Status, body, err)
		}
		begin <- true
		fails <- stream.Errorf(stream.ResourceNotFound, "gone")
		s = subscribe(t, f, protocol)
		s.want("event", "initial-response", `{}`)
		s.want("event", "SubscribeToShardEvent", `{"Records":[],"ContinuationSequenceNumber":"1","MillisBehindLatest":0}`)
		s.want("exception", "ResourceNotFoundException", `{"message":"gone"}`)
		s.end()
		begin <- true
		fails <- errors.New("a secret of the disk")
		s = subscribe(t, f, protocol)
		s.want("event", "initial-response", `{}`)
		s.want("event", "SubscribeToShardEvent", `{"Records":[],"ContinuationSequenceNumber":"1","MillisBehindLatest":0}`)
		s.want("exception", "InternalFailureException", `{"message":"The request failed inside the server, whose log has the reason under request id `+s.resp.Header.Get("x-amzn-RequestId")+`."}`)
	}
}

// TestSubscriptionInCBOR has payloads in the encoding of the request.
func TestSubscriptionInCBOR(t *testing.T) {
	f := serve(t, table{"SubscribeToShard": subscribes(func(_ *Server, _ context.Context, _ *Call, in *kinesis.SubscribeToShardInput, out *EventStream) error {
		return out.Send(event(*in.ShardId), nil)
	})}, nil)
	c, url := f.client("h2")
	body := "\xbf\x6bConsumerARN\x78\x40arn:aws:kinesis:us-east-1:000000000000:stream/s/consumer/c:12345" + "\x67ShardId\x61x" + "\x70StartingPosition\xa1\x64Type\x66LATEST\xff"
	resp, err := c.Do(request(t, url, "SubscribeToShard", []byte(body), "Content-Type", aws.ContentTypeCBOR))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	s := &frames{t, resp, eventstream.NewDecoder()}
	s.want("event", "initial-response", "\xbf\xff")
	s.want("event", "SubscribeToShardEvent", "\xbf\x67Records\x80\x78\x1aContinuationSequenceNumber\x61x\x72MillisBehindLatest\x00\xff")
	s.end()
}

// TestSubscriptionsEnd with the server and with their client.
func TestSubscriptionsEnd(t *testing.T) {
	over := make(chan error, 8)
	f := serve(t, subscribed(func(ctx context.Context, _ *Call, out *EventStream) error {
		if err := out.Begin(); err != nil {
			return err
		}
		<-ctx.Done()
		over <- ctx.Err()
		return ctx.Err()
	}), nil)
	for _, protocol := range protocols {
		s := subscribe(t, f, protocol)
		s.want("event", "initial-response", `{}`)
		s.resp.Body.Close()
		<-over
	}
	var open []*frames
	for _, protocol := range protocols {
		s := subscribe(t, f, protocol)
		s.want("event", "initial-response", `{}`)
		open = append(open, s)
	}
	f.stop(time.Minute)
	for _, s := range open {
		<-over
		s.end()
	}
}

// A client that reads nothing of an event does not keep the server from stopping.
func TestSubscriptionsThatNobodyReadsEndWithTheServer(t *testing.T) {
	large := strings.Repeat("x", 8<<20)
	over := make(chan error, 8)
	f := serve(t, subscribed(func(_ context.Context, _ *Call, out *EventStream) error {
		for {
			if err := out.Send(event(large), nil); err != nil {
				over <- err
				return err
			}
		}
	}), nil, func(s *Server) { s.writeTime = 24 * time.Hour })
	for _, protocol := range protocols {
		subscribe(t, f, protocol).want("event", "initial-response", `{}`)
	}
	f.Shutdown(context.Background())
	for range protocols {
		if err := <-over; err == nil {
			t.Error("events were sent that nobody has read")
		}
	}
}
