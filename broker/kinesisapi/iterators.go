package kinesisapi

import (
	"context"

	"github.com/streamweir/streamweir/broker/shard"
	"github.com/streamweir/streamweir/broker/stream/records"
	"github.com/streamweir/streamweir/protocol/aws"
	"github.com/streamweir/streamweir/protocol/aws/kinesis"
)

// GetShardIterator and GetRecords. An iterator is all that there is of a reader:
// the broker keeps nothing between two calls.

func (s *Server) getShardIterator(_ context.Context, _ *Call, in *kinesis.GetShardIteratorInput) (*kinesis.GetShardIteratorOutput, error) {
	t, err := s.core.Streams.Find(in.StreamName, in.StreamARN)
	if err != nil {
		return nil, err
	}
	sh, err := s.core.Records.Shard(t, *in.ShardId)
	if err != nil {
		return nil, err
	}
	at := position(in.ShardIteratorType, in.StartingSequenceNumber, in.Timestamp)
	if dry(in.DryRun) {
		if _, err := s.core.Records.Locate(sh, at, "GetShardIterator"); err != nil {
			return nil, err
		}
		return nil, s.core.Records.DryRun(t)
	}
	it, err := s.core.Records.GetIterator(sh, at)
	if err != nil {
		return nil, err
	}
	return &kinesis.GetShardIteratorOutput{ShardIterator: &it}, nil
}

func position(kind, sequence *string, at *aws.Time) records.Position {
	p := records.Position{Type: *kind, Sequence: aws.Text(sequence)}
	if at != nil {
		ms := int64(*at)
		p.Timestamp = &ms
	}
	return p
}

func (s *Server) getRecords(ctx context.Context, call *Call, in *kinesis.GetRecordsInput) (*getRecordsOutput, error) {
	it, err := s.core.Records.OpenIterator(*in.ShardIterator)
	if err != nil {
		return nil, err
	}
	if in.StreamARN != nil {
		t, err := s.core.Streams.Find(nil, in.StreamARN)
		if err != nil {
			return nil, err
		}
		if t.ID != it.Shard.Topic.ID {
			return nil, s.core.Records.OtherStream(t)
		}
	}
	if dry(in.DryRun) {
		return nil, s.core.Records.DryRun(it.Shard.Topic)
	}
	limit := records.MaxGetRecords
	if in.Limit != nil {
		limit = int(*in.Limit)
	}
	got, err := s.core.Records.Get(ctx, it, limit)
	if err != nil {
		return nil, err
	}
	call.after(got.Release)
	return &getRecordsOutput{got}, nil
}

// getRecordsOutput is the response of GetRecords. It encodes records where they
// lie.
type getRecordsOutput struct{ *records.Got }

// Size implements aws.Sized.
func (o *getRecordsOutput) Size() int { return sizeOf(o.Records) }

// sizeOf bounds what records take in JSON, with what stands beside them.
func sizeOf(r *records.Records) int {
	const beside = 1000
	return beside + r.Size()
}

// Encode implements aws.Output.
func (o *getRecordsOutput) Encode(e aws.Encoder) {
	e.BeginObject()
	encodeRecords(e, o.Records, o.Shard)
	if o.Next != "" {
		e.Field("NextShardIterator")
		e.String(o.Next)
	}
	e.Field("MillisBehindLatest")
	e.Int(o.Behind)
	encodeChildren(e, o.Children)
	e.EndObject()
}

// encodeRecords writes the member Records.
func encodeRecords(e aws.Encoder, r *records.Records, sh records.Shard) {
	sequences := make([]byte, 0, len(r.List)*shard.SequenceDigits)
	for i := range r.List {
		sequences = sh.AppendSequence(sequences, r.List[i].Offset)
	}
	all := string(sequences) // one string for all of them
	e.Field("Records")
	e.BeginList(len(r.List))
	for i := range r.List {
		rec := &r.List[i]
		e.Elem()
		e.BeginObject()
		e.Field("SequenceNumber")
		e.String(all[i*shard.SequenceDigits:][:shard.SequenceDigits])
		if rec.Timestamp >= 0 {
			e.Field("ApproximateArrivalTimestamp")
			e.Time(aws.Time(rec.Timestamp))
		}
		e.Field("Data")
		e.Blob(rec.Data)
		e.Field("PartitionKey")
		e.String(rec.PartitionKey)
		encodeEncryption(e, sh.Topic.Stream.Encrypted(rec.Timestamp))
		e.EndObject()
	}
	e.EndList()
}

// encodeChildren writes the member ChildShards, which only the end of a shard has.
func encodeChildren(e aws.Encoder, children []*shard.Shard) {
	if len(children) == 0 {
		return
	}
	e.Field("ChildShards")
	e.BeginList(len(children))
	for _, c := range children {
		start, end := c.Range.Start.String(), c.Range.End.String()
		id := c.ID()
		child := kinesis.ChildShard{
			ShardId: &id, HashKeyRange: &kinesis.HashKeyRange{StartingHashKey: &start, EndingHashKey: &end},
		}
		for _, parent := range [...]int32{c.Parent, c.AdjacentParent} {
			if parent != shard.None {
				child.ParentShards = append(child.ParentShards, shard.FormatID(parent))
			}
		}
		e.Elem()
		child.Encode(e)
	}
	e.EndList()
}
