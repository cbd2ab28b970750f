package shard

import (
	"fmt"
	"testing"
)

// Shards 0 and 1 begin at 1000; 0 is split into 2 and 3 at 5000, and 3 is merged
// with 1 into 4 at 9000.
func TestSelect(t *testing.T) {
	l := Implicit(2, 1000)
	for _, st := range []struct {
		at   int64
		step Step
	}{
		{5000, Step{Shard: 0, Merge: None, At: HashKey{1, 0}}},
		{9000, Step{Shard: 3, Merge: 1}},
	} {
		next, err := l.Reshard([]Step{st.step}, st.at, func(int32) int64 { return 0 })
		if err != nil {
			t.Fatal(err)
		}
		l = next
	}
	const all = 0 // a horizon before the stream
	for _, tc := range []struct {
		f       Filter
		horizon int64
		want    string
	}{
		{Filter{}, all, "[0 1 2 3 4]"},
		{Filter{Type: FromTrimHorizon}, all, "[0 1 2 3 4]"},
		{Filter{Type: FromTrimHorizon}, 4999, "[0 1 2 3 4]"},
		{Filter{Type: FromTrimHorizon}, 5000, "[1 2 3 4]"},
		{Filter{Type: FromTrimHorizon}, 9000, "[2 4]"},
		{Filter{Type: AfterShardID, Shard: 1}, all, "[2 3 4]"},
		{Filter{Type: AfterShardID, Shard: 7}, all, "[]"},
		{Filter{Type: AfterShardID, Shard: 2}, 9000, "[4]"},
		{Filter{Type: AtLatest}, all, "[2 4]"},
		{Filter{Type: AtTrimHorizon}, all, "[0 1]"},
		{Filter{Type: AtTrimHorizon}, 4999, "[0 1]"},
		{Filter{Type: AtTrimHorizon}, 5000, "[1 2 3]"},
		{Filter{Type: AtTrimHorizon}, 8999, "[1 2 3]"},
		{Filter{Type: AtTrimHorizon}, 9000, "[2 4]"},
		{Filter{Type: AtTimestamp, At: 1}, all, "[0 1]"},
		{Filter{Type: AtTimestamp, At: 4000}, all, "[0 1]"},
		{Filter{Type: AtTimestamp, At: 5000}, all, "[0 1 2 3]"}, // both ends count
		{Filter{Type: AtTimestamp, At: 6000}, all, "[1 2 3]"},
		{Filter{Type: AtTimestamp, At: 4000}, 6000, "[1 2 3]"}, // no earlier than the horizon
		{Filter{Type: AtTimestamp, At: 99999}, all, "[2 4]"},
		{Filter{Type: FromTimestamp, At: 1}, all, "[0 1 2 3 4]"},
		{Filter{Type: FromTimestamp, At: 5001}, all, "[1 2 3 4]"},
		{Filter{Type: FromTimestamp, At: 9001}, all, "[2 4]"},
	} {
		got := []int32{}
		for _, s := range l.Select(tc.f, tc.horizon) {
			got = append(got, s.Index)
		}
		if fmt.Sprint(got) != tc.want {
			t.Errorf("%+v with horizon %d: %v, want %s", tc.f, tc.horizon, got, tc.want)
		}
	}
}
