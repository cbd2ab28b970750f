package stream

import (
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/streamweir/streamweir/broker/topic"
)

const (
	minRetentionHours = 24
	maxRetentionHours = 8760
)

// RetentionHours is the retention of a stream in whole hours, rounded up; without
// a limit it is the longest that Kinesis knows.
func RetentionHours(t *topic.Topic) int32 {
	ms := t.Settings.RetentionMs
	if ms < 0 || !t.Settings.CleanupDelete {
		return maxRetentionHours
	}
	hour := time.Hour.Milliseconds()
	return int32(min((ms+hour-1)/hour, maxRetentionHours))
}

// Horizon is the time, in ms, from before which records are not kept.
func (m *Manager) Horizon(t *topic.Topic) int64 {
	if t.Settings.RetentionMs < 0 || !t.Settings.CleanupDelete {
		return math.MinInt64
	}
	return m.now() - t.Settings.RetentionMs
}

// SetRetention changes the retention to more hours, or with decrease to fewer.
func (m *Manager) SetRetention(t *topic.Topic, hours int32, decrease bool) error {
	return m.set(t, func(t *topic.Topic, s *topic.Stream) (map[string]string, error) {
		have := RetentionHours(t)
		switch {
		case hours < minRetentionHours:
			return nil, Errorf(InvalidArgument, "Minimum allowed retention period is %d hours. Requested retention period (%d hours) is too short.", minRetentionHours, hours)
		case hours > maxRetentionHours:
			return nil, Errorf(InvalidArgument, "Maximum allowed retention period is %d hours. Requested retention period (%d hours) is too long.", maxRetentionHours, hours)
		case !decrease && hours < have:
			return nil, Errorf(InvalidArgument, "Requested retention period (%d hours) for stream %s can not be shorter than existing retention period (%d hours). Use DecreaseRetentionPeriod API.", hours, t.Name, have)
		case decrease && hours > have:
			return nil, Errorf(InvalidArgument, "Requested retention period (%d hours) for stream %s can not be longer than existing retention period (%d hours). Use IncreaseRetentionPeriod API.", hours, t.Name, have)
		}
		return map[string]string{"retention.ms": strconv.FormatInt(int64(hours)*time.Hour.Milliseconds(), 10)}, nil
	})
}

// set changes a setting of an ACTIVE stream, which is UPDATING for a while.
func (m *Manager) set(t *topic.Topic, change func(t *topic.Topic, s *topic.Stream) (map[string]string, error)) error {
	_, err := m.update(t, func(t *topic.Topic, s *topic.Stream) (map[string]string, error) {
		if err := m.active(t); err != nil {
			return nil, err
		}
		configs, err := change(t, s)
		if err != nil {
			return nil, err
		}
		m.begin(s, topic.Updating, topic.PendingChange{})
		return configs, nil
	})
	return err
}

// ShardMetrics are the shard-level metrics that there are, sorted.
var ShardMetrics = []string{
	"IncomingBytes", "IncomingRecords", "IteratorAgeMilliseconds", "OutgoingBytes", "OutgoingRecords",
	"ReadProvisionedThroughputExceeded", "WriteProvisionedThroughputExceeded",
}

// SetMonitoring switches shard-level metrics on, or off; ALL stands for every one.
// It returns those that were on before, and those that are then.
func (m *Manager) SetMonitoring(t *topic.Topic, metrics []string, on bool) (before, after []string, err error) {
	if slices.Contains(metrics, "ALL") {
		metrics = ShardMetrics
	}
	_, err = m.update(t, func(t *topic.Topic, s *topic.Stream) (map[string]string, error) {
		if err := m.active(t); err != nil {
			return nil, err
		}
		before = s.ShardMetrics
		after = nil
		for _, metric := range ShardMetrics {
			had, named := slices.Contains(before, metric), slices.Contains(metrics, metric)
			if named && on || had && !named {
				after = append(after, metric)
			}
		}
		s.ShardMetrics = after
		return nil, nil
	})
	return before, after, err
}

