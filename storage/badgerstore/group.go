package badgerstore

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dgraph-io/badger/v4"

	"github.com/streamweir/streamweir/storage"
)

// outcome is one append or change on its way through a group.
type outcome struct {
	partition *partition
	append    *storage.Append
	change    *change
	err       error // refused before it was written
	seals     bool  // the batch ends a segment
}

// group is what is committed, and then reported, together.
type group struct {
	outcomes []outcome
	bytes    int64 // of batches
	batches  int
	began    time.Time

	txn     *badger.Txn
	entries entryPool
	keys    []byte // backing of keys and small values

	pending atomic.Int32 // transactions under way, plus one while it is built
	done    chan struct{}
	store   *Store
	slots   <-chan struct{} // where the committer's token is given back
	err     atomic.Pointer[error]
	version uint64 // of its last transaction
}

var groups = sync.Pool{New: func() any { return &group{} }}

func newGroup(s *Store, slots <-chan struct{}) *group {
	g := groups.Get().(*group)
	g.store, g.slots = s, slots
	g.done = make(chan struct{})
	g.pending.Store(1)
	g.began = time.Now()
	return g
}

// release gives the group back once its last transaction has ended.
func (g *group) release() {
	clear(g.outcomes)
	g.outcomes = g.outcomes[:0]
	g.bytes, g.batches, g.version = 0, 0, 0
	g.txn, g.store = nil, nil
	g.entries.reset()
	g.keys = g.keys[:0]
	g.err.Store(nil)
	groups.Put(g)
}

// committed is called at the end of a transaction.
func (g *group) committed(err error) {
	g.store.endCommit()
	g.ended(err)
}

// ended is called at the end of each transaction, and when all have begun.
func (g *group) ended(err error) {
	if err != nil {
		g.err.CompareAndSwap(nil, &err)
	}
	if g.pending.Add(-1) == 0 {
		<-g.slots
		close(g.done)
	}
}

func (g *group) failure() error {
	if p := g.err.Load(); p != nil {
		return fmt.Errorf("commit: %w", *p)
	}
	return nil
}

// entryPool lends entries that stay where they are until reset. Badger keeps
// pointers to them while a transaction is under way.
type entryPool struct {
	chunks [][]badger.Entry
	n      int
}

const entryChunk = 256

func (p *entryPool) get() *badger.Entry {
	i := p.n / entryChunk
	if i == len(p.chunks) {
		p.chunks = append(p.chunks, make([]badger.Entry, entryChunk))
	}
	e := &p.chunks[i][p.n%entryChunk]
	p.n++
	return e
}

// maxPooledChunks keeps one large group from holding its memory for ever.
const maxPooledChunks = 16

func (p *entryPool) reset() {
	for i := range p.chunks {
		clear(p.chunks[i][:min(entryChunk, max(0, p.n-i*entryChunk))])
	}
	if len(p.chunks) > maxPooledChunks {
		p.chunks = p.chunks[:maxPooledChunks:maxPooledChunks]
	}
	p.n = 0
}
