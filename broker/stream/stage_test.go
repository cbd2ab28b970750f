package stream

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/streamweir/streamweir/broker/config"
	"github.com/streamweir/streamweir/broker/coordinator/coordinatortest"
	"github.com/streamweir/streamweir/broker/partition"
	"github.com/streamweir/streamweir/broker/shard"
	"github.com/streamweir/streamweir/broker/topic"
	"github.com/streamweir/streamweir/protocol/kafka"
	"github.com/streamweir/streamweir/storage"
	"github.com/streamweir/streamweir/storage/memstore"
)

var stageStart = time.UnixMilli(1_700_000_000_000)

// crashingStore is a store whose metadata can be lost for the rest of a broker's
// life, as in a crash: before a change is durable, or just after.
type crashingStore struct {
	storage.Meta

	mu     sync.Mutex
	left   int // changes until the crash; -1 for none
	after  bool
	broken bool
	full   bool // the next change finds the disk full
}

var errCrash = fmt.Errorf("the broker is gone: %w", storage.ErrFailed)

func (c *crashingStore) Apply(ops ...storage.Op) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.broken {
		return errCrash
	}
	if c.full {
		c.full = false
		return fmt.Errorf("change metadata: %w", storage.ErrNoSpace)
	}
	if c.left != 0 {
		c.left--
		return c.Meta.Apply(ops...)
	}
	c.broken = true
	if c.after {
		if err := c.Meta.Apply(ops...); err != nil {
			return err
		}
	}
	return errCrash
}

// stage is a broker without fronts, on a store in memory and a clock that stands
// still.
type stage struct {
	store      *memstore.Store
	meta       *crashingStore
	clock      *coordinatortest.Clock
	cfg        *config.Config
	epoch      int32
	topics     *topic.Catalogue
	partitions *partition.Manager
	m          *Manager
}

func newStage(t testing.TB, settings map[string]string) *stage {
	cfg, err := config.Default().With(settings)
	if err != nil {
		t.Fatal(err)
	}
	s := &stage{store: memstore.New(memstore.Options{}), clock: coordinatortest.NewClock(stageStart), cfg: cfg}
	t.Cleanup(func() { s.store.Close() })
	if err := s.start(); err != nil {
		t.Fatal(err)
	}
	return s
}

// start starts a broker on what the store holds.
func (s *stage) start() (err error) {
	s.epoch++
	s.meta = &crashingStore{Meta: s.store.Meta(), left: -1}
	if s.topics, err = topic.Open(s.meta, s.cfg, topic.Options{Now: s.clock.Now}); err != nil {
		return err
	}
	s.partitions = partition.NewManager(partition.Options{
		Store: s.store, Log: zap.NewNop(), Epoch: s.epoch, CacheBytes: 1 << 20, Now: s.clock.Now,
		ProducerExpiration: func() time.Duration { return time.Hour },
	})
	for _, t := range s.topics.Topics() {
		s.partitions.Open(t)
	}
	topics, partitions := s.topics, s.partitions
	s.topics.Watch(func(ch topic.Change) {
		if ch.New != nil {
			partitions.Open(ch.New)
		}
	})
	s.m = Open(Options{
		Topics: s.topics, Partitions: s.partitions, Meta: s.meta, Account: "000000000000", Region: "us-east-1",
		Clock: s.clock, Log: zap.NewNop(),
		Delete: func(id storage.TopicID) error {
			deleted, err := topics.DeletePending(id)
			if err != nil {
				return err
			}
			for _, d := range deleted {
				if err := errors.Join(partitions.Drop(d.ID, d.Partitions), topics.Forget(d.ID)); err != nil {
					return err
				}
			}
			return nil
		},
	})
	return nil
}

// crash starts the next broker, without a word to the one before. What was on its
// way to the log has arrived.
func (s *stage) crash() error {
	s.m.Close()
	s.store.WaitQueued(0)
	s.meta.mu.Lock()
	s.meta.broken = true
	s.meta.mu.Unlock()
	return s.start()
}

// put appends one record where its key belongs, and returns where it went.
func (s *stage) put(name, key string) (index int32, offset int64, err error) {
	t, err := s.m.Stream(name)
	if err != nil {
		return -1, -1, err
	}
	index = t.Stream.Lineage.Route(shard.KeyOf(key)).Index
	offset, err = s.produce(t, index, key)
	return index, offset, err
}

// produce appends one record to a partition, as Kafka clients may.
func (s *stage) produce(t *topic.Topic, index int32, key string) (int64, error) {
	b, err := kafka.BuildBatch(nil, kafka.BatchOptions{}, kafka.Record{Timestamp: s.clock.Now().UnixMilli(), Key: []byte(key), Value: []byte("v")})
	if err != nil {
		return -1, err
	}
	done := make(chan partition.Result, 1)
	s.partitions.Get(t.ID, index).Append(partition.Request{Batch: b, Done: func(r partition.Result) { done <- r }})
	r := <-done
	return r.BaseOffset, r.Err
}
