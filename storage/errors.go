package storage

import (
	"errors"
	"fmt"
)

var (
	// ErrNoSpace refuses a write because the disk is full up to the reserve.
	// Reads and deletions go on, and writes resume by themselves.
	ErrNoSpace = errors.New("no space left for the log")
	// ErrFailed refuses all writes after the store could not keep a promise (a
	// failed fsync, for one): what the disk holds is unknown until a restart.
	ErrFailed = errors.New("the store has failed and takes no writes")
	// ErrTerm refuses an append because one before it failed.
	ErrTerm = errors.New("an append before this one failed")
	// ErrOutOfRange says that the log has no such batch.
	ErrOutOfRange = errors.New("offset out of range")
	// ErrBusy refuses what would have to wait. It may be tried again.
	ErrBusy = errors.New("the store is busy")
	// ErrClosed says that the store is closed.
	ErrClosed = errors.New("the store is closed")
	// ErrVersion refuses a data directory that a newer release has written.
	ErrVersion = errors.New("the data directory is of a newer version")
	// ErrLost refuses a data directory that has less than was acknowledged.
	ErrLost = errors.New("acknowledged data is missing")
	// ErrLocked refuses a data directory that another process has open.
	ErrLocked = errors.New("the data directory is in use by another process")
)

// CorruptError names a batch on disk that cannot be read as it was written.
// Other batches of the partition stay readable.
type CorruptError struct {
	Partition Partition
	Base      int64
	Err       error
}

func (e *CorruptError) Error() string {
	return fmt.Sprintf("batch at offset %d of %s is corrupt on disk: %v", e.Base, e.Partition, e.Err)
}

func (e *CorruptError) Unwrap() error { return e.Err }
