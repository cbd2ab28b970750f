package groups

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/streamweir/streamweir/integration/harness"
)

var record = flag.Bool("record", false, "write the answers into the conversations; only with STREAMWEIR_TEST_PEER=apache-kafka")

// TestConversations plays the conversations under testdata, whose answers were
// recorded from Apache Kafka, and expects the same answers word for word.
//
// A line at the margin is a request:
//
//	CLIENT REQUEST GROUP [key=value ...]
//
// and the indented line below it the answer. Each client has a connection of
// its own. With & at the end, a request is only sent; "CLIENT wait" shows its
// answer. Member ids are the client's or instance's name and a number; groups
// have the conversation's name before theirs, and topics t and u exist.
func TestConversations(t *testing.T) {
	if *record && !harness.AgainstKafka() {
		t.Fatal("-record is for answers of Apache Kafka: set STREAMWEIR_TEST_PEER=apache-kafka")
	}
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no conversations: %v", err)
	}
	s := harness.Shared(t)
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			t.Parallel() // no group is in two of them
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := newTalk(t, s).play(string(want))
			if *record {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			w, g := strings.Split(string(want), "\n"), strings.Split(got, "\n")
			for i := range w {
				if i >= len(g) || w[i] != g[i] {
					t.Errorf("line %d, after %q:\n Apache Kafka said %q\n this broker says %q", i+1, w[max(i-1, 0)], w[i], g[min(i, len(g)-1)])
				}
			}
		})
	}
}

// talk is one conversation.
type talk struct {
	t       *testing.T
	s       *harness.Server
	conns   map[string]*harness.Conn
	waiting map[string]sent
	topics  map[string]string // by their name in the conversation
	ids     map[string][16]byte
	names   map[string]string // member id -> its name in the conversation
	reals   map[string]string // and back
}

type sent struct {
	correlation int32
	req         kmsg.Request
}

func newTalk(t *testing.T, s *harness.Server) *talk {
	k := &talk{
		t: t, s: s, conns: map[string]*harness.Conn{}, waiting: map[string]sent{}, topics: map[string]string{},
		ids: map[string][16]byte{}, names: map[string]string{}, reals: map[string]string{},
	}
	for _, name := range []string{"t", "u"} {
		k.topics[name] = harness.Topic(t, s, 3)
		req := harness.At(kmsg.NewPtrMetadataRequest(), 12)
		topic := k.topics[name]
		req.Topics = append(req.Topics, kmsg.MetadataRequestTopic{Topic: &topic})
		k.ids[name] = harness.Ask[*kmsg.MetadataResponse](t, k.conn("setup"), req).Topics[0].TopicID
	}
	harness.Eventually(t, harness.Long, "a coordinator", func() error {
		req := harness.At(kmsg.NewPtrFindCoordinatorRequest(), 3)
		req.CoordinatorKey = "g"
		return kerr.ErrorForCode(harness.Ask[*kmsg.FindCoordinatorResponse](t, k.conn("setup"), req).ErrorCode)
	})
	return k
}

func (k *talk) conn(client string) *harness.Conn {
	c := k.conns[client]
	if c == nil {
		c = harness.Dial(k.t, k.s)
		k.conns[client] = c
	}
	return c
}

func (k *talk) play(script string) string {
	var out strings.Builder
	for line := range strings.Lines(script) {
		line = strings.TrimRight(line, "\n")
		if strings.HasPrefix(line, "  ") {
			continue
		}
		out.WriteString(line + "\n")
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if answer := k.say(line); answer != "" {
			out.WriteString("  " + answer + "\n")
		}
	}
	return out.String()
}

// busy are errors of a coordinator that has just begun.
func busy(code int16) bool {
	return code == kerr.CoordinatorLoadInProgress.Code || code == kerr.CoordinatorNotAvailable.Code || code == kerr.NotCoordinator.Code
}

