package position

import (
	"reflect"
	"testing"
	"time"
)

func TestParse(t *testing.T) {
	now := time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)
	for text, want := range map[string]Position{
		"beginning": {Kind: Beginning},
		"earliest":  {Kind: Beginning},
		"end":       {Kind: End},
		"latest":    {Kind: End},
		"0":         {Kind: Absolute},
		"42":        {Kind: Absolute, N: 42},
		"-10":       {Kind: BeforeEnd, N: 10},
		"-0":        {Kind: BeforeEnd},
		"@-1h":      {Kind: AtTime, Time: now.Add(-time.Hour)},
	} {
		if got, err := Parse(text, now); err != nil || got != want {
			t.Errorf("Parse(%q) = %+v, %v; want %+v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "+5", "x", "1.5", "@", "--1", "99999999999999999999"} {
		if got, err := Parse(text, now); err == nil {
			t.Errorf("Parse(%q) = %+v; want an error", text, got)
		}
	}
}

func TestParsePartitions(t *testing.T) {
	for text, want := range map[string][]int32{
		"":        nil,
		"0":       {0},
		"3,1-2,2": {1, 2, 3},
		" 0, 5":   {0, 5},
	} {
		if got, err := ParsePartitions(text); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("ParsePartitions(%q) = %v, %v; want %v", text, got, err, want)
		}
	}
	for _, text := range []string{",", "a", "-1", "2-1", "0-2147483647", "2147483648", "1-", "0-99999,200000"} {
		if got, err := ParsePartitions(text); err == nil {
			t.Errorf("ParsePartitions(%q) = %d partitions; want an error", text, len(got))
		}
	}
}

func TestParseSelection(t *testing.T) {
	for text, want := range map[string]Selection{
		"a.b":     {Topic: "a.b"},
		"a:0,2-3": {Topic: "a", Partitions: []int32{0, 2, 3}},
	} {
		if got, err := ParseSelection(text); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("ParseSelection(%q) = %v, %v; want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", ":1", "a:", "a:b", "a:1:2"} {
		if got, err := ParseSelection(text); err == nil {
			t.Errorf("ParseSelection(%q) = %v; want an error", text, got)
		}
	}
}

func TestCeilMilli(t *testing.T) {
	if got := ceilMilli(time.UnixMilli(5).Add(time.Nanosecond)); got != 6 {
		t.Errorf("a time just after 5 ms rounds to %d, want 6: the record of 5 ms is older", got)
	}
	if got := ceilMilli(time.UnixMilli(-5)); got != 0 {
		t.Errorf("a time before 1970 gives %d, want 0: negative timestamps have other meanings", got)
	}
}
