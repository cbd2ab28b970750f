package memstore

import (
	"errors"
	"fmt"
	"slices"
	"sort"

	"github.com/streamweir/streamweir/storage"
)

type batch struct {
	info    storage.BatchInfo
	data    []byte
	segment int // batches of one segment have the same number
	corrupt bool
}

// partition is one log. The store's lock guards it.
type partition struct {
	start, end int64
	minTerm    uint64 // appends below it follow one that failed
	batches    []batch
	epochs     []storage.EpochStart
	states     map[string]storage.State

	segment      int // number of the growing segment
	segmentBytes int64
	segmentCount int32
}

// check says whether a can follow what the log holds.
func (p *partition) check(a *storage.Append) error {
	switch {
	case a.Info.BaseOffset < p.end:
		return fmt.Errorf("the log ends at %d: %w", p.end, storage.ErrOutOfRange)
	case a.Info.LastOffset < a.Info.BaseOffset:
		return fmt.Errorf("last offset %d lies before it: %w", a.Info.LastOffset, storage.ErrOutOfRange)
	case int(a.Info.Size) != len(a.Data):
		return fmt.Errorf("%d bytes of data for a batch of %d: %w", len(a.Data), a.Info.Size, storage.ErrOutOfRange)
	}
	return nil
}

func (p *partition) append(a *storage.Append, opts *Options) {
	if p.segmentBytes >= opts.SegmentBytes || p.segmentCount >= opts.SegmentBatches {
		p.segment++
		p.segmentBytes, p.segmentCount = 0, 0
	}
	p.batches = append(p.batches, batch{info: a.Info, data: slices.Clone(a.Data), segment: p.segment})
	p.segmentBytes += int64(a.Info.Size)
	p.segmentCount++
	p.epochs = storage.AddEpoch(p.epochs, a.Epoch, a.Info.BaseOffset)
	p.end = a.Info.LastOffset + 1
}

func (p *partition) segments() []storage.Segment {
	var out []storage.Segment
	number := -1
	for _, b := range p.batches {
		if b.segment != number {
			number = b.segment
			out = append(out, storage.Segment{BaseOffset: b.info.BaseOffset, MaxTimestamp: -1})
		}
		s := &out[len(out)-1]
		s.LastOffset = b.info.LastOffset
		s.MaxTimestamp = max(s.MaxTimestamp, b.info.MaxTimestamp)
		s.Bytes += int64(b.info.Size)
		s.Batches++
	}
	return out
}

func (p *partition) read(name storage.Partition, at storage.Position, dst []byte) (n int, err error) {
	i := sort.Search(len(p.batches), func(i int) bool { return p.batches[i].info.BaseOffset >= at.Base })
	if i == len(p.batches) || p.batches[i].info.BaseOffset != at.Base ||
		at.Skip < 0 || at.Skip > p.batches[i].info.Size {
		return 0, fmt.Errorf("read at %d of %s: %w", at.Base, name, storage.ErrOutOfRange)
	}
	skip := at.Skip
	for ; i < len(p.batches) && n < len(dst); i++ {
		if p.batches[i].corrupt {
			return n, &storage.CorruptError{Partition: name, Base: p.batches[i].info.BaseOffset, Err: errors.New("made corrupt by a test")}
		}
		n += copy(dst[n:], p.batches[i].data[skip:])
		skip = 0
	}
	return n, nil
}

func (p *partition) trim(offset int64) {
	offset = min(offset, p.end)
	if offset <= p.start {
		return
	}
	p.start = offset
	p.batches = slices.DeleteFunc(p.batches, func(b batch) bool { return b.info.LastOffset < offset })
	p.epochs = storage.TrimEpochs(p.epochs, offset)
}

// checkEdits says whether all edits name batches that are there.
func (p *partition) checkEdits(edits []storage.Edit) error {
	next := int64(-1)
	for i := range edits {
		e := &edits[i]
		at, ok := p.find(e.Old.BaseOffset)
		switch {
		case e.Old.BaseOffset < next:
			return fmt.Errorf("the edit at %d follows that up to %d: %w", e.Old.BaseOffset, next-1, storage.ErrOutOfRange)
		case !ok || p.batches[at].info != e.Old:
			return fmt.Errorf("no batch at %d is as the edit says: %w", e.Old.BaseOffset, storage.ErrOutOfRange)
		case e.Data == nil && e.Old.LastOffset+1 == p.end:
			return fmt.Errorf("the batch at %d is the last one: %w", e.Old.BaseOffset, storage.ErrOutOfRange)
		}
		next = e.Old.LastOffset + 1
	}
	return nil
}

func (p *partition) find(base int64) (int, bool) {
	i := sort.Search(len(p.batches), func(i int) bool { return p.batches[i].info.BaseOffset >= base })
	return i, i < len(p.batches) && p.batches[i].info.BaseOffset == base
}

// edit does one edit that was checked.
func (p *partition) edit(e *storage.Edit) {
	at, _ := p.find(e.Old.BaseOffset)
	if e.Data == nil {
		p.batches = slices.Delete(p.batches, at, at+1)
		return
	}
	b := &p.batches[at]
	b.info, b.data, b.corrupt = e.New(), slices.Clone(e.Data), false
}
