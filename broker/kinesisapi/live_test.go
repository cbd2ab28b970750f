package kinesisapi

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws/protocol/eventstream"
	"go.uber.org/zap"

	"github.com/streamweir/streamweir/broker"
	"github.com/streamweir/streamweir/broker/config"
	"github.com/streamweir/streamweir/storage/memstore"
)

// live is a server with a whole core behind it, on a store in memory.
type live struct {
	*frame
	store *memstore.Store
	http  *http.Client
	url   string
}

// newLive starts a server. over are settings as NAME=VALUE.
func newLive(t testing.TB, over ...string) *live {
	t.Helper()
	values := map[string]string{"kinesis.transition.ms": "0", "aws.addr": "127.0.0.1:0"}
	for _, o := range over {
		name, value, _ := strings.Cut(o, "=")
		values[name] = value
	}
	cfg, err := config.Default().With(values)
	if err != nil {
		t.Fatal(err)
	}
	store := memstore.New(memstore.Options{})
	t.Cleanup(func() { store.Close() })
	core, err := broker.Open(store, cfg, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(core.Close)
	l := &live{store: store, frame: serve(t, handlers(), func(c *config.Config) { c.AWSQueuedMaxBytes = cfg.AWSQueuedMaxBytes }, func(s *Server) { s.use(core) })}
	l.http, l.url = l.client("h2c")
	return l
}

// ask sends a request and returns the answer, or fails.
func (l *live) ask(action, body string) map[string]any {
	l.t.Helper()
	resp, text := do(l.t, l.http, request(l.t, l.url, action, []byte(body)))
	if resp.StatusCode != http.StatusOK {
		l.t.Fatalf("%s %s: %s %s", action, body, resp.Status, text)
	}
	out := map[string]any{}
	if text != "" {
		if err := json.Unmarshal([]byte(text), &out); err != nil {
			l.t.Fatalf("%s: %v", text, err)
		}
	}
	return out
}

// refused sends a request and returns the error that answers it.
func (l *live) refused(action, body string) string {
	l.t.Helper()
	resp, text := do(l.t, l.http, request(l.t, l.url, action, []byte(body)))
	if resp.StatusCode != http.StatusBadRequest {
		l.t.Fatalf("%s %s: %s %s", action, body, resp.Status, text)
	}
	var e struct {
		Type    string `json:"__type"`
		Message string
	}
	if err := json.Unmarshal([]byte(text), &e); err != nil {
		l.t.Fatalf("%s: %v", text, err)
	}
	return e.Type + ": " + e.Message
}

func (l *live) iterator(shard int, kind string) string {
	l.t.Helper()
	return l.ask("GetShardIterator", fmt.Sprintf(`{"StreamName":"s","ShardId":"shardId-%012d","ShardIteratorType":%q}`, shard, kind))["ShardIterator"].(string)
}

// get reads once and returns the answer with its data decoded.
func (l *live) get(iterator string) (out got) {
	l.t.Helper()
	_, text := do(l.t, l.http, request(l.t, l.url, "GetRecords", fmt.Appendf(nil, `{"ShardIterator":%q}`, iterator)))
	if err := json.Unmarshal([]byte(text), &out); err != nil {
		l.t.Fatalf("%s: %v", text, err)
	}
	return out
}

// got is an answer with records, as a client reads it.
type got struct {
	Records []struct {
		SequenceNumber              string
		ApproximateArrivalTimestamp float64
		EncryptionType              string
		Data                        []byte
		PartitionKey                string
	}
	NextShardIterator          *string
	ContinuationSequenceNumber *string
	MillisBehindLatest         *int64
	ChildShards                []struct {
		ShardId      string
		ParentShards []string
		HashKeyRange struct{ StartingHashKey, EndingHashKey string }
	}
}

func (g got) values() []string {
	out := []string{}
	for _, r := range g.Records {
		out = append(out, string(r.Data))
	}
	return out
}

func data(s string) string {
	b, _ := json.Marshal([]byte(s))
	return string(b)
}

func (l *live) put(key, value string) string {
	l.t.Helper()
	return l.ask("PutRecord", fmt.Sprintf(`{"StreamName":"s","PartitionKey":%q,"Data":%s}`, key, data(value)))["SequenceNumber"].(string)
}

// subscription is a stream of events as a client reads it.
type liveEvents struct {
	t    testing.TB
	body io.ReadCloser
	d    *eventstream.Decoder
}

func (l *live) subscribe(arn string, shard int, position string) *liveEvents {
	l.t.Helper()
	body := fmt.Sprintf(`{"ConsumerARN":%q,"ShardId":"shardId-%012d","StartingPosition":%s}`, arn, shard, position)
	resp, err := l.http.Do(request(l.t, l.url, "SubscribeToShard", []byte(body)))
	if err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() { resp.Body.Close() })
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(resp.Body)
		l.t.Fatalf("%s: %s %s", body, resp.Status, text)
	}
	e := &liveEvents{l.t, resp.Body, eventstream.NewDecoder()}
	if kind, _ := e.next(); kind != "initial-response" {
		l.t.Fatalf("the first event is %s", kind)
	}
	return e
}

// next is the next event's type and payload; "" is the end.
func (e *liveEvents) next() (kind string, payload []byte) {
	e.t.Helper()
	m, err := e.d.Decode(e.body, nil)
	if err == io.EOF {
		return "", nil
	}
	if err != nil {
		e.t.Fatal(err)
	}
	for _, name := range []string{":event-type", ":exception-type"} {
		if v := m.Headers.Get(name); v != nil {
			kind = v.String()
		}
	}
	return kind, bytes.Clone(m.Payload)
}

// event returns the next event that says something: one without records comes every
// few seconds where a machine is slow.
func (e *liveEvents) event() (out got) {
	e.t.Helper()
	for out.ChildShards == nil && len(out.Records) == 0 {
		kind, payload := e.next()
		if kind != "SubscribeToShardEvent" {
			e.t.Fatalf("got %q %s", kind, payload)
		}
		if err := json.Unmarshal(payload, &out); err != nil {
			e.t.Fatalf("%s: %v", payload, err)
		}
	}
	return out
}
