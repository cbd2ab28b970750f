package streams

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws/protocol/eventstream"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"github.com/streamweir/streamweir/cmd/streamweir/internal/client"
)

// actions is a server that answers each action as a test says.
type actions map[string]func(w http.ResponseWriter)

func (a actions) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_, name, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	_, _ = io.Copy(io.Discard, r.Body)
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	answer, ok := a[name]
	if !ok {
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprintf(w, `{"__type":"UnknownOperationException","message":%q}`, name)
		return
	}
	answer(w)
}

func says(body string) func(http.ResponseWriter) {
	return func(w http.ResponseWriter) { _, _ = io.WriteString(w, body) }
}

func refuses(code string) func(http.ResponseWriter) {
	return func(w http.ResponseWriter) {
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprintf(w, `{"__type":%q,"message":"no"}`, code)
	}
}

func openAt(t *testing.T, url string) *Client {
	t.Helper()
	c, err := Open(t.Context(), Config{Endpoint: url, Timeout: 10 * time.Second, Version: "test"})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

const activeStream = `{"StreamDescriptionSummary":{"StreamName":"s","StreamARN":"arn:aws:kinesis:us-east-1:000000000000:stream/s","StreamStatus":"ACTIVE",` +
	`"RetentionPeriodHours":24,"OpenShardCount":1,"StreamCreationTimestamp":1}}`

// TestCreateSaysWhatIsThere: a stream that was created stayed behind, and only the
// refusal of its retention was told.
func TestCreateSaysWhatIsThere(t *testing.T) {
	a := actions{"CreateStream": says("{}"), "DescribeStreamSummary": says(activeStream), "IncreaseStreamRetentionPeriod": refuses("AccessDeniedException")}
	server := httptest.NewServer(a)
	defer server.Close()
	c := openAt(t, server.URL)
	create := func(retention time.Duration) string {
		r := Create(t.Context(), c, []string{"s"}, Spec{Shards: 1, Retention: retention}, Waiting{For: time.Minute})[0]
		if r.Err == nil {
			return r.Done
		}
		return r.Err.Error()
	}
	if got, want := create(48*time.Hour), "it was created, but setting its retention to 48 hours failed: no (AccessDeniedException)"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := create(24 * time.Hour); got != "created" {
		t.Errorf("with the retention that it has: %q", got)
	}
	a["DescribeStreamSummary"] = refuses("AccessDeniedException")
	if got, want := create(0), "it was created, but: no (AccessDeniedException)"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	a["CreateStream"] = refuses("LimitExceededException")
	if got := create(0); strings.Contains(got, "created") {
		t.Errorf("nothing was created, and it says %q", got)
	}
}

// TestDescribeShowsTheOthers: one wrong name hid the streams that are there.
func TestDescribeShowsTheOthers(t *testing.T) {
	calls := 0
	server := httptest.NewServer(actions{
		"DescribeStreamSummary": func(w http.ResponseWriter) {
			if calls++; calls == 1 {
				refuses("ResourceNotFoundException")(w)
				return
			}
			says(activeStream)(w)
		},
		"ListShards": says(`{"Shards":[]}`), "ListStreamConsumers": says(`{"Consumers":[]}`), "ListTagsForStream": says(`{"Tags":[],"HasMoreTags":false}`),
	})
	defer server.Close()
	got, err := Describe(t.Context(), openAt(t, server.URL), []string{"nope", "s"}, Metrics{})
	if err != nil || len(got.List) != 1 || got.List[0].Name != "s" || len(got.Failed) != 1 || got.Failed[0].Error() != `stream "nope": no (ResourceNotFoundException)` {
		t.Errorf("%+v, %v", got, err)
	}
}

// TestNotTheAPI: what Go and the SDK say of a wrong port came through as it was,
// and with the exit status of a refusal.
func TestNotTheAPI(t *testing.T) {
	answering := func(status int, body string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			_, _ = io.WriteString(w, body)
		})
	}
	plain := httptest.NewServer(answering(http.StatusOK, "{}"))
	defer plain.Close()
	secure := httptest.NewTLSServer(answering(http.StatusOK, "{}"))
	defer secure.Close()
	other := func(status int, body string) string {
		server := httptest.NewServer(answering(status, body))
		t.Cleanup(server.Close)
		return server.URL
	}
	for _, c := range []struct{ name, url, want string }{
		{"https at a port without TLS", "https://" + plain.Listener.Addr().String(), "speaks no TLS there: write http:// rather than https://"},
		{"a certificate of nobody", secure.URL, "shows a certificate that is not accepted"},
		{"numbers for words", other(http.StatusNotFound, `{"error_code":404,"message":"no such page"}`), "is not the Kinesis API (HTTP status 404)"},
		{"the admin port", other(http.StatusNotFound, "404 page not found"), "is not the Kinesis API (HTTP status 404)"},
		{"an answer without a code", other(http.StatusForbidden, "{}"), "is not the Kinesis API (HTTP status 403)"},
		{"a web page", other(http.StatusOK, "<html></html>"), "is not the Kinesis API (HTTP status 200)"},
	} {
		_, err := List(t.Context(), openAt(t, c.url))
		var unreachable *client.UnreachableError
		if !errors.As(err, &unreachable) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v; want %q", c.name, err, c.want)
		}
	}
}

