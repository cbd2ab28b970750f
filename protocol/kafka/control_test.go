package kafka

import (
	"encoding/hex"
	"testing"
)

// The batch that Apache Kafka 4.3.1's MemoryRecords.withEndTransactionMarker
// makes, in its bytes from the attributes' transaction flags to the end.
func TestEndMarkerIsAsInApacheKafka(t *testing.T) {
	for commit, record := range map[bool]string{
		// length 16, attributes, timestamp and offset delta, key of 4: version 0 and
		// type, value of 6: version 0 and coordinator epoch 7, no headers
		false: "200000000800000000" + "0c000000000007" + "00",
		true:  "200000000800000001" + "0c000000000007" + "00",
	} {
		o := BatchOptions{BaseOffset: 5, LeaderEpoch: 2, Producer: &Producer{ID: 9, Epoch: 3, Sequence: 77}}
		raw, err := BuildEndMarker(nil, o, 1000, EndMarker{Commit: commit, CoordinatorEpoch: 7})
		if err != nil {
			t.Fatal(err)
		}
		b := Batch(raw)
		if got := hex.EncodeToString(b.Payload()); got != record {
			t.Errorf("record %s, want %s", got, record)
		}
		if !b.CRCValid() || b.Attributes() != attrTransactional|attrControl || b.ProducerID() != 9 || b.ProducerEpoch() != 3 ||
			b.BaseSequence() != NoSequence || b.NumRecords() != 1 || b.MaxTimestamp() != 1000 || b.BaseOffset() != 5 {
			t.Errorf("header %x", raw[:BatchHeaderSize])
		}
		m, ok, err := ParseEndMarker(b)
		if !ok || err != nil || m != (EndMarker{commit, 7}) {
			t.Errorf("%v, %v, %v", m, ok, err)
		}
	}
}

func control(t testing.TB, key, value []byte) Batch {
	t.Helper()
	b, err := BuildBatch(nil, BatchOptions{Control: true, Transactional: true, Producer: &Producer{ID: 1}}, Record{Key: key, Value: value})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestOtherControlRecords(t *testing.T) {
	value := []byte{0, 0, 0, 0, 0, 5}
	for name, c := range map[string]struct {
		key, value []byte
		ok, bad    bool
	}{
		"later versions":     {[]byte{0, 9, 0, 1, 8, 8}, []byte{0, 9, 0, 0, 0, 5, 7, 7}, true, false},
		"leader change":      {[]byte{0, 0, 0, 2}, value, false, false},
		"unknown type":       {[]byte{0, 0, 255, 255}, value, false, false},
		"no key":             {nil, value, false, true},
		"half a key":         {[]byte{0, 0, 0}, value, false, true},
		"impossible version": {[]byte{255, 255, 0, 1}, value, false, true},
		"no value":           {[]byte{0, 0, 0, 1}, nil, false, true},
		"half a value":       {[]byte{0, 0, 0, 1}, value[:5], false, true},
		"bad value version":  {[]byte{0, 0, 0, 1}, []byte{128, 0, 0, 0, 0, 5}, false, true},
	} {
		m, ok, err := ParseEndMarker(control(t, c.key, c.value))
		if ok != c.ok || (err != nil) != c.bad || ok && m != (EndMarker{true, 5}) {
			t.Errorf("%s: %v, %v, %v", name, m, ok, err)
		}
	}
	// Compaction leaves batches without records.
	empty := control(t, []byte{0, 0, 0, 1}, value)[:BatchHeaderSize]
	empty[posNumRecords+3] = 0
	if _, ok, err := ParseEndMarker(empty); ok || err != nil {
		t.Errorf("empty: %v, %v", ok, err)
	}
}

func FuzzEndMarker(f *testing.F) {
	for _, b := range []Batch{
		control(f, []byte{0, 0, 0, 1}, []byte{0, 0, 0, 0, 0, 5}), control(f, nil, nil),
	} {
		f.Add([]byte(b))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		b, _, err := NextBatch(raw)
		if err != nil || b == nil {
			return
		}
		if m, ok, err := ParseEndMarker(b); ok && err != nil {
			t.Fatalf("%v and %v", m, err)
		}
	})
}
