package groups

import (
	"bytes"
	"strings"
	"testing"

	"github.com/streamweir/streamweir/cmd/streamweir/internal/position"
)

func TestMove(t *testing.T) {
	b := position.Bounds{Start: 10, End: 20}
	at := func(n int64) *int64 { return &n }
	for _, c := range []struct {
		name    string
		target  Target
		current *int64
		time    int64
		want    int64
		note    string
	}{
		{"earliest", Target{Kind: ToEarliest}, at(15), 0, 10, ""},
		{"latest", Target{Kind: ToLatest}, nil, 0, 20, ""},
		{"current", Target{Kind: ToCurrent}, at(15), 0, 15, ""},
		{"current, trimmed", Target{Kind: ToCurrent}, at(5), 0, 10, "5 is before the start of the log"},
		{"offset", Target{Kind: ToOffset, N: 12}, nil, 0, 12, ""},
		{"offset beyond", Target{Kind: ToOffset, N: 21}, nil, 0, 20, "21 is after the end of the log"},
		{"shift", Target{Kind: ShiftBy, N: -3}, at(15), 0, 12, ""},
		{"shift too far", Target{Kind: ShiftBy, N: 9}, at(15), 0, 20, "24 is after the end of the log"},
		{"time", Target{Kind: ToTime}, at(15), 13, 13, ""},
		{"time, none", Target{Kind: ToTime}, at(15), 20, 20, "no record is so recent: to the end"},
	} {
		m := move(position.Partition{Topic: "t"}, c.target, b, c.current, c.time)
		if m.New == nil || *m.New != c.want || m.Note != c.note {
			t.Errorf("%s: %+v, want %d %q", c.name, m, c.want, c.note)
			continue
		}
		if *m.Lag != b.End-c.want {
			t.Errorf("%s: lag %d", c.name, *m.Lag)
		}
		if c.current != nil && *m.Change != c.want-*c.current {
			t.Errorf("%s: change %d", c.name, *m.Change)
		}
	}
	for _, kind := range []TargetKind{ToCurrent, ShiftBy} {
		if m := move(position.Partition{}, Target{Kind: kind, N: 1}, b, nil, 0); m.New != nil || m.Note == "" {
			t.Errorf("without a committed offset: %+v", m)
		}
	}
}

func TestReadOffsets(t *testing.T) {
	for in, want := range map[string]string{
		"a,0,5\nb,1,6\n":                           "a,0,5\nb,1,6\n",
		"topic,partition,offset\na,0,5":            "a,0,5\n",
		"g,a,0,5\nother,a,0,9\n":                   "a,0,5\n",
		"group,topic,partition,offset\ng,a,0,5\n":  "a,0,5\n",
		"\"a\",\"0\",\"5\"\n":                      "a,0,5\n",
		`[{"topic":"a","partition":0,"offset":5}]`: "a,0,5\n",
		" \n[ ]": "",
		`[{"topic":"a","partition":0,"offset":0,"leader_epoch":3,"metadata":"m"}]`: "a,0,0\n",
	} {
		saved, err := ReadOffsets(strings.NewReader(in), "g")
		if err != nil {
			t.Errorf("%q: %v", in, err)
			continue
		}
		var out bytes.Buffer
		if err := WriteOffsets(&out, saved, CSV); err != nil || out.String() != want {
			t.Errorf("%q reads as %q, %v; want %q", in, out.String(), err, want)
		}
	}
	for in, want := range map[string]string{
		"":                "the file is empty",
		"a,0":             "line 1: it has 2 fields; write topic,partition,offset",
		"a,x,5":           `line 1: "x" is not a partition`,
		"a,0,5\na,0,-1":   "line 2: the offset is missing or negative",
		`[{"topic":"a"}]`: "entry 1: the partition is missing or negative",
		`[{"topic":"a","partition":0,"offset":5}`: "the JSON array is not complete: unexpected end of JSON input",
	} {
		_, err := ReadOffsets(strings.NewReader(in), "g")
		if err == nil || (err.Error() != want && !strings.HasPrefix(want, "the JSON array")) {
			t.Errorf("%q: %v, want %s", in, err, want)
		}
	}
}

func FuzzReadOffsets(f *testing.F) {
	f.Add("a,0,5\nb,1,6\n", "g")
	f.Add("g,a,0,5", "g")
	f.Add(`[{"topic":"a","partition":0,"offset":5,"metadata":"x"}]`, "g")
	f.Fuzz(func(t *testing.T, in, group string) {
		saved, err := ReadOffsets(strings.NewReader(in), group)
		if err != nil {
			return
		}
		// What was read can be written and is read back the same.
		var out bytes.Buffer
		if err := WriteOffsets(&out, saved, JSON); err != nil {
			t.Fatal(err)
		}
		again, err := ReadOffsets(&out, group)
		if err != nil || len(again) != len(saved) {
			t.Fatalf("%d offsets became %d: %v", len(saved), len(again), err)
		}
	})
}

func TestActiveErrorNamesAFewMembers(t *testing.T) {
	e := &ActiveError{Group: "g", State: "Stable"}
	for range 5 {
		e.Members = append(e.Members, Member{ClientID: "c", Host: "/10.0.0.1"})
	}
	const want = `group "g" is active (Stable, 5 members: c at 10.0.0.1, c at 10.0.0.1, c at 10.0.0.1 and 2 more): stop its consumers, or wait for their session to time out, and try again`
	if e.Error() != want {
		t.Errorf("got  %s\nwant %s", e, want)
	}
}

// TestTotalLagClaimsNothingUnknown: during the first rebalance of a group it was 0.
func TestTotalLagClaimsNothingUnknown(t *testing.T) {
	n := func(n int64) *int64 { return &n }
	committed, bare := Partition{Committed: n(3), End: n(10), Lag: n(7)}, Partition{End: n(10)}
	deleted := Partition{Committed: n(3), Error: "no such topic"}
	members := []Member{{MemberID: "m"}}
	for _, c := range []struct {
		d    Description
		want string
	}{
		{Description{Members: members}, "- (nothing is assigned yet, and no partition has a committed offset)"},
		{Description{}, "- (no partition has a committed offset)"},
		{Description{Members: members, Partitions: []Partition{bare, bare}}, "- (no partition has a committed offset)"},
		{Description{Partitions: []Partition{deleted, bare}}, "- (of no partition with a committed offset is the end known)"},
		{Description{Lag: n(7), Partitions: []Partition{committed}}, "7"},
		{Description{Lag: n(0), Partitions: []Partition{{Committed: n(3), End: n(3), Lag: n(0)}}}, "0"},
		{Description{Lag: n(7), Partitions: []Partition{committed, bare, deleted}}, "7, and 1 partition without a committed offset, and 1 partition whose end is not known"},
	} {
		if got := totalLag(&c.d); got != c.want {
			t.Errorf("%+v: %q, want %q", c.d, got, c.want)
		}
	}
}
