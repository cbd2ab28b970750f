package txn

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"go.uber.org/zap"
)

// A Marker ends a transaction in one partition.
type Marker struct {
	ProducerID         int64
	ProducerEpoch      int16
	CoordinatorEpoch   int32
	Commit             bool
	TransactionVersion int8
}

// ending is the work that a decided transaction leaves to do.
type ending struct {
	// left are the partitions that have not said that they have the marker;
	// true for those that are to be asked again.
	left    map[TopicPartition]bool
	tries   int  // how often something was tried again
	waiting bool // the timer is set
}

// sending is one marker on its way to one partition.
type sending struct {
	TopicPartition
	Marker
	t *transaction
	e *ending
}

// beginEnding sends the markers of a decided transaction.
func (s *shard) beginEnding(st *step, t *transaction) {
	e := &ending{left: make(map[TopicPartition]bool, t.partitions.count())}
	t.ending = e
	all := t.partitions.all()
	for _, tp := range all {
		e.left[tp] = false
	}
	for _, tp := range all {
		s.send(st, t, tp)
	}
	if len(all) == 0 {
		s.complete(st, t)
	}
}

func (s *shard) send(st *step, t *transaction, tp TopicPartition) {
	st.marker(&sending{tp, Marker{
		ProducerID: t.producerID, ProducerEpoch: t.epoch, CoordinatorEpoch: s.epoch,
		Commit: t.state == PrepareCommit, TransactionVersion: int8(t.version),
	}, t, t.ending})
}

// markerEnded is the event that a partition has taken a marker, or has not.
func (s *shard) markerEnded(st *step, m *sending, err *kerr.Error) {
	e := m.e
	if again, left := e.left[m.TopicPartition]; s.resigned || m.t.ending != e || !left || again {
		return
	}
	switch err {
	case nil:
		s.stats.Markers++
	case kerr.UnknownTopicOrPartition, kerr.UnsupportedVersion, kerr.UnsupportedForMessageFormat:
		// The topic was deleted, or can hold no transactions: there is nothing
		// to end there.
	case kerr.InvalidProducerEpoch:
		// A later epoch of the same producer has been there, which nobody gets
		// from this coordinator before the transaction is over: somebody has
		// written markers by hand. They have ended it there.
		st.alarm(m.t, "a partition has seen a later epoch than that of the transaction that ends",
			zap.String("topic", m.Topic), zap.Int32("partition", m.Partition))
	default:
		s.stats.FailedMarkers++
		if e.tries == 0 {
			st.alarm(m.t, "a transaction marker could not be written, and is tried again",
				zap.String("topic", m.Topic), zap.Int32("partition", m.Partition), zap.String("error", err.Message))
		}
		e.left[m.TopicPartition] = true
		s.later(st, m.t)
		return
	}
	delete(e.left, m.TopicPartition)
	if len(e.left) == 0 {
		s.complete(st, m.t)
	}
}

// complete writes down that the transaction is over.
func (s *shard) complete(st *step, t *transaction) {
	s.transit(st, t, t.completed(st.ms()), func(st *step, err *kerr.Error) {
		if err != nil && !s.resigned {
			s.later(st, t)
		}
	})
}

// later comes back to what could not be done. It goes on for as long as it
// takes: a decided transaction must end, or its partitions' readers wait for
// ever.
func (s *shard) later(st *step, t *transaction) {
	if t.ending.waiting {
		return
	}
	t.ending.waiting = true
	st.set(&t.retry, min(s.cfg.RetryBackoff<<min(t.ending.tries, 16), max(s.cfg.RetryBackoff, maxRetryBackoff)))
	t.ending.tries++
}

const maxRetryBackoff = 10 * time.Second

// retryEnding sends the markers that are missing, or asks for the last record.
func (s *shard) retryEnding(st *step, t *transaction) {
	e := t.ending
	if e == nil || t.hasPending {
		return
	}
	e.waiting = false
	for _, tp := range inOrder(e.left) {
		if e.left[tp] {
			e.left[tp] = false
			s.send(st, t, tp)
		}
	}
	if len(e.left) == 0 {
		s.complete(st, t)
	}
}

// inOrder lists the partitions of a map in order.
func inOrder(m map[TopicPartition]bool) []TopicPartition {
	return slices.SortedFunc(maps.Keys(m), func(a, b TopicPartition) int {
		if c := strings.Compare(a.Topic, b.Topic); c != 0 {
			return c
		}
		return int(a.Partition) - int(b.Partition)
	})
}
