package kafkaapi

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/zap"

	"github.com/streamweir/streamweir/broker"
	"github.com/streamweir/streamweir/broker/config"
	"github.com/streamweir/streamweir/broker/topic"
	"github.com/streamweir/streamweir/protocol/kafka"
	"github.com/streamweir/streamweir/storage"
	"github.com/streamweir/streamweir/storage/memstore"
)

// admin is a server without a network, whose handlers are called directly.
type admin struct {
	t     *testing.T
	s     *Server
	store *flaky
	conn  *conn
}

// flaky is a store whose metadata can be made to refuse the next write.
type flaky struct {
	*memstore.Store
	fail error
}

type flakyMeta struct {
	storage.Meta
	f *flaky
}

func (f *flaky) Meta() storage.Meta { return flakyMeta{f.Store.Meta(), f} }

func (m flakyMeta) Apply(ops ...storage.Op) error {
	if err := m.f.fail; err != nil {
		m.f.fail = nil
		return err
	}
	return m.Meta.Apply(ops...)
}

func newAdmin(t *testing.T, set ...string) *admin {
	t.Helper()
	cfg, _, err := config.Load(config.Source{Set: set})
	if err != nil {
		t.Fatal(err)
	}
	store := &flaky{Store: memstore.New(memstore.Options{})}
	core, err := broker.Open(store, cfg, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		core.Close()
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	s, err := New(core, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	return &admin{t, s, store, &conn{s: s, log: zap.NewNop(), listener: &listener{host: "broker.example", port: 19092}}}
}

// ask gives a request to its handler as it would come over the wire, and
// returns the response as it would arrive.
func (a *admin) ask(version int16, req kmsg.Request) kmsg.Response {
	a.t.Helper()
	req.SetVersion(version)
	got := kmsg.RequestForKey(req.Key())
	got.SetVersion(version)
	if err := got.ReadFrom(req.AppendTo(nil)); err != nil {
		a.t.Fatal(err)
	}
	k := &call{c: a.conn, key: kafka.Key(req.Key()), version: version, req: got}
	handlers[req.Key()](a.s, k)
	if k.resp == nil {
		a.t.Fatalf("%s version %d is not answered", kmsg.NameForKey(req.Key()), version)
	}
	resp := req.ResponseKind()
	resp.SetVersion(version)
	if err := resp.ReadFrom(k.resp.AppendTo(nil)); err != nil {
		a.t.Fatal(err)
	}
	return resp
}

// versions calls fn for each version of an API that is served.
func versions(t *testing.T, key kafka.Key, fn func(t *testing.T, version int16)) {
	t.Helper()
	r, ok := kafka.ServedVersions(key)
	if !ok {
		t.Fatalf("%s is not served", key)
	}
	for v := r.Min; v <= r.Max; v++ {
		t.Run(fmt.Sprint("v", v), func(t *testing.T) { fn(t, v) })
	}
}

// name is the name of an error code.
func name(code int16) string {
	if code == 0 {
		return "ok"
	}
	return kerr.TypedErrorForCode(code).Message
}

// wantLines compares lists of short descriptions.
func wantLines(t *testing.T, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("got\n\t%s\nwant\n\t%s", strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
	}
}

func (a *admin) create(name string, partitions int32, configs ...string) *topic.Topic {
	a.t.Helper()
	n := topic.NewTopic{Name: name, Partitions: partitions, ReplicationFactor: 1}
	for i := 0; i < len(configs); i += 2 {
		n.Configs = append(n.Configs, topic.ConfigValue{Name: configs[i], Value: &configs[i+1]})
	}
	created, errs, err := a.s.core.Topics.Create([]topic.NewTopic{n}, false)
	if err != nil || errs[0] != nil {
		a.t.Fatal(err, errs)
	}
	return created[0]
}

func createReq(validateOnly bool, topics ...kmsg.CreateTopicsRequestTopic) *kmsg.CreateTopicsRequest {
	req := kmsg.NewPtrCreateTopicsRequest()
	req.Topics, req.ValidateOnly, req.TimeoutMillis = topics, validateOnly, 1000
	return req
}

func reqTopic(name string, partitions int32, factor int16) kmsg.CreateTopicsRequestTopic {
	t := kmsg.NewCreateTopicsRequestTopic()
	t.Topic, t.NumPartitions, t.ReplicationFactor = name, partitions, factor
	return t
}

func TestCreateTopics(t *testing.T) {
	versions(t, kafka.CreateTopics, func(t *testing.T, v int16) {
		a := newAdmin(t)
		a.create("there", 1)
		configured := reqTopic("configured", 3, -1)
		configured.Configs = []kmsg.CreateTopicsRequestTopicConfig{{Name: "retention.ms", Value: kmsg.StringPtr("5")}}
		null := reqTopic("null", 1, 1)
		null.Configs = []kmsg.CreateTopicsRequestTopicConfig{{Name: "retention.ms"}}
		assigned := reqTopic("assigned", -1, -1)
		assigned.ReplicaAssignment = []kmsg.CreateTopicsRequestTopicReplicaAssignment{{Partition: 0, Replicas: []int32{1}}}
		req := createReq(false, reqTopic("a", 2, 1), reqTopic("twice", 1, 1), reqTopic("twice", 1, 1), reqTopic("", 1, 1),
			reqTopic("there", 1, 1), reqTopic("replicated", 1, 3), reqTopic("empty", 0, 1), configured, null, assigned)
		var got []string
		for _, rt := range a.ask(v, req).(*kmsg.CreateTopicsResponse).Topics {
			line := fmt.Sprintf("%s %s", rt.Topic, name(rt.ErrorCode))
			made := a.s.core.Topics.Topic(rt.Topic)
			if v >= 5 && rt.ErrorCode == 0 {
				line += fmt.Sprintf(" %d/%d %d configs", rt.NumPartitions, rt.ReplicationFactor, len(rt.Configs))
			}
			if v >= 7 && rt.ErrorCode == 0 && made.ID != rt.TopicID {
				t.Errorf("%s has id %x, not %x", rt.Topic, made.ID, rt.TopicID)
			}
			if (rt.ErrorMessage == nil) != (rt.ErrorCode == 0) {
				t.Errorf("%s: message %v", rt.Topic, rt.ErrorMessage)
			}
			got = append(got, line)
		}
		more := func(line string) string {
			if v >= 5 {
				line += " 34 configs"
				return line
			}
			return strings.Join(strings.Fields(line)[:2], " ")
		}
		wantLines(t, got, more("a ok 2/1"), "twice INVALID_REQUEST", " INVALID_TOPIC_EXCEPTION", "there TOPIC_ALREADY_EXISTS",
			"replicated INVALID_REPLICATION_FACTOR", "empty INVALID_PARTITIONS", more("configured ok 3/1"), "null INVALID_CONFIG", more("assigned ok 1/1"))
		if c := a.s.core.Topics.Topic("configured"); c.Settings.RetentionMs != 5 || a.s.core.Partitions.Get(c.ID, 2) == nil {
			t.Errorf("%+v", c)
		}
		if a.s.core.Topics.Topic("twice") != nil {
			t.Error("twice was created")
		}
		if n := len(a.ask(v, createReq(false)).(*kmsg.CreateTopicsResponse).Topics); n != 0 {
			t.Errorf("%d answers to nothing", n)
		}
		rt := a.ask(v, createReq(true, reqTopic("only", 2, 1))).(*kmsg.CreateTopicsResponse).Topics[0]
		if rt.ErrorCode != 0 || v >= 5 && rt.NumPartitions != 2 || a.s.core.Topics.Topic("only") != nil {
			t.Errorf("validate only: %+v", rt)
		}
	})
}

func TestStorageErrorsOfAdminRequests(t *testing.T) {
	a := newAdmin(t)
	x := a.create("x", 1)
	for what, ask := range map[string]func() (int16, *string){
		"create": func() (int16, *string) {
			rt := a.ask(7, createReq(false, reqTopic("a", 1, 1))).(*kmsg.CreateTopicsResponse).Topics[0]
			return rt.ErrorCode, rt.ErrorMessage
		},
		"delete": func() (int16, *string) {
			rt := a.ask(6, deleteReq(byID(x.ID))).(*kmsg.DeleteTopicsResponse).Topics[0]
			return rt.ErrorCode, rt.ErrorMessage
		},
		"grow": func() (int16, *string) {
			rt := a.ask(3, growReq(false, kmsg.CreatePartitionsRequestTopic{Topic: "x", Count: 3})).(*kmsg.CreatePartitionsResponse).Topics[0]
			return rt.ErrorCode, rt.ErrorMessage
		},
		"alter": func() (int16, *string) {
			rr := a.ask(1, incrementalReq(false, kmsg.ConfigResourceTypeTopic, "x", change("retention.ms", 0, "5"))).(*kmsg.IncrementalAlterConfigsResponse).Resources[0]
			return rr.ErrorCode, rr.ErrorMessage
		},
	} {
		a.store.fail = errors.New("secret path")
		code, message := ask()
		if code != kerr.KafkaStorageError.Code || message == nil || strings.Contains(*message, "secret") {
			t.Errorf("%s: %s %v", what, name(code), message)
		}
	}
	if a.s.core.Topics.Topic("x") != x || a.s.core.Topics.Topic("a") != nil {
		t.Error("a failed request changed something")
	}
}

func deleteReq(topics ...kmsg.DeleteTopicsRequestTopic) *kmsg.DeleteTopicsRequest {
	req := kmsg.NewPtrDeleteTopicsRequest()
	req.Topics, req.TimeoutMillis = topics, 1000
	for _, t := range topics {
		if t.Topic != nil {
			req.TopicNames = append(req.TopicNames, *t.Topic)
		}
	}
	return req
}

func byName(name string) kmsg.DeleteTopicsRequestTopic {
	return kmsg.DeleteTopicsRequestTopic{Topic: &name}
}

func byID(id storage.TopicID) kmsg.DeleteTopicsRequestTopic {
	return kmsg.DeleteTopicsRequestTopic{TopicID: id}
}

func (a *admin) deleted(v int16, topics ...kmsg.DeleteTopicsRequestTopic) []string {
	var got []string
	for _, rt := range a.ask(v, deleteReq(topics...)).(*kmsg.DeleteTopicsResponse).Topics {
		n := "-"
		if rt.Topic != nil {
			n = *rt.Topic
		}
		got = append(got, fmt.Sprintf("%s %s", n, name(rt.ErrorCode)))
	}
	slices.Sort(got)
	return got
}

func TestDeleteTopics(t *testing.T) {
	versions(t, kafka.DeleteTopics, func(t *testing.T, v int16) {
		a := newAdmin(t)
		x := a.create("x", 3)
		a.create("y", 1)
		wantLines(t, a.deleted(v))
		wantLines(t, a.deleted(v, byName("y"), byName("y"), byName("none"), byName("none"), byName("")),
			" UNKNOWN_TOPIC_OR_PARTITION", "none INVALID_REQUEST", "y INVALID_REQUEST")
		wantLines(t, a.deleted(v, byName("x"), byName("nope")), "nope UNKNOWN_TOPIC_OR_PARTITION", "x ok")
		if a.s.core.Topics.Topic("x") != nil || a.s.core.Partitions.Get(x.ID, 0) != nil || len(a.s.core.Topics.Deleting()) != 0 {
			t.Error("x is still there")
		}
		if a.s.core.Topics.Topic("y") == nil {
			t.Error("y is gone")
		}
	})
}

func TestDeleteTopicsByID(t *testing.T) {
	a := newAdmin(t)
	x, y := a.create("x", 1), a.create("y", 1)
	both := byID(x.ID)
	both.Topic = kmsg.StringPtr("x")
	wantLines(t, a.deleted(6, both, byID(storage.TopicID{9}), byID(storage.TopicID{})),
		"- INVALID_REQUEST", "- UNKNOWN_TOPIC_ID", "x INVALID_REQUEST")
	wantLines(t, a.deleted(6, byName("x"), byID(x.ID), byID(y.ID), byID(y.ID)), "- INVALID_REQUEST", "x INVALID_REQUEST")
	if len(a.s.core.Topics.Topics()) != 2 {
		t.Fatal("a topic was deleted")
	}
	wantLines(t, a.deleted(6, byID(x.ID), byName("y")), "x ok", "y ok")
}

func TestDeletionDisabled(t *testing.T) {
	versions(t, kafka.DeleteTopics, func(t *testing.T, v int16) {
		a := newAdmin(t, "delete.topic.enable=false")
		a.create("x", 1)
		want := "TOPIC_DELETION_DISABLED"
		if v < 3 {
			want = "INVALID_REQUEST"
		}
		wantLines(t, a.deleted(v, byName("x"), byName("none")), "none "+want, "x "+want)
		if a.s.core.Topics.Topic("x") == nil {
			t.Error("x is gone")
		}
	})
}

func growReq(validateOnly bool, topics ...kmsg.CreatePartitionsRequestTopic) *kmsg.CreatePartitionsRequest {
	req := kmsg.NewPtrCreatePartitionsRequest()
	req.Topics, req.ValidateOnly, req.TimeoutMillis = topics, validateOnly, 1000
	return req
}

func TestCreatePartitions(t *testing.T) {
	versions(t, kafka.CreatePartitions, func(t *testing.T, v int16) {
		a := newAdmin(t)
		x := a.create("x", 2)
		a.create("y", 2)
		grow := func(validateOnly bool, topics ...kmsg.CreatePartitionsRequestTopic) (got []string) {
			for _, rt := range a.ask(v, growReq(validateOnly, topics...)).(*kmsg.CreatePartitionsResponse).Topics {
				got = append(got, rt.Topic+" "+name(rt.ErrorCode))
			}
			return got
		}
		to := func(name string, count int32) kmsg.CreatePartitionsRequestTopic {
			return kmsg.CreatePartitionsRequestTopic{Topic: name, Count: count}
		}
		empty := to("x", 3)
		empty.Assignment = []kmsg.CreatePartitionsRequestTopicAssignment{}
		wantLines(t, grow(false))
		wantLines(t, grow(false, to("x", 2), to("y", 3), to("y", 4), to("none", 2), to("", 2)),
			"x INVALID_PARTITIONS", "y INVALID_REQUEST", "none UNKNOWN_TOPIC_OR_PARTITION", " UNKNOWN_TOPIC_OR_PARTITION")
		wantLines(t, grow(false, to("x", -1), empty), "x INVALID_REQUEST")
		wantLines(t, grow(false, empty), "x INVALID_REPLICA_ASSIGNMENT")
		wantLines(t, grow(true, to("x", 4)), "x ok")
		if a.s.core.Topics.Topic("x") != x {
			t.Error("validating changed x")
		}
		wantLines(t, grow(false, to("x", 4)), "x ok")
		if a.s.core.Topics.Topic("x").Partitions != 4 || a.s.core.Partitions.Get(x.ID, 3) == nil {
			t.Error("x has not grown")
		}
	})
}

func TestDescribeCluster(t *testing.T) {
	versions(t, kafka.DescribeCluster, func(t *testing.T, v int16) {
		a := newAdmin(t, "node.id=7", "cluster.id=abc")
		req := kmsg.NewPtrDescribeClusterRequest()
		resp := a.ask(v, req).(*kmsg.DescribeClusterResponse)
		if resp.ErrorCode != 0 || resp.ClusterID != "abc" || resp.ControllerID != 7 || len(resp.Brokers) != 1 || resp.ClusterAuthorizedOperations != -1<<31 {
			t.Fatalf("%+v", resp)
		}
		if b := resp.Brokers[0]; b.NodeID != 7 || b.Host != "broker.example" || b.Port != 19092 || b.Rack != nil || b.IsFenced {
			t.Errorf("%+v", b)
		}
		req.IncludeClusterAuthorizedOperations = true
		if resp = a.ask(v, req).(*kmsg.DescribeClusterResponse); resp.ClusterAuthorizedOperations != 8096 {
			t.Errorf("operations %d", resp.ClusterAuthorizedOperations)
		}
		if v < 1 {
			return
		}
		for kind, want := range map[int8]string{2: "MISMATCHED_ENDPOINT_TYPE", 3: "UNSUPPORTED_ENDPOINT_TYPE", 0: "UNSUPPORTED_ENDPOINT_TYPE"} {
			req.EndpointType = kind
			if resp = a.ask(v, req).(*kmsg.DescribeClusterResponse); name(resp.ErrorCode) != want || len(resp.Brokers) != 0 || resp.ErrorMessage == nil {
				t.Errorf("endpoint type %d: %+v", kind, resp)
			}
		}
	})
}

func TestListConfigResources(t *testing.T) {
	a := newAdmin(t)
	a.create("x", 1)
	a.create("y", 1)
	list := func(v int16, types ...int8) (got []string) {
		req := kmsg.NewPtrListConfigResourcesRequest()
		req.ResourceTypes = types
		resp := a.ask(v, req).(*kmsg.ListConfigResourcesResponse)
		got = append(got, name(resp.ErrorCode))
		for _, r := range resp.ConfigResources {
			got = append(got, fmt.Sprint(r.Type, " ", r.Name))
		}
		return got
	}
	wantLines(t, list(0), "ok")
	wantLines(t, list(1), "ok", "4 1", "2 x", "2 y")
	wantLines(t, list(1, 2), "ok", "2 x", "2 y")
	wantLines(t, list(1, 4, 8, 16, 32), "ok", "4 1")
	wantLines(t, list(1, 2, 99), "UNSUPPORTED_VERSION")
}

// Whatever a client sends, an admin request is answered, and the answer can be
// read.
func FuzzAdminRequests(f *testing.F) {
	keys := []kafka.Key{kafka.CreateTopics, kafka.DeleteTopics, kafka.CreatePartitions, kafka.DescribeConfigs, kafka.AlterConfigs,
		kafka.IncrementalAlterConfigs, kafka.DescribeCluster, kafka.DescribeLogDirs, kafka.DescribeTopicPartitions, kafka.ListConfigResources}
	seed := func(key kafka.Key, req kmsg.Request) {
		r, _ := kafka.ServedVersions(key)
		for v := r.Min; v <= r.Max; v++ {
			req.SetVersion(v)
			f.Add(int16(slices.Index(keys, key)), v, req.AppendTo(nil))
		}
	}
	configured := reqTopic("a", 1, 1)
	configured.Configs = []kmsg.CreateTopicsRequestTopicConfig{{Name: "retention.ms", Value: kmsg.StringPtr("5")}}
	seed(kafka.CreateTopics, createReq(false, configured, reqTopic("b", -1, -1)))
	seed(kafka.DeleteTopics, deleteReq(byName("x"), byName("y")))
	seed(kafka.CreatePartitions, growReq(false, kmsg.CreatePartitionsRequestTopic{Topic: "x", Count: 3}))
	seed(kafka.DescribeConfigs, describeReq(resource(ofTopic, "x"), resource(ofBroker, "1", "node.id")))
	seed(kafka.IncrementalAlterConfigs, incrementalReq(false, ofTopic, "x", change("cleanup.policy", 2, "compact")))
	seed(kafka.IncrementalAlterConfigs, incrementalReq(false, ofBroker, "", change("log.retention.ms", 0, "5")))
	alter := kmsg.NewPtrAlterConfigsRequest()
	alter.Resources = []kmsg.AlterConfigsRequestResource{{ResourceType: ofTopic, ResourceName: "x"}}
	seed(kafka.AlterConfigs, alter)
	dirs := kmsg.NewPtrDescribeLogDirsRequest()
	dirs.Topics = []kmsg.DescribeLogDirsRequestTopic{{Topic: "x", Partitions: []int32{0}}}
	seed(kafka.DescribeLogDirs, dirs)
	pages := kmsg.NewPtrDescribeTopicPartitionsRequest()
	pages.Topics = []kmsg.DescribeTopicPartitionsRequestTopic{{Topic: "x"}}
	pages.Cursor = &kmsg.DescribeTopicPartitionsRequestCursor{Topic: "x"}
	seed(kafka.DescribeTopicPartitions, pages)
	seed(kafka.DescribeCluster, kmsg.NewPtrDescribeClusterRequest())
	types := kmsg.NewPtrListConfigResourcesRequest()
	types.ResourceTypes = []int8{2}
	seed(kafka.ListConfigResources, types)

	f.Fuzz(func(t *testing.T, at, version int16, body []byte) {
		key := keys[int(uint16(at))%len(keys)]
		r, _ := kafka.ServedVersions(key)
		version = r.Min + int16(uint16(version)%uint16(r.Max-r.Min+1))
		req, err := kafka.DecodeRequest(kafka.RequestHeader{Key: key, Version: version}, body)
		if err != nil {
			return
		}
		a := newAdmin(t)
		a.create("x", 1)
		k := &call{c: a.conn, key: key, version: version, req: req}
		handlers[key](a.s, k)
		if k.resp == nil {
			t.Fatal("not answered")
		}
		resp := kmsg.ResponseForKey(int16(key))
		resp.SetVersion(version)
		encoded := k.resp.AppendTo(nil)
		if err := resp.ReadFrom(encoded); err != nil {
			t.Fatalf("%s version %d: the answer cannot be read: %v", key, version, err)
		}
		if len(encoded) > 1<<24 && len(body) < 1<<12 {
			t.Errorf("%s version %d: %d bytes make an answer of %d", key, version, len(body), len(encoded))
		}
	})
}

// A producer id without an epoch, or an epoch without an id, is nobody's.
func TestInitProducerIDNeedsBothOrNeither(t *testing.T) {
	a := newAdmin(t)
	for _, tc := range []struct {
		id    int64
		epoch int16
		want  string
	}{{-1, -1, "ok"}, {5, 0, "ok"}, {5, -1, "INVALID_REQUEST"}, {-1, 5, "INVALID_REQUEST"}} {
		req := kmsg.NewPtrInitProducerIDRequest()
		req.ProducerID, req.ProducerEpoch = tc.id, tc.epoch
		r := a.ask(4, req).(*kmsg.InitProducerIDResponse)
		if got := name(r.ErrorCode); got != tc.want || (r.ProducerID >= 0) != (got == "ok") {
			t.Errorf("%d/%d: %s, producer id %d, want %s", tc.id, tc.epoch, got, r.ProducerID, tc.want)
		}
	}
}
