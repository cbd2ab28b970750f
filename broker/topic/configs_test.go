package topic

import (
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/twmb/franz-go/pkg/kerr"
)

// alter makes one change and checks its code.
func alter(t *testing.T, c *Catalogue, want *kerr.Error, ch ConfigChange) {
	t.Helper()
	errs, err := c.AlterConfigs([]ConfigChange{ch}, false)
	if err != nil {
		t.Fatal(err)
	}
	wantCode(t, errs[0], want)
}

func TestIncrementalAlterOfTopics(t *testing.T) {
	set := func(name, value string) ConfigOp { return ConfigOp{name, Set, &value} }
	del := func(name string) ConfigOp { return ConfigOp{name, Delete, nil} }
	add := func(name, value string) ConfigOp { return ConfigOp{name, Append, &value} }
	sub := func(name, value string) ConfigOp { return ConfigOp{name, Subtract, &value} }
	for name, tc := range map[string]struct {
		ops  []ConfigOp
		want *kerr.Error
		then string // "retention.ms cleanup.policy" afterwards, - for unset
	}{
		"nothing":                  {nil, nil, "1000 -"},
		"set":                      {[]ConfigOp{set("retention.ms", "5"), set("cleanup.policy", "compact")}, nil, "5 compact"},
		"delete":                   {[]ConfigOp{del("retention.ms")}, nil, "- -"},
		"delete what is not set":   {[]ConfigOp{del("cleanup.policy")}, nil, "1000 -"},
		"delete an unknown":        {[]ConfigOp{del("no.such")}, nil, "1000 -"},
		"append to the default":    {[]ConfigOp{add("cleanup.policy", "compact")}, nil, "1000 delete,compact"},
		"append what is there":     {[]ConfigOp{add("cleanup.policy", "delete")}, nil, "1000 delete"},
		"append two":               {[]ConfigOp{add("cleanup.policy", "compact,delete")}, nil, "1000 delete,compact"},
		"append with blanks":       {[]ConfigOp{add("cleanup.policy", " compact , delete")}, nil, "1000 delete,compact"},
		"subtract with blanks":     {[]ConfigOp{sub("cleanup.policy", " delete ")}, nil, "1000 "},
		"append twice the same":    {[]ConfigOp{add("cleanup.policy", "compact, compact")}, nil, "1000 delete,compact"},
		"set twice the same":       {[]ConfigOp{set("cleanup.policy", "compact,delete, compact")}, nil, "1000 compact,delete"},
		"subtract from default":    {[]ConfigOp{sub("cleanup.policy", "delete")}, nil, "1000 "},
		"subtract what is absent":  {[]ConfigOp{sub("cleanup.policy", "compact")}, nil, "1000 delete"},
		"append to no list":        {[]ConfigOp{add("retention.ms", "5")}, kerr.InvalidConfig, "1000 -"},
		"subtract from no list":    {[]ConfigOp{sub("retention.ms", "5")}, kerr.InvalidConfig, "1000 -"},
		"append to an unknown":     {[]ConfigOp{add("no.such", "5")}, kerr.InvalidConfig, "1000 -"},
		"append a wrong value":     {[]ConfigOp{add("cleanup.policy", "shred")}, kerr.InvalidConfig, "1000 -"},
		"set an unknown":           {[]ConfigOp{set("no.such", "5")}, kerr.InvalidConfig, "1000 -"},
		"set a wrong value":        {[]ConfigOp{set("retention.ms", "soon")}, kerr.InvalidConfig, "1000 -"},
		"one wrong, none set":      {[]ConfigOp{set("cleanup.policy", "compact"), set("retention.ms", "soon")}, kerr.InvalidConfig, "1000 -"},
		"twice":                    {[]ConfigOp{set("retention.ms", "5"), del("retention.ms")}, kerr.InvalidRequest, "1000 -"},
		"null":                     {[]ConfigOp{{"retention.ms", Set, nil}}, kerr.InvalidRequest, "1000 -"},
		"null append":              {[]ConfigOp{{"cleanup.policy", Append, nil}}, kerr.InvalidRequest, "1000 -"},
		"no such operation":        {[]ConfigOp{{"retention.ms", 4, ptr("5")}}, kerr.InvalidRequest, "1000 -"},
		"too long":                 {[]ConfigOp{set("cleanup.policy", strings.Repeat("x", 32768))}, kerr.InvalidConfig, "1000 -"},
		"lags across the defaults": {[]ConfigOp{set("max.compaction.lag.ms", "5"), set("min.compaction.lag.ms", "6")}, kerr.InvalidConfig, "1000 -"},
	} {
		t.Run(name, func(t *testing.T) {
			meta := newMeta()
			c := open(t, meta)
			mustCreate(t, c, with(plain("a"), "retention.ms", "1000"))
			writes := meta.n
			errs, err := c.AlterConfigs([]ConfigChange{{Resource: Resource{Name: "a"}, Ops: tc.ops}}, true)
			if err != nil || meta.n != writes {
				t.Fatal("validating wrote", err)
			}
			wantCode(t, errs[0], tc.want)
			alter(t, c, tc.want, ConfigChange{Resource: Resource{Name: "a"}, Ops: tc.ops})
			for _, c := range []*Catalogue{c, open(t, meta)} {
				value := func(name string) string {
					if v, ok := c.Topic("a").Configs[name]; ok {
						return v
					}
					return "-"
				}
				if got := value("retention.ms") + " " + value("cleanup.policy"); got != tc.then {
					t.Errorf("got %q, want %q", got, tc.then)
				}
			}
		})
	}
}

