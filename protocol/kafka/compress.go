package kafka

import (
	"encoding/binary"
	"fmt"
	"io"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

// The levels that Kafka's configs take (compression.gzip.level and so on). In
// a Target or BatchOptions, level 0 stands for the default.
const (
	MinGzipLevel     = 1
	MaxGzipLevel     = 9
	DefaultGzipLevel = -1
	MinLZ4Level      = 1
	MaxLZ4Level      = 17
	DefaultLZ4Level  = 9
	MinZstdLevel     = -131072
	MaxZstdLevel     = 22
	DefaultZstdLevel = 3
)

// zstdWindow is what our own zstd frames ask of a reader's memory.
const zstdWindow = 1 << 20

// xerialBlockSize is the uncompressed size of a snappy block, as Java writes it.
const xerialBlockSize = 32 << 10

// A compressor appends a compressed stream to a slice. begin, Write as often as
// needed, and end, which returns the slice; then it can begin again.
type compressor interface {
	io.Writer
	begin(dst []byte)
	end() ([]byte, error)
	// size is how long the slice is by now.
	size() int
}

type compressorKey struct {
	codec Codec
	level int
}

// Compressors are costly to make, so they are reused, apart by codec and level.
// There are few levels in use, so the map stays small.
var compressors sync.Map // compressorKey -> *sync.Pool

func (k compressorKey) pool() *sync.Pool {
	if p, ok := compressors.Load(k); ok {
		return p.(*sync.Pool)
	}
	p, _ := compressors.LoadOrStore(k, new(sync.Pool))
	return p.(*sync.Pool)
}

// normalize maps levels that compress alike to one, and refuses what Kafka's
// configs refuse.
func (k compressorKey) normalize() (compressorKey, error) {
	bad := func(lo, hi int) (compressorKey, error) {
		return k, fmt.Errorf("%v has no level %d; use %d to %d", k.codec, k.level, lo, hi)
	}
	switch k.codec {
	case CodecGzip:
		if k.level == 0 {
			k.level = DefaultGzipLevel
		}
		if k.level != DefaultGzipLevel && (k.level < MinGzipLevel || k.level > MaxGzipLevel) {
			return bad(MinGzipLevel, MaxGzipLevel)
		}
	case CodecLZ4:
		if k.level == 0 {
			k.level = DefaultLZ4Level
		}
		if k.level < MinLZ4Level || k.level > MaxLZ4Level {
			return bad(MinLZ4Level, MaxLZ4Level)
		}
	case CodecZstd:
		if k.level == 0 {
			k.level = DefaultZstdLevel
		}
		if k.level < MinZstdLevel || k.level > MaxZstdLevel {
			return bad(MinZstdLevel, MaxZstdLevel)
		}
		k.level = int(zstd.EncoderLevelFromZstd(k.level))
	default:
		k.level = 0
	}
	return k, nil
}

func newCompressor(c Codec, level int) (compressor, compressorKey, error) {
	k, err := compressorKey{c, level}.normalize()
	if err != nil {
		return nil, k, err
	}
	if z, ok := k.pool().Get().(compressor); ok {
		return z, k, nil
	}
	var z compressor
	switch c {
	case CodecNone:
		z = &sink{}
	case CodecGzip:
		z, err = newGzipCompressor(k.level)
	case CodecSnappy:
		z = &snappyCompressor{}
	case CodecLZ4:
		z, err = newLZ4Compressor(k.level)
	case CodecZstd:
		z, err = newZstdCompressor(zstd.EncoderLevel(k.level))
	default:
		err = fmt.Errorf("no compressor for %v", c)
	}
	if err != nil {
		return nil, k, err
	}
	return z, k, nil
}

// freeCompressor must be called only after end.
func freeCompressor(k compressorKey, z compressor) { k.pool().Put(z) }

// sink appends to a slice; it is also the compressor of CodecNone.
type sink struct{ b []byte }

func (s *sink) Write(p []byte) (int, error) {
	s.b = append(s.b, p...)
	return len(p), nil
}

func (s *sink) begin(dst []byte) { s.b = dst }
func (s *sink) size() int        { return len(s.b) }

func (s *sink) end() ([]byte, error) {
	b := s.b
	s.b = nil
	return b, nil
}

type gzipCompressor struct {
	sink sink
	z    *gzip.Writer
}

func newGzipCompressor(level int) (compressor, error) {
	z, err := gzip.NewWriterLevel(nil, level)
	if err != nil {
		return nil, fmt.Errorf("make gzip compressor: %w", err)
	}
	return &gzipCompressor{z: z}, nil
}

func (c *gzipCompressor) begin(dst []byte)            { c.sink.begin(dst); c.z.Reset(&c.sink) }
func (c *gzipCompressor) Write(p []byte) (int, error) { return c.z.Write(p) }

func (c *gzipCompressor) size() int { return c.sink.size() }

func (c *gzipCompressor) end() ([]byte, error) {
	err := c.z.Close()
	b, _ := c.sink.end()
	return b, err
}

type lz4Compressor struct {
	sink sink
	z    *lz4.Writer
}

// lz4Level maps Kafka's levels to the library's. Kafka's default is the fast
// compressor; every other level is the high compressor, of which the library
// has nine.
func lz4Level(level int) lz4.CompressionLevel {
	levels := [...]lz4.CompressionLevel{lz4.Level1, lz4.Level2, lz4.Level3, lz4.Level4,
		lz4.Level5, lz4.Level6, lz4.Level7, lz4.Level8}
	switch {
	case level == DefaultLZ4Level:
		return lz4.Fast
	case level > len(levels):
		return lz4.Level9
	}
	return levels[level-1]
}

func newLZ4Compressor(level int) (compressor, error) {
	z := lz4.NewWriter(nil)
	// 64 KB blocks and no content checksum, as the Java client writes them: the
	// batch has a CRC already.
	err := z.Apply(lz4.BlockSizeOption(lz4.Block64Kb), lz4.ChecksumOption(false),
		lz4.CompressionLevelOption(lz4Level(level)))
	if err != nil {
		return nil, fmt.Errorf("make lz4 compressor: %w", err)
	}
	return &lz4Compressor{z: z}, nil
}

func (c *lz4Compressor) begin(dst []byte)            { c.sink.begin(dst); c.z.Reset(&c.sink) }
func (c *lz4Compressor) Write(p []byte) (int, error) { return c.z.Write(p) }

func (c *lz4Compressor) size() int { return c.sink.size() }

func (c *lz4Compressor) end() ([]byte, error) {
	err := c.z.Close()
	b, _ := c.sink.end()
	return b, err
}

type zstdCompressor struct {
	sink sink
	z    *zstd.Encoder
}

func newZstdCompressor(level zstd.EncoderLevel) (compressor, error) {
	z, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(level), zstd.WithEncoderConcurrency(1),
		zstd.WithWindowSize(zstdWindow), zstd.WithEncoderCRC(false), zstd.WithZeroFrames(true))
	if err != nil {
		return nil, fmt.Errorf("make zstd compressor: %w", err)
	}
	return &zstdCompressor{z: z}, nil
}

