package wire

import (
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/streamweir/streamweir/integration/harness"
)

// createTopics asks and returns the answers by topic.
func (e *env) createTopics(req *kmsg.CreateTopicsRequest) []kmsg.CreateTopicsResponseTopic {
	e.t.Helper()
	return harness.Ask[*kmsg.CreateTopicsResponse](e.t, e.c, harness.At(req, 7)).Topics
}

// What CreateTopics refuses, with the code for it.
func TestCreateTopicsRefusals(t *testing.T) {
	e := newEnv(t, 1)
	config := func(k, v string) func(*kmsg.CreateTopicsRequestTopic) {
		return func(rt *kmsg.CreateTopicsRequestTopic) {
			rc := kmsg.NewCreateTopicsRequestTopicConfig()
			rc.Name, rc.Value = k, &v
			rt.Configs = append(rt.Configs, rc)
		}
	}
	assign := func(partition int32, replicas ...int32) func(*kmsg.CreateTopicsRequestTopic) {
		return func(rt *kmsg.CreateTopicsRequestTopic) {
			a := kmsg.NewCreateTopicsRequestTopicReplicaAssignment()
			a.Partition, a.Replicas = partition, replicas
			rt.ReplicaAssignment = append(rt.ReplicaAssignment, a)
			rt.NumPartitions, rt.ReplicationFactor = -1, -1
		}
	}
	for _, c := range []struct {
		name   string
		change func(*kmsg.CreateTopicsRequestTopic)
		want   *kerr.Error
	}{
		{"exists", func(rt *kmsg.CreateTopicsRequestTopic) { rt.Topic = e.topic }, kerr.TopicAlreadyExists},
		{"three replicas on one broker", func(rt *kmsg.CreateTopicsRequestTopic) { rt.ReplicationFactor = 3 }, kerr.InvalidReplicationFactor},
		{"no replicas", func(rt *kmsg.CreateTopicsRequestTopic) { rt.ReplicationFactor = 0 }, kerr.InvalidReplicationFactor},
		{"no partitions", func(rt *kmsg.CreateTopicsRequestTopic) { rt.NumPartitions = 0 }, kerr.InvalidPartitions},
		{"fewer than no partitions", func(rt *kmsg.CreateTopicsRequestTopic) { rt.NumPartitions = -2 }, kerr.InvalidPartitions},
		{"an empty name", func(rt *kmsg.CreateTopicsRequestTopic) { rt.Topic = "" }, kerr.InvalidTopicException},
		{"the name .", func(rt *kmsg.CreateTopicsRequestTopic) { rt.Topic = "." }, kerr.InvalidTopicException},
		{"the name ..", func(rt *kmsg.CreateTopicsRequestTopic) { rt.Topic = ".." }, kerr.InvalidTopicException},
		{"a name with a space", func(rt *kmsg.CreateTopicsRequestTopic) { rt.Topic = "a b" }, kerr.InvalidTopicException},
		{"a name with a slash", func(rt *kmsg.CreateTopicsRequestTopic) { rt.Topic = "../x" }, kerr.InvalidTopicException},
		{"a name of 250 letters", func(rt *kmsg.CreateTopicsRequestTopic) { rt.Topic = strings.Repeat("x", 250) }, kerr.InvalidTopicException},
		{"an unknown config", config("no.such.config", "1"), kerr.InvalidConfig},
		{"a retention that is no number", config("retention.ms", "soon"), kerr.InvalidConfig},
		{"an unknown cleanup policy", config("cleanup.policy", "burn"), kerr.InvalidConfig},
		{"an unknown codec", config("compression.type", "rar"), kerr.InvalidConfig},
		{"a replica on an unknown broker", assign(0, 77), kerr.InvalidReplicaAssignment},
		{"partitions that do not begin at 0", assign(1, 1), kerr.InvalidReplicaAssignment},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := e.with(t)
			req := createTopicsReq(harness.Name(t, "c"), 1)
			c.change(&req.Topics[0])
			got := e.createTopics(req)
			if len(got) != 1 || got[0].ErrorCode != c.want.Code {
				t.Errorf("%v (%s), want %v", kerr.ErrorForCode(got[0].ErrorCode), str(got[0].ErrorMessage), c.want)
			}
		})
	}
}

