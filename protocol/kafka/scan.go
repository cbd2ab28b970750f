package kafka

// A scanner goes through a batch's records without gathering their keys and
// values: a record of 10 MB passes through a window of 128 KB.
type scanner struct {
	win window
}

// recordFacts is what the rules and the searches ask of one record.
type recordFacts struct {
	timestampDelta int64
	offsetDelta    int32
	nullKey        bool
}

// next reads the next record. A record that fits into the window is read at
// one go; a larger one is passed through it.
func (s *scanner) next() (f recordFacts, ok bool) {
	w := &s.win
	size, ok := w.varint()
	if !ok || size < 0 {
		return f, false
	}
	if w.src != nil && int(size) > windowSize {
		return s.pass(int64(size))
	}
	if !w.need(int(size)) {
		return f, false
	}
	cur := cursor{b: w.buf[w.r : w.r+int(size)]}
	w.r += int(size)
	cur.byte() // attributes, which no record uses
	f.timestampDelta = cur.varlong()
	f.offsetDelta = cur.varint()
	keySize := cur.varint()
	f.nullKey = keySize < 0
	cur.take(keySize)
	cur.take(cur.varint())
	headers := cur.varint()
	if cur.bad || headers < 0 || int(headers) > len(cur.b)-cur.i {
		return f, false
	}
	for range headers {
		n := cur.varint()
		if n < 0 {
			return f, false
		}
		cur.take(n)
		cur.take(cur.varint())
		if cur.bad {
			return f, false
		}
	}
	return f, !cur.bad && cur.i == len(cur.b)
}

// pass reads a record of size bytes of which the window holds only a part.
func (s *scanner) pass(size int64) (f recordFacts, ok bool) {
	w := &s.win
	end := w.pos() + size
	take := func(n int32, fits bool) bool {
		return fits && (n < 0 || w.pos()+int64(n) <= end && w.skip(int(n)))
	}
	if !w.skip(1) { // attributes
		return f, false
	}
	if f.timestampDelta, ok = w.varlong(); !ok {
		return f, false
	}
	if f.offsetDelta, ok = w.varint(); !ok {
		return f, false
	}
	keySize, ok := w.varint()
	f.nullKey = keySize < 0
	if !take(keySize, ok) || !take(w.varint()) {
		return f, false
	}
	headers, ok := w.varint()
	if !ok || headers < 0 || int64(headers) > end-w.pos() {
		return f, false
	}
	for range headers {
		n, ok := w.varint()
		if n < 0 || !take(n, ok) || !take(w.varint()) {
			return f, false
		}
	}
	return f, w.pos() == end
}
