package stream

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/streamweir/streamweir/broker/topic"
)

// awsPartition is that of all ARNs, whatever the region is called.
const awsPartition = "aws"

// ARN is the ARN of a stream.
func (m *Manager) ARN(name string) string {
	return fmt.Sprintf("arn:%s:kinesis:%s:%s:stream/%s", awsPartition, m.o.Region, m.o.Account, name)
}

// ConsumerARN is the ARN of a consumer of a stream. It tells registrations of the
// same name apart.
func (m *Manager) ConsumerARN(t *topic.Topic, c *topic.Consumer) string {
	return fmt.Sprintf("%s/consumer/%s:%d", m.ARN(t.Name), c.Name, c.CreatedAt/1000)
}

// ParseARN reads the ARN of a stream or, where consumer is not empty, of a
// consumer that was registered at createdAt, in seconds. Streams of other partitions,
// accounts and regions are not found.
func (m *Manager) ParseARN(arn string) (name, consumer string, createdAt int64, err error) {
	parts := strings.SplitN(arn, ":", 6)
	if len(parts) != 6 || parts[0] != "arn" || parts[1] == "" || parts[2] != "kinesis" {
		return "", "", 0, Errorf(InvalidArgument, "%s is not the ARN of a stream or consumer.", arn)
	}
	resource, ok := strings.CutPrefix(parts[5], "stream/")
	if !ok {
		return "", "", 0, Errorf(ResourceNotFound, "Resource %s not found.", arn)
	}
	name, rest, isConsumer := strings.Cut(resource, "/")
	if isConsumer {
		rest, ok = strings.CutPrefix(rest, "consumer/")
		var seconds string
		consumer, seconds, _ = strings.Cut(rest, ":")
		if createdAt, err = strconv.ParseInt(seconds, 10, 64); err != nil || !ok || consumer == "" {
			return "", "", 0, Errorf(InvalidArgument, "%s is not the ARN of a consumer.", arn)
		}
	}
	if parts[1] != awsPartition || parts[3] != m.o.Region || parts[4] != m.o.Account {
		return "", "", 0, m.noStream(name, parts[4])
	}
	return name, consumer, createdAt, nil
}

// Find finds a stream by its name or ARN; where both are given, they must agree.
func (m *Manager) Find(name, arn *string) (*topic.Topic, error) {
	if arn == nil {
		if name == nil {
			return nil, Errorf(InvalidArgument, "Either StreamName or StreamARN should be provided.")
		}
		return m.Stream(*name)
	}
	named, consumer, _, err := m.ParseARN(*arn)
	switch {
	case err != nil:
		return nil, err
	case consumer != "":
		return nil, Errorf(InvalidArgument, "%s is not the ARN of a stream.", *arn)
	case name != nil && *name != named:
		return nil, Errorf(InvalidArgument, "StreamName %s and StreamARN %s do not name the same stream.", *name, *arn)
	}
	return m.Stream(named)
}

// FindConsumer finds a consumer by its ARN, or by its name and the ARN of its
// stream; where all are given, they must agree.
func (m *Manager) FindConsumer(streamARN, consumerName, consumerARN *string) (*topic.Topic, *topic.Consumer, error) {
	if consumerARN == nil {
		if streamARN == nil || consumerName == nil {
			return nil, nil, Errorf(InvalidArgument, "Either ConsumerARN, or both StreamARN and ConsumerName, should be provided.")
		}
		t, err := m.Find(nil, streamARN)
		if err != nil {
			return nil, nil, err
		}
		c := t.Stream.Consumer(*consumerName)
		if c == nil {
			return nil, nil, m.noConsumer(*consumerName)
		}
		return t, c, nil
	}
	name, consumer, createdAt, err := m.ParseARN(*consumerARN)
	switch {
	case err != nil:
		return nil, nil, err
	case consumer == "":
		return nil, nil, Errorf(InvalidArgument, "%s is not the ARN of a consumer.", *consumerARN)
	case consumerName != nil && *consumerName != consumer:
		return nil, nil, Errorf(InvalidArgument, "ConsumerName %s and ConsumerARN %s do not name the same consumer.", *consumerName, *consumerARN)
	case streamARN != nil && *streamARN != m.ARN(name):
		return nil, nil, Errorf(InvalidArgument, "StreamARN %s and ConsumerARN %s do not name the same stream.", *streamARN, *consumerARN)
	}
	t, err := m.Stream(name)
	if err != nil {
		return nil, nil, err
	}
	c := t.Stream.Consumer(consumer)
	if c == nil || c.CreatedAt/1000 != createdAt {
		return nil, nil, m.noConsumer(*consumerARN)
	}
	return t, c, nil
}

func (m *Manager) noConsumer(what string) error {
	return Errorf(ResourceNotFound, "Consumer %s, account %s not found.", what, m.o.Account)
}
