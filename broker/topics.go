package broker

import (
	"go.uber.org/zap"

	"github.com/streamweir/streamweir/broker/topic"
	"github.com/streamweir/streamweir/storage"
)

// DeleteTopics deletes topics and their logs. For each it returns nil or why it
// is not deleted; the second result says that nothing was. A log that cannot be
// dropped now is dropped at the next start: its topic is gone all the same.
func (c *Core) DeleteTopics(ids []storage.TopicID) ([]error, error) {
	deleted, errs, err := c.Topics.Delete(ids)
	if err != nil {
		return nil, err
	}
	c.dropAll(deleted)
	return errs, nil
}

// deleteStream deletes a stream whose deletion is due.
func (c *Core) deleteStream(id storage.TopicID) error {
	deleted, err := c.Topics.DeletePending(id)
	if err != nil {
		return err
	}
	c.dropAll(deleted)
	return nil
}

func (c *Core) dropAll(deleted []topic.Deletion) {
	for _, d := range deleted {
		if err := c.drop(d.ID, d.Partitions); err != nil {
			c.log.Error("the log of a deleted topic could not be dropped; the next start tries again",
				zap.String("topic", d.Name), zap.Stringer("id", d.ID), zap.Error(err))
		}
	}
}
