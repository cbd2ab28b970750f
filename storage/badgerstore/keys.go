package badgerstore

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"github.com/streamweir/streamweir/storage"
)

// The first byte of every key in the log database says what the entry is. All
// but the filler and the marker go on with the partition: topic id (16 bytes) and index (4).
// docs/format.md describes keys and values byte by byte.
const (
	prefixBatch     = 'b' // a record batch
	prefixState     = 'd' // a derived state
	prefixEpoch     = 'e' // where a leader epoch began
	prefixPartition = 'p' // a partition: its start and growing segment
	prefixSegment   = 's' // a sealed segment
	prefixStubs     = 'r' // a partition that has stubs (see stubs.go)
	prefixDrop      = 'x' // a partition that is being removed
	prefixFiller    = 'z' // no data: pushes a memtable out (see collector)
)

// markerKey, in both databases, is set by each transaction that deletes, and by
// each one on the metadata (see acked.go).
var markerKey = []byte{'v'}

const (
	partitionKeyLen = 1 + 16 + 4
	batchKeyLen     = partitionKeyLen + 8 + 4 + 4 + 8
	segmentKeyLen   = partitionKeyLen + 8
	epochKeyLen     = partitionKeyLen + 4

	segmentValueLen   = 8 + 8 + 8 + 4
	epochValueLen     = 8
	partitionValueLen = 8 + 8 + 8 + segmentValueLen
	stateHeaderLen    = 8
)

// maxOffsetDelta is the widest range of offsets that a batch key can hold.
const maxOffsetDelta = math.MaxUint32

var errKey = errors.New("malformed key or value in the log database")

func appendPartitionKey(dst []byte, prefix byte, p storage.Partition) []byte {
	dst = append(dst, prefix)
	dst = append(dst, p.Topic[:]...)
	return binary.BigEndian.AppendUint32(dst, uint32(p.Index))
}

func decodePartitionKey(key []byte) (p storage.Partition, err error) {
	if len(key) < partitionKeyLen {
		return p, fmt.Errorf("%w: key %x", errKey, key)
	}
	copy(p.Topic[:], key[1:17])
	p.Index = int32(binary.BigEndian.Uint32(key[17:]))
	return p, nil
}

func appendBatchKey(dst []byte, p storage.Partition, b storage.BatchInfo) []byte {
	dst = appendBatchSeek(dst, p, b.BaseOffset)
	dst = binary.BigEndian.AppendUint32(dst, uint32(b.LastOffset-b.BaseOffset))
	dst = binary.BigEndian.AppendUint32(dst, uint32(b.Size))
	return binary.BigEndian.AppendUint64(dst, uint64(b.MaxTimestamp))
}

// appendBatchSeek appends a key that sorts before every batch at or above base
// and behind all those below it.
func appendBatchSeek(dst []byte, p storage.Partition, base int64) []byte {
	return binary.BigEndian.AppendUint64(appendPartitionKey(dst, prefixBatch, p), uint64(max(base, 0)))
}

func decodeBatchKey(key []byte) (b storage.BatchInfo, err error) {
	if len(key) != batchKeyLen || key[0] != prefixBatch {
		return b, fmt.Errorf("%w: batch key %x", errKey, key)
	}
	k := key[partitionKeyLen:]
	b.BaseOffset = int64(binary.BigEndian.Uint64(k))
	b.LastOffset = b.BaseOffset + int64(binary.BigEndian.Uint32(k[8:]))
	b.Size = int32(binary.BigEndian.Uint32(k[12:]))
	b.MaxTimestamp = int64(binary.BigEndian.Uint64(k[16:]))
	if b.BaseOffset < 0 || b.LastOffset < b.BaseOffset || b.Size < 0 {
		return b, fmt.Errorf("%w: batch key %x", errKey, key)
	}
	return b, nil
}

// A segment's key holds its last offset, which stays when Trim cuts its head.
func appendSegmentKey(dst []byte, p storage.Partition, last int64) []byte {
	return binary.BigEndian.AppendUint64(appendPartitionKey(dst, prefixSegment, p), uint64(last))
}

