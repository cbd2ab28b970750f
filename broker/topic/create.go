package topic

import (
	"maps"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
)

// MaxPartitionsPerRequest is the most partitions that one request may create,
// as in Apache Kafka.
const MaxPartitionsPerRequest = 10_000

// NewTopic says what topic to create.
type NewTopic struct {
	Name string
	// Partitions is the count, or -1 for the broker's num.partitions.
	Partitions int32
	// ReplicationFactor is 1, or -1 for the default.
	ReplicationFactor int16
	// Assignments place the replicas by hand; Partitions and ReplicationFactor
	// must then be -1.
	Assignments []Assignment
	Configs     []ConfigValue
	// Stream is what Kinesis creates: it gets a lineage of its own, of uniform
	// ranges. Nil for what Kafka creates.
	Stream *Stream
}

// Assignment places the replicas of one partition.
type Assignment struct {
	Partition int32
	Brokers   []int32
}

// ConfigValue is a config of a request; a nil value is refused.
type ConfigValue struct {
	Name  string
	Value *string
}

// Create creates the topics that it can and returns, for each, the topic or why
// there is none. What is created becomes durable together, or (with the third
// result) not at all. With validateOnly nothing is created. Internal topics are
// made by Ensure alone.
func (c *Catalogue) Create(topics []NewTopic, validateOnly bool) (created []*Topic, errs []error, err error) {
	return c.create(topics, validateOnly, false)
}

func (c *Catalogue) create(topics []NewTopic, validateOnly, internal bool) (created []*Topic, errs []error, err error) {
	created, errs = make([]*Topic, len(topics)), make([]error, len(topics))
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.begin()
	if err := e.checkTotal(topics); err != nil {
		for i := range errs {
			errs[i] = err
		}
		return created, errs, nil
	}
	count := map[string]int{}
	for i := range topics {
		count[topics[i].Name]++
	}
	for i := range topics {
		if count[topics[i].Name] > 1 {
			errs[i] = refuse(kerr.InvalidRequest, "topic '%s' stands in the request %d times", topics[i].Name, count[topics[i].Name])
			continue
		}
		if !internal && IsInternal(topics[i].Name) {
			errs[i] = brokersOwn(topics[i].Name)
			continue
		}
		t, err := c.build(e, &topics[i])
		if err != nil {
			errs[i] = err
			continue
		}
		created[i] = t
		e.put(t)
	}
	if validateOnly {
		return created, errs, nil
	}
	if err := c.commit(e); err != nil {
		return nil, nil, err
	}
	return created, errs, nil
}

// Ensure returns the topic of this name, and creates it with the broker's
// defaults if there is none; an internal topic gets the configs that its use
// needs.
func (c *Catalogue) Ensure(name string) (*Topic, error) {
	if t := c.Topic(name); t != nil {
		return t, nil
	}
	_, errs, err := c.create([]NewTopic{c.auto(name)}, false, true)
	if err != nil {
		return nil, err
	}
	if t := c.Topic(name); t != nil { // by this call, or by another in between
		return t, nil
	}
	return nil, errs[0]
}

// auto describes a topic that nobody has described.
func (c *Catalogue) auto(name string) NewTopic {
	n := NewTopic{Name: name, Partitions: -1, ReplicationFactor: -1}
	cfg := c.Config()
	set := func(pairs ...string) {
		for i := 0; i < len(pairs); i += 2 {
			n.Configs = append(n.Configs, ConfigValue{pairs[i], &pairs[i+1]})
		}
	}
	switch name {
	case ConsumerOffsets:
		n.Partitions = cfg.OffsetsTopicNumPartitions
		set("cleanup.policy", "compact", "compression.type", "producer",
			"segment.bytes", text(cfg.OffsetsTopicSegmentBytes))
	case TransactionState:
		n.Partitions = cfg.TransactionStateNumPartitions
		set("cleanup.policy", "compact", "compression.type", "uncompressed",
			"min.insync.replicas", "1", "unclean.leader.election.enable", "false",
			"segment.bytes", text(cfg.TransactionStateSegmentBytes))
	}
	return n
}

