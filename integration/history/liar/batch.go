package liar

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
)

// batch is a record batch as it goes over the wire.
type batch []byte

// Where the fields of a batch are.
const (
	posLength     = 8
	posCRC        = 17
	posAttributes = 21
	posLastDelta  = 23
	posProducer   = 43
	posEpoch      = 51
	posSequence   = 53
	headerSize    = 61
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func (b batch) base() int64     { return int64(binary.BigEndian.Uint64(b)) }
func (b batch) producer() int64 { return int64(binary.BigEndian.Uint64(b[posProducer:])) }
func (b batch) records() int32  { return int32(binary.BigEndian.Uint32(b[posLastDelta:])) + 1 }
func (b batch) plain() bool     { return b[posAttributes+1]&0x07 == 0 }
func (b batch) transactional() bool {
	return b[posAttributes+1]&0x10 != 0
}
func (b batch) control() bool { return b[posAttributes+1]&0x20 != 0 }

// at is a copy of the batch that stands at another offset.
func (b batch) at(base int64) batch {
	out := append(batch(nil), b...)
	binary.BigEndian.PutUint64(out, uint64(base))
	return out
}

// sign makes the checksum right again.
func (b batch) sign() {
	binary.BigEndian.PutUint32(b[posCRC:], crc32.Checksum(b[posAttributes:], castagnoli))
}

// split cuts the record bytes of a response into whole batches.
func split(records []byte) (out []batch) {
	for len(records) >= headerSize {
		n := int(binary.BigEndian.Uint32(records[posLength:])) + posLength + 4
		if n < headerSize || n > len(records) {
			break
		}
		out = append(out, batch(records[:n]))
		records = records[n:]
	}
	return out
}

func join(batches []batch) []byte {
	out := []byte{}
	for _, b := range batches {
		out = append(out, b...)
	}
	return out
}

// tombstone says that the batch is one record without a value.
func (b batch) tombstone() bool {
	if !b.plain() || b.records() != 1 || b.control() {
		return false
	}
	at := headerSize
	varint := func() int64 {
		v, n := binary.Varint(b[at:])
		at += max(n, 1)
		return v
	}
	varint() // length
	at++     // attributes
	varint() // timestamp
	varint() // offset
	if key := varint(); key > 0 {
		at += int(key)
	}
	return at < len(b) && varint() == -1
}

// place names an offset of a partition.
func place(topic [16]byte, partition int32, offset int64) string {
	return fmt.Sprintf("%x-%d-%d", topic, partition, offset)
}
