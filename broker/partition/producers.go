package partition

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/streamweir/streamweir/protocol/kafka"
)

// keptBatches is how many of a producer's last batches are remembered, so that
// a repeated one is answered with its first offset: a client may have five
// requests in flight (Kafka's max.in.flight.requests.per.connection).
const keptBatches = 5

// maxProducers bounds the producers that one partition remembers. Above it the
// one that was silent longest is forgotten, as if it had expired.
const maxProducers = 100_000

// producerBatch is what is kept of one batch.
type producerBatch struct {
	firstSeq, lastSeq     int32
	baseOffset, timestamp int64
	lastOffset            int64
}

// producer is the state of one producer id in one partition.
type producer struct {
	epoch    int16
	n        uint8 // batches kept, newest last
	batches  [keptBatches]producerBatch
	lastSeen int64 // clock time of its last append, or of the start
}

func (s *producer) lastSeq() int32 {
	if s.n == 0 {
		return -1
	}
	return s.batches[s.n-1].lastSeq
}

func (s *producer) duplicate(epoch int16, first, last int32) *producerBatch {
	if epoch != s.epoch {
		return nil
	}
	for i := range s.batches[:s.n] {
		if b := &s.batches[i]; b.firstSeq == first && b.lastSeq == last {
			return b
		}
	}
	return nil
}

func (s *producer) add(epoch int16, b producerBatch) {
	if epoch != s.epoch {
		s.epoch, s.n = epoch, 0
	}
	if s.n == keptBatches {
		copy(s.batches[:], s.batches[1:])
		s.n--
	}
	s.batches[s.n] = b
	s.n++
}

// producers holds the producers of a partition up to offset end: a cache of
// the log. It is not safe for concurrent use.
type producers struct {
	end  int64
	byID map[int64]*producer
}

func newProducers(start int64) *producers {
	return &producers{end: start, byID: map[int64]*producer{}}
}

// check says whether a batch of an idempotent producer may be appended: nil,
// the earlier copy of it, or an error with Kafka's code. A producer that was
// not seen since before is not known any more.
func (ps *producers) check(b kafka.Batch, before int64) (*producerBatch, error) {
	id, epoch, first := b.ProducerID(), b.ProducerEpoch(), b.BaseSequence()
	s := ps.byID[id]
	if s != nil && s.lastSeen < before {
		delete(ps.byID, id)
		s = nil
	}
	if s == nil {
		// Nothing is known of it, perhaps because its records have expired:
		// any sequence number is taken (KIP-360).
		return nil, nil
	}
	if dup := s.duplicate(epoch, first, b.LastSequence()); dup != nil {
		return dup, nil
	}
	if epoch < s.epoch {
		return nil, fmt.Errorf("%w: epoch %d of producer %d is below the last one seen, %d",
			kerr.InvalidProducerEpoch, epoch, id, s.epoch)
	}
	if epoch != s.epoch {
		if first != 0 {
			return nil, fmt.Errorf("%w: producer %d began epoch %d with sequence %d instead of 0",
				kerr.OutOfOrderSequenceNumber, id, epoch, first)
		}
		return nil, nil
	}
	if last := s.lastSeq(); first != last+1 && (first != 0 || last != math.MaxInt32) {
		return nil, fmt.Errorf("%w: producer %d sent sequence %d after %d",
			kerr.OutOfOrderSequenceNumber, id, first, last)
	}
	return nil, nil
}

// add takes up a batch that was appended, or that was found in the log.
func (ps *producers) add(b kafka.Batch, now int64) {
	ps.end = b.LastOffset() + 1
	id := b.ProducerID()
	if id < 0 || b.IsControl() {
		return
	}
	s := ps.byID[id]
	if s == nil {
		if len(ps.byID) >= maxProducers {
			ps.forgetOldest()
		}
		s = &producer{epoch: b.ProducerEpoch()}
		ps.byID[id] = s
	}
	s.lastSeen = now
	s.add(b.ProducerEpoch(), producerBatch{
		firstSeq: b.BaseSequence(), lastSeq: b.LastSequence(),
		baseOffset: b.BaseOffset(), lastOffset: b.LastOffset(), timestamp: b.MaxTimestamp(),
	})
}

