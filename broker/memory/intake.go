package memory

import (
	"errors"
	"fmt"
	"io"
)

// Intake reads requests into buffers within one budget. A request is read in
// steps, so that memory follows the bytes that have come and not those that a
// client has announced.
type Intake struct {
	// small holds requests that are read whole at once. They have a share of their
	// own, so that large ones that wait for memory do not stop them.
	small, large *Budget
	// overdraft lets one request at a time go over the budget: requests that have
	// begun must not wait for each other for ever.
	overdraft chan struct{}
	waits     func()
}

// Steps of reading.
const (
	// smallRequest and less is taken from the share of small ones.
	smallRequest = 16 << 10
	// firstStep is read at once; then four times as much each time.
	firstStep = 256 << 10
)

// ErrTooLarge is a request that is longer than it may be.
var ErrTooLarge = errors.New("the request is larger than what is accepted")

// ErrCancelled ends a wait for memory.
var ErrCancelled = errors.New("waiting for memory was cancelled")

// NewIntake returns an intake of limit bytes, an eighth of which is for small
// requests. It calls waits when a request has to wait in the middle.
func NewIntake(limit int64, waits func()) *Intake {
	return &Intake{
		small: NewBudget(limit / 8), large: NewBudget(limit - limit/8),
		overdraft: make(chan struct{}, 1), waits: waits,
	}
}

// Used returns how many bytes are taken.
func (in *Intake) Used() int64 { return in.small.Used() + in.large.Used() }

// Request is a request's bytes and what they have taken from the budget.
type Request struct {
	Buf    *Buffer
	budget *Budget
	taken  int64
	drawn  chan struct{} // the overdraft, where it was taken
}

// Release gives back what the request holds. It may be called again.
func (q *Request) Release() {
	if q.Buf == nil {
		return
	}
	q.Buf.Release()
	q.Buf = nil
	q.budget.Release(q.taken)
	if q.drawn != nil {
		<-q.drawn
	}
}

// Read reads a request of size bytes, or, where that is negative, to the end of r
// but not more than most. It waits for memory until cancel is closed. Before it
// reads, it calls step with the number of bytes that it waits for next.
func (in *Intake) Read(r io.Reader, size, most int, cancel <-chan struct{}, step func(n int)) (Request, error) {
	if size > most {
		return Request{}, ErrTooLarge
	}
	q := Request{budget: in.small}
	have := size
	if size < 0 || size > smallRequest {
		q.budget = in.large
		have = firstStep
		if size < 0 {
			have = smallRequest
		}
	}
	// One byte more than allowed shows where the end is missing.
	end := size
	if size < 0 {
		end = most + 1
	}
	have = min(have, end)
	if !q.budget.Acquire(int64(have), cancel) {
		return q, ErrCancelled
	}
	q.taken = int64(have)
	q.Buf = NewBuffer(have)
	read := 0
	for {
		step(have - read)
		n, err := io.ReadFull(r, q.Buf.B[read:])
		read += n
		if size < 0 && (err == io.EOF || err == io.ErrUnexpectedEOF) {
			q.Buf.B = q.Buf.B[:read]
			return q, nil
		}
		if err != nil {
			q.Release()
			return q, fmt.Errorf("a request of %d bytes did not arrive whole: %w", size, err)
		}
		if have == end {
			if size < 0 {
				q.Release()
				return q, ErrTooLarge
			}
			return q, nil
		}
		have = min(end, 4*have)
		if !in.grow(&q, int64(have-read), cancel) {
			q.Release()
			return q, ErrCancelled
		}
		grown := NewBuffer(have)
		copy(grown.B, q.Buf.B)
		q.Buf.Release()
		q.Buf = grown
	}
}

// grow takes n more bytes for a request that has begun.
func (in *Intake) grow(q *Request, n int64, cancel <-chan struct{}) bool {
	if q.drawn != nil {
		return true
	}
	if q.budget.TryAcquire(n) {
		q.taken += n
		return true
	}
	in.waits()
	stop := make(chan struct{})
	got := make(chan bool, 1)
	go func() { got <- q.budget.Acquire(n, stop) }()
	ok := false
	select {
	case ok = <-got:
	case in.overdraft <- struct{}{}:
		close(stop)
		if ok = <-got; ok {
			<-in.overdraft
		} else {
			q.drawn = in.overdraft
			return true
		}
	case <-cancel:
		close(stop)
		ok = <-got
	}
	if ok {
		q.taken += n
	}
	return ok
}
