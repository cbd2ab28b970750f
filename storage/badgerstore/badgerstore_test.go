package badgerstore

import (
	"testing"

	"github.com/streamweir/streamweir/storage"
	"github.com/streamweir/streamweir/storage/storagetest"
)

func mustOpen(t testing.TB, o Options) *Store {
	t.Helper()
	s, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestConformance(t *testing.T) {
	for _, c := range []struct {
		name string
		opts Options
	}{
		{"os", Options{}},
		{"always", Options{SyncAlways: true}},
		{"small", Options{MemtableBytes: 256 << 10, ValueLogFileBytes: 12 << 20, MaxGroupBatches: 7, MaxGroupBytes: 64 << 10, PlacesBytes: 4 << 10}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			storagetest.Run(t, storagetest.Factory{
				Open: func(t testing.TB, dir string) storage.Store {
					o := c.opts
					o.Dir, o.SegmentBatches = dir, 100
					return mustOpen(t, o)
				},
				Durable:        true,
				SegmentBatches: 100, Merges: true,
			})
		})
	}
}
