package records

import (
	"crypto/md5"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"slices"
	"strconv"
	"unicode/utf8"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/streamweir/streamweir/broker/partition"
	"github.com/streamweir/streamweir/broker/stream"
	"github.com/streamweir/streamweir/protocol/kafka"
	"github.com/streamweir/streamweir/storage"
)

// Record is one record as a consumer gets it.
type Record struct {
	Offset    int64
	Timestamp int64 // its approximate arrival, in ms; negative where Kafka's producer gave none
	// PartitionKey is the record's key. A null or empty key, which Kafka allows, is
	// the record's offset, so that who puts the record again spreads it; one that is
	// no UTF-8 is its base64, and one that is too long its MD5.
	PartitionKey string
	Data         []byte
}

// Records are the records of one answer. Release gives back the memory that their
// data lies in.
type Records struct {
	List   []Record
	Bytes  int   // of data and partition keys
	Next   int64 // the offset to go on at
	Behind int64 // ms from the last of them to the shard's tip; 0 at the tip
	// End says that the shard is closed and has no more.
	End bool

	stable int64 // last stable offset that was seen
	arena  arena
	copies int // of what is encoded, at a time
	size   int // of the records in JSON
	keys   []byte
	ends   []int // of each key in keys
}

func newRecords(b *budget, copies int) *Records {
	return &Records{arena: arena{budget: b}, copies: copies}
}

// Size bounds what the records take in JSON.
func (r *Records) Size() int { return r.size }

// keptList and keptKeys are what is kept for the next records.
const (
	keptList = 64
	keptKeys = 4 << 10
)

// Encoded says that the records are encoded in size bytes now, which are held
// until Release; the records themselves are not needed any more.
func (r *Records) Encoded(size int) {
	r.arena.drop()
	r.arena.shrink(int64(size))
	clear(r.List)
	r.List, r.keys, r.ends = r.List[:0], r.keys[:0], r.ends[:0]
	if cap(r.List) > keptList {
		r.List, r.ends = nil, nil
	}
	if cap(r.keys) > keptKeys {
		r.keys = nil
	}
	r.Bytes, r.size = 0, 0
}

// Release gives everything back.
func (r *Records) Release() { r.Encoded(0) }

const (
	// planBytes is how much of the log is looked at in one go.
	planBytes = 1 << 20
	// scanBytes bounds how much of the log one answer goes through that finds
	// nothing in it: records of aborted transactions, and what compaction has left.
	scanBytes = 16 << 20
	// maxTries bounds how often a log is planned anew that changes under its reader.
	maxTries = 10
)

// reader reads committed records of a shard into out.
type reader struct {
	m        *Manager
	sh       Shard
	from     int64
	limit    int // records
	maxBytes int
	out      *Records

	lastTime int64 // of the last record or batch that was passed
	stable   int64 // last stable offset as last seen
}

// read fills out with what the shard has from offset on.
func (m *Manager) read(sh Shard, from int64, limit, maxBytes int, out *Records) error {
	r := reader{m: m, sh: sh, from: from, limit: limit, maxBytes: maxBytes, out: out, lastTime: kafka.NoTimestamp}
	err := r.run()
	out.Next, out.stable, out.End = r.from, r.stable, false
	out.finishKeys()
	out.arena.settle()
	end := r.stable
	if !sh.IsOpen() {
		end = sh.End
		out.End = err == nil && r.from >= end
	}
	out.Behind = 0
	if r.from < end && r.from < r.stable {
		out.Behind = max(1, m.age(r.lastTime))
	}
	if len(out.List) == 0 {
		return err
	}
	return nil // what was read before an error is good; the next call meets it again
}

func (r *reader) run() error {
	scanned, tries := 0, 0
	for {
		if !r.sh.IsOpen() && r.from >= r.sh.End {
			return nil
		}
		plan, err := r.sh.partition.PlanCommitted(r.from, -1, planBytes, true)
		if tries++; errors.Is(err, kerr.OffsetOutOfRange) && tries < maxTries {
			// Retention was faster than the reader; or a crash took the end of a log
			// that was not synced.
			r.from = min(max(r.from, plan.Offsets.Start), plan.Offsets.High)
			continue
		}
		if err != nil {
			return internal(r.sh, "read", err)
		}
		r.stable = plan.Offsets.LastStable
		if plan.Bytes == 0 {
			// Nothing is left of what lies below the end.
			r.from = max(r.from, r.stable)
			return nil
		}
		raw := int64(plan.Bytes)
		if first := len(r.out.List) == 0; !r.out.arena.charge(raw, first) {
			if first {
				return r.out.arena.noRoom(raw)
			}
			return nil
		}
		full, err := r.take(plan)
		r.out.arena.refund(raw)
		if planAnew(err) && tries < maxTries {
			continue
		}
		if err != nil || full {
			return err
		}
		tries = 0
		if scanned += plan.Bytes; scanned >= scanBytes {
			return nil
		}
	}
}

// planAnew says whether a plan failed that another may read: what it was to read was
// trimmed away or compacted meanwhile; or a batch in it is found corrupt, before
// which plans end from now on.
func planAnew(err error) bool {
	var corrupt *storage.CorruptError
	return errors.Is(err, storage.ErrOutOfRange) || errors.As(err, &corrupt)
}

