package storagetest

import (
	"bytes"
	"errors"
	"flag"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/streamweir/streamweir/storage"
)

// model is the simplest log that keeps the promises.
type model struct {
	start, end int64
	batches    []storage.BatchInfo
	epochs     []storage.EpochStart
	states     map[string]int64
}

func (m *model) trim(to int64) {
	to = min(to, m.end)
	if to <= m.start {
		return
	}
	m.start = to
	m.batches = slices.DeleteFunc(m.batches, func(b storage.BatchInfo) bool { return b.LastOffset < to })
	m.epochs = storage.TrimEpochs(m.epochs, to)
}

// fewerChecks lowers rapid's default for stores that are opened many times in a
// check; a number given on the command line stands.
func fewerChecks(t *testing.T) (restore func()) {
	const defaultChecks, durableChecks = "100", "25"
	f := flag.Lookup("rapid.checks")
	if f == nil || f.Value.String() != defaultChecks {
		return func() {}
	}
	set := func(v string) {
		if err := f.Value.Set(v); err != nil {
			t.Error(err)
		}
	}
	set(durableChecks)
	return func() { set(defaultChecks) }
}

// testModel does random things to a store and to the model, and compares them
// after each.
func testModel(t *testing.T, outer *harness) {
	if outer.f.Durable {
		defer fewerChecks(t)()
	}
	rapid.Check(t, func(rt *rapid.T) {
		h := &harness{T: t, f: outer.f, dir: t.TempDir()}
		h.open()
		defer h.close()
		models := map[storage.Partition]*model{}
		ps := []storage.Partition{part(1, 0), part(1, 1), part(2, 0)}
		var term uint64
		get := func(p storage.Partition) *model {
			if models[p] == nil {
				models[p] = &model{states: map[string]int64{}}
			}
			return models[p]
		}
		partition := rapid.SampledFrom(ps)
		actions := map[string]func(*rapid.T){
			"append": func(rt *rapid.T) {
				p := partition.Draw(rt, "partition")
				appendToBoth(rt, h, p, get(p), &term)
			},
			"trim": func(rt *rapid.T) {
				p := partition.Draw(rt, "partition")
				m := get(p)
				to := rapid.Int64Range(m.start-2, m.end+2).Draw(rt, "to")
				if err := h.log().Trim(p, to); err != nil {
					rt.Fatalf("trim: %v", err)
				}
				m.trim(to)
			},
			"replace": func(rt *rapid.T) {
				p := partition.Draw(rt, "partition")
				replaceInBoth(rt, h, p, get(p))
			},
			"drop": func(rt *rapid.T) {
				p := partition.Draw(rt, "partition")
				if err := h.log().Drop(p); err != nil {
					rt.Fatalf("drop: %v", err)
				}
				delete(models, p)
			},
			"save": func(rt *rapid.T) {
				p := partition.Draw(rt, "partition")
				name := rapid.SampledFrom([]string{"a", "ab"}).Draw(rt, "name")
				offset := rapid.Int64Range(0, 1000).Draw(rt, "offset")
				if err := h.log().SaveState(p, name, storage.State{Offset: offset, Data: []byte(name)}); err != nil {
					rt.Fatalf("save: %v", err)
				}
				get(p).states[name] = offset
			},
			"read": func(rt *rapid.T) {
				p := partition.Draw(rt, "partition")
				readFromBoth(rt, h, p, get(p))
			},
			"": func(rt *rapid.T) {
				for _, p := range ps {
					compare(rt, h, p, get(p))
				}
			},
		}
		if h.f.Durable {
			actions["reopen"] = func(*rapid.T) { h.reopen() }
		}
		rt.Repeat(actions)
	})
}

