// Package storage says what a log store and a metadata store promise to the
// broker. It holds no implementation: badgerstore is the embedded default,
// memstore serves unit tests, and storagetest is the suite that every
// implementation passes.
//
// Who does what. One writer per partition: the broker that leads it gives
// offsets and hands whole record batches to the log in the order of their
// offsets. The store makes them durable, finds them again, and accounts for
// them. It never looks into a batch beyond the facts in BatchInfo.
//
// A store may be slow (an object store answers in 100 ms) but an append is
// always either durable or an error, and nothing above this package sees a file.
package storage

import (
	"encoding/hex"
	"fmt"
)

// TopicID is the UUID of a topic. A topic that is deleted and created again
// under the same name has another one, and so another log.
type TopicID [16]byte

func (id TopicID) String() string { return hex.EncodeToString(id[:]) }

// Partition names one partition's log.
type Partition struct {
	Topic TopicID
	Index int32
}

func (p Partition) String() string { return fmt.Sprintf("%s-%d", p.Topic, p.Index) }

// BatchInfo is what a store knows of a record batch without reading it.
type BatchInfo struct {
	BaseOffset   int64
	LastOffset   int64 // inclusive; >= BaseOffset
	MaxTimestamp int64 // milliseconds; -1 where the batch has none
	Size         int32 // bytes of the batch as it goes over the wire
}

// Append is one record batch on its way into the log. The caller fills it,
// gives it to Log.Append, and leaves it and Data alone until Done is called.
type Append struct {
	Partition Partition
	Info      BatchInfo
	Data      []byte
	// Epoch is the leader epoch under which the batch is written. The store
	// keeps, durably and with the batch, the offset at which each epoch of a
	// partition began (Log.Epochs).
	Epoch int32
	// Term ties an append to those before it: see Log.Append.
	Term uint64
	// Internal marks what the broker notes for itself (offsets of groups, for
	// one): it is little, and may use space that is kept in reserve.
	Internal bool
	// Done is called exactly once, from a goroutine of the store, with nil
	// when the batch is durable (in the sense of the store's sync setting) and
	// can be read. It must not block: it may take short locks and enqueue.
	Done func(a *Append, err error)
	// Owner is the caller's own; the store does not touch it.
	Owner any
}

// Position is a place in the bytes of a partition's log: Skip bytes into the
// batch whose base offset is Base.
type Position struct {
	Base int64
	Skip int32
}

// Segment is a run of consecutive batches that the store accounts for
// together: the unit of retention and the first step of a search by time.
// Replace may merge segments that have become small, and removes empty ones.
type Segment struct {
	BaseOffset   int64
	LastOffset   int64 // of the last batch in it, inclusive
	MaxTimestamp int64 // largest of its batches; -1 where none has one
	Bytes        int64 // sum of the batches' sizes
	Batches      int32
}

// EpochStart is the offset of the first batch written under a leader epoch.
type EpochStart struct {
	Epoch       int32
	StartOffset int64
}

// State is a derived state of a partition (producer sequences, for one) as it
// was when the log's end was Offset. It is a cache: the log is the truth.
type State struct {
	Offset int64
	Data   []byte
}

// Edit is what becomes of one batch: Data takes its place, with the same base
// and last offset, or it is removed, where Data is nil.
type Edit struct {
	Old          BatchInfo // as Batches tells of it
	MaxTimestamp int64     // of Data
	Data         []byte
}

// New is what the store knows of the batch that takes the place of the old one.
func (e *Edit) New() BatchInfo {
	return BatchInfo{
		BaseOffset: e.Old.BaseOffset, LastOffset: e.Old.LastOffset,
		MaxTimestamp: e.MaxTimestamp, Size: int32(len(e.Data)),
	}
}

