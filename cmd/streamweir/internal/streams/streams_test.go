package streams

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/streamweir/streamweir/cmd/streamweir/internal/client"
	"github.com/streamweir/streamweir/cmd/streamweir/internal/input"
)

// TestWalk: a shard is read when those that it came from have been read, also
// where it shows up in the middle.
func TestWalk(t *testing.T) {
	children := map[string][]types.ChildShard{
		"b": {child("d", "b"), child("e", "b")},
		"d": {child("f", "d", "e")},
		"e": {child("f", "d", "e")},
	}
	var mu sync.Mutex
	var order []string
	done := map[string]bool{}
	read := func(_ context.Context, n node) ([]types.ChildShard, error) {
		mu.Lock()
		defer mu.Unlock()
		for _, p := range n.parents {
			if p != "gone" && !done[p] {
				t.Errorf("%s was begun before its parent %s had ended", n.id, p)
			}
		}
		order, done[n.id] = append(order, n.id), true
		return children[n.id], nil
	}
	nodes := []node{{id: "a", parents: []string{"gone"}}, {id: "c", parents: []string{"a"}}, {id: "b"}}
	for _, most := range []int{1, 2, 100} {
		order, done = nil, map[string]bool{}
		if err := walk(t.Context(), read, most, nodes); err != nil {
			t.Fatal(err)
		}
		slices.Sort(order)
		if got := strings.Join(order, ""); got != "abcdef" {
			t.Errorf("with %d at a time it read %q", most, got)
		}
	}
	broken := errors.New("broken")
	if err := walk(t.Context(), func(context.Context, node) ([]types.ChildShard, error) { return nil, broken }, 2, nodes); !errors.Is(err, broken) {
		t.Errorf("an error of a shard: %v", err)
	}
}

func child(id string, parents ...string) types.ChildShard {
	return types.ChildShard{ShardId: &id, ParentShards: parents}
}

func TestHalfWay(t *testing.T) {
	for in, want := range map[[2]string]string{
		{"0", "1"}: "1",
		{"0", "340282366920938463463374607431768211455"}:                                       "170141183460469231731687303715884105728",
		{"170141183460469231731687303715884105728", "340282366920938463463374607431768211455"}: "255211775190703847597530955573826158592",
	} {
		if got, err := halfWay(in[0], in[1]); err != nil || got != want {
			t.Errorf("between %v: %s, %v; want %s", in, got, err, want)
		}
	}
}

func TestSteps(t *testing.T) {
	for _, c := range []struct{ have, want, next int32 }{{1, 8, 2}, {2, 3, 3}, {4, 4, 4}, {8, 1, 4}, {5, 1, 3}, {3, 2, 2}, {1, 1, 1}} {
		if got := step(c.have, c.want); got != c.next {
			t.Errorf("from %d towards %d the first step is to %d, want %d", c.have, c.want, got, c.next)
		}
	}
}

func TestMetricsURL(t *testing.T) {
	for in, want := range map[string]string{
		"http://127.0.0.1:9644":          "http://127.0.0.1:9644/metrics",
		"http://127.0.0.1:9644/":         "http://127.0.0.1:9644/metrics",
		"https://h/metrics":              "https://h/metrics",
		"http://h/prometheus/streamweir": "http://h/prometheus/streamweir",
		"127.0.0.1:9644":                 "",
		"ftp://h/metrics":                "",
		"":                               "",
	} {
		if got, err := MetricsURL(in); got != want || (err == nil) != (want != "") {
			t.Errorf("%q is %q, %v; want %q", in, got, err, want)
		}
	}
}