// TestNobodyReadsAnyMore: that the reader of the output went early was told as an
// error while the shards were being listed.
func TestNobodyReadsAnyMore(t *testing.T) {
	for name, read := range map[string]func(context.Context, *Client, *GetJob, io.Writer) error{"get": Get, "tail": Tail} {
		ctx, cancel := context.WithCancel(t.Context())
		server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			cancel()
			<-r.Context().Done()
		}))
		if err := read(ctx, openAt(t, server.URL), &GetJob{Stream: "s"}, io.Discard); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		server.Close()
	}
}

// TestTailSaysWhatHelpsAgainstTheLimit: it only told of the limit.
func TestTailSaysWhatHelpsAgainstTheLimit(t *testing.T) {
	code := "LimitExceededException"
	server := httptest.NewServer(actions{
		"ListShards":             says(`{"Shards":[]}`),
		"DescribeStreamSummary":  says(activeStream),
		"RegisterStreamConsumer": func(w http.ResponseWriter) { refuses(code)(w) },
	})
	defer server.Close()
	tail := func() string {
		job := &GetJob{Stream: "s", From: types.StartingPosition{Type: types.ShardIteratorTypeLatest}, Note: func(string) {}}
		return fmt.Sprint(Tail(t.Context(), openAt(t, server.URL), job, io.Discard))
	}
	got := tail()
	for _, want := range []string{
		"register a consumer: no (LimitExceededException)\ntail registers a consumer, streamweir-tail-..., for as long as it runs",
		"aws kinesis deregister-stream-consumer --endpoint-url " + server.URL + " --stream-arn arn:aws:kinesis:us-east-1:000000000000:stream/s --consumer-name NAME\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is not in %q", want, got)
		}
	}
	code = "AccessDeniedException"
	if got, want := tail(), "register a consumer: no (AccessDeniedException)"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestTailSaysThatItFollowsAgain: after a lost connection it said so only when the
// next subscription had ended, five minutes later.
func TestTailSaysThatItFollowsAgain(t *testing.T) {
	ctx, stop := context.WithTimeout(t.Context(), 30*time.Second)
	defer stop()
	granted := eventFrame(t, "initial-response", "{}")
	var mu sync.Mutex
	var told []string
	subscriptions := 0
	server := httptest.NewServer(actions{
		"ListShards":               says(`{"Shards":[{"ShardId":"shardId-000000000000","HashKeyRange":{"StartingHashKey":"0","EndingHashKey":"1"},"SequenceNumberRange":{"StartingSequenceNumber":"1"}}]}`),
		"DescribeStreamSummary":    says(activeStream),
		"RegisterStreamConsumer":   says(`{"Consumer":{"ConsumerName":"c","ConsumerARN":"arn:c","ConsumerStatus":"CREATING","ConsumerCreationTimestamp":1}}`),
		"DescribeStreamConsumer":   says(`{"ConsumerDescription":{"ConsumerName":"c","ConsumerARN":"arn:c","ConsumerStatus":"ACTIVE","ConsumerCreationTimestamp":1,"StreamARN":"arn:s"}}`),
		"DeregisterStreamConsumer": says(""),
		"SubscribeToShard": func(w http.ResponseWriter) {
			mu.Lock()
			subscriptions++
			first, down := subscriptions == 1, len(told) < 2
			mu.Unlock()
			if down && !first {
				panic(http.ErrAbortHandler) // nobody answers
			}
			w.Header().Set("Content-Type", "application/vnd.amazon.eventstream")
			_, _ = w.Write(granted)
			_ = http.NewResponseController(w).Flush()
			if first {
				panic(http.ErrAbortHandler) // the connection is lost
			}
			<-ctx.Done() // the subscription lasts, and nothing comes
		},
	})
	defer server.Close()
	job := &GetJob{Stream: "s", From: types.StartingPosition{Type: types.ShardIteratorTypeLatest}, Note: func(text string) {
		mu.Lock()
		defer mu.Unlock()
		told = append(told, text)
		if strings.HasSuffix(text, ": following again") {
			stop()
		}
	}}
	if err := Tail(ctx, openAt(t, server.URL), job, io.Discard); err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	defer mu.Unlock()
	if len(told) != 3 || !strings.Contains(told[1], "trying again until it is back") || told[2] != "shardId-000000000000: following again" {
		t.Errorf("told %q", told)
	}
}

func eventFrame(t *testing.T, kind, payload string) []byte {
	t.Helper()
	var headers eventstream.Headers
	headers.Set(":event-type", eventstream.StringValue(kind))
	headers.Set(":content-type", eventstream.StringValue("application/x-amz-json-1.1"))
	headers.Set(":message-type", eventstream.StringValue("event"))
	var b bytes.Buffer
	if err := eventstream.NewEncoder().Encode(&b, eventstream.Message{Headers: headers, Payload: []byte(payload)}); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}
