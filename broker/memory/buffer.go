package memory

import (
	"math/bits"
	"sync"
	"sync/atomic"
)

// Buffer is a byte slice with a count of its users. It comes from a pool and
// goes back when the last of them calls Release; after that its bytes belong
// to somebody else.
type Buffer struct {
	// B is the buffer's content, of the length that was asked for.
	B     []byte
	refs  atomic.Int32
	kept  atomic.Int32 // of them, those that keep it
	class int
}

// Buffers come in classes of four steps per power of two, so that at most a
// fifth of one lies idle: a 64 KiB batch in its frame needs 80 KiB, not 128.
const (
	minShift   = 9  // 512 B
	maxShift   = 24 // 16 MiB: larger ones are not pooled
	numClasses = (maxShift-minShift)*4 + 1
)

var pools [numClasses]sync.Pool

// NewBuffer returns a buffer of n bytes with one user. Its content is arbitrary.
func NewBuffer(n int) *Buffer {
	class := classOf(n)
	if class < 0 {
		b := &Buffer{B: make([]byte, n), class: -1}
		b.refs.Store(1)
		return b
	}
	if b, ok := pools[class].Get().(*Buffer); ok {
		b.B = b.B[:n]
		b.refs.Store(1)
		return b
	}
	b := &Buffer{B: make([]byte, n, classSize(class)), class: class}
	b.refs.Store(1)
	return b
}

// Retain adds a user.
func (b *Buffer) Retain() {
	if b.refs.Add(1) <= 1 {
		panic("memory: a released buffer was retained")
	}
}

// Release takes a user away.
func (b *Buffer) Release() {
	switch n := b.refs.Add(-1); {
	case n > 0:
	case n < 0:
		panic("memory: a buffer was released twice")
	case b.class >= 0:
		b.B = b.B[:0]
		pools[b.class].Put(b)
	}
}

// Keep makes somebody a user who accounts for the memory that he keeps, and
// returns how much more that is: nothing where the buffer is kept already, for
// another part of its content.
func (b *Buffer) Keep() int64 {
	b.Retain()
	if b.kept.Add(1) > 1 {
		return 0
	}
	return int64(cap(b.B))
}

// Drop takes such a user away, and returns how much less is kept now.
func (b *Buffer) Drop() (freed int64) {
	if b.kept.Add(-1) == 0 {
		freed = int64(cap(b.B))
	}
	b.Release()
	return freed
}

// classOf returns the smallest class that holds n bytes, -1 above the largest.
func classOf(n int) int {
	if n <= 1<<minShift {
		return 0
	}
	if n > 1<<maxShift {
		return -1
	}
	shift := bits.Len(uint(n-1)) - 1 // 2^shift < n <= 2^(shift+1)
	quarter := 1 << (shift - 2)
	steps := (n - 1<<shift + quarter - 1) / quarter
	return (shift-minShift)*4 + steps
}

func classSize(class int) int {
	shift := minShift + class/4
	return 1<<shift + (class%4)*(1<<(shift-2))
}
