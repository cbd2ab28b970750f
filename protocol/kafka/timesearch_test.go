package kafka

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
)

func TestFirstAt(t *testing.T) {
	// Timestamps go up and down; the third record is larger than a window.
	times := []int64{100, 90, 300, 300, 200, 400, 50}
	records := make([]Record, len(times))
	for i := range times {
		records[i] = Record{Timestamp: times[i], Value: []byte("v")}
	}
	records[2].Value = make([]byte, 3*windowSize)
	for _, codec := range allCodecs {
		t.Run(codec.String(), func(t *testing.T) {
			b := mustBuild(t, BatchOptions{BaseOffset: 1000, Codec: codec}, records...)
			for _, c := range []struct {
				target, from  int64
				offset, stamp int64
				ok            bool
			}{
				{0, 0, 1000, 100, true},
				{100, 0, 1000, 100, true},
				{101, 0, 1002, 300, true},
				{300, 1003, 1003, 300, true},
				{0, 1006, 1006, 50, true},
				{60, 1006, 0, 0, false},
				{301, 0, 1005, 400, true},
				{400, 0, 1005, 400, true},
				{401, 0, 0, 0, false},
				{0, 1007, 0, 0, false},
			} {
				offset, stamp, ok, err := b.FirstAt(c.target, c.from, 0)
				if err != nil || offset != c.offset || stamp != c.stamp || ok != c.ok {
					t.Errorf("FirstAt(%d, %d) = %d, %d, %v, %v; want %d, %d, %v", c.target, c.from, offset, stamp, ok, err, c.offset, c.stamp, c.ok)
				}
			}
			if offset, ok, err := b.OffsetOfMaxTimestamp(0); offset != 1005 || !ok || err != nil {
				t.Errorf("the largest timestamp is at %d, %v, %v; want 1005", offset, ok, err)
			}
		})
	}
}

func TestSearchInLogAppendTimeBatch(t *testing.T) {
	b := mustBuild(t, BatchOptions{BaseOffset: 5, Codec: CodecZstd, TimestampType: LogAppendTime, LogAppendTime: 700}, testRecords(3, 10)...)
	if offset, stamp, ok, err := b.FirstAt(650, 6, 0); offset != 6 || stamp != 700 || !ok || err != nil {
		t.Errorf("FirstAt = %d, %d, %v, %v", offset, stamp, ok, err)
	}
	if offset, ok, err := b.OffsetOfMaxTimestamp(0); offset != 5 || !ok || err != nil {
		t.Errorf("OffsetOfMaxTimestamp = %d, %v, %v", offset, ok, err)
	}
	none := mustBuild(t, BatchOptions{}, Record{Timestamp: NoTimestamp})
	if _, ok, err := none.OffsetOfMaxTimestamp(0); ok || err != nil {
		t.Errorf("a batch without timestamps has a largest one: %v %v", ok, err)
	}
}

func TestSearchInBrokenBatch(t *testing.T) {
	b := mustBuild(t, BatchOptions{Codec: CodecGzip}, testRecords(30, 100)...)
	b[len(b)-20] ^= 0xff
	b[len(b)-30] ^= 0xff
	_, _, _, err := b.FirstAt(testTime+6, 29, 0)
	wantRefused(t, err, kerr.InvalidRecord)
}
