package stream

import (
	"errors"
	"fmt"
	"slices"

	"go.uber.org/zap"

	"github.com/streamweir/streamweir/broker/partition"
	"github.com/streamweir/streamweir/broker/shard"
	"github.com/streamweir/streamweir/broker/topic"
	"github.com/streamweir/streamweir/storage"
)

// reshard splits and merges shards. Their partitions are sealed first, so that
// their ends are known; then the ends, the children and the children's partitions
// become durable in one step. A crash before that forgets the seals, and after it
// the partitions are sealed at the start: the reshard happens as a whole or not
// at all.
func (m *Manager) reshard(t *topic.Topic, pending *topic.PendingChange) error {
	var sealed []*partition.Partition
	unseal := func() {
		for _, p := range sealed {
			p.Unseal()
		}
	}
	ends := map[int32]int64{}
	for _, i := range t.Stream.Lineage.Closes(pending.Steps) {
		p := m.o.Partitions.Get(t.ID, i)
		if p == nil {
			unseal()
			return fmt.Errorf("close shard %d: this broker does not lead its partition", i)
		}
		sealed = append(sealed, p)
		ends[i] = p.Seal()
	}
	_, err := m.update(t, func(t *topic.Topic, s *topic.Stream) (map[string]string, error) {
		if s.Pending != pending {
			return nil, errors.New("another change has come in between")
		}
		next, err := s.Lineage.Reshard(pending.Steps, m.now(), func(i int32) int64 { return ends[i] })
		if err != nil {
			return nil, err
		}
		s.Lineage, s.Own = next, true
		s.Status, s.Pending = topic.Active, nil
		return nil, nil
	})
	if err == nil {
		m.reshards.Add(1)
		m.o.Log.Info("stream resharded", zap.String("stream", t.Name), zap.Int("steps", len(pending.Steps)))
		return nil
	}
	// A store that has failed may have kept the change: nothing is appended until
	// the next start tells.
	if !errors.Is(err, storage.ErrFailed) {
		unseal()
	}
	var refusal *Error
	if !errors.As(err, &refusal) {
		return err
	}
	// There is no room for the children: the reshard will not come to be.
	m.o.Log.Error("a reshard is given up", zap.String("stream", t.Name), zap.Error(err))
	return m.end(t, pending)
}

// change has a provisioned, ACTIVE stream resharded by the steps that plan makes.
func (m *Manager) change(t *topic.Topic, plan func(t *topic.Topic) ([]shard.Step, error), more func(s *topic.Stream)) error {
	m.decisions.Lock()
	next, err := m.update(t, func(t *topic.Topic, s *topic.Stream) (map[string]string, error) {
		steps, err := plan(t)
		if err != nil || len(steps) == 0 {
			return nil, err
		}
		// Until the steps are done, Kafka must not lay the shards out anew.
		s.Own = true
		m.begin(s, topic.Updating, topic.PendingChange{Steps: steps})
		if more != nil {
			more(s)
		}
		return nil, nil
	})
	m.decisions.Unlock()
	if err != nil {
		return err
	}
	m.settle(next)
	return nil
}

// provisioned refuses what only streams in provisioned mode have.
func (m *Manager) provisioned(t *topic.Topic) error {
	if t.Stream.Mode != topic.Provisioned {
		return Errorf(Validation, "Request is invalid. Stream %s under account %s is in On-Demand mode.", t.Name, m.o.Account)
	}
	return nil
}

// openShard finds a shard that may be split or merged.
func (m *Manager) openShard(t *topic.Topic, id string) (*shard.Shard, error) {
	index, ok := shard.ParseID(id)
	s := t.Stream.Lineage.Shard(index)
	if ok {
		id = shard.FormatID(index)
	}
	if s == nil || !s.Visible(m.Horizon(t)) {
		return nil, Errorf(ResourceNotFound, "Could not find shard %s in stream %s under account %s.", id, t.Name, m.o.Account)
	}
	return s, nil
}

func (m *Manager) closed(t *topic.Topic, s *shard.Shard) error {
	if s.IsOpen() {
		return nil
	}
	return Errorf(InvalidArgument, "Shard %s in stream %s under account %s has already been merged or split, and thus is not eligible for merging or splitting.",
		s.ID(), t.Name, m.o.Account)
}

// SplitShard splits a shard at a hash key.
func (m *Manager) SplitShard(t *topic.Topic, id string, at string) error {
	return m.change(t, func(t *topic.Topic) ([]shard.Step, error) {
		if err := m.reshardable(t); err != nil {
			return nil, err
		}
		s, err := m.openShard(t, id)
		if err != nil {
			return nil, err
		}
		if err := m.closed(t, s); err != nil {
			return nil, err
		}
		if err := m.roomForShards(1); err != nil {
			return nil, err
		}
		key, ok := shard.ParseHashKey(at)
		if !ok || key.Compare(s.Range.Start) <= 0 || key.Prev().Compare(s.Range.Start) <= 0 || key.Compare(s.Range.End) >= 0 {
			return nil, Errorf(InvalidArgument, "NewStartingHashKey %s used in SplitShard() on shard %s in stream %s under account %s is not both greater than one plus the shard's StartingHashKey %s and less than the shard's EndingHashKey %s.",
				at, s.ID(), t.Name, m.o.Account, s.Range.Start, s.Range.End)
		}
		return m.roomForSteps(t, []shard.Step{{Shard: s.Index, Merge: shard.None, At: key}})
	}, nil)
}

