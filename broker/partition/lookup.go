package partition

import (
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/streamweir/streamweir/protocol/kafka"
	"github.com/streamweir/streamweir/storage"
)

// Found is the answer to a search by time: offset and time of a record, and
// the leader epoch that it was written under. Offset -1 is none.
type Found struct {
	Offset    int64
	Timestamp int64
	Epoch     int32
}

var notFound = Found{Offset: -1, Timestamp: -1, Epoch: -1}

// CheckEpoch compares the leader epoch that a client knows with the present
// one (KIP-320).
func (p *Partition) CheckEpoch(epoch int32) error {
	p.mu.Lock()
	gone := p.gone
	p.mu.Unlock()
	if gone {
		return kerr.NotLeaderForPartition
	}
	if epoch < -1 {
		return kerr.FencedLeaderEpoch // where Fetch takes every negative one for none
	}
	return p.checkEpoch(epoch)
}

// OffsetForTime returns the first record, by offset, whose timestamp is at
// least timestamp.
func (p *Partition) OffsetForTime(timestamp int64) (Found, error) {
	return p.search(
		func(max int64) bool { return max >= timestamp },
		func(b kafka.Batch, start int64) (int64, int64, bool, error) {
			return b.FirstAt(timestamp, start, 0)
		})
}

// OffsetOfMaxTime returns the record with the largest timestamp (KIP-734), the
// first of them where there are several.
func (p *Partition) OffsetOfMaxTime() (Found, error) {
	largest := int64(-1)
	for _, s := range p.m.log.Segments(p.id) {
		if s.MaxTimestamp <= largest {
			continue
		}
		// Batches that compaction has left without records keep their timestamp.
		err := p.m.log.Batches(p.id, s.BaseOffset, func(i storage.BatchInfo) bool {
			if i.BaseOffset <= s.LastOffset && i.Size > kafka.BatchHeaderSize {
				largest = max(largest, i.MaxTimestamp)
			}
			return i.BaseOffset <= s.LastOffset
		})
		if err != nil {
			return notFound, clientError(err)
		}
	}
	if largest < 0 {
		return notFound, nil
	}
	return p.OffsetForTime(largest)
}

// search walks segments, then batches, then records, going down only where the
// largest timestamp says that there is something to find.
func (p *Partition) search(want func(maxTimestamp int64) bool,
	in func(b kafka.Batch, start int64) (offset, timestamp int64, ok bool, err error),
) (Found, error) {
	bounds := p.Offsets()
	for _, s := range p.m.log.Segments(p.id) {
		if !want(s.MaxTimestamp) || s.LastOffset < bounds.Start {
			continue
		}
		from, tries := max(s.BaseOffset, bounds.Start), 0
		for from <= s.LastOffset && from < bounds.High {
			hit, ok, err := p.nextBatch(from, s.LastOffset, want)
			if err != nil {
				return notFound, clientError(err)
			}
			if !ok || hit.BaseOffset >= bounds.High {
				break
			}
			found, err := p.searchBatch(hit, bounds.Start, in)
			if tries++; errors.Is(err, storage.ErrOutOfRange) && tries < maxTries {
				continue // changed or trimmed away since it was listed
			}
			if err != nil || found.Offset >= 0 {
				return found, err
			}
			// The batch's largest timestamp belongs to a record below the log's
			// start.
			from, tries = hit.LastOffset+1, 0
		}
	}
	return notFound, nil
}

func (p *Partition) nextBatch(from, last int64, want func(int64) bool) (hit storage.BatchInfo, ok bool, err error) {
	err = p.m.log.Batches(p.id, from, func(i storage.BatchInfo) bool {
		if i.BaseOffset > last {
			return false
		}
		if want(i.MaxTimestamp) {
			hit, ok = i, true
		}
		return !ok
	})
	return hit, ok, err
}

func (p *Partition) searchBatch(i storage.BatchInfo, start int64,
	in func(b kafka.Batch, start int64) (offset, timestamp int64, ok bool, err error),
) (Found, error) {
	buf, err := p.readBatch(i)
	if err != nil {
		return notFound, clientError(err)
	}
	defer buf.Release()
	b := kafka.Batch(buf.B)
	offset, timestamp, ok, err := in(b, start)
	if err != nil {
		return notFound, fmt.Errorf("search %s-%d at %d: %w", p.topic.Load().Name, p.id.Index, i.BaseOffset, err)
	}
	if !ok {
		return notFound, nil
	}
	return Found{Offset: offset, Timestamp: timestamp, Epoch: b.PartitionLeaderEpoch()}, nil
}

// EpochAt returns the leader epoch under which offset was or will be written.
func (p *Partition) EpochAt(offset int64) int32 {
	if offset >= p.Offsets().High {
		return p.m.epoch
	}
	epoch := p.m.epoch
	for _, e := range p.m.log.Epochs(p.id) {
		if e.StartOffset > offset {
			break
		}
		epoch = e.Epoch
	}
	return epoch
}

// EndOffset returns where the log of a leader epoch ends, so that a client can
// see whether what it read is still there (KIP-101): the largest epoch up to
// the asked one, and the offset at which the epoch after that begins. -1 and -1
// where nothing is known.
func (p *Partition) EndOffset(epoch int32) (int32, int64) {
	bounds := p.Offsets()
	if epoch == p.m.epoch {
		return epoch, bounds.High
	}
	if epoch > p.m.epoch || epoch < 0 {
		return -1, -1
	}
	// Where all that is left of the log is younger than the asked epoch, that
	// epoch ends where the log begins.
	found := epoch
	for _, e := range p.m.log.Epochs(p.id) {
		if e.Epoch > epoch {
			return found, max(e.StartOffset, bounds.Start)
		}
		found = e.Epoch
	}
	return found, bounds.High
}

// maxTries is how often a batch is looked up again that was changed between its
// listing and its reading.
const maxTries = 10

// EachBatch calls fn with every batch from offset on, in order, each valid only
// during the call, and returns the offset after the last. It is how the broker
// reads its own internal topics.
func (p *Partition) EachBatch(from int64, fn func(kafka.Batch) error) (int64, error) {
	for tries := 0; ; {
		var infos []storage.BatchInfo
		high := p.Offsets().High
		err := p.m.log.Batches(p.id, from, func(i storage.BatchInfo) bool {
			if i.BaseOffset >= high {
				return false
			}
			infos = append(infos, i)
			return len(infos) < 1024
		})
		if err != nil {
			return from, err
		}
		if len(infos) == 0 {
			return max(from, high), nil
		}
		for _, i := range infos {
			buf, err := p.readBatch(i)
			if tries++; errors.Is(err, storage.ErrOutOfRange) && tries < maxTries {
				break // changed or trimmed away since it was listed
			}
			if err != nil {
				return from, err
			}
			tries = 0
			err = fn(kafka.Batch(buf.B))
			buf.Release()
			if err != nil {
				return from, err
			}
			from = i.LastOffset + 1
		}
	}
}
