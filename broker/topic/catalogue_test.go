package topic

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/streamweir/streamweir/broker/config"
	"github.com/streamweir/streamweir/broker/shard"
	"github.com/streamweir/streamweir/storage"
)

// fakeMeta is a map that can refuse the next Apply.
type fakeMeta struct {
	mu   sync.Mutex
	m    map[string][]byte
	fail error
	n    int // Apply calls
}

func newMeta() *fakeMeta { return &fakeMeta{m: map[string][]byte{}} }

func (f *fakeMeta) Get(key string) ([]byte, bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	v, ok := f.m[key]
	return v, ok, nil
}

func (f *fakeMeta) Scan(prefix string, fn func(string, []byte) error) error {
	f.mu.Lock()
	keys := slices.Sorted(maps.Keys(f.m))
	f.mu.Unlock()
	for _, k := range keys {
		if strings.HasPrefix(k, prefix) {
			if err := fn(k, f.m[k]); err != nil {
				return err
			}
		}
	}
	return nil
}

func (f *fakeMeta) Apply(ops ...storage.Op) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.n++
	if err := f.fail; err != nil {
		f.fail = nil
		return err
	}
	for _, op := range ops {
		if op.Value == nil {
			delete(f.m, op.Key)
		} else {
			f.m[op.Key] = slices.Clone(op.Value)
		}
	}
	return nil
}

