package memory

import (
	"errors"
	"fmt"
	"io"
	"time"
)

// Intake reads requests into buffers within one budget. A request is read in
// steps, so that memory follows the bytes that have come and not those that a
// client has announced.
//
// The budget has three parts, so that requests of one size do not wait for those
// of another: small ones are read whole at once, usual ones are what clients send
// by default.
type Intake struct {
	small, usual, large part
	// Haste says when slow requests make room. It may be changed before the first.
	Haste Haste
	waits func()
	now   func() time.Time
}

const (
	// Requests of up to smallRequest and usualRequest have a part each.
	smallRequest = 16 << 10
	usualRequest = 2 << 20
	// firstStep is read at once; then four times as much each time.
	firstStep = 256 << 10
	// Each pieceBytes of a request, or what is left of it, may take pieceTime to
	// arrive, waits for memory not counted.
	pieceBytes = 256 << 10
	pieceTime  = 30 * time.Second
)

// Errors of Read.
var (
	ErrTooLarge  = errors.New("the request is larger than what is accepted")
	ErrCancelled = errors.New("waiting for memory was cancelled")
	// ErrSlow ends a request that makes room for others.
	ErrSlow = errors.New("the request arrived too slowly while others waited for memory")
)

// NewIntake returns an intake of limit bytes: an eighth for small requests, three
// for usual ones, and a half for those that are larger. It calls waits when a
// request has to wait for memory.
func NewIntake(limit int64, waits func()) *Intake {
	in := &Intake{Haste: defaultHaste(), waits: waits, now: time.Now}
	eighth := limit / 8
	in.small.init(in, eighth)
	in.usual.init(in, 3*eighth)
	in.large.init(in, 4*eighth)
	return in
}

func (in *Intake) part(size int) *part {
	switch {
	case size < 0 || size > usualRequest:
		return &in.large
	case size > smallRequest:
		return &in.usual
	}
	return &in.small
}

// Used returns how many bytes are taken.
func (in *Intake) Used() int64 {
	return in.small.budget.Used() + in.usual.budget.Used() + in.large.budget.Used()
}

// Wanted returns how many bytes are waited for.
func (in *Intake) Wanted() int64 {
	return in.small.budget.Wanted() + in.usual.budget.Wanted() + in.large.budget.Wanted()
}

// Source is where a request comes from.
type Source struct {
	// Reader has the bytes, the first Here of them without a wait.
	Reader io.Reader
	Here   int
	// Cancel ends waits for memory.
	Cancel <-chan struct{}
	// Deadline gives what is read next its time.
	Deadline func(time.Duration)
	// Cut makes Reader fail, now and from any goroutine.
	Cut func()
}

// Request is a request's bytes and what they have taken from the budget.
type Request struct {
	Buf   *Buffer
	part  *part
	taken int64
	drawn bool // it has the overdraft of its part
}

// Release gives back what the request holds. It may be called again.
func (q *Request) Release() {
	if q.Buf == nil {
		return
	}
	q.Buf.Release()
	q.Buf = nil
	q.part.budget.Release(q.taken)
	if q.drawn {
		<-q.part.overdraft
	}
}

func (q *Request) grow(n int) {
	grown := NewBuffer(n)
	copy(grown.B, q.Buf.B)
	q.Buf.Release()
	q.Buf = grown
}

// Read reads a request of size bytes, or, where that is negative, to the end of
// the source but not more than most.
func (in *Intake) Read(src Source, size, most int) (Request, error) {
	if size > most {
		return Request{}, ErrTooLarge
	}
	q := Request{part: in.part(size)}
	first := size
	if size < 0 {
		first = smallRequest
	}
	first = min(first, firstStep)
	if !q.part.await(int64(first), nil, src.Cancel, nil).ok {
		return q, ErrCancelled
	}
	q.taken, q.Buf = int64(first), NewBuffer(first)
	if size == first && size <= src.Here {
		_, err := io.ReadFull(src.Reader, q.Buf.B)
		return q, err
	}
	a := &arrival{part: q.part, source: src, size: size}
	q.part.begin(a, q.taken)
	err := in.readAll(&q, a, most)
	if q.part.end(a) {
		err = ErrSlow // or else it would be answered on a connection that is cut
	}
	if err != nil {
		q.Release()
		if !errors.Is(err, ErrTooLarge) && !errors.Is(err, ErrCancelled) {
			err = fmt.Errorf("a request of %d bytes did not arrive whole: %w", size, err)
		}
	}
	return q, err
}

// readAll reads a request as it arrives.
func (in *Intake) readAll(q *Request, a *arrival, most int) error {
	end := a.size
	if end < 0 {
		end = most + 1 // one byte more than allowed shows where the end is missing
	}
	a.source.Deadline(pieceTime)
	for read := 0; read < end; {
		n, err := a.source.Reader.Read(q.Buf.B[read:])
		read += n
		piece := a.arrived(n)
		switch {
		case err == io.EOF && a.size < 0:
			q.Buf.B = q.Buf.B[:read]
			return nil
		case err == io.EOF && read < end:
			return io.ErrUnexpectedEOF
		case err != nil && read < end:
			return err
		case read < len(q.Buf.B):
			if piece {
				a.deadline()
			}
		case read < end:
			next := min(end, 4*read)
			if !q.part.extend(q, a, int64(next-read)) {
				return ErrCancelled
			}
			q.grow(next)
			a.deadline()
		}
	}
	if a.size < 0 {
		return ErrTooLarge
	}
	return nil
}
