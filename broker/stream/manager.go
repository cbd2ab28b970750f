// Package stream is the life of streams: how they are made, change and go, by
// the terms of Kinesis, over the catalogue of topics and their partitions. A
// stream is a topic, and a shard is a partition of it.
package stream

import (
	"context"
	"sync"

	"github.com/streamweir/streamweir/broker/partition"
	"github.com/streamweir/streamweir/broker/topic"
	"github.com/streamweir/streamweir/storage"
)

// Manager makes the changes of streams that Kinesis knows.
type Manager struct {
	topics     *topic.Catalogue
	partitions *partition.Manager
	account    string

	mu      sync.Mutex
	closing map[storage.TopicID]chan struct{} // streams whose shards are being closed
}

// Options are what a Manager works with.
type Options struct {
	Topics     *topic.Catalogue
	Partitions *partition.Manager
	// Account is the id of the AWS account that everything belongs to.
	Account string
}

// New returns a manager.
func New(o Options) *Manager {
	return &Manager{topics: o.Topics, partitions: o.Partitions, account: o.Account, closing: map[storage.TopicID]chan struct{}{}}
}

// Account is the id of the AWS account that everything belongs to.
func (m *Manager) Account() string { return m.account }

// Stream finds a stream by its name.
func (m *Manager) Stream(name string) (*topic.Topic, error) {
	if t := m.topics.Topic(name); t != nil && t.Stream != nil {
		return t, nil
	}
	return nil, Errorf(ResourceNotFound, "Stream %s under account %s not found.", name, m.account)
}

// AwaitShards returns when no shard of t is being closed: whoever was refused by
// a partition with a partition.SealedError that is not Closed looks the stream up
// again then, and finds the shard closed with children, or open as before.
func (m *Manager) AwaitShards(ctx context.Context, t *topic.Topic) error {
	m.mu.Lock()
	done := m.closing[t.ID]
	m.mu.Unlock()
	if done == nil {
		return nil
	}
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
