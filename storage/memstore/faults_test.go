package memstore

import (
	"errors"
	"slices"
	"sync"
	"testing"

	"github.com/streamweir/streamweir/storage"
)

var p0 = storage.Partition{Topic: storage.TopicID{1}, Index: 0}

// recorder collects completions in the order in which they come.
type recorder struct {
	mu   sync.Mutex
	base []int64
	errs []error
}

func (r *recorder) done(a *storage.Append, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.base = append(r.base, a.Info.BaseOffset)
	r.errs = append(r.errs, err)
}

func (r *recorder) append(base int64, term uint64) *storage.Append {
	return &storage.Append{
		Partition: p0,
		Info:      storage.BatchInfo{BaseOffset: base, LastOffset: base, MaxTimestamp: -1, Size: 3},
		Data:      []byte("abc"),
		Term:      term,
		Done:      r.done,
	}
}

func TestHoldAndStep(t *testing.T) {
	s := New(Options{})
	defer s.Close()
	var r recorder
	s.Hold()
	s.Log().Append(r.append(0, 0), r.append(1, 0), r.append(2, 0))
	s.WaitQueued(3)
	if _, end := s.Log().Bounds(p0); end != 0 {
		t.Fatalf("end = %d while held", end)
	}
	s.Step(2)
	s.WaitCompleted(2)
	if _, end := s.Log().Bounds(p0); end != 2 {
		t.Fatalf("end = %d after two steps", end)
	}
	s.Release()
	s.WaitQueued(0)
	if want := []int64{0, 1, 2}; !slices.Equal(r.base, want) {
		t.Fatalf("completed %v, want %v", r.base, want)
	}
}

func TestFailNext(t *testing.T) {
	s := New(Options{})
	defer s.Close()
	var r recorder
	s.FailNext(storage.ErrNoSpace)
	s.Hold()
	s.Log().Append(r.append(0, 0), r.append(1, 0))
	s.Release()
	s.WaitQueued(0)
	s.Log().Append(r.append(0, 1))
	s.WaitQueued(0)
	want := []error{storage.ErrNoSpace, storage.ErrTerm, nil}
	for i, err := range r.errs {
		if !errors.Is(err, want[i]) {
			t.Errorf("append %d: %v, want %v", i, err, want[i])
		}
	}
}

func TestFailWhenAndHealth(t *testing.T) {
	s := New(Options{})
	defer s.Close()
	var r recorder
	s.FailWhen(func(a *storage.Append) error {
		if a.Info.BaseOffset == 1 {
			return storage.ErrFailed
		}
		return nil
	})
	s.Log().Append(r.append(0, 0), r.append(1, 0))
	s.WaitQueued(0)
	s.FailWhen(nil)
	s.SetHealth(storage.ErrNoSpace)
	s.Log().Append(r.append(1, 1))
	s.WaitQueued(0)
	want := []error{nil, storage.ErrFailed, storage.ErrNoSpace}
	for i, err := range r.errs {
		if !errors.Is(err, want[i]) {
			t.Errorf("append %d: %v, want %v", i, err, want[i])
		}
	}
	if !errors.Is(s.Health(), storage.ErrNoSpace) {
		t.Errorf("health = %v", s.Health())
	}
}

func TestCorrupt(t *testing.T) {
	s := New(Options{})
	defer s.Close()
	var r recorder
	s.Log().Append(r.append(0, 0), r.append(1, 0), r.append(2, 0))
	s.WaitQueued(0)
	if !s.Corrupt(p0, 1) {
		t.Fatal("no batch at 1")
	}
	n, err := s.Log().Read(p0, storage.Position{Base: 0}, make([]byte, 9))
	var ce *storage.CorruptError
	if n != 3 || !errors.As(err, &ce) || ce.Base != 1 {
		t.Fatalf("read = %d, %v", n, err)
	}
	if n, err := s.Log().Read(p0, storage.Position{Base: 2}, make([]byte, 9)); n != 3 || err != nil {
		t.Fatalf("read after the corrupt batch = %d, %v", n, err)
	}
}