// Defaults, names that stand for one metric, duplicates in a request, and
// validate-only.
func TestCreateTopics(t *testing.T) {
	e := newEnv(t, 1)
	name := harness.Name(t, "d")
	drop := func(name string) {
		_, _ = harness.Admin(t, e.s).DeleteTopics(harness.Context(t, harness.Long), name)
	}
	req := createTopicsReq(name, -1)
	req.Topics[0].ReplicationFactor = -1
	req.ValidateOnly = true
	if got := e.createTopics(req)[0]; got.ErrorCode != 0 || got.NumPartitions != 1 || got.ReplicationFactor != 1 {
		t.Errorf("validate only: %v, %d partitions, replication factor %d", kerr.ErrorForCode(got.ErrorCode), got.NumPartitions, got.ReplicationFactor)
	}
	if code := e.metadataOf(name, false).ErrorCode; code != kerr.UnknownTopicOrPartition.Code {
		t.Errorf("validate only has made the topic: %v", kerr.ErrorForCode(code))
	}
	req.ValidateOnly = false
	if got := e.createTopics(req)[0]; got.ErrorCode != 0 {
		t.Errorf("create: %v", kerr.ErrorForCode(got.ErrorCode))
	}
	defer drop(name)

	dotted := harness.Name(t, "x") + ".a_b"
	if got := e.createTopics(createTopicsReq(dotted, 1))[0]; got.ErrorCode != 0 {
		t.Fatalf("create %s: %v", dotted, kerr.ErrorForCode(got.ErrorCode))
	}
	defer drop(dotted)
	twin := strings.Replace(dotted, ".a_b", "_a.b", 1)
	if got := e.createTopics(createTopicsReq(twin, 1))[0]; got.ErrorCode != kerr.InvalidTopicException.Code {
		t.Errorf("%s beside %s: %v, want INVALID_TOPIC_EXCEPTION", twin, dotted, kerr.ErrorForCode(got.ErrorCode))
		drop(twin)
	}

	twice := createTopicsReq(harness.Name(t, "twice"), 1)
	twice.Topics = append(twice.Topics, twice.Topics[0])
	for _, got := range e.createTopics(twice) {
		if got.ErrorCode != kerr.InvalidRequest.Code {
			t.Errorf("named twice: %v, want INVALID_REQUEST", kerr.ErrorForCode(got.ErrorCode))
		}
	}
}

// metadataOf asks for one topic.
func (e *env) metadataOf(name string, create bool) kmsg.MetadataResponseTopic {
	e.t.Helper()
	req := harness.At(kmsg.NewPtrMetadataRequest(), metadataV)
	req.AllowAutoTopicCreation = create
	rt := kmsg.NewMetadataRequestTopic()
	rt.Topic = &name
	req.Topics = append(req.Topics, rt)
	r := harness.Ask[*kmsg.MetadataResponse](e.t, e.c, req)
	if len(r.Topics) != 1 {
		e.t.Fatalf("metadata of %q: %d topics", name, len(r.Topics))
	}
	return r.Topics[0]
}

// Metadata: all topics, none, unknown ones, and those that asking creates.
func TestMetadata(t *testing.T) {
	e := newEnv(t, 1)
	ask := func(v int16, topics []kmsg.MetadataRequestTopic) []kmsg.MetadataResponseTopic {
		req := harness.At(kmsg.NewPtrMetadataRequest(), v)
		req.Topics = topics
		return harness.Ask[*kmsg.MetadataResponse](t, e.c, req).Topics
	}
	has := func(ts []kmsg.MetadataResponseTopic) bool {
		for _, tp := range ts {
			if str(tp.Topic) == e.topic {
				return true
			}
		}
		return false
	}
	if !has(ask(12, nil)) {
		t.Error("null does not mean all topics")
	}
	if !has(ask(0, []kmsg.MetadataRequestTopic{})) {
		t.Error("in v0 an empty list does not mean all topics")
	}
	if n := len(ask(12, []kmsg.MetadataRequestTopic{})); n != 0 {
		t.Errorf("an empty list brought %d topics", n)
	}
	if c := e.metadataOf(harness.Name(t, "none"), false).ErrorCode; c != kerr.UnknownTopicOrPartition.Code {
		t.Errorf("an unknown topic: %v", kerr.ErrorForCode(c))
	}
	if c := e.metadataOf("bad name!", true).ErrorCode; c != kerr.InvalidTopicException.Code {
		t.Errorf("an impossible name: %v", kerr.ErrorForCode(c))
	}
	byID := kmsg.NewMetadataRequestTopic()
	byID.TopicID = e.id
	if ts := ask(12, []kmsg.MetadataRequestTopic{byID}); len(ts) != 1 || ts[0].ErrorCode != 0 || str(ts[0].Topic) != e.topic {
		t.Errorf("by topic id: %+v", ts)
	}
	byID.TopicID = [16]byte{7}
	if ts := ask(12, []kmsg.MetadataRequestTopic{byID}); len(ts) != 1 || ts[0].ErrorCode != kerr.UnknownTopicID.Code {
		t.Errorf("by an unknown topic id: %+v", ts)
	}

	name := harness.Name(t, "auto")
	harness.Eventually(t, harness.Long, "the topic that asking creates", func() error {
		return fault("metadata", e.metadataOf(name, true).ErrorCode)
	})
	if _, err := harness.Admin(t, e.s).DeleteTopics(harness.Context(t, harness.Long), name); err != nil {
		t.Error(err)
	}
}

