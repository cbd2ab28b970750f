package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/fxamacker/cbor/v2"

	"github.com/streamweir/streamweir/integration/awssdk"
	"github.com/streamweir/streamweir/integration/bench/comparison"
)

const (
	requestTimeout = 30 * time.Second
	readBuffer     = 64 << 10
	maxResponse    = 64 << 20
	errorShown     = 1 << 10 // of the body of an error
)

// credentials sign every request; no system here knows whose they are.
var credentials = aws.Credentials{AccessKeyID: awssdk.Key, SecretAccessKey: awssdk.Secret}

// format is one of the two wire forms of the API.
type format struct {
	name       string
	mime       string
	marshal    func(any) ([]byte, error)
	unmarshal  func([]byte, any) error
	wellFormed func([]byte) error
	// How fields look that are found without decoding a response: no record's
	// data here holds these bytes, since JSON has it in base64 and CBOR's is random.
	noneFailed, sequence, nextIterator, atEnd []byte
	stringAt                                  func([]byte) (string, error) // the string that begins here
}

var (
	jsonFormat = &format{
		name: "JSON", mime: "application/x-amz-json-1.1", marshal: json.Marshal, unmarshal: json.Unmarshal,
		wellFormed: func(b []byte) error { return json.Unmarshal(b, new(json.RawMessage)) },
		noneFailed: []byte(`"FailedRecordCount":0`), sequence: []byte(`"SequenceNumber":"`),
		nextIterator: []byte(`"NextShardIterator":`), atEnd: []byte(`"MillisBehindLatest":0`),
		stringAt: func(b []byte) (string, error) {
			var s string
			err := json.NewDecoder(bytes.NewReader(b)).Decode(&s)
			return s, err
		},
	}
	cborFormat = &format{
		name: "CBOR", mime: "application/x-amz-cbor-1.1", marshal: cbor.Marshal, unmarshal: cbor.Unmarshal,
		wellFormed: cbor.Wellformed,
		noneFailed: append(cborKey("FailedRecordCount"), 0), sequence: cborKey("SequenceNumber"),
		nextIterator: cborKey("NextShardIterator"), atEnd: append(cborKey("MillisBehindLatest"), 0),
		stringAt: func(b []byte) (string, error) {
			var s string
			_, err := cbor.UnmarshalFirst(b, &s)
			return s, err
		},
	}
)

// cborKey is a text string of less than 24 bytes.
func cborKey(s string) []byte { return append([]byte{0x60 | byte(len(s))}, s...) }

// serviceError is what a server refuses a request with.
type serviceError struct {
	action  string
	status  int
	Type    string `json:"__type" cbor:"__type"`
	Message string `json:"message" cbor:"message"`
}

func (e *serviceError) Error() string {
	return fmt.Sprintf("%s: status %d, %s %s", e.action, e.status, e.Type, e.Message)
}

// Is makes an action that a server does not know a gap in the table.
func (e *serviceError) Is(target error) bool {
	return target == comparison.ErrNotServed && e.Type == "UnknownOperationException"
}