// Log stores record batches. Its methods may be called from many goroutines.
type Log interface {
	// Append queues batches and returns at once. The appends of one partition
	// must be queued in the order of their offsets; they become durable and
	// are reported in that order. Batches of many partitions share one commit.
	//
	// If an append fails, every append of the same partition with the same or
	// an older Term fails too (ErrTerm), also those already queued behind it:
	// the log never has a hole that the caller does not know of. The caller
	// continues from the failed offset with a higher Term.
	//
	// An append that cannot follow what the log holds (it begins below the end,
	// or Info contradicts itself or Data) fails with ErrOutOfRange. A log may
	// skip offsets. What an append's epoch does to Epochs, AddEpoch says.
	//
	// Errors: ErrNoSpace (try again later), ErrTerm, ErrFailed, ErrClosed,
	// ErrOutOfRange.
	Append(appends ...*Append)

	// Bounds returns the first readable offset and the offset after the last
	// durable one. A partition that was never written, or was dropped, is
	// empty at 0.
	Bounds(p Partition) (start, end int64)

	// Partitions calls fn for each partition that has a state in this store.
	Partitions(fn func(p Partition))

	// Segments returns the segments in order of offset, the one that is still
	// growing included. A first segment that Trim has cut shows what is left.
	Segments(p Partition) []Segment

	// Epochs returns where each leader epoch began, in rising order, as far as
	// the log still reaches back: the first entry may begin at the log's start.
	Epochs(p Partition) []EpochStart

	// Batches calls fn for the batches in order of offset, beginning with the
	// one that holds from (or else the first after it), until fn returns false
	// or the end. It reads no record data. A batch below the log's start is
	// passed over, unless it also holds the start.
	Batches(p Partition, from int64, fn func(BatchInfo) bool) error

	// Read copies the bytes of the log that follow at into dst, across as many
	// batches as fit, and returns how many it copied: fewer than len(dst) only
	// at the end of the log. The last batch may be cut; the caller continues at
	// another Position. ErrOutOfRange where no batch begins at at.Base (it was
	// trimmed away, or never was) or at.Skip lies outside it; a Skip of the
	// batch's whole size means the next one. A *CorruptError names a batch that cannot be
	// read; n is then what was copied before it.
	Read(p Partition, at Position, dst []byte) (n int, err error)

	// Trim moves the log's start up to offset (not beyond the end, and never
	// back). It returns when that is durable; the space follows in the
	// background. A batch that holds offset in its middle stays.
	Trim(p Partition, offset int64) error

	// Replace changes batches that are in the log, as compaction does: edits name
	// them in rising order, and those between them stay as they are. Offsets do
	// not change, nor do the log's start and end; where batches were removed, the
	// log has a gap.
	//
	// It returns when that is durable; the space follows in the background. Each
	// edit is done as a whole or not at all, in their order: what a crash or an
	// error leaves is the log with the first of them done. A reader finds the old
	// batch or the new one, and one that was removed is ErrOutOfRange to Read.
	//
	// Other calls go on meanwhile. Data is the store's until Replace returns. The
	// caller keeps edits small, about as large as an append: nothing else is
	// committed while one is written.
	//
	// Errors: ErrOutOfRange where an edit names a batch that is not there as it
	// says, or that Trim has passed by meanwhile, or removes the last one of the
	// log, which holds the log's end; ErrNoSpace, ErrFailed, ErrClosed.
	Replace(p Partition, edits ...Edit) error

	// Drop removes partitions. When it returns, nothing of them is readable,
	// now or after a restart; the space follows in the background. Appends that
	// were queued for them and have not become durable fail (ErrTerm). A dropped
	// partition may be written again, from any offset; its first append then
	// waits until the old data is gone.
	Drop(ps ...Partition) error

	// SaveState keeps a derived state of the partition under a name, in place
	// of the one before. It need not be durable when it returns; a state may be
	// lost or be old after a crash, but is never torn. Where too much of states is
	// on its way it waits until there is room, which appends that are reported
	// make: so it must not be called by Append.Done, nor with a lock that
	// Append.Done takes.
	SaveState(p Partition, name string, s State) error
	// TrySaveState is SaveState for where nothing may wait: ErrBusy where that
	// would, and the state before stays.
	TrySaveState(p Partition, name string, s State) error
	// LoadState returns the state kept under name; ok is false for none.
	LoadState(p Partition, name string) (s State, ok bool, err error)
}

// Meta is a small, durable, ordered map for topics, configs and the like.
type Meta interface {
	// Get returns the value of key; ok is false for none. The caller may keep it.
	Get(key string) (value []byte, ok bool, err error)
	// Scan calls fn for each key with the prefix, in order, until fn fails, and
	// returns that error. fn may keep the value, and may call the store.
	Scan(prefix string, fn func(key string, value []byte) error) error
	// Apply does all of ops or none, in their order, and returns when that is
	// durable, whatever the sync setting of the log.
	Apply(ops ...Op) error
}

// Op sets Key to Value, or deletes it where Value is nil.
type Op struct {
	Key   string
	Value []byte
}

// Usage says how full a store is.
type Usage struct {
	// LogBytes and MetaBytes are what the store's own files take on disk.
	LogBytes, MetaBytes int64
	// Total and Free are the file system's; Reserve is what the store keeps
	// free of it, for its own clean-up: appends stop when Free falls below it.
	Total, Free, Reserve int64
}

// Store is a log and a metadata map that are opened and closed together.
type Store interface {
	Log() Log
	Meta() Meta
	// Health is nil, or says why the store refuses writes: an error that is
	// ErrNoSpace passes by itself, one that is ErrFailed needs a restart.
	Health() error
	Usage() Usage
	// Close ends what is under way and lets go of the store. Appends that were
	// queued before it are finished; later ones get ErrClosed.
	Close() error
}
