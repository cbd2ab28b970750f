package kafka

import "github.com/twmb/franz-go/pkg/kerr"

// FirstAt returns the offset and the timestamp of the batch's first record at
// offset from or above whose timestamp is target (ms) or later; ok is false
// where there is none. limit bounds the decompressed size, as in ReadRecords.
//
// Within a batch timestamps may go up and down, so it reads from the start; a
// batch whose largest timestamp is before target is not read at all.
func (b Batch) FirstAt(target, from, limit int64) (offset, timestamp int64, ok bool, err error) {
	if b.MaxTimestamp() < target || b.LastOffset() < from {
		return 0, 0, false, nil
	}
	err = b.eachTime(limit, func(o, t int64) bool {
		if o >= from && t >= target {
			offset, timestamp, ok = o, t, true
		}
		return !ok
	})
	return offset, timestamp, ok, err
}

// OffsetOfMaxTimestamp returns the offset of the first record that has the
// batch's largest timestamp, for ListOffsets -3 (KIP-734); ok is false where no
// record has it. limit bounds the decompressed size, as in ReadRecords.
func (b Batch) OffsetOfMaxTimestamp(limit int64) (offset int64, ok bool, err error) {
	largest := b.MaxTimestamp()
	if largest == NoTimestamp {
		return 0, false, nil
	}
	err = b.eachTime(limit, func(o, t int64) bool {
		if t == largest {
			offset, ok = o, true
		}
		return !ok
	})
	return offset, ok, err
}

// eachTime calls f with the offset and timestamp of each record, until f
// returns false.
func (b Batch) eachTime(limit int64, f func(offset, timestamp int64) bool) error {
	if b.NumRecords() == 0 {
		return nil // compaction leaves such batches, whose codec means nothing
	}
	var s scanner
	if err := s.win.open(b, limit); err != nil {
		return decompressionError(b.Codec(), err)
	}
	defer s.win.close()
	base, first, fixedTime := b.BaseOffset(), b.FirstTimestamp(), b.TimestampType() == LogAppendTime
	for i := range b.NumRecords() {
		facts, ok := s.next()
		if !ok {
			if err := s.win.failure(); err != nil {
				return decompressionError(b.Codec(), err)
			}
			return refuse(kerr.InvalidRecord, "record %d of the batch is malformed", i)
		}
		timestamp := first + facts.timestampDelta
		if fixedTime {
			timestamp = b.MaxTimestamp()
		}
		if !f(base+int64(facts.offsetDelta), timestamp) {
			return nil
		}
	}
	return nil
}
