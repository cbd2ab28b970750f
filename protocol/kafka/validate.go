package kafka

import (
	"errors"
	"fmt"
	"io"

	"github.com/twmb/franz-go/pkg/kerr"
)

// MaxRecordErrors is how many of a batch's refused records are named in a
// RefusedError; the others are only counted.
const MaxRecordErrors = 1000

// FirstZstdProduceVersion is the first version of Produce that may carry zstd.
const FirstZstdProduceVersion = 7

// Rules is what a topic and its broker demand of a produced batch.
type Rules struct {
	// MaxMessageBytes is max.message.bytes: the size of a batch, as sent and,
	// where it is rewritten, as stored.
	MaxMessageBytes int
	// TimestampType is message.timestamp.type.
	TimestampType TimestampType
	// BeforeMaxMs and AfterMaxMs are message.timestamp.before.max.ms and
	// message.timestamp.after.max.ms: how far from Now a record's timestamp may
	// be. They count for CreateTime only.
	BeforeMaxMs, AfterMaxMs int64
	// Now is the broker's time in ms.
	Now int64
	// Compacted says that cleanup.policy holds compact: every record has a key.
	Compacted bool
	// Coordinator says that a coordinator of the broker made the batch: its
	// records have no sequence numbers, even in a transaction.
	Coordinator bool
	// Target is compression.type.
	Target Target
	// DecompressedLimit bounds what a compressed batch may decompress to; 0 is
	// DefaultDecompressedLimit.
	DecompressedLimit int64
}

// Result is what Validate learned of a batch that it accepted.
type Result struct {
	// MaxTimestamp is the largest timestamp, as the batch's header now says;
	// NoTimestamp for none.
	MaxTimestamp int64
	// MaxTimestampDelta is the offset of the first record that has it, less the
	// base offset; -1 where no record has a timestamp.
	MaxTimestampDelta int32
	// Rewritten says that the returned batch is a new slice.
	Rewritten bool
}

// ProducedBatch takes the one batch that the records field of a Produce request
// of the given version may hold, and checks its framing. Bytes behind it that
// are too few for another batch are left out, as Apache Kafka leaves them out.
// The batch is not copied; Validate does the rest. An error is a *RefusedError.
func ProducedBatch(records []byte, version int16) (Batch, error) {
	b, rest, err := NextBatch(records)
	if err != nil {
		return nil, err
	}
	if b == nil {
		return nil, refuse(kerr.InvalidRecord, "a produce request must hold one record batch for each partition; it holds none")
	}
	if version < FirstZstdProduceVersion && b.Codec() == CodecZstd {
		return nil, refuse(kerr.UnsupportedCompressionType, "produce version %d may not use zstd; use version %d or above", version, FirstZstdProduceVersion)
	}
	if len(rest) > 0 {
		_, _, err := NextBatch(rest)
		switch {
		case errors.Is(err, ErrTruncated):
		case errors.Is(err, kerr.CorruptMessage):
			return nil, err
		default:
			return nil, refuse(kerr.InvalidRecord, "a produce request must hold one record batch for each partition; it holds more")
		}
	}
	return b, nil
}

// Validate checks a batch that a client produced (see ProducedBatch) by the
// rules of Apache Kafka, and makes it ready to be stored: only the base offset
// and the leader epoch are left to be written, and the CRC covers neither.
//
// The header of b may be changed in place (timestamp type, largest timestamp,
// CRC). Where the rules demand another compression, or the records' own offsets
// are not 0, 1, 2 and so on, out is a new batch; or else it is b.
//
// An error is a *RefusedError; b may then be changed but is not accepted.
func Validate(b Batch, rules Rules) (out Batch, res Result, err error) {
	if err := checkHeader(b, &rules); err != nil {
		return nil, Result{}, err
	}
	var c recordCheck
	if err := c.run(b, &rules); err != nil {
		return nil, Result{}, err
	}
	codec := b.Codec()
	if c.offsetsWrong || rules.Target.Recompress && rules.Target.Codec != codec {
		if b, err = rewrite(b, &rules); err != nil {
			return nil, Result{}, err
		}
		res.Rewritten = true
	}
	res.MaxTimestamp, res.MaxTimestampDelta = c.maxTimestamp, c.maxDelta
	if rules.TimestampType == LogAppendTime {
		res.MaxTimestamp, res.MaxTimestampDelta = rules.Now, 0
	}
	b.SetMaxTimestamp(rules.TimestampType, res.MaxTimestamp)
	return b, res, nil
}

// checkHeader checks what can be seen without looking at the records.
func checkHeader(b Batch, rules *Rules) error {
	if b.BaseOffset() != 0 {
		return refuse(kerr.InvalidRecord, "a produced record batch must have base offset 0; it has %d", b.BaseOffset())
	}
	if len(b) > rules.MaxMessageBytes {
		return refuse(kerr.MessageTooLarge, "the record batch has %d bytes; max.message.bytes allows %d", len(b), rules.MaxMessageBytes)
	}
	if !b.CRCValid() {
		return refuse(kerr.CorruptMessage, "the record batch carries CRC %08x but its bytes have %08x", b.CRC(), b.ComputeCRC())
	}
	if !b.Codec().Valid() {
		return decompressionError(b.Codec(), errUnknownCodec)
	}
	last, count := b.LastOffsetDelta(), b.NumRecords()
	switch {
	case last < 0:
		return refuse(kerr.InvalidRecord, "the record batch has last offset delta %d", last)
	case count <= 0:
		return refuse(kerr.InvalidRecord, "the record batch declares %d records", count)
	case int64(last)+1 != int64(count):
		return refuse(kerr.InvalidRecord, "the record batch declares %d records but has last offset delta %d", count, last)
	case b.IsControl():
		return refuse(kerr.InvalidRecord, "clients may not write control records")
	case b.HasProducerID() && b.BaseSequence() < 0 && !rules.Coordinator:
		return refuse(kerr.InvalidRecord, "the record batch of producer %d has base sequence %d", b.ProducerID(), b.BaseSequence())
	case b.IsTransactional() && !b.HasProducerID():
		return refuse(kerr.InvalidRecord, "the record batch is transactional but has no producer id")
	case b.TimestampType() == LogAppendTime && (rules.TimestampType == LogAppendTime || b.MaxTimestamp() == NoTimestamp):
		// Apache Kafka lets it pass in the other cases, as CreateTime.
		return refuse(kerr.InvalidTimestamp, "producers may not set the timestamp type to LogAppendTime")
	}
	return nil
}

