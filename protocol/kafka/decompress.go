package kafka

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/golang/snappy"
	"github.com/klauspost/compress/gzip"
	"github.com/pierrec/lz4/v4"
)

const (
	// MaxSnappyBlock is the largest size that one snappy block may decompress
	// to. Java writes blocks of 32 KB; librdkafka and Go clients write the
	// whole batch as one block, which must be decompressed in one piece.
	MaxSnappyBlock = 128 << 20
	// maxSnappyRatio is more than snappy can reach (64 bytes from 3).
	maxSnappyRatio = 22
	// maxPooledBlock is the largest snappy buffer that is kept.
	maxPooledBlock = 1 << 20
)

var (
	errDecompressedSize = errors.New("decompressed records are larger than the limit")
	errUnknownCodec     = errors.New("unknown codec")
)

// A decompressor turns one payload into a stream of record bytes. It is made
// for reuse: reset begins anew on another payload and forgets the one before.
type decompressor interface {
	io.Reader
	reset(payload []byte) error
	// keep says whether the decompressor is small enough to be pooled.
	keep() bool
}

// Decompressors are costly to make (tens of KB to MB each), so they are reused.
var decompressors [numCodecs]sync.Pool

func newDecompressor(c Codec, payload []byte) (decompressor, error) {
	if !c.Valid() {
		return nil, errUnknownCodec
	}
	d, _ := decompressors[c].Get().(decompressor)
	if d == nil {
		switch c {
		case CodecGzip:
			d = &gzipDecompressor{}
		case CodecSnappy:
			d = &snappyDecompressor{}
		case CodecLZ4:
			d = newLZ4Decompressor()
		case CodecZstd:
			z, err := newZstdDecompressor()
			if err != nil {
				return nil, err
			}
			d = z
		default:
			return nil, fmt.Errorf("no decompressor for %v", c)
		}
	}
	if err := d.reset(payload); err != nil {
		freeDecompressor(c, d)
		return nil, err
	}
	return d, nil
}

func freeDecompressor(c Codec, d decompressor) {
	if d.keep() {
		decompressors[c].Put(d)
	}
}

// payloadReader reads from a slice. It is no bytes.Reader because it must not
// show its length: zstd would decompress the whole at once. It reads single
// bytes so that gzip needs no buffer in front.
type payloadReader struct {
	head []byte // read before b
	b    []byte
}

func (r *payloadReader) Read(p []byte) (int, error) {
	if len(r.head) > 0 {
		n := copy(p, r.head)
		r.head = r.head[n:]
		return n, nil
	}
	if len(r.b) == 0 {
		return 0, io.EOF
	}
	n := copy(p, r.b)
	r.b = r.b[n:]
	return n, nil
}

func (r *payloadReader) ReadByte() (byte, error) { // for gzip, which has no head
	if len(r.b) == 0 {
		return 0, io.EOF
	}
	c := r.b[0]
	r.b = r.b[1:]
	return c, nil
}

type gzipDecompressor struct {
	src payloadReader
	z   gzip.Reader
}

func (d *gzipDecompressor) reset(payload []byte) error {
	d.src.b = payload
	return noEOF(d.z.Reset(&d.src))
}

func (d *gzipDecompressor) Read(p []byte) (int, error) { return d.z.Read(p) }

func (d *gzipDecompressor) keep() bool { d.src.b = nil; return true }

// lz4Decompressor accepts what Kafka's Java clients accept: one LZ4 frame with
// independent blocks. The library would accept more, but a topic must not hold
// what consumers cannot read.
type lz4Decompressor struct {
	src payloadReader
	z   *lz4.Reader
}

func newLZ4Decompressor() *lz4Decompressor {
	return &lz4Decompressor{z: lz4.NewReader(nil)}
}

// What an LZ4 frame's descriptor says, and what Java's reader demands of it.
const (
	lz4Magic             = 0x184D2204
	lz4VersionMask       = 0xC0
	lz4Version           = 0x40
	lz4BlockIndependent  = 0x20
	lz4BlockChecksum     = 0x10
	lz4ContentSize       = 0x08
	lz4ContentChecksum   = 0x04
	lz4Reserved          = 0x03
	lz4BlockUncompressed = 1 << 31
	lz4LeastHeader       = 7
)

func (d *lz4Decompressor) reset(payload []byte) error {
	if err := checkLZ4Frame(payload); err != nil {
		return err
	}
	d.src.b = payload
	d.z.Reset(&d.src)
	return nil
}

