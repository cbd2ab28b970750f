package lint

import (
	"path"
	"strings"
	"testing"
)

// parse makes one file of the module out of a snippet.
func parse(t *testing.T, name, content string) *sourceFile {
	t.Helper()
	file, err := parseSource(name, []byte(content))
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// The rules themselves: each must catch what it is for and leave its neighbour alone.
func TestImportRulesCatchWhatTheyAreFor(t *testing.T) {
	const ours = module + "/"
	for _, c := range []struct {
		file   string // a directory named "...gen" holds a main package
		imp    string
		broken bool
	}{
		{"protocol/kafka/frame.go", ours + "storage", true},
		{"protocol/kafka/frame_test.go", ours + "broker/partition", true},
		{"protocol/kafka/frame.go", ours + "protocol/aws", false},
		{"protocol/kafka/frame.go", "os", true},
		{"protocol/kafka/frame_test.go", "os", false},
		{"protocol/kafka/frame.go", "github.com/twmb/franz-go/pkg/kmsg", false},
		{"protocol/kafka/frame.go", "github.com/twmb/franz-go/pkg/kgo", true},
		{"protocol/kafka/codesgen/main.go", "os", false},
		{"protocol/kafka/codesgen/main.go", ours + "storage", true},
		{"storage/storage.go", ours + "protocol/kafka", false},
		{"storage/storage.go", ours + "broker", true},
		{"storage/storage.go", ours + "storage/badgerstore", true},
		{"storage/badgerstore/log.go", ours + "storage", false},
		{"storage/badgerstore/log.go", "github.com/dgraph-io/badger/v4", false},
		{"storage/badgerstore/log.go", ours + "storage/memstore", true},
		{"storage/badgerstore/log_test.go", ours + "storage/storagetest", false},
		{"storage/memstore/log.go", "github.com/dgraph-io/badger/v4", true},
		{"broker/broker.go", "github.com/dgraph-io/ristretto/v2/z", true},
		{"cmd/streamweir/main.go", "github.com/dgraph-io/badger/v4", true},
		{"cmd/streamweir/main.go", ours + "storage/badgerstore", false},
		{"cmd/streamweir/main.go", ours + "integration/harness", true},
		{"broker/partition/append.go", ours + "storage", false},
		{"broker/partition/append.go", ours + "storage/memstore", true},
		{"broker/partition/append_test.go", ours + "storage/memstore", false},
		{"broker/partition/append.go", ours + "broker/kafkaapi", true},
		{"broker/kafkaapi/00_produce.go", ours + "broker/partition", false},
		{"broker/kafkaapi/00_produce.go", ours + "broker/kinesisapi", true},
		{"broker/kafkaapi/conn.go", "net", false},
		{"broker/group/machine.go", "net", true},
		{"broker/group/machine.go", "net/http", true},
		{"broker/groups/machine.go", "net", false},
		{"connect/runtime/worker.go", ours + "broker", true},
		{"connect/runtime/worker.go", "github.com/twmb/franz-go/pkg/kgo", false},
		{"serverless/meter.go", ours + "broker/topic", false},
		{"serverless/meter.go", ours + "cmd/streamweir", true},
		{"integration/produce_test.go", ours + "broker", true},
		{"integration/produce_test.go", ours + "integration/harness", false},
		{"integration/bench/compare/kfake.go", "github.com/twmb/franz-go/pkg/kfake", false},
		{"cmd/streamweir/main_test.go", "github.com/twmb/franz-go/pkg/kfake", false},
		{"cmd/streamweir/main.go", "github.com/twmb/franz-go/pkg/kfake", true},
		{"broker/kafkaapi/conn_test.go", "github.com/twmb/franz-go/pkg/kfake", true},
		{"broker/partition/helper.go", "testing", true},
		{"storage/storagetest/suite.go", "testing", false},
		{"broker/broker.go", "log", true},
		{"broker/broker.go", "go.uber.org/zap", false},
	} {
		clause := "package p"
		if strings.HasSuffix(path.Dir(c.file), "gen") {
			clause = "package main"
		}
		file := parse(t, c.file, clause+"\n\nimport _ \""+c.imp+"\"\n")
		found := checkImports([]*sourceFile{file}, importRules, module)
		if (len(found) > 0) != c.broken {
			t.Errorf("%s importing %s: found %v, want broken=%v", c.file, c.imp, found, c.broken)
		}
		for _, f := range found {
			if f.line != 3 || !strings.Contains(f.text, c.imp) {
				t.Errorf("%s importing %s: %v does not say where or what", c.file, c.imp, f)
			}
		}
	}
}

func TestEveryImportRuleHasAReason(t *testing.T) {
	for _, rule := range importRules {
		if rule.why == "" || len(rule.from) == 0 || len(rule.deny) == 0 {
			t.Errorf("rule %+v binds nothing, forbids nothing or gives no reason", rule)
		}
	}
}

func TestUnknownRoomIsFound(t *testing.T) {
	for _, c := range []struct {
		file   string
		broken bool
	}{
		{"util/strings.go", true},
		{"main.go", true},
		{"brokers/x.go", true},
		{"broker/x.go", false},
		{"cmd/streamweir/main.go", false},
	} {
		found := checkRooms([]*sourceFile{parse(t, c.file, "package p\n")}, rooms)
		if (len(found) > 0) != c.broken {
			t.Errorf("%s: found %v, want broken=%v", c.file, found, c.broken)
		}
	}
}

func TestLengthRules(t *testing.T) {
	body := func(n int) string { return strings.Repeat("\tx++\n", n) }
	function := func(lines string) string { return "package p\n\nfunc (s *S[K]) f() {\n" + lines + "}\n" }
	table := "\tfor range []int{\n" + strings.Repeat("\t\t1,\n", 200) + "\t} {\n\t}\n"
	code := "\t_ = []func(){\n\t\tfunc() {\n" + body(200) + "\t\t},\n\t}\n"
	for _, c := range []struct {
		name       string
		content    string
		over, long int
	}{
		{"short", function(body(softFunctionLines)), 0, 0},
		{"above the soft limit", function(body(softFunctionLines + 1)), 0, 1},
		{"at the hard limit", function(body(hardFunctionLines)), 0, 1},
		{"above the hard limit", function(body(hardFunctionLines + 1)), 1, 0},
		{"a table does not count", function(table), 0, 0},
		{"code in a table counts", function(code), 1, 0},
		{"long file", "package p\n" + strings.Repeat("\n", hardFileLines), 1, 0},
		{"file above the soft limit", "package p\n" + strings.Repeat("\n", softFileLines), 0, 1},
		{"generated file", "// Code generated by x. DO NOT EDIT.\n\npackage p\n" + strings.Repeat("\n", hardFileLines), 0, 0},
	} {
		got := checkSizes([]*sourceFile{parse(t, "broker/p.go", c.content)}, nil, nil)
		if len(got.over) != c.over || len(got.long) != c.long {
			t.Errorf("%s: over %v, long %v; want %d and %d", c.name, got.over, got.long, c.over, c.long)
		}
	}

	long := parse(t, "broker/p.go", function(body(hardFunctionLines+1)))
	excepted := map[string]string{"broker/p.go.S.f": "a reason"}
	if got := checkSizes([]*sourceFile{long}, nil, excepted); len(got.over) != 0 || len(got.unused) != 0 {
		t.Errorf("excepted function: over %v, unused %v", got.over, got.unused)
	}
	short := parse(t, "broker/p.go", function(body(1)))
	if got := checkSizes([]*sourceFile{short}, nil, excepted); !got.unused["broker/p.go.S.f"] {
		t.Errorf("an exception that excuses nothing was not found")
	}
}

func TestCallRules(t *testing.T) {
	for _, c := range []struct {
		file, content string
		broken        bool
	}{
		{"broker/a_test.go", "package a\nimport \"time\"\nfunc f() { time.Sleep(1) }\n", true},
		{"broker/a.go", "package a\nimport clock \"time\"\nvar sleep = clock.Sleep\n", true},
		{"broker/a.go", "package a\nimport \"time\"\nvar t = time.NewTimer\n", false},
		{"broker/a.go", "package a\ntype T struct{}\nfunc (T) Sleep() {}\nvar time T\nfunc f() { time.Sleep() }\n", false},
		{"broker/a.go", "package a\nimport \"net\"\nfunc f() { net.Dial(\"tcp\", \"\") }\n", true},
		{"broker/a_test.go", "package a\nimport \"net\"\nfunc f() { net.Dial(\"tcp\", \"\") }\n", false},
		{"broker/a.go", "package a\nimport \"os\"\nfunc f() { os.Exit(1) }\n", true},
		{"integration/harness/main.go", "package a\nimport (\n\"os\"\n\"testing\"\n)\nfunc f(m *testing.M) { os.Exit(m.Run()) }\n", false},
		{"cmd/streamweir/main.go", "package main\nimport \"os\"\nfunc f() { os.Exit(1) }\n", false},
	} {
		found := checkCalls([]*sourceFile{parse(t, c.file, c.content)}, callRules)
		if (len(found) > 0) != c.broken {
			t.Errorf("%s %q: found %v, want broken=%v", c.file, c.content, found, c.broken)
		}
	}
}

func TestFatalIsFound(t *testing.T) {
	for _, c := range []struct {
		file, content string
		broken        bool
	}{
		{"broker/a.go", "package a\nfunc f() { logger.Fatal(\"x\") }\n", true},
		{"broker/a.go", "package a\nfunc f() { logger.Error(\"x\") }\n", false},
		{"cmd/streamweir/main.go", "package main\nfunc f() { logger.Fatal(\"x\") }\n", false},
		{"storage/storagetest/a.go", "package a\nimport \"testing\"\nfunc f(t *testing.T) { t.Fatal(\"x\") }\n", false},
	} {
		found := checkFatal([]*sourceFile{parse(t, c.file, c.content)})
		if (len(found) > 0) != c.broken {
			t.Errorf("%s %q: found %v, want broken=%v", c.file, c.content, found, c.broken)
		}
	}
}

func TestInitAndMissingPackageCommentsAreFound(t *testing.T) {
	initial := parse(t, "broker/a.go", "package a\nfunc init() {}\n")
	if found := checkInit([]*sourceFile{initial}); len(found) != 1 {
		t.Errorf("init: found %v", found)
	}
	method := parse(t, "broker/a.go", "package a\nfunc (T) init() {}\n")
	if found := checkInit([]*sourceFile{method}); len(found) != 0 {
		t.Errorf("a method named init: found %v", found)
	}
	if found := checkPackageDocs([]*sourceFile{initial}); len(found) != 1 {
		t.Errorf("no package comment: found %v", found)
	}
	doc := parse(t, "broker/doc.go", "// Package a is for this.\npackage a\n")
	if found := checkPackageDocs([]*sourceFile{initial, doc}); len(found) != 0 {
		t.Errorf("package comment in another file: found %v", found)
	}
}
