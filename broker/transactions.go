package broker

import (
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/streamweir/streamweir/broker/partition"
	"github.com/streamweir/streamweir/broker/topic"
)

// WriteTxnMarker appends the end of a transaction to a partition. In
// __consumer_offsets, the group coordinator then takes over the offsets that
// the transaction has committed, or drops them, before m.Done is called.
//
// A coordinator epoch above our leader epoch is of no coordinator there is. It
// would fence the true one, which could never end the transaction.
func (c *Core) WriteTxnMarker(name string, index int32, m partition.Marker) {
	if newest := c.Partitions.Epoch(); m.CoordinatorEpoch > newest {
		m.Done(fmt.Errorf("%w: coordinator epoch %d is above %d, the newest there is", kerr.InvalidRequest, m.CoordinatorEpoch, newest))
		return
	}
	var p *partition.Partition
	if t := c.Topics.Topic(name); t != nil {
		p = c.Partitions.Get(t.ID, index)
	}
	if p == nil {
		m.Done(fmt.Errorf("%w: %s-%d", kerr.UnknownTopicOrPartition, name, index))
		return
	}
	if name == topic.ConsumerOffsets {
		c.writeGroupMarker(p, m)
		return
	}
	p.WriteMarker(m)
}

func (c *Core) writeGroupMarker(p *partition.Partition, m partition.Marker) {
	if err := c.Groups.CompletesTransactions(p.Index()); err != nil {
		// As in Apache Kafka, what a coordinator would say of itself is told as
		// the partition's: try again.
		m.Done(fmt.Errorf("%w: the groups of %s-%d have no coordinator now: %w",
			kerr.NotLeaderForPartition, topic.ConsumerOffsets, p.Index(), err))
		return
	}
	p.AppendMarker(m, func(at int64, err error) {
		if err == nil {
			c.Groups.CompleteTransaction(p.Index(), m.ProducerID, at, m.Commit)
		}
		m.Done(err)
	})
}
