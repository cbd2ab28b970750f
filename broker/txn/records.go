package txn

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// The versions that Apache Kafka 4.3 writes where transaction.version is at
// least 1, and those that are read.
const (
	keyVersion      = 0
	valueVersion    = 1
	maxValueVersion = 1
)

func transactionKey(id string) []byte {
	k := kmsg.TxnMetadataKey{Version: keyVersion, TransactionalID: id}
	return k.AppendTo(nil)
}

// value is what the log gets to hold of m.
func (m *metadata) value() []byte {
	v := kmsg.NewTxnMetadataValue()
	v.Version, v.ProducerID, v.ProducerEpoch = valueVersion, m.producerID, m.epoch
	v.PreviousProducerID, v.NextProducerID = m.prevProducerID, m.nextProducerID
	v.TimeoutMillis, v.State = m.timeoutMs, kmsg.TransactionState(m.state)
	v.LastUpdateTimestamp, v.StartTimestamp, v.ClientTransactionVersion = m.updated, m.started, m.version
	if m.state != Empty {
		v.Topics = make([]kmsg.TxnMetadataValueTopic, len(m.partitions))
		for i, t := range m.partitions {
			v.Topics[i] = kmsg.TxnMetadataValueTopic{Topic: t.topic, Partitions: t.indexes}
		}
	}
	return v.AppendTo(nil)
}

var errKey = errors.New("record key is cut short")

// replay takes over one record of the log. It says whether the record is of a
// kind that is known here.
func (s *shard) replay(r record) (known bool, err error) {
	if len(r.key) < 2 {
		return false, errKey
	}
	if binary.BigEndian.Uint16(r.key) != keyVersion {
		return false, nil
	}
	var k kmsg.TxnMetadataKey
	if err := k.ReadFrom(r.key); err != nil {
		return false, fmt.Errorf("decode the key of a transaction: %w", err)
	}
	if r.value == nil {
		if old := s.txns[k.TransactionalID]; old != nil {
			s.remove(old)
		}
		return true, nil
	}
	m, known, err := readMetadata(r.value)
	if err != nil || !known {
		return known, err
	}
	s.add(k.TransactionalID, m)
	return true, nil
}

func readMetadata(value []byte) (m metadata, known bool, err error) {
	if len(value) < 2 {
		return m, false, errors.New("record value is cut short")
	}
	if version := binary.BigEndian.Uint16(value); version > maxValueVersion {
		return m, false, nil // of a later release; Apache Kafka passes over it as well
	}
	v := kmsg.NewTxnMetadataValue()
	if err := v.ReadFrom(value); err != nil {
		return m, false, fmt.Errorf("decode a transaction: %w", err)
	}
	m = metadata{
		producerID: v.ProducerID, prevProducerID: v.PreviousProducerID, nextProducerID: v.NextProducerID,
		epoch: v.ProducerEpoch, lastEpoch: noProducerEpoch, timeoutMs: v.TimeoutMillis, state: State(v.State),
		started: v.StartTimestamp, updated: v.LastUpdateTimestamp, version: v.ClientTransactionVersion,
	}
	if m.state < Empty || m.state > CompleteAbort {
		return m, false, fmt.Errorf("a transaction is in state %d; 0 to 5 are known", m.state)
	}
	if m.producerID < 0 || m.epoch < 0 {
		return m, false, fmt.Errorf("a transaction has producer id %d and epoch %d", m.producerID, m.epoch)
	}
	if m.state == Empty {
		return m, true, nil
	}
	for _, t := range v.Topics {
		tps := make([]TopicPartition, len(t.Partitions))
		for i, p := range t.Partitions {
			tps[i] = TopicPartition{t.Topic, p}
		}
		m.partitions = m.partitions.with(tps)
	}
	m.partitions = slices.Clip(m.partitions)
	return m, true, nil
}

// loaded is the event that the whole log was replayed: decided transactions
// that may lack markers get them now.
func (s *shard) loaded(st *step) {
	s.arm(st)
	for _, t := range sorted(maps.Values(s.txns)) {
		if t.state.preparing() {
			s.beginEnding(st, t)
		}
	}
}