// take reads the records of a plan, and says whether the answer is full.
func (r *reader) take(plan partition.Plan) (full bool, err error) {
	bs := partition.NewBatches(plan)
	defer bs.Close()
	for {
		b, err := bs.Next()
		if err != nil {
			return false, internal(r.sh, "read", err)
		}
		if b == nil {
			r.from = max(r.from, plan.Next)
			return false, nil
		}
		if t := b.MaxTimestamp(); t >= 0 {
			r.lastTime = t
		}
		if b.NumRecords() > 0 && !b.IsControl() && !wasAborted(plan.Aborted, b) {
			if full, err := r.batch(b); full || err != nil {
				return full, err
			}
		}
		r.from = max(r.from, b.LastOffset()+1)
	}
}

// wasAborted says whether a batch belongs to one of the aborted transactions.
func wasAborted(txns []partition.AbortedTxn, b kafka.Batch) bool {
	if len(txns) == 0 || !b.IsTransactional() {
		return false
	}
	producer, base := b.ProducerID(), b.BaseOffset()
	for i := range txns {
		if t := &txns[i]; t.ProducerID == producer && t.FirstOffset <= base && base <= t.LastOffset {
			return true
		}
	}
	return false
}

// batch takes the records of one batch. Decompressing may take memory for a large
// window, so that only so many batches are open at a time.
func (r *reader) batch(b kafka.Batch) (full bool, err error) {
	if b.Codec() != kafka.CodecNone {
		r.m.decompressing <- struct{}{}
		defer func() { <-r.m.decompressing }()
	}
	rr := kafka.ReadRecords(b, 0)
	defer rr.Close()
	rr.PassOver(largestRecord)
	r.out.List = slices.Grow(r.out.List, min(int(b.NumRecords()), r.limit-len(r.out.List)))
	for rr.Next() {
		rec := rr.Record()
		if rec.Offset < r.from {
			continue
		}
		if len(r.out.List) == r.limit {
			return true, nil
		}
		if n := max(rr.Passed(), len(rec.Key)+len(rec.Value)); n > MaxGetBytes {
			return true, r.tooLarge(rec.Offset, n)
		}
		if full, err := r.out.add(rec, r.maxBytes); full || err != nil {
			return full, err
		}
		if rec.Timestamp >= 0 {
			r.lastTime = rec.Timestamp
		}
		r.from = rec.Offset + 1
	}
	if err := rr.Err(); err != nil {
		return false, internal(r.sh, "open a batch of", err)
	}
	return false, nil
}

// largestRecord is the largest record that is decompressed as a whole, with room
// for headers.
const largestRecord = MaxGetBytes + 64<<10

// tooLarge is the refusal of a record that only Kafka can have.
func (r *reader) tooLarge(offset int64, size int) error {
	return stream.Errorf(stream.InvalidArgument, "The record with sequence number %s (offset %d) on shard %s in stream %s under account %s has %d bytes, more than the maximum of %d. Only a Kafka consumer can read it. Go on with a position AFTER_SEQUENCE_NUMBER.",
		r.sh.Sequence(offset), offset, r.sh.ID(), r.sh.Topic.Name, r.m.streams.Account(), size, MaxGetBytes)
}

// What a record takes beside its data and key: in JSON, and in lists.
const (
	members   = 200
	listEntry = 200
)

// add takes up a record, and says whether the answer is full without it. An error
// says that the first has to wait for memory.
func (r *Records) add(rec *kafka.Record, maxBytes int) (full bool, err error) {
	keyFrom := len(r.keys)
	r.keys = appendPartitionKey(r.keys, rec)
	key := r.keys[keyFrom:]
	size, first := len(rec.Value)+len(key), len(r.List) == 0
	if !first && r.Bytes+size > maxBytes {
		r.keys = r.keys[:keyFrom]
		return true, nil
	}
	encoded := members + base64.StdEncoding.EncodedLen(len(rec.Value)) + sizeInJSON(key)
	beside := int64(r.copies*encoded + listEntry + 2*len(key))
	data, ok := r.arena.alloc(len(rec.Value), beside, first)
	if !ok {
		r.keys = r.keys[:keyFrom]
		if first {
			return false, r.arena.noRoom(int64(len(rec.Value)) + beside)
		}
		return true, nil
	}
	copy(data, rec.Value)
	r.Bytes += size
	r.size += encoded
	r.ends = append(r.ends, len(r.keys))
	r.List = append(r.List, Record{Offset: rec.Offset, Timestamp: rec.Timestamp, Data: data})
	return false, nil
}

// sizeInJSON bounds what a key takes in JSON, where some characters are escaped.
func sizeInJSON(key []byte) int {
	n := len(key)
	for _, c := range key {
		if c < ' ' || c >= 0x7f || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' {
			n += len(`\u0000`) - 1
		}
	}
	return n
}

// maxKeyChars is the length of the longest partition key in the API.
const maxKeyChars = 256

// appendPartitionKey appends what stands for a record's key: always a partition key
// that the API allows, and the same one for the same key.
func appendPartitionKey(dst []byte, rec *kafka.Record) []byte {
	valid := utf8.Valid(rec.Key)
	switch {
	case len(rec.Key) == 0:
		return strconv.AppendInt(dst, rec.Offset, 10)
	case valid && (len(rec.Key) <= maxKeyChars || utf8.RuneCount(rec.Key) <= maxKeyChars):
		return append(dst, rec.Key...)
	case !valid && base64.StdEncoding.EncodedLen(len(rec.Key)) <= maxKeyChars:
		return base64.StdEncoding.AppendEncode(dst, rec.Key)
	}
	sum := md5.Sum(rec.Key)
	return hex.AppendEncode(dst, sum[:])
}

// finishKeys makes all keys strings at once.
func (r *Records) finishKeys() {
	all, from := string(r.keys), 0
	for i, end := range r.ends {
		r.List[i].PartitionKey = all[from:end]
		from = end
	}
}
