package workload

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"strconv"
	"unicode/utf8"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/streamweir/streamweir/integration/history/checker"
)

// identity is the header that says which record this is. It is not in the value,
// since a tombstone has none.
const (
	identity     = "id"
	identitySize = 4 + 4 + 4 // writer, number, checksum
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// seal fills a record with a value of its own, of size bytes or none for a
// tombstone, and says in a header what it is. The checksum goes over all that a
// consumer gets to see.
func seal(r *kgo.Record, id checker.ID, size int, tombstone bool) {
	if !tombstone {
		r.Value = fill(fmt.Appendf(make([]byte, 0, size+24), "%d:%d ", id.Writer, id.Seq), id, size)
	}
	head := binary.BigEndian.AppendUint32(make([]byte, 0, identitySize), uint32(id.Writer))
	head = binary.BigEndian.AppendUint32(head, uint32(id.Seq))
	r.Headers = []kgo.RecordHeader{{Key: identity, Value: sign(head, r.Key, r.Value)}}
}

// sign adds to a header the checksum of its record.
func sign(head, key, value []byte) []byte {
	return binary.BigEndian.AppendUint32(head, checksum(head, key, value))
}

// fill lengthens a value to size bytes, with what only this record has.
func fill(value []byte, id checker.ID, size int) []byte {
	x := uint64(id.Writer)<<32 + uint64(id.Seq) + 1
	for len(value) < size {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		value = append(value, "0123456789abcdef"[x%16])
	}
	return value
}

func checksum(head, key, value []byte) uint32 {
	sum := crc32.Update(0, castagnoli, head)
	for _, part := range [][]byte{key, value} {
		// nil and empty are different things
		sum = crc32.Update(sum, castagnoli, strconv.AppendInt(nil, int64(lengthOf(part)), 10))
		sum = crc32.Update(sum, castagnoli, part)
	}
	return sum
}

func lengthOf(b []byte) int {
	if b == nil {
		return -1
	}
	return len(b)
}

// The first byte of a value in a stream, where records come through both
// protocols: Kinesis shows no headers, so that the value says what it is.
const (
	byPut  = '@' // sent through Kinesis
	bySend = '#' // sent through Kafka, with a header
)

// pack is a value that says which record it is, with a checksum over itself and
// the record's key. It has size bytes or more.
func pack(by byte, id checker.ID, key []byte, size int) []byte {
	body := fill(fmt.Appendf(nil, "%d:%d ", id.Writer, id.Seq), id, size-10)
	return append(fmt.Appendf(nil, "%c%08x ", by, checksum(nil, key, body)), body...)
}

// sealBoth fills a record of a stream that is sent through Kafka.
func sealBoth(r *kgo.Record, id checker.ID, size int) {
	value := pack(bySend, id, r.Key, size)
	seal(r, id, 0, false)
	r.Value = value
	r.Headers[0].Value = sign(r.Headers[0].Value[:8], r.Key, value)
}

// packed says that a value is one of a stream.
func packed(value []byte) bool {
	return len(value) > 0 && (value[0] == byPut || value[0] == bySend)
}

// unpack says which record a value is, if one of some keys is the record's.
func unpack(value []byte, keys ...[]byte) (id checker.ID, note string) {
	broken := checker.ID{Writer: checker.Broken}
	var by byte
	var sum uint32
	if _, err := fmt.Sscanf(string(value[:min(len(value), 60)]), "%c%08x %d:%d ", &by, &sum, &id.Writer, &id.Seq); err != nil || !packed(value) || len(value) < 11 {
		return broken, fmt.Sprintf("its value of %d bytes begins with %q", len(value), value[:min(len(value), 20)])
	}
	for _, key := range keys {
		if checksum(nil, key, value[10:]) == sum {
			return id, ""
		}
	}
	return broken, fmt.Sprintf("it says to be record %v with checksum %08x, and its content with key %q has another", id, sum, keys[0])
}

// openPacked says which record of a stream a consumer got through Kafka.
func openPacked(r *kgo.Record) (id checker.ID, note string) {
	if id, note = unpack(r.Value, r.Key); note != "" {
		return id, note
	}
	if r.Value[0] == bySend {
		if head, note := openHead(r); note != "" || head != id {
			return checker.ID{Writer: checker.Broken}, fmt.Sprintf("its value says that it is record %v, and its header %v %s", id, head, note)
		}
	} else if len(r.Headers) != 0 {
		return checker.ID{Writer: checker.Broken}, fmt.Sprintf("record %v was put, and has headers: %v", id, r.Headers)
	}
	return id, ""
}

// openShown says which record a consumer got through Kinesis. A key that no
// partition key can be is shown as another: docs/kinesis.md says as which.
func openShown(partitionKey string, data []byte, offset int64) (id checker.ID, note string) {
	keys := [][]byte{[]byte(partitionKey)}
	if len(data) > 0 && data[0] == bySend {
		if partitionKey == strconv.FormatInt(offset, 10) {
			keys = append(keys, nil, []byte{})
		}
		if raw, err := base64.StdEncoding.DecodeString(partitionKey); err == nil && !utf8.Valid(raw) {
			keys = append(keys, raw)
		}
	}
	return unpack(data, keys...)
}

// open says which record a consumer got. note is what is wrong with one that
// nobody sent like this.
func open(r *kgo.Record) (id checker.ID, note string) {
	if packed(r.Value) {
		return openPacked(r)
	}
	return openHead(r)
}

// openHead goes by the record's header.
func openHead(r *kgo.Record) (id checker.ID, note string) {
	broken := checker.ID{Writer: checker.Broken}
	if len(r.Headers) != 1 || r.Headers[0].Key != identity || len(r.Headers[0].Value) != identitySize {
		return broken, fmt.Sprintf("its headers are %v", r.Headers)
	}
	head := r.Headers[0].Value
	id.Writer, id.Seq = int32(binary.BigEndian.Uint32(head)), int32(binary.BigEndian.Uint32(head[4:]))
	if want, got := binary.BigEndian.Uint32(head[8:]), checksum(head[:8], r.Key, r.Value); want != got {
		return broken, fmt.Sprintf("it says to be record %v with checksum %08x, and its content has %08x", id, want, got)
	}
	return id, ""
}

func keyOf(key int32) []byte {
	if key < 0 {
		return nil
	}
	return fmt.Appendf(nil, "key-%d", key)
}
