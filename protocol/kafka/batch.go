package kafka

import (
	"encoding/binary"
	"hash/crc32"
	"math"

	"github.com/twmb/franz-go/pkg/kerr"
)

// Where the fields of a v2 record batch lie. The CRC covers everything from
// the attributes on, so base offset and leader epoch can change without it.
const (
	posBaseOffset      = 0
	posLength          = 8
	posLeaderEpoch     = 12
	posMagic           = 16
	posCRC             = 17
	posAttributes      = 21
	posLastOffsetDelta = 23
	posFirstTimestamp  = 27
	posMaxTimestamp    = 35
	posProducerID      = 43
	posProducerEpoch   = 51
	posBaseSequence    = 53
	posNumRecords      = 57

	// BatchHeaderSize is the size of a batch without its records.
	BatchHeaderSize = 61
	// batchPrefixSize is what the length field does not count: base offset
	// and the length field itself.
	batchPrefixSize = 12
)

// MagicV2 is the only record format that is served.
const MagicV2 = 2

// minLegacyLength is the smallest length that a record of any format can have
// (a message of format v0). Apache Kafka calls anything smaller corrupt before
// it looks at the format.
const minLegacyLength = 14

// Bits of the attributes.
const (
	attrCodec         = 0x07
	attrLogAppendTime = 0x08
	attrTransactional = 0x10
	attrControl       = 0x20
	attrDeleteHorizon = 0x40
)

// None of each kind, as batches carry it.
const (
	NoProducerID    = -1
	NoProducerEpoch = -1
	NoSequence      = -1
	NoTimestamp     = -1
	NoLeaderEpoch   = -1
)

// TimestampType says who gave a batch its timestamps.
type TimestampType uint8

// The two timestamp types; their numbers are those of the attribute bit.
const (
	CreateTime    TimestampType = 0
	LogAppendTime TimestampType = 1
)

