package storage

import (
	"slices"
	"testing"
)

func TestAddEpoch(t *testing.T) {
	type es = []EpochStart
	for _, c := range []struct {
		name   string
		epochs es
		epoch  int32
		start  int64
		want   es
	}{
		{"first", nil, 0, 5, es{{0, 5}}},
		{"none", nil, -1, 5, nil},
		{"higher", es{{1, 0}}, 4, 5, es{{1, 0}, {4, 5}}},
		{"same", es{{4, 0}}, 4, 5, es{{4, 0}}},
		{"lower", es{{4, 0}}, 3, 5, es{{4, 0}}},
		{"nothing was written under the last", es{{1, 0}, {4, 5}}, 6, 5, es{{1, 0}, {6, 5}}},
		{"nothing under any", es{{1, 5}, {4, 5}}, 6, 5, es{{6, 5}}},
	} {
		if got := AddEpoch(slices.Clone(c.epochs), c.epoch, c.start); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

func TestTrimEpochs(t *testing.T) {
	type es = []EpochStart
	all := es{{0, 0}, {2, 10}, {5, 20}}
	for _, c := range []struct {
		start int64
		want  es
	}{
		{0, all}, {5, es{{0, 5}, {2, 10}, {5, 20}}}, {10, all[1:]}, {19, es{{2, 19}, {5, 20}}}, {20, all[2:]}, {99, es{{5, 99}}},
	} {
		if got := TrimEpochs(slices.Clone(all), c.start); !slices.Equal(got, c.want) {
			t.Errorf("trim to %d: %v, want %v", c.start, got, c.want)
		}
	}
}
