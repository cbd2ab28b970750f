package partition

import (
	"crypto/md5"
	"crypto/rand"
	"encoding/binary"
	"math/bits"
)

// keyMap holds the last offset of each key, as compaction needs it, in a fixed
// amount of memory: 24 bytes for a key of any length. A key is known by 16 bytes
// of its MD5, as in Apache Kafka; a salt keeps anyone from making two keys that
// look the same.
type keyMap struct {
	slots []keySlot
	n     int
	max   int
	salt  [md5.BlockSize]byte
	buf   []byte
}

type keySlot struct {
	a, b uint64
	end  int64 // offset + 1; 0 is an empty slot
}

const keySlotBytes = 24

// newKeyMap returns a map for as many keys as fit into bytes, filled to load at
// most, but no more than records.
func newKeyMap(bytes, records int64, load float64) *keyMap {
	slots := max(bytes/keySlotBytes, 2)
	if want := float64(records)/load + 2; want < float64(slots) {
		slots = int64(want)
	}
	m := &keyMap{slots: make([]keySlot, slots)}
	m.max = min(int(float64(slots)*load), int(slots)-1)
	_, _ = rand.Read(m.salt[:]) // never fails
	m.buf = append(m.buf, m.salt[:]...)
	return m
}

func (m *keyMap) find(key []byte) (slot *keySlot, a, b uint64) {
	// The salt fills a block, so that what follows cannot be chosen to fit it.
	m.buf = append(m.buf[:md5.BlockSize], key...)
	sum := md5.Sum(m.buf)
	a, b = binary.LittleEndian.Uint64(sum[:]), binary.LittleEndian.Uint64(sum[8:])
	if cap(m.buf) > maxKeptKey {
		m.buf = append(make([]byte, 0, 2*md5.BlockSize), m.salt[:]...)
	}
	at, _ := bits.Mul64(a, uint64(len(m.slots)))
	for {
		s := &m.slots[at]
		if s.end == 0 || s.a == a && s.b == b {
			return s, a, b
		}
		if at++; at == uint64(len(m.slots)) {
			at = 0
		}
	}
}

// maxKeptKey is the largest buffer for keys that is kept.
const maxKeptKey = 1 << 20

// put notes that key was last seen at offset; false means that the map is full.
func (m *keyMap) put(key []byte, offset int64) bool {
	s, a, b := m.find(key)
	if s.end == 0 {
		if m.n >= m.max {
			return false
		}
		m.n++
	}
	*s = keySlot{a, b, offset + 1}
	return true
}

// get returns the last offset of key; -1 for none.
func (m *keyMap) get(key []byte) int64 {
	s, _, _ := m.find(key)
	return s.end - 1
}