func (k *talk) say(line string) string {
	a := k.parse(line)
	c := k.conn(a.client)
	if a.verb == "wait" {
		w, ok := k.waiting[a.client]
		if !ok {
			k.t.Fatalf("%s: nothing was sent", line)
		}
		delete(k.waiting, a.client)
		return k.receive(c, w)
	}
	if a.verb == "until" {
		k.until(c, a)
		return ""
	}
	req := k.request(a)
	for {
		if err := c.SetDeadline(time.Now().Add(c.Within)); err != nil {
			k.t.Fatal(err)
		}
		id, err := c.Send(req)
		if err != nil {
			k.t.Fatalf("%s: %v", line, err)
		}
		if a.async {
			k.waiting[a.client] = sent{id, req}
			return ""
		}
		resp, err := c.Recv(id, req)
		if err != nil {
			k.t.Fatalf("%s: %v", line, err)
		}
		if busy(firstCode(resp)) {
			continue
		}
		return k.show(resp)
	}
}

// until waits for a state and a number of members: requests of different clients
// do not wait for each other by themselves.
func (k *talk) until(c *harness.Conn, a args) {
	want := strings.Join(a.rest, " ")
	harness.Eventually(k.t, harness.Long, "group "+a.group+" in "+want, func() error {
		req := harness.At(kmsg.NewPtrDescribeGroupsRequest(), 5)
		req.Groups = []string{a.group}
		g := harness.Ask[*kmsg.DescribeGroupsResponse](k.t, c, req).Groups[0]
		if got := fmt.Sprintf("%s %d", g.State, len(g.Members)); got != want {
			return fmt.Errorf("it is %s", got)
		}
		return nil
	})
}

func (k *talk) receive(c *harness.Conn, w sent) string {
	resp, err := c.Recv(w.correlation, w.req)
	if err != nil {
		k.t.Fatalf("answer to %T: %v", w.req, err)
	}
	return k.show(resp)
}

// args is a line of a conversation.
type args struct {
	client, verb, group string
	rest                []string
	kv                  map[string]string
	async               bool
}

func (k *talk) parse(line string) args {
	a := args{kv: map[string]string{}}
	var words []string
	for _, f := range strings.Fields(line) {
		key, value, ok := strings.Cut(f, "=")
		switch {
		case f == "&":
			a.async = true
		case ok && !strings.Contains(key, ":"):
			a.kv[key] = value
		default:
			words = append(words, f)
		}
	}
	a.client, a.verb = words[0], words[1]
	if len(words) > 2 {
		a.group, a.rest = words[2], words[3:]
		if a.group == `""` {
			a.group = ""
		} else {
			a.group = k.t.Name() + "/" + a.group
		}
	}
	return a
}

func (a args) num(key string, otherwise int64) int64 {
	if v, ok := a.kv[key]; ok {
		n, err := strconv.ParseInt(v, 10, 64)
		if err != nil {
			panic(err)
		}
		return n
	}
	return otherwise
}

func (a args) optional(key string) *string {
	if v, ok := a.kv[key]; ok {
		return &v
	}
	return nil
}

// member is a real member id: of a name in the conversation, or as it stands.
func (k *talk) member(name string) string {
	if id, ok := k.reals[name]; ok {
		return id
	}
	return name
}

var memberID = regexp.MustCompile(`^(.*)-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)

// name is a member id as conversations write it.
func (k *talk) name(id string) string {
	if name, ok := k.names[id]; ok {
		return name
	}
	m := memberID.FindStringSubmatch(id)
	if m == nil {
		return fmt.Sprintf("%q", id)
	}
	name := fmt.Sprintf("%s-%d", m[1], len(k.names)+1)
	k.names[id], k.reals[name] = name, id
	return name
}

func errName(code int16) string { // in the words of the protocol
	if code == 0 {
		return "OK"
	}
	if err, ok := kerr.ErrorForCode(code).(*kerr.Error); ok {
		return err.Message
	}
	return fmt.Sprintf("error %d", code)
}

func quoted(s *string) string {
	if s == nil {
		return "null"
	}
	return fmt.Sprintf("%q", *s)
}

func idName(id [16]byte, ids map[string][16]byte) string {
	for name, other := range ids {
		if other == id {
			return name
		}
	}
	return fmt.Sprintf("%x", bytes.TrimRight(id[:], "\x00"))
}
