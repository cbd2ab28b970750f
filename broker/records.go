package broker

import (
	"fmt"
	"time"

	"github.com/streamweir/streamweir/broker/config"
	"github.com/streamweir/streamweir/broker/coordinator"
	"github.com/streamweir/streamweir/broker/quota"
	"github.com/streamweir/streamweir/broker/stream/records"
	"github.com/streamweir/streamweir/storage"
)

// openRecords makes the data plane of streams, with its quotas.
func (c *Core) openRecords(cfg *config.Config) (err error) {
	c.Quotas = quota.New(quota.Options{
		Now:      time.Now,
		Enforced: func() bool { return c.Config().KinesisLimits != "off" },
		Exists:   func(id storage.TopicID) bool { return c.Topics.TopicByID(id) != nil },
	})
	c.Records, err = records.New(records.Options{
		Streams: c.Streams, Topics: c.Topics, Partitions: c.Partitions, Quotas: c.Quotas, Meta: c.store.Meta(),
		Clock: coordinator.SystemClock{}, Log: c.log,
		ReadBytes: cfg.AWSQueuedMaxBytes / 2,
	})
	if err != nil {
		return fmt.Errorf("open the data plane of streams: %w", err)
	}
	return nil
}

// ShardMetrics are the shard-level metrics that a stream has switched on.
func (c *Core) ShardMetrics(id storage.TopicID) []string {
	t := c.Topics.TopicByID(id)
	if t == nil || t.Stream == nil {
		return nil
	}
	return t.Stream.ShardMetrics
}
