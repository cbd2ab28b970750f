package kinesisapi

import (
	"context"
	"errors"

	"github.com/streamweir/streamweir/broker/shard"
	"github.com/streamweir/streamweir/broker/stream"
	"github.com/streamweir/streamweir/broker/stream/records"
	"github.com/streamweir/streamweir/broker/topic"
	"github.com/streamweir/streamweir/protocol/aws"
	"github.com/streamweir/streamweir/protocol/aws/kinesis"
)

// PutRecord and PutRecords. The records of a request go to each shard as one
// batch, and are durable when it is answered. A record that its shard has no room
// for fails alone; one that is malformed fails the request.

func (s *Server) putRecord(ctx context.Context, _ *Call, in *kinesis.PutRecordInput) (*putRecordOutput, error) {
	t, err := s.core.Streams.Find(in.StreamName, in.StreamARN)
	if err != nil {
		return nil, err
	}
	if needsKeys(t) {
		if bad := aws.Check(func(v *aws.Validator) { v.Required("partitionKey", in.PartitionKey != nil) }); bad != nil {
			return nil, bad
		}
	}
	e, err := entry(t, in.PartitionKey, in.ExplicitHashKey, in.Data)
	if err != nil {
		return nil, err
	}
	if after := in.SequenceNumberForOrdering; after != nil {
		// Sequence numbers of a shard rise in any case.
		if !s.core.Records.Given(t, *after) {
			return nil, stream.Errorf(stream.InvalidArgument, "ExclusiveMinimumSequenceNumber %s used in PutRecord on stream %s under account %s is invalid.",
				*after, t.Name, s.core.Streams.Account())
		}
	}
	if dry(in.DryRun) {
		if err := s.core.Records.CheckRecord(t, e); err != nil {
			return nil, err
		}
		return nil, s.core.Records.DryRun(t)
	}
	out, err := s.core.Records.PutRecord(ctx, t, e)
	if err != nil {
		return nil, err
	}
	return &putRecordOutput{out, encrypted(t)}, nil
}

func (s *Server) putRecords(ctx context.Context, _ *Call, in *kinesis.PutRecordsInput) (*putRecordsOutput, error) {
	t, err := s.core.Streams.Find(in.StreamName, in.StreamARN)
	if err != nil {
		return nil, err
	}
	if needsKeys(t) {
		if bad := aws.Check(func(v *aws.Validator) { checkKeys(v, in.Records) }); bad != nil {
			return nil, bad
		}
	}
	entries := make([]records.Entry, len(in.Records))
	for i := range in.Records {
		r := &in.Records[i]
		if entries[i], err = entry(t, r.PartitionKey, r.ExplicitHashKey, r.Data); err != nil {
			return nil, err
		}
	}
	if dry(in.DryRun) {
		if err := s.core.Records.CheckRecords(t, entries); err != nil {
			return nil, err
		}
		return nil, s.core.Records.DryRun(t)
	}
	out := &putRecordsOutput{outcomes: make([]records.Outcome, len(entries)), encrypted: encrypted(t)}
	if err := s.core.Records.PutRecords(ctx, t, entries, out.outcomes); err != nil {
		return nil, err
	}
	return out, nil
}

// distributes says whether a stream chooses the shards of its records by itself,
// whatever keys they have.
func distributes(t *topic.Topic) bool { return t.Stream.Distribution == stream.DistributionAuto }

// needsKeys says whether the records of a stream must have partition keys:
// compaction needs them too.
func needsKeys(t *topic.Topic) bool { return !distributes(t) || t.Settings.CleanupCompact }

func checkKeys(v *aws.Validator, entries []kinesis.PutRecordsRequestEntry) {
	for i := range entries {
		if entries[i].PartitionKey == nil {
			v.Enter("records", i+1)
			v.Required("partitionKey", false)
			v.Leave()
		}
	}
}

// entry is a record as the core takes it.
func entry(t *topic.Topic, partitionKey, explicitHashKey *string, data []byte) (records.Entry, error) {
	e := records.Entry{Data: data, NoKey: partitionKey == nil}
	if partitionKey != nil {
		e.PartitionKey = *partitionKey
	}
	switch {
	case distributes(t):
		return e, nil
	case explicitHashKey == nil:
		e.Hash = shard.KeyOf(e.PartitionKey)
		return e, nil
	}
	var ok bool
	if e.Hash, ok = shard.ParseHashKey(*explicitHashKey); !ok {
		return e, stream.Errorf(stream.InvalidArgument, "Invalid ExplicitHashKey. ExplicitHashKey must be in the range: [0, 2^128-1]. Specified value was %s", *explicitHashKey)
	}
	return e, nil
}

func dry(run *bool) bool { return run != nil && *run }

// encrypted says whether what is put to a stream now is encrypted.
func encrypted(t *topic.Topic) bool { return t.Stream.KeyID != "" }

// encodeEncryption writes the member EncryptionType: nothing, if there is none.
func encodeEncryption(e aws.Encoder, encrypted bool) {
	if encrypted {
		e.Field("EncryptionType")
		e.String(kinesis.EncryptionTypeKms)
	}
}

// putRecordOutput is the response of PutRecord.
type putRecordOutput struct {
	records.Outcome
	encrypted bool
}

// Encode implements aws.Output.
func (o *putRecordOutput) Encode(e aws.Encoder) {
	e.BeginObject()
	e.Field("ShardId")
	e.String(o.Shard.ID())
	e.Field("SequenceNumber")
	e.String(o.Shard.Sequence(o.Offset))
	encodeEncryption(e, o.encrypted)
	e.EndObject()
}

// putRecordsOutput is the response of PutRecords. It encodes what became of the
// records without making an entry for each.
type putRecordsOutput struct {
	outcomes  []records.Outcome
	encrypted bool
}

// Size implements aws.Sized.
func (o *putRecordsOutput) Size() int { return 200 + 200*len(o.outcomes) }

// Encode implements aws.Output.
func (o *putRecordsOutput) Encode(e aws.Encoder) {
	ids, failed := map[*shard.Shard]string{}, 0
	sequences := make([]byte, 0, len(o.outcomes)*shard.SequenceDigits)
	for i := range o.outcomes {
		r := &o.outcomes[i]
		if r.Err != nil {
			failed++
			continue
		}
		sequences = r.Shard.AppendSequence(sequences, r.Offset)
		if _, ok := ids[r.Shard]; !ok {
			ids[r.Shard] = r.Shard.ID()
		}
	}
	all := string(sequences) // one string for all of them
	e.BeginObject()
	e.Field("FailedRecordCount")
	e.Int(int64(failed))
	e.Field("Records")
	e.BeginList(len(o.outcomes))
	for i := range o.outcomes {
		r := &o.outcomes[i]
		e.Elem()
		e.BeginObject()
		if r.Err != nil {
			kind, message := putError(r.Err)
			e.Field("ErrorCode")
			e.String(kind)
			e.Field("ErrorMessage")
			e.String(message)
		} else {
			e.Field("SequenceNumber")
			e.String(all[:shard.SequenceDigits])
			all = all[shard.SequenceDigits:]
			e.Field("ShardId")
			e.String(ids[r.Shard])
		}
		e.EndObject()
	}
	e.EndList()
	encodeEncryption(e, o.encrypted)
	e.EndObject()
}

// putError is what an entry says of a record that was not stored.
func putError(err error) (kind, message string) {
	var refused *stream.Error
	if errors.As(err, &refused) {
		return refused.Type, refused.Message
	}
	if why := storageRefusal(err); why != "" {
		return "InternalFailure", why
	}
	return "InternalFailure", "Internal service failure."
}