// An answer that quotes a client at full length would not fit into the older
// versions of the protocol.
func TestLongInputMakesNoLongMessage(t *testing.T) {
	c := open(t, newMeta())
	mustCreate(t, c, plain("a"))
	long := strings.Repeat("\x00ü", 16000)
	for _, ch := range []ConfigChange{
		{Resource: Resource{Name: "a"}, Ops: []ConfigOp{{"retention.ms", Set, &long}}},
		{Resource: Resource{Name: "a"}, Ops: []ConfigOp{{long, Set, ptr("5")}}},
		{Resource: Resource{Name: long}},
		{Resource: Resource{Broker: true, Name: long}},
		{Resource: Resource{Broker: true}, Ops: []ConfigOp{{long, Append, ptr("5")}}},
	} {
		errs, err := c.AlterConfigs([]ConfigChange{ch}, false)
		var refusal *Error
		if err != nil || !errors.As(errs[0], &refusal) || len(refusal.Detail) > 1100 || !utf8.ValidString(refusal.Detail) {
			t.Errorf("%d bytes", len(refusal.Detail))
		}
	}
}

func TestAlterReplacesTheConfigsOfATopic(t *testing.T) {
	c := open(t, newMeta())
	mustCreate(t, c, with(plain("a"), "retention.ms", "1000", "cleanup.policy", "compact"))
	replace := func(ops ...ConfigOp) ConfigChange {
		return ConfigChange{Resource: Resource{Name: "a"}, Replace: true, Ops: ops}
	}
	alter(t, c, kerr.InvalidConfig, replace(ConfigOp{"retention.ms", Set, ptr("x")}))
	if len(c.Topic("a").Configs) != 2 {
		t.Errorf("a refused change left %v", c.Topic("a").Configs)
	}
	alter(t, c, nil, replace(ConfigOp{"retention.bytes", Set, ptr("7")}))
	if a := c.Topic("a"); len(a.Configs) != 1 || a.Settings.RetentionBytes != 7 || a.Settings.RetentionMs != 604800000 || a.Settings.CleanupCompact {
		t.Errorf("%v %+v", a.Configs, a.Settings)
	}
	alter(t, c, nil, replace())
	if a := c.Topic("a"); len(a.Configs) != 0 {
		t.Errorf("%v", a.Configs)
	}
}

// With any other cleanup policy, also the default that a removed one falls back
// to, retention deleted committed offsets and the state of transactions.
func TestInternalTopicsStayCompacted(t *testing.T) {
	op := func(name string, o Op, value string) ConfigOp { return ConfigOp{name, o, &value} }
	for _, name := range []string{ConsumerOffsets, TransactionState} {
		c := open(t, newMeta())
		if _, err := c.Ensure(name); err != nil {
			t.Fatal(err)
		}
		before := len(c.Topic(name).Configs)
		for i, tc := range []struct {
			replace bool
			op      ConfigOp
			want    *kerr.Error
		}{
			{false, op("cleanup.policy", Set, "delete"), kerr.InvalidConfig},
			{false, op("cleanup.policy", Set, ""), kerr.InvalidConfig},
			{false, op("cleanup.policy", Append, "delete"), kerr.InvalidConfig},
			{false, op("cleanup.policy", Subtract, "compact"), kerr.InvalidConfig},
			{false, ConfigOp{"cleanup.policy", Delete, nil}, kerr.InvalidConfig},
			{true, op("retention.ms", Set, "1"), kerr.InvalidConfig}, // which drops the policy
			{false, op("cleanup.policy", Set, "compact"), nil},
			{false, op("retention.ms", Set, "1"), nil}, // without delete it says nothing
			{false, op("segment.bytes", Set, "2097152"), nil},
		} {
			alter(t, c, tc.want, ConfigChange{Resource: Resource{Name: name}, Replace: tc.replace, Ops: []ConfigOp{tc.op}})
			if s := c.Topic(name).Settings; s.CleanupDelete || !s.CleanupCompact {
				t.Fatalf("%s, change %d: %+v", name, i, s)
			}
		}
		if got := len(c.Topic(name).Configs); got != before+1 {
			t.Errorf("%s has %d configs, had %d", name, got, before)
		}
		alter(t, c, nil, ConfigChange{Resource: Resource{Name: name}, Replace: true, Ops: []ConfigOp{op("cleanup.policy", Set, "compact")}})
	}
	alter(t, open(t, newMeta()), kerr.UnknownTopicOrPartition,
		ConfigChange{Resource: Resource{Name: ConsumerOffsets}, Ops: []ConfigOp{op("cleanup.policy", Set, "delete")}})
}

