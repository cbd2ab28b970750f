package topic

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"pgregory.net/rapid"

	"github.com/streamweir/streamweir/broker/config"
	"github.com/streamweir/streamweir/broker/shard"
	"github.com/streamweir/streamweir/storage"
)

// drawStream is a stream of which everything may be said.
func drawStream(t *rapid.T, l *shard.Lineage) Stream {
	texts := rapid.MapOfN(rapid.StringN(1, 5, -1), rapid.String(), 0, 3)
	times := rapid.SliceOfN(rapid.Int64Min(1), 0, 3)
	s := Stream{
		Lineage: l, Own: true, Status: Updating, Mode: OnDemand, MaxRecordBytes: rapid.Int32().Draw(t, "record"),
		Tags: orNil(texts.Draw(t, "tags")), Policy: rapid.String().Draw(t, "policy"), KeyID: rapid.String().Draw(t, "key"),
		WarmMiBps: rapid.Int32().Draw(t, "warm"), Distribution: rapid.String().Draw(t, "distribution"),
		ShardMetrics: some(rapid.SliceOfN(rapid.String(), 0, 2).Draw(t, "metrics")),
		Reshards:     some(times.Draw(t, "reshards")), ModeSwitches: some(times.Draw(t, "switches")),
		KeyStarts: some(times.Draw(t, "starts")), KeyStops: some(times.Draw(t, "stops")),
		Encryptions: some(times.Draw(t, "encryptions")), LastConsumer: rapid.Int64().Draw(t, "last consumer"),
	}
	if rapid.Bool().Draw(t, "pending") {
		s.Pending = &PendingChange{At: rapid.Int64().Draw(t, "at"), Delete: rapid.Bool().Draw(t, "delete"), Steps: some(l.Plan(rapid.Int32Range(1, 9).Draw(t, "target")))}
	}
	for i := range rapid.IntRange(0, 3).Draw(t, "consumers") {
		s.Consumers = append(s.Consumers, Consumer{
			Name: fmt.Sprint(i), CreatedAt: rapid.Int64().Draw(t, "created"), Status: Creating, At: rapid.Int64().Draw(t, "until"),
			Tags: orNil(texts.Draw(t, "tags")), Policy: rapid.String().Draw(t, "policy"),
		})
	}
	return s
}

// some makes an empty list nil, as it is after a restart.
func some[T any](list []T) []T {
	if len(list) == 0 {
		return nil
	}
	return list
}

func TestStreamsAreWhatIsStored(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		meta := newMeta()
		c, err := Open(meta, config.Default(), Options{})
		if err != nil {
			t.Fatal(err)
		}
		first := drawStream(t, shard.Implicit(2, 1)) // the catalogue makes another lineage
		created, errs, err := c.Create([]NewTopic{{Name: "s", Partitions: rapid.Int32Range(1, 4).Draw(t, "shards"), ReplicationFactor: 1, Stream: &first}}, false)
		if err = errors.Join(append(errs, err)...); err != nil {
			t.Fatal(err)
		}
		sameStored(t, c, meta)
		l := created[0].Stream.Lineage
		for range rapid.IntRange(0, 4).Draw(t, "reshards") {
			if l, err = l.Reshard(l.Plan(rapid.Int32Range(1, 9).Draw(t, "target")), rapid.Int64Range(1, 1<<41).Draw(t, "now"), func(i int32) int64 { return int64(i) * 10 }); err != nil {
				t.Fatal(err)
			}
			next := drawStream(t, l)
			got, err := c.ChangeStream(created[0].ID, func(old *Topic) (*StreamChange, error) {
				return &StreamChange{Stream: next, Configs: map[string]string{"retention.ms": "86400000"}}, nil
			})
			if err != nil {
				t.Fatal(err)
			}
			if got != c.Topic("s") || got.Partitions != l.Len() || got.Settings.RetentionMs != 86400000 {
				t.Fatalf("%+v", got)
			}
			sameStored(t, c, meta)
		}
		if _, errs, err := c.Delete([]storage.TopicID{created[0].ID}); errs[0] != nil || err != nil {
			t.Fatal(errs, err)
		}
		for key := range meta.m {
			if strings.HasPrefix(key, streamPrefix) {
				t.Fatalf("%s is left", key)
			}
		}
	})
}

