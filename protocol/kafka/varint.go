package kafka

// Record fields are zigzag varints. Like Apache Kafka, the readers take at most
// 5 bytes for 32 bits and 10 for 64, and drop bits that do not fit.

const (
	maxVarintLen32 = 5
	maxVarintLen64 = 10
)

// A cursor walks over the bytes of one record. Once something does not fit, bad
// is set and every further read gives zero.
type cursor struct {
	b   []byte
	i   int
	bad bool
}

func (c *cursor) byte() byte {
	if c.i >= len(c.b) {
		c.bad = true
		return 0
	}
	v := c.b[c.i]
	c.i++
	return v
}

func (c *cursor) varint() int32 {
	if c.i < len(c.b) && c.b[c.i] < 0x80 { // the common case, kept small
		v := uint32(c.b[c.i])
		c.i++
		return int32(v>>1) ^ -int32(v&1)
	}
	return c.varintSlow()
}

func (c *cursor) varintSlow() int32 {
	v, n := uvarint32(c.b[c.i:])
	if n <= 0 {
		c.bad = true
		c.i = len(c.b)
		return 0
	}
	c.i += n
	return unzigzag32(v)
}

func (c *cursor) varlong() int64 {
	v, n := uvarint64(c.b[c.i:])
	if n <= 0 {
		c.bad = true
		c.i = len(c.b)
		return 0
	}
	c.i += n
	return unzigzag64(v)
}

// take returns the next n bytes, which stay where they are; nil for a negative
// length, which is how null is written.
func (c *cursor) take(n int32) []byte {
	if n < 0 {
		return nil
	}
	if int(n) > len(c.b)-c.i {
		c.bad = true
		c.i = len(c.b)
		return nil
	}
	v := c.b[c.i : c.i+int(n) : c.i+int(n)]
	c.i += int(n)
	return v
}

func unzigzag32(v uint32) int32 { return int32(v>>1) ^ -int32(v&1) }
func unzigzag64(v uint64) int64 { return int64(v>>1) ^ -int64(v&1) }

// uvarint32 returns a value and its size: 0 where b ends first, negative where
// the value has more bytes than it may.
func uvarint32(b []byte) (uint32, int) {
	var v uint32
	for i := 0; i < len(b) && i < maxVarintLen32; i++ {
		v |= uint32(b[i]&0x7f) << (7 * i)
		if b[i] < 0x80 {
			return v, i + 1
		}
	}
	if len(b) >= maxVarintLen32 {
		return 0, -1
	}
	return 0, 0
}

func uvarint64(b []byte) (uint64, int) {
	var v uint64
	for i := 0; i < len(b) && i < maxVarintLen64; i++ {
		v |= uint64(b[i]&0x7f) << (7 * i)
		if b[i] < 0x80 {
			return v, i + 1
		}
	}
	if len(b) >= maxVarintLen64 {
		return 0, -1
	}
	return 0, 0
}

func appendVarint(dst []byte, v int32) []byte {
	return appendUvarint(dst, uint64(uint32(v<<1)^uint32(v>>31)))
}

func appendVarlong(dst []byte, v int64) []byte {
	return appendUvarint(dst, uint64(v<<1)^uint64(v>>63))
}

func appendUvarint(dst []byte, u uint64) []byte {
	for u >= 0x80 {
		dst = append(dst, byte(u)|0x80)
		u >>= 7
	}
	return append(dst, byte(u))
}

func varintLen(v int32) int  { return uvarintLen(uint64(uint32(v<<1) ^ uint32(v>>31))) }
func varlongLen(v int64) int { return uvarintLen(uint64(v<<1) ^ uint64(v>>63)) }

func uvarintLen(u uint64) int {
	n := 1
	for u >= 0x80 {
		u >>= 7
		n++
	}
	return n
}
