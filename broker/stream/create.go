package stream

import (
	"strconv"

	"github.com/streamweir/streamweir/broker/topic"
)

// New says what stream to create.
type New struct {
	Name           string
	Shards         *int32 // nil where the mode says how many
	Mode           topic.StreamMode
	MaxRecordBytes int32 // 0 for the default
	WarmMiBps      int32
	Distribution   string
	Tags           map[string]string
}

const (
	// onDemandShards are the shards of a new stream in on-demand mode.
	onDemandShards = 4
	maxCreating    = 5 // streams, or consumers of a stream, at a time
	mib            = 1 << 20
)

// Create creates a stream.
func (m *Manager) Create(n New) error {
	m.decisions.Lock()
	defer m.decisions.Unlock()
	if err := m.checkNew(&n); err != nil {
		return err
	}
	s := &topic.Stream{
		Mode: n.Mode, MaxRecordBytes: n.MaxRecordBytes, WarmMiBps: n.WarmMiBps, Distribution: n.Distribution,
		Tags: n.Tags, Status: topic.Active,
	}
	m.begin(s, topic.Creating, topic.PendingChange{})
	configs := map[string]string{
		"message.timestamp.type": "LogAppendTime",
		"retention.ms":           strconv.FormatInt(topic.MinRetention.Milliseconds(), 10),
		"retention.bytes":        "-1",
		"cleanup.policy":         "delete",
	}
	if size := n.MaxRecordBytes + recordOverhead; size > m.config().MessageMaxBytes {
		configs["max.message.bytes"] = strconv.Itoa(int(size))
	}
	nt := topic.NewTopic{Name: n.Name, Partitions: *n.Shards, ReplicationFactor: 1, Stream: s}
	for name, value := range configs {
		nt.Configs = append(nt.Configs, topic.ConfigValue{Name: name, Value: &value})
	}
	_, errs, err := m.o.Topics.Create([]topic.NewTopic{nt}, false)
	if err == nil {
		err = errs[0]
	}
	if err != nil {
		return m.translate(err, n.Name)
	}
	return nil
}

// recordOverhead is what a Kafka batch with one record of the largest size may
// take beside the record's key and value: the batch's header, the record's own
// fields and some headers.
const recordOverhead = 64 << 10

// checkNew checks a new stream and fills in what it does not say.
func (m *Manager) checkNew(n *New) error {
	if n.Mode == "" {
		n.Mode = topic.Provisioned
	}
	if n.MaxRecordBytes == 0 {
		n.MaxRecordBytes = topic.DefaultMaxRecordBytes
	}
	if t := m.o.Topics.Topic(n.Name); t != nil {
		return Errorf(ResourceInUse, "Stream %s under account %s already exists.", n.Name, m.o.Account)
	}
	if err := checkTags(n.Tags, nil, "stream "+n.Name, m.o.Account); err != nil {
		return err
	}
	creating := 0
	for _, t := range m.o.Topics.Topics() {
		if t.Stream != nil && t.Stream.Status == topic.Creating {
			creating++
		}
	}
	if creating >= maxCreating && !m.unlimited() {
		return Errorf(LimitExceeded, "Only %d streams under account %s can be in state CREATING at a time.", maxCreating, m.o.Account)
	}
	if n.Mode == topic.OnDemand {
		return m.checkNewOnDemand(n)
	}
	switch {
	case n.Shards == nil:
		return Errorf(Validation, "ShardCount must be provided for a stream in PROVISIONED mode.")
	case n.WarmMiBps > 0:
		return Errorf(InvalidArgument, "WarmThroughputMiBps can be set for streams in ON_DEMAND mode only.")
	case n.Distribution == DistributionAuto:
		return m.noDistribution(n.Name)
	}
	return m.roomForShards(*n.Shards)
}

func (m *Manager) checkNewOnDemand(n *New) error {
	if n.Shards != nil {
		return Errorf(Validation, "ShardCount cannot be provided for a stream in ON_DEMAND mode.")
	}
	if err := m.roomForOnDemand(); err != nil {
		return err
	}
	if err := m.checkWarm(n.WarmMiBps); err != nil {
		return err
	}
	shards := int32(onDemandShards)
	n.Shards = &shards
	return nil
}

func (m *Manager) roomForOnDemand() error {
	if limit := m.config().KinesisOnDemandStreamLimit; m.onDemandStreams() >= limit {
		return Errorf(LimitExceeded, "This request would exceed the limit of %d streams in ON_DEMAND mode for the account %s in %s.", limit, m.o.Account, m.o.Region)
	}
	return nil
}

// Delete has a stream deleted, and with enforce its consumers too, if it has any.
func (m *Manager) Delete(t *topic.Topic, enforce bool) error {
	if !m.config().DeleteTopicEnable {
		return Errorf(AccessDenied, "Streams cannot be deleted: delete.topic.enable is false on this server.")
	}
	next, err := m.update(t, func(t *topic.Topic, s *topic.Stream) (map[string]string, error) {
		if err := m.active(t); err != nil {
			return nil, err
		}
		if len(s.Consumers) > 0 && !enforce {
			return nil, Errorf(ResourceInUse, "DeleteStream can't delete %s:%s because there are consumers associated with this data stream. "+
				"To delete %s anyway, set the EnforceConsumerDeletion parameter to true to force the deletion of all the consumers that are associated with it.",
				m.o.Account, t.Name, t.Name)
		}
		m.begin(s, topic.Deleting, topic.PendingChange{Delete: true})
		consumers := make([]topic.Consumer, len(s.Consumers))
		for i, c := range s.Consumers {
			c.Status, c.At = topic.Deleting, s.Pending.At
			consumers[i] = c
		}
		s.Consumers = consumers
		return nil, nil
	})
	if err != nil {
		return err
	}
	m.settle(next)
	return nil
}