const maxKeyChanges = 25 // in 24 hours

// StartEncryption notes the KMS key of a stream. Nothing is encrypted by it.
func (m *Manager) StartEncryption(t *topic.Topic, key string) error {
	now := m.now()
	return m.set(t, func(t *topic.Topic, s *topic.Stream) (map[string]string, error) {
		if err := m.checkKey(key); err != nil {
			return nil, err
		}
		if s.KeyStarts = recent(s.KeyStarts, now); len(s.KeyStarts) >= maxKeyChanges && !m.unlimited() {
			return nil, Errorf(LimitExceeded, "StartStreamEncryption can be applied %d times per rolling 24-hour period to stream %s under account %s.", maxKeyChanges, t.Name, m.o.Account)
		}
		s.KeyStarts = append(s.KeyStarts, now)
		m.setKey(t, s, key)
		return nil, nil
	})
}

// StopEncryption forgets the KMS key of a stream.
func (m *Manager) StopEncryption(t *topic.Topic, key string) error {
	now := m.now()
	return m.set(t, func(t *topic.Topic, s *topic.Stream) (map[string]string, error) {
		if s.KeyID != "" && s.KeyID != key {
			return nil, Errorf(InvalidArgument, "Key %s is not the key that stream %s under account %s is encrypted with.", key, t.Name, m.o.Account)
		}
		if s.KeyStops = recent(s.KeyStops, now); len(s.KeyStops) >= maxKeyChanges && !m.unlimited() {
			return nil, Errorf(LimitExceeded, "StopStreamEncryption can be applied %d times per rolling 24-hour period to stream %s under account %s.", maxKeyChanges, t.Name, m.o.Account)
		}
		s.KeyStops = append(s.KeyStops, now)
		m.setKey(t, s, "")
		return nil, nil
	})
}

// maxEncryptions bounds the switches of encryption that are remembered.
const maxEncryptions = 1000

// setKey sets the KMS key of a stream, and notes from when on its records are encrypted,
// or are not. Switches from before the oldest record tell nothing.
func (m *Manager) setKey(t *topic.Topic, s *topic.Stream, key string) {
	if (s.KeyID != "") != (key != "") {
		horizon := m.Horizon(t)
		kept := slices.DeleteFunc(slices.Clone(s.Encryptions), func(at int64) bool { return at < horizon })
		s.Encryptions = append(kept[max(0, len(kept)+1-maxEncryptions):], m.now())
	}
	s.KeyID = key
}

// checkKey refuses what is not the id, ARN or alias of a KMS key. Whether there is
// such a key, only KMS could tell.
func (m *Manager) checkKey(key string) error {
	name := key
	if arn, ok := strings.CutPrefix(key, "arn:"); ok {
		parts := strings.SplitN(arn, ":", 5)
		if len(parts) != 5 || parts[1] != "kms" {
			return Errorf(InvalidArgument, "KeyId %s is not the ARN of a KMS key or alias.", key)
		}
		name = parts[4]
	}
	if strings.ContainsAny(name, " :") || name == "" || name == "alias/" || name == "key/" {
		return Errorf(InvalidArgument, "KeyId %s is not a KMS key id, key ARN, alias name or alias ARN.", key)
	}
	return nil
}

const maxModeSwitches = 2 // in 24 hours

