package liar

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws/protocol/eventstream"
)

// object is a request, an answer or an event of Kinesis, as JSON has it.
type object = map[string]any

// verdict is what becomes of a request.
type verdict int

const (
	forward verdict = iota
	again           // it reaches the broker twice
	vanish          // it does not, and is answered with nothing
)

// httpFault changes what goes between Kinesis clients and the broker. Each of its
// functions may be nil.
type httpFault struct {
	actions []string // those that it is interested in
	before  func(l *Liar, action string, in object) verdict
	after   func(l *Liar, action string, in, out object)
	event   func(l *Liar, in, event object) // of SubscribeToShard
}

// WrapHTTP puts the liar between a Kinesis client and its broker.
func (l *Liar) WrapHTTP(broker http.RoundTripper) http.RoundTripper { return &teller{l, broker} }

type teller struct {
	liar   *Liar
	broker http.RoundTripper
}

const subscribe = "SubscribeToShard"

// RoundTrip lets the fault have a look at a request and its answer.
func (t *teller) RoundTrip(req *http.Request) (*http.Response, error) {
	_, action, _ := strings.Cut(req.Header.Get("X-Amz-Target"), ".")
	f := t.liar.http
	if !slices.Contains(f.actions, action) {
		return t.broker.RoundTrip(req)
	}
	in, err := read(req.Body)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", action, err)
	}
	asked := in // as the client sent it: the answer is to that
	times := 1
	if f.before != nil {
		asked = clone(in)
		switch f.before(t.liar, action, in) {
		case vanish:
			return nothing(req), nil
		case again:
			times = 2
		}
	}
	var resp *http.Response
	for i := range times {
		if i > 0 {
			drain(resp.Body)
		}
		if resp, err = t.broker.RoundTrip(with(req, in)); err != nil {
			return nil, err
		}
	}
	switch {
	case resp.StatusCode != http.StatusOK:
	case action == subscribe:
		if f.event != nil {
			resp.Body = t.liar.listen(resp.Body, asked)
		}
	case f.after != nil:
		out, err := read(resp.Body)
		if err != nil {
			return nil, fmt.Errorf("answer of %s: %w", action, err)
		}
		f.after(t.liar, action, asked, out)
		answer(resp, out)
	}
	return resp, nil
}

func read(body io.ReadCloser) (object, error) {
	defer body.Close()
	in := json.NewDecoder(body)
	in.UseNumber()
	var out object
	if err := in.Decode(&out); err != nil {
		return nil, err
	}
	_, err := io.Copy(io.Discard, body)
	return out, err
}

func drain(body io.ReadCloser) {
	// The connection can be used again, or not: nobody minds.
	_, _ = io.Copy(io.Discard, body)
	body.Close()
}

// marshal encodes what was decoded from JSON, which never fails.
func marshal(o object) []byte {
	b, err := json.Marshal(o)
	if err != nil {
		panic(err)
	}
	return b
}

func clone(o object) object {
	out, err := read(io.NopCloser(bytes.NewReader(marshal(o))))
	if err != nil {
		panic(err)
	}
	return out
}

// with is a request with another body.
func with(req *http.Request, in object) *http.Request {
	b := marshal(in)
	out := req.Clone(req.Context())
	out.Body, out.ContentLength, out.GetBody = io.NopCloser(bytes.NewReader(b)), int64(len(b)), nil
	return out
}

func answer(resp *http.Response, out object) {
	b := marshal(out)
	resp.Body, resp.ContentLength = io.NopCloser(bytes.NewReader(b)), int64(len(b))
	resp.Header.Set("Content-Length", strconv.Itoa(len(b)))
}

func nothing(req *http.Request) *http.Response {
	resp := &http.Response{
		StatusCode: http.StatusOK, Status: "200 OK", Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: req,
		Header: http.Header{"Content-Type": {"application/x-amz-json-1.1"}},
	}
	answer(resp, object{})
	return resp
}

// listen lets the fault have a look at the events of a session.
func (l *Liar) listen(broker io.ReadCloser, in object) io.ReadCloser {
	client, near := io.Pipe()
	s := &session{PipeReader: client, broker: broker}
	s.copies.Go(func() { near.CloseWithError(l.tell(near, broker, in)) })
	return s
}

// session is what a client reads events from.
type session struct {
	*io.PipeReader
	broker io.ReadCloser
	copies sync.WaitGroup
}

func (s *session) Close() error {
	err := s.broker.Close()
	s.PipeReader.Close()
	s.copies.Wait()
	return err
}

func (l *Liar) tell(client io.Writer, broker io.Reader, in object) error {
	from, to := eventstream.NewDecoder(), eventstream.NewEncoder()
	for {
		m, err := from.Decode(broker, nil)
		if err != nil {
			return err
		}
		if kind := m.Headers.Get(":event-type"); kind != nil && kind.String() == "SubscribeToShardEvent" {
			event, err := read(io.NopCloser(bytes.NewReader(m.Payload)))
			if err != nil {
				return err
			}
			l.http.event(l, in, event)
			m.Payload = marshal(event)
		}
		if err := to.Encode(client, m); err != nil {
			return err
		}
	}
}