// checkLZ4Frame says whether the payload is exactly one frame of the kind that
// Java reads. It looks at the descriptor and at the blocks' lengths.
func checkLZ4Frame(payload []byte) error {
	if len(payload) < lz4LeastHeader {
		return fmt.Errorf("lz4 frame header: %w", io.ErrUnexpectedEOF)
	}
	if m := binary.LittleEndian.Uint32(payload); m != lz4Magic {
		return fmt.Errorf("lz4 frame begins with %#08x and not with %#08x", m, lz4Magic)
	}
	flags := payload[4]
	switch {
	case flags&lz4VersionMask != lz4Version:
		return fmt.Errorf("lz4 frame has unknown version %d", flags>>6)
	case flags&lz4BlockIndependent == 0:
		return errors.New("lz4 frame has dependent blocks, which Java clients cannot read")
	case flags&lz4Reserved != 0:
		return errors.New("lz4 frame has reserved flags or a dictionary, which Java clients cannot read")
	}
	at := lz4LeastHeader
	if flags&lz4ContentSize != 0 {
		at += 8
	}
	for {
		if len(payload)-at < 4 {
			return fmt.Errorf("lz4 block length: %w", io.ErrUnexpectedEOF)
		}
		size := int(binary.LittleEndian.Uint32(payload[at:]) &^ lz4BlockUncompressed)
		at += 4
		if size == 0 {
			break
		}
		if flags&lz4BlockChecksum != 0 {
			size += 4
		}
		if size > len(payload)-at {
			return fmt.Errorf("lz4 block: %w", io.ErrUnexpectedEOF)
		}
		at += size
	}
	if flags&lz4ContentChecksum != 0 {
		at += 4
	}
	if at != len(payload) {
		return fmt.Errorf("lz4 frame ends at byte %d of %d", at, len(payload))
	}
	return nil
}

func (d *lz4Decompressor) Read(p []byte) (int, error) { return d.z.Read(p) }

func (d *lz4Decompressor) keep() bool {
	d.src.b = nil
	d.z.Reset(nil)
	return true
}

// xerialMagic begins the framing that Java clients write (snappy-java): the
// magic, two version numbers, and then blocks, each behind its length.
var xerialMagic = [8]byte{0x82, 'S', 'N', 'A', 'P', 'P', 'Y', 0}

const (
	xerialHeaderSize = 16
	xerialVersion    = 1 // the lowest that Java reads
)

// snappyDecompressor reads both forms of snappy that Kafka clients write: the
// xerial framing, and one bare block. It decodes with golang/snappy and not with
// the s2 package, which would let S2's extensions pass: other clients could not
// read them.
type snappyDecompressor struct {
	src   []byte // compressed bytes to come
	bare  bool   // src is one block
	block []byte // decompressed bytes to come
	buf   []byte // what block lies in
}

func (d *snappyDecompressor) reset(payload []byte) error {
	d.block, d.src = nil, payload
	d.bare = len(payload) < xerialHeaderSize || [8]byte(payload[:8]) != xerialMagic
	if !d.bare {
		if v := int32(binary.BigEndian.Uint32(payload[8:])); v < xerialVersion {
			return fmt.Errorf("snappy framing has version %d, which Java clients cannot read", v)
		}
		d.src = payload[xerialHeaderSize:]
	}
	return nil
}

func (d *snappyDecompressor) Read(p []byte) (int, error) {
	for len(d.block) == 0 {
		if len(d.src) == 0 {
			return 0, io.EOF
		}
		if err := d.nextBlock(); err != nil {
			return 0, err
		}
	}
	n := copy(p, d.block)
	d.block = d.block[n:]
	return n, nil
}

func (d *snappyDecompressor) nextBlock() error {
	block := d.src
	if !d.bare {
		if len(d.src) < 4 {
			return fmt.Errorf("snappy block length: %w", io.ErrUnexpectedEOF)
		}
		// Streams that were joined carry their header again.
		if len(d.src) >= xerialHeaderSize && [8]byte(d.src[:8]) == xerialMagic {
			d.src = d.src[xerialHeaderSize:]
			return nil
		}
		n := binary.BigEndian.Uint32(d.src)
		if uint64(n) > uint64(len(d.src)-4) {
			return fmt.Errorf("snappy block of %d bytes: %w", n, io.ErrUnexpectedEOF)
		}
		block = d.src[4 : 4+n]
	}
	n, err := snappy.DecodedLen(block)
	if err != nil {
		return fmt.Errorf("snappy block: %w", err)
	}
	if n > MaxSnappyBlock || n > maxSnappyRatio*len(block) {
		return fmt.Errorf("snappy block of %d bytes claims %d decompressed bytes", len(block), n)
	}
	if cap(d.buf) < n {
		d.buf = make([]byte, n)
	}
	d.block, err = snappy.Decode(d.buf[:cap(d.buf)], block)
	if err != nil {
		return fmt.Errorf("snappy block: %w", err)
	}
	if d.bare {
		d.src = nil
	} else {
		d.src = d.src[4+len(block):]
	}
	return nil
}

func (d *snappyDecompressor) keep() bool {
	d.src, d.block = nil, nil
	return cap(d.buf) <= maxPooledBlock
}

// noEOF makes an end in the middle of a header an error of its own.
func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
