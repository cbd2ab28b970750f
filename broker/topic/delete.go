package topic

import (
	"errors"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/streamweir/streamweir/storage"
)

// Delete deletes topics by id: from its return on they are gone, now and after
// a restart. Their logs remain to be dropped: the caller does that for what is
// in deleted and then calls Forget; after a crash Deleting says what is left.
// For each id, errs holds nil or why that topic is not deleted; err says that
// nothing was.
func (c *Catalogue) Delete(ids []storage.TopicID) (deleted []Deletion, errs []error, err error) {
	return c.delete(ids, false)
}

// DeletePending is Delete for topics whose deletion was decided before, and must
// be done even if topics may not be deleted any more.
func (c *Catalogue) DeletePending(id storage.TopicID) (deleted []Deletion, err error) {
	deleted, errs, err := c.delete([]storage.TopicID{id}, true)
	return deleted, errors.Join(append(errs, err)...)
}

func (c *Catalogue) delete(ids []storage.TopicID, decided bool) (deleted []Deletion, errs []error, err error) {
	errs = make([]error, len(ids))
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.begin()
	for i, id := range ids {
		t := e.byID[id]
		switch {
		case !decided && !e.config.DeleteTopicEnable:
			errs[i] = refuse(kerr.TopicDeletionDisabled, "topics cannot be deleted: delete.topic.enable is false")
		case t == nil:
			errs[i] = refuse(kerr.UnknownTopicID, "there is no topic of the id %s", FormatID(id))
		case t.Internal:
			errs[i] = brokersOwn(t.Name)
		default:
			e.remove(t, c.now())
		}
	}
	if err := c.commit(e); err != nil {
		return nil, nil, err
	}
	return e.deletions, errs, nil
}
