package workload

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"strconv"

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
		value := fmt.Appendf(make([]byte, 0, size+24), "%d:%d ", id.Writer, id.Seq)
		x := uint64(id.Writer)<<32 + uint64(id.Seq) + 1
		for len(value) < size {
			x ^= x << 13
			x ^= x >> 7
			x ^= x << 17
			value = append(value, "0123456789abcdef"[x%16])
		}
		r.Value = value
	}
	head := binary.BigEndian.AppendUint32(make([]byte, 0, identitySize), uint32(id.Writer))
	head = binary.BigEndian.AppendUint32(head, uint32(id.Seq))
	head = binary.BigEndian.AppendUint32(head, checksum(head, r.Key, r.Value))
	r.Headers = []kgo.RecordHeader{{Key: identity, Value: head}}
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

// open says which record a consumer got. note is what is wrong with one that
// nobody sent like this.
func open(r *kgo.Record) (id checker.ID, note string) {
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
