package checker

import "time"

// Time is what has passed since the run began.
type Time = time.Duration

// Never stands for the end of an operation whose effect may come at any time.
const Never = Time(1<<63 - 1)

// Partition names a partition of a topic.
type Partition struct {
	Topic string
	Index int32
}

// ID names a record: the writer that sent it, and its number there. A writer
// numbers its records in the order in which it sends them.
type ID struct {
	Writer, Seq int32
}

// Broken is the writer of records whose bytes are not what any writer sent.
const Broken = int32(-1)

// Kind says what a writer was promised.
type Kind uint8

const (
	Plain         Kind = iota // acks=all: stored at least once
	Idempotent                // once, in order
	Transactional             // and all of a transaction, or nothing
	Putter                    // PutRecord and PutRecords: once for each time that it was sent
)

// Outcome is what a client knows about the effect of what it asked for.
type Outcome uint8

const (
	Unknown Outcome = iota // no answer, or one that leaves it open
	OK                     // it happened; of a transaction: it was committed
	Failed                 // it did not happen; of a transaction: it was aborted
)

// Writer is a client that sends.
type Writer struct {
	ID   int32
	Name string
	Kind Kind
}

// Send is one record on its way in.
type Send struct {
	ID         ID
	To         Partition
	Key        int32 // of a compacted topic; -1 for none
	Tombstone  bool
	Txn        int32   // the writer's transaction; 0 for none
	Source     *Source // the record that this one was made from
	Start, End Time
	Outcome    Outcome
	Offset     int64 // where Outcome is OK
	Put        *Put  // of a record that was sent through Kinesis
}

// Source is a record of another topic that a group consumed.
type Source struct {
	Group string
	On    Partition
	At    int64
}

// Txn is the end of a transaction: when the client asked for it, and what it was
// told. The client that was never going to ask, since it went away, has Failed.
type Txn struct {
	Writer, N  int32
	Began      Time
	Start, End Time // of the request to commit or abort
	Outcome    Outcome
	// Fenced is when another producer with the same transactional id had been
	// told that it was the only one; 0 for never.
	Fenced Time
}

// Record is a record that a consumer got.
type Record struct {
	Offset int64
	ID     ID
}

// Poll says that a consumer whose position was From got Records, and that its
// position is To now: between the two there was nothing else for it.
type Poll struct {
	Consumer  string
	Committed bool // it reads committed records only
	On        Partition
	From, To  int64 // From is -1 for the first poll of a member after Assigned
	Records   []Record
	Group     string // where the position came from a group's committed offset
	Assigned  Time   // when the group gave the partition to this member
	// Reads from the start of the log, for its own purposes or at the end of a run.
	Start, End Time
	// Notes describe broken records, by offset.
	Notes map[int64]string
	Shard *ShardRead // of a consumer that reads through Kinesis
}

// Bound names what Bounds observed.
type Bound uint8

const (
	LogStart Bound = iota
	LogEnd         // the high watermark
	LogStable
)

// Bounds is an answer of ListOffsets.
type Bounds struct {
	What       Bound
	On         Partition
	Offset     int64
	Start, End Time
}

// Commit is a group's offset on its way in.
type Commit struct {
	Group      string
	On         Partition
	Offset     int64
	Outcome    Outcome
	Start, End Time
}

// Fetched is a group's committed offset as the broker tells it; -1 for none.
type Fetched struct {
	Group      string
	On         Partition
	Offset     int64
	Start, End Time
	// Final says that it was asked when nobody consumed in the group any more.
	Final bool
}

// What may be waited for when the broker is healthy again.
const (
	AwaitWrites   = "writes"   // a record is acknowledged
	AwaitStable   = "stable"   // the last stable offset reaches the end
	AwaitGroup    = "group"    // a group's committed offset reaches the end
	AwaitConsumer = "consumer" // a consumer reaches the end
	AwaitStream   = "stream"   // a stream becomes active
)

// Await is a wait for something that has to come in bounded time, Start being
// when the broker was last disturbed.
type Await struct {
	What       string
	Subject    string
	Reached    bool
	Detail     string // what was there at the end
	Start, End Time
}

// Event is what was done to the broker, or what it did by itself.
type Event struct {
	What       string
	Crash      bool // it ended, panicked or reported a data race by itself
	Start, End Time
}

// Topic says what a topic's settings allow.
type Topic struct {
	Compacted bool // older records of a key may be missing
	Deletes   bool // records below the log's start may be missing
}

// History is what happened in one round. Its slices need no order.
type History struct {
	Topics  map[string]Topic
	Writers []Writer
	Sends   []Send
	Txns    []Txn
	Polls   []Poll
	Bounds  []Bounds
	Commits []Commit
	Fetched []Fetched
	Awaits  []Await
	Events  []Event
	// Of streams.
	Listings []Listing
	Reshards []Reshard
	// Drained are groups that transformed a topic to its end: what they
	// committed must be what they wrote.
	Drained []string
}

// Operations counts the operations of a history.
func (h *History) Operations() int {
	return len(h.Sends) + len(h.Txns) + len(h.Polls) + len(h.Bounds) + len(h.Commits) +
		len(h.Fetched) + len(h.Awaits) + len(h.Events) + len(h.Listings) + len(h.Reshards)
}
