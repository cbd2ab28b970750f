package kafka

import (
	"encoding/binary"

	"github.com/twmb/franz-go/pkg/kerr"
)

// Filter says what becomes of the records of a batch, as compaction decides.
type Filter struct {
	// Keep says whether a record stays. It is called once for each, in order,
	// and must not keep what it is given.
	Keep func(r *Record) bool
	// Horizon, where it is not negative, is the time (ms) from which tombstones
	// and markers may go; it is written into a batch that stays with one and has
	// none yet (KIP-534).
	Horizon int64
	// Marker says that the batch, a control batch, is to get the horizon.
	Marker bool
	// Tombstone says whether a record without a value that stays is to give its
	// batch the horizon. Nil is yes.
	Tombstone func(r *Record) bool
	// Level is for the batch's codec; 0 is the default.
	Level int
	// Limit bounds the decompressed size, as in ReadRecords.
	Limit int64
}

// Filtered is what became of a batch.
type Filtered struct {
	Records int32 // that the batch held
	Kept    int32
	// Batch is the batch as it shall be: the same bytes where nothing changes,
	// and nil where no record stays.
	Batch Batch
	// Changed says that Batch is not the one that came in.
	Changed bool
}

// Apply puts b through the filter. What stays keeps its offset, timestamp, key,
// value and headers, and the batch its base and last offset, producer, sequence,
// leader epoch, codec and timestamp type, as Apache Kafka's cleaner leaves them. The
// error is a *RefusedError: the batch's records cannot be read.
func (f *Filter) Apply(b Batch) (Filtered, error) {
	out := Filtered{Records: b.NumRecords()}
	keep, horizon, err := f.judge(b, &out)
	if err != nil {
		return out, err
	}
	switch {
	case out.Kept == 0:
		out.Changed = true
		return out, nil
	case out.Kept == out.Records && !horizon:
		out.Batch = b
		return out, nil
	}
	out.Changed = true
	out.Batch, err = f.rewrite(b, keep, horizon)
	return out, err
}

// judge asks about each record, and says whether the batch gets a horizon.
func (f *Filter) judge(b Batch, out *Filtered) (keep []uint64, horizon bool, err error) {
	if out.Records <= 0 {
		return nil, false, nil // compaction leaves such batches
	}
	r := ReadRecords(b, f.Limit)
	defer r.Close()
	horizon = f.Marker
	for i := 0; r.Next(); i++ {
		if i%64 == 0 {
			keep = append(keep, 0) // as records come, not as the header declares
		}
		rec := r.Record()
		if !f.Keep(rec) {
			continue
		}
		keep[i/64] |= 1 << (i % 64)
		out.Kept++
		if rec.Value == nil && (f.Tombstone == nil || f.Tombstone(rec)) {
			horizon = true
		}
	}
	return keep, horizon && !b.HasDeleteHorizon() && f.Horizon >= 0, r.Err()
}

func (f *Filter) rewrite(b Batch, keep []uint64, setHorizon bool) (Batch, error) {
	o := BatchOptions{
		BaseOffset: b.BaseOffset(), LeaderEpoch: b.PartitionLeaderEpoch(), Codec: b.Codec(), Level: f.Level,
		Producer:      &Producer{b.ProducerID(), b.ProducerEpoch(), b.BaseSequence()},
		Transactional: b.IsTransactional(), Control: b.IsControl(),
		TimestampType: b.TimestampType(), LogAppendTime: b.MaxTimestamp(),
	}
	hasHorizon := setHorizon || b.HasDeleteHorizon()
	first := b.FirstTimestamp()
	if setHorizon {
		first = f.Horizon
	}
	r := ReadRecords(b, f.Limit)
	defer r.Close()
	var bw *batchWriter
	for i := 0; r.Next(); i++ {
		if keep[i/64]&(1<<(i%64)) == 0 {
			continue
		}
		rec := r.Record()
		if bw == nil {
			if !hasHorizon {
				first = rec.Timestamp
			}
			var err error
			if bw, err = beginBatch(make([]byte, 0, len(b)), o, first); err != nil {
				return nil, rewriteError(err)
			}
			defer bw.abandon()
		}
		if err := bw.addAt(rec, int32(rec.Offset-b.BaseOffset())); err != nil {
			return nil, rewriteError(err)
		}
	}
	if err := r.Err(); err != nil {
		return nil, err
	}
	if bw == nil {
		return nil, rewriteError(errNoRecords)
	}
	raw, err := bw.finish()
	if err != nil {
		return nil, rewriteError(err)
	}
	out := Batch(raw)
	out.keepPlace(b, hasHorizon)
	return out, nil
}

// keepPlace gives a batch made from b its last offset: the sequence of its
// producer goes on from there.
func (b Batch) keepPlace(from Batch, hasHorizon bool) {
	binary.BigEndian.PutUint32(b[posLastOffsetDelta:], uint32(from.LastOffsetDelta()))
	if hasHorizon {
		b[posAttributes+1] |= attrDeleteHorizon
	}
	b.UpdateCRC()
}

// Empty returns a batch without records in the place of b: it keeps b's offsets
// and the last sequence number of its producer.
func (b Batch) Empty() Batch {
	out := Batch(make([]byte, BatchHeaderSize))
	copy(out, b[:BatchHeaderSize])
	binary.BigEndian.PutUint32(out[posLength:], BatchHeaderSize-batchPrefixSize)
	out[posAttributes] = 0
	out[posAttributes+1] = b[posAttributes+1] & (attrLogAppendTime | attrTransactional | attrControl)
	none := int64(NoTimestamp)
	binary.BigEndian.PutUint64(out[posFirstTimestamp:], uint64(none))
	binary.BigEndian.PutUint32(out[posNumRecords:], 0)
	out.UpdateCRC()
	return out
}

// DeleteHorizon is the time (ms) from which compaction may remove the batch's
// tombstones, or the marker that it is; ok is false where none was set yet.
func (b Batch) DeleteHorizon() (ms int64, ok bool) {
	if !b.HasDeleteHorizon() {
		return 0, false
	}
	return b.FirstTimestamp(), true
}

// ControlType is what a control record says.
type ControlType int16

// The markers that end a transaction; other types exist, and are kept as they are.
const (
	ControlAbort  ControlType = 0
	ControlCommit ControlType = 1
)

// ControlType reads the type of the first record of a control batch; ok is
// false where it has no record. The error is a *RefusedError.
func (b Batch) ControlType() (t ControlType, ok bool, err error) {
	if b.NumRecords() == 0 {
		return 0, false, nil
	}
	r := ReadRecords(b, 0)
	defer r.Close()
	if !r.Next() {
		return 0, false, r.Err()
	}
	key := r.Record().Key
	if len(key) < 4 { // version and type
		return 0, false, refuse(kerr.InvalidRecord, "a control record has a key of %d bytes", len(key))
	}
	return ControlType(binary.BigEndian.Uint16(key[2:])), true, nil
}
