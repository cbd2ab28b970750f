package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"github.com/streamweir/streamweir/integration/bench/comparison"
	"github.com/streamweir/streamweir/integration/harness"
)

func TestMain(m *testing.M) { harness.Main(m) }

// quick is a config for runs that check the generator and measure nothing.
func quick(t *testing.T) *config {
	return &config{
		Config: comparison.Config{
			Dir: t.TempDir(), Warmup: 50 * time.Millisecond, Idle: 50 * time.Millisecond,
		},
		maxBytes: 4 << 20, rate: 250,
	}
}

// posing makes a server that something else has started one of a comparison.
func posing(t *testing.T, addr string, pid int) *comparison.Server {
	return &comparison.Server{
		System: &comparison.System{Name: "posing"}, Dir: t.TempDir(), Addr: addr, Began: time.Now(),
		Proc: &comparison.Process{Cmd: &exec.Cmd{Process: &os.Process{Pid: pid}}, Exited: make(chan struct{})},
	}
}

// Every scenario runs against the built binary, which knows what AWS's clients
// send, and with that the checks of what came back.
func TestEveryScenarioRuns(t *testing.T) {
	harness.OnlyStreamweir(t, "Apache Kafka has no Kinesis API")
	c := quick(t)
	for _, sc := range scenarios(c) {
		t.Run(sc.Name, func(t *testing.T) {
			c.Measure = 500 * time.Millisecond
			if sc.Name == "fan-out" {
				c.Measure = 8 * time.Second // enough records to speak of one in a thousand, on a slow machine too
			}
			broker := harness.Start(t, harness.Config("storage.sync", "os"),
				harness.Config("kinesis.limits", "off"), harness.Config("kinesis.transition.ms", "0"))
			s := posing(t, strings.TrimPrefix(broker.AWSURL(), "http://"), broker.PID())
			took, err := s.Ready(t.Context(), firstRecord)
			if err != nil {
				t.Fatal(err)
			}
			metrics, err := sc.Run(t.Context(), s, took)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range metrics {
				if math.IsNaN(m.Value) || math.IsInf(m.Value, 0) || m.Value < 0 ||
					(m.Value == 0 && m.Kind == comparison.ForComparison && !strings.Contains(m.Name, "CPU")) {
					t.Errorf("%s, %s: %v", m.Scenario, m.Name, m.Value)
				}
			}
			if len(metrics) == 0 {
				t.Error("no figures")
			}
		})
	}
}

// answering is a server that says the same to everything.
func answering(t *testing.T, f *format, status int, body []byte) *conn {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			t.Error(err)
		}
		w.Header().Set("Content-Type", f.mime)
		w.WriteHeader(status)
		if _, err := w.Write(body); err != nil {
			t.Error(err)
		}
	}))
	t.Cleanup(server.Close)
	c, err := dial(t.Context(), server.Listener.Addr().String(), f)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.close)
	return c
}

func encoded(t *testing.T, f *format, v any) []byte {
	t.Helper()
	b, err := f.marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// acknowledgement is a response to PutRecords in which the last ones failed.
func acknowledgement(records, failed int) map[string]any {
	var entries []map[string]any
	for i := range records {
		if i >= records-failed {
			entries = append(entries, map[string]any{"ErrorCode": "InternalFailure", "ErrorMessage": "x"})
		} else {
			entries = append(entries, map[string]any{"SequenceNumber": "49", "ShardId": "shardId-000000000000"})
		}
	}
	return map[string]any{"FailedRecordCount": failed, "Records": entries}
}

func TestOnlyWholeAcknowledgementsCount(t *testing.T) {
	for _, f := range []*format{jsonFormat, cborFormat} {
		l := load{format: f, perRequest: 20}
		whole := encoded(t, f, acknowledgement(20, 0))
		for _, c := range []struct {
			name     string
			response []byte
			want     string // in the error; "": none
			gap      bool
		}{
			{"all", whole, "", false},
			{"one failed", encoded(t, f, acknowledgement(20, 1)), "numbers for 19 records of 20", false},
			{"one too few", encoded(t, f, acknowledgement(19, 0)), "numbers for 19 records of 20", false},
			{"one too many", encoded(t, f, acknowledgement(21, 0)), "numbers for 21 records of 20", false},
			{"cut off", whole[:len(whole)/2], "it is broken", true},
			{"nothing", encoded(t, f, map[string]any{}), "numbers for 0 records", false},
		} {
			err := l.acknowledged(c.response)
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("%s, %s: %v, want %q", f.name, c.name, err, c.want)
			}
			if errors.Is(err, comparison.ErrNotServed) != c.gap {
				t.Errorf("%s, %s: %v leaves a gap: %v", f.name, c.name, err, !c.gap)
			}
		}
	}
}

