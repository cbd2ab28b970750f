package badgerstore

import (
	"bytes"
	"encoding/hex"
	"testing"

	"pgregory.net/rapid"

	"github.com/streamweir/streamweir/storage"
)

// TestKeysOnDisk holds the format still: docs/format.md says the same.
func TestKeysOnDisk(t *testing.T) {
	p := storage.Partition{Topic: storage.TopicID{1, 2, 3, 15: 0xff}, Index: 258}
	part := "010203000000000000000000000000ff" + "00000102"
	seg := storage.Segment{BaseOffset: 3, LastOffset: 9, MaxTimestamp: -1, Bytes: 1000, Batches: 5}
	for _, c := range []struct {
		name string
		got  []byte
		want string
	}{
		{"batch key", appendBatchKey(nil, p, storage.BatchInfo{BaseOffset: 1 << 40, LastOffset: 1<<40 + 9, Size: 70, MaxTimestamp: 5}),
			"62" + part + "0000010000000000" + "00000009" + "00000046" + "0000000000000005"},
		{"segment key", appendSegmentKey(nil, p, 9), "73" + part + "0000000000000009"},
		{"segment value", appendSegmentValue(nil, seg), "0000000000000003" + "ffffffffffffffff" + "00000000000003e8" + "00000005"},
		{"epoch key", appendEpochKey(nil, p, 7), "65" + part + "00000007"},
		{"epoch value", appendEpochValue(nil, 16), "0000000000000010"},
		{"partition key", appendPartitionKey(nil, prefixPartition, p), "70" + part},
		{"partition value", appendPartitionValue(nil, 4, 3, seg), "0000000000000004" + "0000000000000003" + "0000000000000009" +
			"0000000000000003" + "ffffffffffffffff" + "00000000000003e8" + "00000005"},
		{"state key", appendStateKey(nil, p, "ab"), "64" + part + "6162"},
		{"state value", appendStateValue(nil, storage.State{Offset: 2, Data: []byte{9}}), "0000000000000002" + "09"},
		{"drop key", appendPartitionKey(nil, prefixDrop, p), "78" + part},
	} {
		if got := hex.EncodeToString(c.got); got != c.want {
			t.Errorf("%s is %s, want %s", c.name, got, c.want)
		}
	}
}

func TestKeysRoundTripAndSort(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		p := storage.Partition{Index: rapid.Int32Min(0).Draw(rt, "index")}
		copy(p.Topic[:], rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(rt, "topic"))
		draw := func(name string) storage.BatchInfo {
			base := rapid.Int64Range(0, 1<<60).Draw(rt, name)
			return storage.BatchInfo{
				BaseOffset: base, LastOffset: base + rapid.Int64Range(0, maxOffsetDelta).Draw(rt, "delta"),
				Size: rapid.Int32Min(0).Draw(rt, "size"), MaxTimestamp: rapid.Int64Min(-1).Draw(rt, "timestamp"),
			}
		}
		a, b := draw("a"), draw("b")
		ka, kb := appendBatchKey(nil, p, a), appendBatchKey(nil, p, b)
		if got, err := decodeBatchKey(ka); err != nil || got != a {
			rt.Fatalf("%+v decodes as %+v, %v", a, got, err)
		}
		if got, err := decodePartitionKey(ka); err != nil || got != p {
			rt.Fatalf("%v decodes as %v, %v", p, got, err)
		}
		if a.BaseOffset < b.BaseOffset && bytes.Compare(ka, kb) >= 0 {
			rt.Fatal("keys do not sort by offset")
		}
		if seek := appendBatchSeek(nil, p, a.BaseOffset); bytes.Compare(seek, ka) > 0 || (b.BaseOffset < a.BaseOffset && bytes.Compare(kb, seek) >= 0) {
			rt.Fatal("a seek does not fall between batches")
		}
	})
}

// FuzzDecode feeds the decoders what a damaged table may hold. What they take,
// they must write back as it was.
func FuzzDecode(f *testing.F) {
	p := storage.Partition{Topic: storage.TopicID{1}, Index: 1}
	seg := storage.Segment{BaseOffset: 3, LastOffset: 9, MaxTimestamp: -1, Bytes: 1000, Batches: 5}
	f.Add(appendBatchKey(nil, p, storage.BatchInfo{BaseOffset: 5, LastOffset: 9, Size: 70}), []byte("batch"))
	f.Add(appendSegmentKey(nil, p, 9), appendSegmentValue(nil, seg))
	f.Add(appendEpochKey(nil, p, 9), appendEpochValue(nil, 4))
	f.Add(appendPartitionKey(nil, prefixPartition, p), appendPartitionValue(nil, 1, 9, seg))
	f.Add(appendStateKey(nil, p, "x"), appendStateValue(nil, storage.State{Offset: 1, Data: []byte("x")}))
	f.Add([]byte{}, []byte{})
	f.Fuzz(func(t *testing.T, key, value []byte) {
		id, err := decodePartitionKey(key)
		if err != nil {
			return
		}
		if b, err := decodeBatchKey(key); err == nil && !bytes.Equal(appendBatchKey(nil, id, b), key) {
			t.Errorf("batch key %x", key)
		}
		if s, err := decodeSegment(key, value); err == nil && !bytes.Equal(appendSegmentValue(nil, s), value) {
			t.Errorf("segment %x %x", key, value)
		}
		if e, err := decodeEpoch(key, value); err == nil && !bytes.Equal(appendEpochValue(nil, e.StartOffset), value) {
			t.Errorf("epoch %x %x", key, value)
		}
		if c, start, g, err := decodePartitionValue(value); err == nil && !bytes.Equal(appendPartitionValue(nil, c, start, g), value) {
			t.Errorf("partition %x", value)
		}
		if s, err := decodeStateValue(value); err == nil && !bytes.Equal(appendStateValue(nil, s), value) {
			t.Errorf("state %x", value)
		}
	})
}
