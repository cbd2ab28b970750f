package topic

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/streamweir/streamweir/broker/shard"
	"github.com/streamweir/streamweir/storage"
)

// Stream is a topic as Kinesis sees it. It is never changed: a change makes
// another Stream, with another Topic.
type Stream struct {
	// Lineage is the shards, one for each partition of the topic.
	Lineage *shard.Lineage
	// Own says that the lineage is kept, because Kinesis made the stream or has
	// resharded it. Else the shards follow from the number of partitions.
	Own    bool
	Status StreamStatus
	Mode   StreamMode
	// MaxRecordBytes bounds the data and partition key of one record.
	MaxRecordBytes int32
	// Pending is what the stream's status ends with; nil while it is ACTIVE.
	Pending   *PendingChange
	Consumers []Consumer // by the time of their registration; with enhanced fan-out
	Tags      map[string]string
	Policy    string // the resource policy, a JSON document; empty for none
	KeyID     string // of the KMS key of server-side encryption; empty for none
	// Encryptions are the times, in ms, at which encryption was switched on or off, the
	// last of which led to what KeyID says.
	Encryptions []int64
	// LastConsumer is the latest time of registration of the consumers that are not
	// registered any more, in ms.
	LastConsumer int64
	// ShardMetrics are the shard-level metrics that are switched on, sorted.
	ShardMetrics []string
	WarmMiBps    int32 // warm throughput; 0 for none
	// Distribution is the record distribution strategy; empty for the default.
	Distribution string
	// Recent calls of what may be done only so often in 24 hours, in ms.
	Reshards, ModeSwitches, KeyStarts, KeyStops []int64

	kept bool // there is something to keep: a document of its own
}

// StreamStatus is the status of a stream or a consumer, by AWS's names.
type StreamStatus string

// The statuses of streams; consumers have all but UPDATING.
const (
	Creating StreamStatus = "CREATING"
	Active   StreamStatus = "ACTIVE"
	Updating StreamStatus = "UPDATING"
	Deleting StreamStatus = "DELETING"
)

// StreamMode is the capacity mode, by AWS's names.
type StreamMode string

// The capacity modes.
const (
	Provisioned StreamMode = "PROVISIONED"
	OnDemand    StreamMode = "ON_DEMAND"
)

// PendingChange is what is to be done at a time.
type PendingChange struct {
	At int64 // in ms
	// Steps reshard the stream. Without any, and unless Delete is set, the stream
	// becomes ACTIVE and nothing else changes.
	Steps  []shard.Step
	Delete bool
}

// Consumer is a registered consumer with enhanced fan-out.
type Consumer struct {
	Name      string
	CreatedAt int64 // in ms
	Status    StreamStatus
	At        int64 // when its status ends, in ms; 0 while it is ACTIVE
	Tags      map[string]string
	Policy    string
}

// Encrypted says whether a record that arrived at that time, in ms, was encrypted.
func (s *Stream) Encrypted(at int64) bool {
	on := s.KeyID != ""
	for _, switched := range slices.Backward(s.Encryptions) {
		if switched <= at {
			break
		}
		on = !on
	}
	return on
}

const (
	// MaxStreamNameBytes is the longest name of a stream.
	MaxStreamNameBytes = 128
	// DefaultMaxRecordBytes bounds the records of a stream that nobody has told
	// otherwise: 1 MiB, data and partition key together.
	DefaultMaxRecordBytes = 1 << 20
)

// IsStream says whether a topic of this name, which is one, is a stream too.
func IsStream(name string) bool { return len(name) <= MaxStreamNameBytes && !IsInternal(name) }

// implicitStream is the stream that a topic made by Kafka is; nil where it is none.
func implicitStream(t *Topic) *Stream {
	if !IsStream(t.Name) {
		return nil
	}
	return &Stream{
		Lineage: shard.Implicit(t.Partitions, t.CreatedAt.UnixMilli()),
		Status:  Active, Mode: Provisioned, MaxRecordBytes: DefaultMaxRecordBytes,
	}
}

// grown is what becomes of s, which has no lineage of its own, when Kafka gives
// its topic more partitions: the ranges are laid out anew.
func (s *Stream) grown(t *Topic) *Stream {
	if s == nil {
		return nil
	}
	next := *s
	next.Lineage = implicitStream(t).Lineage
	return &next
}

// StreamChange is what becomes of a topic that is a stream.
type StreamChange struct {
	Stream Stream // with as many shards as the topic is to have partitions
	// Configs are set over those of the topic; nil for none.
	Configs map[string]string
}

