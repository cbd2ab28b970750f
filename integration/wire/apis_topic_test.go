package wire

import (
	"errors"
	"fmt"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/streamweir/streamweir/integration/harness"
)

// topicAPIs are the keys about topics, brokers and their configs.
func topicAPIs() []api {
	return []api{
		{key: 3, min: 0, max: 13, ask: askMetadata},
		{key: 19, min: 2, max: 7, ask: askCreateTopics},
		{key: 20, min: 1, max: 6, ask: askDeleteTopics},
		{key: 32, min: 1, max: 4, ask: askDescribeConfigs},
		{key: 33, min: 0, max: 2, ask: askAlterConfigs},
		{key: 35, min: 1, max: 5, ask: askDescribeLogDirs},
		{key: 37, min: 0, max: 3, ask: askCreatePartitions},
		{key: 44, min: 0, max: 1, ask: askIncrementalAlterConfigs},
		{key: 60, min: 0, max: 2, ask: askDescribeCluster},
		{key: 74, min: 0, max: 1, ask: askListConfigResources},
		{key: 75, min: 0, max: 0, ask: askDescribeTopicPartitions},
	}
}

func askMetadata(e *env, v int16) (kmsg.Request, func(kmsg.Response) error) {
	req := kmsg.NewPtrMetadataRequest()
	rt := kmsg.NewMetadataRequestTopic()
	rt.Topic = &e.topic
	req.Topics = append(req.Topics, rt)
	return req, as(func(r *kmsg.MetadataResponse) error {
		if len(r.Topics) != 1 || len(r.Brokers) != 1 {
			return errors.New("not one topic and one broker")
		}
		tp, b := r.Topics[0], r.Brokers[0]
		if len(tp.Partitions) != 2 {
			return fmt.Errorf("%d partitions", len(tp.Partitions))
		}
		err := check(fault("metadata", tp.ErrorCode), equal("topic", str(tp.Topic), e.topic),
			equal("broker", fmt.Sprintf("%s:%d", b.Host, b.Port), e.s.Addr()))
		if v >= 1 {
			err = check(err, equal("controller", r.ControllerID, b.NodeID), equal("internal", tp.IsInternal, false))
		}
		if v >= 2 && str(r.ClusterID) == "" {
			err = check(err, errors.New("no cluster id"))
		}
		if v >= 10 {
			err = check(err, equal("topic id", tp.TopicID, e.id))
		}
		for _, p := range tp.Partitions {
			err = check(err, fault("partition", p.ErrorCode), equal("leader", p.Leader, b.NodeID),
				equal("replicas", fmt.Sprint(p.Replicas), fmt.Sprint([]int32{b.NodeID})),
				equal("in-sync replicas", fmt.Sprint(p.ISR), fmt.Sprint([]int32{b.NodeID})))
			if v >= 7 && p.LeaderEpoch < 0 {
				err = check(err, fmt.Errorf("leader epoch %d", p.LeaderEpoch))
			}
		}
		return err
	})
}

func createTopicsReq(name string, partitions int32) *kmsg.CreateTopicsRequest {
	req := kmsg.NewPtrCreateTopicsRequest()
	req.TimeoutMillis = 30_000
	rt := kmsg.NewCreateTopicsRequestTopic()
	rt.Topic, rt.NumPartitions, rt.ReplicationFactor = name, partitions, 1
	req.Topics = append(req.Topics, rt)
	return req
}