// MergeShards merges two shards whose ranges follow each other.
func (m *Manager) MergeShards(t *topic.Topic, id, adjacent string) error {
	return m.change(t, func(t *topic.Topic) ([]shard.Step, error) {
		if err := m.reshardable(t); err != nil {
			return nil, err
		}
		var pair [2]*shard.Shard
		for i, id := range [...]string{id, adjacent} {
			s, err := m.openShard(t, id)
			if err != nil {
				return nil, err
			}
			pair[i] = s
		}
		for _, s := range pair {
			if err := m.closed(t, s); err != nil {
				return nil, err
			}
		}
		first, second := pair[0], pair[1]
		if second.Range.Start.Compare(first.Range.Start) < 0 {
			first, second = second, first
		}
		if first == second || first.Range.End.Next() != second.Range.Start {
			return nil, Errorf(InvalidArgument, "Shards %s and %s in stream %s under account %s are not an adjacent pair of shards eligible for merging",
				pair[0].ID(), pair[1].ID(), t.Name, m.o.Account)
		}
		return m.roomForSteps(t, []shard.Step{{Shard: first.Index, Merge: second.Index}})
	}, nil)
}

func (m *Manager) reshardable(t *topic.Topic) error {
	if err := m.active(t); err != nil {
		return err
	}
	return m.provisioned(t)
}

const (
	day = 24 * 3600_000 // in ms
	// maxStreamShards is the most shards that UpdateShardCount gives a stream.
	maxStreamShards = 10_000
	maxReshards     = 10 // by UpdateShardCount, in 24 hours
)

// UpdateShardCount gives a stream this number of shards of the same size. It
// returns how many there are.
func (m *Manager) UpdateShardCount(t *topic.Topic, target int32) (current int32, err error) {
	now := m.now()
	err = m.change(t, func(t *topic.Topic) ([]shard.Step, error) {
		if err := m.reshardable(t); err != nil {
			return nil, err
		}
		current = t.Stream.OpenShards()
		counts := fmt.Sprintf("Current open shard count: %d Target shard count: %d", current, target)
		switch {
		case target > maxStreamShards:
			return nil, Errorf(LimitExceeded, "Target shard count or number of open shards cannot be greater than %d. %s", maxStreamShards, counts)
		case target > 2*current:
			return nil, Errorf(LimitExceeded, "UpdateShardCount cannot scale up over double your current open shard count. %s", counts)
		case 2*target < current:
			return nil, Errorf(LimitExceeded, "UpdateShardCount cannot scale down below half your current open shard count. %s", counts)
		case len(recent(t.Stream.Reshards, now)) >= maxReshards && !m.unlimited():
			return nil, Errorf(LimitExceeded, "UpdateShardCount cannot be called more than %d times per rolling 24-hour period for stream %s under account %s.", maxReshards, t.Name, m.o.Account)
		}
		if err := m.roomForShards(target - current); err != nil {
			return nil, err
		}
		return m.roomForSteps(t, t.Stream.Lineage.Plan(target))
	}, func(s *topic.Stream) { s.Reshards = append(recent(s.Reshards, now), now) })
	return current, err
}

// recent is a copy of those of times that lie within the last 24 hours.
func recent(times []int64, now int64) []int64 {
	return slices.DeleteFunc(slices.Clone(times), func(at int64) bool { return at <= now-day })
}

// roomForShards refuses more open shards than the account may have.
func (m *Manager) roomForShards(more int32) error {
	have, limit := m.openShards(), m.config().KinesisShardLimit
	if more <= 0 || int64(have)+int64(more) <= int64(limit) {
		return nil
	}
	return Errorf(LimitExceeded, "This request would exceed the shard limit for the account %s in %s. Current shard count for the account: %d. Limit: %d. "+
		"Number of additional shards that would have resulted from this request: %d. "+
		"Refer to the AWS Service Limits page (https://docs.aws.amazon.com/general/latest/gr/aws_service_limits.html) for current limits and how to request higher limits.",
		m.o.Account, m.o.Region, have, limit, more)
}

// openShards counts the open shards of the account, of provisioned streams.
func (m *Manager) openShards() int32 {
	n := int32(0)
	for _, t := range m.o.Topics.Topics() {
		if t.Stream != nil && t.Stream.Mode == topic.Provisioned && t.Stream.Status != topic.Deleting {
			n += t.Stream.OpenShards()
		}
	}
	return n
}

// roomForSteps refuses steps for whose shards there are not enough partitions.
func (m *Manager) roomForSteps(t *topic.Topic, steps []shard.Step) ([]shard.Step, error) {
	more := int64(0)
	for _, st := range steps {
		more++
		if st.Merge == shard.None {
			more++
		}
	}
	if have, limit := m.o.Topics.Partitions(), int64(m.config().MaxPartitions); have+more > limit {
		return nil, Errorf(LimitExceeded, "The reshard of stream %s needs %d partitions. There are %d already, and max.partitions allows %d.", t.Name, more, have, limit)
	}
	return steps, nil
}
