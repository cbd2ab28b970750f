package wire

import (
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/streamweir/streamweir/integration/harness"
)

// logAPIs are the keys that write and read the log.
func logAPIs() []api {
	return []api{
		{key: 0, min: 0, max: 13, first: 3, ask: askProduce},
		{key: 1, min: 4, max: 18, ask: askFetch},
		{key: 2, min: 1, max: 11, ask: askListOffsets},
		{key: 18, min: 0, max: 4, ask: askApiVersions},
		{key: 21, min: 0, max: 2, ask: askDeleteRecords},
		{key: 22, min: 0, max: 5, ask: askInitProducerID},
		{key: 23, min: 2, max: 4, ask: askEpochEnd},
	}
}

func askProduce(e *env, v int16) (kmsg.Request, func(kmsg.Response) error) {
	before := e.listOffset(offsetsV, 0, -1).Offset
	req := e.produceReq(v, 0, harness.Batch{Records: harness.Values("a", "b")}.Encode())
	return req, as(func(r *kmsg.ProduceResponse) error {
		if len(r.Topics) != 1 || len(r.Topics[0].Partitions) != 1 {
			return errors.New("not one partition")
		}
		p := r.Topics[0].Partitions[0]
		err := check(
			fault("produce", p.ErrorCode), equal("base offset", p.BaseOffset, before),
			equal("log append time", p.LogAppendTime, -1),
			equal("end", e.listOffset(offsetsV, 0, -1).Offset, before+2))
		if v >= 13 {
			return check(err, equal("topic id", r.Topics[0].TopicID, e.id))
		}
		return check(err, equal("topic", r.Topics[0].Topic, e.topic))
	})
}

func askFetch(e *env, v int16) (kmsg.Request, func(kmsg.Response) error) {
	at := e.produce(1, harness.Batch{Records: harness.Values("f")})
	req := e.fetchReq(v, 1, at)
	return req, as(func(r *kmsg.FetchResponse) error {
		if r.ErrorCode != 0 || len(r.Topics) != 1 || len(r.Topics[0].Partitions) != 1 {
			return fmt.Errorf("error %d, or not one partition", r.ErrorCode)
		}
		p := r.Topics[0].Partitions[0]
		bs, _, err := harness.Batches(p.RecordBatches)
		if err != nil || len(bs) != 1 {
			return fmt.Errorf("%d batches, %w", len(bs), err)
		}
		err = check(
			fault("fetch", p.ErrorCode), equal("first offset", bs[0].FirstOffset, at),
			equal("high watermark", p.HighWatermark, at+1),
			equal("last stable offset", p.LastStableOffset, at+1))
		if v >= 5 {
			err = check(err, equal("log start", p.LogStartOffset, 0))
		}
		if v >= 13 {
			return check(err, equal("topic id", r.Topics[0].TopicID, e.id))
		}
		return check(err, equal("topic", r.Topics[0].Topic, e.topic))
	})
}

func askListOffsets(e *env, v int16) (kmsg.Request, func(kmsg.Response) error) {
	end := e.produce(1, harness.Batch{Records: harness.Values("l")}) + 1
	req := kmsg.NewPtrListOffsetsRequest()
	req.ReplicaID = -1
	rt := kmsg.NewListOffsetsRequestTopic()
	rt.Topic = e.topic
	rp := kmsg.NewListOffsetsRequestTopicPartition()
	rp.Partition, rp.Timestamp, rp.CurrentLeaderEpoch = 1, -1, -1
	rt.Partitions = append(rt.Partitions, rp)
	req.Topics = append(req.Topics, rt)
	return req, as(func(r *kmsg.ListOffsetsResponse) error {
		if len(r.Topics) != 1 || len(r.Topics[0].Partitions) != 1 {
			return errors.New("not one partition")
		}
		p := r.Topics[0].Partitions[0]
		err := check(fault("list offsets", p.ErrorCode), equal("end", p.Offset, end), equal("timestamp", p.Timestamp, -1))
		if v >= 4 && p.LeaderEpoch < 0 {
			err = check(err, fmt.Errorf("leader epoch %d", p.LeaderEpoch))
		}
		return err
	})
}

func askApiVersions(e *env, v int16) (kmsg.Request, func(kmsg.Response) error) {
	return apiVersions(v), as(func(r *kmsg.ApiVersionsResponse) error {
		if len(r.ApiKeys) < 20 {
			return fmt.Errorf("only %d keys", len(r.ApiKeys))
		}
		return fault("api versions", r.ErrorCode)
	})
}

func askDeleteRecords(e *env, v int16) (kmsg.Request, func(kmsg.Response) error) {
	x := newEnv(e.t, 1)
	x.produce(0, harness.Batch{Records: harness.Values("a", "b", "c")})
	req := kmsg.NewPtrDeleteRecordsRequest()
	req.TimeoutMillis = 30_000
	rt := kmsg.NewDeleteRecordsRequestTopic()
	rt.Topic = x.topic
	rp := kmsg.NewDeleteRecordsRequestTopicPartition()
	rp.Offset = 2
	rt.Partitions = append(rt.Partitions, rp)
	req.Topics = append(req.Topics, rt)
	return req, as(func(r *kmsg.DeleteRecordsResponse) error {
		if len(r.Topics) != 1 || len(r.Topics[0].Partitions) != 1 {
			return errors.New("not one partition")
		}
		p := r.Topics[0].Partitions[0]
		return check(fault("delete records", p.ErrorCode), equal("low watermark", p.LowWatermark, 2))
	})
}

func askInitProducerID(e *env, v int16) (kmsg.Request, func(kmsg.Response) error) {
	req := kmsg.NewPtrInitProducerIDRequest()
	req.TransactionTimeoutMillis = 60_000
	return req, as(func(r *kmsg.InitProducerIDResponse) error {
		if r.ProducerID < 0 {
			return fmt.Errorf("producer id %d", r.ProducerID)
		}
		return check(fault("init producer id", r.ErrorCode), equal("epoch", r.ProducerEpoch, 0))
	})
}

func askEpochEnd(e *env, v int16) (kmsg.Request, func(kmsg.Response) error) {
	end := e.produce(1, harness.Batch{Records: harness.Values("e")}) + 1
	epoch := e.listOffset(offsetsV, 1, -1).LeaderEpoch
	req := kmsg.NewPtrOffsetForLeaderEpochRequest()
	req.ReplicaID = -1
	rt := kmsg.NewOffsetForLeaderEpochRequestTopic()
	rt.Topic = e.topic
	rp := kmsg.NewOffsetForLeaderEpochRequestTopicPartition()
	rp.Partition, rp.CurrentLeaderEpoch, rp.LeaderEpoch = 1, epoch, epoch
	rt.Partitions = append(rt.Partitions, rp)
	req.Topics = append(req.Topics, rt)
	return req, as(func(r *kmsg.OffsetForLeaderEpochResponse) error {
		if len(r.Topics) != 1 || len(r.Topics[0].Partitions) != 1 {
			return errors.New("not one partition")
		}
		p := r.Topics[0].Partitions[0]
		return check(fault("offset for leader epoch", p.ErrorCode),
			equal("epoch", p.LeaderEpoch, epoch), equal("end", p.EndOffset, end))
	})
}