// recordCheck goes through the records of a batch and gathers what is wrong
// with them.
type recordCheck struct {
	scan         scanner
	offsetsWrong bool
	maxTimestamp int64
	maxDelta     int32
	errs         []RecordError
	refused      int // records; more than len(errs) if there were many
	badTime      bool
}

func (c *recordCheck) run(b Batch, rules *Rules) error {
	if err := c.scan.win.open(b, rules.DecompressedLimit); err != nil {
		return decompressionError(b.Codec(), err)
	}
	defer c.scan.win.close()
	c.maxTimestamp, c.maxDelta = NoTimestamp, -1
	first := b.FirstTimestamp()
	for i := range b.NumRecords() {
		f, ok := c.scan.next()
		if !ok {
			return c.malformed(i)
		}
		timestamp := first + f.timestampDelta
		if timestamp > c.maxTimestamp {
			c.maxTimestamp, c.maxDelta = timestamp, i
		}
		if f.offsetDelta != i {
			c.offsetsWrong = true
		}
		if rules.Compacted && f.nullKey {
			c.refuse(i, "a compacted topic takes no record without a key")
		} else if rules.TimestampType == CreateTime && timestamp != NoTimestamp {
			// The differences wrap around as they do in Apache Kafka.
			if diff := rules.Now - timestamp; diff > rules.BeforeMaxMs || -diff > rules.AfterMaxMs {
				c.badTime = true
				c.refuse(i, fmt.Sprintf("timestamp %d is outside of [%d, %d]", timestamp, rules.Now-rules.BeforeMaxMs, rules.Now+rules.AfterMaxMs))
			}
		}
	}
	if c.scan.win.need(1) {
		return refuse(kerr.InvalidRecord, "bytes follow the last of the %d records that the batch declares", b.NumRecords())
	}
	if err := c.scan.win.failure(); err != nil {
		return decompressionError(b.Codec(), err)
	}
	return c.verdict()
}

func (c *recordCheck) malformed(i int32) error {
	if err := c.scan.win.failure(); err != nil {
		return decompressionError(c.scan.win.codec, err)
	}
	return refuse(kerr.InvalidRecord, "record %d of the batch is malformed", i)
}

func (c *recordCheck) refuse(i int32, message string) {
	c.refused++
	if len(c.errs) < MaxRecordErrors {
		c.errs = append(c.errs, RecordError{Index: i, Message: message})
	}
}

func (c *recordCheck) verdict() error {
	if c.refused == 0 {
		return nil
	}
	code := kerr.InvalidRecord
	if c.badTime {
		code = kerr.InvalidTimestamp
	}
	err := refuse(code, "%d records are refused; the first is record %d: %s", c.refused, c.errs[0].Index, c.errs[0].Message)
	err.Records = c.errs
	return err
}

// rewrite makes a batch anew, with the compression that the topic wants and
// with the records' offsets in order. The records have been checked before.
func rewrite(b Batch, rules *Rules) (Batch, error) {
	o := BatchOptions{LeaderEpoch: NoLeaderEpoch, Codec: b.Codec(), Transactional: b.IsTransactional()}
	if rules.Target.Recompress {
		o.Codec, o.Level = rules.Target.Codec, rules.Target.Level
	}
	if b.HasProducerID() {
		o.Producer = &Producer{ID: b.ProducerID(), Epoch: b.ProducerEpoch(), Sequence: b.BaseSequence()}
	}
	// The check took the records' own timestamps; so does the new batch.
	b[posAttributes+1] &^= attrLogAppendTime
	r := ReadRecords(b, rules.DecompressedLimit)
	defer r.Close()
	var bw *batchWriter
	for r.Next() {
		if bw == nil {
			var err error
			if bw, err = beginBatch(make([]byte, 0, len(b)), o, r.Record().Timestamp); err != nil {
				return nil, rewriteError(err)
			}
			defer bw.abandon()
		}
		if err := bw.add(r.Record()); err != nil {
			return nil, rewriteError(err)
		}
		if bw.written() > rules.MaxMessageBytes {
			return nil, rewrittenTooLarge(bw.written(), rules)
		}
	}
	if err := r.Err(); err != nil {
		return nil, err
	}
	if bw == nil {
		return nil, rewriteError(io.ErrUnexpectedEOF)
	}
	out, err := bw.finish()
	if err != nil {
		return nil, rewriteError(err)
	}
	if len(out) > rules.MaxMessageBytes {
		return nil, rewrittenTooLarge(len(out), rules)
	}
	return Batch(out), nil
}

func rewrittenTooLarge(size int, rules *Rules) error {
	return refuse(kerr.MessageTooLarge, "with the topic's compression the record batch has %d bytes or more; max.message.bytes allows %d", size, rules.MaxMessageBytes)
}

// rewriteError is for what only a fault of ours can bring about.
func rewriteError(err error) error {
	return refuse(kerr.UnknownServerError, "rewrite the record batch: %v", err)
}
