package partition

import (
	"container/list"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"slices"
	"sort"
	"strconv"
	"sync"

	"github.com/streamweir/streamweir/storage"
)

// AbortedTxn is a transaction that was aborted, as Apache Kafka's transaction
// index has it.
type AbortedTxn struct {
	ProducerID       int64
	FirstOffset      int64
	LastOffset       int64 // of the marker
	LastStableOffset int64 // when the marker was written
}

// abortedIndex finds the aborted transactions of a range of offsets. It is a
// cache of the log: the newest are in memory, the others in chunks of a fixed
// size in the store, of which memory holds a line each.
type abortedIndex struct {
	chunks []abortedChunk // oldest first
	next   uint32         // the number of the next chunk
	recent []AbortedTxn   // in the order of their markers
}

// chunkTxns is how many transactions a chunk holds. There are up to twice as
// many in memory before the older half is written.
const chunkTxns = 512

// abortedChunk is what memory holds of a chunk.
type abortedChunk struct {
	number uint32
	sum    uint32 // CRC-32C of its bytes
	first  int64  // the least first offset in it
	last   int64  // the largest last offset
	stable int64  // the last stable offset with its last transaction
}

const abortedTxnSize = 4 * 8

func (x *abortedIndex) add(t AbortedTxn) { x.recent = append(x.recent, t) }

// find returns those of the transactions in memory that have a record in the
// range from, upTo, and the chunks that may hold others, which come before. Like
// Apache Kafka it takes every transaction that ends in the range or behind it
// and begins before its end.
func (x *abortedIndex) find(from, upTo int64) (chunks []abortedChunk, found []AbortedTxn) {
	i := sort.Search(len(x.chunks), func(i int) bool { return x.chunks[i].last >= from })
	for ; i < len(x.chunks); i++ {
		c := x.chunks[i]
		if c.first < upTo {
			chunks = append(chunks, c)
		}
		if c.stable >= upTo {
			return chunks, nil
		}
	}
	return chunks, appendAborted(nil, x.recent, from, upTo)
}

// appendAborted appends those of txns, in the order of their markers, that
// concern the range.
func appendAborted(dst, txns []AbortedTxn, from, upTo int64) []AbortedTxn {
	i := sort.Search(len(txns), func(i int) bool { return txns[i].LastOffset >= from })
	for ; i < len(txns); i++ {
		if txns[i].FirstOffset < upTo {
			dst = append(dst, txns[i])
		}
		if txns[i].LastStableOffset >= upTo {
			break
		}
	}
	return dst
}

// full returns the oldest transactions in memory once there are enough of them,
// and durable, to be written as a chunk.
func (x *abortedIndex) full(size int, high int64) []AbortedTxn {
	if len(x.recent) < 2*size || x.recent[size-1].LastOffset >= high {
		return nil
	}
	return x.recent[:size]
}

// wrote notes that the transactions which full returned are in the store.
func (x *abortedIndex) wrote(txns []AbortedTxn, data []byte) {
	c := abortedChunk{number: x.next, sum: crc32.Checksum(data, castagnoli), first: math.MaxInt64}
	for _, t := range txns {
		c.first, c.last, c.stable = min(c.first, t.FirstOffset), t.LastOffset, t.LastStableOffset
	}
	x.chunks = append(x.chunks, c)
	x.next++
	x.recent = append(x.recent[:0:0], x.recent[len(txns):]...)
}

// trim lets go of what lies before the log's start, and returns the chunks that
// are of no use any more.
func (x *abortedIndex) trim(start int64) []abortedChunk {
	n := sort.Search(len(x.chunks), func(i int) bool { return x.chunks[i].last >= start })
	gone := slices.Clone(x.chunks[:n])
	x.chunks = append(x.chunks[:0:0], x.chunks[n:]...)
	if n = sort.Search(len(x.recent), func(i int) bool { return x.recent[i].LastOffset >= start }); n > 0 {
		x.recent = append(x.recent[:0:0], x.recent[n:]...)
	}
	return gone
}

func chunkName(number uint32) string { return "aborted-" + strconv.FormatUint(uint64(number), 10) }

