package kinesis

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"testing"

	"github.com/fxamacker/cbor/v2"

	"github.com/streamweir/streamweir/protocol/aws"
)

var codecs = []aws.Codec{aws.JSON, aws.CBOR}

func name(c aws.Codec) string {
	if c == aws.JSON {
		return "json"
	}
	return "cbor"
}

// putRecords is the body of a PutRecords of n records of size bytes.
func putRecords(t testing.TB, c aws.Codec, n, size int) []byte {
	t.Helper()
	data := bytes.Repeat([]byte("0123456789abcdef"), size/16+1)[:size]
	records := make([]map[string]any, n)
	for i := range records {
		records[i] = map[string]any{"Data": data, "PartitionKey": fmt.Sprintf("6f8a2a4e-0000-4000-8000-%012d", i)}
	}
	body := map[string]any{"StreamName": "a-stream", "Records": records}
	marshal := json.Marshal
	if c == aws.CBOR {
		marshal = cbor.Marshal
	}
	out, err := marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// BenchmarkPutRecordsDecode decodes and validates a whole request, as the front
// does. MB/s are of record data, so that the encodings compare.
func BenchmarkPutRecordsDecode(b *testing.B) {
	for _, size := range []int{100, 1024, 16 << 10} {
		for _, c := range codecs {
			b.Run(fmt.Sprintf("%s/500x%d", name(c), size), func(b *testing.B) {
				body := putRecords(b, c, 500, size)
				scratch := make([]byte, len(body))
				b.SetBytes(int64(500 * size))
				b.ReportAllocs()
				for b.Loop() {
					copy(scratch, body) // decoding changes it
					var in PutRecordsInput
					if err := c.Decode(scratch, &in); err != nil {
						b.Fatal(err)
					}
					if err := aws.Validate(&in); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// BenchmarkGetRecordsEncode encodes a whole response.
func BenchmarkGetRecordsEncode(b *testing.B) {
	for _, size := range []int{100, 1024, 16 << 10} {
		for _, c := range codecs {
			b.Run(fmt.Sprintf("%s/500x%d", name(c), size), func(b *testing.B) {
				data := bytes.Repeat([]byte("0123456789abcdef"), size/16+1)[:size]
				out := &GetRecordsOutput{NextShardIterator: ptr(base64.StdEncoding.EncodeToString(make([]byte, 150))), MillisBehindLatest: ptr(int64(0))}
				for i := range 500 {
					out.Records = append(out.Records, Record{
						SequenceNumber:              ptr(fmt.Sprintf("4959033827149025660855969254083673459%019d", i)),
						ApproximateArrivalTimestamp: ptr(aws.Time(1764104400123)), Data: data,
						PartitionKey: ptr(fmt.Sprintf("6f8a2a4e-0000-4000-8000-%012d", i)),
					})
				}
				var buf []byte
				b.SetBytes(int64(500 * size))
				b.ReportAllocs()
				for b.Loop() {
					buf = c.Append(buf[:0], out)
				}
			})
		}
	}
}
