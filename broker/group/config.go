package group

import (
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/streamweir/streamweir/broker/config"
)

// Config holds the coordinator's settings. Where Apache Kafka has a setting of
// the same meaning, the comment gives its name.
type Config struct {
	// Partitions of __consumer_offsets (offsets.topic.num.partitions). It must
	// not change once the topic exists: it decides which group lives where.
	Partitions int32
	// MinSessionTimeout and MaxSessionTimeout bound what a member may ask for
	// (group.min.session.timeout.ms, group.max.session.timeout.ms).
	MinSessionTimeout, MaxSessionTimeout time.Duration
	// InitialRebalanceDelay is how long the first rebalance of an empty group
	// waits for more members (group.initial.rebalance.delay.ms).
	InitialRebalanceDelay time.Duration
	// NewMemberJoinTimeout ends the wait of a new member whose JoinGroup is
	// parked: it cannot send heartbeats yet, so nothing else would notice that
	// it is gone. Fixed at five minutes in Apache Kafka.
	NewMemberJoinTimeout time.Duration
	// MaxGroupSize is the largest number of members of a group (group.max.size).
	MaxGroupSize int
	// OffsetMetadataMaxBytes bounds the metadata string of one committed
	// offset (offset.metadata.max.bytes), in UTF-16 units.
	OffsetMetadataMaxBytes int
	// OffsetsRetention is how long offsets are kept that nobody uses any more
	// (offsets.retention.minutes), and OffsetsRetentionCheck how often that is
	// looked at (offsets.retention.check.interval.ms).
	OffsetsRetention, OffsetsRetentionCheck time.Duration

	// The limits below have no counterpart in Apache Kafka; over them the
	// client gets POLICY_VIOLATION unless something else is said.

	// MaxPendingIDs bounds the member ids of a group that were handed out and
	// not used yet; over it, GROUP_MAX_SIZE_REACHED.
	MaxPendingIDs int
	// MaxGroups bounds the groups of one coordinator.
	MaxGroups int
	// MaxMemberBytes bounds what one member makes the coordinator keep:
	// protocol names and metadata, instance id, client id.
	MaxMemberBytes int
	// MaxGroupBytes bounds the record that holds a group's members and
	// assignments; SyncGroup over it gets UNKNOWN_SERVER_ERROR, as a record
	// that the log refuses as too large does.
	MaxGroupBytes int
	// MaxOffsetsPerGroup bounds the partitions for which a group has offsets.
	MaxOffsetsPerGroup int
}

// DefaultConfig returns Apache Kafka's defaults and generous limits.
func DefaultConfig() Config {
	return Config{
		Partitions:             50,
		MinSessionTimeout:      6 * time.Second,
		MaxSessionTimeout:      30 * time.Minute,
		InitialRebalanceDelay:  3 * time.Second,
		NewMemberJoinTimeout:   5 * time.Minute,
		MaxGroupSize:           math.MaxInt32,
		MaxPendingIDs:          10_000,
		OffsetMetadataMaxBytes: 4096,
		OffsetsRetention:       7 * 24 * time.Hour,
		OffsetsRetentionCheck:  10 * time.Minute,
		MaxGroups:              100_000,
		MaxMemberBytes:         1 << 20,
		MaxGroupBytes:          8 << 20,
		MaxOffsetsPerGroup:     1_000_000,
	}
}

// FromSettings takes over what the configuration of the server says. partitions
// is what __consumer_offsets has, or will have when it is created.
func FromSettings(s *config.Config, partitions int32) Config {
	c := DefaultConfig()
	c.Partitions = partitions
	c.MinSessionTimeout = millis(s.GroupMinSessionTimeoutMs)
	c.MaxSessionTimeout = millis(s.GroupMaxSessionTimeoutMs)
	c.InitialRebalanceDelay = millis(s.GroupInitialRebalanceDelayMs)
	c.MaxGroupSize = int(s.GroupMaxSize)
	c.OffsetMetadataMaxBytes = int(min(s.OffsetMetadataMaxBytes, math.MaxInt16))
	c.OffsetsRetention = time.Duration(s.OffsetsRetentionMinutes) * time.Minute
	c.OffsetsRetentionCheck = time.Duration(s.OffsetsRetentionCheckIntervalMs) * time.Millisecond
	c.MaxGroups = int(s.MaxGroups)
	return c
}

// Validate names every setting that cannot be.
func (c Config) Validate() error {
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	check(c.Partitions > 0, "offsets.topic.num.partitions is %d; it must be at least 1", c.Partitions)
	check(c.MinSessionTimeout >= 0, "group.min.session.timeout.ms is %v; it must not be negative", c.MinSessionTimeout)
	check(c.MaxSessionTimeout >= c.MinSessionTimeout,
		"group.max.session.timeout.ms (%v) is below group.min.session.timeout.ms (%v)", c.MaxSessionTimeout, c.MinSessionTimeout)
	check(c.MaxSessionTimeout <= math.MaxInt32*time.Millisecond,
		"group.max.session.timeout.ms is %v; requests carry at most 2^31-1 ms", c.MaxSessionTimeout)
	check(c.InitialRebalanceDelay >= 0, "group.initial.rebalance.delay.ms is %v; it must not be negative", c.InitialRebalanceDelay)
	check(c.NewMemberJoinTimeout > 0, "the join timeout of new members is %v; it must be above 0", c.NewMemberJoinTimeout)
	check(c.MaxGroupSize > 0, "group.max.size is %d; it must be at least 1", c.MaxGroupSize)
	check(c.OffsetMetadataMaxBytes >= 0 && c.OffsetMetadataMaxBytes <= math.MaxInt16,
		"offset.metadata.max.bytes is %d; it must be between 0 and 32767", c.OffsetMetadataMaxBytes)
	check(c.OffsetsRetention > 0, "offsets.retention.minutes is %v; it must be above 0", c.OffsetsRetention)
	check(c.OffsetsRetentionCheck > 0, "offsets.retention.check.interval.ms is %v; it must be above 0", c.OffsetsRetentionCheck)
	check(c.MaxPendingIDs > 0, "the limit on unused member ids is %d; it must be at least 1", c.MaxPendingIDs)
	check(c.MaxGroups > 0, "the limit on groups is %d; it must be at least 1", c.MaxGroups)
	check(c.MaxMemberBytes > 0, "the limit on a member's metadata is %d; it must be at least 1", c.MaxMemberBytes)
	check(c.MaxGroupBytes > 0, "the limit on a group's record is %d; it must be at least 1", c.MaxGroupBytes)
	check(c.MaxOffsetsPerGroup > 0, "the limit on a group's offsets is %d; it must be at least 1", c.MaxOffsetsPerGroup)
	return errors.Join(errs...)
}
