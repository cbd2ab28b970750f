package workload

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/streamweir/streamweir/integration/history/checker"
)

// Whatever is changed of a record is seen.
func TestValueIsSealed(t *testing.T) {
	id := checker.ID{Writer: 3, Seq: 77}
	make := func(tombstone bool) *kgo.Record {
		r := &kgo.Record{Key: keyOf(4)}
		seal(r, id, 100, tombstone)
		return r
	}
	for _, tombstone := range []bool{false, true} {
		if got, note := open(make(tombstone)); got != id || note != "" {
			t.Errorf("tombstone %v: opened as %v, %s", tombstone, got, note)
		}
	}
	for name, change := range map[string]func(*kgo.Record){
		"a byte of the value":   func(r *kgo.Record) { r.Value[50] ^= 1 },
		"a shorter value":       func(r *kgo.Record) { r.Value = r.Value[:99] },
		"no value":              func(r *kgo.Record) { r.Value = nil },
		"an empty value":        func(r *kgo.Record) { r.Value = []byte{} },
		"another key":           func(r *kgo.Record) { r.Key = keyOf(5) },
		"no key":                func(r *kgo.Record) { r.Key = nil },
		"another number":        func(r *kgo.Record) { r.Headers[0].Value[7]++ },
		"no header":             func(r *kgo.Record) { r.Headers = nil },
		"a header of two":       func(r *kgo.Record) { r.Headers = append(r.Headers, r.Headers[0]) },
		"a shorter header":      func(r *kgo.Record) { r.Headers[0].Value = r.Headers[0].Value[:11] },
		"a value and key moved": func(r *kgo.Record) { r.Key, r.Value = r.Value, r.Key },
	} {
		r := make(false)
		change(r)
		if got, note := open(r); got.Writer != checker.Broken || note == "" {
			t.Errorf("%s: opened as %v, %q", name, got, note)
		}
	}
}

// So is whatever is changed of a record of a stream, through either protocol.
func TestStreamValueIsSealed(t *testing.T) {
	id := checker.ID{Writer: 3, Seq: 77}
	keys := map[string][]byte{"text": []byte("key-4"), "empty": {}, "none": nil, "no text": {0xff, 0xfe, 1}}
	shown := map[string]string{"text": "key-4", "empty": "42", "none": "42", "no text": "//4B"}
	for name, key := range keys {
		sent := &kgo.Record{Key: key}
		sealBoth(sent, id, 100)
		if got, note := open(sent); got != id || note != "" {
			t.Errorf("%s: Kafka shows %v, %s", name, got, note)
		}
		if got, note := openShown(shown[name], sent.Value, 42); got != id || note != "" {
			t.Errorf("%s: Kinesis shows %v, %s", name, got, note)
		}
		for other, key := range shown {
			if got, _ := openShown(key, sent.Value, 42); key != shown[name] && got == id {
				t.Errorf("%s is taken for %s", other, name)
			}
		}
		sent.Headers = nil
		if got, note := open(sent); got.Writer != checker.Broken || note == "" {
			t.Errorf("%s: without its header it is opened as %v, %q", name, got, note)
		}
	}
	put := pack(byPut, id, []byte("key-4"), 100)
	if got, note := open(&kgo.Record{Key: []byte("key-4"), Value: put}); got != id || note != "" || len(put) != 100 {
		t.Errorf("Kafka shows a put as %v, %s", got, note)
	}
	if got, _ := open(&kgo.Record{Key: []byte("key-4"), Value: put, Headers: []kgo.RecordHeader{{Key: "x"}}}); got.Writer != checker.Broken {
		t.Errorf("with a header it is opened as %v", got)
	}
	for i := range put {
		bad := append([]byte(nil), put...)
		bad[i] ^= 1
		if got, note := openShown("key-4", bad, 0); got == id || note == "" {
			t.Errorf("byte %d changed: opened as %v, %q", i, got, note)
		}
		if got, note := openShown("key-4", put[:i], 0); got == id || note == "" {
			t.Errorf("cut to %d bytes: opened as %v, %q", i, got, note)
		}
	}
	if got, note := openShown("key-5", put, 0); got == id || note == "" {
		t.Errorf("another key: opened as %v, %q", got, note)
	}
}
