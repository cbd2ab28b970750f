package kafka

import (
	"fmt"
	"io"
	"math/bits"

	"github.com/klauspost/compress/zstd"
)

const (
	// MaxZstdWindow is the largest zstd window that is accepted: what the
	// reference decoder accepts by default, and so what consumers can read.
	MaxZstdWindow = 128 << 20
	// maxPooledZstdWindow is the largest window whose decoder is kept for the
	// next batch; Java's zstd at its default level uses 2 MB, Go's 8 MB.
	maxPooledZstdWindow = 8 << 20

	// zstdWindowByte is where a frame that is not a single segment has its
	// window: 2 to the power of the upper five bits and zstdBaseExponent, and
	// some eighths more by the lower three.
	zstdWindowByte   = 5
	zstdBaseExponent = 10
	// zstdMaxBlock is the most that one block can hold; a window is left at
	// least as large (zstdLeastExponent), because it limits the blocks too.
	zstdMaxBlock      = 128 << 10
	zstdLeastExponent = 17
)

// zstdDecompressor keeps a decoder for windows of a common size. A larger one
// gets a decoder of its own, which is not kept.
type zstdDecompressor struct {
	src   payloadReader
	head  [zstdWindowByte + 1]byte
	small *zstd.Decoder
	big   *zstd.Decoder
}

func newZstdDecoder(window uint64) (*zstd.Decoder, error) {
	// One block at a time, in the caller's goroutine: nothing to close, and
	// memory follows the window and not the content.
	z, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
		zstd.WithDecoderMaxWindow(window), zstd.WithDecodeBuffersBelow(0))
	if err != nil {
		return nil, fmt.Errorf("make zstd decompressor: %w", err)
	}
	return z, nil
}

func newZstdDecompressor() (*zstdDecompressor, error) {
	z, err := newZstdDecoder(maxPooledZstdWindow)
	return &zstdDecompressor{small: z}, err
}

func (d *zstdDecompressor) reset(payload []byte) (err error) {
	d.src = payloadReader{b: payload}
	window, err := d.window(payload)
	if err != nil {
		return err
	}
	if window <= maxPooledZstdWindow {
		return d.small.Reset(&d.src)
	}
	if window > MaxZstdWindow {
		return fmt.Errorf("zstd window of %d bytes is above the limit of %d", window, MaxZstdWindow)
	}
	if d.big, err = newZstdDecoder(MaxZstdWindow); err != nil {
		return err
	}
	return d.big.Reset(&d.src)
}

// window returns how much memory the frame needs for its window. At its highest
// levels Java's zstd asks for 128 MB whatever the size of the batch, because it
// does not know that size when it writes the header; the decoder would allocate
// them. So a large window is cut to what the frame's blocks can amount to: no
// match reaches back further than that.
func (d *zstdDecompressor) window(payload []byte) (uint64, error) {
	var h zstd.Header
	if err := h.Decode(payload); err != nil {
		return 0, fmt.Errorf("zstd frame header: %w", noEOF(err))
	}
	window := h.WindowSize
	if h.SingleSegment {
		window = h.FrameContentSize
	}
	if h.Skippable || window <= maxPooledZstdWindow || window > MaxZstdWindow {
		return window, nil
	}
	most, err := zstdMost(payload[h.HeaderSize:])
	if err != nil {
		return 0, err
	}
	if h.SingleSegment {
		if most < window {
			return 0, fmt.Errorf("zstd frame claims %d bytes, but has blocks for %d at most", window, most)
		}
		return window, nil
	}
	exponent := max(bits.Len64(most-1), zstdLeastExponent)
	if cut := uint64(1) << exponent; cut < window {
		window = cut
		copy(d.head[:], payload)
		d.head[zstdWindowByte] = byte(exponent-zstdBaseExponent) << 3
		d.src = payloadReader{head: d.head[:], b: payload[len(d.head):]}
	}
	return window, nil
}

// zstdMost is the most that the blocks of a frame can decompress to; at least 1.
func zstdMost(blocks []byte) (uint64, error) {
	most := uint64(1)
	for {
		if len(blocks) < 3 {
			return 0, fmt.Errorf("zstd block header: %w", io.ErrUnexpectedEOF)
		}
		header := uint32(blocks[0]) | uint32(blocks[1])<<8 | uint32(blocks[2])<<16
		size, stored := uint64(header>>3), header>>3
		switch header >> 1 & 3 {
		case 0: // as it is
		case 1: // one byte, repeated
			stored = 1
		default:
			size = zstdMaxBlock
		}
		most += size
		blocks = blocks[3:]
		if uint64(stored) > uint64(len(blocks)) {
			return 0, fmt.Errorf("zstd block: %w", io.ErrUnexpectedEOF)
		}
		if header&1 != 0 { // the last
			return most, nil
		}
		blocks = blocks[stored:]
	}
}

func (d *zstdDecompressor) Read(p []byte) (int, error) {
	if d.big != nil {
		return d.big.Read(p)
	}
	return d.small.Read(p)
}

func (d *zstdDecompressor) keep() bool {
	d.src, d.big = payloadReader{}, nil
	return d.small.Reset(nil) == nil
}