func TestRates(t *testing.T) {
	const text = `# TYPE aws_kinesis_incoming_bytes_sum gauge
aws_kinesis_incoming_bytes_sum{dimension_StreamName="s"} 6000
aws_kinesis_incoming_bytes_sum{dimension_ShardId="shardId-000000000001",dimension_StreamName="s"} 60
# TYPE aws_kinesis_incoming_records_sum gauge
aws_kinesis_incoming_records_sum{dimension_StreamName="s"} 600
`
	status := http.StatusOK
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = io.WriteString(w, text)
	}))
	defer server.Close()
	m, err := Metrics{URL: server.URL}.fetch(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got := m.of("s", ""); got == nil || got.Bytes != 100 || got.Records != 10 {
		t.Errorf("the stream's rates are %+v", got)
	}
	if got := m.of("s", "shardId-000000000001"); got == nil || got.Bytes != 1 {
		t.Errorf("the shard's rates are %+v", got)
	}
	if got := m.of("s", "shardId-000000000000"); got != nil {
		t.Errorf("a shard without metrics has rates %+v", got)
	}
	status = http.StatusNotFound
	if _, err := (Metrics{URL: server.URL}).fetch(t.Context()); err == nil {
		t.Error("metrics that were asked for are not there, and nothing is said")
	}
	if _, err := (Metrics{URL: server.URL, Guess: true}).fetch(t.Context()); err != nil {
		t.Errorf("a guessed address is no failure: %v", err)
	}
}

// api answers PutRecords as a test says, and notes what came.
type api struct {
	mu     sync.Mutex
	got    []string // data of what was acknowledged, in order
	answer func(request int, data []string) (refused map[int]string, failure string)
	calls  int
}

func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	var in struct{ Records []struct{ Data []byte } }
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	var list []string
	for _, rec := range in.Records {
		list = append(list, string(rec.Data))
	}
	a.calls++
	refused, failure := a.answer(a.calls, list)
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	if failure != "" {
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprintf(w, `{"__type":%q,"message":"no"}`, failure)
		return
	}
	out := []map[string]string{}
	for i, data := range list {
		if code := refused[i]; code != "" {
			out = append(out, map[string]string{"ErrorCode": code, "ErrorMessage": "Rate exceeded."})
			continue
		}
		a.got = append(a.got, data)
		out = append(out, map[string]string{"ShardId": "shardId-000000000000", "SequenceNumber": "1"})
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"FailedRecordCount": len(refused), "Records": out})
}

// putLines sends lines to an api.
func putLines(t *testing.T, a *api, keepGoing bool, lines string) (PutSummary, []string, error) {
	t.Helper()
	return putAs(t, a, keepGoing, lines, input.Lines)
}

func putAs(t *testing.T, a *api, keepGoing bool, lines string, form input.Format) (PutSummary, []string, error) {
	t.Helper()
	server := httptest.NewServer(a)
	defer server.Close()
	c, err := Open(t.Context(), Config{Endpoint: server.URL, Timeout: 10 * time.Second, Version: "test"})
	if err != nil {
		t.Fatal(err)
	}
	var told []string
	job := &PutJob{
		Stream: "s", KeepGoing: keepGoing, Patience: time.Second,
		Inputs: []input.File{{Size: -1, Open: func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(lines)), nil }}},
		Parsing: input.Parsing{Format: form, Delimiter: []byte("\n"), Partition: input.AnyPartition, MaxRecordBytes: 100,
			TooLarge: func() error { return errors.New("too large") }, Check: func(rec *kgo.Record) error { return check(rec, 100) }},
		Report: func(e *input.RecordError) { told = append(told, e.Error()) },
		Note:   func(text string) { told = append(told, text) },
	}
	s, err := Put(t.Context(), t.Context(), c, job)
	return s, told, err
}

func TestPutSendsAgainWhatWasThrottled(t *testing.T) {
	a := &api{answer: func(request int, data []string) (map[int]string, string) {
		if request == 1 {
			return map[int]string{0: overThroughput, 2: internalFailure}, ""
		}
		return nil, ""
	}}
	s, told, err := putLines(t, a, false, "a\nb\nc\n")
	if err != nil || s.Acknowledged != 3 || s.Failed != 0 || s.Unknown != 0 || len(told) != 0 {
		t.Errorf("%+v, %q, %v", s, told, err)
	}
	if got := strings.Join(a.got, ""); got != "bac" {
		t.Errorf("acknowledged in the order %q, want bac", got)
	}
}

