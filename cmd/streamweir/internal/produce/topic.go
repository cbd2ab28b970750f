package produce

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/streamweir/streamweir/cmd/streamweir/internal/client"
	"github.com/streamweir/streamweir/cmd/streamweir/internal/input"
	"github.com/streamweir/streamweir/cmd/streamweir/internal/output"
)

const (
	// creationWait is how long a broker may take to create a topic that we
	// name for the first time; creationPause is how often we look.
	creationWait  = 2 * time.Second
	creationPause = 100 * time.Millisecond
)

// Prepare makes sure that the topic is there and returns the number of its
// partitions. A broker that is configured to creates it (auto.create.topics.enable).
func Prepare(ctx context.Context, cl *client.Cluster, topic string) (partitions int, err error) {
	deadline := time.Now().Add(creationWait)
	for {
		partitions, err = lookUp(ctx, cl, topic)
		creating := errors.Is(err, kerr.UnknownTopicOrPartition) || errors.Is(err, kerr.LeaderNotAvailable)
		if !creating || time.Now().After(deadline) {
			break
		}
		select {
		case <-time.After(creationPause):
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
	switch {
	case errors.Is(err, kerr.UnknownTopicOrPartition):
		return 0, fmt.Errorf("topic %q does not exist: create it with `streamweir topic create %s`", topic, topic)
	case err != nil:
		return 0, fmt.Errorf("topic %q: %w", topic, cl.Explain(err))
	}
	return partitions, nil
}

func lookUp(ctx context.Context, cl *client.Cluster, topic string) (int, error) {
	ctx, cancel := cl.Limit(ctx)
	defer cancel()
	req := kmsg.NewPtrMetadataRequest()
	req.AllowAutoTopicCreation = true
	want := kmsg.NewMetadataRequestTopic()
	want.Topic = kmsg.StringPtr(topic)
	req.Topics = append(req.Topics, want)
	resp, err := req.RequestWith(ctx, cl.Client)
	if err != nil {
		return 0, err
	}
	if len(resp.Topics) != 1 {
		return 0, fmt.Errorf("the broker described %d topics instead of one", len(resp.Topics))
	}
	t := resp.Topics[0]
	if err := kerr.ErrorForCode(t.ErrorCode); err != nil {
		return 0, err
	}
	for _, p := range t.Partitions {
		if err := kerr.ErrorForCode(p.ErrorCode); errors.Is(err, kerr.LeaderNotAvailable) {
			return 0, err
		}
	}
	return len(t.Partitions), nil
}

// CheckPartition says whether the topic has a partition.
func CheckPartition(topic string, partition int32, partitions int) error {
	if partition != input.AnyPartition && int(partition) >= partitions {
		return fmt.Errorf("topic %q has no partition %d: it has %s", topic, partition, output.Plural(int64(partitions), "partition"))
	}
	return nil
}
