package kafka

import (
	"errors"
	"io"
	"sync"
)

// windowSize is how much decompressed data is held at a time: more than an LZ4
// block of 64 KB, so that blocks are decompressed in place.
const windowSize = 128 << 10

// maxPooledWindow is the largest window that is kept for the next batch.
const maxPooledWindow = 1 << 20

// DefaultDecompressedLimit bounds what one batch may decompress to where the
// caller names no other limit.
const DefaultDecompressedLimit = 256 << 20

var windows = sync.Pool{New: func() any { b := make([]byte, windowSize); return &b }}

// A window is a view on a batch's record bytes: on all of them where they are
// not compressed, or else on the part that is decompressed at the moment.
type window struct {
	buf    []byte // the view is buf[r:w]
	r, w   int
	base   int64 // position in the stream of buf[0]
	src    decompressor
	codec  Codec
	pooled *[]byte // what buf began as
	limit  int64
	err    error // why the stream ended; io.EOF is the good reason
}

// open begins with the records of b. limit bounds their decompressed size.
func (w *window) open(b Batch, limit int64) error {
	if limit <= 0 {
		limit = DefaultDecompressedLimit
	}
	codec := b.Codec()
	if codec == CodecNone {
		p := b.Payload()
		*w = window{buf: p, w: len(p), limit: limit, err: io.EOF}
		return nil
	}
	src, err := newDecompressor(codec, b.Payload())
	if err != nil {
		return err
	}
	buf := windows.Get().(*[]byte)
	*w = window{buf: *buf, src: src, codec: codec, pooled: buf, limit: limit}
	return nil
}

func (w *window) close() {
	if w.src != nil {
		freeDecompressor(w.codec, w.src)
	}
	if w.pooled != nil {
		if len(w.buf) <= maxPooledWindow {
			*w.pooled = w.buf // it may have grown
		}
		windows.Put(w.pooled)
	}
	*w = window{err: io.EOF}
}

// pos is how many bytes of the stream are behind the view.
func (w *window) pos() int64 { return w.base + int64(w.r) }

// need makes the view at least n bytes long, and says whether it could. The
// window grows as data comes, not because a length claims that it will.
func (w *window) need(n int) bool {
	for w.w-w.r < n {
		if w.err != nil {
			return false
		}
		w.makeRoom(n)
		got, err := w.src.Read(w.buf[w.w:])
		w.w += got
		w.err = err
		if w.base+int64(w.w) > w.limit {
			w.err = errDecompressedSize
			return false
		}
	}
	return true
}

func (w *window) makeRoom(n int) {
	if w.r > 0 && (w.r == w.w || n > len(w.buf)-w.r) {
		copy(w.buf, w.buf[w.r:w.w])
		w.base += int64(w.r)
		w.w -= w.r
		w.r = 0
	}
	if w.w == len(w.buf) {
		bigger := make([]byte, min(2*len(w.buf), max(n, windowSize)))
		copy(bigger, w.buf)
		w.buf = bigger
	}
}

// skip moves n bytes on, without keeping them, and says whether it could.
func (w *window) skip(n int) bool {
	for n > w.w-w.r {
		n -= w.w - w.r
		w.r = w.w
		if !w.need(1) {
			return false
		}
	}
	w.r += n
	return true
}

// varint reads one varint of the stream. ok is false where the stream ends in
// it or it has too many bytes.
func (w *window) varint() (v int32, ok bool) {
	w.need(maxVarintLen32) // fewer will do, at the end
	u, n := uvarint32(w.buf[w.r:w.w])
	if n <= 0 {
		return 0, false
	}
	w.r += n
	return unzigzag32(u), true
}

func (w *window) varlong() (v int64, ok bool) {
	w.need(maxVarintLen64)
	u, n := uvarint64(w.buf[w.r:w.w])
	if n <= 0 {
		return 0, false
	}
	w.r += n
	return unzigzag64(u), true
}

// failure is the error of the source, if it failed rather than ended.
func (w *window) failure() error {
	if w.err == nil || errors.Is(w.err, io.EOF) {
		return nil
	}
	return w.err
}
