package memstore

import "github.com/streamweir/streamweir/storage"

// faults is what a test has commanded. The store's lock guards it.
type faults struct {
	held    bool
	permits int // appends that may complete while held
	fail    []error
	hook    func(*storage.Append) error
	replace func(storage.Partition, *storage.Edit) error
	health  error
}

func (f *faults) mayComplete() bool { return !f.held || f.permits > 0 }

func (f *faults) next(a *storage.Append) error {
	if f.health != nil {
		return f.health
	}
	if len(f.fail) > 0 {
		err := f.fail[0]
		f.fail = f.fail[1:]
		return err
	}
	if f.hook != nil {
		return f.hook(a)
	}
	return nil
}

// FailNext makes the next append that would have succeeded fail with err. Calls
// add up: two of them fail the next two. Appends refused with ErrTerm because
// of one before them use nothing up.
func (s *Store) FailNext(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.faults.fail = append(s.mu.faults.fail, err)
}

// FailWhen has fn asked about every append before it is put into the log: an
// error fails it. Nil ends that. fn must not call the store.
func (s *Store) FailWhen(fn func(*storage.Append) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.faults.hook = fn
}

// FailReplaceWhen has fn asked before each edit of a Replace: an error ends it
// there, as a crash would. Nil ends that. fn must not call the store.
func (s *Store) FailReplaceWhen(fn func(storage.Partition, *storage.Edit) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.faults.replace = fn
}

// SetHealth makes Health return err and every append fail with it, until it is
// set to nil.
func (s *Store) SetHealth(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.faults.health = err
}

// Hold stops completions: appends queue up until Release or Step.
func (s *Store) Hold() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.faults.held, s.mu.faults.permits = true, 0
}

// Step lets the next n appends complete while the store is held.
func (s *Store) Step(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.faults.permits += n
	s.mu.wake.Signal()
}

// Release ends a Hold.
func (s *Store) Release() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.faults.held = false
	s.mu.wake.Signal()
}

// Queued returns how many appends have not been completed.
func (s *Store) Queued() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.queuedLocked()
}

func (s *Store) queuedLocked() int {
	n := len(s.mu.queue)
	if s.mu.completing {
		n++
	}
	return n
}

// WaitQueued returns when at least n appends wait to be completed; with n = 0,
// when none does and the last Done has returned.
func (s *Store) WaitQueued(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		q := s.queuedLocked()
		if (n == 0 && q == 0) || (n > 0 && q >= n) {
			return
		}
		s.mu.settled.Wait()
	}
}

// WaitCompleted returns when n appends in all have been completed since New.
func (s *Store) WaitCompleted(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.mu.completed < n {
		s.mu.settled.Wait()
	}
}

// Corrupt makes the batch at base unreadable: a read that reaches it returns a
// *storage.CorruptError. It returns false where there is no such batch.
func (s *Store) Corrupt(p storage.Partition, base int64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	part := s.mu.partitions[p]
	if part == nil {
		return false
	}
	for i := range part.batches {
		if part.batches[i].info.BaseOffset == base {
			part.batches[i].corrupt = true
			return true
		}
	}
	return false
}