func askCreateTopics(e *env, v int16) (kmsg.Request, func(kmsg.Response) error) {
	name := harness.Name(e.t, "c")
	req := createTopicsReq(name, 3)
	cfg := kmsg.NewCreateTopicsRequestTopicConfig()
	cfg.Name, cfg.Value = "retention.ms", ptr("3600000")
	req.Topics[0].Configs = append(req.Topics[0].Configs, cfg)
	return req, as(func(r *kmsg.CreateTopicsResponse) error {
		if len(r.Topics) != 1 {
			return errors.New("not one topic")
		}
		tp := r.Topics[0]
		err := check(fault("create", tp.ErrorCode), equal("topic", tp.Topic, name))
		if v >= 5 {
			err = check(err, equal("partitions", tp.NumPartitions, 3), equal("replication factor", tp.ReplicationFactor, 1))
			value := ""
			for _, c := range tp.Configs {
				if c.Name == "retention.ms" {
					value = str(c.Value)
				}
			}
			err = check(err, equal("retention.ms", value, "3600000"))
		}
		if v >= 7 && tp.TopicID == [16]byte{} {
			err = check(err, errors.New("no topic id"))
		}
		_, del := harness.Admin(e.t, e.s).DeleteTopics(harness.Context(e.t, harness.Long), name)
		return check(err, del)
	})
}

func askDeleteTopics(e *env, v int16) (kmsg.Request, func(kmsg.Response) error) {
	x := newEnv(e.t, 1)
	req := kmsg.NewPtrDeleteTopicsRequest()
	req.TimeoutMillis = 30_000
	req.TopicNames = []string{x.topic}
	rt := kmsg.NewDeleteTopicsRequestTopic()
	rt.TopicID = x.id
	req.Topics = append(req.Topics, rt)
	return req, as(func(r *kmsg.DeleteTopicsResponse) error {
		if len(r.Topics) != 1 {
			return errors.New("not one topic")
		}
		tp := r.Topics[0]
		err := check(fault("delete", tp.ErrorCode), equal("topic", str(tp.Topic), x.topic))
		if v >= 6 {
			err = check(err, equal("topic id", tp.TopicID, x.id))
		}
		return err
	})
}

func askDescribeConfigs(e *env, v int16) (kmsg.Request, func(kmsg.Response) error) {
	req := kmsg.NewPtrDescribeConfigsRequest()
	rr := kmsg.NewDescribeConfigsRequestResource()
	rr.ResourceType, rr.ResourceName = kmsg.ConfigResourceTypeTopic, e.topic
	req.Resources = append(req.Resources, rr)
	req.IncludeSynonyms, req.IncludeDocumentation = true, true
	return req, as(func(r *kmsg.DescribeConfigsResponse) error {
		if len(r.Resources) != 1 {
			return errors.New("not one resource")
		}
		rr := r.Resources[0]
		err := fault("describe configs", rr.ErrorCode)
		for _, c := range rr.Configs {
			if c.Name != "retention.ms" {
				continue
			}
			err = check(err, equal("retention.ms", str(c.Value), "604800000"),
				equal("source", c.Source, kmsg.ConfigSourceDefaultConfig), equal("read only", c.ReadOnly, false))
			if v >= 3 {
				err = check(err, equal("type", c.ConfigType, kmsg.ConfigTypeLong))
				if len(str(c.Documentation)) < 20 {
					err = check(err, errors.New("no documentation"))
				}
			}
			return err
		}
		return check(err, errors.New("no retention.ms"))
	})
}

// configValue reads one config of a topic by DescribeConfigs.
func (e *env) configValue(topic, name string) kmsg.DescribeConfigsResponseResourceConfig {
	e.t.Helper()
	req := harness.At(kmsg.NewPtrDescribeConfigsRequest(), 4)
	rr := kmsg.NewDescribeConfigsRequestResource()
	rr.ResourceType, rr.ResourceName, rr.ConfigNames = kmsg.ConfigResourceTypeTopic, topic, []string{name}
	req.Resources = append(req.Resources, rr)
	req.IncludeSynonyms = true
	r := harness.Ask[*kmsg.DescribeConfigsResponse](e.t, e.c, req)
	if len(r.Resources) != 1 || r.Resources[0].ErrorCode != 0 || len(r.Resources[0].Configs) != 1 {
		e.t.Fatalf("describe %s of %s: %+v", name, topic, r.Resources)
	}
	return r.Resources[0].Configs[0]
}