// SetMode switches between provisioned and on-demand mode. The shards stay.
func (m *Manager) SetMode(t *topic.Topic, mode topic.StreamMode, warm int32) error {
	m.decisions.Lock()
	defer m.decisions.Unlock()
	now := m.now()
	return m.set(t, func(t *topic.Topic, s *topic.Stream) (map[string]string, error) {
		s.ModeSwitches = recent(s.ModeSwitches, now)
		switch {
		case mode == topic.Provisioned && warm > 0:
			return nil, Errorf(InvalidArgument, "WarmThroughputMiBps can be set for streams in ON_DEMAND mode only.")
		case mode == s.Mode:
			return nil, Errorf(InvalidArgument, "Stream %s under account %s is in %s mode already.", t.Name, m.o.Account, mode)
		case len(s.ModeSwitches) >= maxModeSwitches && !m.unlimited():
			return nil, Errorf(LimitExceeded, "The mode of stream %s under account %s can be switched %d times per rolling 24-hour period.", t.Name, m.o.Account, maxModeSwitches)
		}
		err := m.roomForShards(s.OpenShards())
		if mode == topic.OnDemand {
			if err = m.roomForOnDemand(); err == nil {
				err = m.checkWarm(warm)
			}
		}
		if err != nil {
			return nil, err
		}
		s.ModeSwitches = append(s.ModeSwitches, now)
		s.Mode, s.WarmMiBps = mode, warm
		if mode == topic.Provisioned {
			s.Distribution = ""
		}
		return nil, nil
	})
}

func (m *Manager) onDemandStreams() int32 {
	n := int32(0)
	for _, t := range m.o.Topics.Topics() {
		if t.Stream != nil && t.Stream.Mode == topic.OnDemand && t.Stream.Status != topic.Deleting {
			n++
		}
	}
	return n
}

// SetMaxRecordSize bounds the records of a stream, and lets Kafka clients send as
// large ones.
func (m *Manager) SetMaxRecordSize(t *topic.Topic, bytes int32) error {
	return m.set(t, func(t *topic.Topic, s *topic.Stream) (map[string]string, error) {
		s.MaxRecordBytes = bytes
		if size := bytes + recordOverhead; size > t.Settings.MaxMessageBytes {
			return map[string]string{"max.message.bytes": strconv.Itoa(int(size))}, nil
		}
		return nil, nil
	})
}

const maxWarmMiBps = 10 << 10

// checkWarm refuses a warm throughput that the account may not have.
func (m *Manager) checkWarm(mibps int32) error {
	switch {
	case mibps == 0:
		return nil
	case mibps > maxWarmMiBps:
		return Errorf(LimitExceeded, "WarmThroughputMiBps can be at most %d. Requested: %d.", maxWarmMiBps, mibps)
	}
	if committed, err := m.committed(); err != nil || committed {
		return err
	}
	return Errorf(Validation, "Warm throughput needs MinimumThroughputBillingCommitment to be enabled for the account %s.", m.o.Account)
}

// SetWarmThroughput notes the warm throughput of a stream in on-demand mode.
func (m *Manager) SetWarmThroughput(t *topic.Topic, mibps int32) error {
	return m.set(t, func(t *topic.Topic, s *topic.Stream) (map[string]string, error) {
		if s.Mode != topic.OnDemand {
			return nil, Errorf(Validation, "Request is invalid. Stream %s under account %s is in Provisioned mode.", t.Name, m.o.Account)
		}
		if err := m.checkWarm(mibps); err != nil {
			return nil, err
		}
		s.WarmMiBps = mibps
		return nil, nil
	})
}

// The record distribution strategies.
const (
	DistributionAuto = "AUTO"
	DistributionKey  = "USER_PARTITION_KEY"
)

// SetDistribution changes how records are distributed to shards. It is in effect
// at once.
func (m *Manager) SetDistribution(t *topic.Topic, strategy string) error {
	_, err := m.update(t, func(t *topic.Topic, s *topic.Stream) (map[string]string, error) {
		if err := m.active(t); err != nil {
			return nil, err
		}
		if s.Mode != topic.OnDemand && strategy == DistributionAuto {
			return nil, m.noDistribution(t.Name)
		}
		s.Distribution = strategy
		return nil, nil
	})
	return err
}

func (m *Manager) noDistribution(name string) error {
	return Errorf(InvalidArgument, "The record distribution strategy AUTO is supported for streams in ON_DEMAND mode only. Stream %s under account %s is in PROVISIONED mode.", name, m.o.Account)
}
