package kinesisapi

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/streamweir/streamweir/broker/config"
	"github.com/streamweir/streamweir/broker/stream"
	"github.com/streamweir/streamweir/protocol/aws"
	"github.com/streamweir/streamweir/protocol/aws/kinesis"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var protocols = []string{"h1", "h2c", "h1s", "h2"}

// TestProtocolsOnOnePort sends a request in JSON and one in CBOR each way.
func TestProtocolsOnOnePort(t *testing.T) {
	f := serve(t, testHandlers(), nil)
	for _, protocol := range protocols {
		t.Run(protocol, func(t *testing.T) {
			c, url := f.client(protocol)
			resp, body := do(t, c, request(t, url, "PutRecord", []byte(`{"Data":"YWJj","PartitionKey":"k"}`)))
			if resp.StatusCode != 200 || body != `{"ShardId":"abc|k","SequenceNumber":"AK"}` {
				t.Errorf("%s %s", resp.Status, body)
			}
			wantMajor := 1
			if strings.HasPrefix(protocol, "h2") {
				wantMajor = 2
			}
			if resp.ProtoMajor != wantMajor || (resp.TLS != nil) != strings.HasPrefix(url, "https") {
				t.Errorf("the response came by %s, TLS %v", resp.Proto, resp.TLS != nil)
			}
			if got := resp.Header.Get("Content-Type"); got != aws.ContentTypeJSON {
				t.Errorf("Content-Type %s", got)
			}
			if id := resp.Header.Get("x-amzn-RequestId"); !regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`).MatchString(id) {
				t.Errorf("request id %q", id)
			}
			resp, body = do(t, c, request(t, url, "PutRecord", []byte("\xbf\x64Data\x43abc\x6cPartitionKey\x61k\xff"), "Content-Type", aws.ContentTypeCBOR))
			if resp.StatusCode != 200 || body != "\xbf\x67ShardId\x65abc|k\x6eSequenceNumber\x62AK\xff" || resp.Header.Get("Content-Type") != aws.ContentTypeCBOR {
				t.Errorf("%s %q", resp.Status, body)
			}
			resp, body = do(t, c, request(t, url, "DeleteStream", []byte(`{"StreamName":"s"}`)))
			if resp.StatusCode != 200 || body != "" {
				t.Errorf("an answer without a body: %s %q", resp.Status, body)
			}
		})
	}
}

// TestTheLargestPutRecordsFits: 500 records of 10 MiB in all, in base64, with keys
// that need escapes.
func TestTheLargestPutRecordsFits(t *testing.T) {
	sizes := make(chan int, 8)
	f := serve(t, table{"PutRecords": answers(func(_ *Server, _ context.Context, _ *Call, in *kinesis.PutRecordsInput) (*kinesis.PutRecordsOutput, error) {
		n := 0
		for _, r := range in.Records {
			n += len(r.Data) + len(*r.PartitionKey)
		}
		sizes <- n
		return &kinesis.PutRecordsOutput{}, nil
	})}, nil)
	const keyBytes = 256 * 4
	data := base64.StdEncoding.EncodeToString(make([]byte, 10<<20/500-keyBytes))
	var body bytes.Buffer
	body.WriteString(`{"Records":[`)
	for i := range 500 {
		if i > 0 {
			body.WriteString(", ")
		}
		fmt.Fprintf(&body, `{"Data": "%s", "PartitionKey": "%s"}`, data, strings.Repeat(`\ud83d\udc4d`, 256))
	}
	body.WriteString(`]}`)
	for _, protocol := range protocols {
		c, url := f.client(protocol)
		resp, answer := do(t, c, request(t, url, "PutRecords", body.Bytes()))
		if resp.StatusCode != 200 {
			t.Fatalf("%s: %s %.200s", protocol, resp.Status, answer)
		}
		if n := <-sizes; n < 10<<20-1000 {
			t.Errorf("%s: %d bytes came", protocol, n)
		}
	}
}

// TestErrors has what AWS answers to requests that reach no handler, or an error.
func TestErrors(t *testing.T) {
	handlers := testHandlers()
	fails := func(err error) handler {
		return acknowledges(func(*Server, context.Context, *Call, *kinesis.DeleteStreamInput) error { return err })
	}
	handlers["SplitShard"] = fails(stream.Errorf(stream.ResourceNotFound, "Stream s under account 000000000000 not found."))
	handlers["MergeShards"] = fails(fmt.Errorf("merge: %w", stream.Errorf(stream.LimitExceeded, "too many")))
	handlers["TagResource"] = fails(errors.New("a secret of the disk"))
	f := serve(t, handlers, func(c *config.Config) { c.AWSRequestMaxBytes = 2000 })
	const ok = `{"StreamName":"s"}`
	xml := func(name, message string) string {
		return "<" + name + ">\n  <Message>" + message + "</Message>\n</" + name + ">\n"
	}
	noOperation := xml("AccessDeniedException", "Unable to determine service/operation name to be authorized")
	for _, c := range []struct {
		name, target, body string
		headers            []string
		status             int
		want               string
	}{
		{"no target", "", ok, []string{"X-Amz-Target", ""}, 400, `{"__type":"UnknownOperationException"}`},
		{"an unknown action", "Nothing", ok, nil, 400, `{"__type":"UnknownOperationException"}`},
		{"an action of another service", "", ok, []string{"X-Amz-Target", "DynamoDB_20120810.DeleteTable"}, 400, `{"__type":"UnknownOperationException"}`},
		{"an action without a handler", "GetRecords", ok, nil, 400, `{"__type":"UnknownOperationException"}`},
		{"no content type", "DeleteStream", ok, []string{"Content-Type", ""}, 404, "<UnknownOperationException/>\n"},
		{"another content type and no target", "", ok, []string{"Content-Type", "text/plain", "X-Amz-Target", ""}, 403, noOperation},
		{"no signature", "DeleteStream", ok, []string{"Authorization", ""}, 400, `{"__type":"MissingAuthenticationTokenException","message":"Missing Authentication Token"}`},
		{"no signature in CBOR", "DeleteStream", ok, []string{"Authorization", "", "Content-Type", aws.ContentTypeCBOR}, 400,
			"\xbf\x66__type\x78\x23MissingAuthenticationTokenException\x67message\x78\x1cMissing Authentication Token\xff"},
		{"half a signature", "DeleteStream", ok, []string{"Authorization", "AWS4-HMAC-SHA256 Credential=a, Signature=b"}, 400,
			`{"__type":"IncompleteSignatureException","message":"Authorization header requires 'SignedHeaders' parameter. Authorization=AWS4-HMAC-SHA256 Credential=a, Signature=b"}`},
		{"no JSON", "DeleteStream", "{", nil, 400, `{"__type":"SerializationException"}`},
		{"no body", "DeleteStream", "", nil, 400, `{"__type":"SerializationException"}`},
		{"a wrong type", "DeleteStream", `{"StreamName":[]}`, nil, 400, `{"__type":"SerializationException","Message":"Start of list found where not expected"}`},
		{"a constraint", "PutRecord", `{"PartitionKey":"k"}`, nil, 400,
			`{"__type":"ValidationException","message":"1 validation error detected: Value null at 'data' failed to satisfy constraint: Member must not be null"}`},
		{"a refusal of the core", "SplitShard", ok, nil, 400, `{"__type":"ResourceNotFoundException","message":"Stream s under account 000000000000 not found."}`},
		{"a wrapped refusal", "MergeShards", ok, nil, 400, `{"__type":"LimitExceededException","message":"too many"}`},
		{"an internal error", "TagResource", ok, nil, 500, `{"__type":"InternalFailureException","message":"The request failed inside the server, whose log has the reason under request id ID."}`},
		{"too large", "DeleteStream", `{"StreamName":"` + strings.Repeat("s", 2000) + `"}`, nil, 413, ""},
	} {
		for _, protocol := range protocols {
			t.Run(c.name+" by "+protocol, func(t *testing.T) {
				client, url := f.client(protocol)
				resp, body := do(t, client, request(t, url, c.target, []byte(c.body), c.headers...))
				id := resp.Header.Get("x-amzn-RequestId")
				if want := strings.ReplaceAll(c.want, "ID", id); c.name != "an internal error" && body != c.want || c.name == "an internal error" && body != want || resp.StatusCode != c.status || id == "" {
					t.Errorf("%s %q, want %d %q", resp.Status, body, c.status, c.want)
				}
			})
		}
	}
	if n := f.logs.FilterMessage("a request failed").Len(); n != len(protocols) {
		t.Errorf("%d internal errors were logged, want %d", n, len(protocols))
	}
}

// TestMethods: what is no POST is nothing that AWS knows.
func TestMethods(t *testing.T) {
	f := serve(t, testHandlers(), nil)
	c, url := f.client("h1")
	r := request(t, url, "DeleteStream", nil)
	r.Method = http.MethodGet
	if resp, body := do(t, c, r); resp.StatusCode != 403 || !strings.HasPrefix(body, "<AccessDeniedException>") {
		t.Errorf("GET: %s %s", resp.Status, body)
	}
}

// TestPages: a browser asks whether a page may send a request, and only those that
// the configuration names may.
func TestPages(t *testing.T) {
	const page = "http://page.example"
	for _, tc := range []struct {
		allowed string
		may     bool
	}{{"", false}, {"http://other.example", false}, {"*", true}, {page, true}} {
		f := serve(t, testHandlers(), func(c *config.Config) { c.AWSAllowOrigin = tc.allowed })
		c, url := f.client("h1")
		r := request(t, url, "DeleteStream", nil, "Origin", page, "Access-Control-Request-Headers", "x-amz-target", "Access-Control-Request-Method", "POST")
		r.Method = http.MethodOptions
		resp, _ := do(t, c, r)
		want := http.Header{}
		if tc.may {
			want = http.Header{"Access-Control-Allow-Origin": {tc.allowed}, "Access-Control-Allow-Headers": {"x-amz-target"}, "Access-Control-Allow-Methods": {"POST"}}
		}
		for _, name := range []string{"Access-Control-Allow-Origin", "Access-Control-Allow-Headers", "Access-Control-Allow-Methods"} {
			if got := resp.Header.Get(name); got != want.Get(name) {
				t.Errorf("%q allowed, OPTIONS: %s is %q", tc.allowed, name, got)
			}
		}
		if (resp.StatusCode == http.StatusOK) != tc.may {
			t.Errorf("%q allowed, OPTIONS: %s", tc.allowed, resp.Status)
		}
		resp, _ = do(t, c, request(t, url, "DeleteStream", []byte(`{"StreamName":"s"}`), "Origin", page))
		if resp.Header.Get("Access-Control-Allow-Origin") != want.Get("Access-Control-Allow-Origin") ||
			strings.Contains(resp.Header.Get("Access-Control-Expose-Headers"), "x-amzn-RequestId") != tc.may {
			t.Errorf("%q allowed, POST: %v", tc.allowed, resp.Header)
		}
	}
}

// TestPresigned takes the signature from the URL.
func TestPresigned(t *testing.T) {
	f := serve(t, testHandlers(), nil)
	c, url := f.client("h1")
	url += "?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=PRE%2F20261125%2Fus-east-1%2Fkinesis%2Faws4_request&X-Amz-Date=20261125T210000Z&X-Amz-SignedHeaders=host&X-Amz-Signature=abc"
	resp, body := do(t, c, request(t, url, "PutRecord", []byte(`{"Data":"","PartitionKey":"k"}`), "Authorization", ""))
	if resp.StatusCode != 200 || body != `{"ShardId":"|k","SequenceNumber":"PRE"}` {
		t.Errorf("%s %s", resp.Status, body)
	}
}

// TestGetCallerIdentity asks as SDKs do, in a form, and as presigned URLs do.
func TestGetCallerIdentity(t *testing.T) {
	f := serve(t, testHandlers(), func(c *config.Config) { c.AWSAccountID = "123456789012" })
	c, url := f.client("h1")
	form := []string{"X-Amz-Target", "", "Content-Type", "application/x-www-form-urlencoded; charset=utf-8"}
	const query = "Action=GetCallerIdentity&Version=2011-06-15"
	check := func(r *http.Request, status int, want string) {
		t.Helper()
		resp, body := do(t, c, r)
		want = strings.ReplaceAll(want, "ID", resp.Header.Get("x-amzn-RequestId"))
		if resp.StatusCode != status || body != want+"\n" || resp.Header.Get("Content-Type") != "text/xml" {
			t.Errorf("%s %s\n%s\nwant %d\n%s", resp.Status, resp.Header.Get("Content-Type"), body, status, want)
		}
	}
	const identity = `<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult><Arn>arn:aws:iam::123456789012:root</Arn><UserId>123456789012</UserId><Account>123456789012</Account></GetCallerIdentityResult><ResponseMetadata><RequestId>ID</RequestId></ResponseMetadata></GetCallerIdentityResponse>`
	failure := func(code, message string) string {
		return `<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Type>Sender</Type><Code>` + code + `</Code><Message>` + message + `</Message></Error><RequestId>ID</RequestId></ErrorResponse>`
	}
	check(request(t, url, "", []byte(query), form...), 200, identity)
	r := request(t, url+"?"+query, "", nil, form...)
	r.Method = http.MethodGet
	check(r, 200, identity)
	check(request(t, url, "", []byte("Action=AssumeRole&Version=2011-06-15"), form...), 400, failure("InvalidAction", "Could not find operation AssumeRole for version 2011-06-15"))
	check(request(t, url, "", nil, form...), 400, failure("MissingAction", "The request has no parameter Action."))
	check(request(t, url, "", []byte(query), append(form, "Authorization", "")...), 403, failure("MissingAuthenticationToken", "Missing Authentication Token"))
}

// TestChannelsDoNotExist: there are none until there are delivery streams.
func TestChannelsDoNotExist(t *testing.T) {
	f := serve(t, channels(), nil)
	c, url := f.client("h1")
	const arn = "arn:aws:kinesis:us-east-1:000000000000:channel/c"
	for action, want := range map[string]string{
		"CreateChannel":   "InvalidArgumentException",
		"ListChannels":    "InvalidArgumentException",
		"DescribeChannel": "ResourceNotFoundException",
		"UpdateChannel":   "ResourceNotFoundException",
		"DeleteChannel":   "ResourceNotFoundException",
	} {
		body := `{"ChannelARN":"` + arn + `","ChannelName":"c","ServiceExecutionRoleARN":"arn:aws:iam::000000000000:role/r",
			"StreamConfigurationList":[{"StreamARN":"arn:aws:kinesis:us-east-1:000000000000:stream/s","RecordConfiguration":{"RecordFormatType":"JSON"}}]}`
		resp, got := do(t, c, request(t, url, action, []byte(body)))
		if resp.StatusCode != 400 || !strings.HasPrefix(got, `{"__type":"`+want+`"`) {
			t.Errorf("%s: %s %s", action, resp.Status, got)
		}
	}
}

// TestCleartextOnly: without a certificate, a TLS client is told so by its own
// handshake, and others are served.
func TestCleartextOnly(t *testing.T) {
	f := serve(t, testHandlers(), func(c *config.Config) { c.AWSTLSCertificateFile, c.AWSTLSKeyFile = "", "" })
	c, url := f.client("h2")
	if _, err := c.Do(request(t, url, "DeleteStream", nil)); err == nil {
		t.Error("a TLS handshake succeeded")
	}
	for _, protocol := range []string{"h1", "h2c"} {
		c, url := f.client(protocol)
		if resp, body := do(t, c, request(t, url, "DeleteStream", []byte(`{"StreamName":"s"}`))); resp.StatusCode != 200 {
			t.Errorf("%s: %s %s", protocol, resp.Status, body)
		}
	}
}

func TestOldTLSIsRefused(t *testing.T) {
	f := serve(t, testHandlers(), nil)
	conn, err := tls.Dial("tcp", f.Addr(), &tls.Config{RootCAs: f.cert, MaxVersion: tls.VersionTLS11})
	if err == nil {
		conn.Close()
		t.Error("TLS 1.1 was accepted")
	}
}
