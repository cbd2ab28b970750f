// Package broker holds the core together: the catalogue of topics, the
// partitions with their logs, the coordinators, and the life of streams. The fronts
// (kafkaapi, kinesisapi) call it; it never calls a front.
package broker

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/streamweir/streamweir/broker/config"
	"github.com/streamweir/streamweir/broker/group"
	"github.com/streamweir/streamweir/broker/partition"
	"github.com/streamweir/streamweir/broker/quota"
	"github.com/streamweir/streamweir/broker/stream"
	"github.com/streamweir/streamweir/broker/stream/records"
	"github.com/streamweir/streamweir/broker/topic"
	"github.com/streamweir/streamweir/broker/txn"
	"github.com/streamweir/streamweir/storage"
)

// Core is a running broker without its fronts.
type Core struct {
	Topics       *topic.Catalogue
	Partitions   *partition.Manager
	Producers    *ProducerIDs
	Groups       *group.Coordinator
	Transactions *txn.Coordinator
	Streams      *stream.Manager
	Quotas       *quota.Manager
	Records      *records.Manager

	store storage.Store
	log   *zap.Logger

	stop context.CancelFunc
	wg   sync.WaitGroup
}

// Open starts a broker on a store. The caller closes the store after the core.
func Open(store storage.Store, cfg *config.Config, log *zap.Logger) (*Core, error) {
	if err := claim(store.Meta(), cfg.NodeID, cfg.DataDir); err != nil {
		return nil, err
	}
	topics, err := topic.Open(store.Meta(), cfg, topic.Options{})
	if err != nil {
		return nil, fmt.Errorf("open the catalogue of topics: %w", err)
	}
	for _, w := range topics.Warnings() {
		log.Warn(w)
	}
	epoch, err := nextEpoch(store.Meta())
	if err != nil {
		return nil, err
	}
	c := &Core{
		Topics: topics, store: store, log: log,
		Producers: &ProducerIDs{meta: store.Meta()},
		Partitions: partition.NewManager(partition.Options{
			Store: store, Log: log, Epoch: epoch, CacheBytes: cfg.StorageCacheBytes,
			RecompressLimit: int64(cfg.SocketRequestMaxBytes),
			ProducerExpiration: func() time.Duration {
				return time.Duration(topics.Config().ProducerIDExpirationMs) * time.Millisecond
			},
		}),
	}
	for _, t := range topics.Topics() {
		c.Partitions.Open(t)
	}
	topics.Watch(func(ch topic.Change) {
		if ch.New != nil {
			c.Partitions.Open(ch.New)
		}
	})
	// What a crash left of a deletion.
	for _, d := range topics.Deleting() {
		if err := c.drop(d.ID, d.Partitions); err != nil {
			return nil, fmt.Errorf("finish the deletion of topic %s: %w", d.Name, err)
		}
	}
	if c.Groups, err = openGroups(topics, c.Partitions, cfg, log); err != nil {
		return nil, err
	}
	if err := c.openTransactions(cfg); err != nil {
		return nil, errors.Join(err, closeGroups(c.Groups))
	}
	c.openStreams(cfg)
	if err := c.openRecords(cfg); err != nil {
		c.Streams.Close()
		c.Resign()
		return nil, err
	}
	ctx, stop := context.WithCancel(context.Background())
	c.stop = stop
	c.wg.Go(func() {
		c.Partitions.RunCompaction(ctx, func() partition.Compaction { return compaction(topics.Config()) })
	})
	c.wg.Add(1)
	go func() {
		defer c.wg.Done()
		c.Partitions.RunCleaner(ctx, time.Duration(cfg.LogRetentionCheckIntervalMs)*time.Millisecond)
	}()
	return c, nil
}

// compaction is what the configuration says of it.
func compaction(cfg *config.Config) partition.Compaction {
	return partition.Compaction{
		Enabled: cfg.LogCleanerEnable, Threads: int(cfg.LogCleanerThreads),
		Backoff:  time.Duration(cfg.LogCleanerBackoffMs) * time.Millisecond,
		MapBytes: cfg.LogCleanerDedupeBufferSize, MapLoad: cfg.LogCleanerIoBufferLoadFactor,
		BytesPerSecond: cfg.LogCleanerIoMaxBytesPerSecond,
	}
}

// Config is the configuration as it is now.
func (c *Core) Config() *config.Config { return c.Topics.Config() }

// NodeID is the id of this broker.
func (c *Core) NodeID() int32 { return c.Topics.Config().NodeID }

// Health is nil, or why the broker cannot do all of its work.
func (c *Core) Health() error {
	return errors.Join(c.store.Health(), groupsHealth(c.Groups), transactionsHealth(c.Transactions))
}

// Usage says how full the storage is.
func (c *Core) Usage() storage.Usage { return c.store.Usage() }

// Resign answers the clients that wait for a coordinator, so that they can go:
// the first step of a shutdown, while the fronts still send responses.
func (c *Core) Resign() {
	c.closeTransactions()
	if err := closeGroups(c.Groups); err != nil {
		c.log.Error("commits were under way when the broker closed", zap.Error(err))
	}
}

// Close ends all work of the core. No front may call it any more.
func (c *Core) Close() {
	c.stop()
	c.wg.Wait()
	c.Records.Close()
	c.Streams.Close()
	c.Resign()
	c.Partitions.Close()
}

func (c *Core) drop(id storage.TopicID, partitions int32) error {
	if err := c.Partitions.Drop(id, partitions); err != nil {
		return err
	}
	return c.Topics.Forget(id)
}

// keyEpoch holds how often the broker has started: the leader epoch of all its
// partitions, 4 bytes big-endian.
const keyEpoch = "broker/epoch"

// nextEpoch counts this start.
func nextEpoch(meta storage.Meta) (int32, error) {
	value, ok, err := meta.Get(keyEpoch)
	if err != nil {
		return 0, fmt.Errorf("read the leader epoch: %w", err)
	}
	epoch := int32(0)
	if ok {
		if len(value) != 4 {
			return 0, fmt.Errorf("read the leader epoch: %d bytes where 4 should be", len(value))
		}
		epoch = int32(binary.BigEndian.Uint32(value)) + 1
	}
	err = meta.Apply(storage.Op{Key: keyEpoch, Value: binary.BigEndian.AppendUint32(nil, uint32(epoch))})
	if err != nil {
		return 0, fmt.Errorf("keep the leader epoch: %w", err)
	}
	return epoch, nil
}