func TestRefusalsAreTold(t *testing.T) {
	for _, f := range []*format{jsonFormat, cborFormat} {
		for _, c := range []struct {
			kind string
			gap  bool
		}{{"UnknownOperationException", true}, {"ResourceNotFoundException", false}} {
			body := encoded(t, f, map[string]string{"__type": c.kind, "message": "no such thing"})
			err := answering(t, f, 400, body).call("PutRecords", map[string]string{}, nil)
			if err == nil || !strings.Contains(err.Error(), "status 400, "+c.kind+" no such thing") {
				t.Errorf("%s, %s: %v", f.name, c.kind, err)
			}
			if errors.Is(err, comparison.ErrNotServed) != c.gap {
				t.Errorf("%s, %s: %v leaves a gap: %v", f.name, c.kind, err, !c.gap)
			}
		}
		if err := answering(t, f, 500, []byte("<html>")).call("PutRecords", map[string]string{}, nil); err == nil || !strings.Contains(err.Error(), `status 500, "<html>"`) {
			t.Errorf("%s: %v", f.name, err)
		}
	}
}

// What is counted without decoding must be what decoding finds.
func TestGetCountsRecordsAndFindsTheIterator(t *testing.T) {
	for _, f := range []*format{jsonFormat, cborFormat} {
		for _, behind := range []int{0, 7} {
			for n := range 3 {
				made := records(n, 200, 1)
				var entries []map[string]any
				for _, r := range made {
					entries = append(entries, map[string]any{"Data": r.Data, "PartitionKey": r.PartitionKey, "SequenceNumber": "49"})
				}
				const next = `AAA+/="quoted\`
				r := &reader{conn: answering(t, f, 200, encoded(t, f, map[string]any{
					"MillisBehindLatest": behind, "NextShardIterator": next, "Records": entries,
				}))}
				iterator := "first"
				got, last, err := r.get("shard", &iterator)
				if err != nil || got != int64(n) || r.records != int64(n) || iterator != next || last != (behind == 0) {
					t.Errorf("%s, %d records: %d, iterator %q, last %v, %v", f.name, n, got, iterator, last, err)
				}
			}
		}
	}
}

func TestForeignDataIsSeen(t *testing.T) {
	made := records(2, 100, 1)
	for _, c := range []struct {
		name string
		got  []record
		want string
	}{
		{"the same", made, ""},
		{"nothing", nil, "has no records"},
		{"another key", []record{made[0], {made[1].Data, "other"}}, `record 1 of shard, with key "other"`},
		{"other data", []record{{made[1].Data, made[0].PartitionKey}}, "record 0 of shard"},
	} {
		r := &reader{
			conn: answering(t, jsonFormat, 200, encoded(t, jsonFormat, map[string]any{"Records": c.got})),
			put:  map[string][]byte{made[0].PartitionKey: made[0].Data, made[1].PartitionKey: made[1].Data},
		}
		if err := r.look("shard", "it"); c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
}

func TestRequestsAreSignedAndRepeatable(t *testing.T) {
	l := load{stream: "s", format: cborFormat, shards: 1, connections: 2, recordBytes: 100, perRequest: 3}
	requests, put, err := l.prepare("127.0.0.1:1")
	if err != nil {
		t.Fatal(err)
	}
	if len(put) != 2*requestsEach*3 {
		t.Errorf("%d different keys in %d requests of 3", len(put), 2*requestsEach)
	}
	for _, request := range append(requests[0], requests[1]...) {
		for _, want := range []string{"POST / HTTP/1.1\r\n", "X-Amz-Target: Kinesis_20131202.PutRecords\r\n", "Authorization: AWS4-HMAC-SHA256 Credential=", "Content-Length: "} {
			if !bytes.Contains(request, []byte(want)) {
				t.Errorf("a request has no %q", want)
			}
		}
	}
}

func TestEachRecordArrivesOnce(t *testing.T) {
	arrived := func(numbers ...uint64) (*arrivals, error) {
		a := newArrivals(time.Time{}, time.Time{})
		var failed error
		for _, n := range numbers {
			failed = errors.Join(failed, a.add(time.Now(), []types.Record{{Data: fanOutData(n, time.Now())}}))
		}
		return a, failed
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	a, err := arrived(2, 0, 1)
	if err != nil {
		t.Fatal(err)
	}
	if err := a.awaitAll(ctx, 3); err != nil || len(a.latencies) != 3 {
		t.Errorf("all came: %v, %d latencies", err, len(a.latencies))
	}
	if _, err := arrived(0, 1, 0); err == nil || !strings.Contains(err.Error(), "record 0 came twice") {
		t.Errorf("one came twice: %v", err)
	}
	if a, _ := arrived(0, 2, 3); !strings.Contains(a.awaitAll(ctx, 3).Error(), "record 1 never came") {
		t.Error("one was lost, and another came that was not sent")
	}
}

// A server so slow that it answered 34 requests in the measured time ended the
// whole comparison.
func TestSlowServerHasNoHighPercentile(t *testing.T) {
	for n, want := range map[int]int{9: 0, 34: 1, 100: 2} {
		if got := percentiles("s", make([]time.Duration, n)); len(got) != want {
			t.Errorf("%d latencies: %v, want %d percentiles", n, got, want)
		}
	}
}