// ChangeStream changes a topic that is a stream: change is given the topic as it
// is and returns what is to become of it, or an error, which is then returned and
// nothing is changed. Nothing else changes meanwhile, so change must be quick. A
// change of the lineage makes it the stream's own.
func (c *Catalogue) ChangeStream(id storage.TopicID, change func(t *Topic) (*StreamChange, error)) (*Topic, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.begin()
	old := e.byID[id]
	if old == nil || old.Stream == nil {
		return nil, refuse(kerr.UnknownTopicID, "there is no stream of the id %s", FormatID(id))
	}
	ch, err := change(old)
	if err != nil {
		return nil, err
	}
	t, s := *old, ch.Stream
	s.kept = true
	s.Own = s.Own || s.Lineage != old.Stream.Lineage
	t.Stream, t.Partitions = &s, s.Lineage.Len()
	if more := t.Partitions - old.Partitions; more > 0 {
		if err := e.room(more, 0); err != nil {
			return nil, err
		}
	}
	if len(ch.Configs) > 0 {
		next := maps.Clone(old.Configs)
		if next == nil {
			next = map[string]string{}
		}
		maps.Copy(next, ch.Configs)
		if err := e.checkConfigs(next, slices.Sorted(maps.Keys(ch.Configs))); err != nil {
			return nil, err
		}
		t.Configs, t.Settings = next, e.settings(next)
	}
	e.put(&t)
	if err := c.commit(e); err != nil {
		return nil, err
	}
	return &t, nil
}

// MinRetention is the shortest retention of a stream.
const MinRetention = 24 * time.Hour

// KeepsData says whether Kafka clients are kept from deleting or altering records
// that are younger than the retention, as is promised of a stream that Kinesis
// has made or resharded.
func (t *Topic) KeepsData() bool {
	return t.Stream != nil && t.Stream.Own && !t.Settings.DataDeletion
}

// alters are the configs of a topic by which records would go, or change, before
// the shortest retention of a stream is over.
func (s *Settings) alters() (names []string) {
	if s.CleanupCompact {
		names = append(names, "cleanup.policy=compact")
	}
	if s.RetentionBytes >= 0 {
		names = append(names, fmt.Sprintf("retention.bytes=%d", s.RetentionBytes))
	}
	if s.RetentionMs >= 0 && s.RetentionMs < MinRetention.Milliseconds() {
		names = append(names, fmt.Sprintf("retention.ms=%d", s.RetentionMs))
	}
	if !s.LogAppendTime { // producers would say how old their records are
		names = append(names, "message.timestamp.type=CreateTime")
	}
	return names
}

// checkKept refuses configs by which a stream would lose data.
func checkKept(old, next *Topic) error {
	if !next.KeepsData() {
		return nil
	}
	var had []string // of an old release, or from before it was a stream
	if old.KeepsData() {
		had = old.Settings.alters()
	}
	for _, name := range next.Settings.alters() {
		if !slices.Contains(had, name) {
			return refuse(kerr.PolicyViolation, "%s would delete or alter records of the stream %s, which are kept for at least 24 hours; set %s=true to allow that",
				name, next.Name, dataDeletion)
		}
	}
	return nil
}

// dataDeletion is the topic config that lets Kafka clients delete and alter
// records of a stream.
const dataDeletion = "kinesis.data.deletion.enable"

// RefuseDeletion is the refusal of DeleteRecords on a topic that KeepsData.
func RefuseDeletion(t *Topic) error {
	return refuse(kerr.PolicyViolation, "the records of the stream %s are kept until their retention is over; set %s=true to delete them", t.Name, dataDeletion)
}

// Closed says whether the shard of this partition is closed. It costs nothing for
// a stream that was never resharded.
func (s *Stream) Closed(index int32) bool {
	if !s.Own {
		return false
	}
	sh := s.Lineage.Shard(index)
	return sh != nil && !sh.IsOpen()
}

// OpenShards is how many shards are open.
func (s *Stream) OpenShards() int32 {
	if !s.Own {
		return s.Lineage.Len()
	}
	return int32(len(s.Lineage.Open()))
}

// Consumer finds a consumer by name, or returns nil.
func (s *Stream) Consumer(name string) *Consumer {
	for i := range s.Consumers {
		if s.Consumers[i].Name == name {
			return &s.Consumers[i]
		}
	}
	return nil
}
