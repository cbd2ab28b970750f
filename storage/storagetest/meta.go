package storagetest

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/streamweir/streamweir/storage"
)

func testMetaGetApply(t *testing.T, h *harness) {
	want := func(key string, value []byte, ok bool) {
		t.Helper()
		v, got, err := h.meta().Get(key)
		if err != nil || got != ok || !bytes.Equal(v, value) {
			t.Errorf("get %q: %d bytes, %v, %v; want %d bytes, %v", key, len(v), got, err, len(value), ok)
		}
	}
	apply := func(ops ...storage.Op) {
		t.Helper()
		if err := h.meta().Apply(ops...); err != nil {
			t.Fatal(err)
		}
	}
	apply()
	want("a", nil, false)
	big := bytes.Repeat([]byte("streamweir"), 100000)
	apply(storage.Op{Key: "a", Value: []byte("1")}, storage.Op{Key: "b", Value: []byte{}}, storage.Op{Key: "big", Value: big})
	apply(storage.Op{Key: "c", Value: []byte("1")}, storage.Op{Key: "c", Value: []byte("2")}, // the last one counts
		storage.Op{Key: "d", Value: []byte("1")}, storage.Op{Key: "d"},
		storage.Op{Key: "none"})
	check := func() {
		t.Helper()
		want("a", []byte("1"), true)
		want("b", nil, true) // empty, but there
		want("big", big, true)
		want("c", []byte("2"), true)
		want("d", nil, false)
		want("none", nil, false)
	}
	check()
	h.reopen()
	check()
	v, _, _ := h.meta().Get("a")
	v[0] = 'x' // the caller's own
	want("a", []byte("1"), true)
	apply(storage.Op{Key: "a"}, storage.Op{Key: "a", Value: []byte("3")}, storage.Op{Key: "b"})
	want("a", []byte("3"), true)
	want("b", nil, false)
	h.reopen()
	want("a", []byte("3"), true)
	want("b", nil, false)
}

func testMetaScan(t *testing.T, h *harness) {
	var ops []storage.Op
	for i := range 500 {
		ops = append(ops, storage.Op{Key: fmt.Sprintf("topic/%03d", i), Value: []byte{byte(i)}})
	}
	ops = append(ops, storage.Op{Key: "topi", Value: []byte("x")}, storage.Op{Key: "topic0", Value: []byte("x")}, storage.Op{Key: "user/1", Value: []byte("x")})
	if err := h.meta().Apply(ops...); err != nil {
		t.Fatal(err)
	}
	scan := func(prefix string) (keys []string) {
		t.Helper()
		if err := h.meta().Scan(prefix, func(k string, v []byte) error {
			keys = append(keys, k)
			_, _, err := h.meta().Get(k) // fn may call the store
			return err
		}); err != nil {
			t.Fatal(err)
		}
		return keys
	}
	h.reopen()
	if got := scan("topic/"); len(got) != 500 || !slices.IsSorted(got) {
		t.Errorf("scan found %d keys, sorted %v", len(got), slices.IsSorted(got))
	}
	if got := scan(""); len(got) != 503 {
		t.Errorf("scan of all found %d keys", len(got))
	}
	if got := scan("nothing"); len(got) != 0 {
		t.Errorf("scan of nothing found %v", got)
	}
	stop, calls := errors.New("stop"), 0
	if err := h.meta().Scan("topic/", func(string, []byte) error { calls++; return stop }); !errors.Is(err, stop) || calls != 1 {
		t.Errorf("scan went on: %v after %d calls", err, calls)
	}
}

// testMetaConcurrent has writers that each keep two keys equal, and readers
// that must never see them differ.
func testMetaConcurrent(t *testing.T, h *harness) {
	var wg sync.WaitGroup
	for i := range 8 {
		a, b := fmt.Sprintf("pair/%d/a", i), fmt.Sprintf("pair/%d/b", i)
		wg.Add(2)
		finished := make(chan struct{})
		go func() {
			defer wg.Done()
			defer close(finished)
			for k := range 20 {
				v := fmt.Appendf(nil, "%d", k)
				if err := h.meta().Apply(storage.Op{Key: a, Value: v}, storage.Op{Key: b, Value: v}); err != nil {
					t.Error(err)
				}
			}
		}()
		go func() {
			defer wg.Done()
			for {
				select {
				case <-finished:
					return
				default:
				}
				var vs []string
				if err := h.meta().Scan(fmt.Sprintf("pair/%d/", i), func(_ string, v []byte) error { vs = append(vs, string(v)); return nil }); err != nil {
					t.Error(err)
				}
				if len(vs) == 1 || len(vs) == 2 && vs[0] != vs[1] {
					t.Errorf("half of an Apply is visible: %v", vs)
				}
			}
		}()
	}
	wg.Wait()
}
