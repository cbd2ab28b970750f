package consume

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/streamweir/streamweir/cmd/streamweir/internal/client"
	"github.com/streamweir/streamweir/cmd/streamweir/internal/position"
)

// probeBytes is how much one look into a log may bring.
const probeBytes = 1 << 20

// stop is where a partition is and where it is to end.
type stop struct {
	next   int64 // everything before it is written
	before int64
}

// prober looks into logs by itself, apart from the consumer. The last offsets
// before a stop need not belong to records: compaction and aborted transactions
// leave gaps, and a consumer says nothing about those it passes.
type prober struct {
	cl     *client.Cluster
	stable bool
}

// left says whether a record is to be expected in p between next and before.
func (pr prober) left(ctx context.Context, p position.Partition, s stop) (bool, error) {
	ctx, cancel := pr.cl.Limit(ctx)
	defer cancel()
	details, err := pr.cl.Admin.ListTopicsWithInternal(ctx, p.Topic)
	if err != nil {
		return false, pr.cl.Explain(err)
	}
	detail, ok := details[p.Topic].Partitions[p.Partition]
	if !ok || detail.Err != nil || detail.Leader < 0 {
		return true, nil // it moves; the consumer waits for its leader too
	}
	for at := s.next; at < s.before; {
		found, err := pr.fetch(ctx, p, details[p.Topic].ID, detail.Leader, at)
		if err != nil {
			return false, err
		}
		for _, r := range found.records {
			if r.Offset < s.before {
				return true, nil
			}
		}
		if found.next <= at {
			return false, nil
		}
		at = found.next
	}
	return false, nil
}

// look is what one fetch found.
type look struct {
	records []*kgo.Record
	next    int64
}

func (pr prober) fetch(ctx context.Context, p position.Partition, id [16]byte, leader int32, at int64) (look, error) {
	level := kgo.ReadUncommitted()
	req := kmsg.NewPtrFetchRequest()
	if pr.stable {
		level, req.IsolationLevel = kgo.ReadCommitted(), 1
	}
	req.ReplicaID, req.MaxBytes, req.SessionEpoch = -1, probeBytes, -1 // no session
	topic := kmsg.NewFetchRequestTopic()
	topic.Topic, topic.TopicID = p.Topic, id
	part := kmsg.NewFetchRequestTopicPartition()
	part.Partition, part.FetchOffset, part.PartitionMaxBytes = p.Partition, at, probeBytes
	part.CurrentLeaderEpoch = -1
	topic.Partitions = append(topic.Partitions, part)
	req.Topics = append(req.Topics, topic)
	kresp, err := pr.cl.Broker(int(leader)).RetriableRequest(ctx, req)
	if err != nil {
		return look{}, fmt.Errorf("look into %s: %w", p, pr.cl.Explain(err))
	}
	resp := kresp.(*kmsg.FetchResponse)
	if err := kerr.ErrorForCode(resp.ErrorCode); err != nil {
		return look{}, fmt.Errorf("look into %s: %w", p, client.Plain(err))
	}
	if len(resp.Topics) != 1 || len(resp.Topics[0].Partitions) != 1 {
		return look{next: at}, nil
	}
	rp := &resp.Topics[0].Partitions[0]
	if err := kerr.ErrorForCode(rp.ErrorCode); err != nil {
		return look{}, fmt.Errorf("look into %s: %w", p, client.Plain(err))
	}
	opts := kgo.ProcessFetchPartitionOpts{
		KeepControlRecords: true, Offset: at, IsolationLevel: level, Topic: p.Topic, Partition: p.Partition,
	}
	got, next := kgo.ProcessFetchPartition(opts, rp, kgo.DefaultDecompressor(), nil)
	return look{records: got.Records, next: next}, nil
}
