package kafka

import (
	"bytes"
	"testing"
)

// A reader passes over large records, with their offsets and timestamps, and reads
// those around them.
func TestReadersPassOverLargeRecords(t *testing.T) {
	for codec := CodecNone; codec <= CodecZstd; codec++ {
		raw, err := BuildBatch(nil, BatchOptions{Codec: codec},
			Record{Timestamp: 100, Key: []byte("k"), Value: []byte("before")},
			Record{Timestamp: 105, Key: []byte("k"), Value: bytes.Repeat([]byte("large"), 1<<20)},
			Record{Timestamp: 103, Value: bytes.Repeat([]byte{'x'}, 1000)},
			Record{Timestamp: 104, Value: []byte("after")},
		)
		if err != nil {
			t.Fatal(err)
		}
		r := ReadRecords(raw, 0)
		r.PassOver(2000)
		had := len(r.win.buf) // another reader's window, which may have grown for that
		for i, want := range []struct {
			timestamp int64
			value     int
			passed    bool
		}{{100, 6, false}, {105, 0, true}, {103, 1000, false}, {104, 5, false}} {
			if !r.Next() {
				t.Fatalf("%v: record %d: %v", codec, i, r.Err())
			}
			rec := r.Record()
			if rec.Offset != int64(i) || rec.Timestamp != want.timestamp || len(rec.Value) != want.value || r.Passed() > 5<<20 != want.passed {
				t.Errorf("%v: record %d: offset %d, time %d, %d bytes, passed %d", codec, i, rec.Offset, rec.Timestamp, len(rec.Value), r.Passed())
			}
		}
		if r.Next() || r.Err() != nil {
			t.Errorf("%v: something follows, or %v", codec, r.Err())
		}
		if got := len(r.win.buf); codec != CodecNone && got > had {
			t.Errorf("%v: the window has grown from %d to %d", codec, had, got)
		}
		r.Close()
	}
}

// A batch that ends in a record that is passed over is malformed.
func TestPassingOverEndsWithTheBatch(t *testing.T) {
	raw, err := BuildBatch(nil, BatchOptions{}, Record{Value: make([]byte, 5000)})
	if err != nil {
		t.Fatal(err)
	}
	r := ReadRecords(raw[:len(raw)-1], 0)
	defer r.Close()
	r.PassOver(2000)
	if r.Next() || r.Err() == nil {
		t.Error("a record that is cut off was passed over")
	}
}