func askAlterConfigs(e *env, v int16) (kmsg.Request, func(kmsg.Response) error) {
	x := newEnv(e.t, 1, "retention.bytes=1000000")
	req := kmsg.NewPtrAlterConfigsRequest()
	rr := kmsg.NewAlterConfigsRequestResource()
	rr.ResourceType, rr.ResourceName = kmsg.ConfigResourceTypeTopic, x.topic
	rc := kmsg.NewAlterConfigsRequestResourceConfig()
	rc.Name, rc.Value = "retention.ms", ptr("7200000")
	rr.Configs = append(rr.Configs, rc)
	req.Resources = append(req.Resources, rr)
	return req, as(func(r *kmsg.AlterConfigsResponse) error {
		if len(r.Resources) != 1 {
			return errors.New("not one resource")
		}
		err := fault("alter configs", r.Resources[0].ErrorCode)
		// This API replaces the whole set.
		return check(err, eventually(func() error {
			return check(equal("retention.ms", str(x.configValue(x.topic, "retention.ms").Value), "7200000"),
				equal("retention.bytes", str(x.configValue(x.topic, "retention.bytes").Value), "-1"))
		}))
	})
}

func askIncrementalAlterConfigs(e *env, v int16) (kmsg.Request, func(kmsg.Response) error) {
	x := newEnv(e.t, 1, "retention.bytes=1000000")
	req := kmsg.NewPtrIncrementalAlterConfigsRequest()
	rr := kmsg.NewIncrementalAlterConfigsRequestResource()
	rr.ResourceType, rr.ResourceName = kmsg.ConfigResourceTypeTopic, x.topic
	rc := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
	rc.Name, rc.Value, rc.Op = "retention.ms", ptr("7200000"), kmsg.IncrementalAlterConfigOpSet
	rr.Configs = append(rr.Configs, rc)
	req.Resources = append(req.Resources, rr)
	return req, as(func(r *kmsg.IncrementalAlterConfigsResponse) error {
		if len(r.Resources) != 1 {
			return errors.New("not one resource")
		}
		err := fault("incremental alter configs", r.Resources[0].ErrorCode)
		return check(err, eventually(func() error {
			return check(equal("retention.ms", str(x.configValue(x.topic, "retention.ms").Value), "7200000"),
				equal("retention.bytes", str(x.configValue(x.topic, "retention.bytes").Value), "1000000"))
		}))
	})
}

func askDescribeLogDirs(e *env, v int16) (kmsg.Request, func(kmsg.Response) error) {
	e.produce(0, harness.Batch{Records: harness.Values(strings.Repeat("x", 1000))})
	req := kmsg.NewPtrDescribeLogDirsRequest()
	rt := kmsg.NewDescribeLogDirsRequestTopic()
	rt.Topic, rt.Partitions = e.topic, []int32{0}
	req.Topics = append(req.Topics, rt)
	return req, as(func(r *kmsg.DescribeLogDirsResponse) error {
		if len(r.Dirs) != 1 || len(r.Dirs[0].Topics) != 1 || len(r.Dirs[0].Topics[0].Partitions) != 1 {
			return errors.New("not one directory, topic and partition")
		}
		d := r.Dirs[0]
		err := check(fault("directory", d.ErrorCode), equal("topic", d.Topics[0].Topic, e.topic))
		if size := d.Topics[0].Partitions[0].Size; size < 1000 {
			err = check(err, fmt.Errorf("size %d", size))
		}
		if d.Dir == "" {
			err = check(err, errors.New("no path"))
		}
		if v >= 4 && (d.TotalBytes <= 0 || d.UsableBytes <= 0 || d.UsableBytes > d.TotalBytes) {
			err = check(err, fmt.Errorf("%d of %d bytes usable", d.UsableBytes, d.TotalBytes))
		}
		return err
	})
}