// With auto.create.topics.enable=false asking creates nothing.
func TestNoAutoCreation(t *testing.T) {
	s := harness.Start(t, harness.Config("auto.create.topics.enable", "false"))
	e := &env{t: t, s: s, c: harness.Dial(t, s)}
	for range 3 {
		if c := e.metadataOf("wanted", true).ErrorCode; c != kerr.UnknownTopicOrPartition.Code {
			t.Errorf("asking for a topic: %v", kerr.ErrorForCode(c))
		}
	}
}

// A topic that is deleted and made again is another one: its log is empty and
// its old id is unknown.
func TestDeletedTopicIsAnother(t *testing.T) {
	e := newEnv(t, 1)
	e.produce(0, harness.Batch{Records: harness.Values("old")})
	adm := harness.Admin(t, e.s)
	ctx := harness.Context(t, harness.Long)
	if _, err := adm.DeleteTopics(ctx, e.topic); err != nil {
		t.Fatal(err)
	}
	old := e.id
	harness.Eventually(t, harness.Long, "the topic is gone", func() error {
		req := e.produceReq(13, 0, harness.Batch{Records: harness.Values("lost")}.Encode())
		if c := e.produced(harness.Ask[*kmsg.ProduceResponse](t, e.c, req)).ErrorCode; c != kerr.UnknownTopicID.Code {
			return kerr.ErrorForCode(c)
		}
		return nil
	})
	harness.CreateTopic(t, e.s, e.topic, 1)
	e.id = e.topicID(e.topic)
	if e.id == old {
		t.Error("the new topic has the old id")
	}
	if at := e.produce(0, harness.Batch{Records: harness.Values("new")}); at != 0 {
		t.Errorf("the first record of the new topic stands at %d", at)
	}
	x := *e
	x.id = old
	if p := x.fetch(x.fetchReq(13, 0, 0)); p.ErrorCode != kerr.UnknownTopicID.Code {
		t.Errorf("fetch by the old id: %v", kerr.ErrorForCode(p.ErrorCode))
	}
}

func TestDeleteTopicsErrors(t *testing.T) {
	e := newEnv(t, 1)
	req := harness.At(kmsg.NewPtrDeleteTopicsRequest(), 6)
	byName, byID := kmsg.NewDeleteTopicsRequestTopic(), kmsg.NewDeleteTopicsRequestTopic()
	byName.Topic = ptr(harness.Name(t, "none"))
	byID.TopicID = [16]byte{5}
	req.Topics = append(req.Topics, byName, byID)
	for _, tp := range harness.Ask[*kmsg.DeleteTopicsResponse](t, e.c, req).Topics {
		want := kerr.UnknownTopicOrPartition
		if tp.TopicID == byID.TopicID {
			want = kerr.UnknownTopicID
		}
		if tp.ErrorCode != want.Code {
			t.Errorf("%+v: %v, want %v", tp, kerr.ErrorForCode(tp.ErrorCode), want)
		}
	}
}

func TestCreatePartitionsErrors(t *testing.T) {
	e := newEnv(t, 3)
	ask := func(topic string, count int32) int16 {
		req := harness.At(kmsg.NewPtrCreatePartitionsRequest(), 3)
		req.TimeoutMillis = 30_000
		rt := kmsg.NewCreatePartitionsRequestTopic()
		rt.Topic, rt.Count = topic, count
		req.Topics = append(req.Topics, rt)
		return harness.Ask[*kmsg.CreatePartitionsResponse](t, e.c, req).Topics[0].ErrorCode
	}
	for _, c := range []struct {
		name  string
		topic string
		count int32
		want  *kerr.Error
	}{
		{"fewer", e.topic, 2, kerr.InvalidPartitions},
		{"as many", e.topic, 3, kerr.InvalidPartitions},
		{"negative", e.topic, -1, kerr.InvalidPartitions},
		{"an unknown topic", harness.Name(t, "none"), 5, kerr.UnknownTopicOrPartition},
	} {
		if got := ask(c.topic, c.count); got != c.want.Code {
			t.Errorf("%s: %v, want %v", c.name, kerr.ErrorForCode(got), c.want)
		}
	}
}

// New partitions keep what is in the old ones and take records at once.
func TestCreatePartitionsKeepsRecords(t *testing.T) {
	e := newEnv(t, 1)
	e.produce(0, harness.Batch{Records: harness.Values("kept")})
	if _, err := harness.Admin(t, e.s).CreatePartitions(harness.Context(t, harness.Long), 2, e.topic); err != nil {
		t.Fatal(err)
	}
	harness.Eventually(t, harness.Long, "the new partition takes a record", func() error {
		return fault("produce", e.try(2, harness.Batch{Records: harness.Values("new")}).ErrorCode)
	})
	if bs := e.batches(e.fetch(e.fetchReq(fetchV, 0, 0))); len(bs) != 1 {
		t.Errorf("%d batches in the old partition", len(bs))
	}
}
