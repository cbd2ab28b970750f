package txn

import (
	"bytes"
	"encoding/hex"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// Apache Kafka's own bytes, by its TransactionLog.valueToBytes (but for the order
// of partitions, which is that of a hash set there): a transaction that uses up
// its epochs, and an id that is just initialized.
func TestRecordBytes(t *testing.T) {
	m := metadata{
		producerID: 7, prevProducerID: 7, nextProducerID: 8, epoch: math.MaxInt16, lastEpoch: math.MaxInt16 - 1, timeoutMs: 60_000,
		state: PrepareCommit, partitions: partitions(nil).with([]TopicPartition{{"t", 2}, {"t", 0}}), started: 1000, updated: 2000, version: 2,
	}
	want := strings.ReplaceAll("0001 0000000000000007 7fff 0000ea60 02 02 0274 03 00000000 00000002 00 00000000000007d0 00000000000003e8"+
		" 03 00 08 0000000000000007 01 08 0000000000000008 02 02 0002", " ", "")
	if got := hex.EncodeToString(m.value()); got != want {
		t.Errorf("value\n got %s\nwant %s", got, want)
	}
	empty := metadata{producerID: 7, prevProducerID: 7, nextProducerID: -1, timeoutMs: 60_000, started: noTimestamp, updated: 2000}
	want = strings.ReplaceAll("0001 0000000000000007 0000 0000ea60 00 00 00000000000007d0 ffffffffffffffff 01 00 08 0000000000000007", " ", "")
	if got := hex.EncodeToString(empty.value()); got != want {
		t.Errorf("value\n got %s\nwant %s", got, want)
	}
	if got := hex.EncodeToString(transactionKey("ab")); got != "000000026162" {
		t.Errorf("key %s", got)
	}
	back, known, err := readMetadata(m.value())
	if err != nil || !known {
		t.Fatal(known, err)
	}
	m.lastEpoch = noProducerEpoch // as in Apache Kafka, the log does not have it
	if !bytes.Equal(back.value(), m.value()) || back.epoch != m.epoch || back.nextProducerID != 8 || back.lastEpoch != noProducerEpoch {
		t.Errorf("read back %+v, want %+v", back, m)
	}
}

// Records of version 0, of releases before Apache Kafka 4.0.
func TestOldRecords(t *testing.T) {
	v := kmsg.NewTxnMetadataValue()
	v.ProducerID, v.ProducerEpoch, v.TimeoutMillis, v.State, v.StartTimestamp, v.LastUpdateTimestamp = 5, 3, 1000, 1, 10, 20
	v.Topics = []kmsg.TxnMetadataValueTopic{{Topic: "u", Partitions: []int32{3, 1}}, {Topic: "t", Partitions: []int32{0}}}
	m, known, err := readMetadata(v.AppendTo(nil))
	if err != nil || !known {
		t.Fatal(known, err)
	}
	if m.producerID != 5 || m.epoch != 3 || m.state != Ongoing || m.prevProducerID != -1 || m.nextProducerID != -1 || m.version != 0 {
		t.Errorf("%+v", m)
	}
	if got := m.partitions.all(); !slices.Equal(got, []TopicPartition{{"t", 0}, {"u", 1}, {"u", 3}}) {
		t.Errorf("partitions %v", got)
	}
}

func TestUnknownRecordsArePassedOver(t *testing.T) {
	cfg := DefaultConfig()
	s := newShard(&cfg, 1, new(total))
	m := created(1, 1000, 0)
	m.epoch = 0
	for _, c := range []struct {
		name  string
		r     record
		known bool
		fails bool
	}{
		{"a transaction", record{transactionKey("a"), m.value()}, true, false},
		{"a tombstone", record{transactionKey("a"), nil}, true, false},
		{"a tombstone of nothing", record{transactionKey("b"), nil}, true, false},
		{"another kind", record{[]byte{0, 9, 1}, []byte{1}}, false, false},
		{"a later version", record{transactionKey("a"), []byte{0, 2, 1}}, false, false},
		{"no key", record{nil, []byte{1}}, false, true},
		{"half a key", record{[]byte{0, 0, 0}, []byte{1}}, false, true},
		{"half a value", record{transactionKey("a"), m.value()[:9]}, false, true},
		{"an empty value", record{transactionKey("a"), []byte{}}, false, true},
	} {
		known, err := s.replay(c.r)
		if known != c.known || (err != nil) != c.fails {
			t.Errorf("%s: known %v, %v", c.name, known, err)
		}
	}
	for _, bad := range []func(m *metadata){
		func(m *metadata) { m.state = Dead }, func(m *metadata) { m.state = -1 }, func(m *metadata) { m.epoch = -1 }, func(m *metadata) { m.producerID = -1 },
	} {
		x := m
		bad(&x)
		if _, err := s.replay(record{transactionKey("a"), x.value()}); err == nil {
			t.Errorf("%+v is taken", x)
		}
	}
}

func FuzzReplay(f *testing.F) {
	m := created(1, 1000, 0)
	m.epoch, m.state, m.partitions = 0, Ongoing, partitions(nil).with([]TopicPartition{{"t", 1}})
	f.Add(transactionKey("a"), m.value())
	f.Add([]byte{0, 0, 0, 1}, []byte{0, 1})
	f.Fuzz(func(t *testing.T, key, value []byte) {
		cfg := DefaultConfig()
		s := newShard(&cfg, 1, new(total))
		known, err := s.replay(record{key, value})
		if err != nil || !known {
			return
		}
		for id, x := range s.txns {
			again, _, err := readMetadata(x.value())
			if err != nil || !slices.Equal(again.partitions.all(), x.partitions.all()) {
				t.Errorf("%q reads back as %+v, %v, from %+v", id, again, err, x.metadata)
			}
		}
	})
}

func TestPartitionsAreNeverChanged(t *testing.T) {
	a := partitions(nil).with([]TopicPartition{{"b", 1}, {"b", 3}, {"a", 0}})
	before := slices.Clone(a.all())
	b := a.with([]TopicPartition{{"b", 2}, {"c", 9}, {"b", 2}, {"b", 0}})
	c := a.with([]TopicPartition{{"b", 7}})
	if !slices.Equal(a.all(), before) {
		t.Errorf("changed to %v", a.all())
	}
	if want := []TopicPartition{{"a", 0}, {"b", 0}, {"b", 1}, {"b", 2}, {"b", 3}, {"c", 9}}; !slices.Equal(b.all(), want) {
		t.Errorf("%v", b.all())
	}
	if want := []TopicPartition{{"a", 0}, {"b", 1}, {"b", 3}, {"b", 7}}; !slices.Equal(c.all(), want) {
		t.Errorf("%v", c.all())
	}
	if !b.has(TopicPartition{"b", 2}) || b.has(TopicPartition{"b", 7}) || b.has(TopicPartition{"d", 0}) || b.count() != 6 {
		t.Error("has or count is wrong")
	}
}