// checkTotal refuses a request as a whole that asks for too much.
func (e *edit) checkTotal(topics []NewTopic) error {
	total := int64(0)
	for i := range topics {
		switch n := &topics[i]; {
		case len(n.Assignments) > 0:
			total += int64(len(n.Assignments))
		case n.Partitions == -1:
			total += int64(e.config.NumPartitions)
		default:
			total += int64(max(n.Partitions, 0))
		}
	}
	if total > MaxPartitionsPerRequest {
		return refuse(kerr.PolicyViolation, "the request would create %d partitions; at most %d are allowed in one request", total, MaxPartitionsPerRequest)
	}
	return nil
}

// build checks one new topic by Kafka's rules and makes it, without adding it.
func (c *Catalogue) build(e *edit, n *NewTopic) (*Topic, error) {
	if n.Name == clusterMetadata {
		return nil, refuse(kerr.InvalidRequest, "creating the topic '%s' is not allowed", n.Name)
	}
	if err := CheckName(n.Name); err != nil {
		return nil, err
	}
	if e.byName[n.Name] != nil {
		return nil, refuse(kerr.TopicAlreadyExists, "Topic '%s' already exists.", n.Name)
	}
	// Kinesis has no such rule, and nothing here needs it.
	if n.Stream == nil && strings.ContainsAny(n.Name, "._") {
		if other, taken := e.collisions[collides(n.Name)]; taken {
			return nil, refuse(kerr.InvalidTopicException, "Topic '%s' differs from the existing topic '%s' only in '.' and '_'", n.Name, other)
		}
	}
	configs, err := e.newConfigs(n.Configs)
	if err != nil {
		return nil, err
	}
	partitions, err := c.place(e, n)
	if err != nil {
		return nil, err
	}
	if !IsInternal(n.Name) { // without those, no group and no transaction works
		if err := e.room(partitions, 1); err != nil {
			return nil, err
		}
	}
	t := &Topic{
		Name: n.Name, ID: c.newID(), Partitions: partitions, Configs: configs,
		Settings: e.settings(configs), Internal: IsInternal(n.Name), CreatedAt: c.now().Truncate(1e6),
	}
	t.Stream = implicitStream(t)
	if n.Stream != nil {
		s := *n.Stream
		s.Lineage, s.Own, s.kept = t.Stream.Lineage, true, true
		t.Stream = &s
	}
	return t, nil
}

// newConfigs checks the configs of a new topic.
func (e *edit) newConfigs(given []ConfigValue) (map[string]string, error) {
	var null []string
	configs := map[string]string{}
	for _, cv := range given {
		if cv.Value == nil {
			null = append(null, cv.Name)
		} else {
			configs[cv.Name] = *cv.Value
		}
	}
	if len(null) > 0 {
		return nil, refuse(kerr.InvalidConfig, "a topic config must have a value: %s", strings.Join(null, ","))
	}
	if err := e.checkConfigs(configs, slices.Sorted(maps.Keys(configs))); err != nil {
		return nil, err
	}
	return orNil(configs), nil
}

// place checks counts and manual assignments, and returns the partition count.
func (c *Catalogue) place(e *edit, n *NewTopic) (int32, error) {
	switch {
	case len(n.Assignments) > 0:
		if n.ReplicationFactor != -1 || n.Partitions != -1 {
			return 0, refuse(kerr.InvalidRequest, "with a manual assignment, the partition count and the replication factor must be -1")
		}
		return int32(len(n.Assignments)), c.checkAssignments(n.Assignments)
	case n.ReplicationFactor < -1 || n.ReplicationFactor == 0:
		return 0, refuse(kerr.InvalidReplicationFactor, "the replication factor must be larger than 0, or -1 for the default")
	case n.Partitions < -1 || n.Partitions == 0:
		return 0, refuse(kerr.InvalidPartitions, "the partition count must be larger than 0, or -1 for the default")
	case n.ReplicationFactor > 1:
		return 0, refuse(kerr.InvalidReplicationFactor, "a replication factor of %d needs as many brokers, and only 1 broker is registered", n.ReplicationFactor)
	case n.Partitions == -1:
		return e.config.NumPartitions, nil
	}
	return n.Partitions, nil
}

func (c *Catalogue) checkAssignments(as []Assignment) error {
	seen := make(map[int32]bool, len(as))
	for _, a := range as {
		if seen[a.Partition] {
			return refuse(kerr.InvalidReplicaAssignment, "the manual assignment names partition %d twice", a.Partition)
		}
		seen[a.Partition] = true
		if err := c.checkReplicas(a.Partition, a.Brokers); err != nil {
			return err
		}
	}
	for i := range int32(len(as)) {
		if !seen[i] {
			return refuse(kerr.InvalidReplicaAssignment, "the partitions of a manual assignment must be numbered from 0 without gaps; %d is missing", i)
		}
	}
	return nil
}