// String is the value of message.timestamp.type.
func (t TimestampType) String() string {
	if t == LogAppendTime {
		return "LogAppendTime"
	}
	return "CreateTime"
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Batch is one v2 record batch as it goes over the wire. Its methods read and
// write the header in place; they may be called on what NextBatch, BuildBatch
// or Validate returned, which have checked that the header is whole.
type Batch []byte

// BaseOffset is the offset of the batch's first record.
func (b Batch) BaseOffset() int64 { return int64(binary.BigEndian.Uint64(b[posBaseOffset:])) }

// Length is the length field: the bytes that follow it.
func (b Batch) Length() int32 { return int32(binary.BigEndian.Uint32(b[posLength:])) }

// PartitionLeaderEpoch is the leader epoch under which the batch was appended.
func (b Batch) PartitionLeaderEpoch() int32 {
	return int32(binary.BigEndian.Uint32(b[posLeaderEpoch:]))
}

// Magic is the record format.
func (b Batch) Magic() int8 { return int8(b[posMagic]) }

// CRC is the checksum that the batch carries (CRC-32C).
func (b Batch) CRC() uint32 { return binary.BigEndian.Uint32(b[posCRC:]) }

// Attributes holds codec, timestamp type and flags.
func (b Batch) Attributes() int16 { return int16(binary.BigEndian.Uint16(b[posAttributes:])) }

// Codec says how the records are compressed. It may be one that does not exist.
func (b Batch) Codec() Codec { return Codec(b[posAttributes+1] & attrCodec) }

// TimestampType says whether the timestamps are the producer's or the broker's.
func (b Batch) TimestampType() TimestampType {
	if b[posAttributes+1]&attrLogAppendTime != 0 {
		return LogAppendTime
	}
	return CreateTime
}

// IsTransactional says whether the batch belongs to a transaction.
func (b Batch) IsTransactional() bool { return b[posAttributes+1]&attrTransactional != 0 }

// IsControl says whether the batch holds control records (transaction markers).
func (b Batch) IsControl() bool { return b[posAttributes+1]&attrControl != 0 }

// HasDeleteHorizon says whether FirstTimestamp is the time at which compaction
// may remove the batch's tombstones.
func (b Batch) HasDeleteHorizon() bool { return b[posAttributes+1]&attrDeleteHorizon != 0 }

// LastOffsetDelta is the last record's offset less BaseOffset.
func (b Batch) LastOffsetDelta() int32 {
	return int32(binary.BigEndian.Uint32(b[posLastOffsetDelta:]))
}

// LastOffset is the offset of the batch's last record.
func (b Batch) LastOffset() int64 { return b.BaseOffset() + int64(b.LastOffsetDelta()) }

// FirstTimestamp is what the records' timestamp deltas are added to, in ms.
func (b Batch) FirstTimestamp() int64 {
	return int64(binary.BigEndian.Uint64(b[posFirstTimestamp:]))
}

// MaxTimestamp is the largest timestamp of the batch, in ms; -1 for none.
func (b Batch) MaxTimestamp() int64 { return int64(binary.BigEndian.Uint64(b[posMaxTimestamp:])) }

// ProducerID is the idempotent producer's id, or NoProducerID.
func (b Batch) ProducerID() int64 { return int64(binary.BigEndian.Uint64(b[posProducerID:])) }

// HasProducerID says whether an idempotent producer made the batch. Like
// Apache Kafka it takes every id above -1 for one.
func (b Batch) HasProducerID() bool { return b.ProducerID() > NoProducerID }

// ProducerEpoch is the producer's epoch, or NoProducerEpoch.
func (b Batch) ProducerEpoch() int16 { return int16(binary.BigEndian.Uint16(b[posProducerEpoch:])) }

// BaseSequence is the first record's sequence number, or NoSequence.
func (b Batch) BaseSequence() int32 { return int32(binary.BigEndian.Uint32(b[posBaseSequence:])) }

// LastSequence is the last record's sequence number, or NoSequence.
func (b Batch) LastSequence() int32 {
	base := b.BaseSequence()
	if base == NoSequence {
		return NoSequence
	}
	return AddSequence(base, b.LastOffsetDelta())
}

// AddSequence moves a sequence number on by n; after 2^31-1 comes 0.
func AddSequence(seq, n int32) int32 {
	if seq > math.MaxInt32-n {
		return n - (math.MaxInt32 - seq) - 1
	}
	return seq + n
}

// NumRecords is the number of records that the header declares.
func (b Batch) NumRecords() int32 { return int32(binary.BigEndian.Uint32(b[posNumRecords:])) }

// Payload is the records, compressed by Codec.
func (b Batch) Payload() []byte { return b[BatchHeaderSize:] }

// SetBaseOffset gives the batch its place in the log. The CRC does not cover it.
func (b Batch) SetBaseOffset(offset int64) {
	binary.BigEndian.PutUint64(b[posBaseOffset:], uint64(offset))
}

// SetLeaderEpoch writes the leader epoch. The CRC does not cover it.
func (b Batch) SetLeaderEpoch(epoch int32) {
	binary.BigEndian.PutUint32(b[posLeaderEpoch:], uint32(epoch))
}

// SetMaxTimestamp writes the timestamp type and the largest timestamp, and the
// CRC where either of them changed. With LogAppendTime, ms is the time of every
// record in the batch; the records themselves stay as they are.
func (b Batch) SetMaxTimestamp(t TimestampType, ms int64) {
	if b.TimestampType() == t && b.MaxTimestamp() == ms {
		return
	}
	if t == LogAppendTime {
		b[posAttributes+1] |= attrLogAppendTime
	} else {
		b[posAttributes+1] &^= attrLogAppendTime
	}
	binary.BigEndian.PutUint64(b[posMaxTimestamp:], uint64(ms))
	b.UpdateCRC()
}

// SetLogAppendTime stamps the batch with the broker's time, as topics with
// message.timestamp.type=LogAppendTime want it.
func (b Batch) SetLogAppendTime(ms int64) { b.SetMaxTimestamp(LogAppendTime, ms) }

// ComputeCRC returns the checksum of the batch as it is now.
func (b Batch) ComputeCRC() uint32 { return crc32.Checksum(b[posAttributes:], castagnoli) }

// UpdateCRC writes the checksum of the batch as it is now.
func (b Batch) UpdateCRC() { binary.BigEndian.PutUint32(b[posCRC:], b.ComputeCRC()) }

// CRCValid says whether the batch carries the right checksum.
func (b Batch) CRCValid() bool { return b.CRC() == b.ComputeCRC() }

// NextBatch takes the first batch off b and returns it, without copying, and
// the bytes behind it. It checks the framing only: a returned batch has a
// whole header, magic 2, and as many bytes as its length says; nothing is known
// yet of its CRC or its records. At the end of b it returns nil and no error.
//
// An error is a *RefusedError with the code that Apache Kafka gives:
// CORRUPT_MESSAGE for lengths and magics that cannot be, INVALID_RECORD for the
// old formats and for a batch that is cut short (also errors.Is ErrTruncated).
func NextBatch(b []byte) (batch Batch, rest []byte, err error) {
	if len(b) == 0 {
		return nil, nil, nil
	}
	if len(b) < batchPrefixSize {
		return nil, b, truncated("%d bytes are left where a batch begins with %d", len(b), batchPrefixSize)
	}
	length := Batch(b).Length()
	if length < minLegacyLength {
		return nil, b, refuse(kerr.CorruptMessage, "record batch length %d is below the least possible %d", length, minLegacyLength)
	}
	if len(b) <= posMagic {
		return nil, b, truncated("%d bytes are left of a batch of %d", len(b), int64(length)+batchPrefixSize)
	}
	magic := Batch(b).Magic()
	if magic < 0 || magic > MagicV2 {
		return nil, b, refuse(kerr.CorruptMessage, "record batch has unknown magic %d; only %d is served", magic, MagicV2)
	}
	size := int64(length) + batchPrefixSize
	if int64(len(b)) < size {
		return nil, b, truncated("%d bytes are left of a batch of %d", len(b), size)
	}
	if magic != MagicV2 {
		return nil, b, refuse(kerr.InvalidRecord, "record batch has the old format %d; only %d is served", magic, MagicV2)
	}
	if size < BatchHeaderSize {
		return nil, b, refuse(kerr.CorruptMessage, "record batch of %d bytes is smaller than its header of %d", size, BatchHeaderSize)
	}
	return Batch(b[:size:size]), b[size:], nil
}
