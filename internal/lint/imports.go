package lint

import "strings"

// importRule forbids imports to one part of the tree.
type importRule struct {
	from   []string // directories the rule binds, with all below them
	except []string // directories below them that it does not bind
	deny   []string // import paths that are forbidden with all below them; "./x" is x in this module
	allow  []string // import paths below deny that are allowed all the same
	tests  bool     // the rule binds _test.go files too
	mains  bool     // the rule binds main packages too; without it, generators may stand beside what they make
	why    string
}

// rooms are the top-level directories that may hold Go files. A new one is a
// decision about the design: it gets its import rules in the same commit.
var rooms = []string{"broker", "cmd", "connect", "integration", "internal", "protocol", "serverless", "storage"}

// importRules say who may import whom. The order of the rooms is
// protocol <- storage <- broker <- serverless <- cmd; connect stands beside them.
var importRules = []importRule{
	{
		from:  []string{"protocol"},
		deny:  []string{"."},
		allow: []string{"./protocol"},
		tests: true,
		mains: true,
		why:   "protocol turns bytes into typed requests and back; state and rules are not its business, so anyone can use it and fuzz it alone",
	},
	{
		from:  []string{"protocol"},
		deny:  []string{"os", "net", "net/http/httptest", "os/exec"},
		allow: []string{"net/url", "net/textproto", "net/netip"},
		why:   "protocol has no disk and no connections: it works on buffers that the caller owns",
	},
	{
		from:  []string{"storage"},
		deny:  []string{"."},
		allow: []string{"./protocol", "./storage"},
		tests: true,
		mains: true,
		why:   "a store holds batches and metadata; it must not know who asks for them, or another store could not take its place",
	},
	{
		from:   []string{"storage"},
		except: []string{"storage/badgerstore", "storage/memstore", "storage/storagetest"},
		deny:   []string{"./storage/badgerstore", "./storage/memstore", "./storage/storagetest"},
		tests:  true,
		mains:  true,
		why:    "the promise of a store must not lean on one implementation of it",
	},
	{
		from:  []string{"storage/badgerstore"},
		deny:  []string{"./storage/memstore"},
		mains: true,
		why:   "implementations of a store stand beside each other; what two need goes into a package of its own",
	},
	{
		from:   []string{"."},
		except: []string{"cmd/streamweir/internal/server", "storage/faultstore"},
		deny:   []string{"./storage/faultstore"},
		tests:  true,
		mains:  true,
		why:    "a store that lies has one place where it is put in, and only builds with the tag faults have that",
	},
	{
		from:  []string{"storage/memstore"},
		deny:  []string{"./storage/badgerstore"},
		tests: true,
		mains: true,
		why:   "implementations of a store stand beside each other; what two need goes into a package of its own",
	},
	{
		from:   []string{"."},
		except: []string{"storage/badgerstore"},
		deny:   []string{"github.com/dgraph-io"},
		tests:  true,
		mains:  true,
		why:    "no code above storage sees a Badger type, or the next storage engine would mean changes everywhere",
	},
	{
		from:  []string{"broker"},
		deny:  []string{"."},
		allow: []string{"./protocol", "./storage", "./broker"},
		tests: true,
		mains: true,
		why:   "broker is the core: it knows the log and the wire's types, and nobody who uses it",
	},
	{
		from:  []string{"broker"},
		deny:  []string{"./storage/badgerstore", "./storage/memstore", "./storage/storagetest", "./storage/faultstore"},
		mains: true,
		why:   "broker works on what storage promises; which store it gets is wired in cmd (its tests may take one)",
	},
	{
		from:   []string{"broker"},
		except: []string{"broker/kafkaapi", "broker/kinesisapi"},
		deny:   []string{"./broker/kafkaapi", "./broker/kinesisapi"},
		tests:  true,
		mains:  true,
		why:    "a front calls the core; the core never calls a front, or the two protocols could not share it",
	},
	{
		from:  []string{"broker/kafkaapi"},
		deny:  []string{"./broker/kinesisapi"},
		mains: true,
		why:   "the two fronts meet in the core only",
	},
	{
		from:  []string{"broker/kinesisapi"},
		deny:  []string{"./broker/kafkaapi"},
		mains: true,
		why:   "the two fronts meet in the core only",
	},
	{
		from:   []string{"broker/group", "broker/txn", "broker/coordinator"},
		except: []string{"broker/coordinator/coordinatortest"},
		deny:   []string{"net", "os", "syscall"},
		mains:  true,
		why:    "coordinators are state machines: events in, actions out; input and output happen at their edges, elsewhere",
	},
	{
		from:  []string{"broker/group"},
		deny:  []string{"./broker/txn"},
		tests: true,
		mains: true,
		why:   "coordinators stand beside each other; what two need goes into broker/coordinator",
	},
	{
		from:  []string{"broker/txn"},
		deny:  []string{"./broker/group"},
		tests: true,
		mains: true,
		why:   "coordinators stand beside each other; what two need goes into broker/coordinator",
	},
	{
		from:   []string{"."},
		except: []string{"broker/coordinator/coordinatortest"},
		deny:   []string{"./broker/coordinator/coordinatortest"},
		mains:  true,
		why:    "a clock that stands still and the playing of transcripts are for tests",
	},
	{
		from:  []string{"broker/coordinator"},
		deny:  []string{"./broker"},
		allow: []string{"./broker/coordinator"},
		tests: true,
		mains: true,
		why:   "what the coordinators share knows none of them, or a change to one would reach the others through it",
	},
	{
		from: []string{"protocol", "storage", "broker"},
		deny: []string{
			"github.com/twmb/franz-go/pkg/kgo", "github.com/twmb/franz-go/pkg/kadm", "github.com/twmb/franz-go/pkg/kfake",
		},
		mains: true,
		why:   "a broker is no client: what it needs of the wire is in kmsg and protocol/kafka",
	},
	{
		from:  []string{"connect"},
		deny:  []string{"."},
		allow: []string{"./protocol", "./connect"},
		tests: true,
		mains: true,
		why:   "the worker reaches a broker through a Kafka client only, so that it runs against any Kafka cluster",
	},
	{
		from:  []string{"serverless"},
		deny:  []string{"."},
		allow: []string{"./protocol", "./storage", "./broker", "./serverless"},
		tests: true,
		mains: true,
		why:   "capacity and metering stand on the broker and are wired in cmd",
	},
	{
		from:  []string{"cmd"},
		deny:  []string{"./integration", "./internal/lint"},
		tests: true,
		mains: true,
		why:   "what is shipped holds no test code",
	},
	{
		from:  []string{"integration"},
		deny:  []string{"."},
		allow: []string{"./integration"},
		tests: true,
		mains: true,
		why:   "integration drives the built binary as a user does; reaching into it would test something else",
	},
	{
		from:   []string{"."},
		except: []string{"integration"},
		deny:   []string{"./integration"},
		tests:  true,
		mains:  true,
		why:    "integration's helpers belong to integration",
	},
	{
		from:   []string{"."},
		except: []string{"integration"},
		deny:   []string{"github.com/twmb/franz-go/pkg/kfake"},
		mains:  true,
		why:    "another broker must not be linked into the binary; tests of the client commands, which work with any broker, may ask it",
	},
	{
		from:   []string{"."},
		except: []string{"integration", "cmd/streamweir"},
		deny:   []string{"github.com/twmb/franz-go/pkg/kfake"},
		tests:  true,
		mains:  true,
		why:    "what our broker answers is not tested against somebody else's",
	},
	{
		from:   []string{"."},
		except: []string{"storage/storagetest", "broker/coordinator/coordinatortest", "integration"},
		deny:   []string{"testing"},
		mains:  true,
		why:    "only tests, and suites and helpers that only tests call, import testing; it would add its flags to the binary",
	},
	{
		from:  []string{"."},
		deny:  []string{"github.com/sirupsen/logrus", "log", "log/slog"},
		tests: true,
		mains: true,
		why:   "the project logs through zap, with stable field names",
	},
	{
		from:  []string{"."},
		deny:  []string{"io/ioutil", "github.com/pkg/errors", "golang.org/x/net/context"},
		tests: true,
		mains: true,
		why:   "the standard library has had better for years",
	},
}