func (c *zstdCompressor) begin(dst []byte)            { c.sink.begin(dst); c.z.Reset(&c.sink) }
func (c *zstdCompressor) Write(p []byte) (int, error) { return c.z.Write(p) }

func (c *zstdCompressor) size() int { return c.sink.size() }

func (c *zstdCompressor) end() ([]byte, error) {
	err := c.z.Close()
	b, _ := c.sink.end()
	return b, err
}

// snappyCompressor writes the xerial framing, which every client reads and
// which a reader can take block by block.
type snappyCompressor struct {
	dst []byte
	in  []byte // less than a block
}

func (c *snappyCompressor) begin(dst []byte) {
	c.dst = append(dst, xerialMagic[:]...)
	c.dst = binary.BigEndian.AppendUint32(c.dst, 1) // version
	c.dst = binary.BigEndian.AppendUint32(c.dst, 1) // lowest version that can read it
	c.in = c.in[:0]
}

func (c *snappyCompressor) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		if len(c.in) == 0 && len(p) >= xerialBlockSize {
			c.block(p[:xerialBlockSize])
			p = p[xerialBlockSize:]
			continue
		}
		take := min(len(p), xerialBlockSize-len(c.in))
		c.in = append(c.in, p[:take]...)
		p = p[take:]
		if len(c.in) == xerialBlockSize {
			c.block(c.in)
			c.in = c.in[:0]
		}
	}
	return n, nil
}

func (c *snappyCompressor) block(p []byte) {
	at := len(c.dst)
	need := 4 + s2.MaxEncodedLen(len(p))
	if cap(c.dst)-at < need {
		c.dst = append(c.dst, make([]byte, need)...)
	}
	c.dst = c.dst[:at+need]
	enc := s2.EncodeSnappy(c.dst[at+4:], p)
	binary.BigEndian.PutUint32(c.dst[at:], uint32(len(enc)))
	c.dst = c.dst[:at+4+len(enc)]
}

func (c *snappyCompressor) size() int { return len(c.dst) }

func (c *snappyCompressor) end() ([]byte, error) {
	if len(c.in) > 0 {
		c.block(c.in)
	}
	b := c.dst
	c.dst = nil
	return b, nil
}
