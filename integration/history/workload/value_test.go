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