// checkImports applies the rules to every file. modulePath is this module's
// import path, to which "." and "./x" in a rule refer.
func checkImports(files []*sourceFile, rules []importRule, modulePath string) []finding {
	var found []finding
	for _, file := range files {
		for _, rule := range rules {
			if !rule.binds(file) {
				continue
			}
			for _, imp := range file.imports() {
				if rule.forbids(imp.path, modulePath) {
					found = append(found, file.at(imp.pos, "%s must not import %s: %s", roomOf(file), imp.path, rule.why))
				}
			}
		}
	}
	return found
}

// checkRooms reports Go files outside the known rooms.
func checkRooms(files []*sourceFile, known []string) []finding {
	var found []finding
files:
	for _, file := range files {
		for _, room := range known {
			if below(file.dir, room) {
				continue files
			}
		}
		found = append(found, file.at(file.tree.Package,
			"%q is not among the rooms of this repository; move the file, or add the room and its import rules to internal/lint/imports.go", roomOf(file)))
	}
	return found
}

func roomOf(file *sourceFile) string {
	if file.dir == "" {
		return "the module's root"
	}
	return file.dir
}

func (r importRule) binds(file *sourceFile) bool {
	if (file.test && !r.tests) || (mainPackage(file) && !r.mains) {
		return false
	}
	return anyBelow(file.dir, r.from) && !anyBelow(file.dir, r.except)
}

func (r importRule) forbids(imp, modulePath string) bool {
	expand := func(names []string) []string {
		full := make([]string, len(names))
		for i, name := range names {
			full[i] = name
			if name == "." || strings.HasPrefix(name, "./") {
				full[i] = modulePath + name[1:]
			}
		}
		return full
	}
	return anyBelow(imp, expand(r.deny)) && !anyBelow(imp, expand(r.allow))
}

func anyBelow(name string, roots []string) bool {
	for _, root := range roots {
		if root == "." || below(name, root) {
			return true
		}
	}
	return false
}