func sameStored(t *rapid.T, c *Catalogue, meta storage.Meta) {
	again, err := Open(meta, config.Default(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	a, b := c.Topic("s"), again.Topic("s")
	if !reflect.DeepEqual(whole(a), whole(b)) {
		t.Fatalf("\n%+v, stored\n%+v", whole(a), whole(b))
	}
	if !a.Stream.kept || !b.Stream.kept {
		t.Fatal("the stream is not said to be kept")
	}
}

func TestTopicsThatAreNoStreams(t *testing.T) {
	c := open(t, newMeta())
	long := mustCreate(t, c, plain(strings.Repeat("x", 129)))
	internal, err := c.Ensure(ConsumerOffsets)
	if err != nil {
		t.Fatal(err)
	}
	most := mustCreate(t, c, plain(strings.Repeat("x", 128)))
	if long.Stream != nil || internal.Stream != nil || most.Stream == nil {
		t.Errorf("%v %v %v", long.Stream, internal.Stream, most.Stream)
	}
	_, err = c.ChangeStream(long.ID, func(*Topic) (*StreamChange, error) { panic("not asked") })
	wantCode(t, err, kerr.UnknownTopicID)
}

// Releases before streams read topics that Kafka made, and refuse those with a
// stream of their own.
func TestVersionsOfTopicDocuments(t *testing.T) {
	meta := newMeta()
	c := open(t, meta)
	a := mustCreate(t, c, plain("a"))
	if doc := string(meta.m["topic/a"]); !strings.HasPrefix(doc, `{"v":1,`) || meta.m["stream/a"] != nil {
		t.Errorf("%s", doc)
	}
	tag := func(old *Topic) (*StreamChange, error) {
		ch := &StreamChange{Stream: *old.Stream}
		ch.Stream.Tags = map[string]string{"a": "b"}
		return ch, nil
	}
	if _, err := c.ChangeStream(a.ID, tag); err != nil {
		t.Fatal(err)
	}
	if doc, s := string(meta.m["topic/a"]), string(meta.m["stream/a"]); !strings.HasPrefix(doc, `{"v":2,`) ||
		s != `{"v":1,"topicId":"`+a.ID.String()+`","status":"ACTIVE","mode":"PROVISIONED","maxRecordBytes":1048576,"tags":{"a":"b"}}` {
		t.Errorf("%s %s", doc, s)
	}
	// What changes only the topic leaves the stream's document alone, and growth
	// by Kafka the stream's tags.
	meta.m["stream/a"] = append(meta.m["stream/a"], ' ')
	alter(t, c, nil, ConfigChange{Resource: Resource{Name: "a"}, Ops: []ConfigOp{{"retention.ms", Set, ptr("9")}}})
	if doc := string(meta.m["stream/a"]); !strings.HasSuffix(doc, " ") {
		t.Errorf("%s was written again", doc)
	}
	if errs, err := c.CreatePartitions([]MorePartitions{{Name: "a", Count: 5}}, false); errs[0] != nil || err != nil {
		t.Fatal(errs, err)
	}
	for _, c := range []*Catalogue{c, open(t, meta)} {
		if s := c.Topic("a").Stream; s.Lineage.Len() != 5 || s.Own || s.Tags["a"] != "b" {
			t.Errorf("%+v", s)
		}
	}
}

func TestStreamDocumentsThatDoNotFitAreRefused(t *testing.T) {
	const id = "00000000000040008000000000000001"
	whole := `{"start":"` + strings.Repeat("0", 32) + `","end":"` + strings.Repeat("f", 32) + `","createdAt":1}`
	for doc, want := range map[string]string{
		"": "it is missing",
		`{"v":1,"topicId":"00000000000040008000000000000002"}`:                                                     "does not describe a stream of that topic",
		`{"v":1,"topicId":"` + id + `","shards":[` + whole + `,` + whole + `]}`:                                    "its range does not begin",
		`{"v":1,"topicId":"` + id + `","shards":[{"start":"00","end":"ff"}]}`:                                      "no hash key",
		`{"v":1,"topicId":"` + id + `","shards":[{"start":"` + strings.Repeat("0", 32) + `","end":"x"}]}`:          "no hash key",
		`{"v":1,"topicId":"` + id + `","pending":{"steps":[{"shard":0,"split":"x"}]}}`:                             "no hash key",
		`{"v":1,"topicId":"` + id + `","shards":[` + strings.Replace(whole, `"createdAt"`, `"beganAt"`, 1) + `]}x`: "read stream/a",
		`{"v":2}`: "version",
	} {
		meta := newMeta()
		meta.m["topic/a"] = []byte(`{"v":2,"name":"a","id":"` + id + `","partitions":1}`)
		if doc != "" {
			meta.m["stream/a"] = []byte(doc)
		}
		_, err := Open(meta, config.Default(), Options{})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", doc, err, want)
		}
		if strings.Contains(doc, `"v":2`) && !errors.Is(err, storage.ErrVersion) {
			t.Errorf("%v is not ErrVersion", err)
		}
	}
	meta := newMeta()
	meta.m["topic/a"] = []byte(`{"v":2,"name":"a","id":"` + id + `","partitions":2}`)
	meta.m["stream/a"] = []byte(`{"v":1,"topicId":"` + id + `","shards":[` + whole + `]}`)
	if _, err := Open(meta, config.Default(), Options{}); err == nil || !strings.Contains(err.Error(), "it has 1 shards, and the topic 2 partitions") {
		t.Errorf("%v", err)
	}
	name := strings.Repeat("x", 129)
	meta = newMeta()
	meta.m["topic/"+name] = []byte(`{"v":2,"name":"` + name + `","id":"` + id + `","partitions":1}`)
	if _, err := Open(meta, config.Default(), Options{}); err == nil || !strings.Contains(err.Error(), "its name is that of none") {
		t.Errorf("%v", err)
	}
}

func TestAChangeThatFailsChangesNothing(t *testing.T) {
	meta := newMeta()
	c := open(t, meta)
	a := mustCreate(t, c, plain("a"))
	told := 0
	c.Watch(func(Change) { told++ })
	no := errors.New("no")
	if _, err := c.ChangeStream(a.ID, func(*Topic) (*StreamChange, error) { return nil, no }); err != no {
		t.Error(err)
	}
	meta.fail = errors.New("disk")
	split := func(old *Topic) (*StreamChange, error) {
		ch := &StreamChange{Stream: *old.Stream}
		l, err := ch.Stream.Lineage.Reshard([]shard.Step{{Shard: 0, Merge: shard.None, At: shard.HashKey{Lo: 9}}}, 1, func(int32) int64 { return 0 })
		ch.Stream.Lineage = l
		return ch, err
	}
	if _, err := c.ChangeStream(a.ID, split); !errors.Is(err, kerr.KafkaStorageError) {
		t.Error(err)
	}
	if _, err := c.ChangeStream(a.ID, func(old *Topic) (*StreamChange, error) {
		return &StreamChange{Stream: *old.Stream, Configs: map[string]string{"retention.ms": "soon"}}, nil
	}); err == nil {
		t.Error("a wrong config is set")
	}
	if c.Topic("a") != a || told != 0 {
		t.Errorf("%+v, told %d times", c.Topic("a"), told)
	}
	small := config.Default()
	small.MaxPartitions = 2
	d, err := Open(meta, small, Options{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = d.ChangeStream(a.ID, split)
	wantCode(t, err, kerr.PolicyViolation)
}

func TestChangesAreToldBeforeAndOnceTheyAreSeen(t *testing.T) {
	c := open(t, newMeta())
	var told []string
	note := func(who string) func(Change) {
		return func(ch Change) {
			told = append(told, fmt.Sprintf("%s %t->%t seen %t", who, ch.Old != nil, ch.New != nil, c.Topic("a") == ch.New))
		}
	}
	c.WatchSeen(note("after"))
	c.Watch(note("before"))
	a := mustCreate(t, c, plain("a"))
	alter(t, c, nil, ConfigChange{Resource: Resource{Name: "a"}, Ops: []ConfigOp{{"retention.ms", Set, ptr("9")}}})
	if _, errs, err := c.Delete([]storage.TopicID{a.ID}); errs[0] != nil || err != nil {
		t.Fatal(errs, err)
	}
	want := []string{
		"before false->true seen false", "after false->true seen true", "before true->true seen false", "after true->true seen true",
		"before true->false seen true", "after true->false seen true",
	}
	if !slices.Equal(told, want) {
		t.Errorf("%q", told)
	}
}

func TestWhenRecordsWereEncrypted(t *testing.T) {
	for _, c := range []struct {
		key      string
		switched []int64
		at       int64
		want     bool
	}{
		{"", nil, 5, false},
		{"key", nil, 5, true}, // since before switches were noted
		{"key", []int64{10}, 9, false},
		{"key", []int64{10}, 10, true},
		{"", []int64{10, 20}, 9, false},
		{"", []int64{10, 20}, 19, true},
		{"", []int64{10, 20}, 20, false},
		{"", []int64{20}, 19, true}, // the one before that is too long ago
		{"key", []int64{10, 20, 20}, 20, true},
		{"key", []int64{10, 20, 20}, 15, true},
	} {
		s := Stream{KeyID: c.key, Encryptions: c.switched}
		if got := s.Encrypted(c.at); got != c.want {
			t.Errorf("key %q, switched at %v: at %d %v", c.key, c.switched, c.at, got)
		}
	}
}
