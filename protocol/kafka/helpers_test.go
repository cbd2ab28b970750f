package kafka

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
)

var allCodecs = []Codec{CodecNone, CodecGzip, CodecSnappy, CodecLZ4, CodecZstd}

const testTime = int64(1_700_000_000_000)

// testRecords makes n records with values of about size bytes that compress
// about as well as logs do.
func testRecords(n, size int) []Record {
	rng := rand.New(rand.NewPCG(1, uint64(n)))
	words := []string{"orders", "stream", "2026-11-23T15:05:37Z", "INFO", "checkout", "payment", "latency_ms=", "user="}
	records := make([]Record, n)
	for i := range records {
		var v bytes.Buffer
		for v.Len() < size {
			fmt.Fprintf(&v, "%s%d ", words[rng.IntN(len(words))], rng.IntN(100_000))
		}
		v.Truncate(size)
		records[i] = Record{
			Timestamp: testTime + int64(i%7),
			Key:       fmt.Appendf(nil, "key-%d", i),
			Value:     v.Bytes(),
		}
	}
	return records
}

// oddRecords has every shape that a record can have.
func oddRecords() []Record {
	big := bytes.Repeat([]byte("0123456789abcdef"), 10_000) // larger than a window
	return []Record{
		{Timestamp: testTime},
		{Timestamp: testTime + 5, Key: []byte{}, Value: []byte{}},
		{Timestamp: testTime - 5, Key: []byte("k"), Value: nil},
		{Timestamp: testTime, Value: []byte("v"), Headers: []Header{{Key: []byte("h"), Value: nil}, {Key: []byte{}, Value: []byte{}}, {Key: []byte("h"), Value: []byte("x")}}},
		{Timestamp: testTime + 1<<40, Key: big, Value: big, Headers: []Header{{Key: []byte("big"), Value: big}}},
		{Timestamp: 0, Value: []byte("old")},
	}
}

func mustBuild(t testing.TB, o BatchOptions, records ...Record) Batch {
	t.Helper()
	b, err := BuildBatch(nil, o, records...)
	if err != nil {
		t.Fatalf("build batch: %v", err)
	}
	return Batch(b)
}

func readAll(b Batch) ([]Record, error) {
	r := ReadRecords(b, 0)
	defer r.Close()
	var out []Record
	for r.Next() {
		out = append(out, r.Record().Clone())
	}
	return out, r.Err()
}

// wantRefused checks that err is a refusal with the code want.
func wantRefused(t testing.TB, err error, want *kerr.Error) {
	t.Helper()
	var refused *RefusedError
	if !errors.As(err, &refused) {
		t.Fatalf("got error %v, want a refusal with %s", err, want.Message)
	}
	if refused.Kafka != want {
		t.Fatalf("got %v, want %s", err, want.Message)
	}
}

// reseal writes the length and the CRC of a batch that a test has changed.
func reseal(b Batch) Batch {
	n := len(b) - batchPrefixSize
	b[posLength], b[posLength+1], b[posLength+2], b[posLength+3] = byte(n>>24), byte(n>>16), byte(n>>8), byte(n)
	b.UpdateCRC()
	return b
}

// allocatedBytes is how much f allocates when the pools have what it needs: the race
// detector has them forget some of it.
func allocatedBytes(f func()) uint64 {
	const runs = 5
	f() // fills the pools
	least := uint64(math.MaxUint64)
	var before, after runtime.MemStats
	for range runs {
		runtime.ReadMemStats(&before)
		f()
		runtime.ReadMemStats(&after)
		least = min(least, after.TotalAlloc-before.TotalAlloc)
	}
	return least
}
