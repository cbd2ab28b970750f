package kafka

import (
	"encoding/binary"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
)

// The types of control records that are known.
const (
	controlAbort  = 0
	controlCommit = 1
)

// Sizes of a control record's key (version and type) and of the value of a
// transaction's end (version and coordinator epoch), in version 0.
const (
	controlKeySize     = 2 + 2
	endMarkerValueSize = 2 + 4
)

// EndMarker is what the control batch at the end of a transaction says.
type EndMarker struct {
	Commit           bool // or abort
	CoordinatorEpoch int32
}

// BuildEndMarker appends the control batch that ends a producer's transaction.
// o needs a Producer; its sequence is not looked at. timestamp is the record's.
func BuildEndMarker(dst []byte, o BatchOptions, timestamp int64, m EndMarker) ([]byte, error) {
	o.Codec, o.Transactional, o.Control = CodecNone, true, true
	producer := *o.Producer
	producer.Sequence = NoSequence
	o.Producer = &producer
	key := make([]byte, controlKeySize)
	if m.Commit {
		binary.BigEndian.PutUint16(key[2:], controlCommit)
	} else {
		binary.BigEndian.PutUint16(key[2:], controlAbort)
	}
	value := make([]byte, endMarkerValueSize)
	binary.BigEndian.PutUint32(value[2:], uint32(m.CoordinatorEpoch))
	return BuildBatch(dst, o, Record{Timestamp: timestamp, Key: key, Value: value})
}

// ParseEndMarker reads the end of a transaction out of a control batch. ok is
// false where the batch holds none: compaction empties batches whose transaction
// it has removed, and there are control records of other kinds.
func ParseEndMarker(b Batch) (m EndMarker, ok bool, err error) {
	r := ReadRecords(b, 0)
	defer r.Close()
	if !r.Next() {
		return m, false, r.Err()
	}
	key, value := r.Record().Key, r.Record().Value
	if len(key) < controlKeySize || int16(binary.BigEndian.Uint16(key)) < 0 {
		return m, false, refuse(kerr.InvalidRecord, "a control record has a key of %d bytes that cannot be read", len(key))
	}
	switch binary.BigEndian.Uint16(key[2:]) {
	case controlAbort:
	case controlCommit:
		m.Commit = true
	default:
		return m, false, nil
	}
	// Later versions have what version 0 has, and more.
	if len(value) < endMarkerValueSize || int16(binary.BigEndian.Uint16(value)) < 0 {
		return m, false, refuse(kerr.InvalidRecord, "the end of a transaction has a value of %d bytes that cannot be read", len(value))
	}
	m.CoordinatorEpoch = int32(binary.BigEndian.Uint32(value[2:]))
	return m, true, nil
}

// String is the marker for logs and tests.
func (m EndMarker) String() string {
	kind := "abort"
	if m.Commit {
		kind = "commit"
	}
	return fmt.Sprintf("%s by coordinator epoch %d", kind, m.CoordinatorEpoch)
}
