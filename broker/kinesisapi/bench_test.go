package kinesisapi

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws/protocol/eventstream"
)

// exchange sends a request and reads all of the answer.
func (l *live) exchange(b *testing.B, action string, body []byte) (n int64) {
	resp, err := l.http.Do(request(b, l.url, action, body))
	if err != nil {
		b.Fatal(err)
	}
	defer resp.Body.Close()
	if n, err = io.Copy(io.Discard, resp.Body); err != nil || resp.StatusCode != http.StatusOK {
		b.Fatal(resp.Status, err)
	}
	return n
}

func benchPut(records int) []byte {
	var body strings.Builder
	body.WriteString(`{"StreamName":"s","Records":[`)
	for i := range records {
		if i > 0 {
			body.WriteByte(',')
		}
		fmt.Fprintf(&body, `{"PartitionKey":"key %d","Data":%s}`, i, data(strings.Repeat("x", 100)))
	}
	body.WriteString(`]}`)
	return []byte(body.String())
}

// BenchmarkPutRecords is a request of 500 records of 100 bytes in JSON over HTTP,
// with a store in memory. The client's part is in it.
func BenchmarkPutRecords(b *testing.B) {
	l := newLive(b, "kinesis.limits=off")
	l.http, l.url = l.client("h1")
	l.ask("CreateStream", `{"StreamName":"s","ShardCount":4}`)
	body := benchPut(500)
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		l.exchange(b, "PutRecords", body)
	}
	b.ReportMetric(500*float64(b.N)/b.Elapsed().Seconds(), "records/s")
}

// BenchmarkGetRecords is an answer of 10,000 records of 100 bytes.
func BenchmarkGetRecords(b *testing.B) {
	l := newLive(b, "kinesis.limits=off")
	l.http, l.url = l.client("h1")
	l.ask("CreateStream", `{"StreamName":"s","ShardCount":1}`)
	body := benchPut(500)
	for range 20 {
		l.exchange(b, "PutRecords", body)
	}
	it := fmt.Appendf(nil, `{"ShardIterator":%q}`, l.iterator(0, "TRIM_HORIZON"))
	b.ReportAllocs()
	for b.Loop() {
		b.SetBytes(l.exchange(b, "GetRecords", it))
	}
	b.ReportMetric(10_000*float64(b.N)/b.Elapsed().Seconds(), "records/s")
}

// BenchmarkSubscribe is one record from its put to the event, over HTTP/2.
func BenchmarkSubscribe(b *testing.B) {
	l := newLive(b, "kinesis.limits=off")
	l.ask("CreateStream", `{"StreamName":"s","ShardCount":1}`)
	arn := l.ask("RegisterStreamConsumer", `{"StreamARN":"arn:aws:kinesis:us-east-1:000000000000:stream/s","ConsumerName":"c"}`)["Consumer"].(map[string]any)["ConsumerARN"].(string)
	events := l.subscribe(arn, 0, `{"Type":"LATEST"}`)
	d := eventstream.NewDecoder()
	body := benchPut(1)
	b.ReportAllocs()
	for b.Loop() {
		l.exchange(b, "PutRecords", body)
		if _, err := d.Decode(events.body, nil); err != nil {
			b.Fatal(err)
		}
	}
}
