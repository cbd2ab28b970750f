package kafkaapi

import (
	"errors"
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/streamweir/streamweir/broker/partition"
	"github.com/streamweir/streamweir/broker/topic"
	"github.com/streamweir/streamweir/protocol/kafka"
	"github.com/streamweir/streamweir/storage"
)

// topicFor finds a topic by the name or the id that a request gives.
func (s *Server) topicFor(byID bool, name string, id [16]byte) (*topic.Topic, error) {
	if byID {
		if t := s.core.Topics.TopicByID(storage.TopicID(id)); t != nil {
			return t, nil
		}
		return nil, kerr.UnknownTopicID
	}
	if t := s.core.Topics.Topic(name); t != nil {
		return t, nil
	}
	return nil, kerr.UnknownTopicOrPartition
}

// partitionFor finds a partition by the name of its topic.
func (s *Server) partitionFor(name string, index int32) (*partition.Partition, error) {
	t, err := s.topicFor(false, name, [16]byte{})
	if err != nil {
		return nil, err
	}
	if p := s.core.Partitions.Get(t.ID, index); p != nil {
		return p, nil
	}
	return nil, kerr.UnknownTopicOrPartition
}

// isolationError refuses an isolation level that is neither read_uncommitted (0) nor
// read_committed (1). In Apache Kafka an exception escapes there.
func isolationError(level int8) error {
	if level != 0 && level != 1 {
		return kerr.InvalidRequest
	}
	return nil
}

// errorCode returns the Kafka code that err carries, 0 for nil.
func errorCode(err error) int16 {
	if err == nil {
		return 0
	}
	var ke *kerr.Error
	if errors.As(err, &ke) {
		return ke.Code
	}
	return kerr.UnknownServerError.Code
}

// errorMessage returns what a client may be told of err, nil where its code
// says it all. What went wrong inside of the broker is not for clients.
func errorMessage(err error) *string {
	var refused *kafka.RefusedError
	var topicError *topic.Error
	var ke *kerr.Error
	switch {
	case err == nil || !errors.As(err, &ke) || err == error(ke):
		return nil
	case errors.As(err, &refused):
		return &refused.Detail
	case errors.As(err, &topicError):
		return &topicError.Detail
	case errors.Is(err, storage.ErrNoSpace):
		return kmsg.StringPtr("the broker's disk is full: it takes no records until there is space again")
	case errors.Is(err, storage.ErrFailed):
		return kmsg.StringPtr("the broker's storage has failed: it takes no writes until it is started again")
	case ke == kerr.KafkaStorageError:
		return kmsg.StringPtr("the broker cannot write to its storage now")
	default:
		return kmsg.StringPtr(err.Error())
	}
}

// unique takes out of a list what is in it already: a client is answered once,
// however often it asks for the same.
func unique[T any, K comparable](list []T, key func(T) K) []T {
	seen := make(map[K]struct{}, min(len(list), 1<<10))
	return slices.DeleteFunc(list, func(v T) bool {
		_, again := seen[key(v)]
		seen[key(v)] = struct{}{}
		return again
	})
}

func itself(s string) string { return s }