// checkReplicas accepts this broker, once: there is no other.
func (c *Catalogue) checkReplicas(partition int32, brokers []int32) error {
	if len(brokers) == 0 {
		return refuse(kerr.InvalidReplicaAssignment, "the manual assignment of partition %d has no replica", partition)
	}
	for _, id := range brokers {
		if id != c.static.NodeID {
			return refuse(kerr.InvalidReplicaAssignment, "the manual assignment of partition %d names broker %d, and no such broker is registered", partition, id)
		}
	}
	if len(brokers) > 1 {
		return refuse(kerr.InvalidReplicaAssignment, "the manual assignment of partition %d names broker %d more than once", partition, brokers[0])
	}
	return nil
}

// room refuses partitions and topics above the limits of the config.
func (e *edit) room(partitions int32, topics int) error {
	if have := len(e.byName); have+topics > int(e.config.MaxTopics) {
		return refuse(kerr.PolicyViolation, "there are %d topics already; max.topics allows %d", have, e.config.MaxTopics)
	}
	if e.partitions+int64(partitions) > int64(e.config.MaxPartitions) {
		return refuse(kerr.PolicyViolation, "there are %d partitions already, and max.partitions allows %d: no room for %d more", e.partitions, e.config.MaxPartitions, partitions)
	}
	return nil
}

// MorePartitions says to what count a topic is to grow.
type MorePartitions struct {
	Name  string
	Count int32 // in all, not in addition
	// Assignments place the replicas of the new partitions by hand, in order;
	// nil leaves that to the broker.
	Assignments [][]int32
}

// CreatePartitions lets topics grow, those that may; for each it returns nil or
// why it does not. The third result is as with Create.
func (c *Catalogue) CreatePartitions(topics []MorePartitions, validateOnly bool) (errs []error, err error) {
	errs = make([]error, len(topics))
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.begin()
	count := map[string]int{}
	for i := range topics {
		count[topics[i].Name]++
	}
	left := int32(MaxPartitionsPerRequest)
	for i := range topics {
		m := &topics[i]
		if count[m.Name] > 1 {
			errs[i] = refuse(kerr.InvalidRequest, "topic '%s' stands in the request %d times", m.Name, count[m.Name])
			continue
		}
		t := e.byName[m.Name]
		if errs[i] = c.checkGrowth(e, t, m, left); errs[i] != nil {
			continue
		}
		left -= m.Count - t.Partitions
		grown := *t
		grown.Partitions = m.Count
		grown.Stream = t.Stream.grown(&grown)
		e.put(&grown)
	}
	if validateOnly {
		return errs, nil
	}
	return errs, c.commit(e)
}

func (c *Catalogue) checkGrowth(e *edit, t *Topic, m *MorePartitions, left int32) error {
	if t == nil {
		return refuse(kerr.UnknownTopicOrPartition, "there is no topic '%s'", m.Name)
	}
	if t.Internal {
		return brokersOwn(t.Name)
	}
	if t.Stream != nil && t.Stream.Own {
		return refuse(kerr.PolicyViolation, "topic %s is a stream with shards of its own, which cannot be added this way: use UpdateShardCount or SplitShard of the Kinesis API", t.Name)
	}
	if m.Count == t.Partitions {
		return refuse(kerr.InvalidPartitions, "Topic already has %d partition(s).", t.Partitions)
	}
	if m.Count < t.Partitions {
		return refuse(kerr.InvalidPartitions, "topic %s has %d partition(s) and cannot shrink to %d", t.Name, t.Partitions, m.Count)
	}
	more := m.Count - t.Partitions
	if m.Assignments != nil && len(m.Assignments) != int(more) {
		return refuse(kerr.InvalidReplicaAssignment, "%d partition(s) are to be added, but %d are assigned", more, len(m.Assignments))
	}
	for i, brokers := range m.Assignments {
		if err := c.checkReplicas(t.Partitions+int32(i), brokers); err != nil {
			return err
		}
	}
	if more > left {
		return refuse(kerr.PolicyViolation, "at most %d partitions can be created in one request", MaxPartitionsPerRequest)
	}
	return e.room(more, 0)
}
