package kafka

import (
	"encoding/binary"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// NoRecords, as a size for AppendFetchResponse, writes null in place of record
// bytes. (Apache Kafka writes 0 bytes rather than null where there are none.)
const NoRecords = -1

// AppendFetchResponse appends the body of a Fetch response of version 4 to 18
// as resp.AppendTo would, but without the partitions' record bytes: RecordBatches
// is not looked at. For the i-th partition, counted through all topics, sizes[i]
// bytes of records belong at out[cuts[i]]; the caller sends out up to there, then
// the records, and goes on behind. So batches go from the log to the connection
// without being gathered in a response first.
//
// The cuts rise and count from the beginning of out, dst included. The body has
// len(out)-len(dst) bytes and the sum of the sizes above 0. len(sizes) must be
// the number of partitions.
//
// This is the only message that is encoded by hand.
func AppendFetchResponse(dst []byte, resp *kmsg.FetchResponse, sizes []int) (out []byte, cuts []int) {
	e := fetchEncoder{out: dst, version: resp.Version, flexible: resp.IsFlexible(), sizes: sizes, cuts: make([]int, 0, len(sizes))}
	e.int32(resp.ThrottleMillis)
	if e.version >= 7 {
		e.int16(resp.ErrorCode)
		e.int32(resp.SessionID)
	}
	e.arrayLen(len(resp.Topics))
	for i := range resp.Topics {
		e.topic(&resp.Topics[i])
	}
	if e.flexible {
		e.responseTags(resp)
	}
	return e.out, e.cuts
}

type fetchEncoder struct {
	out      []byte
	version  int16
	flexible bool
	sizes    []int
	cuts     []int
}

func (e *fetchEncoder) int16(v int16)    { e.out = binary.BigEndian.AppendUint16(e.out, uint16(v)) }
func (e *fetchEncoder) int32(v int32)    { e.out = binary.BigEndian.AppendUint32(e.out, uint32(v)) }
func (e *fetchEncoder) int64(v int64)    { e.out = binary.BigEndian.AppendUint64(e.out, uint64(v)) }
func (e *fetchEncoder) uvarint(v uint32) { e.out = appendUvarint(e.out, uint64(v)) }

// arrayLen writes a length; -1 is null.
func (e *fetchEncoder) arrayLen(n int) {
	if e.flexible {
		e.uvarint(uint32(n + 1))
	} else {
		e.int32(int32(n))
	}
}

func (e *fetchEncoder) string(s string) {
	if e.flexible {
		e.uvarint(uint32(len(s)) + 1)
	} else {
		e.int16(int16(len(s)))
	}
	e.out = append(e.out, s...)
}

// tags ends a structure that has no tagged fields of its own.
func (e *fetchEncoder) tags(unknown *kmsg.Tags) {
	if e.flexible {
		e.uvarint(uint32(unknown.Len()))
		e.out = unknown.AppendEach(e.out)
	}
}

func (e *fetchEncoder) topic(t *kmsg.FetchResponseTopic) {
	if e.version <= 12 {
		e.string(t.Topic)
	} else {
		e.out = append(e.out, t.TopicID[:]...)
	}
	e.arrayLen(len(t.Partitions))
	for i := range t.Partitions {
		e.partition(&t.Partitions[i])
	}
	e.tags(&t.UnknownTags)
}

func (e *fetchEncoder) partition(p *kmsg.FetchResponseTopicPartition) {
	e.int32(p.Partition)
	e.int16(p.ErrorCode)
	e.int64(p.HighWatermark)
	e.int64(p.LastStableOffset)
	if e.version >= 5 {
		e.int64(p.LogStartOffset)
	}
	if p.AbortedTransactions == nil {
		e.arrayLen(-1)
	} else {
		e.arrayLen(len(p.AbortedTransactions))
	}
	for i := range p.AbortedTransactions {
		a := &p.AbortedTransactions[i]
		e.int64(a.ProducerID)
		e.int64(a.FirstOffset)
		e.tags(&a.UnknownTags)
	}
	if e.version >= 11 {
		e.int32(p.PreferredReadReplica)
	}
	e.arrayLen(max(e.sizes[len(e.cuts)], NoRecords)) // bytes have the length of an array
	e.cuts = append(e.cuts, len(e.out))
	if e.flexible {
		e.partitionTags(p)
	}
}

func (e *fetchEncoder) partitionTags(p *kmsg.FetchResponseTopicPartition) {
	diverging := p.DivergingEpoch.Epoch != -1 || p.DivergingEpoch.EndOffset != -1 || p.DivergingEpoch.UnknownTags.Len() > 0
	leader := p.CurrentLeader.LeaderID != -1 || p.CurrentLeader.LeaderEpoch != -1 || p.CurrentLeader.UnknownTags.Len() > 0
	snapshot := p.SnapshotID.EndOffset != -1 || p.SnapshotID.Epoch != -1 || p.SnapshotID.UnknownTags.Len() > 0
	n := p.UnknownTags.Len()
	for _, present := range []bool{diverging, leader, snapshot} {
		if present {
			n++
		}
	}
	e.uvarint(uint32(n))
	if diverging {
		e.tagged(0, func() {
			e.int32(p.DivergingEpoch.Epoch)
			e.int64(p.DivergingEpoch.EndOffset)
			e.tags(&p.DivergingEpoch.UnknownTags)
		})
	}
	if leader {
		e.tagged(1, func() {
			e.int32(p.CurrentLeader.LeaderID)
			e.int32(p.CurrentLeader.LeaderEpoch)
			e.tags(&p.CurrentLeader.UnknownTags)
		})
	}
	if snapshot {
		e.tagged(2, func() {
			e.int64(p.SnapshotID.EndOffset)
			e.int32(p.SnapshotID.Epoch)
			e.tags(&p.SnapshotID.UnknownTags)
		})
	}
	e.out = p.UnknownTags.AppendEach(e.out)
}

// tagged writes a tagged field: number, size and value. The value is written
// twice, first to learn its size; these are small and rare.
func (e *fetchEncoder) tagged(tag uint32, value func()) {
	e.uvarint(tag)
	at := len(e.out)
	value()
	size := len(e.out) - at
	e.out = e.out[:at]
	e.uvarint(uint32(size))
	value()
}

func (e *fetchEncoder) responseTags(resp *kmsg.FetchResponse) {
	n := resp.UnknownTags.Len()
	if len(resp.Brokers) > 0 {
		n++
	}
	e.uvarint(uint32(n))
	if len(resp.Brokers) > 0 {
		e.tagged(0, func() { e.brokers(resp.Brokers) })
	}
	e.out = resp.UnknownTags.AppendEach(e.out)
}

func (e *fetchEncoder) brokers(brokers []kmsg.FetchResponseBroker) {
	e.arrayLen(len(brokers))
	for i := range brokers {
		b := &brokers[i]
		e.int32(b.NodeID)
		e.string(b.Host)
		e.int32(b.Port)
		if b.Rack == nil {
			e.uvarint(0)
		} else {
			e.string(*b.Rack)
		}
		e.tags(&b.UnknownTags)
	}
}
