package stream

import (
	"encoding/json"
	"fmt"

	"github.com/streamweir/streamweir/storage"
)

// accountKey is where the settings of the account are kept; docs/format-meta.md
// describes them.
const (
	accountKey     = "kinesis/account"
	accountVersion = 1
)

// Commitment is the minimum throughput billing commitment of the account. Nobody
// is billed here, but what comes with it in AWS comes with it here: warm
// throughput, and more consumers of streams in on-demand mode.
type Commitment struct {
	// Times are in ms, 0 for none. It ends at EndsAt, or not yet where that is 0.
	StartedAt, EarliestEndAt, EndsAt int64
}

// On says whether the commitment holds at a time.
func (c Commitment) On(now int64) bool { return c.StartedAt > 0 && (c.EndsAt == 0 || now < c.EndsAt) }

type accountDoc struct {
	V             int   `json:"v"`
	StartedAt     int64 `json:"commitmentStartedAt,omitempty"`
	EarliestEndAt int64 `json:"commitmentEarliestEndAt,omitempty"`
	EndsAt        int64 `json:"commitmentEndsAt,omitempty"`
}

// Commitment reads the commitment of the account, and tells the time.
func (m *Manager) Commitment() (c Commitment, now int64, err error) {
	now = m.now()
	value, ok, err := m.o.Meta.Get(accountKey)
	if err != nil {
		return c, now, fmt.Errorf("read the settings of the account: %w", err)
	}
	if !ok {
		return c, now, nil
	}
	var doc accountDoc
	if err := json.Unmarshal(value, &doc); err != nil {
		return c, now, fmt.Errorf("read %s: %w", accountKey, err)
	}
	if doc.V != accountVersion {
		return c, now, fmt.Errorf("read %s: its version is %d, this release knows %d: %w", accountKey, doc.V, accountVersion, storage.ErrVersion)
	}
	return Commitment{doc.StartedAt, doc.EarliestEndAt, doc.EndsAt}, now, nil
}

func (m *Manager) committed() (bool, error) {
	c, now, err := m.Commitment()
	return c.On(now), err
}

// SetCommitment begins the commitment, or ends it as soon as it may end: it lasts
// for 24 hours at least.
func (m *Manager) SetCommitment(on bool) error {
	m.decisions.Lock()
	defer m.decisions.Unlock()
	c, now, err := m.Commitment()
	if err != nil {
		return err
	}
	switch {
	case on && c.On(now):
		c.EndsAt = 0
	case on:
		c = Commitment{StartedAt: now, EarliestEndAt: now + day}
	case c.On(now) && c.EndsAt == 0:
		c.EndsAt = max(now, c.EarliestEndAt)
	}
	value, err := json.Marshal(accountDoc{accountVersion, c.StartedAt, c.EarliestEndAt, c.EndsAt})
	if err != nil {
		return fmt.Errorf("write the settings of the account: %w", err)
	}
	if err := m.o.Meta.Apply(storage.Op{Key: accountKey, Value: value}); err != nil {
		return fmt.Errorf("keep the settings of the account: %w", err)
	}
	return nil
}

// Limits are the limits of the account, with what there is of each.
type Limits struct {
	Shards, ShardLimit                   int32
	OnDemandStreams, OnDemandStreamLimit int32
}

// Limits tells the limits of the account.
func (m *Manager) Limits() Limits {
	cfg := m.config()
	return Limits{m.openShards(), cfg.KinesisShardLimit, m.onDemandStreams(), cfg.KinesisOnDemandStreamLimit}
}
