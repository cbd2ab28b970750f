package records

import (
	"sync/atomic"

	"github.com/streamweir/streamweir/broker/memory"
)

// budget is how many bytes answers and events may hold together. It is not a
// hard limit, and nobody waits for it: above it, an answer has one record.
type budget struct {
	limit int64
	used  atomic.Int64
}

const (
	firstChunk   = 8 << 10
	largestChunk = 1 << 20
)

// arena holds the bytes of the records of one answer, in chunks that do not
// move, as far as the budget allows.
type arena struct {
	budget *budget
	chunks []*memory.Buffer
	free   []byte // of the last chunk
	taken  int64  // of the budget
}

// alloc returns n bytes. It is false where the budget has no room; an arena that
// holds nothing yet gets what it asks for anyway.
func (a *arena) alloc(n int) ([]byte, bool) {
	if n > len(a.free) {
		size := max(n, min(firstChunk<<len(a.chunks), largestChunk))
		if a.budget.used.Load()+int64(size) > a.budget.limit {
			if a.taken > 0 {
				return nil, false
			}
			size = n
		}
		a.account(a.taken + int64(size))
		b := memory.NewBuffer(size)
		a.chunks = append(a.chunks, b)
		a.free = b.B
	}
	out := a.free[:n:n]
	a.free = a.free[n:]
	return out, true
}

func (a *arena) account(n int64) {
	a.budget.used.Add(n - a.taken)
	a.taken = n
}

// drop gives the bytes back. What is accounted for stays so until account.
func (a *arena) drop() {
	for i, c := range a.chunks {
		c.Release()
		a.chunks[i] = nil
	}
	a.chunks, a.free = a.chunks[:0], nil
}
