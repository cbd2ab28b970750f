package records

import (
	"errors"

	"github.com/streamweir/streamweir/broker/shard"
	"github.com/streamweir/streamweir/broker/stream"
	"github.com/streamweir/streamweir/broker/topic"
)

// The types of positions, as clients name them.
const (
	TrimHorizon         = "TRIM_HORIZON"
	Latest              = "LATEST"
	AtSequenceNumber    = "AT_SEQUENCE_NUMBER"
	AfterSequenceNumber = "AFTER_SEQUENCE_NUMBER"
	AtTimestamp         = "AT_TIMESTAMP"
)

// Position is where a client wants to begin to read a shard.
type Position struct {
	Type      string
	Sequence  string // of AT_ and AFTER_SEQUENCE_NUMBER; empty for none
	Timestamp *int64 // of AT_TIMESTAMP, in ms
}

// Locate returns the offset that a position stands for. action is who asks, for
// the messages of refusals.
func (m *Manager) Locate(sh Shard, at Position, action string) (int64, error) {
	if err := m.checkPosition(at); err != nil {
		return 0, err
	}
	switch at.Type {
	case TrimHorizon:
		return sh.partition.Offsets().Start, nil
	case Latest:
		// A record whose transaction is still open has not been there for a consumer:
		// it comes after what is the latest now.
		o, err := sh.partition.StableOffsets()
		if err != nil {
			return 0, internal(sh, "find the end of", err)
		}
		return o.LastStable, nil
	case AtTimestamp:
		return m.locateTime(sh, *at.Timestamp)
	}
	return m.locateSequence(sh, at, action)
}

// checkPosition checks what a position must have, and must not.
func (m *Manager) checkPosition(at Position) error {
	const either = "Must either specify (1) AT_SEQUENCE_NUMBER or AFTER_SEQUENCE_NUMBER and StartingSequenceNumber or " +
		"(2) TRIM_HORIZON or LATEST and no StartingSequenceNumber. Request specified %s and "
	switch at.Type {
	case TrimHorizon, Latest:
		if at.Sequence != "" {
			return stream.Errorf(stream.InvalidArgument, either+"also a StartingSequenceNumber.", at.Type)
		}
	case AtSequenceNumber, AfterSequenceNumber:
		if at.Sequence == "" {
			return stream.Errorf(stream.InvalidArgument, either+"no StartingSequenceNumber.", at.Type)
		}
	case AtTimestamp:
		if at.Timestamp == nil {
			return stream.Errorf(stream.InvalidArgument, "Must specify timestampInMillis parameter for iterator of type AT_TIMESTAMP. Current request has no timestamp parameter.")
		}
		if now := m.clock.Now().UnixMilli(); *at.Timestamp > now {
			return stream.Errorf(stream.InvalidArgument, "The timestampInMillis parameter cannot be greater than the currentTimestampInMillis. "+
				"timestampInMillis: %d, currentTimestampInMillis: %d", *at.Timestamp, now)
		}
	}
	return nil
}

func (m *Manager) locateTime(sh Shard, timestamp int64) (int64, error) {
	// The end is asked for first: what comes meanwhile is younger.
	end := sh.partition.Offsets().High
	found, err := sh.partition.OffsetForTime(timestamp)
	if err != nil {
		return 0, internal(sh, "search by time in", err)
	}
	if found.Offset < 0 {
		return end, nil
	}
	return found.Offset, nil
}

func (m *Manager) locateSequence(sh Shard, at Position, action string) (int64, error) {
	offset, err := sh.Offset(at.Sequence)
	used := func(because string) error {
		return stream.Errorf(stream.InvalidArgument, "StartingSequenceNumber %s used in %s on shard %s in stream %s under account %s is invalid%s.",
			at.Sequence, action, sh.ID(), sh.Topic.Name, m.streams.Account(), because)
	}
	switch {
	case errors.Is(err, shard.ErrOtherShard):
		if other, ok := shard.ShardOfSequence(at.Sequence); ok && other != sh.Index {
			return 0, stream.Errorf(stream.InvalidArgument, "Invalid StartingSequenceNumber. It encodes %s, while it was used in a call to a shard with %s",
				shard.FormatID(other), sh.ID())
		}
		return 0, used(" because it did not come from this stream")
	case err != nil:
		return 0, used("")
	}
	end := sh.end()
	if offset > end {
		// No record has had this number yet.
		return 0, used("")
	}
	if at.Type == AfterSequenceNumber {
		offset++
	}
	return min(max(offset, 0), end), nil
}

// Given says whether a stream may have given a record this sequence number: what was
// given by a shard that is gone cannot be known any more.
func (m *Manager) Given(t *topic.Topic, sequence string) bool {
	index, ok := shard.ShardOfSequence(sequence)
	if !ok || index >= t.Partitions {
		return false
	}
	sh, err := m.shard(t, index)
	if err != nil {
		return true
	}
	offset, err := sh.Offset(sequence)
	return err == nil && offset < sh.end()
}

// end is the offset after the last record.
func (sh Shard) end() int64 {
	if !sh.IsOpen() {
		return sh.End
	}
	return sh.partition.Offsets().High
}