func appendToBoth(rt *rapid.T, h *harness, p storage.Partition, m *model, term *uint64) {
	n := rapid.IntRange(1, 40).Draw(rt, "batches")
	specs := make([]spec, n)
	base := m.end
	for i := range specs {
		if rapid.IntRange(0, 9).Draw(rt, "gap") == 0 {
			base += 3
		}
		specs[i] = spec{
			base: base, records: rapid.Int64Range(1, 5).Draw(rt, "records"),
			size: rapid.SampledFrom([]int32{61, 300, 1500, 40000}).Draw(rt, "size"),
			ts:   rapid.Int64Range(-1, 50).Draw(rt, "timestamp"),
			// Mostly the same epoch, sometimes a higher or an older one.
			epoch: rapid.SampledFrom([]int32{1, 1, 1, 1, 2, 3, 9, -1}).Draw(rt, "epoch"),
			term:  *term,
		}
		base += specs[i].records
	}
	fails := -1
	if rapid.IntRange(0, 5).Draw(rt, "fails") == 0 {
		fails = rapid.IntRange(0, n-1).Draw(rt, "failing batch")
	}
	w := newWaiter()
	as := make([]*storage.Append, n)
	for i, s := range specs {
		as[i] = w.make(p, s)
		if i == fails {
			as[i].Info.Size++
		}
	}
	h.log().Append(as...)
	for i, err := range w.wait(h, as...) {
		switch {
		case fails >= 0 && i == fails:
			if !errors.Is(err, storage.ErrOutOfRange) {
				rt.Fatalf("append that contradicts itself: %v", err)
			}
			*term++
		case fails >= 0 && i > fails:
			if !errors.Is(err, storage.ErrTerm) {
				rt.Fatalf("append after a failed one: %v", err)
			}
		case err != nil:
			rt.Fatalf("append: %v", err)
		default:
			s := specs[i]
			m.batches = append(m.batches, s.info())
			m.end = s.info().LastOffset + 1
			m.epochs = storage.AddEpoch(m.epochs, s.epoch, s.base)
		}
	}
}

func readFromBoth(rt *rapid.T, h *harness, p storage.Partition, m *model) {
	if len(m.batches) == 0 {
		return
	}
	i := rapid.IntRange(0, len(m.batches)-1).Draw(rt, "batch")
	skip := rapid.Int32Range(0, m.batches[i].Size).Draw(rt, "skip")
	dst := make([]byte, rapid.IntRange(0, 200000).Draw(rt, "bytes"))
	n, err := h.log().Read(p, storage.Position{Base: m.batches[i].BaseOffset, Skip: skip}, dst)
	want := bytesOf(p, m.batches[i:])[skip:]
	want = want[:min(len(want), len(dst))]
	if err != nil || !bytes.Equal(dst[:n], want) {
		rt.Fatalf("read at %d+%d: %d bytes, %v; want %d bytes", m.batches[i].BaseOffset, skip, n, err, len(want))
	}
}

func compare(rt *rapid.T, h *harness, p storage.Partition, m *model) {
	if s, e := h.log().Bounds(p); s != m.start || e != m.end {
		rt.Fatalf("bounds of %s are %d..%d, want %d..%d", p, s, e, m.start, m.end)
	}
	if got := h.batches(p, 0); !slices.Equal(got, m.batches) {
		rt.Fatalf("batches of %s: %s, want %s", p, abbreviate(got), abbreviate(m.batches))
	}
	if got := h.log().Epochs(p); !slices.Equal(got, m.epochs) {
		rt.Fatalf("epochs of %s: %v, want %v", p, got, m.epochs)
	}
	h.wantSegments(p, m.batches)
	if h.Failed() {
		rt.Fatalf("segments of %s", p)
	}
	for _, name := range []string{"a", "ab"} {
		st, ok, err := h.log().LoadState(p, name)
		want, has := m.states[name]
		if err != nil || ok != has || st.Offset != want {
			rt.Fatalf("state %s of %s: %+v, %v, %v; want %d, %v", name, p, st, ok, err, want, has)
		}
	}
}