// signed is a whole HTTP request.
func signed(addr string, f *format, action string, body []byte) ([]byte, error) {
	req, err := http.NewRequest(http.MethodPost, "http://"+addr+"/", bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", f.mime)
	req.Header.Set("X-Amz-Target", "Kinesis_20131202."+action)
	sum := sha256.Sum256(body)
	if err := v4.NewSigner().SignHTTP(context.Background(), credentials, req, hex.EncodeToString(sum[:]), "kinesis", awssdk.Region, time.Now()); err != nil {
		return nil, fmt.Errorf("sign %s: %w", action, err)
	}
	var out bytes.Buffer
	err = req.Write(&out)
	return out.Bytes(), err
}

// conn is one HTTP/1.1 connection used by one goroutine, one request at a time.
type conn struct {
	net.Conn
	addr    string
	format  *format
	in      *bufio.Reader
	body    bytes.Buffer // of the last response
	release func() bool
}

// dial connects; when ctx ends, whatever the connection is doing fails.
func dial(ctx context.Context, addr string, f *format) (*conn, error) {
	var dialer net.Dialer
	c, err := dialer.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	return &conn{
		Conn: c, addr: addr, format: f,
		in:      bufio.NewReaderSize(c, readBuffer),
		release: context.AfterFunc(ctx, func() { c.Close() }),
	}, nil
}

func (c *conn) close() {
	c.release()
	c.Close()
}

// roundTrip sends a whole request and returns the body of its response, which is
// good until the next one.
func (c *conn) roundTrip(action string, request []byte) ([]byte, error) {
	if _, err := c.Write(request); err != nil {
		return nil, fmt.Errorf("send %s: %w", action, err)
	}
	resp, err := http.ReadResponse(c.in, nil)
	if err != nil {
		return nil, fmt.Errorf("read the response to %s: %w", action, err)
	}
	c.body.Reset()
	_, err = c.body.ReadFrom(io.LimitReader(resp.Body, maxResponse))
	resp.Body.Close()
	if err != nil {
		return nil, fmt.Errorf("read the response to %s: %w", action, err)
	}
	if resp.Close {
		return nil, fmt.Errorf("%s: the server closes the connection", action)
	}
	if resp.StatusCode != http.StatusOK {
		return nil, c.refused(action, resp)
	}
	return c.body.Bytes(), nil
}

// unexpected is the error of a response that does not say what it must. One that
// is cut off is a server's that does not have this format.
func (f *format) unexpected(response []byte, what string, args ...any) error {
	err := fmt.Errorf(what, args...)
	if broken := f.wellFormed(response); broken != nil {
		return fmt.Errorf("%w: %w, since it is broken after %d bytes: %w", comparison.ErrNotServed, err, len(response), broken)
	}
	return fmt.Errorf("%w: %q", err, response[:min(len(response), errorShown)])
}

func (c *conn) refused(action string, resp *http.Response) error {
	refused := &serviceError{action: action, status: resp.StatusCode}
	f := jsonFormat
	if resp.Header.Get("Content-Type") == cborFormat.mime {
		f = cborFormat
	}
	body := c.body.Bytes()
	if err := f.unmarshal(body, refused); err != nil {
		return fmt.Errorf("%s: status %d, %q", action, resp.StatusCode, body[:min(len(body), errorShown)])
	}
	return refused
}

// call makes one request and decodes its response into out, unless that is nil.
func (c *conn) call(action string, in, out any) error {
	body, err := c.format.marshal(in)
	if err != nil {
		return fmt.Errorf("encode %s: %w", action, err)
	}
	request, err := signed(c.addr, c.format, action, body)
	if err != nil {
		return err
	}
	answer, err := c.roundTrip(action, request)
	if err != nil || out == nil {
		return err
	}
	if err := c.format.unmarshal(answer, out); err != nil {
		return fmt.Errorf("%w: the response to %s has not the types of the API: %w", comparison.ErrNotServed, action, err)
	}
	return nil
}

const (
	streamWithin = 30 * time.Second
	streamPoll   = 2 * time.Millisecond
)

// createStream makes a stream and waits until it is active; one that is there
// already will do.
func (c *conn) createStream(name string, shards int) error {
	err := c.call("CreateStream", map[string]any{"StreamName": name, "ShardCount": shards}, nil)
	var refused *serviceError
	if err != nil && !(errors.As(err, &refused) && refused.Type == "ResourceInUseException") {
		return err
	}
	deadline := time.NewTimer(streamWithin)
	defer deadline.Stop()
	poll := time.NewTicker(streamPoll)
	defer poll.Stop()
	for {
		var answer struct {
			StreamDescriptionSummary struct {
				StreamStatus   string
				OpenShardCount int
			}
		}
		if err := c.call("DescribeStreamSummary", map[string]any{"StreamName": name}, &answer); err != nil {
			return err
		}
		summary := answer.StreamDescriptionSummary
		if summary.StreamStatus == "ACTIVE" {
			if summary.OpenShardCount != shards {
				return fmt.Errorf("stream %s has %d shards, not %d", name, summary.OpenShardCount, shards)
			}
			return nil
		}
		select {
		case <-deadline.C:
			return fmt.Errorf("stream %s is %s, and not ACTIVE after %v", name, summary.StreamStatus, streamWithin)
		case <-poll.C:
		}
	}
}