func encodeAborted(dst []byte, txns []AbortedTxn) []byte {
	for _, t := range txns {
		dst = binary.BigEndian.AppendUint64(dst, uint64(t.ProducerID))
		dst = binary.BigEndian.AppendUint64(dst, uint64(t.FirstOffset))
		dst = binary.BigEndian.AppendUint64(dst, uint64(t.LastOffset))
		dst = binary.BigEndian.AppendUint64(dst, uint64(t.LastStableOffset))
	}
	return dst
}

func decodeAborted(data []byte) []AbortedTxn {
	txns := make([]AbortedTxn, len(data)/abortedTxnSize)
	for i := range txns {
		b := data[i*abortedTxnSize:]
		txns[i] = AbortedTxn{
			ProducerID: int64(binary.BigEndian.Uint64(b)), FirstOffset: int64(binary.BigEndian.Uint64(b[8:])),
			LastOffset: int64(binary.BigEndian.Uint64(b[16:])), LastStableOffset: int64(binary.BigEndian.Uint64(b[24:])),
		}
	}
	return txns
}

// sealAborted writes chunks of the index to the store. The caller may hold the
// lock: this does not wait.
func (p *Partition) sealAborted(ps *producers, high int64) {
	for {
		txns := ps.index.full(p.m.chunkTxns, high)
		if txns == nil {
			return
		}
		data := encodeAborted(make([]byte, 0, len(txns)*abortedTxnSize), txns)
		st := storage.State{Offset: txns[len(txns)-1].LastOffset + 1, Data: data}
		if err := p.m.log.TrySaveState(p.id, chunkName(ps.index.next), st); err != nil {
			return // they stay in memory, and the next abort tries again
		}
		ps.index.wrote(txns, data)
	}
}

// trimAborted lets go of what the index has of deleted records. The caller holds
// the lock. A chunk that is not emptied only takes its space until the topic is
// deleted.
func (p *Partition) trimAborted() {
	for _, c := range p.producers.index.trim(p.start) {
		_ = p.m.log.TrySaveState(p.id, chunkName(c.number), storage.State{Offset: c.last + 1})
	}
}

// errIndex says that a chunk is not what the snapshot says that it is.
var errIndex = errors.New("the index of aborted transactions is damaged")

// loadAborted returns the transactions of a chunk.
func (p *Partition) loadAborted(c abortedChunk) ([]AbortedTxn, error) {
	key := chunkKey{p.id, c.number, c.sum}
	if txns, ok := p.m.chunks.get(key); ok {
		return txns, nil
	}
	st, ok, err := p.m.log.LoadState(p.id, chunkName(c.number))
	if err != nil {
		return nil, fmt.Errorf("read the aborted transactions of %s: %w", p.id, err)
	}
	if !ok || len(st.Data) == 0 || len(st.Data)%abortedTxnSize != 0 || crc32.Checksum(st.Data, castagnoli) != c.sum {
		return nil, errIndex
	}
	txns := decodeAborted(st.Data)
	p.m.chunks.put(key, txns)
	return txns, nil
}

type chunkKey struct {
	partition storage.Partition
	number    uint32
	sum       uint32
}

// chunkCache holds the chunks that were used last, 16 KB each.
type chunkCache struct {
	mu    sync.Mutex
	byKey map[chunkKey]*list.Element
	order list.List // of *cachedChunk, last used first
}

type cachedChunk struct {
	key  chunkKey
	txns []AbortedTxn
}

const maxCachedChunks = 256

func (c *chunkCache) get(key chunkKey) ([]AbortedTxn, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.byKey[key]
	if e == nil {
		return nil, false
	}
	c.order.MoveToFront(e)
	return e.Value.(*cachedChunk).txns, true
}

func (c *chunkCache) put(key chunkKey, txns []AbortedTxn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.byKey[key] != nil {
		return
	}
	if c.byKey == nil {
		c.byKey = map[chunkKey]*list.Element{}
	}
	c.byKey[key] = c.order.PushFront(&cachedChunk{key, txns})
	if c.order.Len() > maxCachedChunks {
		delete(c.byKey, c.order.Remove(c.order.Back()).(*cachedChunk).key)
	}
}