func open(t *testing.T, meta storage.Meta, set ...string) *Catalogue {
	t.Helper()
	cfg, _, err := config.Load(config.Source{Set: set})
	if err != nil {
		t.Fatal(err)
	}
	c, err := Open(meta, cfg, Options{Now: func() time.Time { return time.UnixMilli(1700000000123) }})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func plain(name string) NewTopic {
	return NewTopic{Name: name, Partitions: -1, ReplicationFactor: -1}
}

func with(n NewTopic, pairs ...string) NewTopic {
	for i := 0; i < len(pairs); i += 2 {
		n.Configs = append(n.Configs, ConfigValue{pairs[i], &pairs[i+1]})
	}
	return n
}

// create creates one topic and returns it, or its refusal.
func create(t *testing.T, c *Catalogue, n NewTopic) (*Topic, error) {
	t.Helper()
	created, errs, err := c.Create([]NewTopic{n}, false)
	if err != nil {
		t.Fatal(err)
	}
	return created[0], errs[0]
}

func mustCreate(t *testing.T, c *Catalogue, n NewTopic) *Topic {
	t.Helper()
	topic, err := create(t, c, n)
	if err != nil {
		t.Fatal(err)
	}
	return topic
}

// wantCode checks that err is a refusal with this code, or nil for none.
func wantCode(t *testing.T, err error, code *kerr.Error) {
	t.Helper()
	if code == nil {
		if err != nil {
			t.Errorf("got %v, want no error", err)
		}
		return
	}
	var refusal *Error
	if !errors.As(err, &refusal) || refusal.Kafka != code || refusal.Detail == "" {
		t.Errorf("got %v, want %s with a message", err, code.Message)
	}
}

// whole is all of a topic in a form that can be compared: a lineage may not be
// worked out yet.
func whole(t *Topic) (out struct {
	Topic  Topic
	Stream Stream
	Shards []shard.Shard
}) {
	out.Topic = *t
	if t.Stream != nil {
		out.Stream, out.Shards = *t.Stream, t.Stream.Lineage.Shards()
		out.Topic.Stream, out.Stream.Lineage = nil, nil
	}
	return out
}

func TestCatalogueSurvivesRestart(t *testing.T) {
	meta := newMeta()
	c := open(t, meta)
	a := mustCreate(t, c, NewTopic{Name: "orders", Partitions: 3, ReplicationFactor: 1,
		Configs: []ConfigValue{{"retention.ms", ptr(" 1000 ")}, {"cleanup.policy", ptr("compact, delete")}}})
	mustCreate(t, c, plain("other"))
	if a.ID[6]>>4 != 4 || a.ID[8]>>6 != 2 {
		t.Errorf("%x is no version 4 UUID", a.ID)
	}
	d := open(t, meta)
	if d.ClusterID() != c.ClusterID() || len(c.ClusterID()) != 22 {
		t.Errorf("cluster id %q became %q", c.ClusterID(), d.ClusterID())
	}
	for _, c := range []*Catalogue{c, d} {
		got := c.Topic("orders")
		if got == nil || !reflect.DeepEqual(whole(got), whole(a)) {
			t.Fatalf("got %+v, want %+v", got, a)
		}
		if c.TopicByID(a.ID) != got || c.Partitions() != 4 || len(c.Topics()) != 2 || c.Topics()[0] != got {
			t.Errorf("%v %d %v", c.TopicByID(a.ID), c.Partitions(), c.Topics())
		}
		s := got.Settings
		if s.RetentionMs != 1000 || !s.CleanupCompact || !s.CleanupDelete || s.MaxMessageBytes != 10485760 || !s.CompressionProducer {
			t.Errorf("settings %+v", s)
		}
		if got.Configs["cleanup.policy"] != "compact,delete" || got.CreatedAt.UnixMilli() != 1700000000123 {
			t.Errorf("%v %v", got.Configs, got.CreatedAt)
		}
	}
	if w := d.Warnings(); len(w) != 0 {
		t.Errorf("warnings: %q", w)
	}
}

func ptr(s string) *string { return &s }

func TestClusterIDOfTheConfig(t *testing.T) {
	meta := newMeta()
	if c := open(t, meta, "cluster.id=mine"); c.ClusterID() != "mine" {
		t.Error(c.ClusterID())
	}
	if c := open(t, meta); c.ClusterID() != "mine" {
		t.Error(c.ClusterID())
	}
	cfg, _, _ := config.Load(config.Source{Set: []string{"cluster.id=yours"}})
	if _, err := Open(meta, cfg, Options{}); err == nil || !strings.Contains(err.Error(), "belongs to cluster mine") {
		t.Error(err)
	}
}

func TestCreateRules(t *testing.T) {
	assigned := func(as ...Assignment) NewTopic {
		n := plain("a")
		n.Assignments = as
		return n
	}
	with := func(n NewTopic, f func(*NewTopic)) NewTopic { f(&n); return n }
	config := func(name, value string) NewTopic {
		n := plain("a")
		n.Configs = []ConfigValue{{name, &value}}
		return n
	}
	for name, tc := range map[string]struct {
		topic NewTopic
		want  *kerr.Error
		count int32
	}{
		"defaults":             {topic: plain("a"), count: 2},
		"a count":              {topic: NewTopic{Name: "a", Partitions: 7, ReplicationFactor: 1}, count: 7},
		"empty name":           {topic: plain(""), want: kerr.InvalidTopicException},
		"dot":                  {topic: plain("."), want: kerr.InvalidTopicException},
		"dots":                 {topic: plain(".."), want: kerr.InvalidTopicException},
		"long name":            {topic: plain(strings.Repeat("x", 250)), want: kerr.InvalidTopicException},
		"longest name":         {topic: plain(strings.Repeat("x", 249)), count: 2},
		"space":                {topic: plain("a b"), want: kerr.InvalidTopicException},
		"slash":                {topic: plain("a/b"), want: kerr.InvalidTopicException},
		"umlaut":               {topic: plain("ä"), want: kerr.InvalidTopicException},
		"exists":               {topic: plain("there"), want: kerr.TopicAlreadyExists},
		"collides":             {topic: plain("x_y.z"), want: kerr.InvalidTopicException},
		"cluster metadata":     {topic: plain("__cluster_metadata"), want: kerr.InvalidRequest},
		"no partitions":        {topic: NewTopic{Name: "a", Partitions: 0, ReplicationFactor: 1}, want: kerr.InvalidPartitions},
		"negative partitions":  {topic: NewTopic{Name: "a", Partitions: -2, ReplicationFactor: 1}, want: kerr.InvalidPartitions},
		"no replicas":          {topic: NewTopic{Name: "a", Partitions: 1, ReplicationFactor: 0}, want: kerr.InvalidReplicationFactor},
		"negative replicas":    {topic: NewTopic{Name: "a", Partitions: 1, ReplicationFactor: -2}, want: kerr.InvalidReplicationFactor},
		"two replicas":         {topic: NewTopic{Name: "a", Partitions: 1, ReplicationFactor: 2}, want: kerr.InvalidReplicationFactor},
		"above max.partitions": {topic: NewTopic{Name: "a", Partitions: 98, ReplicationFactor: 1}, want: kerr.PolicyViolation},
		"up to max.partitions": {topic: NewTopic{Name: "a", Partitions: 96, ReplicationFactor: 1}, count: 96},
		"over the top":         {topic: NewTopic{Name: "a", Partitions: 10001, ReplicationFactor: 1}, want: kerr.PolicyViolation},
		"assigned":             {topic: assigned(Assignment{1, []int32{1}}, Assignment{0, []int32{1}}), count: 2},
		"assigned and counted": {topic: with(assigned(Assignment{0, []int32{1}}), func(n *NewTopic) { n.Partitions = 1 }), want: kerr.InvalidRequest},
		"assigned and factor":  {topic: with(assigned(Assignment{0, []int32{1}}), func(n *NewTopic) { n.ReplicationFactor = 1 }), want: kerr.InvalidRequest},
		"assigned twice":       {topic: assigned(Assignment{0, []int32{1}}, Assignment{0, []int32{1}}), want: kerr.InvalidReplicaAssignment},
		"assigned with a gap":  {topic: assigned(Assignment{0, []int32{1}}, Assignment{2, []int32{1}}), want: kerr.InvalidReplicaAssignment},
		"assigned to nobody":   {topic: assigned(Assignment{0, nil}), want: kerr.InvalidReplicaAssignment},
		"assigned to another":  {topic: assigned(Assignment{0, []int32{2}}), want: kerr.InvalidReplicaAssignment},
		"assigned to us twice": {topic: assigned(Assignment{0, []int32{1, 1}}), want: kerr.InvalidReplicaAssignment},
		"unknown config":       {topic: config("retention", "1"), want: kerr.InvalidConfig},
		"broker config":        {topic: config("log.retention.ms", "1"), want: kerr.InvalidConfig},
		"wrong value":          {topic: config("retention.ms", "x"), want: kerr.InvalidConfig},
		"value out of range":   {topic: config("retention.ms", "-2"), want: kerr.InvalidConfig},
		"small segment":        {topic: config("segment.bytes", "1048575"), want: kerr.InvalidConfig},
		"no value":             {topic: with(plain("a"), func(n *NewTopic) { n.Configs = []ConfigValue{{"retention.ms", nil}} }), want: kerr.InvalidConfig},
		"lags cross":           {topic: with(config("min.compaction.lag.ms", "5"), func(n *NewTopic) { n.Configs = append(n.Configs, ConfigValue{"max.compaction.lag.ms", ptr("4")}) }), want: kerr.InvalidConfig},
		"empty policy":         {topic: config("cleanup.policy", ""), count: 2},
		"huge value":           {topic: config("follower.replication.throttled.replicas", strings.Repeat("1:1,", 9000)), want: kerr.InvalidConfig},
		"tiered storage":       {topic: config("remote.storage.enable", "true"), want: kerr.InvalidConfig},
	} {
		t.Run(name, func(t *testing.T) {
			meta := newMeta()
			c := open(t, meta, "num.partitions=2", "max.partitions=100")
			mustCreate(t, c, plain("there"))
			mustCreate(t, c, plain("x.y_z"))
			n := meta.n
			for _, validateOnly := range []bool{true, false} {
				created, errs, err := c.Create([]NewTopic{tc.topic}, validateOnly)
				if err != nil {
					t.Fatal(err)
				}
				wantCode(t, errs[0], tc.want)
				if got := created[0]; (got == nil) != (tc.want != nil) || got != nil && got.Partitions != tc.count {
					t.Errorf("created %+v", got)
				}
				if validateOnly && (meta.n != n || len(c.Topics()) != 2 || c.Partitions() != 4) {
					t.Error("validating changed something")
				}
			}
			if tc.want == nil && c.Topic(tc.topic.Name) == nil {
				t.Error("the topic is not there")
			}
		})
	}
}

func TestCreateManyAtOnce(t *testing.T) {
	meta := newMeta()
	c := open(t, meta, "max.topics=3")
	n := meta.n
	_, errs, err := c.Create([]NewTopic{plain("a"), plain("twice"), plain("a b"), plain("twice"), plain("c"), plain("d"), plain("e")}, false)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []*kerr.Error{nil, kerr.InvalidRequest, kerr.InvalidTopicException, kerr.InvalidRequest, nil, nil, kerr.PolicyViolation} {
		wantCode(t, errs[i], want)
	}
	if meta.n != n+1 {
		t.Errorf("%d writes for one request", meta.n-n)
	}
	if len(c.Topics()) != 3 {
		t.Errorf("%d topics", len(c.Topics()))
	}
	for _, internal := range []string{ConsumerOffsets, TransactionState} {
		if _, err := c.Ensure(internal); err != nil {
			t.Errorf("groups and transactions need %s: %v", internal, err)
		}
	}
	many := []NewTopic{{Name: "x", Partitions: 6000, ReplicationFactor: 1}, {Name: "y", Partitions: 4001, ReplicationFactor: 1}}
	_, errs, _ = c.Create(many, true)
	wantCode(t, errs[0], kerr.PolicyViolation)
	wantCode(t, errs[1], kerr.PolicyViolation)
}

func TestTwoNewNamesThatCollide(t *testing.T) {
	c := open(t, newMeta())
	_, errs, _ := c.Create([]NewTopic{plain("a.b"), plain("a_b"), plain("ab")}, false)
	wantCode(t, errs[0], nil)
	wantCode(t, errs[1], kerr.InvalidTopicException)
	wantCode(t, errs[2], nil)
	if _, _, err := c.Delete([]storage.TopicID{c.Topic("a.b").ID}); err != nil {
		t.Fatal(err)
	}
	mustCreate(t, c, plain("a_b")) // free again
}

func TestFailedWriteChangesNothing(t *testing.T) {
	meta := newMeta()
	c := open(t, meta)
	topic := mustCreate(t, c, with(plain("a"), "retention.ms", "5"))
	told := 0
	c.Watch(func(Change) { told++ })
	boom := errors.New("boom")
	for name, change := range map[string]func() error{
		"create": func() error { _, _, err := c.Create([]NewTopic{plain("b")}, false); return err },
		"grow": func() error {
			_, err := c.CreatePartitions([]MorePartitions{{Name: "a", Count: 5}}, false)
			return err
		},
		"delete": func() error { _, _, err := c.Delete([]storage.TopicID{topic.ID}); return err },
		"alter": func() error {
			_, err := c.AlterConfigs([]ConfigChange{{Resource: Resource{Name: "a"}, Replace: true}}, false)
			return err
		},
		"alter broker": func() error {
			_, err := c.AlterConfigs([]ConfigChange{{Resource: Resource{Broker: true}, Ops: []ConfigOp{{"log.retention.ms", Set, ptr("7")}}}}, false)
			return err
		},
		"ensure": func() error { _, err := c.Ensure("c"); return err },
	} {
		meta.fail = boom
		err := change()
		var refusal *Error
		if !errors.Is(err, boom) || !errors.Is(err, kerr.KafkaStorageError) || errors.As(err, &refusal) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if told != 0 || len(c.Topics()) != 1 || c.Topic("a") != topic || len(c.Deleting()) != 0 || c.Config().LogRetentionMs != nil {
		t.Errorf("told %d times; topics %v; deleting %v", told, c.Topics(), c.Deleting())
	}
	if again := open(t, meta); len(again.Topics()) != 1 {
		t.Errorf("after a restart: %v", again.Topics())
	}
}

func TestCreatePartitionsRules(t *testing.T) {
	c := open(t, newMeta(), "max.partitions=10")
	topic := mustCreate(t, c, NewTopic{Name: "a", Partitions: 3, ReplicationFactor: 1})
	for name, tc := range map[string]struct {
		more MorePartitions
		want *kerr.Error
	}{
		"unknown":          {MorePartitions{"nope", 4, nil}, kerr.UnknownTopicOrPartition},
		"the same":         {MorePartitions{"a", 3, nil}, kerr.InvalidPartitions},
		"fewer":            {MorePartitions{"a", 2, nil}, kerr.InvalidPartitions},
		"negative":         {MorePartitions{"a", -1, nil}, kerr.InvalidPartitions},
		"too many":         {MorePartitions{"a", 11, nil}, kerr.PolicyViolation},
		"far too many":     {MorePartitions{"a", 2147483647, nil}, kerr.PolicyViolation},
		"assigned":         {MorePartitions{"a", 5, [][]int32{{1}, {1}}}, nil},
		"assigned too few": {MorePartitions{"a", 5, [][]int32{{1}}}, kerr.InvalidReplicaAssignment},
		"assigned none":    {MorePartitions{"a", 5, [][]int32{}}, kerr.InvalidReplicaAssignment},
		"assigned empty":   {MorePartitions{"a", 4, [][]int32{{}}}, kerr.InvalidReplicaAssignment},
		"assigned other":   {MorePartitions{"a", 4, [][]int32{{3}}}, kerr.InvalidReplicaAssignment},
		"more":             {MorePartitions{"a", 4, nil}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			errs, err := c.CreatePartitions([]MorePartitions{tc.more}, true)
			if err != nil {
				t.Fatal(err)
			}
			wantCode(t, errs[0], tc.want)
		})
	}
	if c.Topic("a") != topic {
		t.Error("validating changed the topic")
	}
	errs, err := c.CreatePartitions([]MorePartitions{{Name: "a", Count: 5}}, false)
	if err != nil || errs[0] != nil {
		t.Fatal(err, errs)
	}
	grown := c.Topic("a")
	if grown.Partitions != 5 || grown.ID != topic.ID || topic.Partitions != 3 || c.Partitions() != 5 || c.TopicByID(topic.ID) != grown {
		t.Errorf("grown %+v", grown)
	}
	errs, _ = c.CreatePartitions([]MorePartitions{{Name: "a", Count: 6}, {Name: "a", Count: 7}}, false)
	wantCode(t, errs[0], kerr.InvalidRequest)
	wantCode(t, errs[1], kerr.InvalidRequest)
}

func TestDeleteGoesOnAfterACrash(t *testing.T) {
	meta := newMeta()
	c := open(t, meta)
	topic := mustCreate(t, c, NewTopic{Name: "a", Partitions: 3, ReplicationFactor: 1})
	deleted, errs, err := c.Delete([]storage.TopicID{topic.ID, {1}, topic.ID})
	if err != nil || errs[0] != nil || len(deleted) != 1 || deleted[0].Partitions != 3 {
		t.Fatal(err, errs)
	}
	wantCode(t, errs[1], kerr.UnknownTopicID)
	wantCode(t, errs[2], kerr.UnknownTopicID)
	if c.Topic("a") != nil || c.TopicByID(topic.ID) != nil || c.Partitions() != 0 {
		t.Error("still there")
	}
	again := mustCreate(t, c, plain("a"))
	if again.ID == topic.ID {
		t.Error("the same id again")
	}
	after := open(t, meta) // a crash before the log was dropped
	for _, c := range []*Catalogue{c, after} {
		left := c.Deleting()
		if len(left) != 1 || left[0].ID != topic.ID || left[0].Partitions != 3 || left[0].Name != "a" {
			t.Fatalf("deleting %+v", left)
		}
	}
	if err := after.Forget(topic.ID); err != nil {
		t.Fatal(err)
	}
	if err := after.Forget(topic.ID); err != nil {
		t.Errorf("forgetting twice: %v", err)
	}
	if left := open(t, meta).Deleting(); len(left) != 0 {
		t.Errorf("deleting %+v", left)
	}
	if open(t, meta).Topic("a").ID != again.ID {
		t.Error("the new topic is lost")
	}
}

func TestDeletionCanBeForbidden(t *testing.T) {
	c := open(t, newMeta(), "delete.topic.enable=false")
	topic := mustCreate(t, c, plain("a"))
	_, errs, err := c.Delete([]storage.TopicID{topic.ID})
	if err != nil {
		t.Fatal(err)
	}
	wantCode(t, errs[0], kerr.TopicDeletionDisabled)
	if c.Topic("a") == nil {
		t.Error("deleted all the same")
	}
}

func TestEnsure(t *testing.T) {
	c := open(t, newMeta(), "num.partitions=4", "offsets.topic.num.partitions=8", "offsets.topic.segment.bytes=2097152")
	a, err := c.Ensure("auto")
	if err != nil || a.Partitions != 4 || a.Internal {
		t.Fatalf("%+v %v", a, err)
	}
	if again, err := c.Ensure("auto"); again != a || err != nil {
		t.Errorf("%+v %v", again, err)
	}
	_, err = c.Ensure("a b")
	wantCode(t, err, kerr.InvalidTopicException)
	offsets, err := c.Ensure(ConsumerOffsets)
	if err != nil || offsets.Partitions != 8 || !offsets.Internal || !offsets.Settings.CleanupCompact || offsets.Settings.CleanupDelete ||
		offsets.Settings.SegmentBytes != 2097152 || !offsets.Settings.CompressionProducer {
		t.Errorf("%+v %+v %v", offsets, offsets.Settings, err)
	}
	txns, err := c.Ensure(TransactionState)
	if err != nil || txns.Partitions != 50 || !txns.Internal || txns.Settings.CompressionProducer || txns.Settings.Codec != 0 || !txns.Settings.CleanupCompact {
		t.Errorf("%+v %+v %v", txns, txns.Settings, err)
	}
}

func TestEnsureFromManyGoroutinesMakesOneTopic(t *testing.T) {
	meta := newMeta()
	c := open(t, meta)
	n := meta.n
	got := make([]*Topic, 16)
	var wg sync.WaitGroup
	for i := range got {
		wg.Go(func() {
			var err error
			if got[i], err = c.Ensure("auto"); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for _, topic := range got {
		if topic != got[0] {
			t.Fatal("two topics of one name")
		}
	}
	if meta.n != n+1 {
		t.Errorf("%d writes", meta.n-n)
	}
}

func TestWatchersSeeChangesInOrder(t *testing.T) {
	c := open(t, newMeta())
	var seen []string
	c.Watch(func(ch Change) {
		switch {
		case ch.Old == nil:
			seen = append(seen, fmt.Sprintf("new %s, visible %v", ch.New.Name, c.Topic(ch.New.Name) != nil))
		case ch.New == nil:
			seen = append(seen, fmt.Sprintf("gone %s, visible %v", ch.Old.Name, c.Topic(ch.Old.Name) != nil))
		default:
			seen = append(seen, fmt.Sprintf("%s %d to %d, retention %d to %d", ch.New.Name, ch.Old.Partitions, ch.New.Partitions, ch.Old.Settings.RetentionMs, ch.New.Settings.RetentionMs))
		}
	})
	c.WatchConfig(func(cfg *config.Config) {
		seen = append(seen, fmt.Sprintf("broker retention %d, visible %v", cfg.RetentionMs(), c.Config() == cfg))
	})
	a := mustCreate(t, c, plain("a"))
	mustCreate(t, c, with(plain("b"), "retention.ms", "7"))
	if _, err := c.CreatePartitions([]MorePartitions{{Name: "a", Count: 2}}, false); err != nil {
		t.Fatal(err)
	}
	alter(t, c, nil, ConfigChange{Resource: Resource{Name: "b"}, Ops: []ConfigOp{{"retention.ms", Set, ptr("8")}}})
	alter(t, c, nil, ConfigChange{Resource: Resource{Name: "b"}, Ops: []ConfigOp{{"retention.ms", Set, ptr("8")}}}) // no change
	alter(t, c, nil, ConfigChange{Resource: Resource{Broker: true}, Ops: []ConfigOp{{"log.retention.ms", Set, ptr("9")}}})
	if _, _, err := c.Delete([]storage.TopicID{a.ID}); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"new a, visible false", "new b, visible false",
		"a 1 to 2, retention 604800000 to 604800000",
		"b 1 to 1, retention 7 to 8",
		"a 2 to 2, retention 604800000 to 9", "broker retention 9, visible true",
		"gone a, visible false",
	}
	if !slices.Equal(seen, want) {
		t.Errorf("seen\n%s\nwant\n%s", strings.Join(seen, "\n"), strings.Join(want, "\n"))
	}
}

func TestDurableChangesAreSeenThoughAWatcherPanics(t *testing.T) {
	meta := newMeta()
	c := open(t, meta)
	c.Watch(func(Change) { panic("a bug") })
	func() {
		defer func() {
			if recover() == nil {
				t.Error("no panic")
			}
		}()
		_, _, _ = c.Create([]NewTopic{plain("a")}, false)
	}()
	if c.Topic("a") == nil || open(t, meta).Topic("a") == nil {
		t.Error("memory and store differ")
	}
	if _, errs, err := c.Create([]NewTopic{plain("a")}, false); err != nil || errs[0] == nil { // and the lock is free
		t.Error(errs, err)
	}
}

func TestNewerDocumentsAreRefused(t *testing.T) {
	for key, value := range map[string]string{
		"cluster":              `{"v":2}`,
		"topic/a":              `{"v":3,"name":"a"}`,
		"deleting/00":          `{"v":1}`,
		"config/broker/":       `{"v":3}`,
		"config/broker/1":      `x`,
		"topic/b":              `{"v":1,"name":"c","id":"00000000000040008000000000000001","partitions":1}`,
		"topic/none":           `{"v":1,"name":"none","id":"00000000000040008000000000000001","partitions":0}`,
		"topic/short-id":       `{"v":1,"name":"short-id","id":"01","partitions":1}`,
		"topic/two\nlines":     `{"v":1,"name":"two\nlines","id":"00000000000040008000000000000001","partitions":1}`,
		"deleting/not-an-id-x": `{"v":1,"name":"x","partitions":1}`,
	} {
		meta := newMeta()
		meta.m[key] = []byte(value)
		_, err := Open(meta, config.Default(), Options{})
		if err == nil || !strings.Contains(err.Error(), "read ") {
			t.Errorf("%s: %v", key, err)
		}
		if (key == "cluster" || key == "topic/a") && !errors.Is(err, storage.ErrVersion) {
			t.Errorf("%s: %v is not ErrVersion", key, err)
		}
	}
}

func TestStoredConfigsThatDoNotFitAnyMoreAreIgnored(t *testing.T) {
	meta := newMeta()
	meta.m["topic/a"] = []byte(`{"v":1,"name":"a","id":"00000000000040008000000000000001","partitions":1,"configs":{"retention.ms":"5","gone":"1","segment.bytes":"0"}}`)
	meta.m["config/broker/"] = []byte(`{"v":1,"configs":{"message.max.bytes":"200000000","log.retention.ms":"6","gone":"1"}}`)
	c := open(t, meta)
	a := c.Topic("a")
	if a.Settings.RetentionMs != 5 || a.Settings.SegmentBytes != 1<<30 || len(a.Configs) != 1 || *c.Config().LogRetentionMs != 6 || c.Config().MessageMaxBytes != 10485760 {
		t.Errorf("%+v %+v", a, a.Settings)
	}
	if len(c.Warnings()) != 4 {
		t.Errorf("warnings %q", c.Warnings())
	}
	alter(t, c, nil, ConfigChange{Resource: Resource{Broker: true}, Ops: []ConfigOp{{"log.retention.ms", Set, ptr("9")}}})
	alter(t, c, nil, ConfigChange{Resource: Resource{Name: "a"}, Ops: []ConfigOp{{"retention.ms", Set, ptr("9")}}})
}

func BenchmarkTopic(b *testing.B) {
	c, err := Open(newMeta(), config.Default(), Options{})
	if err != nil {
		b.Fatal(err)
	}
	if _, err := c.Ensure("orders"); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if c.Topic("orders") == nil {
			b.Fatal("gone")
		}
	}
}

func BenchmarkCreateAmong10000(b *testing.B) {
	c, err := Open(newMeta(), config.Default(), Options{})
	if err != nil {
		b.Fatal(err)
	}
	var many []NewTopic
	for i := range 10000 {
		many = append(many, plain(fmt.Sprint("t", i)))
	}
	if _, _, err := c.Create(many, false); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		t, err := c.Ensure(fmt.Sprint("x", i))
		if err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		if _, _, err := c.Delete([]storage.TopicID{t.ID}); err != nil {
			b.Fatal(err)
		}
		if err := c.Forget(t.ID); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
		i++
	}
}
