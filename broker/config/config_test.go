package config

import (
	"strings"
	"testing"
)

func TestEveryFieldHasItsKey(t *testing.T) {
	for name := range fields() {
		if Lookup(name) == nil {
			t.Errorf("the field for %s has no definition", name)
		}
	}
	seen := map[string]bool{}
	for _, k := range Keys() {
		if seen[k.Name] {
			t.Errorf("%s is defined twice", k.Name)
		}
		seen[k.Name] = true
		if _, bound := fields()[k.Name]; !bound && (k.Effect == Works || k.Ours) {
			t.Errorf("%s is said to work, but no field holds it", k.Name)
		}
		if k.Doc == "" {
			t.Errorf("%s has no documentation", k.Name)
		}
		if !k.Null {
			canonical, err := k.Canonical(k.Default)
			if err != nil || canonical != k.Default {
				t.Errorf("%s: default %q becomes %q, %v", k.Name, k.Default, canonical, err)
			}
		}
	}
}

func TestDefaultIsValid(t *testing.T) {
	c := Default()
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"message.max.bytes": "10485760", "socket.request.max.bytes": "104857600", "fetch.max.bytes": "57671680",
		"auto.create.topics.enable": "true", "log.cleaner.min.cleanable.ratio": "0.5", "log.cleanup.policy": "delete",
		"offsets.topic.num.partitions": "50", "group.initial.rebalance.delay.ms": "3000",
	} {
		if got, ok := c.Text(name); !ok || got != want {
			t.Errorf("%s: %q, %v; want %q", name, got, ok, want)
		}
	}
	for _, name := range []string{"log.retention.ms", "advertised.listeners", "no.such.setting"} {
		if got, ok := c.Text(name); ok {
			t.Errorf("%s has the value %q", name, got)
		}
	}
	if len(c.Given()) != 0 {
		t.Errorf("given: %v", c.Given())
	}
}

func TestRetentionAndRollTakeTheFirstThatIsSet(t *testing.T) {
	for _, tc := range []struct {
		over      map[string]string
		retention int64
		roll      int64
	}{
		{nil, 7 * 24 * 3600_000, 7 * 24 * 3600_000},
		{map[string]string{"log.retention.hours": "1", "log.roll.hours": "2"}, 3600_000, 7200_000},
		{map[string]string{"log.retention.hours": "1", "log.retention.minutes": "1"}, 60_000, 7 * 24 * 3600_000},
		{map[string]string{"log.retention.ms": "5", "log.retention.minutes": "1", "log.roll.ms": "9"}, 5, 9},
		{map[string]string{"log.retention.hours": "-1"}, -1, 7 * 24 * 3600_000},
		{map[string]string{"log.retention.ms": "-1"}, -1, 7 * 24 * 3600_000},
	} {
		c, err := Default().With(tc.over)
		if err != nil {
			t.Fatal(err)
		}
		if c.RetentionMs() != tc.retention || c.SegmentMs() != tc.roll {
			t.Errorf("%v: retention %d, roll %d", tc.over, c.RetentionMs(), c.SegmentMs())
		}
	}
}

func TestWithLeavesTheOriginal(t *testing.T) {
	c, _, err := Load(Source{Set: []string{"num.partitions=3"}})
	if err != nil {
		t.Fatal(err)
	}
	d, err := c.With(map[string]string{"num.partitions": " 4 ", "log.retention.ms": "9"})
	if err != nil {
		t.Fatal(err)
	}
	if c.NumPartitions != 3 || c.LogRetentionMs != nil || d.NumPartitions != 4 || *d.LogRetentionMs != 9 {
		t.Errorf("%d %v, %d %v", c.NumPartitions, c.LogRetentionMs, d.NumPartitions, d.LogRetentionMs)
	}
	if d.Given()["num.partitions"] != "3" {
		t.Errorf("given changed: %v", d.Given())
	}
	if _, err := c.With(map[string]string{"num.partitions": "0"}); err == nil {
		t.Error("took a wrong value")
	}
	if _, err := c.With(map[string]string{"num.partition": "1"}); err == nil {
		t.Error("took an unknown name")
	}
}

func TestParse(t *testing.T) {
	level := &Key{Name: "x", Type: Int, Check: GzipLevel()}
	policy := &Key{Name: "x", Type: List, Check: SomeOf("compact", "delete")}
	for _, tc := range []struct {
		key  *Key
		in   string
		want string
		bad  bool
	}{
		{key: level, in: " -1 ", want: "-1"}, {key: level, in: "0", bad: true}, {key: level, in: "10", bad: true},
		{key: level, in: "+5", want: "5"}, {key: level, in: "", bad: true}, {key: level, in: "1.0", bad: true},
		{key: policy, in: "", want: ""}, {key: policy, in: "delete , compact", want: "delete,compact"},
		{key: policy, in: "delete, delete,compact", want: "delete,compact"}, {key: policy, in: "Delete", bad: true}, {key: policy, in: "delete,", bad: true},
		{key: &Key{Type: Boolean}, in: "TRUE", want: "true"}, {key: &Key{Type: Boolean}, in: "yes", bad: true},
		{key: &Key{Type: Double}, in: "1", want: "1.0"}, {key: &Key{Type: Double}, in: "0", want: "0.0"},
		{key: &Key{Type: Double}, in: "1e7", want: "1.0E7"}, {key: &Key{Type: Double}, in: "-0.00025", want: "-2.5E-4"}, {key: &Key{Type: Double}, in: "NaN", bad: true},
		{key: &Key{Type: Short}, in: "32767", want: "32767"}, {key: &Key{Type: Short}, in: "32768", bad: true},
		{key: &Key{Type: Long}, in: "9223372036854775807", want: "9223372036854775807"}, {key: &Key{Type: Long}, in: "9223372036854775808", bad: true},
		{key: &Key{Type: String, Check: NonEmpty()}, in: " ", bad: true}, {key: &Key{Type: Password}, in: "s", want: "s"},
	} {
		got, err := tc.key.Canonical(tc.in)
		if (err != nil) != tc.bad || got != tc.want {
			t.Errorf("%s %q: %q, %v", tc.key.Type, tc.in, got, err)
		}
	}
	if _, err := (&Key{Name: "long", Type: String}).Parse(strings.Repeat("x", 32768)); err == nil || len(err.Error()) > 200 {
		t.Error(err)
	}
	_, err := (&Key{Name: "secret", Type: Password, Check: OneOf("a")}).Parse("hunter2")
	if err == nil || err.Error() != "invalid value (hidden) for secret: must be one of a" {
		t.Error(err)
	}
}
