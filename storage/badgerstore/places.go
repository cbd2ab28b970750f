package badgerstore

import (
	"container/list"
	"encoding/binary"
	"math"
	"reflect"
	"slices"
	"sort"
	"sync"

	"github.com/dgraph-io/badger/v4"

	"github.com/streamweir/streamweir/storage"
)

// A fetch lists batches, to know what it can announce, and reads them a moment
// later. Walking Badger's keys costs as much as copying what they stand for, so
// what a listing has found is kept for the read, for the next fetch, and for
// other consumers: the facts of each batch, and where its value lies. The memory
// for that is bounded; what falls out of it is looked up again.
//
// A place is only a hint. Badger's collection moves values, so whoever reads at a
// place checks that it is the entry he expects (valuefiles.go), and asks Badger
// where it is not.

// place is what a listing knows of a batch.
type place struct {
	base, maxTimestamp int64
	delta              uint32 // from the first offset to the last
	size               int32
	file, offset       uint32 // of its entry in the value log; file 0 where it lies elsewhere
}

const (
	placeBytes = 32
	// runOverhead is what a run costs beside its places.
	runOverhead = 256
)

func (x *place) last() int64 { return x.base + int64(x.delta) }

func (x *place) info() storage.BatchInfo {
	return storage.BatchInfo{BaseOffset: x.base, LastOffset: x.last(), MaxTimestamp: x.maxTimestamp, Size: x.size}
}

func placeOf(item *badger.Item) (place, error) {
	b, err := decodeBatchKey(item.Key())
	if err != nil {
		return place{}, err
	}
	x := place{base: b.BaseOffset, maxTimestamp: b.MaxTimestamp, delta: uint32(b.LastOffset - b.BaseOffset), size: b.Size}
	x.file, x.offset = valuePointer(item)
	if x.file != 0 && item.EstimatedSize() != int64(x.entryBytes()) {
		x.file = 0
	}
	return x, nil
}

// pointerField is where Badger's items have what their index holds of a value:
// the value itself, or a pointer into the value log. Badger offers no other way
// to it. Where a version of Badger has no such field, no places are known, and
// every read asks Badger (TestReadsAtKnownPlaces would tell).
var pointerField = func() []int {
	f, ok := reflect.TypeFor[badger.Item]().FieldByName("vptr")
	if !ok || f.Type != reflect.TypeFor[[]byte]() {
		return nil
	}
	return f.Index
}()

// valuePointer returns where the item's entry lies: a pointer is the number of
// the file, the length and the offset of the entry, in the machine's order.
func valuePointer(item *badger.Item) (file, offset uint32) {
	if pointerField == nil {
		return 0, 0
	}
	b := reflect.ValueOf(item).Elem().FieldByIndex(pointerField).Bytes()
	if len(b) != valuePointerLen || int64(binary.NativeEndian.Uint32(b[4:])) != item.EstimatedSize() {
		return 0, 0
	}
	return binary.NativeEndian.Uint32(b), binary.NativeEndian.Uint32(b[8:])
}

// run is places of consecutive batches: there is no batch between its first and
// its last that is not in it.
type run struct {
	p       *partition
	at      []place // at least one; not changed
	element *list.Element
}

func (r *run) bytes() int64 { return int64(len(r.at))*placeBytes + runOverhead }
func (r *run) base() int64  { return r.at[0].base }
func (r *run) last() int64  { return r.at[len(r.at)-1].last() }

// places keeps the runs of all partitions.
type places struct {
	limit int64
	mu    struct {
		sync.Mutex
		used   int64
		recent list.List // of runs; what was used last is at the front
	}
}

// runAt is the index of the first run of p that ends at offset or behind it. The
// caller holds the lock.
func (p *partition) runAt(offset int64) int {
	return sort.Search(len(p.runs), func(i int) bool { return p.runs[i].last() >= offset })
}

// find returns the places from the batch that holds offset, or else the next
// one, up to the end of what is known without a gap. Where nothing is, before
// says how many places are known directly before offset.
func (x *places) find(p *partition, offset int64) (at []place, before int) {
	x.mu.Lock()
	defer x.mu.Unlock()
	i := p.runAt(offset)
	if i < len(p.runs) && p.runs[i].base() <= offset {
		r := p.runs[i]
		x.mu.recent.MoveToFront(r.element)
		return r.at[sort.Search(len(r.at), func(k int) bool { return r.at[k].last() >= offset }):], 0
	}
	if i > 0 && p.runs[i-1].last() == offset-1 {
		return nil, len(p.runs[i-1].at)
	}
	return nil, 0
}

// add keeps places of consecutive batches, which were listed when so many steps
// of Replace had ended: a step since then may have changed them.
func (x *places) add(p *partition, at []place, steps uint64) {
	if len(at) == 0 {
		return
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if p.mu.steps.begun.Load() != steps {
		return
	}
	i := p.runAt(at[0].base)
	if i < len(p.runs) {
		next := p.runs[i].base()
		for len(at) > 0 && at[len(at)-1].last() >= next {
			at = at[:len(at)-1]
		}
	}
	if len(at) == 0 {
		return // somebody else was here before
	}
	r := &run{p: p, at: slices.Clone(at)}
	r.element = x.mu.recent.PushFront(r)
	p.runs = slices.Insert(p.runs, i, r)
	x.mu.used += r.bytes()
	for x.mu.used > x.limit {
		x.remove(x.mu.recent.Back().Value.(*run))
	}
}

// remove takes a run away. The caller holds the lock.
func (x *places) remove(r *run) {
	i := r.p.runAt(r.base())
	r.p.runs = slices.Delete(r.p.runs, i, i+1)
	x.mu.recent.Remove(r.element)
	x.mu.used -= r.bytes()
}

// forget takes all places of p away.
func (x *places) forget(p *partition) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for len(p.runs) > 0 {
		x.remove(p.runs[len(p.runs)-1])
	}
}

// entryHeadBytes is the length of what is before the value in an entry of the
// value log: see readWAL. The key has a version behind it there.
func (x *place) entryHeadBytes() int {
	return 2 + 1 + uvarintLen(uint64(x.size)) + 1 + batchKeyLen + versionLen
}

func (x *place) entryBytes() int { return x.entryHeadBytes() + int(x.size) + checksumLen }

const (
	versionLen  = 8
	checksumLen = 4
)

func uvarintLen(v uint64) int {
	n := 1
	for ; v > math.MaxInt8; v >>= 7 {
		n++
	}
	return n
}
