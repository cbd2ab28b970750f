//go:build faults

// Package faultstore makes a store break its promises, for the tests of the
// history checker: each of its faults is one that the checker has to find. It is
// only in builds with the tag faults.
package faultstore

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/streamweir/streamweir/protocol/kafka"
	"github.com/streamweir/streamweir/storage"
)

// The faults. They leave alone what the broker notes for itself.
const (
	// Drop acknowledges a batch now and then and does not store it.
	Drop = "drop"
	// Early acknowledges batches seconds before they are stored: a crash loses
	// them.
	Early = "early"
	// Alter stores a batch with another byte in it, and a checksum that fits.
	Alter = "alter"
	// Stick never reports what was appended from some time on.
	Stick = "stick"
	// Crash ends the process.
	Crash = "crash"
)

// Names are all faults.
func Names() []string { return []string{Drop, Early, Alter, Stick, Crash} }

const (
	everySo = 11              // of how many batches one is dropped or altered
	goesFor = 200             // how many batches go well before Stick and Crash
	delay   = 3 * time.Second // of Early
)

// Plant makes a store that has a fault.
func Plant(inner storage.Store, fault string) (storage.Store, error) {
	if !slices.Contains(Names(), fault) {
		return nil, fmt.Errorf("plant fault %q: known are %v", fault, Names())
	}
	s := &store{Store: inner}
	s.log = &log{Log: inner.Log(), fault: fault, queues: map[storage.Partition][]*entry{}, wake: make(chan struct{}, 1), stop: make(chan struct{})}
	s.log.work.Go(s.log.report)
	s.log.work.Go(s.log.storeLate)
	return s, nil
}

type store struct {
	storage.Store
	log *log
}

func (s *store) Log() storage.Log { return s.log }

func (s *store) Close() error {
	close(s.log.stop)
	s.log.work.Wait()
	return s.Store.Close()
}

// log is a log with a fault. It reports appends from a goroutine of its own, in
// their order, since it may know of some before the store does.
type log struct {
	storage.Log
	fault string
	work  sync.WaitGroup
	wake  chan struct{}
	stop  chan struct{}

	mu     sync.Mutex
	seen   int
	queues map[storage.Partition][]*entry
	late   []late
}

// entry is an append that has not been reported.
type entry struct {
	append *storage.Append
	done   bool
	err    error
}

// late is an append that was acknowledged and is still to be stored.
type late struct {
	append *storage.Append
	due    time.Time
}

func (l *log) Append(appends ...*storage.Append) {
	for _, a := range appends {
		l.append(a)
	}
}

func (l *log) append(a *storage.Append) {
	e := &entry{append: a}
	inner := *a
	inner.Done = func(_ *storage.Append, err error) { l.complete(e, err) }
	l.mu.Lock()
	defer l.mu.Unlock()
	if !a.Internal {
		l.seen++
	}
	l.queues[a.Partition] = append(l.queues[a.Partition], e)
	switch hit := l.seen%everySo == 0 && !a.Internal; {
	case l.fault == Drop && hit:
		e.done = true
		l.signal()
		return
	case l.fault == Early && !a.Internal:
		e.done = true
		inner.Data = slices.Clone(a.Data)
		inner.Done = func(*storage.Append, error) {}
		l.late = append(l.late, late{&inner, time.Now().Add(delay)})
		l.signal()
		return
	case l.fault == Alter && hit && len(a.Data) > kafka.BatchHeaderSize+60:
		inner.Data = slices.Clone(a.Data)
		b := kafka.Batch(inner.Data)
		if b.Codec() == kafka.CodecNone {
			b[len(b)-30] ^= 1
			b.UpdateCRC()
		}
	case l.fault == Stick && l.seen > goesFor && !a.Internal:
		return
	case l.fault == Crash && l.seen > goesFor:
		go panic("a planted fault") // where nobody recovers
	}
	l.Log.Append(&inner)
}

func (l *log) complete(e *entry, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e.done, e.err = true, err
	l.signal()
}

// signal wakes report.
func (l *log) signal() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// report tells the partitions what has become of their appends.
func (l *log) report() {
	for {
		select {
		case <-l.wake:
		case <-l.stop:
			return
		}
		for _, e := range l.ready() {
			e.append.Done(e.append, e.err)
		}
	}
}

func (l *log) ready() (out []*entry) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for p, q := range l.queues {
		for len(q) > 0 && q[0].done {
			out = append(out, q[0])
			q = q[1:]
		}
		l.queues[p] = q
	}
	return out
}

// storeLate stores what was acknowledged some time ago.
func (l *log) storeLate() {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-l.stop:
			return
		}
		l.mu.Lock()
		for len(l.late) > 0 && time.Now().After(l.late[0].due) {
			l.Log.Append(l.late[0].append)
			l.late = l.late[1:]
		}
		l.mu.Unlock()
	}
}
