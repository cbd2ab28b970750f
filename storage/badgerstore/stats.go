package badgerstore

import (
	"errors"
	"sync/atomic"
	"time"

	"github.com/streamweir/streamweir/storage"
)

// CommitBounds are the upper bounds of the buckets of Stats.CommitLatency, in
// seconds. The last bucket has none.
var CommitBounds = [...]float64{0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5}

// Stats counts what a store has done since it was opened.
type Stats struct {
	Groups        uint64 // groups of appends and changes committed
	SyncedGroups  uint64 // of them, those that were synced before they were reported
	Commits       uint64 // Badger transactions that they took
	Batches       uint64 // batches written
	BatchBytes    uint64
	CommitLatency [len(CommitBounds) + 1]uint64 // groups by their time from building to report
	CommitSeconds float64                       // sum of those times

	NoSpace       uint64 // appends refused for want of disk space
	Refused       uint64 // appends refused for another reason
	CorruptReads  uint64
	DeletedKeys   uint64 // by the removal of trimmed, dropped and compacted data
	PlacedReads   uint64 // batches that were read where a listing had found them
	ReplacedBytes uint64 // of batches written by compaction
	CollectorRuns uint64 // value log files given back
	Reclaimed     uint64 // bytes that this returned to the disk, rewritten ones deducted
	LiveBytes     int64  // bytes of all batches that can be read
}

type counters struct {
	groups, synced, commits, batches, bytes atomic.Uint64
	latency                                 [len(CommitBounds) + 1]atomic.Uint64
	latencyNanos, lastGroup, freed          atomic.Int64
	noSpace, refused, corrupt, deleted      atomic.Uint64
	replaced, placed                        atomic.Uint64
	collected, reclaimed                    atomic.Uint64
}

func (c *counters) group(g *group, d time.Duration, synced bool) {
	if g.version == 0 {
		return
	}
	c.groups.Add(1)
	c.lastGroup.Store(time.Now().UnixNano())
	if synced {
		c.synced.Add(1)
	}
	c.batches.Add(uint64(g.batches))
	c.bytes.Add(uint64(g.bytes))
	c.latencyNanos.Add(int64(d))
	i := 0
	for i < len(CommitBounds) && d.Seconds() > CommitBounds[i] {
		i++
	}
	c.latency[i].Add(1)
}

func (c *counters) refuse(err error) {
	if errors.Is(err, storage.ErrNoSpace) {
		c.noSpace.Add(1)
	} else {
		c.refused.Add(1)
	}
}

// Stats returns the counters as they are.
func (s *Store) Stats() Stats {
	c := &s.stats
	st := Stats{
		Groups: c.groups.Load(), SyncedGroups: c.synced.Load(), Commits: c.commits.Load(),
		Batches: c.batches.Load(), BatchBytes: c.bytes.Load(),
		CommitSeconds: time.Duration(c.latencyNanos.Load()).Seconds(),
		NoSpace:       c.noSpace.Load(), Refused: c.refused.Load(), CorruptReads: c.corrupt.Load(),
		ReplacedBytes: c.replaced.Load(), DeletedKeys: c.deleted.Load(), PlacedReads: c.placed.Load(), CollectorRuns: c.collected.Load(), Reclaimed: c.reclaimed.Load(),
		LiveBytes: s.liveBytes.Load(),
	}
	for i := range c.latency {
		st.CommitLatency[i] = c.latency[i].Load()
	}
	return st
}
