package records

import (
	"fmt"
	"time"

	"github.com/streamweir/streamweir/broker/memory"
)

// budget is how many bytes answers and events may take together: what is read for
// them, their records, and what those are encoded to, until that is written. It is
// a hard limit, but for an answer that is alone. An answer asks for a record's
// bytes in all forms before it takes it up; it waits only while it has none.
type budget struct {
	*memory.Budget
	// ample is how much may be in use for an answer to have more than one record, so
	// that clients that do not read leave room for those that do.
	ample int64
	// outgoing are those of the answers that are on their way to clients.
	outgoing *memory.Outgoing
}

func newBudget(limit int64, outgoing *memory.Outgoing) *budget {
	return &budget{memory.NewBudget(limit), limit / 2, outgoing}
}

// makeRoom is for those who wait for memory: it has answers cut off whose clients do
// not take them.
func (b *budget) makeRoom() { b.outgoing.CutSlow(b.Wanted()) }

// isAmple says whether an answer that has a record may take n bytes more.
func (b *budget) isAmple(n int64) bool {
	over := b.Used() + n - b.ample
	if over > 0 {
		b.outgoing.CutSilent(over)
	}
	return over <= 0
}

const (
	firstChunk   = 8 << 10
	largestChunk = 1 << 20
)

// noRoom says that the budget has no room for an answer's first record.
type noRoom struct{ need int64 }

func (e *noRoom) Error() string { return fmt.Sprintf("no room for %d bytes of records", e.need) }

// arena holds the bytes of the records of one answer, in chunks that do not
// move, as far as the budget allows.
type arena struct {
	budget *budget
	chunks []*memory.Buffer
	free   []byte // of the last chunk
	taken  int64  // of the budget
	spare  int64  // of what is taken, what is not used yet
	ticket *memory.Ticket
	asked  int64 // with ticket
}

// charge takes n bytes of the budget; it is false where that has no room. first
// says that there is no record yet.
func (a *arena) charge(n int64, first bool) bool {
	if more := n - a.spare; more > 0 {
		if !first && !a.budget.isAmple(more) || !a.budget.TryAcquire(more) {
			return false
		}
		a.taken += more
		a.spare += more
	}
	a.spare -= n
	return true
}

// refund gives back n bytes of what was charged.
func (a *arena) refund(n int64) {
	a.taken -= n
	a.budget.Release(n)
}

// settle gives back what was granted and not used.
func (a *arena) settle() {
	a.refund(a.spare)
	a.spare = 0
}

// noRoom is what an answer without records needs that could not be charged n.
func (a *arena) noRoom(n int64) *noRoom { return &noRoom{a.taken - a.spare + n} }

// alloc returns n bytes, and charges beside for what comes with them.
func (a *arena) alloc(n int, beside int64, first bool) ([]byte, bool) {
	if n > len(a.free) {
		size := max(n, min(firstChunk<<len(a.chunks), largestChunk))
		if !a.charge(int64(size)+beside, first) {
			if size = n; !first || !a.charge(int64(size)+beside, first) {
				return nil, false
			}
		}
		if size > largestChunk {
			// None that is kept in a pool.
			return make([]byte, size), true
		}
		b := memory.NewBuffer(size)
		a.chunks = append(a.chunks, b)
		a.free = b.B
	} else if !a.charge(beside, first) {
		return nil, false
	}
	out := a.free[:n:n]
	a.free = a.free[n:]
	return out, true
}

// drop gives the bytes back. What is charged stays so until shrink.
func (a *arena) drop() {
	for i, c := range a.chunks {
		c.Release()
		a.chunks[i] = nil
	}
	a.chunks, a.free = a.chunks[:0], nil
}

// shrink leaves n bytes charged, if there are more.
func (a *arena) shrink(n int64) {
	a.spare = 0
	if a.taken > n {
		a.refund(a.taken - n)
	}
}

// await waits for n bytes, as memory.Ticket does.
func (a *arena) await(n int64, every time.Duration, hurry func(), gone, late <-chan struct{}) bool {
	if !a.budget.Ask(n).Await(every, hurry, gone, late) {
		return false
	}
	a.taken += n
	a.spare += n
	return true
}

// ask queues for n bytes. The place is kept until collect or withdraw.
func (a *arena) ask(n int64) {
	if a.ticket != nil && a.asked != n {
		a.withdraw()
	}
	if a.ticket == nil {
		a.ticket, a.asked = a.budget.Ask(n), n
	}
}

// granted is closed when what was asked for is there; nil where nothing was.
func (a *arena) granted() <-chan struct{} {
	if a.ticket == nil {
		return nil
	}
	return a.ticket.Granted()
}

// collect takes over what was asked for. It is false where that is waited for.
func (a *arena) collect() bool {
	if a.ticket == nil {
		return true
	}
	select {
	case <-a.ticket.Granted():
		a.taken += a.asked
		a.spare += a.asked
		a.ticket = nil
		return true
	default:
		return false
	}
}

// withdraw gives up what was asked for.
func (a *arena) withdraw() {
	if a.ticket == nil {
		return
	}
	if !a.ticket.Withdraw() {
		a.budget.Release(a.asked)
	}
	a.ticket = nil
}
