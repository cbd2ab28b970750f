package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func load(t *testing.T, yaml string, env, set []string) (*Config, []string, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "streamweir.yaml")
	if err := os.WriteFile(path, []byte(yaml), 0o600); err != nil {
		t.Fatal(err)
	}
	return Load(Source{File: path, Environ: env, Set: set})
}

func TestLaterSourcesWin(t *testing.T) {
	c, warnings, err := load(t, `
# how long
log.retention.ms: 1000
log.cleanup.policy: [compact, delete]
num.partitions: 10_0
data.dir: "/var/lib/x"
log.cleaner.min.cleanable.ratio: 0.25
storage.sync: null
log.flush.interval.messages: 5
auto.create.topics.enable: false
`, []string{"PATH=/bin", "STREAMWEIR_NUM_PARTITIONS=7", "STREAMWEIR_STORAGE_SYNC=os"}, []string{"storage.sync=always", "listeners=PLAINTEXT://127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	if c.RetentionMs() != 1000 || len(c.LogCleanupPolicy) != 2 || c.NumPartitions != 7 || c.DataDir != "/var/lib/x" ||
		c.LogCleanerMinCleanableRatio != 0.25 || c.StorageSync != "always" || c.AutoCreateTopicsEnable {
		t.Errorf("got %+v", c)
	}
	if len(warnings) != 1 || !strings.Contains(warnings[0], "log.flush.interval.messages") {
		t.Errorf("warnings: %q", warnings)
	}
	given := c.Given()
	if len(given) != 9 || given["num.partitions"] != "7" || given["log.cleanup.policy"] != "compact,delete" {
		t.Errorf("given: %v", given)
	}
}

// TestByteOrderMark: it made the first setting an unknown one that looked like it.
func TestByteOrderMark(t *testing.T) {
	cfg, _, err := load(t, "\ufeffnum.partitions: 7\n", nil, nil)
	if err != nil || cfg.NumPartitions != 7 {
		t.Errorf("%v", err)
	}
}

func TestLoadErrors(t *testing.T) {
	for name, tc := range map[string]struct {
		yaml     string
		env, set []string
		want     []string
	}{
		"unknown keys name the nearest": {
			yaml: "log.retension.ms: 1\n", env: []string{"STREAMWEIR_NUM_PARTITION=1"}, set: []string{"storage.sink=os"},
			want: []string{"streamweir.yaml:1: unknown setting log.retension.ms: did you mean log.retention.ms?",
				"STREAMWEIR_NUM_PARTITION: unknown setting num.partition: did you mean num.partitions?",
				"--set: unknown setting storage.sink: did you mean storage.sync?"},
		},
		"nothing near":       {set: []string{"xyzzy=1"}, want: []string{"unknown setting xyzzy: docs/configuration.md"}},
		"not a pair":         {set: []string{"storage.sync"}, want: []string{"--set storage.sync: must be of the form KEY=VALUE"}},
		"wrong type":         {yaml: "num.partitions: many", want: []string{`invalid value "many" for num.partitions: must be a whole number`}},
		"out of range":       {yaml: "num.partitions: 0", want: []string{"must be between 1 and"}},
		"too big for int":    {yaml: "num.partitions: 2147483648", want: []string{"must be a whole number between -2147483648 and 2147483647"}},
		"not one of":         {set: []string{"storage.sync=never"}, want: []string{"must be one of always, os"}},
		"nested":             {yaml: "log:\n  retention.ms: 5\n", want: []string{"log: is a mapping: write settings with their full names"}},
		"twice":              {yaml: "num.partitions: 1\nnum.partitions: 2\n", want: []string{"num.partitions"}},
		"not a mapping":      {yaml: "- a\n- b\n", want: []string{"KEY: VALUE"}},
		"not yaml":           {yaml: "a: [1", want: []string{"no valid YAML"}},
		"all errors at once": {yaml: "num.partitions: 0\nmax.groups: 0\n", want: []string{"num.partitions", "max.groups"}},
		"sizes that do not fit": {set: []string{"queued.max.request.bytes=1048576"},
			want: []string{"queued.max.request.bytes (1048576) is below socket.request.max.bytes (104857600)"}},
		"retention of nothing": {set: []string{"log.retention.ms=0"}, want: []string{"log.retention.ms is 0"}},
		"any address": {set: []string{"listeners=PLAINTEXT://0.0.0.0:9092"},
			want: []string{"set advertised.listeners"}},
		"protocol not served": {set: []string{"listeners=SSL://127.0.0.1:9093"}, want: []string{"SSL is not served yet"}},
		"listener form":       {set: []string{"listeners=127.0.0.1:9093"}, want: []string{"NAME://HOST:PORT"}},
		"listener name":       {set: []string{"listeners=FOO://127.0.0.1:9093"}, want: []string{"no protocol for the listener name FOO"}},
		"listener port taken": {set: []string{"listeners=A://127.0.0.1:9093,B://127.0.0.1:9093", "listener.security.protocol.map=A:PLAINTEXT,B:PLAINTEXT"},
			want: []string{"listeners A://127.0.0.1:9093 and B://127.0.0.1:9093 both use port 9093: give each its own"}},
		"listener port taken by every address": {set: []string{"listeners=A://127.0.0.1:9093,B://:9093,C://localhost:9093", "listener.security.protocol.map=A:PLAINTEXT,B:PLAINTEXT,C:PLAINTEXT"},
			want: []string{"A://127.0.0.1:9093 and B://:9093 both use port 9093", "A://127.0.0.1:9093 and C://localhost:9093 both use port 9093"}},
		"the AWS APIs on others' ports": {set: []string{"aws.addr=127.0.0.1:9092"},
			want: []string{"--set: aws.addr (127.0.0.1:9092) and the listener PLAINTEXT://127.0.0.1:9092 both use port 9092: give each its own"}},
		"the AWS APIs on the admin port": {set: []string{"aws.addr=:9644"},
			want: []string{"--set: aws.addr (:9644) and the listener admin.listener://127.0.0.1:9644 both use port 9644: give each its own"}},
		"a port that is none": {set: []string{"aws.addr=127.0.0.1:99999"}, want: []string{`aws.addr: the port of "127.0.0.1:99999" must be between 0 and 65535`}},
		"no port":             {set: []string{"aws.addr=nonsense"}, want: []string{`aws.addr: "nonsense" is not of the form HOST:PORT`}},
		"half of a certificate": {set: []string{"aws.tls.key.file=k.pem"},
			want: []string{"aws.tls.certificate.file and aws.tls.key.file must be given together"}},
		"little memory for requests": {set: []string{"aws.queued.max.bytes=1048576"},
			want: []string{"aws.queued.max.bytes (1048576) is below four times aws.request.max.bytes (16777216)"}},
		"no account": {set: []string{"aws.account.id=12"}, want: []string{"must be 12 digits"}},
		"admin on a listener's port": {set: []string{"admin.listener=127.0.0.1:9092"},
			want: []string{"--set: admin.listener (127.0.0.1:9092) and the listener PLAINTEXT://127.0.0.1:9092 both use port 9092: give each its own"}},
		"all errors of all kinds at once": {
			yaml: "num.partitions: 0\nmessage.max.bytes: 200000000\nlog.retention.ms: 0\n",
			env:  []string{"STREAMWEIR_ADMIN_LISTENER=9644"},
			set:  []string{"no.such=1", "listeners=A://h:1,PLAINTEXT://h:x,nonsense", "advertised.listeners=PLAINTEXT://0.0.0.0:1", "max.connections.per.ip.overrides=x"},
			want: []string{"streamweir.yaml:1: invalid value \"0\" for num.partitions",
				"streamweir.yaml:2: message.max.bytes (200000000) is above socket.request.max.bytes (104857600)",
				"streamweir.yaml:3: log.retention.ms is 0", `STREAMWEIR_ADMIN_LISTENER: admin.listener: "9644" is not of the form`,
				"--set: unknown setting no.such", "--set: listeners: listener.security.protocol.map has no protocol for the listener name A", `the port of "PLAINTEXT://h:x" must be`,
				`--set: listeners: "nonsense" is not of the form NAME://HOST:PORT`, "names no host that a client can connect to", "max.connections.per.ip.overrides"}},

		"advertised misses one": {set: []string{"advertised.listeners=SSL://a:1"}, want: []string{"no entry for listener PLAINTEXT"}},
		"advertised any":        {set: []string{"advertised.listeners=PLAINTEXT://:1"}, want: []string{"names no host"}},
		"per ip overrides":      {set: []string{"max.connections.per.ip.overrides=host:3"}, want: []string{"ADDRESS:COUNT"}},
		"no file":               {},
	} {
		t.Run(name, func(t *testing.T) {
			var err error
			if name == "no file" {
				_, _, err = Load(Source{File: filepath.Join(t.TempDir(), "none")})
			} else {
				_, _, err = load(t, tc.yaml, tc.env, tc.set)
			}
			if err == nil {
				t.Fatal("no error")
			}
			for _, w := range tc.want {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("%q\nhas no %q", err, w)
				}
			}
		})
	}
}

// What a wrong value would have changed is not judged by the default in its place.
func TestErrorsDoNotFollowFromErrors(t *testing.T) {
	_, _, err := load(t, "queued.max.request.bytes: much\nsocket.request.max.bytes: 500000000\nlisteners: [127.0.0.1]\n", nil, nil)
	if err == nil || strings.Count(err.Error(), "\n") != 1 || !strings.Contains(err.Error(), "queued.max.request.bytes: must be a whole number") {
		t.Errorf("%v", err)
	}
}

// --set beat the flag for the same setting, silently.
func TestFlagsAndSetOfTheSameSetting(t *testing.T) {
	flags := []Flag{{"--kafka-addr", "listeners", "PLAINTEXT://127.0.0.1:7000"}, {"--data-dir", "data.dir", "/d"}}
	c, _, err := Load(Source{Environ: []string{"STREAMWEIR_DATA_DIR=/e"}, Flags: flags, Set: []string{"num.partitions=3"}})
	if err != nil || c.DataDir != "/d" || c.Listeners[0] != "PLAINTEXT://127.0.0.1:7000" {
		t.Fatalf("%+v, %v", c, err)
	}
	_, _, err = Load(Source{Flags: flags, Set: []string{"listeners=PLAINTEXT://127.0.0.1:7001", " data.dir =/d"}})
	for _, want := range []string{"--kafka-addr and --set listeners are the same setting: give one of them", "--data-dir and --set data.dir are the same"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	flags[0].Value = "PLAINTEXT://7000"
	if _, _, err = Load(Source{Flags: flags}); err == nil || !strings.HasPrefix(err.Error(), `--kafka-addr: listeners: "PLAINTEXT://7000" is not of the form`) {
		t.Errorf("%v", err)
	}
}

func TestKubernetesServiceLinksAreNoSettings(t *testing.T) {
	_, _, err := Load(Source{Environ: []string{
		"STREAMWEIR_SERVICE_HOST=10.0.0.1", "STREAMWEIR_SERVICE_PORT=9092", "STREAMWEIR_SERVICE_PORT_KAFKA=9092",
		"STREAMWEIR_PORT=tcp://10.0.0.1:9092", "STREAMWEIR_PORT_9092_TCP=x", "STREAMWEIR_PORT_9092_TCP_ADDR=x",
		"STREAMWEIR_HEADLESS_SERVICE_HOST=10.0.0.2",
	}})
	if err != nil {
		t.Error(err)
	}
}

func TestListeners(t *testing.T) {
	c, _, err := Load(Source{Set: []string{
		"listeners=internal://127.0.0.1:0, EXTERNAL://[::1]:9094,ANY://:9095,FOUR://127.0.0.1:9094",
		"listener.security.protocol.map=INTERNAL:PLAINTEXT,EXTERNAL:PLAINTEXT,any:plaintext,FOUR:PLAINTEXT",
		"advertised.listeners=ANY://broker.example:19095,INTERNAL://127.0.0.1:0,EXTERNAL://[::1]:9094,FOUR://127.0.0.1:9094",
		"max.connections.per.ip.overrides=127.0.0.1:3, [0:0::1]:4",
	}})
	if err != nil {
		t.Fatal(err)
	}
	ls, _ := c.ListenerSpecs()
	as, _ := c.AdvertisedSpecs()
	for i, want := range []struct{ l, a string }{
		{"INTERNAL://127.0.0.1:0", "INTERNAL://127.0.0.1:0"},
		{"EXTERNAL://[::1]:9094", "EXTERNAL://[::1]:9094"},
		{"ANY://:9095", "ANY://broker.example:19095"},
	} {
		if ls[i].String() != want.l || as[i].String() != want.a || ls[i].Protocol != Plaintext {
			t.Errorf("%d: %s, advertised %s", i, ls[i], as[i])
		}
	}
	per, err := c.ConnectionsPerIP()
	if err != nil || per["127.0.0.1"] != 3 || per["::1"] != 4 {
		t.Errorf("%v %v", per, err)
	}
}

func FuzzYAML(f *testing.F) {
	f.Add("log.retention.ms: 1\nlog.cleanup.policy: [compact, delete]\n")
	f.Add("a: &x 1\nb: *x\n")
	f.Add("? a\n: b\n---\n- c")
	f.Fuzz(func(t *testing.T, text string) {
		c := Default()
		_ = readYAML("f", []byte(text), func(_, name, value string) {
			_ = c.give(name, value, new([]string))
		})
		for name, text := range c.Given() { // what was taken is canonical
			again, err := Lookup(name).Canonical(text)
			if err != nil || again != text {
				t.Errorf("%s: %q becomes %q, %v", name, text, again, err)
			}
		}
	})
}