func TestPutTellsWhatFailed(t *testing.T) {
	a := &api{answer: func(request int, data []string) (map[int]string, string) { return nil, "AccessDeniedException" }}
	s, told, err := putLines(t, a, false, "a\nb\n")
	if err != nil || s.Acknowledged != 0 || s.Failed != 2 {
		t.Errorf("%+v, %v", s, err)
	}
	if want := []string{"line 1: no (AccessDeniedException)", "1 other record of the same request not written"}; !slices.Equal(told, want) {
		t.Errorf("told %q, want %q", told, want)
	}
	a = &api{answer: func(int, []string) (map[int]string, string) { return nil, "" }}
	s, told, err = putLines(t, a, true, "a\n"+strings.Repeat("x", 200)+"\nb\n")
	if err != nil || s.Acknowledged != 2 || s.Failed != 1 || len(told) != 1 || !strings.HasPrefix(told[0], "line 2: ") {
		t.Errorf("one too large: %+v, %q, %v", s, told, err)
	}
}

// TestPutRefusesWhatARecordCannotHold: headers were dropped, and null became "".
func TestPutRefusesWhatARecordCannotHold(t *testing.T) {
	a := &api{answer: func(int, []string) (map[int]string, string) { return nil, "" }}
	s, told, err := putAs(t, a, true, `{"value":"a","headers":[{"key":"h","value":"1"}]}
{"value":null}
{"value":"b","headers":[]}
{"value":"c","headers":null}
{"value":"","key":null}
`, input.JSON)
	want := []string{
		"line 1: the record has headers, which a Kinesis record cannot hold",
		`line 2: the value is null, which a Kinesis record cannot hold; write "" for empty data`,
	}
	if err != nil || s.Acknowledged != 3 || s.Failed != 2 || !slices.Equal(told, want) || !slices.Equal(a.got, []string{"b", "c", ""}) {
		t.Errorf("%+v, got %q, told %q, %v", s, a.got, told, err)
	}
	for _, form := range []input.Format{input.Lines, input.Whole} {
		a.got = nil
		s, told, err = putAs(t, a, true, map[input.Format]string{input.Lines: "\n"}[form], form)
		if err != nil || s.Acknowledged != 1 || !slices.Equal(a.got, []string{""}) {
			t.Errorf("empty data as %s: %+v, got %q, told %q, %v", form, s, a.got, told, err)
		}
	}
}

func TestPutGivesUp(t *testing.T) {
	a := &api{answer: func(request int, data []string) (map[int]string, string) {
		refused := map[int]string{}
		for i := range data {
			refused[i] = overThroughput
		}
		return refused, ""
	}}
	s, _, err := putLines(t, a, false, "a\nb\n")
	if err == nil || !strings.Contains(err.Error(), "nothing was acknowledged for 1s") || s.Unknown != 2 {
		t.Errorf("%+v, %v", s, err)
	}
}

func TestOpenRefusesWhatIsNoEndpoint(t *testing.T) {
	for _, endpoint := range []string{"", "127.0.0.1:4566", "ftp://x", "http://"} {
		if _, err := Open(t.Context(), Config{Endpoint: endpoint, Timeout: time.Second}); err == nil {
			t.Errorf("endpoint %q was taken", endpoint)
		}
	}
}

func TestUnreachable(t *testing.T) {
	c, err := Open(t.Context(), Config{Endpoint: "http://127.0.0.1:1", Timeout: time.Second, Version: "test"})
	if err != nil {
		t.Fatal(err)
	}
	_, err = List(t.Context(), c)
	var unreachable *client.UnreachableError
	if !errors.As(err, &unreachable) || !strings.Contains(err.Error(), "connection refused") {
		t.Errorf("got %v", err)
	}
}
