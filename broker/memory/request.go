package memory

import (
	"fmt"
	"io"
)

// Source is where a request comes from.
type Source interface {
	io.Reader
	// Piece says that the next piece of the request is waited for, which must come
	// within its time: each pieceBytes of a request, or what is left of it, is one.
	Piece()
	// Took says that the request has taken n more bytes of memory, or, where n is
	// negative, given all of them back.
	Took(n int64)
	// Cut ends the source: a read that waits fails, and so does every later one.
	Cut()
	// Gone is closed when nobody waits for the request any more.
	Gone() <-chan struct{}
}

// A request is read in steps, so that memory follows the bytes that have come and
// not those that a client has announced.
const (
	// firstStep is taken before anything is read, unless all of a request is here;
	// then four times what has come. That most small requests fit in it saves them
	// a second step.
	firstStep  = 4 << 10
	pieceBytes = 256 << 10
)

// Request is a request's bytes and what they have taken from an intake.
type Request struct {
	Buf   *Buffer
	in    *Intake
	from  Source
	step  int // the last one that was taken
	taken steps
}

// Read takes a request of size bytes. One that is here, as ready says, is read at
// once.
func (in *Intake) Read(from Source, size, ready int) (Request, error) {
	q, err := in.first(from, min(size, firstStep))
	if err != nil {
		return q, err
	}
	if size <= min(ready, firstStep) {
		if _, err = io.ReadFull(from, q.Buf.B); err != nil {
			q.Release()
		}
		return q, NotWhole(size, err)
	}
	if _, err = q.arrive(size); err != nil {
		q.Release()
	}
	return q, NotWhole(size, err)
}

// ReadAll takes a request to the end of its source, but not more than most bytes
// of it.
func (in *Intake) ReadAll(from Source, most int) (Request, error) {
	// One byte more than allowed shows that it does not end.
	q, err := in.first(from, min(most+1, firstStep))
	if err != nil {
		return q, err
	}
	read, err := q.arrive(most + 1)
	switch {
	case err == nil:
		q.Release()
		return q, ErrTooLarge
	case err == io.EOF:
		q.Buf.B = q.Buf.B[:read]
		return q, nil
	}
	q.Release()
	return q, fmt.Errorf("a request did not arrive whole: %w", err)
}

// NotWhole says that a request did not arrive to its end.
func NotWhole(size int, err error) error {
	if err == nil {
		return nil
	}
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("a request of %d bytes did not arrive whole: %w", size, err)
}

// first takes memory for the beginning of a request.
func (in *Intake) first(from Source, have int) (Request, error) {
	q := Request{in: in, from: from}
	if !in.await(0, int64(have), from.Gone(), nil) {
		return q, ErrGone
	}
	q.taken[0] = int64(have)
	from.Took(int64(have))
	q.Buf = NewBuffer(have)
	return q, nil
}

// arrive reads a request of size bytes as it comes, and returns how much has.
func (q *Request) arrive(size int) (int, error) {
	a := q.in.begin(q.from, size, q.taken)
	defer q.in.end(a)
	read, err := q.pieces(a)
	if err != nil && a.isCut() {
		err = ErrTooSlow
	}
	return read, err
}

func (q *Request) pieces(a *arrival) (read int, err error) {
	q.from.Piece()
	for read < a.size {
		n, err := q.from.Read(q.Buf.B[read:])
		read += n
		if read == a.size {
			break
		}
		if err != nil {
			return read, err
		}
		if a.arrived(n) {
			q.from.Piece()
		}
		if read < len(q.Buf.B) {
			continue
		}
		next := min(a.size, 4*read)
		if q.step++; next == a.size {
			q.step = q.in.last()
		}
		if !q.extend(a, int64(next-read)) {
			return read, ErrGone
		}
		q.grow(next)
		q.from.Piece()
	}
	return read, nil
}

// extend takes n more bytes for a request that has begun.
func (q *Request) extend(a *arrival, n int64) bool {
	if !q.in.budget.try(q.step, n) {
		cut := a.pause()
		ok := q.in.await(q.step, n, q.from.Gone(), cut)
		a.resume()
		if !ok {
			return false
		}
	}
	q.taken[q.step] = n
	q.from.Took(n)
	a.took(q.step, n)
	return true
}

// grow puts a longer buffer in the place of the request's own.
func (q *Request) grow(n int) {
	grown := NewBuffer(n)
	copy(grown.B, q.Buf.B)
	q.Buf.Release()
	q.Buf = grown
}

// Release gives the request's memory back. It may be called again.
func (q *Request) Release() {
	if q.Buf == nil {
		return
	}
	q.Buf.Release()
	q.Buf = nil
	q.in.budget.release(q.taken)
	q.from.Took(-q.taken.sum())
}
