// Package liar stands between a client and a broker and makes the broker break
// its promises: each of its faults is one that the checker has to name. A
// checker that finds nothing is only believed when it is known to see.
//
// It works on the wire, so that no product code knows of it, and with any
// broker: in Kafka's connections, and in the requests of Kinesis clients. What a store can do wrong by itself is planted in the store
// (storage/faultstore).
package liar

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"sync"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// Liar plants one fault in all connections that go through it.
type Liar struct {
	fault fault
	http  httpFault

	mu     sync.Mutex
	counts map[string]int
	kept   map[string]batch
	heard  map[string]object
}

// New plants a fault by its name.
func New(name string) (*Liar, error) {
	f, kafka := faults[name]
	h, kinesis := httpFaults[name]
	if !kafka && !kinesis {
		return nil, fmt.Errorf("fault %q is not known; known are %v", name, Names())
	}
	return &Liar{fault: f, http: h, counts: map[string]int{}, kept: map[string]batch{}, heard: map[string]object{}}, nil
}

// fault changes requests before the broker sees them, and responses before the
// client does. Either may be nil. before says false for a request that is to
// vanish.
type fault struct {
	keys   []kmsg.Key
	before func(l *Liar, req kmsg.Request) bool
	after  func(l *Liar, req kmsg.Request, resp kmsg.Response)
}

// count numbers the occurrences of something, from 1 on.
func (l *Liar) count(of string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.counts[of]++
	return l.counts[of]
}

// Wrap puts the liar into a connection to a broker.
func (l *Liar) Wrap(broker net.Conn) net.Conn {
	client, near := net.Pipe()
	w := &wire{Conn: client, liar: l, near: near, broker: broker, asked: map[int32]kmsg.Request{}}
	w.copies.Go(func() { w.end(w.requests()) })
	w.copies.Go(func() { w.end(w.responses()) })
	return w
}

// wire is one connection: the client's end of a pipe.
type wire struct {
	net.Conn
	liar   *Liar
	near   net.Conn // the other end of the pipe
	broker net.Conn
	copies sync.WaitGroup

	mu    sync.Mutex
	asked map[int32]kmsg.Request // those that the fault wants to see answered
}

// end closes everything when one direction has ended.
func (w *wire) end(error) {
	w.near.Close()
	w.broker.Close()
}

// Close ends both directions and waits for them.
func (w *wire) Close() error {
	err := w.Conn.Close()
	w.end(nil)
	w.copies.Wait()
	return err
}

// maxFrame bounds what is read into memory.
const maxFrame = 100 << 20

func readFrame(r io.Reader) ([]byte, error) {
	var size [4]byte
	if _, err := io.ReadFull(r, size[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(size[:])
	if n < 4 || n > maxFrame {
		return nil, fmt.Errorf("a frame of %d bytes", n)
	}
	frame := make([]byte, n)
	_, err := io.ReadFull(r, frame)
	return frame, err
}

func writeFrame(w io.Writer, frame []byte) error {
	_, err := w.Write(append(binary.BigEndian.AppendUint32(make([]byte, 0, 4+len(frame)), uint32(len(frame))), frame...))
	return err
}

func (w *wire) requests() error {
	for {
		frame, err := readFrame(w.near)
		if err != nil {
			return err
		}
		out, forward, err := w.request(frame)
		if err != nil {
			return err
		}
		if !forward {
			continue
		}
		if err := writeFrame(w.broker, out); err != nil {
			return err
		}
	}
}

// request lets the fault have a look at a request.
func (w *wire) request(frame []byte) (out []byte, forward bool, err error) {
	key, version := int16(binary.BigEndian.Uint16(frame)), int16(binary.BigEndian.Uint16(frame[2:]))
	if !w.liar.wants(key) {
		return frame, true, nil
	}
	body, err := skipHeader(frame, key, version)
	if err != nil {
		return nil, false, err
	}
	// The answer is to the request as the client sent it.
	original, changed := kmsg.RequestForKey(key), kmsg.RequestForKey(key)
	for _, req := range []kmsg.Request{original, changed} {
		req.SetVersion(version)
		if err := req.ReadFrom(append([]byte(nil), frame[body:]...)); err != nil {
			return nil, false, err
		}
	}
	if before := w.liar.fault.before; before != nil {
		if !before(w.liar, changed) {
			return nil, false, nil
		}
	}
	w.mu.Lock()
	w.asked[int32(binary.BigEndian.Uint32(frame[4:]))] = original
	w.mu.Unlock()
	return changed.AppendTo(frame[:body:body]), true, nil
}

func (l *Liar) wants(key int16) bool {
	for _, k := range l.fault.keys {
		if k.Int16() == key {
			return true
		}
	}
	return false
}

// skipHeader returns where a request's body begins.
func skipHeader(frame []byte, key, version int16) (int, error) {
	at := 8 // key, version, correlation id
	if len(frame) < at+2 {
		return 0, io.ErrUnexpectedEOF
	}
	if n := int16(binary.BigEndian.Uint16(frame[at:])); n > 0 {
		at += int(n)
	}
	at += 2
	req := kmsg.RequestForKey(key)
	req.SetVersion(version)
	if req.IsFlexible() {
		at++ // no client here sends tags in a header
	}
	if len(frame) < at {
		return 0, io.ErrUnexpectedEOF
	}
	return at, nil
}

func (w *wire) responses() error {
	for {
		frame, err := readFrame(w.broker)
		if err != nil {
			return err
		}
		if frame, err = w.response(frame); err != nil {
			return err
		}
		if err := writeFrame(w.near, frame); err != nil {
			return err
		}
	}
}

// response lets the fault have a look at a response.
func (w *wire) response(frame []byte) ([]byte, error) {
	correlation := int32(binary.BigEndian.Uint32(frame))
	w.mu.Lock()
	req := w.asked[correlation]
	delete(w.asked, correlation)
	w.mu.Unlock()
	if req == nil || w.liar.fault.after == nil {
		return frame, nil
	}
	resp := req.ResponseKind()
	body := 4
	if resp.IsFlexible() {
		body++ // no tags
	}
	if err := resp.ReadFrom(append([]byte(nil), frame[body:]...)); err != nil {
		return nil, err
	}
	w.liar.fault.after(w.liar, req, resp)
	return resp.AppendTo(frame[:body:body]), nil
}