// expire forgets the producers that were not seen since before.
func (ps *producers) expire(before int64) {
	for id, s := range ps.byID {
		if s.lastSeen < before {
			delete(ps.byID, id)
		}
	}
}

func (ps *producers) forgetOldest() {
	var oldest int64
	seen := int64(math.MaxInt64)
	for id, s := range ps.byID {
		if s.lastSeen < seen {
			oldest, seen = id, s.lastSeen
		}
	}
	delete(ps.byID, oldest)
}

// A snapshot is a version byte, the number of producers (uint32), for each its
// id (int64), epoch (int16), number of batches (uint8) and for each of those
// first and last sequence (int32), base and last offset, timestamp (int64);
// at the end the CRC-32C of all before it. Numbers are big-endian.
const (
	snapshotVersion      = 1
	snapshotProducerSize = 8 + 2 + 1
	snapshotBatchSize    = 4 + 4 + 8 + 8 + 8
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func (ps *producers) snapshot() []byte {
	out := make([]byte, 0, 9+len(ps.byID)*(snapshotProducerSize+2*snapshotBatchSize))
	out = append(out, snapshotVersion)
	out = binary.BigEndian.AppendUint32(out, uint32(len(ps.byID)))
	for id, s := range ps.byID {
		out = binary.BigEndian.AppendUint64(out, uint64(id))
		out = binary.BigEndian.AppendUint16(out, uint16(s.epoch))
		out = append(out, s.n)
		for _, b := range s.batches[:s.n] {
			out = binary.BigEndian.AppendUint32(out, uint32(b.firstSeq))
			out = binary.BigEndian.AppendUint32(out, uint32(b.lastSeq))
			out = binary.BigEndian.AppendUint64(out, uint64(b.baseOffset))
			out = binary.BigEndian.AppendUint64(out, uint64(b.lastOffset))
			out = binary.BigEndian.AppendUint64(out, uint64(b.timestamp))
		}
	}
	return binary.BigEndian.AppendUint32(out, crc32.Checksum(out, castagnoli))
}

var errSnapshot = errors.New("the snapshot of producers is damaged")

// restore reads what snapshot wrote, for the log up to end.
func restore(data []byte, end, now int64) (*producers, error) {
	if len(data) < 9 || data[0] != snapshotVersion {
		return nil, errSnapshot
	}
	body, sum := data[:len(data)-4], binary.BigEndian.Uint32(data[len(data)-4:])
	if crc32.Checksum(body, castagnoli) != sum {
		return nil, errSnapshot
	}
	count := binary.BigEndian.Uint32(body[1:])
	body = body[5:]
	if uint64(count)*snapshotProducerSize > uint64(len(body)) {
		return nil, errSnapshot
	}
	ps := newProducers(end)
	for ; count > 0; count-- {
		if len(body) < snapshotProducerSize {
			return nil, errSnapshot
		}
		id := int64(binary.BigEndian.Uint64(body))
		s := &producer{epoch: int16(binary.BigEndian.Uint16(body[8:])), n: body[10], lastSeen: now}
		body = body[snapshotProducerSize:]
		if s.n > keptBatches || len(body) < int(s.n)*snapshotBatchSize {
			return nil, errSnapshot
		}
		for i := range s.batches[:s.n] {
			s.batches[i] = producerBatch{
				firstSeq:   int32(binary.BigEndian.Uint32(body)),
				lastSeq:    int32(binary.BigEndian.Uint32(body[4:])),
				baseOffset: int64(binary.BigEndian.Uint64(body[8:])),
				lastOffset: int64(binary.BigEndian.Uint64(body[16:])),
				timestamp:  int64(binary.BigEndian.Uint64(body[24:])),
			}
			body = body[snapshotBatchSize:]
		}
		ps.byID[id] = s
	}
	if len(body) != 0 {
		return nil, errSnapshot
	}
	return ps, nil
}