func askCreatePartitions(e *env, v int16) (kmsg.Request, func(kmsg.Response) error) {
	x := newEnv(e.t, 1)
	req := kmsg.NewPtrCreatePartitionsRequest()
	req.TimeoutMillis = 30_000
	rt := kmsg.NewCreatePartitionsRequestTopic()
	rt.Topic, rt.Count = x.topic, 4
	req.Topics = append(req.Topics, rt)
	return req, as(func(r *kmsg.CreatePartitionsResponse) error {
		if len(r.Topics) != 1 {
			return errors.New("not one topic")
		}
		return check(fault("create partitions", r.Topics[0].ErrorCode), eventually(func() error {
			td, err := harness.Admin(e.t, e.s).ListTopics(harness.Context(e.t, harness.Long), x.topic)
			return check(err, equal("partitions", len(td[x.topic].Partitions), 4))
		}))
	})
}

func askDescribeCluster(e *env, v int16) (kmsg.Request, func(kmsg.Response) error) {
	req := kmsg.NewPtrDescribeClusterRequest()
	if v >= 1 {
		req.EndpointType = 1
	}
	return req, as(func(r *kmsg.DescribeClusterResponse) error {
		if len(r.Brokers) != 1 {
			return errors.New("not one broker")
		}
		b := r.Brokers[0]
		err := check(fault("describe cluster", r.ErrorCode), equal("controller", r.ControllerID, b.NodeID),
			equal("broker", fmt.Sprintf("%s:%d", b.Host, b.Port), e.s.Addr()))
		if r.ClusterID == "" {
			err = check(err, errors.New("no cluster id"))
		}
		return err
	})
}

func askListConfigResources(e *env, v int16) (kmsg.Request, func(kmsg.Response) error) {
	req := kmsg.NewPtrListConfigResourcesRequest()
	if v >= 1 {
		req.ResourceTypes = []int8{int8(kmsg.ConfigResourceTypeTopic)}
	}
	return req, as(func(r *kmsg.ListConfigResourcesResponse) error {
		err := fault("list config resources", r.ErrorCode)
		if v == 0 {
			// v0 lists the subscriptions to client metrics, of which there are none.
			return check(err, equal("resources", len(r.ConfigResources), 0))
		}
		for _, c := range r.ConfigResources {
			if c.Name == e.topic {
				return check(err, equal("type", c.Type, int8(kmsg.ConfigResourceTypeTopic)))
			}
		}
		return check(err, fmt.Errorf("%s is not among %d resources", e.topic, len(r.ConfigResources)))
	})
}

func askDescribeTopicPartitions(e *env, v int16) (kmsg.Request, func(kmsg.Response) error) {
	req := kmsg.NewPtrDescribeTopicPartitionsRequest()
	req.Topics = []kmsg.DescribeTopicPartitionsRequestTopic{{Topic: e.topic}}
	req.ResponsePartitionLimit = 1
	return req, as(func(r *kmsg.DescribeTopicPartitionsResponse) error {
		if len(r.Topics) != 1 || len(r.Topics[0].Partitions) != 1 || r.NextCursor == nil {
			return errors.New("not one topic, one partition and a cursor")
		}
		tp := r.Topics[0]
		err := check(fault("topic", tp.ErrorCode), equal("topic", str(tp.Topic), e.topic), equal("topic id", tp.TopicID, e.id),
			equal("cursor", fmt.Sprint(r.NextCursor.Topic, r.NextCursor.Partition), fmt.Sprint(e.topic, 1)))
		req.Cursor = &kmsg.DescribeTopicPartitionsRequestCursor{Topic: e.topic, Partition: 1}
		next, ask := e.c.RoundTrip(req)
		if ask != nil {
			return ask
		}
		rest := next.(*kmsg.DescribeTopicPartitionsResponse)
		if len(rest.Topics) != 1 || len(rest.Topics[0].Partitions) != 1 || rest.NextCursor != nil {
			return check(err, fmt.Errorf("from the cursor on: %+v", rest))
		}
		p := rest.Topics[0].Partitions[0]
		return check(err, fault("partition", p.ErrorCode), equal("partition", p.Partition, 1),
			equal("replicas", fmt.Sprint(p.Replicas), fmt.Sprint([]int32{p.LeaderID})))
	})
}

// eventually polls for what a broker may do a moment after its answer.
func eventually(fn func() error) error { return harness.Poll(harness.Long, fn) }
