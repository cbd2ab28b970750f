package topic

import (
	"github.com/streamweir/streamweir/broker/shard"
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
	// ShardMetrics are the shard-level metrics that are switched on, sorted.
	ShardMetrics []string
	WarmMiBps    int32 // warm throughput; 0 for none
	// Distribution is the record distribution strategy; empty for the default.
	Distribution string
	// Recent calls of what may be done only so often in 24 hours, in ms.
	Reshards, ModeSwitches, KeyStarts, KeyStops []int64
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

// Closed says whether the shard of this partition is closed. It costs nothing for
// a stream that was never resharded.
func (s *Stream) Closed(index int32) bool {
	if !s.Own {
		return false
	}
	sh := s.Lineage.Shard(index)
	return sh != nil && !sh.IsOpen()
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