func appendSegmentValue(dst []byte, s storage.Segment) []byte {
	dst = binary.BigEndian.AppendUint64(dst, uint64(s.BaseOffset))
	dst = binary.BigEndian.AppendUint64(dst, uint64(s.MaxTimestamp))
	dst = binary.BigEndian.AppendUint64(dst, uint64(s.Bytes))
	return binary.BigEndian.AppendUint32(dst, uint32(s.Batches))
}

func decodeSegmentValue(value []byte, last int64) (s storage.Segment, err error) {
	if len(value) != segmentValueLen {
		return s, fmt.Errorf("%w: segment of %d bytes", errKey, len(value))
	}
	s.BaseOffset = int64(binary.BigEndian.Uint64(value))
	s.LastOffset = last
	s.MaxTimestamp = int64(binary.BigEndian.Uint64(value[8:]))
	s.Bytes = int64(binary.BigEndian.Uint64(value[16:]))
	s.Batches = int32(binary.BigEndian.Uint32(value[24:]))
	if s.BaseOffset < 0 || s.LastOffset < s.BaseOffset || s.Bytes < 0 || s.Batches < 0 {
		return s, fmt.Errorf("%w: segment %+v", errKey, s)
	}
	return s, nil
}

func decodeSegment(key, value []byte) (storage.Segment, error) {
	if len(key) != segmentKeyLen {
		return storage.Segment{}, fmt.Errorf("%w: segment key %x", errKey, key)
	}
	return decodeSegmentValue(value, int64(binary.BigEndian.Uint64(key[partitionKeyLen:])))
}

func appendEpochKey(dst []byte, p storage.Partition, epoch int32) []byte {
	return binary.BigEndian.AppendUint32(appendPartitionKey(dst, prefixEpoch, p), uint32(epoch))
}

func appendEpochValue(dst []byte, start int64) []byte {
	return binary.BigEndian.AppendUint64(dst, uint64(start))
}

func decodeEpoch(key, value []byte) (e storage.EpochStart, err error) {
	if len(key) != epochKeyLen || len(value) != epochValueLen {
		return e, fmt.Errorf("%w: epoch key %x, value of %d bytes", errKey, key, len(value))
	}
	e.Epoch = int32(binary.BigEndian.Uint32(key[partitionKeyLen:]))
	e.StartOffset = int64(binary.BigEndian.Uint64(value))
	if e.Epoch < 0 || e.StartOffset < 0 {
		return e, fmt.Errorf("%w: epoch %+v", errKey, e)
	}
	return e, nil
}

// A partition's value is the version from which its entries count, its start,
// and its growing segment as it was when the entry was written; a segment of no
// batches stands for none.
func appendPartitionValue(dst []byte, created uint64, start int64, growing storage.Segment) []byte {
	dst = binary.BigEndian.AppendUint64(dst, created)
	dst = binary.BigEndian.AppendUint64(dst, uint64(start))
	dst = binary.BigEndian.AppendUint64(dst, uint64(growing.LastOffset))
	return appendSegmentValue(dst, growing)
}

func decodePartitionValue(value []byte) (created uint64, start int64, growing storage.Segment, err error) {
	if len(value) != partitionValueLen {
		return 0, 0, growing, fmt.Errorf("%w: partition value of %d bytes", errKey, len(value))
	}
	created = binary.BigEndian.Uint64(value)
	start = int64(binary.BigEndian.Uint64(value[8:]))
	growing, err = decodeSegmentValue(value[24:], int64(binary.BigEndian.Uint64(value[16:])))
	if err == nil && start < 0 {
		err = fmt.Errorf("%w: partition starts at %d", errKey, start)
	}
	return created, start, growing, err
}

func appendStateKey(dst []byte, p storage.Partition, name string) []byte {
	return append(appendPartitionKey(dst, prefixState, p), name...)
}

func appendStateValue(dst []byte, s storage.State) []byte {
	return append(binary.BigEndian.AppendUint64(dst, uint64(s.Offset)), s.Data...)
}

func decodeStateValue(value []byte) (s storage.State, err error) {
	if len(value) < stateHeaderLen {
		return s, fmt.Errorf("%w: state of %d bytes", errKey, len(value))
	}
	s.Offset = int64(binary.BigEndian.Uint64(value))
	s.Data = append([]byte{}, value[stateHeaderLen:]...)
	return s, nil
}