func TestAlterConfigsOfOddResources(t *testing.T) {
	c := open(t, newMeta())
	mustCreate(t, c, plain("a"))
	ok := []ConfigOp{{"retention.ms", Set, ptr("5")}}
	alter(t, c, kerr.UnknownTopicOrPartition, ConfigChange{Resource: Resource{Name: "b"}, Ops: ok})
	alter(t, c, kerr.InvalidConfig, ConfigChange{Resource: Resource{Name: "b"}, Ops: []ConfigOp{{"x", Set, ptr("5")}}})
	alter(t, c, kerr.InvalidRequest, ConfigChange{Ops: ok})
	alter(t, c, kerr.InvalidTopicException, ConfigChange{Resource: Resource{Name: "a b"}, Ops: ok})
	alter(t, c, kerr.InvalidRequest, ConfigChange{Resource: Resource{Broker: true, Name: "2"}})
	alter(t, c, kerr.InvalidRequest, ConfigChange{Resource: Resource{Broker: true, Name: "one"}})
	errs, err := c.AlterConfigs([]ConfigChange{{Resource: Resource{Name: "a"}, Ops: ok}, {Resource: Resource{Name: "a"}, Ops: ok}, {Resource: Resource{Broker: true}}}, false)
	if err != nil {
		t.Fatal(err)
	}
	wantCode(t, errs[0], kerr.InvalidRequest)
	wantCode(t, errs[1], kerr.InvalidRequest)
	wantCode(t, errs[2], nil)
	if len(c.Topic("a").Configs) != 0 {
		t.Error("a refused change was made")
	}
}

func TestDynamicBrokerConfigs(t *testing.T) {
	meta := newMeta()
	c := open(t, meta, "log.retention.ms=100")
	mustCreate(t, c, plain("follows"))
	mustCreate(t, c, with(plain("own"), "retention.ms", "1"))
	change := func(node, name, value string) ConfigChange {
		return ConfigChange{Resource: Resource{Broker: true, Name: node}, Ops: []ConfigOp{{name, Set, &value}}}
	}
	retention := func(c *Catalogue) [3]int64 {
		return [3]int64{c.Config().RetentionMs(), c.Topic("follows").Settings.RetentionMs, c.Topic("own").Settings.RetentionMs}
	}
	check := func(want [3]int64) {
		t.Helper()
		for _, c := range []*Catalogue{c, open(t, meta, "log.retention.ms=100")} {
			if got := retention(c); got != want {
				t.Errorf("retention of broker and topics %v, want %v", got, want)
			}
		}
	}
	check([3]int64{100, 100, 1})
	alter(t, c, nil, change("", "log.retention.ms", "200"))
	check([3]int64{200, 200, 1})
	alter(t, c, nil, change("1", "log.retention.ms", "300"))
	check([3]int64{300, 300, 1})
	alter(t, c, nil, change("", "log.retention.ms", "250")) // the broker's own wins
	check([3]int64{300, 300, 1})
	alter(t, c, nil, ConfigChange{Resource: Resource{Broker: true, Name: "1"}, Ops: []ConfigOp{{"log.retention.ms", Delete, nil}}})
	check([3]int64{250, 250, 1})
	alter(t, c, nil, ConfigChange{Resource: Resource{Broker: true}, Replace: true})
	check([3]int64{100, 100, 1})
	for key := range meta.m {
		if strings.HasPrefix(key, configPrefix) {
			t.Errorf("%s is left over", key)
		}
	}

	alter(t, c, nil, ConfigChange{Resource: Resource{Broker: true}, Ops: []ConfigOp{{"log.cleanup.policy", Append, ptr("compact")}}})
	if s := c.Topic("follows").Settings; !s.CleanupCompact || !s.CleanupDelete {
		t.Errorf("%+v", s)
	}
	alter(t, c, kerr.InvalidRequest, change("", "node.id", "2"))
	alter(t, c, kerr.InvalidRequest, change("1", "num.partitions", "2"))
	alter(t, c, kerr.InvalidRequest, change("", "log.retention.ms", "soon"))
	alter(t, c, kerr.InvalidRequest, change("", "log.retention.ms", "0"))
	alter(t, c, kerr.InvalidConfig, change("", "no.such.setting", "2"))
	alter(t, c, kerr.InvalidRequest, change("", "message.max.bytes", "200000000"))
	check([3]int64{100, 100, 1})
}
