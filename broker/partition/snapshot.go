package partition

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"slices"
)

// A snapshot is what producers holds, in big-endian numbers:
//
//	version byte; leader epoch of the last batch (int32)
//	number of producers (uint32), and for each of them
//	  id (int64), epoch (int16), coordinator epoch (int32), last timestamp (int64),
//	  first offset of its ongoing transaction (int64, -1 for none),
//	  number of batches (uint8), and for each of those
//	    first and last sequence (int32), base and last offset, timestamp (int64)
//	number of the next chunk of aborted transactions (uint32)
//	number of chunks (uint32), and for each of them
//	  number, CRC-32C (uint32), least first offset, last offset, last stable offset (int64)
//	number of further aborted transactions (uint32), and for each of them
//	  producer id, first, last and last stable offset (int64)
//	CRC-32C of all before it
const (
	snapshotVersion      = 2
	snapshotMinSize      = 1 + 4 + 4*4 + 4
	snapshotProducerSize = 8 + 2 + 4 + 8 + 8 + 1
	snapshotBatchSize    = 4 + 4 + 8 + 8 + 8
	snapshotChunkSize    = 4 + 4 + 8 + 8 + 8
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// snapshotSize is about how large a snapshot will be.
func (ps *producers) snapshotSize() int {
	return snapshotMinSize + len(ps.byID)*(snapshotProducerSize+2*snapshotBatchSize) +
		len(ps.index.chunks)*snapshotChunkSize + len(ps.index.recent)*abortedTxnSize
}

func (ps *producers) snapshot() []byte {
	be := binary.BigEndian
	out := append(make([]byte, 0, ps.snapshotSize()), snapshotVersion)
	out = be.AppendUint32(out, uint32(ps.epoch))
	out = be.AppendUint32(out, uint32(len(ps.byID)))
	for id, s := range ps.byID {
		out = be.AppendUint64(out, uint64(id))
		out = be.AppendUint16(out, uint16(s.epoch))
		out = be.AppendUint32(out, uint32(s.coordinatorEpoch))
		out = be.AppendUint64(out, uint64(s.lastTimestamp))
		out = be.AppendUint64(out, uint64(s.txnFirst))
		out = append(out, s.n)
		for _, b := range s.batches[:s.n] {
			out = be.AppendUint32(out, uint32(b.firstSeq))
			out = be.AppendUint32(out, uint32(b.lastSeq))
			out = be.AppendUint64(out, uint64(b.baseOffset))
			out = be.AppendUint64(out, uint64(b.lastOffset))
			out = be.AppendUint64(out, uint64(b.timestamp))
		}
	}
	out = be.AppendUint32(out, ps.index.next)
	out = be.AppendUint32(out, uint32(len(ps.index.chunks)))
	for _, c := range ps.index.chunks {
		out = be.AppendUint32(out, c.number)
		out = be.AppendUint32(out, c.sum)
		out = be.AppendUint64(out, uint64(c.first))
		out = be.AppendUint64(out, uint64(c.last))
		out = be.AppendUint64(out, uint64(c.stable))
	}
	out = be.AppendUint32(out, uint32(len(ps.index.recent)))
	out = encodeAborted(out, ps.index.recent)
	return be.AppendUint32(out, crc32.Checksum(out, castagnoli))
}

var errSnapshot = errors.New("the snapshot of producers is damaged")

// restore reads what snapshot wrote, for the log up to end.
func restore(data []byte, end, now int64) (*producers, error) {
	if len(data) < snapshotMinSize || data[0] != snapshotVersion {
		return nil, errSnapshot
	}
	body, sum := data[:len(data)-4], binary.BigEndian.Uint32(data[len(data)-4:])
	if crc32.Checksum(body, castagnoli) != sum {
		return nil, errSnapshot
	}
	r := snapshotReader{b: body[1:]}
	ps := newProducers(end)
	ps.epoch = int32(r.uint32())
	for n := r.count(snapshotProducerSize); n > 0 && !r.bad; n-- {
		r.producer(ps, now)
	}
	slices.SortFunc(ps.txns.ongoing, func(a, b ongoingTxn) int { return int(a.first - b.first) })
	ps.index.next = r.uint32()
	for n := r.count(snapshotChunkSize); n > 0; n-- {
		ps.index.chunks = append(ps.index.chunks, abortedChunk{
			number: r.uint32(), sum: r.uint32(), first: r.int64(), last: r.int64(), stable: r.int64(),
		})
	}
	if n := r.count(abortedTxnSize); n > 0 {
		ps.index.recent = decodeAborted(r.take(n * abortedTxnSize))
	}
	if r.bad || len(r.b) != 0 {
		return nil, errSnapshot
	}
	return ps, nil
}

// snapshotReader takes numbers off b; bad is set where there are too few bytes.
type snapshotReader struct {
	b   []byte
	bad bool
}

var noBytes [8]byte

func (r *snapshotReader) take(n int) []byte {
	if n > len(r.b) {
		r.bad, r.b = true, nil
		return noBytes[:min(n, len(noBytes))]
	}
	out := r.b[:n]
	r.b = r.b[n:]
	return out
}

func (r *snapshotReader) uint32() uint32 { return binary.BigEndian.Uint32(r.take(4)) }
func (r *snapshotReader) int64() int64   { return int64(binary.BigEndian.Uint64(r.take(8))) }

// count reads a number of things of at least size bytes each.
func (r *snapshotReader) count(size int) int {
	n := int64(r.uint32())
	if n*int64(size) > int64(len(r.b)) {
		r.bad = true
		return 0
	}
	return int(n)
}

func (r *snapshotReader) producer(ps *producers, now int64) {
	id := r.int64()
	s := newProducer()
	s.epoch = int16(binary.BigEndian.Uint16(r.take(2)))
	s.coordinatorEpoch = int32(r.uint32())
	s.lastTimestamp, s.txnFirst, s.lastSeen = r.int64(), r.int64(), now
	if s.n = r.take(1)[0]; s.n > keptBatches {
		r.bad = true
		return
	}
	for i := range s.batches[:s.n] {
		s.batches[i] = producerBatch{
			firstSeq: int32(r.uint32()), lastSeq: int32(r.uint32()),
			baseOffset: r.int64(), lastOffset: r.int64(), timestamp: r.int64(),
		}
	}
	ps.byID[id] = s
	if s.txnFirst != noOffset {
		ps.txns.ongoing = append(ps.txns.ongoing, ongoingTxn{s.txnFirst, id})
	}
}
